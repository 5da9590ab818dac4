//! A rule as the engine sees it: compiled, immutable, shared between engines.

use std::fmt;
use std::sync::Arc;

use smallvec::SmallVec;

use super::chain::Chain;
use super::header::Header;
use super::state::{Effect, StateTest};
use super::steps::Plan;
use super::transform::Transform;
use crate::app::dcerpc::Call;
use crate::app::{AppLayer, Protocol};
use crate::flow::Flow;
use crate::packet::{Direction, Packet};
use crate::stream::Session;

/// What a rule does. As an IDS, drop and reject alert; mitigation may act on them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Raise an alert.
    Alert,
    /// Let pass: later rules do not alert.
    Pass,
    /// Alert, as a drop.
    Drop,
    /// Alert, as a reject to the source (`reject`, `rejectsrc`).
    Reject,
    /// Alert, as a reject to the destination.
    RejectDst,
    /// Alert, as a reject to both.
    RejectBoth,
    /// Change what is logged.
    Config,
}

/// What kind of problem keeps a rule from loading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProblemKind {
    /// The rule is wrong.
    Invalid,
    /// The rule is right, but no compiled-in protocol offers what it looks at.
    NotThereYet,
    /// The rule's own `requires` says it is not for this engine: neither loaded nor an error.
    NotRequired,
}

/// A problem with a rule, at an octet of its text.
#[derive(Clone, Debug)]
pub struct Problem {
    /// What kind.
    pub kind: ProblemKind,
    /// Octet offset in the rule's text.
    pub at: usize,
    /// Keyword, "" for the header.
    pub keyword: String,
    /// What is wrong.
    pub reason: String,
    /// What to write instead; may be "".
    pub hint: String,
}

/// What a [`PacketCondition`] may look at.
#[derive(Clone, Copy, Debug)]
pub struct View<'a, 'p> {
    /// The packet.
    pub packet: &'a Packet<'p>,
    /// Its flow.
    pub flow: Option<&'a Flow>,
    /// Its TCP session.
    pub tcp: Option<&'a Session>,
    /// Its application layer.
    pub app: Option<&'a AppLayer>,
}

/// A condition on a packet's headers or its flow: `ttl`, `flags`, `itype`, `app-layer-protocol`, ...
pub trait PacketCondition: Send + Sync + fmt::Debug {
    /// Whether it holds. Must not allocate.
    fn matches(&self, view: &View<'_, '_>) -> bool;

    /// The keyword, for explanations.
    fn keyword(&self) -> &'static str;
}

/// `flow:` of a rule. Direction is [`Signature::direction`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FlowCondition {
    /// `Some(true)`: established; `Some(false)`: not_established.
    pub established: Option<bool>,
    /// `stateless`: whatever the state.
    pub stateless: bool,
    /// `only_stream`: matches in the reassembled stream only.
    pub only_stream: bool,
    /// `no_stream`: matches in packets only.
    pub no_stream: bool,
    /// `only_frag` / `no_frag`: whether the packet was put together from fragments.
    pub reassembled: Option<bool>,
}

/// How a rule is run, as Suricata sorts them (its `SIG_TYPE_*`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Addresses only: once per flow and direction, or per packet without a flow.
    IpOnly,
    /// Like [`Kind::IpOnly`], but with negated addresses: run on packets, acts on flows.
    LikeIpOnly,
    /// Only asks for the application protocol: once per direction, when detection is done.
    ProtocolOnly,
    /// Only asks for decoder events: packets without a valid header count as well.
    EventOnly,
    /// On each packet.
    Packet,
    /// On each packet, or on the reassembled stream.
    PacketOrStream,
    /// On the reassembled stream.
    Stream,
    /// Asks for the application protocol, but for nothing of its transactions.
    AppLayer,
    /// On transactions.
    Transaction,
}

/// What payload conditions are run on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PayloadOn {
    /// The packet's payload must be looked at (`dsize`, `tcp-pkt`, `flow:no_stream`, `depth` with `startswith`, ...).
    pub packet: bool,
    /// The reassembled stream must be looked at.
    pub stream: bool,
}

impl Kind {
    /// It is run on each packet and what of the stream comes with it.
    pub fn is_on_packets(self) -> bool {
        !matches!(self, Kind::IpOnly | Kind::ProtocolOnly | Kind::Transaction)
    }
}

/// A place in a protocol's transactions: index in its `buffers` or `values`.
#[derive(Clone, Copy, Debug)]
pub struct Slot {
    /// The protocol.
    pub protocol: &'static Protocol,
    /// The index.
    pub slot: usize,
}

