//! What it means: application protocols, found by looking, parsed incrementally into transactions.
//!
//! To add a protocol: one file with a `pub static PROTOCOL: Protocol` and its [`Parser`], and one line in [`PROTOCOLS`].
//!
//! A parser is handed contiguous octets of one direction and says how many it used; what it did not use comes again with
//! more behind it. It makes transactions; rules ask these for buffers and values by the names the protocol declares.

pub mod coding;
pub mod dcerpc;
pub mod detected;
pub mod dhcp;
pub mod dns;
pub mod ftp;
pub mod http1;
pub mod http2;
pub mod layer;
pub mod ntp;
mod octets;
pub mod quic;
pub mod smb;
pub mod smtp;
pub mod ssh;
pub mod table;
pub mod tls;
#[cfg(test)]
mod toy;
pub mod transaction;

pub use layer::{Announced, AppLayer, Fed, FlowFacts, Found};
pub use table::AppTable;
pub use transaction::{Buffer, DetectState, Files, Transaction, TxMeta, TxQueue};

use crate::config::AppProtocol;
use crate::packet::Direction;
use crate::time::Timestamp;

/// What a look at the first octets says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Probe {
    /// It is this protocol; the octets were sent in the direction they were shown as.
    Certain,
    /// It is this protocol, but the flow is the wrong way round: what was shown as to-server comes from the server.
    Reversed,
    /// More octets are needed.
    Unsure,
    /// It is not.
    No,
}

/// Looks at the first octets of a direction.
pub type ProbeFn = fn(octets: &[u8], direction: Direction) -> Probe;

/// Makes a fresh parser for a flow.
pub type StartFn = fn(options: &AppProtocol, carrier: Carrier) -> Box<dyn Parser>;

/// Over what a protocol runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carrier {
    /// TCP.
    Tcp,
    /// UDP, a datagram at a time.
    Udp,
}

/// Both directions, for buffers and values.
pub const BOTH: &[Direction] = &[Direction::ToServer, Direction::ToClient];
/// To-server only.
pub const TO_SERVER: &[Direction] = &[Direction::ToServer];
/// To-client only.
pub const TO_CLIENT: &[Direction] = &[Direction::ToClient];

/// A place in a transaction that rules can look at: sticky buffer.
#[derive(Clone, Copy, Debug)]
pub struct BufferSpec {
    /// Suricata's name: `"http.uri"`. Several protocols may offer the same name.
    pub name: &'static str,
    /// The directions it is inspected in.
    pub directions: &'static [Direction],
    /// Least progress of the transaction in that direction at which it is complete enough to look at.
    pub progress: u8,
    /// There may be several: index 0, 1, ... are asked for until there is none.
    pub multi: bool,
    /// Grows: inspected in windows as it comes, what was inspected is not inspected again.
    pub streaming: bool,
}

impl BufferSpec {
    /// A buffer that is there at once or not at all.
    pub const fn new(name: &'static str, directions: &'static [Direction], progress: u8) -> BufferSpec {
        BufferSpec {
            name,
            directions,
            progress,
            multi: false,
            streaming: false,
        }
    }

    /// The same, but there may be several.
    pub const fn multi(mut self) -> BufferSpec {
        self.multi = true;
        self
    }

    /// The same, but it grows.
    pub const fn streaming(mut self) -> BufferSpec {
        self.streaming = true;
        self
    }
}

/// A number or flag of a transaction that rules can compare: `"dns.opcode"`, `"tls.version"`.
#[derive(Clone, Copy, Debug)]
pub struct ValueSpec {
    /// Suricata's keyword.
    pub name: &'static str,
    /// The directions it is inspected in.
    pub directions: &'static [Direction],
    /// Least progress.
    pub progress: u8,
}

