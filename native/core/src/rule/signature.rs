//! A rule as the engine sees it.

use std::fmt;

use crate::flow::Flow;
use crate::packet::{Direction, Packet};

/// What a rule does. As an IDS, drop and reject alert; mitigation may act on them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Raise an alert.
    Alert,
    /// Let pass: later rules do not alert.
    Pass,
    /// Alert, as a drop.
    Drop,
    /// Alert, as a reject; to the source, the destination or both.
    Reject,
    /// Change what is logged.
    Config,
}

/// A problem with a rule, at an octet of its text.
#[derive(Clone, Debug)]
pub struct Problem {
    /// Octet offset in the rule's text.
    pub at: usize,
    /// Keyword, "" for the header.
    pub keyword: String,
    /// What is wrong.
    pub reason: String,
    /// What to write instead; may be "".
    pub hint: String,
}

/// A condition on a packet's headers or its flow: `ttl`, `flags`, `flow`, `itype`, ...
pub trait PacketCondition: Send + Sync + fmt::Debug {
    /// Whether it holds. Must not allocate.
    fn matches(&self, packet: &Packet<'_>, flow: Option<&Flow>) -> bool;

    /// The keyword, for explanations.
    fn keyword(&self) -> &'static str;
}

/// A rule.
#[derive(Debug)]
pub struct Signature {
    /// Position in the set after ordering.
    pub index: u32,
    /// Generator.
    pub gid: u32,
    /// Signature id.
    pub sid: u32,
    /// Revision.
    pub rev: u32,
    /// `msg`.
    pub msg: String,
    /// Action.
    pub action: Action,
    /// Which direction of a flow it is limited to by `flow:` and its buffers; `None` is both.
    pub direction: Option<Direction>,
}