/// Headers that rules can look at as octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PacketBuffer {
    /// `ip.src`: 4 or 16 octets
    SourceAddress,
    /// `ip.dst`
    DestinationAddress,
    /// `ipv4.hdr`
    Ipv4Header,
    /// `ipv6.hdr`
    Ipv6Header,
    /// `tcp.hdr`
    TcpHeader,
    /// `udp.hdr`
    UdpHeader,
    /// `icmpv4.hdr`
    Icmpv4Header,
    /// `icmpv6.hdr`
    Icmpv6Header,
}

impl PacketBuffer {
    /// It is a header, not an address: rules on it are about packets.
    pub fn is_header(self) -> bool {
        !matches!(
            self,
            PacketBuffer::SourceAddress | PacketBuffer::DestinationAddress
        )
    }

    /// The IP protocol that carries such a header; `None` where each does.
    pub fn carrier(self) -> Option<u8> {
        match self {
            PacketBuffer::TcpHeader => Some(6),
            PacketBuffer::UdpHeader => Some(17),
            PacketBuffer::Icmpv4Header => Some(1),
            PacketBuffer::Icmpv6Header => Some(58),
            _ => None,
        }
    }
}

/// Where a group of conditions looks.
#[derive(Clone, Debug)]
pub enum Place {
    /// In a packet's header.
    Packet(PacketBuffer),
    /// In transactions: the same buffer of each protocol that offers it; never empty.
    Transaction(SmallVec<[Slot; 2]>),
}

/// One sticky buffer with what is asked of it.
#[derive(Debug)]
pub struct BufferGroup {
    /// Suricata's name: `"http.uri"`.
    pub name: &'static str,
    /// Where that is.
    pub place: Place,
    /// In which directions it may be looked at, of those the protocol inspects it in.
    pub direction: Option<Direction>,
    /// What is done to the octets first.
    pub transforms: Vec<Transform>,
    /// The conditions, all of which must hold on the same octets; never empty.
    pub chain: Chain,
}

/// Where a rule's fast pattern is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PatternPlace {
    /// In [`Signature::payload`].
    Payload,
    /// In this one of [`Signature::groups`].
    Group(usize),
}

/// The content that a prefilter shall look for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FastPattern {
    /// In which chain.
    pub place: PatternPlace,
    /// Index of the content condition in that chain.
    pub condition: usize,
    /// The part of the pattern (`fast_pattern:offset,length`); the whole when `None`.
    pub chop: Option<(u16, u16)>,
    /// The rule says so itself (`fast_pattern`); otherwise it was chosen.
    pub explicit: bool,
    /// It must not be there: it names no candidates, but its condition is asked first.
    pub negated: bool,
}

/// A test of one value of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ValueTest {
    /// A number compared.
    Number(NumberTest),
    /// All bits of the first set, none of the second.
    Bits(u64, u64),
    /// Any bit of the first set, none of the second.
    AnyBits(u64, u64),
    /// A time before the packet's.
    Past,
    /// A time not before the packet's.
    Future,
    /// One of these (`true`), or none of these (`false`).
    OneOf(Vec<i64>, bool),
    /// In one of these ranges, bounds included.
    Within(Vec<(i64, i64)>),
    /// There is such a value.
    Present,
}

/// A number compared, as Suricata's integer keywords write it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NumberTest {
    /// `N`
    Equal(i64),
    /// `!N`
    NotEqual(i64),
    /// `<N`
    Less(i64),
    /// `<=N`
    LessOrEqual(i64),
    /// `>N`
    Greater(i64),
    /// `>=N`
    GreaterOrEqual(i64),
    /// `A-B`: both bounds excluded, as Suricata has it.
    Between(i64, i64),
    /// `!A-B`: not between, bounds counted as outside.
    Outside(i64, i64),
    /// `&N`: any of these bits is set.
    AnyBit(i64),
    /// `!&N`: none of these bits is set.
    NoBit(i64),
}

impl NumberTest {
    /// Whether `value` passes.
    pub fn matches(self, value: i64) -> bool {
        match self {
            NumberTest::Equal(n) => value == n,
            NumberTest::NotEqual(n) => value != n,
            NumberTest::Less(n) => value < n,
            NumberTest::LessOrEqual(n) => value <= n,
            NumberTest::Greater(n) => value > n,
            NumberTest::GreaterOrEqual(n) => value >= n,
            NumberTest::Between(low, high) => value > low && value < high,
            NumberTest::Outside(low, high) => value <= low || value >= high,
            NumberTest::AnyBit(bits) => value & bits != 0,
            NumberTest::NoBit(bits) => value & bits == 0,
        }
    }
}

