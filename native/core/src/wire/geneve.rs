//! Geneve (RFC 8926).

use super::{be16, octet, rest};

/// EtherType and payload; `None` when it is not Geneve.
pub fn parse(data: &[u8]) -> Option<(u16, &[u8])> {
    if data.len() < 8 {
        return None;
    }
    let (first, flags) = (octet(data, 0), octet(data, 1));
    let options = usize::from(first & 0x3f) * 4;
    if data.len() < 8 + options || first >> 6 != 0 || flags & 0x3f != 0 || octet(data, 7) != 0 {
        return None;
    }
    let mut at = 0;
    while at < options {
        at += 4 + usize::from(octet(data, 8 + at + 3) & 0x1f) * 4;
    }
    (at == options).then(|| (be16(data, 2), rest(data, 8 + options)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_must_fill_their_length_exactly() {
        let good = [2, 0, 0x08, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0x45];
        assert_eq!(parse(&good), Some((0x0800, &[0x45u8][..])));
        let mut bad = good;
        bad[11] = 2;
        assert_eq!(parse(&bad), None);
    }
}
