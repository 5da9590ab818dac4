//! Numbers compared, as Suricata's integer keywords write them: `5`, `<5`, `>=5`, `1-5`, `!5`, `=5`, `2kb`.

use crate::rule::signature::NumberTest;

/// The test, with every number between `low` and `high`.
///
/// # Errors
/// Why it is none, or that it always or never holds.
pub fn number_test(text: &str, low: i64, high: i64) -> Result<NumberTest, String> {
    let test = number_test_by(text, |text| {
        decimal(text)
            .filter(|number| (low..=high).contains(number))
            .ok_or_else(|| format!("{text:?} is not a number from {low} to {high}"))
    })?;
    match test {
        NumberTest::Less(n) | NumberTest::GreaterOrEqual(n) if n == low => {
            Err(format!("{text:?} says nothing: {low} is the least"))
        }
        NumberTest::Greater(n) | NumberTest::LessOrEqual(n) if n == high => {
            Err(format!("{text:?} says nothing: {high} is the most"))
        }
        test => Ok(test),
    }
}

/// Decimal digits, and `kb`, `mb` or `gb` behind them.
fn decimal(text: &str) -> Option<i64> {
    let lower = text.to_ascii_lowercase();
    let (digits, shift) = [("kb", 10), ("mb", 20), ("gb", 30)]
        .iter()
        .find_map(|(unit, shift)| Some((lower.strip_suffix(unit)?, *shift)))
        .unwrap_or((&lower, 0));
    if digits.is_empty() || !digits.bytes().all(|octet| octet.is_ascii_digit()) {
        return None;
    }
    digits.parse::<i64>().ok()?.checked_mul(1 << shift)
}

/// The test, with numbers read by `read`.
///
/// # Errors
/// Why it is none.
pub fn number_test_by(text: &str, read: impl Fn(&str) -> Result<i64, String>) -> Result<NumberTest, String> {
    let text = text.trim();
    for (operator, test) in [
        ("<=", NumberTest::LessOrEqual as fn(i64) -> NumberTest),
        (">=", NumberTest::GreaterOrEqual),
        ("!=", NumberTest::NotEqual),
    ] {
        if let Some(rest) = text.strip_prefix(operator) {
            return read(rest.trim()).map(test);
        }
    }
    for between in ["<>", "-"] {
        if let Some((low, high)) = text.split_once(between).filter(|(low, _)| !low.trim().is_empty()) {
            let (low, high) = (read(low.trim())?, read(high.trim())?);
            // Nothing is between neighbours, and the bounds do not count.
            if low >= high || low + 1 == high {
                return Err(format!("nothing is between {low} and {high}"));
            }
            return Ok(NumberTest::Between(low, high));
        }
    }
    for (operator, test) in [
        ("<", NumberTest::Less as fn(i64) -> NumberTest),
        (">", NumberTest::Greater),
        ("!", NumberTest::NotEqual),
    ] {
        if let Some(rest) = text.strip_prefix(operator) {
            return read(rest.trim()).map(test);
        }
    }
    read(text.strip_prefix('=').unwrap_or(text).trim()).map(NumberTest::Equal)
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
            (">=10", NumberTest::GreaterOrEqual(10)),
            ("1-5", NumberTest::Between(1, 5)),
            ("1 <> 5", NumberTest::Between(1, 5)),
            ("=5", NumberTest::Equal(5)),
        ] {
            assert_eq!(number_test(text, 0, 100), Ok(expected), "{text}");
        }
        for bad in [
            "", "x", "101", "5-1", "5-6", "<", "1-", "-1", "0x5", "!1-5", "&4", "<0", ">100", "1kb",
        ] {
            assert!(number_test(bad, 0, 100).is_err(), "{bad}");
        }
    }
}
