//! One inspection of one buffer: condition after condition, trying again where that can help.

use super::{Observer, Run, Subject};
use crate::rule::chain::{Base64, Condition, IsDataAt, Operand};
use crate::rule::{asn1, bytes};

impl<O: Observer> Run<'_, '_, O> {
    /// Whether the conditions from number `at` on hold.
    pub(super) fn from(&mut self, conditions: &[Condition], at: usize) -> bool {
        let mut at = at;
        while let Some(condition) = conditions.get(at) {
            self.steps += 1;
            if self.steps >= self.inspector.limit {
                self.stop = true;
                self.observer.gives_up(self.before + at);
                return false;
            }
            let position = self.position;
            let holds = match condition {
                Condition::Content(content) if content.negated => self.content_is_absent(content),
                Condition::Content(content) => return self.content(conditions, at, content),
                Condition::Pcre(pcre) if pcre.relative_next => return self.pcre(conditions, at, pcre),
                Condition::Pcre(pcre) => self.pcre_once(pcre, position, 0).is_some(),
                Condition::IsDataAt(test) => self.is_data_at(test),
                Condition::ByteTest(test) => {
                    bytes::test(test, &self.subject, self.position, &self.inspector.variables[..])
                }
                Condition::ByteJump(jump) => {
                    let to = bytes::jump(jump, &self.subject, self.position, &self.inspector.variables[..]);
                    self.move_to(to)
                }
                Condition::ByteExtract(extract) => {
                    let found = bytes::extract(extract, &self.subject, self.position);
                    self.keep(extract.variable, found)
                }
                Condition::ByteMath(math) => {
                    let found =
                        bytes::math(math, &self.subject, self.position, &self.inspector.variables[..]);
                    self.keep(math.variable, found)
                }
                Condition::Size(test) => {
                    let size = self.subject.offset.saturating_add(self.subject.data.len() as u64);
                    self.or_stop(test.matches(i64::try_from(size).unwrap_or(i64::MAX)))
                }
                Condition::Dataset(test) => {
                    let holds = self.datasets.dataset(*test, self.subject.data);
                    self.or_stop(holds)
                }
                Condition::Datarep(test) => {
                    let holds = match self.datasets.datarep(test.dataset, self.subject.data) {
                        Some(value) => bytes::compare(test.compare, value.into(), test.value.into()),
                        None => false,
                    };
                    self.or_stop(holds)
                }
                // What follows base64_decode on the same buffer is not asked, as in Suricata.
                Condition::Base64(base64) => return self.base64(base64, at),
                Condition::Entropy(test) => {
                    let holds = test.matches(self.subject.data);
                    self.or_stop(holds)
                }
                // Where the buffer is there, it is the other conditions' turn, or it fails.
                Condition::Absent { or_else } => self.or_stop(*or_else),
                Condition::Asn1(test) => asn1::matches(test, self.subject.data, self.position),
            };
            if !holds {
                self.fails(at, position);
                return false;
            }
            self.reached(at);
            at += 1;
        }
        true
    }

    /// Condition `at`, asked at `position`, does not hold.
    pub(super) fn fails(&mut self, at: usize, position: usize) {
        let variables = &self.inspector.variables[..];
        self.observer
            .fails(self.before + at, position, self.subject.data, variables);
    }

    /// Condition `at` holds, and ends where the position is.
    pub(super) fn reached(&mut self, at: usize) {
        self.observer.holds(self.before + at, self.position);
    }

    fn or_stop(&mut self, holds: bool) -> bool {
        self.stop |= !holds;
        holds
    }

    fn move_to(&mut self, to: Option<usize>) -> bool {
        self.position = to.unwrap_or(self.position);
        to.is_some()
    }

    fn keep(&mut self, variable: u8, found: Option<(u64, usize)>) -> bool {
        if let Some((value, end)) = found {
            self.inspector.variables[usize::from(variable)] = value;
            self.position = end;
        }
        found.is_some()
    }

    /// What an operand is worth.
    pub(super) fn value(&self, operand: Operand) -> u64 {
        bytes::value(operand, &self.inspector.variables[..])
    }
    fn is_data_at(&mut self, test: &IsDataAt) -> bool {
        let at = self.value(test.at);
        if matches!(test.at, Operand::Variable(_)) && at >= 100_000_000 {
            return test.negated;
        }
        let length = self.subject.data.len() as u64;
        let is_there = if test.relative {
            (self.position as u64).saturating_add(at) <= length
        } else {
            at < length
        };
        is_there != test.negated
    }
    fn base64(&mut self, base64: &Base64, at: usize) -> bool {
        let base = if base64.relative { self.position } else { 0 };
        let start = base.saturating_add(base64.offset as usize);
        let Some(octets) = self.subject.data.get(start..) else {
            self.fails(at, base);
            return false;
        };
        let limit = if base64.octets == 0 {
            octets.len()
        } else {
            base64.octets as usize
        };
        let mut decoded = std::mem::take(self.decoded);
        decoded.clear();
        bytes::decode_base64(&octets[..octets.len().min(limit)], &mut decoded);
        let holds = if decoded.is_empty() || base64.data.is_empty() {
            self.fails(at, start);
            false
        } else {
            self.observer.holds(self.before + at, start);
            let mut inner = Run {
                observer: &mut *self.observer,
                before: self.before + at + 1,
                inspector: &mut *self.inspector,
                datasets: &mut *self.datasets,
                decoded: &mut Vec::new(),
                subject: Subject {
                    complete: self.subject.complete,
                    little_endian: self.subject.little_endian,
                    ..Subject::whole(&decoded)
                },
                position: 0,
                steps: self.steps,
                stop: false,
            };
            let holds = inner.from(&base64.data.conditions, 0);
            let (steps, stop) = (inner.steps, inner.stop);
            self.steps = steps;
            self.stop |= stop;
            holds
        };
        *self.decoded = decoded;
        holds
    }
}
