//! A rule being put together, option by option.

use std::collections::BTreeMap;
use std::sync::Arc;

use smallvec::SmallVec;

use super::chain::{Chain, Condition, Content, Operand, VarId};
use super::context::Context;
use super::header::Header;
use super::keyword::buffers::Sticky;
use super::lexer::invalid;
use super::signature::{
    Action, FlowCondition, Kind, Origin, PacketCondition, Problem, ProblemKind, Reference, Signature, Slot,
    Target, Threshold, TxCondition,
};
use super::state::{Effect, StateTest};
use super::transform::Transform;
use crate::app::{Protocol, PROTOCOLS};
use crate::packet::Direction;

/// Conditions of one chain at most.
const MAX_CONDITIONS: usize = 255;

/// Variables of one rule at most.
const MAX_VARIABLES: usize = 64;

/// Why an option cannot be taken.
#[derive(Debug)]
pub struct Fault {
    /// Octet offset in the argument; `None` is the whole option.
    pub at: Option<usize>,
    /// Why.
    pub reason: String,
    /// What to write instead.
    pub hint: &'static str,
    /// What kind of problem.
    pub kind: ProblemKind,
}

impl Fault {
    /// A fault with what to write instead.
    pub fn hinted(reason: impl Into<String>, hint: &'static str) -> Fault {
        Fault {
            hint,
            ..Fault::from(reason.into())
        }
    }

    /// A rule that is left out without being wrong.
    pub fn not_required(reason: impl Into<String>) -> Fault {
        Fault {
            kind: ProblemKind::NotRequired,
            ..Fault::from(reason.into())
        }
    }

    /// Something that is not offered yet.
    pub fn not_there_yet(reason: impl Into<String>) -> Fault {
        Fault {
            kind: ProblemKind::NotThereYet,
            ..Fault::from(reason.into())
        }
    }
}

impl From<String> for Fault {
    fn from(reason: String) -> Fault {
        Fault {
            at: None,
            reason,
            hint: "",
            kind: ProblemKind::Invalid,
        }
    }
}

