//! Contents: where one may be, whether it is there, and its next occurrences.

use super::{Observer, Run};
use crate::rule::chain::{Condition, Content, Operand};

/// What a window of a content search came to.
enum Window {
    /// From, to.
    Octets(usize, usize),
    /// Nothing can be there.
    Empty,
    /// What can be inspected lies outside of the octets there are.
    Elsewhere,
}

impl<O: Observer> Run<'_, '_, O> {
    /// Where a content may be. 32-bit arithmetic that wraps, as the arbiter's.
    fn window(&self, content: &Content, previous: usize) -> Window {
        let length = u32::try_from(self.subject.data.len()).unwrap_or(u32::MAX);
        let before = u32::try_from(self.subject.offset).unwrap_or(u32::MAX);
        let is_variable = |operand: Option<Operand>| matches!(operand, Some(Operand::Variable(_)));
        let (mut from, mut to);
        if content.is_relative() {
            let previous = u32::try_from(previous).unwrap_or(u32::MAX);
            let distance = content.distance.map_or(0, |distance| self.value(distance) as i32);
            (from, to) = (previous, length);
            if distance < 0 && distance.unsigned_abs() > from {
                from = 0;
            } else {
                from = from.wrapping_add(distance as u32);
            }
            if let Some(within) = content.within {
                let end = previous
                    .wrapping_add(self.value(within) as u32)
                    .wrapping_add(distance as u32);
                if to as i32 > end as i32 {
                    to = end;
                }
                if before != 0 && previous == 0 {
                    match until(to, before, length) {
                        Some(end) => to = end,
                        None => return Window::Elsewhere,
                    }
                }
            }
        } else {
            let offset = content.offset.map_or(0, |offset| self.value(offset) as u32);
            let implied = content
                .starts_with
                .then_some(Operand::Number(content.pattern.len() as i64));
            from = offset;
            to = length;
            if let Some(depth) = content.depth.or(implied) {
                to = self.value(depth) as u32;
                if !is_variable(content.depth) && !is_variable(content.offset) {
                    to = to.saturating_add(offset);
                }
                if before != 0 {
                    match until(to, before, length) {
                        Some(end) => to = end,
                        None => return Window::Elsewhere,
                    }
                }
            }
        }
        if is_variable(content.distance) || is_variable(content.offset) || is_variable(content.depth) {
            to = to.wrapping_add(from);
        }
        to = to.min(length);
        if from > to || to == 0 {
            return Window::Empty;
        }
        Window::Octets(from as usize, to as usize)
    }

    pub(super) fn content_is_absent(&mut self, content: &Content) -> bool {
        let (from, to) = match self.window(content, self.position) {
            Window::Octets(from, to) => (from, to),
            Window::Empty => return true,
            Window::Elsewhere => return false,
        };
        let octets = &self.subject.data[from..to];
        if content.ends_with && to < self.subject.data.len() {
            return true;
        }
        match content.find(octets) {
            None => true,
            Some(at) if content.ends_with && octets.len() != from + at + content.pattern.len() => true,
            Some(_) => {
                self.stop |= content.is_alone();
                false
            }
        }
    }

    pub(super) fn content(&mut self, conditions: &[Condition], at: usize, content: &Content) -> bool {
        let previous = self.position;
        let (mut from, to) = match self.window(content, previous) {
            Window::Octets(from, to) => (from, to),
            Window::Empty | Window::Elsewhere => {
                self.fails(at, previous);
                return false;
            }
        };
        let whole = self.subject.data.len();
        let length = content.pattern.len();
        loop {
            let found = if content.ends_with {
                // Only at the end of the buffer.
                let start = whole
                    .checked_sub(length)
                    .filter(|&start| to == whole && start >= from);
                start.filter(|&start| content.find(&self.subject.data[start..]).is_some())
            } else {
                // `from` may be one more than `to` after a match at the very end.
                let octets = self.subject.data.get(from..to);
                octets
                    .and_then(|octets| content.find(octets))
                    .map(|found| from + found)
            };
            let Some(start) = found else {
                self.stop |= !content.is_relative();
                self.fails(at, previous);
                return false;
            };
            self.position = start + length;
            self.reached(at);
            if at + 1 == conditions.len() || self.from(conditions, at + 1) {
                return true;
            }
            if self.stop {
                return false;
            }
            if !content.retry {
                self.stop = true;
                return false;
            }
            from = start + 1;
        }
    }
}

/// `depth` counted from the start of a buffer of which `before` octets are gone: in what there is. `None` when it lies
/// before that.
fn until(depth: u32, before: u32, length: u32) -> Option<u32> {
    if depth <= before {
        None
    } else if depth >= before.saturating_add(length) {
        Some(depth)
    } else {
        Some(depth - before)
    }
}
