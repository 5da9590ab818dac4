//! The machine that runs a chain of conditions over one buffer.
//!
//! Conditions hold one after the other; each relative one starts where the one before ended. When a later one fails, an
//! earlier content or expression is tried at its next occurrence, if that can help (`retry`, `relative_next`). Some
//! failures are final whatever is tried again (`stop`), and a limit on the steps bounds the rest.
//!
//! # Source
//! Behaviour as documented in Suricata 7's guide, "Payload Keywords", and observed; including its oddities.

use std::sync::Arc;

use super::asn1;
use super::bytes;
use super::chain::{Capture, Captured, Chain, Condition, Content, DatasetAccess, IsDataAt, Operand, Pcre};

/// Variables a rule can have ([`super::chain::VarId`]).
const MAX_VARIABLES: usize = 256;

/// Longest captured group, octets.
const MAX_CAPTURE: usize = 0xffff;

/// Captures kept of one rule.
const MAX_CAPTURES: usize = 64;

/// What is inspected.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// The octets there are.
    pub data: &'a [u8],
    /// Offset of `data[0]` in the whole buffer.
    pub offset: u64,
    /// Nothing will be added.
    pub complete: bool,
    /// A DCERPC header said that numbers are little endian.
    pub little_endian: bool,
}

impl<'a> Subject<'a> {
    /// A buffer that is all there.
    pub fn whole(data: &'a [u8]) -> Subject<'a> {
        Subject {
            data,
            offset: 0,
            complete: true,
            little_endian: false,
        }
    }
}

/// What inspection needs to work with, kept from buffer to buffer so that nothing is allocated.
#[derive(Debug)]
pub struct Inspector {
    limit: u32,
    variables: Box<[u64; MAX_VARIABLES]>,
    decoded: Vec<u8>,
    captured: Vec<Captured>,
}

impl Inspector {
    /// A machine that takes at most `recursion_limit` steps on one buffer (`inspection-recursion-limit`; 0 is none).
    pub fn new(recursion_limit: u32) -> Inspector {
        Inspector {
            limit: if recursion_limit == 0 {
                u32::MAX
            } else {
                recursion_limit
            },
            variables: Box::new([0; MAX_VARIABLES]),
            decoded: Vec::new(),
            captured: Vec::new(),
        }
    }

    /// Another rule begins: its variables are 0, nothing is captured.
    pub fn begin(&mut self, variables: u8) {
        self.variables[..usize::from(variables)].fill(0);
        self.captured.clear();
    }

    /// What was captured since [`Inspector::begin`]; of a rule that matched, to be kept.
    pub fn captured(&mut self) -> &mut Vec<Captured> {
        &mut self.captured
    }

    /// Whether all conditions hold on `subject`.
    pub fn inspect(
        &mut self,
        chain: &Chain,
        subject: &Subject<'_>,
        datasets: &mut dyn DatasetAccess,
    ) -> bool {
        self.inspect_observed(chain, subject, datasets, &mut Unobserved)
    }