impl From<&str> for Fault {
    fn from(reason: &str) -> Fault {
        Fault::from(reason.to_string())
    }
}

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
    pub effects: Vec<Effect>,
    pub threshold: Option<Threshold>,
    pub detection_filter: Option<Threshold>,
    /// `dsize` as (least, most) octets.
    pub dsize: Option<(u64, u64)>,
    /// `app-layer-protocol`, positive and negative.
    pub app_protocol_keyword: bool,
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
            effects: Vec::new(),
            threshold: None,
            detection_filter: None,
            dsize: None,
            app_protocol_keyword: false,
            fingerprint: false,
            file: false,
            packet_event: false,
            ip_protocols: None,
            ip_version: None,
            last_keyword: "",
            seen: BTreeMap::new(),
        }
    }

    /// The conditions of a list.
    pub fn conditions(&mut self, list: List) -> &mut Vec<Condition> {
        match list {
            List::Payload => &mut self.payload,
            List::Group(at) => &mut self.groups[at].conditions,
        }
    }

    /// Add a condition where the rule is now.
    ///
    /// # Errors
    /// Too many.
    pub fn push(&mut self, condition: Condition) -> Result<(), Fault> {
        let mut list = self.list;
        // Outside of sticky buffers what counts from the condition before belongs where that one is: an older modifier
        // may have moved it to a buffer.
        if list == List::Payload && self.base64.is_none() && counts_from_before(&condition) {
            list = self.last_list;
        }
        self.last_list = list;
        let conditions = match self.base64 {
            Some(list) => match self
                .conditions(list)
                .iter_mut()
                .rev()
                .find_map(|condition| match condition {
                    Condition::Base64(base64) => Some(&mut base64.data.conditions),
                    _ => None,
                }) {
                Some(conditions) => conditions,
                None => return Err("base64_data needs base64_decode before it".into()),
            },
            None => self.conditions(list),
        };
        if conditions.len() >= MAX_CONDITIONS {
            return Err("too many conditions on one buffer".into());
        }
        conditions.push(condition);
        self.open_buffer = None;
        Ok(())
    }

    /// Add a content: what modifiers that follow are about.
    ///
    /// # Errors
    /// Too many.
    pub fn push_content(&mut self, content: Content) -> Result<(), Fault> {
        self.push(Condition::Content(Box::new(content)))?;
        let list = self.list;
        let at = self.conditions(list).len().saturating_sub(1);
        self.last_content = Some((list, at));
        self.last_keyword = "content";
        Ok(())
    }

    /// The content that modifiers are about.
    ///
    /// # Errors
    /// There is none.
    pub fn content(&mut self, modifier: &str) -> Result<&mut Content, Fault> {
        let missing = || Fault::from(format!("{modifier} needs a content before it"));
        if let Some(list) = self.base64 {
            let found = self
                .conditions(list)
                .iter_mut()
                .rev()
                .find_map(|condition| match condition {
                    Condition::Base64(base64) => Some(base64),
                    _ => None,
                });
            let last = found.and_then(|base64| base64.data.conditions.iter_mut().rev().find_map(as_content));
            return last.ok_or_else(missing);
        }
        let (list, at) = self.last_content.ok_or_else(missing)?;
        self.conditions(list)
            .get_mut(at)
            .and_then(as_content)
            .ok_or_else(missing)
    }

    /// The condition before the last content, in its chain: what a relative modifier counts from.
    pub fn before_content(&mut self) -> Option<&mut Condition> {
        let (list, at) = self.last_content?;
        let before = at.checked_sub(1)?;
        self.conditions(list).get_mut(before)
    }

    /// What an argument names: a number, or a variable made before.
    ///
    /// # Errors
    /// Neither.
    pub fn operand(&self, text: &str, low: i64, high: i64) -> Result<Operand, Fault> {
        let text = text.trim();
        if text.starts_with(|first: char| first.is_ascii_digit() || first == '-' || first == '+') {
            let number = integer(text).filter(|number| (low..=high).contains(number));
            return number
                .map(Operand::Number)
                .ok_or_else(|| format!("{text:?} is not a number from {low} to {high}").into());
        }
        self.variable(text).map(Operand::Variable).ok_or_else(|| {
            Fault::hinted(
                format!("there is no variable {text:?}"),
                "byte_extract or byte_math has to set it earlier in the rule",
            )
        })
    }

    /// The number of a variable made before.
    pub fn variable(&self, name: &str) -> Option<VarId> {
        self.variables
            .iter()
            .position(|known| known == name)
            .map(|at| at as VarId)
    }

    /// The number of a variable that is made now.
    ///
    /// # Errors
    /// Too many, or not a name.
    pub fn make_variable(&mut self, name: &str) -> Result<VarId, Fault> {
        let name = name.trim();
        if name.is_empty() || name.starts_with(|first: char| first.is_ascii_digit()) {
            return Err(format!("{name:?} is not a variable's name").into());
        }
        if let Some(known) = self.variable(name) {
            return Ok(known);
        }
        if self.variables.len() >= MAX_VARIABLES {
            return Err("too many variables".into());
        }
        self.variables.push(name.to_string());
        Ok((self.variables.len() - 1) as VarId)
    }

    /// Ask for an application protocol.
    ///
    /// # Errors
    /// Another one was asked for before.
    pub fn ask_for(&mut self, app: &'static str) -> Result<(), Fault> {
        match more_specific(self.app, app) {
            Some(app) => {
                self.app = app;
                Ok(())
            }
            None => Err(format!("the rule is about {} already, this is about {app}", self.app).into()),
        }
    }

    /// Name a sticky buffer: conditions go there from now on.
    ///
    /// # Errors
    /// The buffer before is empty, or of another protocol.
    pub fn enter(&mut self, sticky: &Sticky) -> Result<(), Fault> {
        self.close_buffer()?;
        if !sticky.app.is_empty() {
            self.ask_for(sticky.app)?;
        }
        self.fingerprint |= sticky.fingerprint;
        self.file |= sticky.file;
        self.base64 = None;
        self.last_content = None;
        if sticky.name == "pkt_data" {
            self.list = List::Payload;
            return Ok(());
        }
        let reusable = self.groups.iter().position(|group| {
            group.sticky.name == sticky.name && group.transforms.is_empty() && !sticky.multi
        });
        let at = match reusable {
            Some(at) => at,
            None => {
                self.groups.push(PendingGroup {
                    sticky: *sticky,
                    transforms: Vec::new(),
                    conditions: Vec::new(),
                    at: self.at,
                });
                self.groups.len() - 1
            }
        };
        self.list = List::Group(at);
        self.open_buffer = Some(at);
        Ok(())
    }

    /// The last sticky buffer has something in it.
    ///
    /// # Errors
    /// It has not.
    pub fn close_buffer(&mut self) -> Result<(), Fault> {
        match self.open_buffer.and_then(|at| self.groups.get(at)) {
            Some(group) if group.conditions.is_empty() => {
                Err(format!("nothing is asked of the buffer {}", group.sticky.name).into())
            }
            _ => Ok(()),
        }
    }

    /// Move the last content to a buffer (`http_uri` and the like, after a content).
    ///
    /// # Errors
    /// There is no content, or the content cannot be there.
    pub fn move_content(&mut self, sticky: &Sticky, modifier: &str) -> Result<(), Fault> {
        self.content(modifier)?;
        if self.list != List::Payload {
            return Err(format!("{modifier} cannot be used in a sticky buffer").into());
        }
        self.ask_for(sticky.app)?;
        self.file |= sticky.file;
        let Some((List::Payload, at)) = self.last_content else {
            return Err(format!("{modifier} stands after a content of the payload, once").into());
        };
        let Condition::Content(content) = self.payload.remove(at) else {
            return Err(format!("{modifier} needs a content before it").into());
        };
        if content.raw_bytes {
            return Err(format!("{modifier} and rawbytes exclude each other").into());
        }
        let to = match self
            .groups
            .iter()
            .position(|group| group.sticky.name == sticky.name && group.transforms.is_empty())
        {
            Some(to) => to,
            None => {
                self.groups.push(PendingGroup {
                    sticky: *sticky,
                    transforms: Vec::new(),
                    conditions: Vec::new(),
                    at: self.at,
                });
                self.groups.len() - 1
            }
        };
        let group = &mut self.groups[to];
        group.conditions.push(Condition::Content(content));
        self.last_list = List::Group(to);
        self.last_content = Some((List::Group(to), group.conditions.len() - 1));
        Ok(())
    }

    /// The transforms of the buffer named last, before anything was put in it.
    ///
    /// # Errors
    /// There is no such buffer.
    pub fn transform(&mut self, transform: Transform) -> Result<(), Fault> {
        let at = match (self.open_buffer, self.list) {
            (Some(at), _) => at,
            (None, List::Group(at)) if self.groups[at].transforms.is_empty() => at,
            _ => return Err("a transform stands after a sticky buffer".into()),
        };
        // A buffer that had conditions already is another one with a transform.
        if !self.groups[at].conditions.is_empty() {
            let (sticky, position) = (self.groups[at].sticky, self.at);
            self.groups.push(PendingGroup {
                sticky,
                transforms: Vec::new(),
                conditions: Vec::new(),
                at: position,
            });
            let at = self.groups.len() - 1;
            self.list = List::Group(at);
            self.open_buffer = Some(at);
            self.groups[at].transforms.push(transform);
            return Ok(());
        }
        self.groups[at].transforms.push(transform);
        Ok(())
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

    /// Put it together.
    ///
    /// # Errors
    /// What does not fit together.
    pub fn finish(
        mut self,
        action: Action,
        header: Header,
        text: &str,
        origin: Origin,
    ) -> Result<Signature, Problem> {
        let at = self.at;
        let fail = |at: usize, fault: Fault| Problem {
            kind: fault.kind,
            hint: fault.hint.into(),
            ..invalid(at, "", fault.reason)
        };
        self.close_buffer().map_err(|fault| fail(at, fault))?;
        if self.sid == 0 {
            return Err(invalid(0, "sid", "the rule has no sid"));
        }
        let mut header = header;
        if let Some(version) = self.ip_version {
            if header.protocols.version != 0 && header.protocols.version != version {
                return Err(fail(
                    0,
                    "l3_proto and the header name different versions of IP".into(),
                ));
            }
            header.protocols.version = version;
        }
        let protocols: SmallVec<[&'static Protocol; 2]> = PROTOCOLS
            .iter()
            .copied()
            .filter(|protocol| meant_by(protocol, self.app))
            .collect();
        if !self.app.is_empty() && protocols.is_empty() {
            return Err(fail(
                0,
                Fault::not_there_yet(format!("the protocol {} is not there yet", self.app)),
            ));
        }
        super::finish::carriers(&mut header, &protocols, self.ip_protocols, self.app);
        let mut groups = super::finish::groups(&mut self, &protocols)?;
        for group in &mut groups {
            super::notation::apply(group).map_err(|fault| fail(at, fault))?;
        }
        let payload_on = super::finish::payload_on(&self, &header).map_err(|fault| fail(at, fault))?;
        super::finish::check(&self, &groups).map_err(|fault| fail(at, fault))?;
        let mut payload = Chain {
            conditions: std::mem::take(&mut self.payload),
        };
        payload.finish();
        for group in &mut groups {
            group.chain.finish();
        }
        let fast_pattern = super::fast_pattern::choose(&payload, &groups);
        let mut signature = Signature {
            index: 0,
            gid: self.gid,
            sid: self.sid,
            rev: self.rev,
            msg: self.msg,
            action,
            classtype: self.classtype,
            category: self.category,
            priority: self.priority.or(self.class_priority).unwrap_or(3),
            references: self.references,
            metadata: self.metadata,
            target: self.target,
            noalert: self.noalert,
            also_alerts: self.also_alerts,
            payload_need: self.payload_need.or((!payload.is_empty()).then_some(true)),
            header,
            app: self.app,
            protocols,
            kind: Kind::Packet,
            direction: self.direction,
            flow: self.flow,
            packet: self.packet,
            state: self.state,
            payload,
            payload_on,
            groups,
            transaction: self.transaction,
            fast_pattern,
            prefilter_keyword: self.prefilter_keyword,
            plans: Vec::new(),
            variables: self.variables.len() as u8,
            effects: self.effects,
            threshold: self.threshold,
            detection_filter: self.detection_filter,
            text: text.into(),
            origin,
        };
        signature.kind = super::finish::kind(&signature, self.app_protocol_keyword, self.packet_event);
        if signature.kind == Kind::Transaction {
            signature.plans = super::steps::plans(&signature);
        }
        Ok(signature)
    }
}

/// Whether a condition counts from the one before, contents and expressions apart: these go where the rule is.
fn counts_from_before(condition: &Condition) -> bool {
    match condition {
        Condition::IsDataAt(test) => test.relative,
        Condition::ByteTest(test) => test.relative,
        Condition::ByteJump(jump) => jump.relative,
        Condition::ByteExtract(extract) => extract.relative,
        Condition::ByteMath(math) => math.relative,
        Condition::Base64(base64) => base64.relative,
        _ => false,
    }
}

fn as_content(condition: &mut Condition) -> Option<&mut Content> {
    match condition {
        Condition::Content(content) => Some(content),
        _ => None,
    }
}

/// A number as C reads it: decimal, or hexadecimal after 0x.
pub fn integer(text: &str) -> Option<i64> {
    let text = text.trim();
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let value = match digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        Some(hex) => i64::from_str_radix(hex, 16),
        None if digits.starts_with(|first: char| first.is_ascii_digit()) => digits.parse(),
        None => return None,
    }
    .ok()?;
    Some(if negative { -value } else { value })
}

