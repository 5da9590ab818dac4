//! A rule being put together, option by option.

mod assemble;
mod buffers;
mod conditions;
mod fault;
mod protocols;
mod variables;

use std::collections::BTreeMap;
use std::sync::Arc;

pub use fault::Fault;
pub use protocols::{meant_by, more_specific, slots_of, value_slots_of};
pub use variables::integer;

use super::chain::Condition;
use super::context::Context;
use super::keyword::buffers::Sticky;
use super::signature::{FlowCondition, PacketCondition, Reference, Target, Threshold, TxCondition};
use super::state::{Effect, StateTest};
use super::transform::Transform;
use crate::packet::Direction;

/// Where conditions are added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum List {
    /// The payload.
    Payload,
    /// A buffer: index in `groups`.
    Group(usize),
}

/// A buffer group being put together.
#[derive(Debug)]
pub struct PendingGroup {
    /// The buffer.
    pub sticky: Sticky,
    /// Transforms so far.
    pub transforms: Vec<Transform>,
    /// Conditions so far.
    pub conditions: Vec<Condition>,
    /// Octet of the rule where the buffer is named.
    pub at: usize,
}

/// A rule so far.
#[allow(missing_docs, reason = "most fields are those of the Signature they become")]
pub struct Builder<'c> {
    /// What all rules of the load share.
    pub context: &'c mut Context,
    /// Octet of the option being looked at.
    pub at: usize,
    pub gid: u32,
    pub sid: u32,
    pub rev: u32,
    pub msg: String,
    pub classtype: Arc<str>,
    pub category: Arc<str>,
    pub priority: Option<u8>,
    pub class_priority: Option<u8>,
    pub references: Vec<Reference>,
    pub metadata: Vec<(Box<str>, Box<str>)>,
    pub target: Option<Target>,
    pub noalert: bool,
    /// `alert`: a pass rule that alerts as well.
    pub also_alerts: bool,
    /// Whether `dsize` asks for a payload, or for none.
    pub payload_need: Option<bool>,
    /// The application protocol asked for so far.
    pub app: &'static str,
    /// It was the header that asked for it.
    pub app_in_header: bool,
    pub flow: Option<FlowCondition>,
    pub direction: Option<Direction>,
    pub packet: Vec<Box<dyn PacketCondition>>,
    /// A packet condition that makes the rule look at packets only (`dsize`, `flags`, `ttl`, ...).
    pub requires_packet: bool,
    /// `stream_size`: packets are looked at beside the stream.
    pub stream_size: bool,
    pub state: Vec<StateTest>,
    pub payload: Vec<Condition>,
    pub groups: Vec<PendingGroup>,
    /// Where the next condition goes.
    pub list: List,
    /// A sticky buffer was named and nothing was put in it yet.
    pub open_buffer: Option<usize>,
    /// The content that modifiers are about.
    pub last_content: Option<(List, usize)>,
    /// Where the last condition went.
    pub last_list: List,
    /// Conditions after `base64_data` belong to what was decoded in this list.
    pub base64: Option<List>,
    pub transaction: Vec<TxCondition>,
    pub prefilter_keyword: Option<&'static str>,
    pub variables: Vec<String>,
    /// An expression captures variables of the flow or the packet.
    pub captures: bool,
    pub effects: Vec<Effect>,
    pub threshold: Option<Threshold>,
    pub detection_filter: Option<Threshold>,
    /// `dsize` as (least, most) octets.
    pub dsize: Option<(u64, u64)>,
    /// `app-layer-protocol`: whether it is negated.
    pub app_protocol_keyword: Option<bool>,
    /// A keyword that works on JA3 or JA4: TLS or QUIC.
    pub fingerprint: bool,
    /// A keyword about files.
    pub file: bool,
    /// `decode-event` or `stream-event`.
    pub packet_event: bool,
    /// `ip_proto` and the like: known to the header.
    pub ip_protocols: Option<[u64; 4]>,
    /// `l3_proto`: IP's version.
    pub ip_version: Option<u8>,
    /// The keyword of the last condition that can be prefiltered.
    pub last_keyword: &'static str,
    /// Keywords seen, for those that may stand once.
    pub seen: BTreeMap<&'static str, u32>,
}

impl<'c> Builder<'c> {
    /// An empty rule.
    pub fn new(context: &'c mut Context) -> Builder<'c> {
        Builder {
            context,
            at: 0,
            gid: 1,
            sid: 0,
            rev: 0,
            msg: String::new(),
            classtype: "".into(),
            category: "".into(),
            priority: None,
            class_priority: None,
            references: Vec::new(),
            metadata: Vec::new(),
            target: None,
            noalert: false,
            also_alerts: false,
            payload_need: None,
            app: "",
            app_in_header: false,
            flow: None,
            direction: None,
            packet: Vec::new(),
            requires_packet: false,
            stream_size: false,
            state: Vec::new(),
            payload: Vec::new(),
            groups: Vec::new(),
            list: List::Payload,
            open_buffer: None,
            last_content: None,
            last_list: List::Payload,
            base64: None,
            transaction: Vec::new(),
            prefilter_keyword: None,
            variables: Vec::new(),
            captures: false,
            effects: Vec::new(),
            threshold: None,
            detection_filter: None,
            dsize: None,
            app_protocol_keyword: None,
            fingerprint: false,
            file: false,
            packet_event: false,
            ip_protocols: None,
            ip_version: None,
            last_keyword: "",
            seen: BTreeMap::new(),
        }
    }
    /// Limit the rule to a direction.
    ///
    /// # Errors
    /// It is limited to the other one already.
    pub fn limit(&mut self, direction: Direction) -> Result<(), Fault> {
        match self.direction {
            Some(known) if known != direction => Err("keywords of both directions are mixed".into()),
            _ => {
                self.direction = Some(direction);
                Ok(())
            }
        }
    }
}
