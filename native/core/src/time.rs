//! Time as packets carry it.

/// Nanoseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// Whole seconds since 1970, rounded down.
    pub fn seconds(self) -> i64 {
        self.0.div_euclid(1_000_000_000)
    }

    /// Microseconds within the second, 0 to 999,999.
    pub fn micros(self) -> u32 {
        (self.0.rem_euclid(1_000_000_000) / 1000) as u32
    }

    /// Seconds from `earlier` to `self`; negative when time went back.
    pub fn seconds_since(self, earlier: Timestamp) -> i64 {
        self.0.saturating_sub(earlier.0) / 1_000_000_000
    }
}

/// ISO 8601 with microseconds, UTC: `2026-01-02T03:04:05.000006+0000`.
impl std::fmt::Display for Timestamp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let seconds = self.seconds();
        let (day, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
        // Days to civil date: Howard Hinnant's algorithm, years beginning in March.
        let shifted = day + 719_468;
        let era = shifted.div_euclid(146_097);
        let day_of_era = shifted.rem_euclid(146_097);
        let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month + 2) / 5 + 1;
        let month = if month < 10 { month + 3 } else { month - 9 };
        let year = year_of_era + era * 400 + i64::from(month <= 2);
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{:06}+0000",
            second / 3600,
            second / 60 % 60,
            second % 60,
            self.micros()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_eve_has_them() {
        assert_eq!(Timestamp(0).to_string(), "1970-01-01T00:00:00.000000+0000");
        assert_eq!(
            Timestamp(1_709_210_096_123_456_789).to_string(),
            "2024-02-29T12:34:56.123456+0000"
        );
        assert_eq!(Timestamp(-1).to_string(), "1969-12-31T23:59:59.999999+0000");
    }
}
