//! VLAN tag (IEEE 802.1Q).

use super::{be16, rest, Malformed};

/// How many tags are looked through.
pub const MAX_TAGS: usize = 3;

/// Identifier, EtherType within, what follows.
pub fn parse(data: &[u8]) -> Result<(u16, u16, &[u8]), Malformed> {
    if data.len() < 4 {
        return Err(Malformed("vlan.header_too_small"));
    }
    Ok((be16(data, 0) & 0x0fff, be16(data, 2), rest(data, 4)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn priority_is_not_part_of_the_identifier() {
        assert_eq!(
            parse(&[0xe1, 0x23, 0x08, 0x00, 9]),
            Ok((0x123, 0x0800, &[9u8][..]))
        );
    }
}
