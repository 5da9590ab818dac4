//! ERSPAN type II (draft-foschiano-erspan-03); type I has no header of its own.

use super::{be16, rest};

/// VLAN identifier (0 is none) and the Ethernet frame within; or the event.
pub fn parse(data: &[u8]) -> Result<(u16, &[u8]), &'static str> {
    if data.len() < 8 {
        return Err("erspan.header_too_small");
    }
    let first = be16(data, 0);
    if first >> 12 != 1 {
        return Err("erspan.unsupported_version");
    }
    Ok((first & 0x0fff, rest(data, 8)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_version_one_is_read() {
        assert_eq!(parse(&[0x10, 7, 0, 0, 0, 0, 0, 0, 9]), Ok((7, &[9u8][..])));
        assert_eq!(
            parse(&[0x20, 7, 0, 0, 0, 0, 0, 0, 9]),
            Err("erspan.unsupported_version")
        );
    }
}
