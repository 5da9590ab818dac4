//! Regular expressions and what they capture.

use std::sync::Arc;

use super::{Observer, Run};
use crate::rule::chain::{Capture, Condition, Pcre};

/// Longest captured group, octets.
const MAX_CAPTURE: usize = 0xffff;

/// Captures kept of one rule.
const MAX_CAPTURES: usize = 64;

impl<O: Observer> Run<'_, '_, O> {
    pub(super) fn pcre(&mut self, conditions: &[Condition], at: usize, pcre: &Pcre) -> bool {
        let previous = self.position;
        let mut start = 0;
        while let Some(next) = self.pcre_once(pcre, previous, start) {
            self.reached(at);
            if self.from(conditions, at + 1) {
                return true;
            }
            // An expression that must not match has no next occurrence.
            if self.stop || next == 0 {
                return false;
            }
            self.position = previous;
            start = next;
        }
        self.fails(at, previous);
        false
    }

    /// Match once, from `start` on (0 is from the beginning). The start of the next try, 0 for a negated expression that
    /// did not match; `None` when the condition does not hold.
    pub(super) fn pcre_once(&mut self, pcre: &Pcre, previous: usize, start: usize) -> Option<usize> {
        let base = if pcre.relative { previous } else { 0 };
        let octets = self.subject.data.get(base..)?;
        let start = start.saturating_sub(base);
        if start > octets.len() {
            return None;
        }
        // An error (a limit was reached) is no match, for negated expressions as well.
        let (from, to) = if pcre.captures.is_empty() || pcre.negated {
            let found = pcre.regex.find_at(octets, start).ok()?;
            match found {
                None => return pcre.negated.then_some(0),
                Some(_) if pcre.negated => return None,
                Some(found) => (found.start(), found.end()),
            }
        } else {
            self.captures(pcre, octets, start)?
        };
        self.position = base + to;
        Some(base + from + 1)
    }

    fn captures(&mut self, pcre: &Pcre, octets: &[u8], start: usize) -> Option<(usize, usize)> {
        let mut locations = pcre.regex.capture_locations();
        let found = pcre
            .regex
            .captures_read_at(&mut locations, octets, start)
            .ok()??;
        for (group, &capture) in pcre.captures.iter().enumerate() {
            let Some(octets) = locations
                .get(group + 1)
                .and_then(|(from, to)| octets.get(from..to))
            else {
                continue;
            };
            let Some(capture) = capture else { continue };
            self.store(capture, &octets[..octets.len().min(MAX_CAPTURE)]);
        }
        Some((found.start(), found.end()))
    }

    fn store(&mut self, capture: Capture, octets: &[u8]) {
        let captured = &mut self.inspector.captured;
        if let Some(known) = captured.iter_mut().find(|known| known.0 == capture) {
            known.1 = Arc::from(octets);
        } else if captured.len() < MAX_CAPTURES {
            captured.push((capture, Arc::from(octets)));
        }
    }
}
