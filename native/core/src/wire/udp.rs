//! UDP (RFC 768).

use super::{be16, Malformed};

/// Header length, octets.
pub const LEN: usize = 8;

/// A datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Udp<'a> {
    /// Source port.
    pub sport: u16,
    /// Destination port.
    pub dport: u16,
    /// Payload, as long as the length field says.
    pub payload: &'a [u8],
}

/// Read it.
pub fn parse(data: &[u8]) -> Result<Udp<'_>, Malformed> {
    if data.len() < LEN {
        return Err(Malformed("udp.hlen_too_small"));
    }
    let length = usize::from(be16(data, 4));
    if data.len() < length {
        return Err(Malformed("udp.pkt_too_small"));
    }
    let Some(payload) = data.get(LEN..length) else {
        return Err(Malformed("udp.len_invalid"));
    };
    Ok(Udp {
        sport: be16(data, 0),
        dport: be16(data, 2),
        payload,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_length_field_bounds_the_payload() {
        let data = [0, 53, 1, 0, 0, 10, 0, 0, 7, 8, 9];
        assert_eq!(
            parse(&data),
            Ok(Udp {
                sport: 53,
                dport: 256,
                payload: &[7, 8]
            })
        );
        assert_eq!(parse(&data[..9]), Err(Malformed("udp.pkt_too_small")));
        assert_eq!(
            parse(&[0, 53, 1, 0, 0, 7, 0, 0]),
            Err(Malformed("udp.len_invalid"))
        );
    }
}
