//! Rules run on transactions: conditions are asked as the transaction progresses, what held is kept with it.
//!
//! A look at a transaction in a direction runs the rules that a prefilter found in its buffers, those without a fast
//! pattern, and those that were kept at the look before. A rule's steps are asked in order (see `steps`) until one does
//! not hold; what held is kept, unless the fast pattern will find the rule again at the next look anyway.
//!
//! # Source
//! Suricata 7's `DetectRunTx`, of which the same looks at the same packets follow.

use super::answer::{Answer, Look};
use super::cause::Cause;
use super::detect::{flow_fits, header_fits, matched, packet_fits, scan, Hit, Work};
use super::memory::FlowDetect;
use super::set::{RuleSet, Transactions};
use super::signature::{Signature, View};
use super::steps::{flags, Ask, Plan};
use super::{why, FlowScene};
use crate::app::{DetectState, Transaction};
use crate::packet::{Direction, Packet};

/// Progress of a transaction to which nothing will be added.
const OVER: u8 = 63;

/// A look at a transaction with the rules that are run.
struct Visit<'a, 'p> {
    set: &'a RuleSet,
    look: Look<'a, 'p>,
}

/// What a rule's steps came to.
struct Outcome {
    /// See [`flags`].
    state: u64,
    matched: bool,
    /// The next look needs `state`.
    keep: bool,
    /// What kept it from matching.
    cause: Option<Cause>,
}

/// Run the rules on all transactions of the flow.
pub(super) fn run(
    set: &RuleSet,
    about: &mut FlowScene<'_>,
    packet: &Packet<'_>,
    direction: Direction,
    work: &mut Work,
) {
    let Some(protocol) = about.app.protocol() else {
        return;
    };
    // The session no longer keeps what comes: the application layer will not say more.
    let cut = about
        .tcp
        .as_deref()
        .is_some_and(|session| session.half(direction).depth_reached());
    let news = about.app.fed || about.app.updated[direction.index()];
    if about.tcp.is_some() && !packet.pseudo && !news && !cut {
        return;
    }
    let Some(groups) = set.transactions_of(protocol, direction) else {
        return;
    };
    let next_from = |about: &FlowScene<'_>, id| about.app.parser.as_ref()?.transactions().next_from(id);
    let over = about.app.ended[direction.index()] || packet.pseudo && packet.stream_ended;
    let mut next = 0;
    while let Some(id) = next_from(about, next) {
        next = id + 1;
        let Some(transaction) = transaction_mut(about, id) else {
            continue;
        };
        let only = transaction.only();
        let meta = transaction.meta_mut();
        if only.is_some_and(|only| only != direction) {
            meta.detect[direction.index()].done = true;
            continue;
        }
        if let Some(only) = only {
            meta.detect[only.opposite().index()].done = true;
        }
        if meta.detect[direction.index()].done {
            continue;
        }
        let complete = transaction.complete(direction) || over || cut;
        if !complete && !transaction.begun(direction) {
            continue;
        }
        let mut state = std::mem::take(&mut transaction.meta_mut().detect[direction.index()]);
        state.belong_to(about.detect.generation);
        let parser = about.app.parser.as_ref();
        if let Some(transaction) = parser.and_then(|parser| parser.transactions().get(id)) {
            let visit = Visit {
                set,
                look: Look {
                    view: View {
                        packet,
                        flow: Some(about.flow),
                        tcp: about.tcp.as_deref(),
                        app: Some(about.app),
                    },
                    protocol,
                    transaction,
                    id,
                    direction,
                    progress: match cut {
                        true => OVER,
                        false => transaction.progress(direction).min(OVER),
                    },
                    complete,
                },
            };
            visit.run(groups, &mut state, about.detect, work);
            if let (true, Some(trace)) = (complete, &mut work.trace) {
                trace.transaction_ends(about.flow.id, id, direction);
            }
        }
        state.done = complete;
        if let Some(transaction) = transaction_mut(about, id) {
            transaction.inspected(direction);
            transaction.meta_mut().detect[direction.index()] = state;
        }
    }
}

