//! A chain of conditions over one buffer: what content inspection runs.

use std::sync::Arc;

use memchr::memmem::Finder;

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
    /// A later condition is relative to this one: other occurrences are tried when it fails.
    pub relative_next: bool,
    /// `fast_pattern` as written: the whole (`Some(None)`) or (offset, length).
    pub fast_pattern: Option<Option<(u16, u16)>>,
    /// Looks for the pattern where case matters.
    pub(crate) finder: Finder<'static>,
    /// Index and both cases of the octet that is looked for first where case does not matter.
    pub(crate) rare: (usize, u8, u8),
}

/// A regular expression.
#[derive(Debug)]
pub struct Pcre {
    /// The compiled expression.
    pub(crate) regex: pcre2::bytes::Regex,
    /// It must not match.
    pub negated: bool,
    /// Starts where the condition before ended.
    pub relative: bool,
    /// A later condition is relative to this one.
    pub relative_next: bool,
    /// What is kept of a match: group number i + 1 goes to `captures[i]`.
    pub captures: Vec<Capture>,
}

/// Where a captured group goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Capture {
    /// Kept with the flow, under this name (`flow:NAME`), see [`super::state::Names`].
    Flow(u32),
    /// Kept with the packet's alert (`pkt:NAME`).
    Packet(u32),
    /// Written to the alert only (`alert:NAME`).
    Alert(u32),
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
