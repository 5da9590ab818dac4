//! Numbers in octets: what byte_test, byte_jump, byte_extract, byte_math and base64_decode read.

use super::chain::{ByteCompare, ByteExtract, ByteJump, ByteMath, ByteTest, Encoding, MathOperator, Operand};
use super::inspect::Subject;

/// Most digits of a number in text: 64 bits in octal with a leading zero.
const MAX_DIGITS: usize = 23;

/// An operand's value.
pub fn value(operand: Operand, variables: &[u64]) -> u64 {
    match operand {
        Operand::Number(number) => number as u64,
        Operand::Variable(variable) => variables.get(usize::from(variable)).copied().unwrap_or(0),
    }
}

/// A comparison of two numbers.
pub fn compare(compare: ByteCompare, left: u64, right: u64) -> bool {
    match compare {
        ByteCompare::Less => left < right,
        ByteCompare::LessOrEqual => left <= right,
        ByteCompare::Equal => left == right,
        ByteCompare::Greater => left > right,
        ByteCompare::GreaterOrEqual => left >= right,
        ByteCompare::And => left & right != 0,
        ByteCompare::Or => left ^ right != 0,
    }
}

/// `byte_test`: whether it holds.
pub fn test(test: &ByteTest, subject: &Subject<'_>, position: usize, variables: &[u64]) -> bool {
    tested(test, subject, position, variables).is_some_and(|(number, _)| {
        compare(test.compare, number, value(test.value, variables)) != test.negated
    })
}

/// `byte_test`: the number that is compared, and where its octets begin.
pub fn tested(
    test: &ByteTest,
    subject: &Subject<'_>,
    position: usize,
    variables: &[u64],
) -> Option<(u64, usize)> {
    let offset = i64::from(value(test.offset, variables) as i32);
    let count = count(test.count, test.encoding, variables)?;
    let (number, start, _) = number_at(subject, position, test.relative, offset, count, test.encoding)?;
    Some((masked(number, test.bitmask), start))
}

/// `byte_jump`: where it leads, within the buffer.
pub fn jump(jump: &ByteJump, subject: &Subject<'_>, position: usize, variables: &[u64]) -> Option<usize> {
    let length = i64::try_from(subject.data.len()).ok()?;
    if length == 0 {
        return None;
    }
    let offset = i64::from(value(jump.offset, variables) as i32);
    let count = count(jump.count, jump.encoding, variables)?;
    let (number, start, used) = number_at(subject, position, jump.relative, offset, count, jump.encoding)?;
    let mut by = masked(number, jump.bitmask).wrapping_mul(u64::from(jump.multiplier));
    if jump.align {
        by = round_up(by, 4);
    }
    let by = by.wrapping_add(i64::from(value(jump.post_offset, variables) as i32) as u64) as i64;
    let to = if jump.from_beginning {
        by
    } else if jump.from_end {
        length.wrapping_add(by)
    } else {
        (start as i64).wrapping_add(by).wrapping_add(used as i64)
    };
    usize::try_from(to.max(0))
        .ok()
        .filter(|&to| to <= subject.data.len())
}

/// `byte_extract`: the number and where it ends.
pub fn extract(extract: &ByteExtract, subject: &Subject<'_>, position: usize) -> Option<(u64, usize)> {
    let (offset, count) = (extract.offset.into(), usize::from(extract.count));
    let (number, start, used) = number_at(
        subject,
        position,
        extract.relative,
        offset,
        count,
        extract.encoding,
    )?;
    let mut number = number.wrapping_mul(u64::from(extract.multiplier));
    if extract.align > 0 {
        number = round_up(number, u64::from(extract.align));
    }
    Some((number, start + used))
}

/// `byte_math`: the result and where the number it came from ends.
pub fn math(
    math: &ByteMath,
    subject: &Subject<'_>,
    position: usize,
    variables: &[u64],
) -> Option<(u64, usize)> {
    let count = count(math.count, math.encoding, variables)?;
    let (left, start, used) = number_at(
        subject,
        position,
        math.relative,
        math.offset.into(),
        count,
        math.encoding,
    )?;
    let right = value(math.value, variables);
    let shift = u32::try_from(right).unwrap_or(u32::MAX);
    let result = match math.operator {
        MathOperator::Add => left.wrapping_add(right),
        MathOperator::Subtract => left.wrapping_sub(right),
        MathOperator::Multiply => left.wrapping_mul(right),
        MathOperator::Divide => left.checked_div(right)?,
        MathOperator::ShiftLeft => left.checked_shl(shift).unwrap_or(0),
        MathOperator::ShiftRight => left.checked_shr(shift).unwrap_or(0),
    };
    Some((masked(result, math.bitmask), start + used))
}

/// How many octets are read; `None` when a variable holds too much.
fn count(operand: Operand, encoding: Encoding, variables: &[u64]) -> Option<usize> {
    let most = match encoding {
        Encoding::Text(_) => MAX_DIGITS,
        _ => 8,
    };
    let count = usize::try_from(value(operand, variables)).ok()?;
    (count <= most || matches!(operand, Operand::Number(_))).then_some(count)
}

/// The octets from `offset` on (from `position` when `relative`) and where they begin; `None` when they are not all
/// there. With `some`, there must be an octet left.
fn field(
    data: &[u8],
    position: usize,
    relative: bool,
    offset: i64,
    count: usize,
    some: bool,
) -> Option<(&[u8], usize)> {
    let base = if relative { position as i64 } else { 0 };
    let start = usize::try_from(base.checked_add(offset)?).ok()?;
    let octets = data.get(start..)?.get(..count)?;
    (!some || start < data.len()).then_some((octets, start))
}

