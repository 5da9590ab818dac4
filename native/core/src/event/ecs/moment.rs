//! Times of records, in microseconds since 1970.

use std::fmt::Write;

/// What `date_nanos` can hold; other times are kept as the nearer end. The later one is the beginning of 2262.
const LATEST_US: i64 = 9_214_646_400_000_000;

/// Up to here (the beginning of 2255) whole microseconds are exact in a double, which an event's id is computed with.
const PLAIN_BEFORE_YEAR: i64 = 2255;

/// A time as the engine and Suricata write it: `2026-11-24T11:00:00.123456+0800`, also with `Z` or `+08:00`, without a
/// fraction or with one of milliseconds. None for what may be a time written in another way, or is none.
pub fn read(text: &str) -> Option<i64> {
    let octets = text.as_bytes();
    let number = |from: usize, len: usize| -> Option<i64> {
        let digits = octets.get(from..from + len)?;
        digits.iter().try_fold(0, |value, digit| {
            digit
                .is_ascii_digit()
                .then(|| value * 10 + i64::from(digit - b'0'))
        })
    };
    let is = |at: usize, octet: u8| octets.get(at) == Some(&octet);
    let (year, month, day) = (number(0, 4)?, number(5, 2)?, number(8, 2)?);
    let (hour, minute, second) = (number(11, 2)?, number(14, 2)?, number(17, 2)?);
    let written = is(4, b'-') && is(7, b'-') && is(10, b'T') && is(13, b':') && is(16, b':');
    let possible = (1970..PLAIN_BEFORE_YEAR).contains(&year)
        && (1..=12).contains(&month)
        && (1..=days_of(year, month)).contains(&day)
        && hour < 24
        && minute < 60
        && second < 60;
    if !written || !possible {
        return None;
    }
    let mut at = 19;
    let mut fraction_us = 0;
    if is(at, b'.') {
        let len = octets[at + 1..]
            .iter()
            .take_while(|octet| octet.is_ascii_digit())
            .count();
        fraction_us = match len {
            6 => number(at + 1, 6)?,
            3 => number(at + 1, 3)? * 1000,
            _ => return None,
        };
        at += 1 + len;
    }
    let offset_min = match octets.get(at..)? {
        b"Z" => 0,
        [sign @ (b'+' | b'-'), rest @ ..] => {
            let minutes_at = match rest {
                [_, _, b':', _, _] => at + 4,
                [_, _, _, _] => at + 3,
                _ => return None,
            };
            let (hours, minutes) = (number(at + 1, 2)?, number(minutes_at, 2)?);
            if hours >= 24 || minutes >= 60 {
                return None;
            }
            (hours * 60 + minutes) * if *sign == b'-' { -1 } else { 1 }
        }
        _ => return None,
    };
    let minutes = (days_before(year, month, day) * 24 + hour) * 60 + minute - offset_min;
    let moment_us = (minutes * 60 + second) * 1_000_000 + fraction_us;
    (moment_us >= 0).then_some(moment_us)
}

/// As a document has it: `2026-11-24T03:00:00.123456+00:00`, with a fraction only where there is one.
pub fn written(moment_us: i64) -> String {
    let moment_us = moment_us.clamp(0, LATEST_US);
    let (seconds, fraction_us) = (moment_us / 1_000_000, moment_us % 1_000_000);
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = date_of(days);
    let mut text = String::with_capacity(32);
    // Writing to a String cannot fail.
    let _ = write!(
        text,
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}",
        second / 3600,
        second / 60 % 60,
        second % 60
    );
    if fraction_us > 0 {
        let _ = write!(text, ".{fraction_us:06}");
    }
    text.push_str("+00:00");
    text
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn days_of(year: i64, month: i64) -> i64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970 to this date of the Gregorian calendar, counted in years that begin in March.
fn days_before(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let from_march = (month + 9) % 12;
    365 * year + year / 4 - year / 100 + year / 400 + (153 * from_march + 2) / 5 + day - 1 - 719_468
}

/// The date that is so many days after 1970 began.
fn date_of(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let of_era = shifted % 146_097;
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 {
        from_march + 3
    } else {
        from_march - 9
    };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_and_written_to_the_microsecond() {
        let at = read("2026-11-24T11:00:00.123456+0800").unwrap();
        assert_eq!(at, 1_795_489_200_123_456);
        assert_eq!(written(at), "2026-11-24T03:00:00.123456+00:00");
        assert_eq!(read("2026-11-24T03:00:00.123456Z"), Some(at));
        assert_eq!(read("2026-11-23T22:30:00.123456-04:30"), Some(at));
        assert_eq!(
            written(read("2024-02-29T23:59:59Z").unwrap()),
            "2024-02-29T23:59:59+00:00"
        );
        assert_eq!(read("1970-01-01T00:00:00.001+00:00"), Some(1000));
    }

    #[test]
    fn every_day_is_the_day_after_the_one_before() {
        let mut expected = (1970, 1, 1);
        for day in 0..106_752 {
            assert_eq!(date_of(day), expected);
            let (year, month, of_month) = expected;
            assert_eq!(days_before(year, month, of_month), day);
            expected = if of_month < days_of(year, month) {
                (year, month, of_month + 1)
            } else if month < 12 {
                (year, month + 1, 1)
            } else {
                (year + 1, 1, 1)
            };
        }
    }

    #[test]
    fn what_is_written_in_another_way_is_left_to_others() {
        for text in [
            "",
            "2026-11-24",
            "2026-11-24 03:00:00Z",
            "2026-02-29T03:00:00Z",
            "2026-11-24T24:00:00Z",
            "2026-11-24T03:00:60Z",
            "2026-11-24T03:00:00",
            "2026-11-24T03:00:00.1Z",
            "2026-11-24T03:00:00+08",
            "2026-11-24T03:00:00+0860",
            "1970-01-01T00:00:00+0800",
            "1969-12-31T23:00:00-0800",
            "9999-12-31T23:59:59Z",
            "２026-11-24T03:00:00Z",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn what_an_index_cannot_hold_is_written_as_the_nearest_it_can() {
        assert_eq!(written(-5), "1970-01-01T00:00:00+00:00");
        assert_eq!(written(i64::MAX), "2262-01-01T00:00:00+00:00");
    }
}