/// A protocol: what it is called, how it is found, how it is parsed, what rules can look at.
#[derive(Debug)]
pub struct Protocol {
    /// Name in rules and in EVE's `app_proto`: `"http"`.
    pub name: &'static str,
    /// Other names rules use for it.
    pub aliases: &'static [&'static str],
    /// What it runs over.
    pub carriers: &'static [Carrier],
    /// How it is looked for on certain ports, when patterns say nothing.
    pub probing: &'static [Probing],
    /// Patterns that are tried on every port.
    pub patterns: &'static [Pattern],
    /// The direction that must speak first, if one must.
    pub first: Option<Direction>,
    /// Looks at what flows send that were picked up midstream, instead of its other probes.
    pub midstream: Option<ProbeFn>,
    /// Its parser can go on after lost octets.
    pub accepts_gaps: bool,
    /// Octets of a TCP direction that are reassembled, where that is not what the configuration says for all; 0 is all.
    pub stream_depth: Option<u64>,
    /// A fresh parser for a flow; `None` is detection only.
    pub start: Option<StartFn>,
    /// Buffers of its transactions; the index in this list is the slot asked for.
    pub buffers: &'static [BufferSpec],
    /// Values of its transactions; the index in this list is the slot asked for.
    pub values: &'static [ValueSpec],
    /// Names of its app-layer events, as in `app-layer-event:http.NAME`.
    pub events: &'static [&'static str],
}

impl Protocol {
    /// What is true of a protocol that is only detected; to be filled in by `Protocol { name: .., ..Protocol::DETECTED }`.
    pub const DETECTED: Protocol = Protocol {
        name: "",
        aliases: &[],
        carriers: &[Carrier::Tcp],
        probing: &[],
        patterns: &[],
        first: None,
        midstream: None,
        accepts_gaps: false,
        stream_depth: None,
        start: None,
        buffers: &[],
        values: &[],
        events: &[],
    };
}

/// A probe on certain ports.
#[derive(Clone, Copy, Debug)]
pub struct Probing {
    /// Over what.
    pub carrier: Carrier,
    /// Server ports; the configuration may replace them.
    pub ports: &'static [u16],
    /// Also when the client has one of these ports (Suricata's `sp` registration).
    pub client_ports: &'static [u16],
    /// Octets before which it is not asked.
    pub min: usize,
    /// Octets of one direction after which "unsure" is "no"; 0 is never.
    pub max: usize,
    /// Looks at what the client sent.
    pub to_server: Option<ProbeFn>,
    /// Looks at what the server sent.
    pub to_client: Option<ProbeFn>,
}

/// A pattern that betrays a protocol.
#[derive(Clone, Copy, Debug)]
pub struct Pattern {
    /// Over what.
    pub carrier: Carrier,
    /// Sent in which direction.
    pub direction: Direction,
    /// What it looks like.
    pub octets: &'static [u8],
    /// Case does not matter.
    pub nocase: bool,
    /// Earliest start.
    pub offset: u16,
    /// Latest end; the look waits for that many octets.
    pub depth: u16,
    /// Has the last word on a hit: (probe, octets it needs, octets after which "unsure" is "no").
    pub confirm: Option<(ProbeFn, usize, usize)>,
}

impl Pattern {
    /// Octets right at the start of a TCP direction.
    pub const fn tcp(direction: Direction, octets: &'static [u8]) -> Pattern {
        Pattern {
            carrier: Carrier::Tcp,
            direction,
            octets,
            nocase: false,
            offset: 0,
            depth: octets.len() as u16,
            confirm: None,
        }
    }

    /// The same over UDP.
    pub const fn udp(direction: Direction, octets: &'static [u8]) -> Pattern {
        let mut pattern = Pattern::tcp(direction, octets);
        pattern.carrier = Carrier::Udp;
        pattern
    }

    /// In any case of letters.
    pub const fn nocase(mut self) -> Pattern {
        self.nocase = true;
        self
    }

    /// Exactly at `offset`.
    pub const fn at(mut self, offset: u16) -> Pattern {
        self.offset = offset;
        self.depth = offset + self.octets.len() as u16;
        self
    }

    /// Confirmed by a probe.
    pub const fn confirmed(mut self, probe: ProbeFn, min: usize, max: usize) -> Pattern {
        self.confirm = Some((probe, min, max));
        self
    }
}

/// Octets handed to a parser.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    /// Contiguous octets, from the first one not used yet.
    pub data: &'a [u8],
    /// Octets lost before `data` (never seen, given up on). `data` is what follows, may be empty.
    pub gap: u64,
    /// Nothing follows in this direction.
    pub eof: bool,
    /// Time of the packet that completed this.
    pub now: Timestamp,
    /// Number of that packet.
    pub packet: u64,
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// This many octets of `data` were used; the rest is shown again when more came.
    Used(usize),
    /// It is not what it claims to be: parsing of this flow ends.
    Failed,
    /// The rest is not of interest (encrypted): both directions are let go.
    Finished,
}

