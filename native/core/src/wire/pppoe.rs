//! PPPoE (RFC 2516).

use super::{be16, octet, rest, Malformed};

/// Check a discovery packet.
pub fn check_discovery(data: &[u8]) -> Result<(), Malformed> {
    if data.len() < 6 {
        return Err(Malformed("pppoe.pkt_too_small"));
    }
    if !matches!(octet(data, 1), 0x09 | 0x07 | 0x19 | 0x65 | 0xa7) {
        return Err(Malformed("pppoe.wrong_code"));
    }
    if usize::from(be16(data, 4)) > data.len() - 6 {
        return Err(Malformed("pppoe.malformed_tags"));
    }
    Ok(())
}

/// The PPP protocol of a session packet and what follows; `None` when it is empty.
pub fn parse_session(data: &[u8]) -> Result<Option<(u16, &[u8])>, Malformed> {
    if data.len() < 7 {
        return Err(Malformed("pppoe.pkt_too_small"));
    }
    if be16(data, 4) == 0 {
        return Ok(None);
    }
    let first = octet(data, 6);
    if first & 1 == 1 {
        return Ok(Some((u16::from(first), rest(data, 7))));
    }
    if data.len() < 8 {
        return Err(Malformed("pppoe.pkt_too_small"));
    }
    Ok(Some((be16(data, 6), rest(data, 8))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_carry_ppp() {
        assert_eq!(
            parse_session(&[0x11, 0, 0, 1, 0, 3, 0, 0x21, 9]),
            Ok(Some((0x21, &[9u8][..])))
        );
        assert_eq!(
            parse_session(&[0x11, 0, 0, 1, 0, 2, 0x21, 9]),
            Ok(Some((0x21, &[9u8][..])))
        );
        assert_eq!(parse_session(&[0x11, 0, 0, 1, 0, 0, 0]), Ok(None));
    }

    #[test]
    fn discovery_with_an_unknown_code_is_malformed() {
        assert_eq!(check_discovery(&[0x11, 9, 0, 0, 0, 0]), Ok(()));
        assert_eq!(
            check_discovery(&[0x11, 1, 0, 0, 0, 0]),
            Err(Malformed("pppoe.wrong_code"))
        );
        assert_eq!(
            check_discovery(&[0x11, 9, 0, 0, 0, 1]),
            Err(Malformed("pppoe.malformed_tags"))
        );
    }
}
