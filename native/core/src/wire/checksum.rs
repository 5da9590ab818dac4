//! The Internet checksum (RFC 1071) over headers and pseudo-headers.

use std::net::IpAddr;

/// One's complement sum of `data` added to `sum`, not folded.
fn add(mut sum: u64, data: &[u8]) -> u64 {
    let mut words = data.chunks_exact(8);
    for word in &mut words {
        if let &[a, b, c, d, e, f, g, h] = word {
            let word = u64::from_be_bytes([a, b, c, d, e, f, g, h]);
            sum += (word >> 32) + (word & 0xffff_ffff);
        }
    }
    let mut pairs = words.remainder().chunks_exact(2);
    for pair in &mut pairs {
        if let &[a, b] = pair {
            sum += u64::from(u16::from_be_bytes([a, b]));
        }
    }
    if let &[last] = pairs.remainder() {
        sum += u64::from(last) << 8;
    }
    sum
}

fn fold(mut sum: u64) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

/// Checksum of `data`, its own checksum field included: 0 when right.
pub fn header(data: &[u8]) -> u16 {
    !fold(add(0, data))
}

/// Checksum of a transport segment with its pseudo-header (RFC 9293 section 3.1, RFC 8200 section 8.1): 0 when right.
pub fn transport(src: &IpAddr, dst: &IpAddr, proto: u8, segment: &[u8]) -> u16 {
    let mut sum = u64::from(proto) + segment.len() as u64;
    for address in [src, dst] {
        sum = match address {
            IpAddr::V4(v4) => add(sum, &v4.octets()),
            IpAddr::V6(v6) => add(sum, &v6.octets()),
        };
    }
    !fold(add(sum, segment))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_rfc_1071_sums_up() {
        let data = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7];
        assert_eq!(header(&data), !0xddf2);
    }

    #[test]
    fn a_segment_with_its_own_checksum_sums_to_zero() {
        let (src, dst) = ("192.0.2.1".parse().unwrap(), "198.51.100.7".parse().unwrap());
        for length in 8..40usize {
            let mut segment: Vec<u8> = (0..length as u8).map(|n| n.wrapping_mul(37)).collect();
            segment[6..8].fill(0);
            let sum = transport(&src, &dst, 17, &segment);
            segment[6..8].copy_from_slice(&sum.to_be_bytes());
            assert_eq!(transport(&src, &dst, 17, &segment), 0);
        }
    }
}
