//! IPv4 (RFC 791) and its options.

use std::net::Ipv4Addr;

use super::{be16, octet, rest, Malformed};

/// Header length without options, octets.
pub const LEN: usize = 20;

/// A header whose lengths fit.
#[derive(Clone, Copy, Debug)]
pub struct Ipv4<'a> {
    data: &'a [u8],
    header_len: usize,
    total_len: usize,
}

impl<'a> Ipv4<'a> {
    /// Check the lengths.
    pub fn parse(data: &'a [u8]) -> Result<Ipv4<'a>, Malformed> {
        if data.len() < LEN {
            return Err(Malformed("ipv4.pkt_too_small"));
        }
        let first = octet(data, 0);
        if first >> 4 != 4 {
            return Err(Malformed("ipv4.wrong_ip_version"));
        }
        let header_len = usize::from(first & 0x0f) * 4;
        if header_len < LEN {
            return Err(Malformed("ipv4.hlen_too_small"));
        }
        let total_len = usize::from(be16(data, 2));
        if total_len < header_len {
            return Err(Malformed("ipv4.iplen_smaller_than_hlen"));
        }
        if data.len() < total_len {
            return Err(Malformed("ipv4.trunc_pkt"));
        }
        Ok(Ipv4 {
            data,
            header_len,
            total_len,
        })
    }

    /// The header with its options.
    pub fn header(&self) -> &'a [u8] {
        self.data.get(..self.header_len).unwrap_or(&[])
    }

    /// The options.
    pub fn options(&self) -> &'a [u8] {
        self.data.get(LEN..self.header_len).unwrap_or(&[])
    }

    /// What follows, to the end the header gives.
    pub fn payload(&self) -> &'a [u8] {
        self.data.get(self.header_len..self.total_len).unwrap_or(&[])
    }

    /// The datagram, header included, without what trails it.
    pub fn datagram(&self) -> &'a [u8] {
        self.data.get(..self.total_len).unwrap_or(&[])
    }

    /// Type of service.
    pub fn tos(&self) -> u8 {
        octet(self.data, 1)
    }

    /// Identification.
    pub fn id(&self) -> u16 {
        be16(self.data, 4)
    }

    /// Reserved, DF, MF from bit 2 to bit 0.
    pub fn flags(&self) -> u8 {
        octet(self.data, 6) >> 5
    }

    /// Fragment offset in units of 8 octets.
    pub fn fragment_offset(&self) -> u16 {
        be16(self.data, 6) & 0x1fff
    }

    /// Part of a fragmented datagram.
    pub fn is_fragment(&self) -> bool {
        be16(self.data, 6) & 0x3fff != 0
    }

    /// Time to live.
    pub fn ttl(&self) -> u8 {
        octet(self.data, 8)
    }

    /// Protocol.
    pub fn proto(&self) -> u8 {
        octet(self.data, 9)
    }

    /// Source.
    pub fn src(&self) -> Ipv4Addr {
        address(self.data, 12)
    }

    /// Destination.
    pub fn dst(&self) -> Ipv4Addr {
        address(self.data, 16)
    }
}

/// The address at `at`.
pub fn address(data: &[u8], at: usize) -> Ipv4Addr {
    match data.get(at..at + 4) {
        Some(&[a, b, c, d]) => Ipv4Addr::new(a, b, c, d),
        _ => Ipv4Addr::UNSPECIFIED,
    }
}

