//! Timestamps as EVE has them, in microseconds since 1970.

/// `2026-11-24T12:00:00.123456+0000`: seconds with three, six or no digits behind them, and `Z`, `+HHMM`, `+HH:MM` or
/// nothing (UTC) as the offset. None for any other text, of which somebody more patient may make sense.
pub fn micros(text: &str) -> Option<i64> {
    let octets = text.as_bytes();
    if octets.len() < 19
        || octets[4] != b'-'
        || octets[7] != b'-'
        || octets[10] != b'T'
        || octets[13] != b':'
        || octets[16] != b':'
    {
        return None;
    }
    let (year, month, day) = (
        digits(&octets[..4])?,
        digits(&octets[5..7])?,
        digits(&octets[8..10])?,
    );
    let (hour, minute, second) = (
        digits(&octets[11..13])?,
        digits(&octets[14..16])?,
        digits(&octets[17..19])?,
    );
    if !(1900..9999).contains(&year)
        || !(1..=12).contains(&month)
        || day < 1
        || day > days_of(year, month)
        || hour > 23
        || minute > 59
        || second > 59
    {
        return None;
    }
    let mut rest = &octets[19..];
    let mut fraction = 0;
    if let [b'.', behind @ ..] = rest {
        let len = behind.iter().take_while(|octet| octet.is_ascii_digit()).count();
        fraction = match len {
            3 => digits(&behind[..3])? * 1000,
            6 => digits(&behind[..6])?,
            _ => return None,
        };
        rest = &behind[len..];
    }
    let offset_s = match rest {
        [] | b"Z" => 0,
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] | [sign @ (b'+' | b'-'), h1, h2, m1, m2] => {
            let (hours, minutes) = (digits(&[*h1, *h2])?, digits(&[*m1, *m2])?);
            if hours > 23 || minutes > 59 {
                return None;
            }
            (hours * 3600 + minutes * 60) * if *sign == b'-' { -1 } else { 1 }
        }
        _ => return None,
    };
    let seconds = days_since_1970(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second - offset_s;
    Some(seconds * 1_000_000 + fraction)
}

fn digits(octets: &[u8]) -> Option<i64> {
    octets.iter().try_fold(0, |number, octet| {
        octet
            .is_ascii_digit()
            .then(|| number * 10 + i64::from(octet - b'0'))
    })
}

fn days_of(year: i64, month: i64) -> i64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}

/// Days from 1970-01-01 in the Gregorian calendar, counted in years that begin in March.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    year * 365 + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + day_of_year - 719_468
}
