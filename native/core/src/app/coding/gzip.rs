//! Headers of gzip (RFC 1952) and zlib (RFC 1950).

use flate2::Crc;

/// What octets begin with.
pub enum Header {
    /// Too little to say.
    Short,
    /// A gzip header of this many octets.
    Gzip(usize),
    /// A zlib header.
    Zlib,
    /// Neither.
    Wrong,
}

/// Tell a gzip header (RFC 1952) from a zlib one (RFC 1950).
pub fn read_header(data: &[u8]) -> Header {
    let [first, second, ..] = *data else {
        return Header::Short;
    };
    if (first, second) != (0x1f, 0x8b) {
        let valid = first & 15 == 8 && first >> 4 <= 7 && u16::from_be_bytes([first, second]) % 31 == 0;
        return if valid { Header::Zlib } else { Header::Wrong };
    }
    let Some(&flags) = data.get(3) else {
        return Header::Short;
    };
    if data[2] != 8 || flags & 0xe0 != 0 {
        return Header::Wrong;
    }
    let mut at = 10;
    if flags & 4 != 0 {
        let Some(len) = data.get(at..at + 2) else {
            return Header::Short;
        };
        at += 2 + usize::from(u16::from_le_bytes([len[0], len[1]]));
    }
    for flag in [8, 16] {
        if flags & flag != 0 {
            let Some(end) = data
                .get(at..)
                .and_then(|rest| rest.iter().position(|&octet| octet == 0))
            else {
                return Header::Short;
            };
            at += end + 1;
        }
    }
    if flags & 2 != 0 {
        let Some(sum) = data.get(at..at + 2) else {
            return Header::Short;
        };
        let mut crc = Crc::new();
        crc.update(&data[..at]);
        if crc.sum() & 0xffff != u32::from(u16::from_le_bytes([sum[0], sum[1]])) {
            return Header::Wrong;
        }
        at += 2;
    }
    if data.len() < at {
        Header::Short
    } else {
        Header::Gzip(at)
    }
}

/// Length of something that looks like a gzip header that inflate refused; 0 when it does not.
pub fn broken_header(data: &[u8]) -> usize {
    let [0x1f, 0x8b, _, flags, ..] = *data else {
        return 0;
    };
    if flags == 0 {
        return 0;
    }
    let len = if flags & 0x18 != 0 {
        let name = data.get(10..).unwrap_or_default();
        11 + name.iter().position(|&octet| octet == 0).unwrap_or(name.len())
    } else if flags & 2 != 0 {
        12
    } else {
        10
    };
    if len > data.len() {
        0
    } else {
        len
    }
}
