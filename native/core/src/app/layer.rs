//! A flow's application layer: finding the protocol, feeding its parser.
//!
//! The two directions are looked at apart. Patterns (any port) have the first word, then probes (by port), then what
//! another flow announced. The first direction that is recognised names the flow; if the other disagrees before a
//! parser ran, the server is believed. What was shown to a direction before its protocol is known is kept by the stream
//! and shown again: nothing is used up until a parser took it.

mod datagram;
mod found;
mod look;
mod recognise;

pub use found::Found;
use look::Look;

use super::table::AppTable;
use super::{Carrier, Expectation, Input, Parsed, Parser, Protocol, Requests};
use crate::packet::Direction;

/// What the application layer needs to know of the flow.
#[derive(Clone, Copy, Debug, Default)]
pub struct FlowFacts {
    /// Ports of the client and the server.
    pub ports: [u16; 2],
    /// TCP: the session was picked up without a handshake at all (not even its SYN+ACK).
    pub midstream: bool,
    /// TCP: the handshake is complete.
    pub established: bool,
    /// TCP: windows of client and server, scaled.
    pub windows: [u32; 2],
}

/// What feeding did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fed {
    /// Octets of each direction (as given, before any reversal) that need not be shown again.
    pub used: [usize; 2],
    /// The flow turned out the wrong way round: the caller swaps client and server, and its directions.
    pub reversed: bool,
    /// Nothing needs to be shown any more, in either direction.
    pub over: bool,
    /// A datagram: it told what its direction speaks, or that this will not be known.
    pub settled: bool,
}

/// What another flow announced.
#[derive(Clone, Debug)]
pub struct Announced {
    /// Protocol the flow will speak.
    pub protocol: &'static Protocol,
    /// In which direction it will.
    pub direction: Direction,
    /// For its parser.
    pub note: Vec<u8>,
    /// The flow that announced it.
    pub parent: u64,
}

/// Application-layer state of one flow.
#[derive(Default)]
pub struct AppLayer {
    /// The protocol of the flow.
    pub found: Found,
    /// The protocol by direction (`app_proto_ts`, `app_proto_tc`).
    pub by_direction: [Found; 2],
    /// What it was before STARTTLS, CONNECT or Upgrade.
    pub original: Option<&'static Protocol>,
    /// What it was announced to become then.
    pub expected: Option<&'static Protocol>,
    /// Detection of a direction is over, one way or the other.
    pub detection_done: [bool; 2],
    /// It became known, one way or the other, what a direction speaks: rules on nothing but that are due at the next
    /// packet of the direction; taken by the engine.
    pub settled: [bool; 2],
    /// The parser, once the protocol is known.
    pub parser: Option<Box<dyn Parser>>,
    /// Nothing more will come in a direction: its transactions are as complete as they will be.
    pub ended: [bool; 2],
    /// The parser was given something in a direction since rules last looked there; taken by the engine.
    pub updated: [bool; 2],
    /// The parser was given something with the packet at hand; taken by the engine.
    pub fed: bool,
    /// No octets are taken any more (failed, finished, not recognised).
    pub over: bool,
    /// The parser said that the rest is not of interest.
    pub finished: bool,
    /// Payload is encrypted: raw payload and stream inspection ended.
    pub opaque_payload: bool,
    /// Raw stream inspection of these directions is wanted now; taken by the engine.
    pub trigger_raw: [bool; 2],
    /// What another flow announced for this one; set by the engine until a protocol is found.
    pub announced: Option<Announced>,
    /// The flow that announced this one, once this one was found to be what it announced.
    pub announced_by: Option<u64>,
    /// Flows this one announced; taken by the engine.
    pub expectations: Vec<Expectation>,
    /// A transaction was let go of though nothing had said that it was complete in a direction.
    pub left_open: [bool; 2],
    /// Detection-level events (`applayer_mismatch_protocol_both_directions`, ...) with the direction of the octets that
    /// raised them; taken by the engine.
    pub events: Vec<(&'static str, Direction)>,
    look: [Look; 2],
    /// Direction of the flow's first octets, until a parser was fed.
    first_seen: Option<Direction>,
    fed_parser: bool,
    /// Server port to go by instead of the flow's.
    port: u16,
    /// The parser asked to look again.
    changing: bool,
    /// The flow was picked up midstream.
    midstream: bool,
    /// What it wants the next parser to know.
    note: Vec<u8>,
}

impl std::fmt::Debug for AppLayer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AppLayer")
            .field("found", &self.found.name())
            .field("over", &self.over)
            .finish_non_exhaustive()
    }
}