impl ValueTest {
    /// Whether `value` passes; `now_s` is the packet's time in seconds since 1970.
    pub fn matches(&self, value: i64, now_s: i64) -> bool {
        match self {
            ValueTest::AnyBits(set, clear) => {
                (*set == 0 || value as u64 & set != 0) && value as u64 & clear == 0
            }
            ValueTest::Past => value < now_s,
            ValueTest::Future => value >= now_s,
            ValueTest::Number(test) => test.matches(value),
            ValueTest::Bits(set, clear) => value as u64 & set == *set && value as u64 & clear == 0,
            ValueTest::OneOf(values, wanted) => values.contains(&value) == *wanted,
            ValueTest::Within(ranges) => ranges.iter().any(|(low, high)| (*low..=*high).contains(&value)),
            ValueTest::Present => true,
        }
    }
}

/// A condition on a transaction that is not on a buffer.
#[derive(Debug)]
pub enum TxCondition {
    /// A value: holds when any of the values at that place passes.
    Value {
        /// The keyword.
        name: &'static str,
        /// Where the value is; never empty.
        slots: SmallVec<[Slot; 2]>,
        /// In which direction, `None` is both.
        direction: Option<Direction>,
        /// The test.
        test: ValueTest,
    },
    /// `app-layer-event:PROTOCOL.EVENT`: the event was raised on the transaction.
    Event {
        /// The event's name, as in `Protocol::events`.
        name: &'static str,
        /// The protocols that have it; never empty.
        protocols: SmallVec<[&'static Protocol; 2]>,
    },
    /// All of these on one and the same file of the transaction.
    File(Vec<FileTest>),
    /// `ftpbounce`: the IPv4 address at that place is not the client's.
    OtherHost {
        /// Where the address is; never empty.
        slots: SmallVec<[Slot; 2]>,
    },
    /// `dcerpc.iface`: the call is of an interface that passes.
    Interface {
        /// The protocols that carry calls; never empty.
        protocols: SmallVec<[&'static Protocol; 2]>,
        /// The test.
        test: InterfaceTest,
    },
}

/// A condition on the interface of a remote procedure call.
#[derive(Debug)]
pub struct InterfaceTest {
    /// The interface's UUID, in the order of its text.
    pub uuid: [u8; 16],
    /// Its version.
    pub version: Option<NumberTest>,
    /// Interfaces that were not asked for in a first fragment count too.
    pub any_fragment: bool,
}

impl InterfaceTest {
    /// Whether an accepted interface the call may be about passes.
    pub fn matches(&self, call: &Call<'_>) -> bool {
        call.interfaces.iter().any(|interface| {
            interface.accepted()
                && (self.any_fragment || interface.first_fragment)
                && interface.uuid == self.uuid
                && call.context_id.is_none_or(|id| id == interface.context_id)
                && self
                    .version
                    .is_none_or(|test| test.matches(interface.version.into()))
        })
    }
}

/// A condition on a file.
#[derive(Debug)]
pub enum FileTest {
    /// There is one (`filestore`).
    Any,
    /// The name contains this, in any case (`filename`); negated when `true`.
    Name(Box<[u8]>, bool),
    /// The name ends with a dot and this, in any case (`fileext`); negated when `true`.
    Extension(Box<[u8]>, bool),
    /// What libmagic says contains this (`filemagic`); negated when `true`.
    Magic(Box<[u8]>, bool),
    /// The size so far, or of the whole file (`filesize`).
    Size(NumberTest),
    /// MD5 is in the list; negated when `true`.
    Md5(Arc<[[u8; 16]]>, bool),
    /// SHA-1 is in the list; negated when `true`.
    Sha1(Arc<[[u8; 20]]>, bool),
    /// SHA-256 is in the list; negated when `true`.
    Sha256(Arc<[[u8; 32]]>, bool),
}

/// How alerts are counted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Track {
    /// By source address.
    BySrc,
    /// By destination address.
    ByDst,
    /// By the pair of addresses.
    ByBoth,
    /// By the rule alone.
    ByRule,
    /// By flow.
    ByFlow,
}

/// `threshold` or `detection_filter`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Threshold {
    /// What it does.
    pub kind: ThresholdKind,
    /// What is counted together.
    pub track: Track,
    /// How many.
    pub count: u32,
    /// In how long.
    pub seconds: u32,
}

