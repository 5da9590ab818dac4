//! SCTP common header (RFC 9260 section 3.1).

use super::{be16, Malformed};

/// Header length, octets.
pub const LEN: usize = 12;

/// Source and destination port.
pub fn parse(data: &[u8]) -> Result<(u16, u16), Malformed> {
    if data.len() < LEN {
        return Err(Malformed("sctp.pkt_too_small"));
    }
    Ok((be16(data, 0), be16(data, 2)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_header_is_malformed() {
        assert_eq!(parse(&[0; 11]), Err(Malformed("sctp.pkt_too_small")));
    }
}
