//! Header fields of both messages: how long they may get, what is odd about them.

use super::header::{parse_line, Added};
use super::{HttpParser, MAX_FIELDS};
use crate::packet::Direction;

/// Events on fields, by message.
struct Events {
    no_colon: &'static str,
    invalid: &'static str,
    ambiguous: &'static str,
    too_many: &'static str,
}

const EVENTS: [Events; 2] = [
    Events {
        no_colon: "REQUEST_FIELD_MISSING_COLON",
        invalid: "REQUEST_HEADER_INVALID",
        ambiguous: "DUPLICATE_CONTENT_LENGTH_FIELD_IN_REQUEST",
        too_many: "REQUEST_TOO_MANY_HEADERS",
    },
    Events {
        no_colon: "RESPONSE_FIELD_MISSING_COLON",
        invalid: "RESPONSE_HEADER_INVALID",
        ambiguous: "DUPLICATE_CONTENT_LENGTH_FIELD_IN_RESPONSE",
        too_many: "RESPONSE_TOO_MANY_HEADERS",
    },
];

impl HttpParser {
    /// A line is longer than is waited for, with what it goes on from.
    pub(super) fn too_long(&mut self, id: u64, side: Direction, len: usize) -> bool {
        let held = self.pending[side.index()].as_ref().map_or(0, Vec::len);
        let is_too_long = len + held > self.options.field_limit;
        if is_too_long && side == Direction::ToServer {
            self.raise(Some(id), "REQUEST_FIELD_TOO_LONG");
        }
        is_too_long
    }

    /// Raise an event that a message raises once.
    pub(super) fn once(&mut self, id: u64, side: Direction, which: usize, event: &'static str) {
        if let Some(tx) = self.transactions.item_mut(id) {
            let raised = &mut tx.messages[side.index()].raised_once[which];
            if !std::mem::replace(raised, true) {
                tx.meta.raise(event);
            }
        }
    }

    /// The field that might have gone on did not. False when there are too many.
    pub(super) fn pending_field(&mut self, id: u64, side: Direction) -> bool {
        match self.pending[side.index()].take() {
            Some(line) => self.field(id, side, &line),
            None => true,
        }
    }

    /// A field came. False when there are too many.
    pub(super) fn field(&mut self, id: u64, side: Direction, line: &[u8]) -> bool {
        let at = side.index();
        let events = &EVENTS[at];
        let line = parse_line(line, side);
        if line.no_colon {
            self.once(id, side, 0, events.no_colon);
            if let (Direction::ToClient, Some(tx)) = (side, self.transactions.item_mut(id)) {
                tx.messages[at].raised_once[1] = true;
            }
        } else if line.invalid {
            self.once(id, side, 1, events.invalid);
        }
        let Some(tx) = self.transactions.item_mut(id) else {
            return false;
        };
        if tx.messages[at].headers.add(line.name, line.value) == Added::Ambiguous {
            tx.meta.raise(events.ambiguous);
        }
        if tx.messages[at].headers.len() > MAX_FIELDS {
            tx.meta.raise(events.too_many);
            return false;
        }
        true
    }
}
