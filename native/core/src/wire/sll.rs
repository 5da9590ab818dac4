//! Linux cooked capture, version 1 (`LINKTYPE_LINUX_SLL`) and 2 (`LINKTYPE_LINUX_SLL2`), and BSD loopback.

use super::{be16, be32, rest, Malformed};

/// Version 1: EtherType and what follows.
pub fn parse_v1(data: &[u8]) -> Result<(u16, &[u8]), Malformed> {
    if data.len() < 16 {
        return Err(Malformed("sll.pkt_too_small"));
    }
    Ok((be16(data, 14), rest(data, 16)))
}

/// Version 2: EtherType and what follows.
pub fn parse_v2(data: &[u8]) -> Result<(u16, &[u8]), Malformed> {
    if data.len() < 20 {
        return Err(Malformed("sll.pkt_too_small"));
    }
    Ok((be16(data, 0), rest(data, 20)))
}

/// `LINKTYPE_NULL` and `LINKTYPE_LOOP`: the IP version (4 or 6, 0 for another protocol) and what follows.
///
/// The address family is in the capturing host's byte order, so both are tried; a family is a small number.
pub fn parse_loopback(data: &[u8]) -> Result<(u8, &[u8]), Malformed> {
    if data.len() < 4 {
        return Err(Malformed("ltnull.pkt_too_small"));
    }
    let family = be32(data, 0);
    let family = if family > 0xffff {
        family.swap_bytes()
    } else {
        family
    };
    let version = match family {
        2 => 4,
        10 | 23 | 24 | 26 | 28 | 30 => 6,
        _ => 0,
    };
    Ok((version, rest(data, 4)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_families_are_read_in_both_byte_orders() {
        assert_eq!(parse_loopback(&[2, 0, 0, 0, 9]), Ok((4, &[9u8][..])));
        assert_eq!(parse_loopback(&[0, 0, 0, 30, 9]), Ok((6, &[9u8][..])));
        assert_eq!(parse_loopback(&[0, 0, 0, 99]), Ok((0, &[][..])));
    }
}
