//! The Huffman code of RFC 7541 appendix B: canonical, so that the lengths of the codes say it all.

/// Length in bits of each octet's code, and of the end-of-string code, which no text holds.
const LENGTHS: [u8; 257] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, //
    28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28, //
    6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, //
    5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10, //
    13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, //
    7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6, //
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, //
    6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28, //
    20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, //
    24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, //
    22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, //
    21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23, //
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, //
    19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27, //
    20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, //
    26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26, //
    30,
];

const LONGEST: usize = 30;

/// What decodes a canonical code: for each length the first code above those of that length (at the top of 32 bits), and
/// where the octets of that length begin.
struct Code {
    above: [u32; LONGEST + 1],
    first: [u32; LONGEST + 1],
    start: [u16; LONGEST + 1],
    octets: [u8; 256],
}

static CODE: Code = canonical();

const fn canonical() -> Code {
    let mut code = Code {
        above: [0; LONGEST + 1],
        first: [0; LONGEST + 1],
        start: [0; LONGEST + 1],
        octets: [0; 256],
    };
    let (mut length, mut next, mut count) = (1, 0u32, 0u16);
    while length <= LONGEST {
        next <<= 1;
        code.first[length] = next;
        code.start[length] = count;
        let mut octet = 0;
        while octet < 256 {
            if LENGTHS[octet] as usize == length {
                code.octets[count as usize] = octet as u8;
                count += 1;
                next += 1;
            }
            octet += 1;
        }
        code.above[length] = next << (32 - length);
        length += 1;
    }
    code
}

/// Decode `text` onto `out`. What is left at the end, or cannot be a code, is padding whatever its bits are.
pub fn decode(text: &[u8], out: &mut Vec<u8>) {
    let mut bits = 0u64;
    let mut held = 0usize;
    let mut octets = text.iter();
    loop {
        while held <= 56 {
            let Some(&octet) = octets.next() else { break };
            bits |= u64::from(octet) << (56 - held);
            held += 8;
        }
        let window = (bits >> 32) as u32;
        let Some(length) = (5..=LONGEST.min(held)).find(|&length| window < CODE.above[length]) else {
            return;
        };
        let at = (window >> (32 - length)) - CODE.first[length] + u32::from(CODE.start[length]);
        let Some(&octet) = CODE.octets.get(at as usize) else {
            return;
        };
        out.push(octet);
        bits <<= length;
        held -= length;
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// Encode as RFC 7541 section 5.2 says, padded by ones.
    pub fn encode(text: &[u8]) -> Vec<u8> {
        let mut bits = String::new();
        for &octet in text {
            let length = usize::from(LENGTHS[usize::from(octet)]);
            let start = usize::from(CODE.start[length]);
            let rank = CODE.octets[start..]
                .iter()
                .position(|&known| known == octet)
                .unwrap();
            bits.push_str(&format!("{:0length$b}", CODE.first[length] as usize + rank));
        }
        while bits.len() % 8 != 0 {
            bits.push('1');
        }
        bits.as_bytes()
            .chunks(8)
            .map(|octet| u8::from_str_radix(std::str::from_utf8(octet).unwrap(), 2).unwrap())
            .collect()
    }

    #[test]
    fn the_code_is_that_of_the_appendix() {
        let first = |octet: u8| encode(&[octet]);
        assert_eq!(first(b'0'), [0b0000_0111]);
        assert_eq!(first(b'z'), [0b1111_0111]);
        assert_eq!(first(0), [0xff, 0b1100_0111]);
        assert_eq!(first(22), [0xff, 0xff, 0xff, 0xfb]);
    }

    proptest::proptest! {
        #[test]
        fn what_is_encoded_decodes(text in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..100)) {
            let mut out = Vec::new();
            decode(&encode(&text), &mut out);
            proptest::prop_assert_eq!(out, text);
        }

        #[test]
        fn any_octets_decode_to_something(text in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..100)) {
            let mut out = Vec::new();
            decode(&text, &mut out);
            proptest::prop_assert!(out.len() * 5 <= text.len() * 8);
        }
    }
}
