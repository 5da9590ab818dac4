//! A flow's application layer: finding the protocol, feeding its parser.
//!
//! The two directions are looked at apart. Patterns (any port) have the first word, then probes (by port), then what
//! another flow announced. The first direction that is recognised names the flow; if the other disagrees before a
//! parser ran, the server is believed. What was shown to a direction before its protocol is known is kept by the stream
//! and shown again: nothing is used up until a parser took it.

use super::table::{protocol_at, AppTable};
use super::{Carrier, Expectation, Input, Parsed, Parser, Probe, Protocol, Requests};
use crate::packet::Direction;

/// Octets both directions may hold before detection gives up, at least.
const GIVE_UP_OCTETS: u64 = 100_000;
/// Octets after which detection gives up when a protocol was left for another.
const CHANGE_GIVE_UP_OCTETS: usize = 4096;

/// What is known of a protocol.
#[derive(Clone, Copy, Debug, Default)]
pub enum Found {
    /// Not known yet.
    #[default]
    Unknown,
    /// Will not be known.
    Failed,
    /// Known.
    Is(&'static Protocol),
}

impl Found {
    /// The protocol, if known.
    pub fn protocol(self) -> Option<&'static Protocol> {
        match self {
            Found::Is(protocol) => Some(protocol),
            _ => None,
        }
    }

    /// Name in records; `None` while unknown.
    pub fn name(self) -> Option<&'static str> {
        match self {
            Found::Unknown => None,
            Found::Failed => Some("failed"),
            Found::Is(protocol) => Some(protocol.name),
        }
    }

    fn is_unknown(self) -> bool {
        matches!(self, Found::Unknown)
    }
}

impl PartialEq for Found {
    fn eq(&self, other: &Found) -> bool {
        match (self, other) {
            (Found::Is(a), Found::Is(b)) => std::ptr::eq(*a, *b),
            (Found::Unknown, Found::Unknown) | (Found::Failed, Found::Failed) => true,
            _ => false,
        }
    }
}

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

/// How far detection of a direction got.
#[derive(Clone, Copy, Debug, Default)]
struct Look {
    patterns_done: bool,
    probes_done: bool,
    announced_done: bool,
    /// Protocols whose probes said no.
    refused: u64,
    /// Octets were used or lost: what comes is not the start.
    started: bool,
}

impl Look {
    fn done(self) -> bool {
        self.patterns_done && self.probes_done
    }
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