/// Which of two protocols a rule is about when it asks for both; `None` when they exclude each other.
pub fn more_specific(known: &'static str, new: &'static str) -> Option<&'static str> {
    match (known, new) {
        ("", new) => Some(new),
        (known, new) if known == new || new.is_empty() => Some(known),
        ("http", "http1" | "http2") => Some(new),
        ("http1" | "http2", "http") => Some(known),
        ("dcerpc", "smb") | ("smb", "dcerpc") => Some(known),
        _ => None,
    }
}

/// Whether a rule about `app` is about this protocol.
pub fn meant_by(protocol: &Protocol, app: &str) -> bool {
    match app {
        "" => false,
        "http" => matches!(protocol.name, "http" | "http1" | "http2"),
        "http1" => matches!(protocol.name, "http" | "http1"),
        // DCERPC is carried by SMB as well.
        "dcerpc" => matches!(protocol.name, "dcerpc" | "smb"),
        app => protocol.name == app || protocol.aliases.contains(&app),
    }
}

/// Where a buffer is: its slot in each protocol that offers it and that the rule may be about.
pub fn slots_of(name: &str, app: &str, protocols: &[&'static Protocol]) -> SmallVec<[Slot; 2]> {
    PROTOCOLS
        .iter()
        .copied()
        .filter(|protocol| app.is_empty() || protocols.iter().any(|known| std::ptr::eq(*known, *protocol)))
        .filter_map(|protocol| {
            let slot = protocol.buffers.iter().position(|buffer| buffer.name == name)?;
            Some(Slot { protocol, slot })
        })
        .collect()
}

/// Where a value is, as [`slots_of`].
pub fn value_slots_of(name: &str) -> SmallVec<[Slot; 2]> {
    PROTOCOLS
        .iter()
        .copied()
        .filter_map(|protocol| {
            let slot = protocol.values.iter().position(|value| value.name == name)?;
            Some(Slot { protocol, slot })
        })
        .collect()
}
