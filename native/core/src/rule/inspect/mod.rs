//! The machine that runs a chain of conditions over one buffer.
//!
//! Conditions hold one after the other; each relative one starts where the one before ended. When a later one fails, an
//! earlier content or expression is tried at its next occurrence, if that can help (`retry`, `relative_next`). Some
//! failures are final whatever is tried again (`stop`), and a limit on the steps bounds the rest.
//!
//! # Source
//! Behaviour as documented in Suricata 7's guide, "Payload Keywords", and observed; including its oddities.

mod content;
mod expression;
mod run;
#[cfg(test)]
mod tests;

use super::chain::{Captured, Chain, DatasetAccess};

/// Variables a rule can have ([`super::chain::VarId`]).
const MAX_VARIABLES: usize = 256;

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
