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