/// What a parser may ask of the engine besides.
#[derive(Debug, Default)]
pub struct Requests {
    /// Inspect the raw stream of these directions now.
    pub trigger_raw: [bool; 2],
    /// From here on the flow speaks another protocol (STARTTLS, CONNECT, Upgrade): by name, or "" to look again.
    pub change_protocol: Option<&'static str>,
    /// Server port to go by when looking again (CONNECT host:port); 0 is the flow's own.
    pub change_port: u16,
    /// What follows is encrypted: raw payload and stream inspection of both directions ends, parsing goes on.
    pub opaque_payload: bool,
    /// What the parser of the protocol changed to is to know ([`Parser::announced`]).
    pub note: Vec<u8>,
    /// A flow that will come (FTP data, ...).
    pub expect: Option<Expectation>,
}

/// A flow another flow announced.
#[derive(Clone, Debug)]
pub struct Expectation {
    /// Protocol it will speak.
    pub protocol: &'static str,
    /// Server port; 0 is any.
    pub dport: u16,
    /// The direction of the flow that comes in which octets are expected.
    pub direction: Direction,
    /// What the announcing parser wants the new one to know (a file name, a command).
    pub note: Vec<u8>,
}

/// An incremental parser of one flow, both directions.
pub trait Parser: Send {
    /// Take octets of one direction.
    ///
    /// Must give the same transactions wherever the stream is cut, and must not panic on any octets.
    fn parse(&mut self, direction: Direction, input: &Input<'_>, requests: &mut Requests) -> Parsed;

    /// The transactions, oldest first.
    fn transactions(&self) -> &dyn Transactions;

    /// The transactions, to change their engine-side state.
    fn transactions_mut(&mut self) -> &mut dyn Transactions;

    /// The flow was picked up midstream: what it is shown first may begin within a message.
    fn midstream(&mut self) {}

    /// What was announced for this flow by another (see [`Expectation`]).
    fn announced(&mut self, _note: &[u8]) {}
}

/// A bounded queue of transactions with ever-growing ids.
pub trait Transactions {
    /// Id of the oldest one held.
    fn first(&self) -> u64;
    /// Id after the newest one.
    fn end(&self) -> u64;
    /// One of them; `None` when it is gone or not there yet.
    fn get(&self, id: u64) -> Option<&dyn Transaction>;
    /// The same, to change it.
    fn get_mut(&mut self, id: u64) -> Option<&mut dyn Transaction>;
    /// Id of the first one held from `id` on; may name one that is gone.
    fn next_from(&self, id: u64) -> Option<u64> {
        let id = id.max(self.first());
        (id < self.end()).then_some(id)
    }
    /// Let one go (the engine is done with it).
    fn release(&mut self, id: u64);
}

impl dyn Transactions + '_ {
    /// Ids of those held; may name some that are gone.
    pub fn ids(&self) -> impl Iterator<Item = u64> + '_ {
        std::iter::successors(self.next_from(0), |id| self.next_from(id + 1))
    }
}

/// All protocols, in the order they are tried. One line each.
pub static PROTOCOLS: &[&Protocol] = &[
    &http1::PROTOCOL,
    &tls::PROTOCOL,
    &smtp::PROTOCOL,
    &ssh::PROTOCOL,
    &ftp::PROTOCOL,
    &ftp::data::PROTOCOL,
    &dns::PROTOCOL,
    &http2::PROTOCOL,
    &smb::PROTOCOL,
    &dcerpc::PROTOCOL,
    &detected::RFB,
    &detected::IMAP,
    &detected::MQTT,
    &detected::RDP,
    &detected::TELNET,
    &detected::MODBUS,
    &detected::DNP3,
    &detected::ENIP,
    &detected::KRB5,
    &ntp::PROTOCOL,
    &detected::SNMP,
    &detected::SIP,
    &detected::TFTP,
    &detected::IKE,
    &dhcp::PROTOCOL,
    &quic::PROTOCOL,
    &detected::BITTORRENT_DHT,
    #[cfg(test)]
    &toy::PROTOCOL,
];

/// The protocol that rules or records call `name`.
pub fn protocol(name: &str) -> Option<&'static Protocol> {
    PROTOCOLS
        .iter()
        .copied()
        .find(|protocol| protocol.name == name || protocol.aliases.contains(&name))
}