    /// The same, told step by step.
    pub(super) fn inspect_observed<O: Observer>(
        &mut self,
        chain: &Chain,
        subject: &Subject<'_>,
        datasets: &mut dyn DatasetAccess,
        observer: &mut O,
    ) -> bool {
        let mut decoded = std::mem::take(&mut self.decoded);
        let mut run = Run {
            observer,
            before: 0,
            inspector: self,
            datasets,
            decoded: &mut decoded,
            subject: *subject,
            position: 0,
            steps: 0,
            stop: false,
        };
        let holds = run.from(&chain.conditions, 0);
        self.decoded = decoded;
        holds
    }
}

/// Is told what the machine does. Conditions are numbered in the order of the rule: those on what `base64_decode` gives
/// go on after it.
pub(super) trait Observer {
    /// Condition `at` held and ended there.
    fn holds(&mut self, _at: usize, _end: usize) {}
    /// Condition `at`, asked at `position` of `octets` with these variables, did not.
    fn fails(&mut self, _at: usize, _position: usize, _octets: &[u8], _variables: &[u64]) {}
    /// The limit on steps was reached at condition `at`.
    fn gives_up(&mut self, _at: usize) {}
}

/// Nobody listens: nothing is compiled in.
struct Unobserved;

impl Observer for Unobserved {}

/// One inspection of one buffer.
struct Run<'a, 'd, O> {
    observer: &'d mut O,
    /// Conditions of outer chains, the one that led here included.
    before: usize,
    inspector: &'a mut Inspector,
    datasets: &'a mut dyn DatasetAccess,
    decoded: &'d mut Vec<u8>,
    subject: Subject<'a>,
    /// Where the last condition ended.
    position: usize,
    steps: u32,
    /// Trying again is of no use.
    stop: bool,
}

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
    /// Whether the conditions from number `at` on hold.
    fn from(&mut self, conditions: &[Condition], at: usize) -> bool {
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
                Condition::Asn1(test) => asn1::matches(test, self.subject.data, self.position),
            };
            if !holds {
                self.fails(at, position);
                return false;
            }
            self.observer.holds(self.before + at, self.position);
            at += 1;
        }
        true
    }

    fn fails(&mut self, at: usize, position: usize) {
        let variables = &self.inspector.variables[..];
        self.observer
            .fails(self.before + at, position, self.subject.data, variables);
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

    fn value(&self, operand: Operand) -> u64 {
        bytes::value(operand, &self.inspector.variables[..])
    }

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

    fn content_is_absent(&mut self, content: &Content) -> bool {
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

    fn content(&mut self, conditions: &[Condition], at: usize, content: &Content) -> bool {
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
            self.observer.holds(self.before + at, self.position);
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

    fn pcre(&mut self, conditions: &[Condition], at: usize, pcre: &Pcre) -> bool {
        let previous = self.position;
        let mut start = 0;
        while let Some(next) = self.pcre_once(pcre, previous, start) {
            self.observer.holds(self.before + at, self.position);
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
    fn pcre_once(&mut self, pcre: &Pcre, previous: usize, start: usize) -> Option<usize> {
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

    fn base64(&mut self, base64: &super::chain::Base64, at: usize) -> bool {
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::chain::*;
    use super::super::signature::NumberTest;
    use super::*;

    struct NoDatasets;

    impl DatasetAccess for NoDatasets {
        fn dataset(&mut self, _test: DatasetTest, value: &[u8]) -> bool {
            value == b"listed"
        }
        fn datarep(&mut self, _dataset: u32, _value: &[u8]) -> Option<u16> {
            None
        }
    }

    fn content(pattern: &str, change: impl FnOnce(&mut Content)) -> Condition {
        let mut content = Content::new(pattern.as_bytes().to_vec());
        change(&mut content);
        Condition::Content(Box::new(content))
    }

    fn number(number: i64) -> Option<Operand> {
        Some(Operand::Number(number))
    }

    fn pcre(pattern: &str, relative: bool, negated: bool) -> Condition {
        Condition::Pcre(Box::new(Pcre {
            regex: pcre2::bytes::Regex::new(pattern).unwrap(),
            negated,
            relative,
            relative_next: false,
            captures: Vec::new(),
        }))
    }

    fn holds(conditions: Vec<Condition>, data: &[u8]) -> bool {
        holds_in(conditions, &Subject::whole(data))
    }

    fn holds_in(conditions: Vec<Condition>, subject: &Subject<'_>) -> bool {
        let mut chain = Chain { conditions };
        chain.finish();
        Inspector::new(3000).inspect(&chain, subject, &mut NoDatasets)
    }

    #[test]
    fn depth_counts_from_offset_and_contents_end_within_it() {
        let limited = |offset, depth| {
            content("abc", |content| {
                content.offset = number(offset);
                content.depth = number(depth);
            })
        };
        assert!(holds(vec![limited(2, 3)], b"xxabc"));
        assert!(!holds(vec![limited(1, 3)], b"xxabc"));
        assert!(!holds(vec![limited(3, 9)], b"xxabc"));
        let starts = || vec![content("ab", |content| content.starts_with = true)];
        assert!(holds(starts(), b"abab"));
        assert!(!holds(starts(), b"xab"));
    }

    #[test]
    fn another_occurrence_is_tried_when_what_follows_is_too_far() {
        let follows = |distance, within| {
            vec![
                content("a", |_| ()),
                content("b", |content| {
                    content.distance = distance;
                    content.within = within;
                }),
            ]
        };
        assert!(holds(follows(None, number(1)), b"a...ab"));
        assert!(!holds(follows(None, number(1)), b"a...a.b"));
        assert!(holds(follows(number(1), number(1)), b"ab.ax.axb"));
        assert!(holds(follows(number(-2), None), b"ba"));
        assert!(!holds(follows(number(0), None), b"ba"));
    }

    #[test]
    fn negated_contents_must_be_absent_where_they_are_looked_for() {
        let absent = |change: fn(&mut Content)| {
            content("b", |content| {
                content.negated = true;
                change(content);
            })
        };
        assert!(holds(vec![content("a", |_| ()), absent(|_| ())], b"aaa"));
        assert!(!holds(vec![content("a", |_| ()), absent(|_| ())], b"baa"));
        let close = |content: &mut Content| content.within = Some(Operand::Number(1));
        assert!(!holds(vec![content("a", |_| ()), absent(close)], b"ab"));
        assert!(holds(vec![content("a", |_| ()), absent(close)], b"ab ac"));
        assert!(holds(
            vec![absent(|content| content.offset = Some(Operand::Number(9)))],
            b"b"
        ));
    }

    #[test]
    fn endswith_is_the_end_of_the_buffer_only() {
        let ends = || vec![content("ab", |content| content.ends_with = true)];
        assert!(holds(ends(), b"abxab"));
        assert!(!holds(ends(), b"abx"));
        let ends_early = content("ab", |content| {
            content.ends_with = true;
            content.depth = number(2);
        });
        assert!(!holds(vec![ends_early], b"abab"));
    }

    #[test]
    fn expressions_are_relative_negated_and_tried_again() {
        assert!(holds(
            vec![content("a", |_| ()), pcre("^b", true, false)],
            b"a1ab"
        ));
        assert!(!holds(
            vec![content("a", |_| ()), pcre("^b", true, false)],
            b"a1a1"
        ));
        assert!(holds(vec![pcre("x[0-9]", false, true)], b"xx"));
        assert!(!holds(vec![pcre("x[0-9]", false, true)], b"x1"));
        let close = content("z", |content| content.within = number(1));
        assert!(holds(vec![pcre("a.", false, false), close], b"a1 a2z"));
    }

    #[test]
    fn numbers_are_extracted_compared_and_jumped_over() {
        let extract = Condition::ByteExtract(Box::new(ByteExtract {
            count: 1,
            offset: 0,
            variable: 0,
            relative: false,
            encoding: Encoding::Big,
            multiplier: 1,
            align: 0,
        }));
        let at = content("x", |content| {
            content.distance = Some(Operand::Variable(0));
            content.within = number(1);
        });
        assert!(holds(vec![extract, at], b"\x02..x"));
        let jump = Condition::ByteJump(Box::new(ByteJump {
            count: Operand::Number(2),
            offset: Operand::Number(0),
            relative: false,
            encoding: Encoding::Little,
            multiplier: 2,
            align: false,
            from_beginning: false,
            from_end: false,
            post_offset: Operand::Number(-1),
            bitmask: 0,
        }));
        let test = Condition::ByteTest(Box::new(ByteTest {
            count: Operand::Number(3),
            compare: ByteCompare::Greater,
            negated: false,
            value: Operand::Number(122),
            offset: Operand::Number(0),
            relative: true,
            encoding: Encoding::Text(10),
            bitmask: 0,
        }));
        assert!(holds(vec![jump, test], b"\x02\x00...123"));
    }

    #[test]
    fn what_is_decoded_is_looked_at_and_nothing_else() {
        let decode = |inner: &str| {
            let data = Chain {
                conditions: vec![content(inner, |_| ())],
            };
            Condition::Base64(Box::new(Base64 {
                octets: 0,
                offset: 0,
                relative: true,
                data,
            }))
        };
        assert!(holds(vec![content("=", |_| ()), decode("foo")], b"x=Zm9v"));
        assert!(!holds(vec![content("=", |_| ()), decode("fob")], b"x=Zm9v"));
    }

    #[test]
    fn the_depth_of_a_stream_counts_from_its_start() {
        let within_ten = || {
            vec![content("ab", |content| {
                content.depth = number(10);
            })]
        };
        let later = |offset| Subject {
            offset,
            ..Subject::whole(b"..ab")
        };
        assert!(holds_in(within_ten(), &later(4)));
        assert!(!holds_in(within_ten(), &later(8)));
        assert!(!holds_in(within_ten(), &later(20)));
        assert!(holds_in(vec![Condition::Size(NumberTest::Equal(8))], &later(4)));
    }

    #[test]
    fn captures_are_kept_and_datasets_asked() {
        let captured = Condition::Pcre(Box::new(Pcre {
            regex: pcre2::bytes::Regex::new("id=([0-9]+)").unwrap(),
            negated: false,
            relative: false,
            relative_next: false,
            captures: vec![Capture::Flow(7)],
        }));
        let chain = Chain {
            conditions: vec![captured],
        };
        let mut inspector = Inspector::new(0);
        assert!(inspector.inspect(&chain, &Subject::whole(b"x id=42;"), &mut NoDatasets));
        assert_eq!(inspector.captured()[0], (Capture::Flow(7), b"42"[..].into()));
        inspector.begin(0);
        assert!(inspector.captured().is_empty());
        let listed = || {
            vec![Condition::Dataset(DatasetTest {
                dataset: 0,
                operation: DatasetOperation::IsSet,
            })]
        };
        assert!(holds(listed(), b"listed"));
        assert!(!holds(listed(), b"not"));
    }

    #[test]
    fn hostile_repetition_ends_at_the_limit() {
        let mut conditions = vec![content("a", |_| ())];
        for _ in 0..60 {
            conditions.push(content("a", |content| content.within = number(40)));
        }
        conditions.push(content("b", |content| content.within = number(1)));
        assert!(!holds(conditions, &[b'a'; 4096]));
    }

    fn operand() -> impl Strategy<Value = Operand> {
        prop_oneof![
            (-20i64..20).prop_map(Operand::Number),
            (0u8..4).prop_map(Operand::Variable)
        ]
    }

    fn any_content() -> impl Strategy<Value = Condition> {
        let limits = prop::collection::vec(prop::option::of(operand()), 4);
        ("[ab]{1,3}", limits, any::<[bool; 4]>()).prop_map(|(pattern, limits, flags)| {
            content(&pattern, |content| {
                if flags[0] {
                    (content.offset, content.depth) = (limits[0], limits[1]);
                } else {
                    (content.distance, content.within) = (limits[2], limits[3]);
                }
                content.negated = flags[1];
                content.ends_with = flags[2];
                if flags[3] {
                    content.set_nocase();
                }
            })
        })
    }

    fn any_number() -> impl Strategy<Value = Condition> {
        let encoding = prop_oneof![
            Just(Encoding::Big),
            Just(Encoding::Little),
            Just(Encoding::Dce),
            Just(Encoding::Text(0)),
            Just(Encoding::Text(10)),
        ];
        let parts = (
            operand(),
            operand(),
            operand(),
            any::<[bool; 4]>(),
            encoding,
            any::<u32>(),
        );
        (0..4, parts).prop_map(
            |(kind, (count, offset, value, flags, encoding, bitmask))| match kind {
                0 => Condition::ByteTest(Box::new(ByteTest {
                    count,
                    compare: ByteCompare::Or,
                    negated: flags[0],
                    value,
                    offset,
                    relative: flags[1],
                    encoding,
                    bitmask,
                })),
                1 => Condition::ByteJump(Box::new(ByteJump {
                    count,
                    offset,
                    relative: flags[1],
                    encoding,
                    multiplier: bitmask as u16,
                    align: flags[0],
                    from_beginning: flags[2],
                    from_end: flags[3],
                    post_offset: value,
                    bitmask,
                })),
                2 => Condition::ByteMath(Box::new(ByteMath {
                    count,
                    offset: bitmask as i8 as i32,
                    operator: if flags[2] {
                        MathOperator::Divide
                    } else {
                        MathOperator::ShiftRight
                    },
                    value,
                    variable: 1,
                    relative: flags[1],
                    encoding,
                    bitmask,
                })),
                _ => Condition::IsDataAt(IsDataAt {
                    at: value,
                    relative: flags[1],
                    negated: flags[0],
                }),
            },
        )
    }

    proptest! {
        #[test]
        fn no_conditions_on_any_octets_panic(
            conditions in prop::collection::vec(prop_oneof![any_content(), any_number()], 1..8),
            data in "[abA0-9\\x00]{0,40}",
            offset in prop_oneof![Just(0u64), any::<u64>()],
        ) {
            let subject = Subject { offset, ..Subject::whole(data.as_bytes()) };
            holds_in(conditions, &subject);
        }
    }
}
