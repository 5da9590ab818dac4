//! A chain of conditions over one buffer: what content inspection runs.

use std::sync::Arc;

use memchr::memmem::Finder;

use super::entropy::Entropy;
use super::signature::NumberTest;

/// A variable of a rule: made by `byte_extract` and `byte_math`, used by the conditions after them.
pub type VarId = u8;

/// A number in the rule, or a variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operand {
    /// A number.
    Number(i64),
    /// The variable's value when it is needed.
    Variable(VarId),
}

/// Conditions that must all hold on the same octets, in order; each `relative` one starts where the one before ended.
#[derive(Debug, Default)]
pub struct Chain {
    /// The conditions.
    pub conditions: Vec<Condition>,
}

impl Chain {
    /// No condition.
    pub fn is_empty(&self) -> bool {
        self.conditions.is_empty()
    }

    /// It holds as well where the buffer is not there.
    pub fn holds_on_absence(&self) -> bool {
        let absent = |condition: &Condition| matches!(condition, Condition::Absent { .. });
        self.conditions.iter().any(absent)
    }

    /// Tell contents and expressions whether later conditions are relative to them. Call it once all are there.
    pub fn finish(&mut self) {
        for at in 0..self.conditions.len() {
            let (relative, needs_retry) = match &self.conditions[at] {
                Condition::Content(content) => {
                    (content.is_relative(), content.within.is_some() || content.negated)
                }
                Condition::Pcre(pcre) => (pcre.relative, true),
                Condition::IsDataAt(test) => (test.relative, true),
                Condition::ByteTest(test) => (test.relative, true),
                Condition::ByteJump(jump) => (jump.relative, true),
                Condition::ByteExtract(extract) => (extract.relative, true),
                Condition::ByteMath(math) => (math.relative, true),
                // As in Suricata, a relative base64_decode or asn1 takes the first occurrence.
                Condition::Base64(_)
                | Condition::Asn1(_)
                | Condition::Size(_)
                | Condition::Dataset(_)
                | Condition::Datarep(_)
                | Condition::Entropy(_)
                | Condition::Absent { .. } => (false, false),
            };
            if relative {
                self.mark_base_of(at, needs_retry);
            }
            if let Condition::Base64(base64) = &mut self.conditions[at] {
                base64.data.finish();
            }
        }
    }

    /// Mark the content or expression that the condition at `at` counts from.
    fn mark_base_of(&mut self, at: usize, needs_retry: bool) {
        for condition in self.conditions[..at].iter_mut().rev() {
            match condition {
                Condition::Content(content) => {
                    content.relative_next = true;
                    content.retry |= needs_retry;
                    return;
                }
                Condition::Pcre(pcre) => {
                    pcre.relative_next = true;
                    return;
                }
                _ => {}
            }
        }
    }
}

/// A condition on octets.
#[derive(Debug)]
pub enum Condition {
    /// `content`
    Content(Box<Content>),
    /// `pcre`
    Pcre(Box<Pcre>),
    /// `isdataat`
    IsDataAt(IsDataAt),
    /// `byte_test`
    ByteTest(Box<ByteTest>),
    /// `byte_jump`
    ByteJump(Box<ByteJump>),
    /// `byte_extract`
    ByteExtract(Box<ByteExtract>),
    /// `byte_math`
    ByteMath(Box<ByteMath>),
    /// `bsize`, `urilen`: length of the buffer once complete.
    Size(NumberTest),
    /// `base64_decode`, with the conditions after `base64_data`.
    Base64(Box<Base64>),
    /// `dataset`: index in the rule set's datasets.
    Dataset(DatasetTest),
    /// `datarep`
    Datarep(DatarepTest),
    /// `asn1`
    Asn1(Asn1),
    /// `entropy`
    Entropy(Entropy),
    /// `absent`: the buffer is not there, or (`or_else`) the other conditions hold on it.
    Absent {
        /// It may be there.
        or_else: bool,
    },
}

