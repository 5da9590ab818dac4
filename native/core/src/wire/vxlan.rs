//! VXLAN (RFC 7348).

use super::{octet, rest};

/// The Ethernet frame within; `None` when it is not VXLAN.
pub fn parse(data: &[u8]) -> Option<&[u8]> {
    if data.len() < 8 + 14 || octet(data, 0) & 0x08 == 0 || octet(data, 7) != 0 {
        return None;
    }
    Some(rest(data, 8))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_the_identifier_flag_it_is_something_else() {
        let mut data = [0u8; 22];
        assert_eq!(parse(&data), None);
        data[0] = 8;
        assert_eq!(parse(&data), Some(&[0u8; 14][..]));
    }
}