/// Check the options; odd ones are told to `odd`, malformed ones to `malformed`.
///
/// # Errors
/// A length that does not fit: the packet cannot be read.
pub fn check_options(
    options: &[u8],
    mut odd: impl FnMut(&'static str),
    mut malformed: impl FnMut(&'static str),
) -> Result<(), Malformed> {
    if options.len() % 8 != 0 {
        odd("ipv4.opt_pad_required");
    }
    let mut seen = [false; 256];
    let mut left = options;
    while let Some(&kind) = left.first() {
        match kind {
            0 => break,
            1 => left = rest(left, 1),
            _ => {
                if left.len() < 2 {
                    odd("ipv4.opt_eol_required");
                    break;
                }
                let length = usize::from(octet(left, 1));
                if length > left.len() || length < 2 {
                    return Err(Malformed("ipv4.opt_invalid_len"));
                }
                let value = left.get(2..length).unwrap_or(&[]);
                match check_option(kind, length, value) {
                    Err(Malformed("ipv4.opt_invalid")) => odd("ipv4.opt_invalid"),
                    _ if seen[usize::from(kind)] => odd("ipv4.opt_duplicate"),
                    Err(Malformed(event)) => malformed(event),
                    Ok(()) => seen[usize::from(kind)] = true,
                }
                left = rest(left, length);
            }
        }
    }
    Ok(())
}

/// Check one option: `length` with type and length octets, `value` without.
fn check_option(kind: u8, length: usize, value: &[u8]) -> Result<(), Malformed> {
    let short = Err(Malformed("ipv4.opt_invalid_len"));
    let bad = Err(Malformed("ipv4.opt_malformed"));
    let pointer = usize::from(octet(value, 0));
    match kind {
        // Record route, loose and strict source route.
        0x07 | 0x83 | 0x89 => {
            if length < 3 {
                return short;
            }
            if pointer < 4 || pointer % 4 != 0 || pointer > length + 1 {
                return bad;
            }
        }
        // Timestamp (RFC 781): records of a time, or of an address and a time.
        0x44 => {
            if length < 5 {
                return short;
            }
            let record = if matches!(octet(value, 1) & 0x0f, 1 | 3) {
                8
            } else {
                4
            };
            if pointer < 5 || (pointer - 5) % record != 0 || pointer > length + 1 {
                return bad;
            }
        }
        // Quick start (RFC 4782).
        0x19 if length < 8 => return short,
        // Security, extended security (RFC 1108).
        0x82 | 0x85 if length < 3 => return short,
        // Stream identifier, router alert (RFC 2113).
        0x88 | 0x94 if length != 4 => return short,
        0x19 | 0x82 | 0x85 | 0x88 | 0x94 => {}
        // Commercial IP security (FIPS 188).
        0x86 => {
            if length < 10 {
                return short;
            }
            let mut tags = rest(value, 4);
            while !tags.is_empty() {
                let (tag, tag_len) = (octet(tags, 0), usize::from(octet(tags, 1)));
                if tags.len() < 2 || tag_len > tags.len() || tag_len < 4 || !matches!(tag, 1 | 2 | 5 | 6 | 7)
                {
                    return bad;
                }
                if tag != 7 && octet(tags, 2) != 0 {
                    return bad;
                }
                tags = rest(tags, tag_len);
            }
        }
        _ => return Err(Malformed("ipv4.opt_invalid")),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(options: &[u8]) -> (Vec<&'static str>, Result<(), Malformed>) {
        let mut odd = Vec::new();
        let mut bad = Vec::new();
        let result = check_options(options, |event| odd.push(event), |event| bad.push(event));
        odd.extend(bad);
        (odd, result)
    }

    #[test]
    fn lengths_that_do_not_fit_are_malformed() {
        let mut data = [0u8; 24];
        (data[0], data[3]) = (0x46, 24);
        assert!(Ipv4::parse(&data).is_ok());
        assert_eq!(Ipv4::parse(&data[..23]).unwrap_err(), Malformed("ipv4.trunc_pkt"));
        data[3] = 23;
        assert_eq!(
            Ipv4::parse(&data).unwrap_err(),
            Malformed("ipv4.iplen_smaller_than_hlen")
        );
        data[0] = 0x44;
        assert_eq!(Ipv4::parse(&data).unwrap_err(), Malformed("ipv4.hlen_too_small"));
    }

    #[test]
    fn options_are_checked_one_by_one() {
        assert_eq!(events(&[7, 7, 4, 0, 0, 0, 0, 0]), (vec![], Ok(())));
        assert_eq!(
            events(&[7, 7, 3, 0, 0, 0, 0, 0]),
            (vec!["ipv4.opt_malformed"], Ok(()))
        );
        assert_eq!(
            events(&[0x94, 4, 0, 0, 0x94, 4, 0, 0]),
            (vec!["ipv4.opt_duplicate"], Ok(()))
        );
        assert_eq!(
            events(&[0x94, 9, 0, 0, 0, 0, 0, 0]),
            (vec![], Err(Malformed("ipv4.opt_invalid_len")))
        );
        assert_eq!(
            events(&[0x33, 4, 0, 0]),
            (vec!["ipv4.opt_pad_required", "ipv4.opt_invalid"], Ok(()))
        );
    }
}
