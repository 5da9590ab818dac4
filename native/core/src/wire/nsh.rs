//! Network service header (RFC 8300).

use super::{be16, octet, rest, Malformed};

/// What comes of a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nsh<'a> {
    /// IPv4 follows.
    Ipv4(&'a [u8]),
    /// IPv6 follows.
    Ipv6(&'a [u8]),
    /// Ethernet follows.
    Ethernet(&'a [u8]),
    /// MPLS follows.
    Mpls(&'a [u8]),
    /// Not looked into: an event, nothing invalid.
    Odd(&'static str),
}

/// Read it.
pub fn parse(data: &[u8]) -> Result<Nsh<'_>, Malformed> {
    if data.len() < 8 {
        return Err(Malformed("nsh.header_too_small"));
    }
    let first = be16(data, 0);
    if first >> 14 != 0 {
        return Ok(Nsh::Odd("nsh.unsupported_version"));
    }
    let length = usize::from(first & 0x3f) * 4;
    if length >= data.len() {
        return Err(Malformed("nsh.bad_header_length"));
    }
    match octet(data, 2) {
        0 | 0x0f => return Ok(Nsh::Odd("nsh.reserved_type")),
        1 if length != 24 => return Err(Malformed("nsh.bad_header_length")),
        1 | 2 => {}
        _ => return Ok(Nsh::Odd("nsh.unsupported_type")),
    }
    let payload = rest(data, length);
    Ok(match octet(data, 3) {
        1 => Nsh::Ipv4(payload),
        2 => Nsh::Ipv6(payload),
        3 => Nsh::Ethernet(payload),
        5 => Nsh::Mpls(payload),
        _ => Nsh::Odd("nsh.unknown_payload"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fixed_length_header_must_have_its_length() {
        let mut data = vec![0, 6, 1, 1];
        data.resize(25, 0);
        assert_eq!(parse(&data), Ok(Nsh::Ipv4(&[0])));
        data[1] = 5;
        assert_eq!(parse(&data), Err(Malformed("nsh.bad_header_length")));
    }
}
