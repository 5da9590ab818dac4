//! GRE version 0 (RFC 1701, RFC 2784, RFC 2890) and version 1 (PPTP, RFC 2637).

use super::{be16, octet, rest, Malformed};

/// EtherType of PPP under GRE.
pub const PPP: u16 = 0x880b;

/// A header and what follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gre<'a> {
    /// EtherType.
    pub kind: u16,
    /// A sequence number is there (tells ERSPAN II from I).
    pub sequenced: bool,
    /// Version 1 without a payload (a bare acknowledgement).
    pub empty: bool,
    /// What follows.
    pub payload: &'a [u8],
}

/// Why it cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// Not even a header: decoding of an enclosing tunnel fails too.
    TooSmall,
    /// Malformed.
    Malformed(Malformed),
}

fn malformed<T>(event: &'static str) -> Result<T, Error> {
    Err(Error::Malformed(Malformed(event)))
}

/// Read it.
pub fn parse(data: &[u8]) -> Result<Gre<'_>, Error> {
    if data.len() < 4 {
        return Err(Error::TooSmall);
    }
    let (flags, version, kind) = (octet(data, 0), octet(data, 1), be16(data, 2));
    let (checksum, route, key) = (flags & 0x80 != 0, flags & 0x40 != 0, flags & 0x20 != 0);
    let sequenced = flags & 0x10 != 0;
    let mut length = 4;
    let mut empty = false;
    match version & 0x07 {
        0 => {
            if flags & 0x07 != 0 {
                return malformed("gre.version0_recur");
            }
            if version & 0x78 != 0 {
                return malformed("gre.version0_flags");
            }
            length += 4 * (usize::from(key) + usize::from(sequenced) + usize::from(checksum || route));
            if length > data.len() {
                return malformed("gre.version0_hdr_too_big");
            }
            if route {
                length = skip_routes(data, length)?;
            }
        }
        1 => {
            for (wrong, event) in [
                (checksum, "gre.version1_chksum"),
                (route, "gre.version1_route"),
                (flags & 0x08 != 0, "gre.version1_ssr"),
                (flags & 0x07 != 0, "gre.version1_recur"),
                (version & 0x78 != 0, "gre.version1_flags"),
                (kind != PPP, "gre.version1_wrong_protocol"),
                (!key, "gre.version1_no_key"),
            ] {
                if wrong {
                    return malformed(event);
                }
            }
            length += 4 * (1 + usize::from(sequenced) + usize::from(version & 0x80 != 0));
            if length > data.len() {
                return malformed("gre.version1_hdr_too_big");
            }
            empty = be16(data, 4) == 0;
        }
        _ => return malformed("gre.wrong_version"),
    }
    Ok(Gre {
        kind,
        sequenced,
        empty,
        payload: rest(data, length),
    })
}

/// Skip the source route entries (RFC 1701) that begin at `at`.
fn skip_routes(data: &[u8], mut at: usize) -> Result<usize, Error> {
    loop {
        if at + 4 > data.len() {
            return malformed("gre.version0_malformed_sre_hdr");
        }
        let (family, length) = (be16(data, at), usize::from(octet(data, at + 3)));
        at += 4;
        if family == 0 && length == 0 {
            return Ok(at);
        }
        at += length;
        if at > data.len() {
            return malformed("gre.version0_malformed_sre_hdr");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn optional_fields_are_skipped() {
        let data = [0xb0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 2, 9];
        assert_eq!(
            parse(&data),
            Ok(Gre {
                kind: 0x800,
                sequenced: true,
                empty: false,
                payload: &[9]
            })
        );
        assert_eq!(parse(&data[..12]), malformed("gre.version0_hdr_too_big"));
    }

    #[test]
    fn a_source_route_without_end_is_malformed() {
        let data = [0x40, 0, 8, 0, 0, 0, 0, 0, 8, 0, 0, 4, 1, 2, 3, 4];
        assert_eq!(parse(&data), malformed("gre.version0_malformed_sre_hdr"));
    }

    #[test]
    fn version_one_is_pptp_only() {
        assert_eq!(
            parse(&[0x20, 1, 8, 0, 0, 0, 0, 0]),
            malformed("gre.version1_wrong_protocol")
        );
        assert_eq!(
            parse(&[0x00, 1, 0x88, 0x0b, 0, 0, 0, 0]),
            malformed("gre.version1_no_key")
        );
    }
}