/// Octets that must be there, or must not.
#[derive(Debug)]
pub struct Content {
    /// What is looked for; ASCII letters are lower case when `nocase`.
    pub pattern: Box<[u8]>,
    /// ASCII case does not matter.
    pub nocase: bool,
    /// It must not be there.
    pub negated: bool,
    /// Earliest start, from the buffer's start.
    pub offset: Option<Operand>,
    /// Latest end, counted from `offset`.
    pub depth: Option<Operand>,
    /// Relative: earliest start from the end of the condition before.
    pub distance: Option<Operand>,
    /// Relative: latest end from the end of the condition before.
    pub within: Option<Operand>,
    /// The buffer must end where this ends.
    pub ends_with: bool,
    /// The buffer must start with this (`startswith`: also offset 0 and depth of its length).
    pub starts_with: bool,
    /// `fast_pattern:only`: nothing can be relative to it.
    pub fast_pattern_only: bool,
    /// `rawbytes`: the octets as they came.
    pub raw_bytes: bool,
    /// A later condition is relative to this one; set by [`Chain::finish`].
    pub relative_next: bool,
    /// Other occurrences are tried when a later condition fails: the first one is not always the best one for `within`
    /// and for what is not a content; it is for `distance`. Set by [`Chain::finish`].
    pub retry: bool,
    /// `fast_pattern` as written: the whole (`Some(None)`) or (offset, length).
    pub fast_pattern: Option<Option<(u16, u16)>>,
    /// Looks for the pattern where case matters.
    pub(crate) finder: Finder<'static>,
    /// Index and both cases of the octet that is looked for first where case does not matter.
    pub(crate) rare: (usize, u8, u8),
}

impl Content {
    /// `content:"pattern"` without modifiers.
    pub fn new(pattern: Vec<u8>) -> Content {
        Content {
            finder: Finder::new(&pattern).into_owned(),
            rare: rarest(&pattern),
            pattern: pattern.into(),
            nocase: false,
            negated: false,
            offset: None,
            depth: None,
            distance: None,
            within: None,
            ends_with: false,
            starts_with: false,
            fast_pattern_only: false,
            raw_bytes: false,
            relative_next: false,
            retry: false,
            fast_pattern: None,
        }
    }

    /// `nocase`
    pub fn set_nocase(&mut self) {
        self.nocase = true;
        self.change(<[u8]>::make_ascii_lowercase);
    }

    /// Look for another pattern of the same length.
    pub fn change(&mut self, change: impl FnOnce(&mut [u8])) {
        change(&mut self.pattern);
        self.rare = rarest(&self.pattern);
        self.finder = Finder::new(&*self.pattern).into_owned();
    }

    /// It counts from the end of the condition before.
    pub fn is_relative(&self) -> bool {
        self.distance.is_some() || self.within.is_some()
    }

    /// Something says where it is.
    pub fn is_positioned(&self) -> bool {
        self.is_relative() || self.offset.is_some() || self.depth.is_some() || self.starts_with
    }

    /// It may be anywhere: nothing limits it and nothing counts from it.
    pub fn is_alone(&self) -> bool {
        !self.is_relative()
            && !self.relative_next
            && self.offset.is_none()
            && self.depth.is_none()
            && !self.starts_with
    }

    /// Where it first is in `octets`.
    pub fn find(&self, octets: &[u8]) -> Option<usize> {
        if !self.nocase {
            return self.finder.find(octets);
        }
        let length = self.pattern.len();
        let (rare, lower, upper) = self.rare;
        let last = octets.len().checked_sub(length)?;
        let places = octets.get(rare..=last + rare)?;
        let is_here = |at: &usize| octets[*at..*at + length].eq_ignore_ascii_case(&self.pattern);
        if lower == upper {
            memchr::memchr_iter(lower, places).find(is_here)
        } else {
            memchr::memchr2_iter(lower, upper, places).find(is_here)
        }
    }
}

/// Index and both cases of the octet of a pattern that traffic has least; (0, 0, 0) without one.
fn rarest(pattern: &[u8]) -> (usize, u8, u8) {
    let least = (0..pattern.len()).min_by_key(|&at| commonness(pattern[at]));
    match least.and_then(|at| Some((at, *pattern.get(at)?))) {
        Some((at, octet)) => (at, octet.to_ascii_lowercase(), octet.to_ascii_uppercase()),
        None => (0, 0, 0),
    }
}

