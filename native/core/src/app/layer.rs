//! A flow's application layer: finding the protocol, feeding its parser.

use super::{Expectation, Parser, Protocol};
use crate::packet::Direction;

/// Application-layer state of one flow.
#[derive(Default)]
pub struct AppLayer {
    /// The protocol, once known.
    pub protocol: Option<&'static Protocol>,
    /// The protocol by direction where the two sides disagree (`app_proto_ts`, `app_proto_tc`).
    pub by_direction: [Option<&'static Protocol>; 2],
    /// What it was before STARTTLS, CONNECT or Upgrade.
    pub original: Option<&'static Protocol>,
    /// Detection gave up: unknown protocol.
    pub failed: bool,
    /// The parser, once the protocol is known and while it goes on.
    pub parser: Option<Box<dyn Parser>>,
    /// Flows this one announced, taken by the engine.
    pub expectations: Vec<Expectation>,
    /// Detection-level events (`applayer_mismatch_protocol_both_directions`, ...), taken by the engine.
    pub events: Vec<(&'static str, Direction)>,
}

impl std::fmt::Debug for AppLayer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AppLayer")
            .field("protocol", &self.protocol.map(|p| p.name))
            .finish_non_exhaustive()
    }
}