fn transaction_mut<'a>(about: &'a mut FlowScene<'_>, id: u64) -> Option<&'a mut dyn Transaction> {
    about.app.parser.as_mut()?.transactions_mut().get_mut(id)
}

impl Visit<'_, '_> {
    fn run(&self, groups: &Transactions, state: &mut DetectState, detect: &mut FlowDetect, work: &mut Work) {
        let mut candidates = std::mem::take(&mut work.candidates);
        candidates.clear();
        self.new_files(state);
        self.prefilter(groups, state, work, &mut candidates);
        candidates.extend_from_slice(&groups.always);
        candidates.extend_from_slice(&work.carried);
        candidates.extend(state.rules.iter().map(|(rule, _)| *rule));
        let mut untried = Vec::new();
        if let Some(trace) = &work.trace {
            let is_about = |signature: &Signature| self.plan(signature).is_some();
            untried = trace.add_untried(self.set, &mut candidates, is_about);
        }
        candidates.sort_unstable();
        candidates.dedup();
        let known = state.rules.len();
        for &rule in &candidates {
            let at = state.rules[..known].binary_search_by_key(&rule, |(rule, _)| *rule);
            let before = at.ok().map(|at| state.rules[at].1);
            if before.is_some_and(|before| before & (flags::MATCHED | flags::CANNOT) != 0) {
                continue;
            }
            let Some(signature) = self.set.signatures.get(rule as usize) else {
                continue;
            };
            let outcome = self.rule(signature, before, state.settled_files, detect, work);
            if work.trace.is_some() && self.is_explained(signature, &outcome, &untried, work) {
                continue;
            }
            let Ok(outcome) = outcome else { continue };
            match at {
                Ok(at) => state.rules[at].1 = outcome.state,
                // No more than there are rules that can be asked here.
                Err(_) if outcome.keep => state.rules.push((rule, outcome.state)),
                Err(_) => {}
            }
            if outcome.matched {
                let hit = Hit {
                    rule,
                    transaction: Some(self.look.id),
                    stream: false,
                };
                matched(signature, &self.look.view, Some(detect), work, hit);
            }
        }
        if state.rules.len() > known {
            state.rules.sort_unstable();
        }
        work.candidates = candidates;
    }

    /// Rules that asked for files are begun again when a new file begins: each file is an alert of its own.
    fn new_files(&self, state: &mut DetectState) {
        let Some(files) = self.look.transaction.files() else {
            return;
        };
        let count = files.of(self.look.direction).count();
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        if count <= state.files {
            return;
        }
        state.settled_files = std::mem::replace(&mut state.files, count);
        for (_, rule) in &mut state.rules {
            if *rule & flags::FILES != 0 {
                *rule &= !(flags::MATCHED | flags::CANNOT | flags::FILES);
                *rule |= flags::AGAIN;
            }
        }
    }

    /// Look for fast patterns in the buffers that are there, of each progress a last time when the transaction is beyond.
    fn prefilter(
        &self,
        groups: &Transactions,
        state: &mut DetectState,
        work: &mut Work,
        candidates: &mut Vec<u32>,
    ) {
        let progress = self.look.progress;
        let mut looked_at = 0;
        for (slot, group) in groups.buffers.iter().enumerate() {
            let Some(group) = group else { continue };
            let spec = &self.look.protocol.buffers[slot];
            let bit = 1u64 << spec.progress.min(OVER);
            if progress < spec.progress || progress > spec.progress && state.scanned & bit != 0 {
                continue;
            }
            if progress > spec.progress {
                looked_at |= bit;
            }
            for index in 0.. {
                let buffer = self.look.transaction.buffer(slot, self.look.direction, index);
                let Some(buffer) = buffer else { break };
                candidates.extend_from_slice(&group.always);
                if let Some(matcher) = group.matcher() {
                    // A transform changes what is there: its rules look for their pattern in what comes out, so they
                    // are candidates whenever the buffer is there (see `set`).
                    scan(matcher, buffer.data, work, |needle| {
                        candidates.extend_from_slice(group.rules_of(needle))
                    });
                }
                if !spec.multi {
                    break;
                }
            }
        }
        state.scanned |= looked_at;
    }