/// How often an octet is met, roughly: zeros and what text is made of most. Letters count for both cases.
fn commonness(octet: u8) -> u8 {
    match octet.to_ascii_lowercase() {
        0 => 20,
        b' ' | b'e' | b't' | b'a' | b'o' | b'i' | b'n' | b's' | b'r' => 16,
        b'h' | b'l' | b'd' | b'c' | b'u' | b'm' | b'p' | b'f' => 12,
        b'0'..=b'9' | b'.' | b'/' | b'-' | b'=' | b'"' | b'\r' | b'\n' | 0xff => 9,
        b'a'..=b'z' => 8,
        1..=0x1f => 6,
        0x21..=0x7e => 4,
        _ => 2,
    }
}

/// A regular expression.
#[derive(Debug)]
pub struct Pcre {
    /// The compiled expression.
    pub regex: pcre2::bytes::Regex,
    /// It must not match.
    pub negated: bool,
    /// Starts where the condition before ended.
    pub relative: bool,
    /// A later condition is relative to this one.
    pub relative_next: bool,
    /// What is kept of a match: group number i + 1 goes to `captures[i]`.
    pub captures: Vec<Option<Capture>>,
}

/// Where a captured group goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Capture {
    /// Kept with the flow, under this name (`flow:NAME`), see [`super::state::Names`].
    Flow(u32),
    /// Kept with the packet's alert (`pkt:NAME`).
    Packet(u32),
}

/// Whether there is an octet at a place.
#[derive(Clone, Copy, Debug)]
pub struct IsDataAt {
    /// The place.
    pub at: Operand,
    /// Counted from where the condition before ended.
    pub relative: bool,
    /// There must be none.
    pub negated: bool,
}

/// How a number is written in the octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// Binary, big endian (network order).
    Big,
    /// Binary, little endian.
    Little,
    /// As a DCERPC header says: taken from the transaction.
    Dce,
    /// As text in this base (8, 10, 16; 0 tells by prefix as C does).
    Text(u8),
}

/// What a byte test asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ByteCompare {
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `=`
    Equal,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
    /// `&`
    And,
    /// `^`
    Or,
}

/// `byte_test`
#[derive(Clone, Copy, Debug)]
pub struct ByteTest {
    /// How many octets; a variable holds 1 to 8 (23 as text).
    pub count: Operand,
    /// The comparison.
    pub compare: ByteCompare,
    /// It must not hold.
    pub negated: bool,
    /// Compared with.
    pub value: Operand,
    /// Where.
    pub offset: Operand,
    /// Counted from where the condition before ended.
    pub relative: bool,
    /// How it is written.
    pub encoding: Encoding,
    /// Applied to the number, which is then shifted right by the mask's trailing zeros; 0 is none.
    pub bitmask: u32,
}

/// `byte_jump`
#[derive(Clone, Copy, Debug)]
pub struct ByteJump {
    /// How many octets; 0 only moves.
    pub count: Operand,
    /// Where.
    pub offset: Operand,
    /// Counted from where the condition before ended.
    pub relative: bool,
    /// How it is written.
    pub encoding: Encoding,
    /// The number is multiplied by this.
    pub multiplier: u16,
    /// Rounded up to four octets.
    pub align: bool,
    /// Jump counted from the buffer's start.
    pub from_beginning: bool,
    /// Jump counted from the buffer's end.
    pub from_end: bool,
    /// Added at the end.
    pub post_offset: Operand,
    /// As for [`ByteTest`].
    pub bitmask: u32,
}

/// `byte_extract`
#[derive(Clone, Copy, Debug)]
pub struct ByteExtract {
    /// How many octets.
    pub count: u8,
    /// Where.
    pub offset: i32,
    /// The variable set.
    pub variable: VarId,
    /// Counted from where the condition before ended.
    pub relative: bool,
    /// How it is written.
    pub encoding: Encoding,
    /// The number is multiplied by this.
    pub multiplier: u16,
    /// Rounded up to this many octets: 2, 4; 0 is not.
    pub align: u8,
}

/// What `byte_math` calculates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MathOperator {
    /// `+`
    Add,
    /// `-`
    Subtract,
    /// `*`
    Multiply,
    /// `/`
    Divide,
    /// `<<`
    ShiftLeft,
    /// `>>`
    ShiftRight,
}

