//! `asn1`: oddities of BER-encoded objects (ITU-T X.690) that exploits of old decoders need.

use super::chain::Asn1;

/// Objects looked at, one after the other, and how deep they are nested (`asn1-max-frames`).
const MAX_FRAMES: usize = 30;

const BIT_STRING: u32 = 3;
const REAL: u32 = 9;

/// Double values longer than this overflow the buffer of the decoder concerned.
const LONGEST_DOUBLE: usize = 256;

/// Whether an object from the place the condition names on is odd in a way it asks for.
pub fn matches(condition: &Asn1, data: &[u8], position: usize) -> bool {
    let start = match (condition.absolute_offset, condition.relative_offset) {
        (Some(offset), _) => Some(usize::from(offset)),
        (None, Some(offset)) => position.checked_add_signed(offset as isize),
        (None, None) => Some(0),
    };
    let Some(mut rest) = start.and_then(|start| data.get(start..)) else {
        return false;
    };
    // Objects are only looked at when all of them were read or reading failed at one: the ones before it count.
    for _ in 0..MAX_FRAMES {
        if rest.is_empty() {
            return false;
        }
        let Some((object, after)) = object(rest) else {
            return false;
        };
        if is_odd(condition, &object, MAX_FRAMES) {
            return true;
        }
        rest = after;
    }
    false
}

/// An object: its header and content.
struct Object<'a> {
    universal: bool,
    constructed: bool,
    tag: u32,
    content: &'a [u8],
}

fn is_odd(condition: &Asn1, object: &Object<'_>, depth: usize) -> bool {
    if depth == 0 {
        return true;
    }
    let length = object.content.len();
    if condition
        .oversize_length
        .is_some_and(|most| length > most as usize)
    {
        return true;
    }
    let primitive = object.universal && !object.constructed;
    if let Some(&first) = object.content.first() {
        // More bits unused than there are.
        let overflow = primitive && object.tag == BIT_STRING && usize::from(first) > length.saturating_mul(8);
        let double = primitive && object.tag == REAL && first & 0xc0 == 0 && length > LONGEST_DOUBLE;
        if (condition.bitstring_overflow && overflow) || (condition.double_overflow && double) {
            return true;
        }
    }
    let mut rest = if object.constructed { object.content } else { &[] };
    while let Some((inner, after)) = self::object(rest) {
        if is_odd(condition, &inner, depth - 1) {
            return true;
        }
        rest = after;
    }
    false
}

/// The object at the start and what follows it; `None` when it is not complete or of indefinite length.
fn object(octets: &[u8]) -> Option<(Object<'_>, &[u8])> {
    let (&identifier, mut rest) = octets.split_first()?;
    let mut tag = u32::from(identifier & 0x1f);
    if tag == 0x1f {
        tag = 0;
        loop {
            let (&octet, after) = rest.split_first()?;
            rest = after;
            tag = tag.checked_mul(128)? + u32::from(octet & 0x7f);
            if octet & 0x80 == 0 {
                break;
            }
        }
    }
    let (&first, mut rest) = rest.split_first()?;
    let mut length = usize::from(first);
    if first & 0x80 != 0 {
        let count = usize::from(first & 0x7f);
        if count == 0 || count > 8 {
            return None;
        }
        length = 0;
        for &octet in rest.get(..count)? {
            length = length.checked_mul(256)?.checked_add(octet.into())?;
        }
        rest = rest.get(count..)?;
    }
    let object = Object {
        universal: identifier & 0xc0 == 0,
        constructed: identifier & 0x20 != 0,
        tag,
        content: rest.get(..length)?,
    };
    Some((object, rest.get(length..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_lengths_are_found_in_nested_objects() {
        let oversize = |most| Asn1 {
            oversize_length: Some(most),
            ..Asn1::default()
        };
        let nested = b"\x30\x05\x04\x03abc";
        assert!(matches(&oversize(2), nested, 0));
        assert!(matches(&oversize(4), nested, 0));
        assert!(!matches(&oversize(5), nested, 0));
        let bits = Asn1 {
            bitstring_overflow: true,
            ..Asn1::default()
        };
        assert!(matches(&bits, b"\x03\x01\xff", 0));
        assert!(!matches(&bits, b"\x03\x01\x07", 0));
        let relative = Asn1 {
            relative_offset: Some(-1),
            ..bits
        };
        assert!(matches(&relative, b"xx\x03\x01\xff", 3));
        assert!(!matches(&relative, b"xx\x03\x01\xff", 0));
    }

    proptest::proptest! {
        #[test]
        fn no_octets_panic(octets: Vec<u8>, position in 0usize..64, offset in -64i32..64) {
            let condition = Asn1 { relative_offset: Some(offset), oversize_length: Some(9), bitstring_overflow: true,
                double_overflow: true, absolute_offset: None };
            matches(&condition, &octets, position);
        }
    }
}