    fn plan<'s>(&self, signature: &'s Signature) -> Option<&'s Plan> {
        signature.plans.iter().find(|plan| {
            plan.direction == self.look.direction && std::ptr::eq(plan.protocol, self.look.protocol)
        })
    }

    /// Ask a rule's steps; `before` is what was kept.
    ///
    /// # Errors
    /// What of its header does not fit.
    fn rule(
        &self,
        signature: &Signature,
        before: Option<u64>,
        settled: u32,
        detect: &FlowDetect,
        work: &mut Work,
    ) -> Result<Outcome, Cause> {
        let view = &self.look.view;
        let plan = self.plan(signature).ok_or(Cause::AppProtocol)?;
        // The packet was looked at before when something was kept.
        if before.is_none() {
            header_fits(signature, view)?;
            flow_fits(signature, view)?;
            packet_fits(signature, view, Some(detect), work)?;
        }
        let mut state = before.unwrap_or(0);
        let settled = if state & flags::AGAIN != 0 { settled } else { 0 };
        let (mut cause, mut held, mut other_files) = (None, 0, false);
        // The fast pattern's buffer is complete; it is not, so that the prefilter will find the rule again.
        let (mut lead_over, mut lead_open) = (false, false);
        work.machine.begin(signature.variables);
        for step in &plan.steps {
            if state & step.bit != 0 {
                continue;
            }
            cause = Some(cause_of(step.ask));
            if self.look.progress < step.progress {
                break;
            }
            if step.leads {
                lead_over = self.look.progress > step.progress;
                lead_open = !lead_over;
            }
            match self.look.ask(step, signature, settled, work) {
                Answer::Holds => {
                    state |= step.bit;
                    held += 1;
                    cause = None;
                    continue;
                }
                Answer::HoldsForNow => {
                    held += 1;
                    cause = None;
                    continue;
                }
                Answer::Never => state |= flags::CANNOT | step.bit,
                Answer::NeverForFiles => {
                    state |= flags::CANNOT | step.bit;
                    other_files = true;
                }
                Answer::Not if lead_over && step.leads => state |= flags::CANNOT | step.bit,
                Answer::Not => {}
            }
            break;
        }
        let matched = cause.is_none() && held > 0;
        if matched {
            state |= flags::MATCHED;
        }
        let asks_files = state & flags::FILES != 0;
        let keep = if state & flags::CANNOT != 0 {
            other_files
        } else if matched && lead_over {
            asks_files
        } else {
            matched || !lead_open
        };
        Ok(Outcome {
            state,
            matched,
            keep,
            cause,
        })
    }

    /// Write down what came of a rule that somebody asks about; whether it was only looked at for that.
    #[cold]
    fn is_explained(
        &self,
        signature: &Signature,
        outcome: &Result<Outcome, Cause>,
        untried: &[u32],
        work: &mut Work,
    ) -> bool {
        let untried = untried.contains(&signature.index);
        let (cause, waits) = match outcome {
            Err(cause) => (*cause, false),
            Ok(outcome) if outcome.matched && untried => (Cause::Prefilter, false),
            // A match is written down where its effects are.
            Ok(outcome) if outcome.matched => return false,
            Ok(outcome) => (
                outcome.cause.unwrap_or(Cause::Prefilter),
                outcome.state & flags::CANNOT == 0 && !self.look.complete,
            ),
        };
        why::transaction_fails(self.set, signature, &self.look, work, cause, waits);
        untried
    }
}

fn cause_of(ask: Ask) -> Cause {
    match ask {
        Ask::Group(at, _) => Cause::Group(at),
        Ask::Condition(at, _) => Cause::Transaction(at),
        Ask::Payload => Cause::Payload,
    }
}
