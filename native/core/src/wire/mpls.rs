//! MPLS label stack (RFC 3032).

use super::{be32, octet, rest, Malformed};

/// What is below the stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Payload<'a> {
    /// IPv4.
    Ipv4(&'a [u8]),
    /// IPv6.
    Ipv6(&'a [u8]),
    /// Ethernet pseudowire (RFC 4448), control word skipped.
    Ethernet(&'a [u8]),
    /// A label that must not be at the bottom: an event, but nothing is invalid.
    BadLabel(&'static str),
}

/// Read the stack to its bottom and guess what is below, as RFC 4928 lets one.
pub fn parse(mut data: &[u8]) -> Result<Payload<'_>, Malformed> {
    let label = loop {
        if data.len() < 4 {
            return Err(Malformed("mpls.header_too_small"));
        }
        let shim = be32(data, 0);
        data = rest(data, 4);
        if shim & 0x100 != 0 {
            break shim >> 12;
        }
    };
    match label {
        0 => return Ok(Payload::Ipv4(data)),
        1 => return Ok(Payload::BadLabel("mpls.bad_label_router_alert")),
        2 => return Ok(Payload::Ipv6(data)),
        3 => return Ok(Payload::BadLabel("mpls.bad_label_implicit_null")),
        4..=14 => return Ok(Payload::BadLabel("mpls.bad_label_reserved")),
        _ => {}
    }
    if data.len() < 4 {
        return Err(Malformed("mpls.pkt_too_small"));
    }
    match octet(data, 0) >> 4 {
        4 => Ok(Payload::Ipv4(data)),
        6 => Ok(Payload::Ipv6(data)),
        0 => Ok(Payload::Ethernet(rest(data, 4))),
        _ => Err(Malformed("mpls.unknown_payload_type")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bottom_of_the_stack_is_found() {
        let data = [0, 1, 0, 64, 0, 2, 1, 64, 0x45, 1, 2, 3];
        assert_eq!(parse(&data), Ok(Payload::Ipv4(&[0x45, 1, 2, 3])));
        assert_eq!(parse(&data[..4]), Err(Malformed("mpls.header_too_small")));
    }
}
