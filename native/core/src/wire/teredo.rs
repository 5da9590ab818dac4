//! Teredo (RFC 4380): IPv6 in UDP, perhaps after an origin indication.

use super::{be16, octet, rest};

/// The IPv6 packet within; `None` when it cannot be Teredo.
///
/// Nothing marks Teredo, so what is found must be exactly as long as its IPv6 header says, with a hop limit, and with
/// room for the hop-by-hop header it may announce.
pub fn parse(data: &[u8]) -> Option<&[u8]> {
    if data.len() < 40 {
        return None;
    }
    let start = match (octet(data, 0), octet(data, 1)) {
        (0, 0) if data.len() >= 48 => 8,
        (0, _) => return None,
        _ => 0,
    };
    let inner = rest(data, start);
    let length = usize::from(be16(inner, 4));
    let fits = octet(inner, 0) >> 4 == 6
        && octet(inner, 7) != 0
        && !(octet(inner, 6) == 0 && length < 8)
        && inner.len() == 40 + length;
    fits.then_some(inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_length_must_fit_exactly() {
        let mut data = [0u8; 48];
        (data[8], data[14], data[15]) = (0x60, 59, 1);
        assert_eq!(parse(&data), Some(&data[8..]));
        data[13] = 1;
        assert_eq!(parse(&data), None);
    }
}
