//! PPP (RFC 1661), with or without HDLC-like framing.

use super::{be16, octet, rest, Malformed};

/// IPv4.
pub const IPV4: u16 = 0x0021;
/// IPv6.
pub const IPV6: u16 = 0x0057;
/// Van Jacobson uncompressed TCP/IP.
pub const VJ_UNCOMPRESSED: u16 = 0x002f;

/// A PPP frame's protocol and what follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ppp<'a> {
    /// Protocol number.
    pub protocol: u16,
    /// The protocol field was one octet (RFC 1661 section 6.5).
    pub compressed: bool,
    /// What follows.
    pub payload: &'a [u8],
}

/// Read address, control (if there) and the protocol field.
pub fn parse(data: &[u8]) -> Result<Ppp<'_>, Malformed> {
    let too_small = Malformed("ppp.pkt_too_small");
    if data.is_empty() {
        return Err(too_small);
    }
    let at = if octet(data, 0) == 0xff { 2 } else { 0 };
    if data.len() <= at {
        return Err(too_small);
    }
    let first = octet(data, at);
    if first & 1 == 1 {
        return Ok(Ppp {
            protocol: u16::from(first),
            compressed: true,
            payload: rest(data, at + 1),
        });
    }
    if data.len() < at + 2 {
        return Err(too_small);
    }
    Ok(Ppp {
        protocol: be16(data, at),
        compressed: false,
        payload: rest(data, at + 2),
    })
}

/// Protocols that are known and not looked into.
pub fn known(protocol: u16) -> bool {
    matches!(
        protocol,
        0x002d
            | 0x002b
            | 0x0023
            | 0x0025
            | 0x0027
            | 0x0029
            | 0x0031
            | 0x0033
            | 0x0035
            | 0x0201
            | 0x0231
            | 0x0233
            | 0x0281
            | 0x0283
            | 0x8021
            | 0x8023
            | 0x8025
            | 0x8027
            | 0x8029
            | 0x802b
            | 0x8033
            | 0x8035
            | 0x8057
            | 0x8281
            | 0xc021
            | 0xc023
            | 0xc025
            | 0xc223
    )
}

/// Protocols that are known under PPP itself, not under PPPoE: compression and callback control.
pub fn known_control(protocol: u16) -> bool {
    matches!(protocol, 0x80fd | 0xc029 | 0x00fd)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn protocol_fields_of_one_and_two_octets_are_read_with_and_without_framing() {
        for (data, protocol, compressed) in [
            (&[0xff, 3, 0, 0x21, 9][..], IPV4, false),
            (&[0, 0x57, 9], IPV6, false),
            (&[0x21, 9], IPV4, true),
            (&[0xff, 3, 0x21, 9], IPV4, true),
        ] {
            assert_eq!(
                parse(data),
                Ok(Ppp {
                    protocol,
                    compressed,
                    payload: &[9]
                })
            );
        }
        assert_eq!(parse(&[0xff, 3]), Err(Malformed("ppp.pkt_too_small")));
    }
}
