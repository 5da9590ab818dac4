//! Numbers compared, as Suricata's integer keywords write them: `5`, `<5`, `>=5`, `1-5`, `!5`, `&0x10`.

use crate::rule::builder::integer;
use crate::rule::signature::NumberTest;

/// The test, with every number between `low` and `high`.
///
/// # Errors
/// Why it is none.
pub fn number_test(text: &str, low: i64, high: i64) -> Result<NumberTest, String> {
    number_test_by(text, |text| {
        integer(text)
            .filter(|number| (low..=high).contains(number))
            .ok_or_else(|| format!("{text:?} is not a number from {low} to {high}"))
    })
}

/// The test, with numbers read by `read`.
///
/// # Errors
/// Why it is none.
pub fn number_test_by(text: &str, read: impl Fn(&str) -> Result<i64, String>) -> Result<NumberTest, String> {
    let text = text.trim();
    let after = |prefix: &str| text.strip_prefix(prefix).map(str::trim);
    if let Some(rest) = after("<=") {
        return read(rest).map(NumberTest::LessOrEqual);
    }
    if let Some(rest) = after(">=") {
        return read(rest).map(NumberTest::GreaterOrEqual);
    }
    for between in ["<>", "-"] {
        // Not the sign of a negative number.
        if let Some((low, high)) = text.split_once(between).filter(|(low, _)| !low.trim().is_empty()) {
            let (low, negated) = match low.trim().strip_prefix('!') {
                Some(low) => (low, true),
                None => (low, false),
            };
            let (low, high) = (read(low.trim())?, read(high.trim())?);
            // Nothing is between neighbours, and the bounds do not count.
            if low >= high || low + 1 == high {
                return Err(format!("nothing is between {low} and {high}"));
            }
            return Ok(if negated {
                NumberTest::Outside(low, high)
            } else {
                NumberTest::Between(low, high)
            });
        }
    }
    if let Some(rest) = after("<") {
        return read(rest).map(NumberTest::Less);
    }
    if let Some(rest) = after(">") {
        return read(rest).map(NumberTest::Greater);
    }
    if let Some(rest) = after("!&").or_else(|| after("-&")) {
        return read(rest).map(NumberTest::NoBit);
    }
    if let Some(rest) = after("&") {
        return read(rest).map(NumberTest::AnyBit);
    }
    if let Some(rest) = after("!=").or_else(|| after("!")) {
        return read(rest).map(NumberTest::NotEqual);
    }
    read(after("=").unwrap_or(text)).map(NumberTest::Equal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comparisons_are_read_as_suricata_writes_them() {
        for (text, expected) in [
            ("5", NumberTest::Equal(5)),
            ("!5", NumberTest::NotEqual(5)),
            ("< 5", NumberTest::Less(5)),
            (">=0x10", NumberTest::GreaterOrEqual(16)),
            ("1-5", NumberTest::Between(1, 5)),
            ("1 <> 5", NumberTest::Between(1, 5)),
            ("!1-5", NumberTest::Outside(1, 5)),
            ("&0x40", NumberTest::AnyBit(64)),
        ] {
            assert_eq!(number_test(text, 0, 100), Ok(expected), "{text}");
        }
        for bad in ["", "x", "101", "5-1", "5-6", "<", "1-", "-1"] {
            assert!(number_test(bad, 0, 100).is_err(), "{bad}");
        }
    }
}