    /// Look at what came after a parser asked for another protocol.
    fn detect_again(
        &mut self,
        table: &AppTable,
        flow: &FlowFacts,
        direction: Direction,
        inputs: &[Input<'_>; 2],
        fed: &mut Fed,
    ) {
        let before = (self.found, self.by_direction, self.detection_done, self.ended);
        let parser = self.parser.take();
        // The engine ended the parser so far when it asked for another.
        self.ended = [false; 2];
        self.look = [Look::default(); 2];
        self.found = Found::Unknown;
        self.by_direction = [Found::Unknown; 2];
        self.detection_done = [false; 2];
        self.detect(table, flow, direction, inputs, fed);
        if self.found.is_unknown() {
            (self.found, self.by_direction, self.detection_done, self.ended) = before;
            self.parser = parser;
            return;
        }
        self.changing = false;
        if let (Some(expected), Some(protocol)) = (self.expected, self.protocol()) {
            if !std::ptr::eq(expected, protocol) {
                self.events.push(("applayer_unexpected_protocol", direction));
                if expected.name == "tls" {
                    self.events.push(("applayer_no_tls_after_starttls", direction));
                }
            }
        }
        if self.parser.is_none() && self.over {
            // Nothing took the old parser's place; its transactions are still to be told.
            self.parser = parser;
        }
    }

    fn detect(
        &mut self,
        table: &AppTable,
        flow: &FlowFacts,
        direction: Direction,
        inputs: &[Input<'_>; 2],
        fed: &mut Fed,
    ) {
        let mut at = direction.index();
        let given = at;
        let input = &inputs[given];
        let (found, reversed) = self.look_at(table, flow, Carrier::Tcp, direction, input.data);
        if found.is_unknown() {
            self.not_recognised(table, flow, direction, inputs, fed);
            return;
        }
        self.by_direction[at] = found;
        let other = self.by_direction[1 - at];
        self.found = found;
        if !other.is_unknown() && other != found {
            self.events
                .push(("applayer_mismatch_protocol_both_directions", direction));
            if self.fed_parser || direction == Direction::ToServer {
                self.found = other;
            }
        }
        self.detection_done[at] = true;
        let mut direction = direction;
        if reversed && flow.midstream && other.is_unknown() {
            self.swap();
            fed.reversed = true;
            at = 1 - at;
            direction = direction.opposite();
        }
        if let (false, Some(first)) = (self.fed_parser, self.first_seen) {
            if first != direction {
                self.feed_waiting(table, flow, direction.opposite(), inputs, 1 - given, fed);
                if self.over {
                    return;
                }
                if self.changing {
                    // The other direction was recognised as what this one is: nothing changed after all.
                    self.changing = false;
                    self.events.push(("applayer_unexpected_protocol", direction));
                }
            }
        }
        if let (false, Some(must)) = (
            self.fed_parser,
            self.protocol().and_then(|protocol| protocol.first),
        ) {
            if self.first_seen.is_some_and(|first| first != must) {
                self.events
                    .push(("applayer_wrong_direction_first_data", direction));
                self.give_up();
                return;
            }
            if must != direction {
                // The right direction came first but is not acknowledged yet: look again when it is.
                self.found = Found::Unknown;
                self.by_direction[at] = Found::Unknown;
                self.detection_done[at] = false;
                self.look[at] = Look::default();
                return;
            }
        }
        self.fed_parser = true;
        self.parse(table, Carrier::Tcp, direction, input, given, fed);
    }

    /// Feed the direction that came first and was waiting.
    fn feed_waiting(
        &mut self,
        table: &AppTable,
        flow: &FlowFacts,
        direction: Direction,
        inputs: &[Input<'_>; 2],
        given: usize,
        fed: &mut Fed,
    ) {
        let at = direction.index();
        let input = &inputs[given];
        if input.data.is_empty() && input.gap == 0 {
            return;
        }
        if !self.by_direction[at].is_unknown() || self.look[at].started {
            return;
        }
        let (found, _) = self.look_at(table, flow, Carrier::Tcp, direction, input.data);
        let other = self.by_direction[1 - at];
        if found.is_unknown() {
            if !self.look[at].done() {
                return;
            }
            if self
                .protocol()
                .and_then(|protocol| protocol.first)
                .is_some_and(|must| must != direction)
            {
                self.give_up();
                return;
            }
            self.fed_parser = true;
            self.parse(table, Carrier::Tcp, direction, input, given, fed);
            self.events
                .push(("applayer_detect_protocol_only_one_direction", direction));
            self.by_direction[at] = Found::Failed;
        } else {
            self.by_direction[at] = found;
            if other != found {
                self.events
                    .push(("applayer_mismatch_protocol_both_directions", direction));
                if direction == Direction::ToClient {
                    self.found = found;
                }
            }
            let must = self.protocol().and_then(|protocol| protocol.first);
            if must.is_some_and(|must| Some(must) != self.first_seen) {
                self.events
                    .push(("applayer_wrong_direction_first_data", direction));
                self.give_up();
                return;
            }
            self.fed_parser = true;
            self.parse(table, Carrier::Tcp, direction, input, given, fed);
        }
        self.detection_done[at] = true;
    }

    fn not_recognised(
        &mut self,
        table: &AppTable,
        flow: &FlowFacts,
        direction: Direction,
        inputs: &[Input<'_>; 2],
        fed: &mut Fed,
    ) {
        let at = direction.index();
        let input = &inputs[at];
        // A session picked up midstream must be recognised by what the client sends: else its start is missing.
        if flow.midstream && self.look[0].done() {
            self.give_up();
            return;
        }
        let other = self.by_direction[1 - at];
        if other.is_unknown() {
            if self.changing {
                if input.data.len() >= CHANGE_GIVE_UP_OCTETS || input.eof {
                    self.give_up();
                }
            } else if flow.established {
                self.bail(table, flow, direction, inputs);
            }
            return;
        }
        let must = other.protocol().and_then(|protocol| protocol.first);
        if !self.fed_parser && must.is_some_and(|must| must != direction) {
            self.give_up();
            return;
        }
        if self.look[at].done() {
            if !input.data.is_empty() {
                self.fed_parser = true;
            }
            if other != Found::Failed {
                self.parse(table, Carrier::Tcp, direction, input, at, fed);
                self.events
                    .push(("applayer_detect_protocol_only_one_direction", direction));
            }
            self.by_direction[at] = Found::Failed;
            self.detection_done[at] = true;
        } else if input.eof {
            self.by_direction[at] = self.found;
            self.detection_done[at] = true;
        }
    }

    /// Both directions unknown: is it time to stop holding octets?
    fn bail(&mut self, table: &AppTable, flow: &FlowFacts, direction: Direction, inputs: &[Input<'_>; 2]) {
        let size = [inputs[0].data.len() as u64, inputs[1].data.len() as u64];
        let depth = if table.depth == 0 { u64::MAX } else { table.depth };
        // What the server may send is bounded by the client's window.
        let limit = [
            GIVE_UP_OCTETS.max(u64::from(flow.windows[1]).min(depth)),
            GIVE_UP_OCTETS.max(u64::from(flow.windows[0]).min(depth)),
        ];
        let done = [
            self.detection_done[0] || self.look[0].done(),
            self.detection_done[1] || self.look[1].done(),
        ];
        if done[0] && done[1] {
            self.give_up();
            return;
        }
        let looked = [self.look[0].done(), self.look[1].done()];
        let waits = |at: usize| self.look[at].probes_done && !self.look[at].patterns_done;
        let skip = size[0] > 2 * limit[0]
            || size[1] > 2 * limit[1]
            || (looked[0] && size[0] > limit[0] && size[1] == 0)
            || (looked[1] && size[1] > limit[1] && size[0] == 0)
            || (size[1] > limit[1] && waits(0) && looked[1])
            || (size[0] > limit[0] && waits(1) && looked[0]);
        if skip {
            self.events.push(("applayer_proto_detection_skipped", direction));
            self.give_up();
        }
    }

    /// No application layer for this flow (any more).
    fn give_up(&mut self) {
        self.parser = None;
        self.found = Found::Failed;
        for found in &mut self.by_direction {
            if found.is_unknown() {
                *found = Found::Failed;
            }
        }
        self.detection_done = [true; 2];
        self.fed_parser = true;
        self.over = true;
    }

    fn swap(&mut self) {
        self.by_direction.swap(0, 1);
        self.detection_done.swap(0, 1);
        self.look.swap(0, 1);
        self.ended.swap(0, 1);
        self.updated.swap(0, 1);
        self.first_seen = self.first_seen.map(Direction::opposite);
    }

    /// Take one datagram.
    pub fn feed_datagram(
        &mut self,
        table: &AppTable,
        flow: &FlowFacts,
        direction: Direction,
        input: &Input<'_>,
    ) -> Fed {
        let mut fed = Fed::default();
        let at = direction.index();
        if self.by_direction == [Found::Failed, Found::Failed] {
            fed.over = true;
            return fed;
        }
        let mut direction = direction;
        if self.by_direction[at].is_unknown() {
            let (found, reversed) = self.look_at(table, flow, Carrier::Udp, direction, input.data);
            let other = self.by_direction[1 - at];
            match found {
                Found::Is(_) => {
                    self.by_direction[at] = found;
                    match other {
                        Found::Is(_) if other != found => {
                            self.events
                                .push(("applayer_mismatch_protocol_both_directions", direction));
                        }
                        Found::Is(_) => {}
                        _ => self.found = found,
                    }
                }
                _ if other.is_unknown() => self.by_direction[at] = Found::Failed,
                _ => {
                    self.found = other;
                    self.by_direction[at] = other;
                }
            }
            if other.is_unknown() && self.found.is_unknown() {
                self.found = Found::Failed;
            }
            self.detection_done = [true; 2];
            if reversed && self.protocol().is_some() {
                self.swap();
                fed.reversed = true;
                direction = direction.opposite();
            }
        }
        if self.protocol().is_some() && !self.over {
            self.parse(table, Carrier::Udp, direction, input, at, &mut fed);
        }
        fed.over = self.over;
        fed
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

    /// What `data` is, and whether it shows the flow the wrong way round.
    fn look_at(
        &mut self,
        table: &AppTable,
        flow: &FlowFacts,
        carrier: Carrier,
        direction: Direction,
        data: &[u8],
    ) -> (Found, bool) {
        let at = direction.index();
        let mut by_pattern = None;
        if !self.look[at].patterns_done {
            if let Some((protocol, reversed)) = self.by_patterns(table, carrier, direction, data) {
                let other = 1 - at;
                if self.look[other].probes_done && self.by_direction[other].is_unknown() {
                    self.look[other].probes_done = false;
                    self.look[other].refused = 0;
                }
                // DCERPC's two octets over UDP are weak: a probe may know better.
                if !(carrier == Carrier::Udp && protocol.name == "dcerpc") {
                    return (Found::Is(protocol), reversed);
                }
                by_pattern = Some((protocol, reversed));
            }
        }
        if !self.look[at].probes_done {
            if let Some((protocol, reversed)) = self.by_probes(table, flow, carrier, direction, data) {
                return (Found::Is(protocol), reversed);
            }
        }
        if let Some((protocol, reversed)) = by_pattern {
            return (Found::Is(protocol), reversed);
        }
        if !self.look[at].announced_done {
            self.look[at].announced_done = true;
            if let Some(announced) = &self.announced {
                if announced.direction == direction {
                    self.announced_by = Some(announced.parent);
                    self.by_direction = [Found::Is(announced.protocol); 2];
                    return (Found::Is(announced.protocol), false);
                }
            }
        }
        (Found::Unknown, false)
    }

    fn by_patterns(
        &mut self,
        table: &AppTable,
        carrier: Carrier,
        direction: Direction,
        data: &[u8],
    ) -> Option<(&'static Protocol, bool)> {
        let at = direction.index();
        let hit = match_patterns(table, carrier, direction, direction, data, self.midstream);
        let verdict = match hit {
            Hit::Is(protocol, reversed) => {
                self.look[at].patterns_done = true;
                return Some((protocol, reversed));
            }
            Hit::Never => true,
            Hit::NotYet => false,
        };
        if !table.midstream {
            self.look[at].patterns_done = verdict;
            return None;
        }
        match match_patterns(
            table,
            carrier,
            direction,
            direction.opposite(),
            data,
            self.midstream,
        ) {
            Hit::Is(protocol, reversed) => {
                self.look[at].patterns_done = true;
                Some((protocol, reversed))
            }
            Hit::Never => {
                self.look[at].patterns_done = verdict;
                None
            }
            Hit::NotYet => None,
        }
    }

    fn by_probes(
        &mut self,
        table: &AppTable,
        flow: &FlowFacts,
        carrier: Carrier,
        direction: Direction,
        data: &[u8],
    ) -> Option<(&'static Protocol, bool)> {
        let at = direction.index();
        let server = if self.port != 0 { self.port } else { flow.ports[1] };
        let mut ports = [server, flow.ports[0]];
        let mut asked = false;
        let passes = if table.midstream { 2 } else { 1 };
        for pass in 0..passes {
            let side = if pass == 0 {
                direction
            } else {
                direction.opposite()
            };
            if pass == 1 {
                ports.swap(0, 1);
            }
            let by_server = table.port(carrier, ports[0]);
            let by_client = table.port(carrier, ports[1]);
            let known = self.by_direction[1 - side.index()]
                .protocol()
                .and_then(|protocol| table.probe_of(carrier, protocol));
            let servers = by_server.map(|port| port.server.as_slice()).unwrap_or_default();
            let clients = by_client.map(|port| port.client.as_slice()).unwrap_or_default();
            if known.is_none() && servers.is_empty() && clients.is_empty() {
                continue;
            }
            asked = true;
            // The second pass leaves the first packet of the other direction its chance where it looks to the client.
            let remembers = if pass == 1 && side == Direction::ToClient {
                at
            } else {
                side.index()
            };
            for probe in known.iter().chain(servers).chain(clients) {
                let bit = 1u64 << (probe.slot % 64);
                if data.len() < probe.min || self.look[remembers].refused & bit != 0 {
                    continue;
                }
                let midstream = protocol_at(probe.slot).and_then(|protocol| protocol.midstream);
                let look = midstream.filter(|_| self.midstream).or(probe.look[at]);
                let answer = look.map_or(Probe::Unsure, |look| look(data, direction));
                match answer {
                    Probe::Certain | Probe::Reversed => {
                        return protocol_at(probe.slot).map(|protocol| (protocol, answer == Probe::Reversed));
                    }
                    Probe::No => self.look[remembers].refused |= bit,
                    Probe::Unsure if probe.max != 0 && data.len() > probe.max => {
                        self.look[remembers].refused |= bit;
                    }
                    Probe::Unsure => {}
                }
            }
            if pass == 0 {
                let mask = by_server.map_or(0, super::table::Port::mask)
                    | by_client.map_or(0, super::table::Port::mask);
                if self.look[at].refused & mask == mask {
                    self.look[at].probes_done = true;
                }
            }
        }
        if !asked {
            self.look[at].probes_done = true;
        }
        None
    }
}

/// What patterns say.
enum Hit {
    Is(&'static Protocol, bool),
    NotYet,
    Never,
}

/// Try the patterns made for `side` on octets that were sent in `direction`.
fn match_patterns(
    table: &AppTable,
    carrier: Carrier,
    direction: Direction,
    side: Direction,
    data: &[u8],
    midstream: bool,
) -> Hit {
    let patterns = table.patterns(carrier, side);
    let Some(&first) = data.first() else {
        return if patterns.max_depth == 0 {
            Hit::Never
        } else {
            Hit::NotYet
        };
    };
    let mut hits = false;
    for (slot, pattern) in patterns.candidates(first) {
        let (from, to) = (usize::from(pattern.offset), usize::from(pattern.depth));
        let Some(window) = data.get(from..to) else {
            continue;
        };
        let found = if pattern.nocase {
            window
                .windows(pattern.octets.len())
                .any(|octets| octets.eq_ignore_ascii_case(pattern.octets))
        } else {
            window
                .windows(pattern.octets.len())
                .any(|octets| octets == pattern.octets)
        };
        if !found {
            continue;
        }
        hits = true;
        let Some(protocol) = protocol_at(slot) else {
            continue;
        };
        match pattern.confirm {
            None => return Hit::Is(protocol, side != direction),
            Some((_, min, _)) if data.len() < min => {}
            Some((probe, _, _)) => {
                match protocol.midstream.filter(|_| midstream).unwrap_or(probe)(data, direction) {
                    Probe::Certain => return Hit::Is(protocol, false),
                    Probe::Reversed => return Hit::Is(protocol, true),
                    Probe::Unsure | Probe::No => {}
                }
            }
        }
    }
    let enough = if hits {
        patterns.confirm_max
    } else {
        patterns.max_depth
    };
    if data.len() >= enough {
        Hit::Never
    } else {
        Hit::NotYet
    }
}

#[cfg(test)]
#[path = "layer_tests.rs"]
mod tests;
