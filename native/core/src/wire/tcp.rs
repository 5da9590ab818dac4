//! TCP (RFC 9293) and its options.

use super::{be16, be32, octet, rest, Malformed};
use crate::packet::Tcp;

/// Header length without options, octets.
pub const LEN: usize = 20;

/// A segment.
#[derive(Clone, Copy, Debug)]
pub struct Segment<'a> {
    /// Source port.
    pub sport: u16,
    /// Destination port.
    pub dport: u16,
    /// Header fields.
    pub tcp: Tcp<'a>,
    /// The header with its options.
    pub header: &'a [u8],
    /// What follows.
    pub payload: &'a [u8],
}

/// Read it; odd options are told to `odd`, malformed ones to `malformed`.
pub fn parse<'a>(
    data: &'a [u8],
    odd: impl FnMut(&'static str),
    malformed: impl FnMut(&'static str),
) -> Result<Segment<'a>, Malformed> {
    if data.len() < LEN {
        return Err(Malformed("tcp.pkt_too_small"));
    }
    let offset_reserved = octet(data, 12);
    let header_len = usize::from(offset_reserved >> 4) * 4;
    if data.len() < header_len {
        return Err(Malformed("tcp.hlen_too_small"));
    }
    let Some(options) = data.get(LEN..header_len) else {
        return Err(Malformed("tcp.invalid_optlen"));
    };
    let mut tcp = Tcp {
        seq: be32(data, 4),
        ack: be32(data, 8),
        flags: octet(data, 13),
        offset_reserved,
        window: be16(data, 14),
        urgent: be16(data, 18),
        options,
        ..Tcp::default()
    };
    if !options.is_empty() {
        read_options(&mut tcp, options, odd, malformed);
    }
    Ok(Segment {
        sport: be16(data, 0),
        dport: be16(data, 2),
        tcp,
        header: data.get(..header_len).unwrap_or(&[]),
        payload: rest(data, header_len),
    })
}

fn read_options<'a>(
    tcp: &mut Tcp<'a>,
    options: &'a [u8],
    mut odd: impl FnMut(&'static str),
    mut malformed: impl FnMut(&'static str),
) {
    let (wrong_len, duplicate) = ("tcp.opt_invalid_len", "tcp.opt_duplicate");
    let mut sack_seen = false;
    let mut left = options;
    while let Some(&kind) = left.first() {
        if kind == 0 {
            return;
        }
        if kind == 1 {
            left = rest(left, 1);
            continue;
        }
        if left.len() < 2 {
            return;
        }
        let length = usize::from(octet(left, 1));
        if length > left.len() || length < 2 {
            malformed(wrong_len);
            return;
        }
        let value = left.get(2..length).unwrap_or(&[]);
        let (fits, seen) = match kind {
            2 => (length == 4, tcp.mss.is_some()),
            3 => (length == 3, tcp.window_scale.is_some()),
            4 => (length == 2, tcp.sack_permitted),
            5 => (
                length == 2 || (10..=34).contains(&length) && (length - 2) % 8 == 0,
                sack_seen,
            ),
            8 => (length == 10, tcp.timestamps.is_some()),
            // Fast open, and its experimental form (RFC 6994).
            0x22 => (
                length == 2 || (4..=18).contains(&length) && length % 2 == 0,
                tcp.fast_open,
            ),
            0xfd | 0xfe => (
                length == 4 || length == 12,
                tcp.fast_open && be16(value, 0) == 0xf989,
            ),
            _ => (true, false),
        };
        if !fits {
            odd(wrong_len);
        } else if seen {
            odd(duplicate);
        } else {
            match kind {
                2 => tcp.mss = Some(be16(value, 0)),
                // RFC 7323 section 2.3: more than 14 cannot be meant.
                3 => tcp.window_scale = Some(octet(value, 0)).map(|scale| if scale > 14 { 0 } else { scale }),
                4 => tcp.sack_permitted = true,
                5 => {
                    sack_seen = true;
                    tcp.sack = value;
                }
                8 => tcp.timestamps = Some((be32(value, 0), be32(value, 4))),
                0x22 => tcp.fast_open = true,
                0xfd | 0xfe if be16(value, 0) == 0xf989 => tcp.fast_open = true,
                0x13 if length != 18 => malformed(wrong_len),
                0x1d if length < 4 => malformed(wrong_len),
                0x13 | 0x1d => tcp.authenticated = true,
                _ => {}
            }
        }
        left = rest(left, length);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_options(options: &[u8]) -> Vec<u8> {
        let mut data = vec![0u8; LEN];
        data[12] = ((LEN + options.len()) as u8 / 4) << 4;
        data.extend_from_slice(options);
        data
    }

    #[test]
    fn options_are_read() {
        let data = with_options(&[2, 4, 5, 0xb4, 1, 3, 3, 7, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2]);
        let segment = parse(&data, |_| panic!(), |_| panic!()).unwrap();
        assert_eq!(segment.tcp.mss, Some(1460));
        assert_eq!(segment.tcp.window_scale, Some(7));
        assert_eq!(segment.tcp.timestamps, Some((1, 2)));
        assert!(segment.tcp.sack_permitted);
    }

    #[test]
    fn a_repeated_option_and_a_wrong_length_are_odd() {
        let data = with_options(&[4, 2, 4, 2, 2, 3, 0, 0]);
        let mut events = Vec::new();
        parse(&data, |event| events.push(event), |_| panic!()).unwrap();
        assert_eq!(events, ["tcp.opt_duplicate", "tcp.opt_invalid_len"]);
    }

    #[test]
    fn a_header_longer_than_the_packet_is_malformed() {
        let mut data = vec![0u8; LEN];
        data[12] = 0x60;
        assert_eq!(
            parse(&data, |_| {}, |_| {}).unwrap_err(),
            Malformed("tcp.hlen_too_small")
        );
        data[12] = 0x40;
        assert_eq!(
            parse(&data, |_| {}, |_| {}).unwrap_err(),
            Malformed("tcp.invalid_optlen")
        );
    }
}
