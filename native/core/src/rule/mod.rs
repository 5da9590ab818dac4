//! What it matches: Suricata's rule language.
//!
//! text -> `lexer` -> `parse` (header, options through `keyword::KEYWORDS`) -> [`signature::Signature`] -> `set` (grouped,
//! with prefilters, immutable, shared) -> `detect` (per engine: what a packet and its flow match).

pub mod address;
mod answer;
pub mod asn1;
pub mod builder;
pub mod bytes;
mod cause;
pub mod chain;
pub mod context;
pub mod dataset_store;
pub mod detect;
pub mod entropy;
pub mod event_names;
pub mod fast_pattern;
pub mod finish;
pub mod header;
pub mod inspect;
pub mod keyword;
pub mod lexer;
pub mod load;
pub mod matcher;
pub mod memory;
mod notation;
pub mod parse;
pub mod reputation;
pub mod set;
pub mod signature;
pub mod state;
pub mod steps;
pub mod threshold;
mod transaction;
pub mod transform;
mod why;

pub use detect::Detector;
pub use memory::FlowDetect;
pub use set::RuleSet;
pub use signature::{Action, Signature};

use crate::app::AppLayer;
use crate::event::sink::Records;
use crate::flow::Flow;
use crate::packet::Packet;
use crate::stream::Session;

/// A packet with everything known about the conversation it belongs to, after stream and application layer took it in.
#[derive(Debug)]
pub struct Scene<'a, 'p> {
    /// The packet (or the pseudo packet at a flow's end).
    pub packet: &'a Packet<'p>,
    /// Its flow, if it belongs to one.
    pub flow: Option<FlowScene<'a>>,
}

/// Looks at packets with what is known of their conversations, and writes what it finds.
pub trait Inspector: std::fmt::Debug + Send {
    /// Look at one scene; called for every packet that was decoded, and for pseudo packets.
    ///
    /// It takes what it looked at of the raw stream (`Session::raw_done`) and marks what it looked at of transactions
    /// (`DetectState::done`): both are kept until then.
    fn inspect(&mut self, scene: &mut Scene<'_, '_>, records: &mut Records);

    /// Write down from now on why these rules match or do not.
    fn explain(&mut self, _sids: &[u32]) {}

    /// What was written down since it was last asked for; with `all` also of transactions that are still open.
    fn explanations(&mut self, _all: bool) -> Records {
        Records::default()
    }

    /// Counters of its own, by Suricata's names.
    fn counters(&self) -> Vec<(String, u64)> {
        Vec::new()
    }
}

/// A flow with its layers.
#[derive(Debug)]
pub struct FlowScene<'a> {
    /// Who talks to whom.
    pub flow: &'a mut Flow,
    /// The TCP session.
    pub tcp: Option<&'a mut Session>,
    /// The application layer.
    pub app: &'a mut AppLayer,
    /// The rule layer's memory.
    pub detect: &'a mut FlowDetect,
}