/// A number at a place in the buffer: of `count` octets, or, as text, of all digits there are when `count` is 0. With
/// where its octets begin and how many it takes.
fn number_at(
    subject: &Subject<'_>,
    position: usize,
    relative: bool,
    offset: i64,
    count: usize,
    encoding: Encoding,
) -> Option<(u64, usize, usize)> {
    let is_text = matches!(encoding, Encoding::Text(_));
    let (octets, start) = field(
        subject.data,
        position,
        relative,
        offset,
        count,
        count > 0 || is_text,
    )?;
    let octets = if count == 0 && is_text {
        subject.data.get(start..)?
    } else {
        octets
    };
    let (number, used) = number(octets, encoding, subject.little_endian)?;
    Some((number, start, used))
}

/// The number and how many octets it takes.
fn number(octets: &[u8], encoding: Encoding, little_endian: bool) -> Option<(u64, usize)> {
    let little = match encoding {
        Encoding::Text(base) => return text(octets, base.into()),
        Encoding::Big => false,
        Encoding::Little => true,
        Encoding::Dce => little_endian,
    };
    let add = |number: u64, octet: &u8| number << 8 | u64::from(*octet);
    let number = if little {
        octets.iter().rev().fold(0, add)
    } else {
        octets.iter().fold(0, add)
    };
    Some((number, octets.len()))
}

/// A number written as C's `strtoull` reads it: blanks, a sign, a prefix where the base allows one, digits.
fn text(octets: &[u8], base: u32) -> Option<(u64, usize)> {
    let mut at = octets
        .iter()
        .take_while(|octet| octet.is_ascii_whitespace() || **octet == 0x0b)
        .count();
    let negative = octets.get(at) == Some(&b'-');
    if matches!(octets.get(at), Some(b'-' | b'+')) {
        at += 1;
    }
    let is_digit = |octet: Option<&u8>, base| octet.is_some_and(|octet| char::from(*octet).is_digit(base));
    let hex_prefix = octets.get(at) == Some(&b'0')
        && matches!(octets.get(at + 1), Some(b'x' | b'X'))
        && is_digit(octets.get(at + 2), 16);
    let base = match base {
        0 | 16 if hex_prefix => {
            at += 2;
            16
        }
        0 if octets.get(at) == Some(&b'0') => 8,
        0 => 10,
        base => base,
    };
    if !is_digit(octets.get(at), base) {
        return None;
    }
    let mut number = 0u64;
    while let Some(digit) = octets.get(at).and_then(|octet| char::from(*octet).to_digit(base)) {
        number = number.checked_mul(base.into())?.checked_add(digit.into())?;
        at += 1;
    }
    Some((if negative { number.wrapping_neg() } else { number }, at))
}

/// The bits of `mask`, moved down to the lowest one; all of them when it is 0.
fn masked(number: u64, mask: u32) -> u64 {
    if mask == 0 {
        return number;
    }
    (number & u64::from(mask)) >> mask.trailing_zeros()
}

fn round_up(number: u64, unit: u64) -> u64 {
    match number % unit {
        0 => number,
        rest => number.wrapping_add(unit - rest),
    }
}

/// Decode base64 as far as it goes (RFC 4648): the first octet outside of the alphabet ends it, padding may be missing.
pub fn decode_base64(octets: &[u8], out: &mut Vec<u8>) {
    let (mut block, mut filled, mut padding, mut valid) = (0u32, 0u32, 0usize, true);
    for &octet in octets {
        let bits = match octet {
            b'A'..=b'Z' => octet - b'A',
            b'a'..=b'z' => octet - b'a' + 26,
            b'0'..=b'9' => octet - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            b'=' => {
                padding += 1;
                0
            }
            _ => {
                valid = false;
                break;
            }
        };
        block = block << 6 | u32::from(bits);
        filled += 1;
        if filled == 4 {
            out.extend_from_slice(&block.to_be_bytes()[1..4 - padding.min(3)]);
            (block, filled, padding) = (0, 0, 0);
        }
    }
    let rest = match (filled, valid) {
        (3, _) => 2,
        (2, _) | (1, false) => 1,
        _ => 0,
    };
    if rest > 0 {
        block <<= 6 * (4 - filled);
        out.extend_from_slice(&block.to_be_bytes()[1..=rest]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine;

    #[test]
    fn text_numbers_are_read_as_strtoull_reads_them() {
        for (octets, base, expected) in [
            (&b" 12x"[..], 10, Some((12, 3))),
            (b"0x1fg", 16, Some((31, 4))),
            (b"0x1f", 0, Some((31, 4))),
            (b"017", 0, Some((15, 3))),
            (b"0x", 16, Some((0, 1))),
            (b"-1", 10, Some((u64::MAX, 2))),
            (b"x", 10, None),
            (b"99999999999999999999999", 10, None),
            (b"", 10, None),
        ] {
            assert_eq!(text(octets, base), expected, "{octets:?}");
        }
    }

    #[test]
    fn base64_ends_at_the_first_foreign_octet() {
        for (text, expected) in [
            (&b"Zm9v"[..], &b"foo"[..]),
            (b"Zm8=", b"fo"),
            (b"Zm8", b"fo"),
            (b"Zg", b"f"),
            (b"Zm9v!Zm9v", b"foo"),
            (b"!", b""),
            (b"", b""),
        ] {
            let mut out = Vec::new();
            decode_base64(text, &mut out);
            assert_eq!(out, expected, "{text:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn base64_decodes_what_was_encoded(octets: Vec<u8>) {
            let mut out = Vec::new();
            decode_base64(base64::engine::general_purpose::STANDARD.encode(&octets).as_bytes(), &mut out);
            proptest::prop_assert_eq!(out, octets);
        }
    }
}