impl AppLayer {
    /// The protocol, if it is known.
    pub fn protocol(&self) -> Option<&'static Protocol> {
        self.found.protocol()
    }

    /// The protocol is left for another that is not known yet.
    pub fn is_changing(&self) -> bool {
        self.changing
    }

    /// Detection gave up.
    pub fn failed(&self) -> bool {
        self.found == Found::Failed
    }

    /// Octets of a direction were seen (though not yet acknowledged): called by the stream before anything is fed.
    pub fn saw(&mut self, direction: Direction) {
        self.first_seen.get_or_insert(direction);
    }

    /// Take what both directions of a TCP stream hold now; `direction` is the one that grew or ended.
    ///
    /// `inputs` are by direction and begin at the first octet not used yet. The other direction's octets are given to
    /// the parser too when they came first and were only waiting for the protocol to be known.
    pub fn feed_stream(
        &mut self,
        table: &AppTable,
        flow: &FlowFacts,
        direction: Direction,
        inputs: &[Input<'_>; 2],
    ) -> Fed {
        let mut fed = Fed::default();
        if self.over {
            fed.over = true;
            return fed;
        }
        self.midstream = flow.midstream;
        self.feed_direction(table, flow, direction, inputs, &mut fed);
        fed.over = self.over;
        fed
    }

    fn feed_direction(
        &mut self,
        table: &AppTable,
        flow: &FlowFacts,
        direction: Direction,
        inputs: &[Input<'_>; 2],
        fed: &mut Fed,
    ) {
        let at = direction.index();
        let input = &inputs[at];
        if input.data.is_empty() && input.gap == 0 && !input.eof {
            return;
        }
        if !input.data.is_empty() {
            self.saw(direction);
        }
        if input.gap > 0 {
            self.look[at].started = true;
            if self.by_direction[at].is_unknown() {
                self.detection_done[at] = true;
                if self.found.is_unknown() {
                    fed.used[at] = input.data.len();
                    self.over = self.detection_done[1 - at];
                    return;
                }
            }
            if self.changing {
                self.changing = false;
                self.over = true;
                return;
            }
        }
        if self.by_direction[at].is_unknown() && !self.look[at].started {
            self.detect(table, flow, direction, inputs, fed);
        } else if !self.by_direction[at].is_unknown() && self.changing {
            self.detect_again(table, flow, direction, inputs, fed);
        } else if self.found.protocol().is_some() {
            self.parse(table, Carrier::Tcp, direction, input, at, fed);
        } else {
            fed.used[at] = input.data.len();
        }
    }

    fn swap(&mut self) {
        self.by_direction.swap(0, 1);
        self.detection_done.swap(0, 1);
        self.settled.swap(0, 1);
        self.look.swap(0, 1);
        self.ended.swap(0, 1);
        self.updated.swap(0, 1);
        self.left_open.swap(0, 1);
        self.first_seen = self.first_seen.map(Direction::opposite);
    }

    /// Give octets to the parser. `given` is the index of the direction as the caller knows it.
    fn parse(
        &mut self,
        table: &AppTable,
        carrier: Carrier,
        direction: Direction,
        input: &Input<'_>,
        given: usize,
        fed: &mut Fed,
    ) {
        let at = direction.index();
        self.look[at].started |= !input.data.is_empty() || input.gap > 0;
        let Some(protocol) = self.protocol() else { return };
        let (Some(start), Some(options)) = (protocol.start, table.options(protocol, carrier)) else {
            self.over = true;
            return;
        };
        if input.gap > 0 && !protocol.accepts_gaps {
            self.end_both();
            return;
        }
        self.ended[at] |= input.eof;
        self.updated[at] = true;
        self.fed = true;
        let (announced, midstream) = (&mut self.announced, self.midstream);
        let parser = self.parser.get_or_insert_with(|| {
            let mut parser = start(options, carrier);
            if midstream {
                parser.midstream();
            }
            if let Some(announced) = announced.take() {
                parser.announced(&announced.note);
            }
            let note = std::mem::take(&mut self.note);
            if !note.is_empty()
                && self
                    .expected
                    .is_some_and(|expected| std::ptr::eq(expected, protocol))
            {
                parser.announced(&note);
            }
            parser
        });
        let mut requests = Requests::default();
        let parsed = parser.parse(direction, input, &mut requests);
        match parsed {
            Parsed::Used(used) => fed.used[given] = used.min(input.data.len()),
            Parsed::Failed | Parsed::Finished => {
                fed.used[given] = input.data.len();
                self.finished |= parsed == Parsed::Finished;
                self.end_both();
            }
        }
        self.take(requests, protocol);
    }

    fn end_both(&mut self) {
        self.ended = [true; 2];
        self.over = true;
    }

    fn take(&mut self, requests: Requests, protocol: &'static Protocol) {
        for (ours, theirs) in self.trigger_raw.iter_mut().zip(requests.trigger_raw) {
            *ours |= theirs;
        }
        self.opaque_payload |= requests.opaque_payload;
        self.expectations.extend(requests.expect);
        // One change at a time: what asks for another while it is looked for is not listened to.
        if let (Some(name), false) = (requests.change_protocol, self.changing) {
            self.changing = true;
            self.original = Some(protocol);
            self.expected = super::protocol(name);
            self.port = requests.change_port;
            self.note = requests.note;
        }
    }
}

#[cfg(test)]
mod tests;