/// What a threshold does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ThresholdKind {
    /// At most `count` alerts in `seconds`.
    Limit,
    /// An alert each `count` matches within `seconds`.
    Threshold,
    /// One alert in `seconds`, once `count` matches were made.
    Both,
    /// `detection_filter`: no match before `count` matches within `seconds`.
    DetectionFilter,
}

/// `reference:`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// `url`, `cve`, ...
    pub key: Box<str>,
    /// What is put before the value to make a URL; from the reference configuration, "" when it does not know the key.
    pub prefix: Arc<str>,
    /// The value.
    pub value: Box<str>,
}

/// `target:`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// The source is who is attacked.
    Source,
    /// The destination is.
    Destination,
}

/// Where a rule was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// Name of the source as it was given.
    pub file: Arc<str>,
    /// 1-based line it begins in.
    pub line: u32,
}

/// A rule.
#[derive(Debug)]
pub struct Signature {
    /// Position in the set after ordering; set by the rule set.
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
    /// `classtype`, "" without one.
    pub classtype: Arc<str>,
    /// What the classification configuration says of it (`alert.category`), "" without one.
    pub category: Arc<str>,
    /// 1 (highest) to 255: explicit, or the classification's, or 3.
    pub priority: u8,
    /// References, in order.
    pub references: Vec<Reference>,
    /// Metadata (key, value), in order.
    pub metadata: Vec<(Box<str>, Box<str>)>,
    /// Who is attacked.
    pub target: Option<Target>,
    /// `noalert` or `flowbits:noalert`: effects happen, no alert is raised.
    pub noalert: bool,
    /// `alert` in a pass rule: it alerts as well.
    pub also_alerts: bool,
    /// Run only where there is something to inspect (`Some(true)`: payload that is inspected, or stream data), or only
    /// where there is nothing.
    pub payload_need: Option<bool>,

    /// Protocols, addresses, ports.
    pub header: Header,
    /// The application protocol the rule asks for, in its header or by its keywords; "" when it asks for none.
    pub app: &'static str,
    /// The compiled-in protocols that are meant by `app` (`http` is HTTP/1 and HTTP/2); empty when it asks for none.
    pub protocols: SmallVec<[&'static Protocol; 2]>,
    /// How it is run.
    pub kind: Kind,
    /// Which direction of a flow it is limited to by `flow:` and its buffers; `None` is both.
    pub direction: Option<Direction>,
    /// `flow:`, if there is one.
    pub flow: Option<FlowCondition>,

    /// Conditions on the packet, in order.
    pub packet: Vec<Box<dyn PacketCondition>>,
    /// Conditions on what is remembered of flows, hosts and host pairs, in order.
    pub state: Vec<StateTest>,
    /// Conditions on the payload; empty when there are none.
    pub payload: Chain,
    /// What the payload conditions are run on.
    pub payload_on: PayloadOn,
    /// Conditions on buffers, in order.
    pub groups: Vec<BufferGroup>,
    /// Other conditions on transactions, in order.
    pub transaction: Vec<TxCondition>,
    /// What a prefilter can look for; `None` when there is no content that must be there.
    pub fast_pattern: Option<FastPattern>,
    /// `prefilter` was given with a keyword that is not content: do not use contents.
    pub prefilter_keyword: Option<&'static str>,
    /// In which order its conditions on transactions are asked; empty for other rules.
    pub plans: Vec<Plan>,
    /// How many variables its chains use (see [`super::chain::VarId`]).
    pub variables: u8,

    /// What happens on a match, in order.
    pub effects: Vec<Effect>,
    /// Its expressions capture variables.
    pub captures: bool,
    /// `threshold`, if there is one.
    pub threshold: Option<Threshold>,
    /// `detection_filter`, if there is one.
    pub detection_filter: Option<Threshold>,

    /// The rule as it was written, without line continuations.
    pub text: Arc<str>,
    /// Where.
    pub origin: Origin,
}

impl Signature {
    /// Whether the rule can match transactions of this protocol.
    pub fn is_about(&self, protocol: &Protocol) -> bool {
        self.plans
            .iter()
            .any(|plan| std::ptr::eq(plan.protocol, protocol))
    }

    /// Whether the rule asks for anything of transactions.
    pub fn on_transactions(&self) -> bool {
        !self.transaction.is_empty()
            || self
                .groups
                .iter()
                .any(|group| matches!(group.place, Place::Transaction(_)))
    }
}
