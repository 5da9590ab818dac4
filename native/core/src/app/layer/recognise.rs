//! Recognising the protocol of a TCP flow from both of its directions, again when a parser asks for it, or giving up.

use super::look::Look;
use super::{AppLayer, Fed, FlowFacts, Found};
use crate::app::table::AppTable;
use crate::app::{Carrier, Input};
use crate::packet::Direction;

/// Octets both directions may hold before detection gives up, at least.
const GIVE_UP_OCTETS: u64 = 100_000;
/// Octets after which detection gives up when a protocol was left for another.
const CHANGE_GIVE_UP_OCTETS: usize = 4096;

impl AppLayer {
    /// Look at what came after a parser asked for another protocol.
    pub(super) fn detect_again(
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

    pub(super) fn detect(
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
        self.settle(at);
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
    pub(super) fn feed_waiting(
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
        self.settle(at);
    }

    /// It is known what a direction speaks, or that it will not be.
    fn settle(&mut self, at: usize) {
        self.detection_done[at] = true;
        self.settled[at] = true;
    }

    pub(super) fn not_recognised(
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
            self.settle(at);
        } else if input.eof {
            self.by_direction[at] = self.found;
            self.detection_done[at] = true;
        }
    }

    /// Both directions unknown: is it time to stop holding octets?
    pub(super) fn bail(
        &mut self,
        table: &AppTable,
        flow: &FlowFacts,
        direction: Direction,
        inputs: &[Input<'_>; 2],
    ) {
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
    pub(super) fn give_up(&mut self) {
        self.parser = None;
        self.found = Found::Failed;
        for (found, settled) in self.by_direction.iter_mut().zip(&mut self.settled) {
            *settled |= *found != Found::Failed;
            if found.is_unknown() {
                *found = Found::Failed;
            }
        }
        self.detection_done = [true; 2];
        self.fed_parser = true;
        self.over = true;
    }
}
