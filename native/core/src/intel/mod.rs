//! Indicators from intelligence feeds: held small, looked up fast, alerted on with their source.

pub mod set;
pub mod watch;

pub use set::{Indicator, IndicatorKind, IndicatorSet};
pub use watch::Watch;
