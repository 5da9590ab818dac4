//! Which records are written, looked up once.

use crate::config::Output;

/// Kinds of records that are wanted.
#[derive(Clone, Debug)]
pub(super) struct Wants {
    /// Of malformed headers and odd TCP sessions.
    pub(super) anomaly: bool,
    pub(super) application_anomalies: bool,
    pub(super) flow: bool,
    pub(super) stats: bool,
    disabled: Vec<String>,
}

impl Wants {
    pub(super) fn new(output: &Output) -> Wants {
        let wanted = |kind: &str| !output.disabled.iter().any(|disabled| disabled == kind);
        Wants {
            anomaly: wanted("anomaly") && output.anomaly.iter().any(|kind| kind != "applayer"),
            application_anomalies: wanted("anomaly") && output.anomaly.iter().any(|kind| kind == "applayer"),
            flow: wanted("flow"),
            stats: wanted("stats"),
            disabled: output.disabled.clone(),
        }
    }

    /// Whether a kind of record is wanted.
    pub(super) fn kind(&self, kind: &str) -> bool {
        !self.disabled.iter().any(|disabled| disabled == kind)
    }
}