/// `byte_math`
#[derive(Clone, Copy, Debug)]
pub struct ByteMath {
    /// How many octets.
    pub count: Operand,
    /// Where.
    pub offset: i32,
    /// The operation.
    pub operator: MathOperator,
    /// The right operand.
    pub value: Operand,
    /// The variable set.
    pub variable: VarId,
    /// Counted from where the condition before ended.
    pub relative: bool,
    /// How it is written.
    pub encoding: Encoding,
    /// As for [`ByteTest`].
    pub bitmask: u32,
}

/// `base64_decode`
#[derive(Debug)]
pub struct Base64 {
    /// At most this many encoded octets; 0 is all there are.
    pub octets: u32,
    /// Where they begin.
    pub offset: u32,
    /// Counted from where the condition before ended.
    pub relative: bool,
    /// Conditions on what was decoded; empty without `base64_data`.
    pub data: Chain,
}

/// What a rule does with a dataset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DatasetOperation {
    /// It must be there.
    IsSet,
    /// It must not be there.
    IsNotSet,
    /// Add it; holds when it was not there.
    Set,
    /// Take it away.
    Unset,
}

/// `dataset`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DatasetTest {
    /// Index in the rule set's dataset definitions.
    pub dataset: u32,
    /// What to do.
    pub operation: DatasetOperation,
}

/// `datarep`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DatarepTest {
    /// Index in the rule set's dataset definitions.
    pub dataset: u32,
    /// Its reputation compared: only `Less`, `Greater`, `Equal`.
    pub compare: ByteCompare,
    /// With this.
    pub value: u16,
}

/// `asn1`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Asn1 {
    /// A bit string is encoded in an overlong way.
    pub bitstring_overflow: bool,
    /// A double's text is too long.
    pub double_overflow: bool,
    /// A length above this.
    pub oversize_length: Option<u32>,
    /// Where, from the buffer's start.
    pub absolute_offset: Option<u16>,
    /// Where, from the end of the condition before.
    pub relative_offset: Option<i32>,
}

/// What datasets are asked during inspection. Implemented where they are kept.
pub trait DatasetAccess {
    /// Do `test` with `value` (a string, or a hash's or address's octets, transformed already).
    fn dataset(&mut self, test: DatasetTest, value: &[u8]) -> bool;
    /// The reputation of `value`.
    fn datarep(&mut self, dataset: u32, value: &[u8]) -> Option<u16>;
}

/// Something captured by a [`Pcre`] during inspection.
pub type Captured = (Capture, Arc<[u8]>);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nocase_contents_are_found_in_any_case_at_either_end() {
        let mut content = Content::new(b"GeT /x".to_vec());
        assert_eq!(content.find(b"get /x"), None);
        content.set_nocase();
        for (octets, at) in [
            (&b"gEt /X"[..], Some(0)),
            (b"..get /x", Some(2)),
            (b"get /", None),
            (b"", None),
            (b"get get /x ", Some(4)),
        ] {
            assert_eq!(content.find(octets), at, "{octets:?}");
        }
    }

    #[test]
    fn a_chain_knows_which_content_later_conditions_count_from() {
        let relative = |distance, within| {
            let mut content = Content::new(b"b".to_vec());
            content.distance = distance;
            content.within = within;
            Condition::Content(Box::new(content))
        };
        let first = || Condition::Content(Box::new(Content::new(b"a".to_vec())));
        let flags = |conditions| {
            let mut chain = Chain { conditions };
            chain.finish();
            match &chain.conditions[0] {
                Condition::Content(content) => (content.relative_next, content.retry),
                _ => unreachable!(),
            }
        };
        let five = Some(Operand::Number(5));
        assert_eq!(flags(vec![first(), relative(None, None)]), (false, false));
        assert_eq!(flags(vec![first(), relative(five, None)]), (true, false));
        assert_eq!(flags(vec![first(), relative(None, five)]), (true, true));
        let far = Condition::IsDataAt(IsDataAt {
            at: Operand::Number(1),
            relative: true,
            negated: false,
        });
        assert_eq!(flags(vec![first(), far]), (true, true));
    }
}
