//! Rules run on transactions: conditions are answered as the transaction progresses, answers are kept with it.

use super::cause::Cause;
use super::detect::{chain_fits, flow_fits, group_fits, header_fits, matched, packet_fits, scan, Hit, Work};
use super::inspect::Subject;
use super::memory::FlowDetect;
use super::set::{about, RuleSet, Transactions};
use super::signature::{FileTest, Kind, Place, Signature, Slot, TxCondition, View};
use super::{why, FlowScene};
use crate::app::{DetectState, Protocol, Transaction};
use crate::file::File;
use crate::packet::{Direction, Packet};

/// Among a rule's bits: it matched before, and is looked at again for the sake of a new file.
const AGAIN: u32 = 1 << 30;

/// Rules that wait on one transaction and direction at most.
const MAX_PARTIAL: usize = 512;

/// What became of a rule on a transaction.
enum Outcome {
    /// All conditions hold.
    Match,
    /// Those of these bits hold, others cannot be answered yet; the first of them.
    Waits(u32, Cause),
    /// It cannot match, because of this.
    No(Cause),
}

/// What a look at a transaction works on.
pub(super) struct Look<'a, 'p> {
    set: &'a RuleSet,
    pub(super) view: View<'a, 'p>,
    pub(super) protocol: &'static Protocol,
    pub(super) transaction: &'a dyn Transaction,
    pub(super) id: u64,
    pub(super) direction: Direction,
    pub(super) progress: u8,
    pub(super) complete: bool,
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
        let mut state = std::mem::take(&mut meta.detect[direction.index()]);
        state.belong_to(about.detect.generation);
        let complete = {
            let Some(transaction) = about
                .app
                .parser
                .as_ref()
                .and_then(|parser| parser.transactions().get(id))
            else {
                continue;
            };
            let complete = transaction.complete(direction) || over;
            let look = Look {
                set,
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
                progress: transaction.progress(direction),
                complete,
            };
            look.at(groups, &mut state, about.detect, work);
            if let (true, Some(trace)) = (complete, &mut work.trace) {
                trace.transaction_ends(about.flow.id, id, direction);
            }
            complete
        };
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

impl<'a, 'p> Look<'a, 'p> {
    /// A look at transaction `id` as it is now, for an explanation.
    pub(super) fn of(set: &'a RuleSet, view: &View<'a, 'p>, id: u64) -> Option<Look<'a, 'p>> {
        let (app, direction) = (view.app?, view.packet.direction?);
        let transaction = app.parser.as_ref()?.transactions().get(id)?;
        Some(Look {
            set,
            view: *view,
            protocol: app.protocol()?,
            transaction,
            id,
            direction,
            progress: transaction.progress(direction),
            complete: transaction.complete(direction),
        })
    }
}

impl Look<'_, '_> {
    fn at(&self, groups: &Transactions, state: &mut DetectState, detect: &mut FlowDetect, work: &mut Work) {
        let mut candidates = std::mem::take(&mut work.candidates);
        candidates.clear();
        self.new_files(state);
        self.prefilter(groups, state, work, &mut candidates);
        if !state.begun {
            state.begun = true;
            candidates.extend_from_slice(&groups.always);
        }
        candidates.extend(state.partial.iter().map(|(rule, _)| *rule));
        let mut untried = Vec::new();
        if let Some(trace) = &work.trace {
            let is_about = |signature: &Signature| {
                signature.kind == Kind::Transaction && about(signature, self.protocol)
            };
            untried = trace.add_untried(self.set, &mut candidates, is_about);
        }
        candidates.sort_unstable();
        candidates.dedup();
        for &rule in &candidates {
            if state.matched.contains(&rule) {
                continue;
            }
            let at = state.partial.iter().position(|(known, _)| *known == rule);
            let bits = at.map_or(0, |at| state.partial[at].1);
            let signature = &self.set.signatures[rule as usize];
            let settled = if bits & AGAIN != 0 { state.settled_files } else { 0 };
            let outcome = self.rule(signature, bits, settled, detect, work);
            if work.trace.is_some() && self.is_explained(signature, &outcome, &untried, work) {
                continue;
            }
            match outcome {
                Outcome::Match => {
                    if let Some(at) = at {
                        state.partial.swap_remove(at);
                    }
                    state.matched.push(rule);
                    let hit = Hit {
                        rule,
                        transaction: Some(self.id),
                        stream: false,
                    };
                    matched(self.set, signature, &self.view, Some(detect), work, hit);
                }
                Outcome::Waits(bits, _) => match at {
                    Some(at) => state.partial[at].1 = bits,
                    None if state.partial.len() < MAX_PARTIAL => state.partial.push((rule, bits)),
                    None => {}
                },
                Outcome::No(_) => {
                    if let Some(at) = at {
                        state.partial.swap_remove(at);
                    }
                }
            }
        }
        work.candidates = candidates;
    }

    /// Rules on files that matched are looked at again when a new file begins: each file is an alert of its own.
    fn new_files(&self, state: &mut DetectState) {
        let Some(files) = self.transaction.files() else {
            return;
        };
        let count = u32::try_from(files.of(self.direction).count()).unwrap_or(u32::MAX);
        if count <= state.files {
            return;
        }
        state.settled_files = std::mem::replace(&mut state.files, count);
        let DetectState { matched, partial, .. } = state;
        matched.retain(|rule| {
            let signature = &self.set.signatures[*rule as usize];
            let on_files = signature
                .transaction
                .iter()
                .any(|condition| matches!(condition, TxCondition::File(_)));
            let again = on_files && partial.len() < MAX_PARTIAL;
            if again {
                partial.push((*rule, u32::MAX));
            }
            !again
        });
    }

    /// Look for fast patterns in the buffers that are there and were not looked at yet.
    fn prefilter(
        &self,
        groups: &Transactions,
        state: &mut DetectState,
        work: &mut Work,
        candidates: &mut Vec<u32>,
    ) {
        for (slot, group) in groups.buffers.iter().enumerate() {
            let Some(group) = group else { continue };
            let spec = &self.protocol.buffers[slot];
            let bit = 1u64 << slot;
            if self.progress < spec.progress && !self.complete || state.scanned & bit != 0 {
                continue;
            }
            let mut found = false;
            for index in 0.. {
                let Some(buffer) = self.transaction.buffer(slot, self.direction, index) else {
                    break;
                };
                found = true;
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
            // What is not there yet may come as long as its part of the transaction lasts.
            let ended =
                !spec.streaming && (self.progress > spec.progress || found && !spec.multi) || self.complete;
            if ended {
                state.scanned |= bit;
            }
        }
    }

    /// `settled`: so many files were looked at before and do not count.
    fn rule(
        &self,
        signature: &Signature,
        bits: u32,
        settled: u32,
        detect: &FlowDetect,
        work: &mut Work,
    ) -> Outcome {
        // The packet was looked at before when there are bits.
        if bits == 0 {
            let fits = header_fits(signature, &self.view)
                .and_then(|()| flow_fits(signature, &self.view))
                .and_then(|()| packet_fits(signature, &self.view, Some(detect), work));
            if let Err(cause) = fits {
                return Outcome::No(cause);
            }
        }
        work.machine.begin(signature.variables);
        let (mut bits, mut waits) = (bits, None);
        for (at, group) in signature.groups.iter().enumerate() {
            let bit = 1u32 << at;
            if bits & bit != 0 {
                continue;
            }
            match self.group(group, work) {
                Some(true) => bits |= bit,
                Some(false) => return Outcome::No(Cause::Group(at)),
                None => waits = waits.or(Some(Cause::Group(at))),
            }
        }
        for (at, condition) in signature.transaction.iter().enumerate() {
            match self.condition(condition, settled) {
                Some(true) => {}
                Some(false) => return Outcome::No(Cause::Transaction(at)),
                None => waits = waits.or(Some(Cause::Transaction(at))),
            }
        }
        // The header bit keeps a rule whose header fits from being looked at again.
        bits |= 1 << 31;
        if let Some(cause) = waits {
            return Outcome::Waits(bits, cause);
        }
        match self.payload(signature, work) {
            Some(true) => Outcome::Match,
            Some(false) => Outcome::No(Cause::Payload),
            None => Outcome::Waits(bits, Cause::Payload),
        }
    }

    /// Write down what came of a rule that somebody asks about; whether it was only looked at for that.
    #[cold]
    fn is_explained(
        &self,
        signature: &Signature,
        outcome: &Outcome,
        untried: &[u32],
        work: &mut Work,
    ) -> bool {
        let untried = untried.contains(&signature.index);
        let (cause, waits) = match *outcome {
            Outcome::Match if untried => (Cause::Prefilter, false),
            // It is written down where its effects are.
            Outcome::Match => return false,
            Outcome::Waits(_, cause) => (cause, true),
            Outcome::No(cause) => (cause, false),
        };
        why::transaction_fails(self.set, signature, self, work, cause, waits);
        untried
    }

    /// Whether a buffer's conditions hold; `None` while that cannot be said.
    fn group(&self, group: &super::signature::BufferGroup, work: &mut Work) -> Option<bool> {
        let Place::Transaction(slots) = &group.place else {
            return Some(false);
        };
        let slot = self.slot(slots)?;
        let spec = &self.protocol.buffers[slot];
        if !spec.directions.contains(&self.direction) {
            return Some(false);
        }
        if self.progress < spec.progress && !self.complete {
            return None;
        }
        for index in 0.. {
            let Some(buffer) = self.transaction.buffer(slot, self.direction, index) else {
                break;
            };
            let subject = Subject {
                data: buffer.data,
                offset: buffer.offset,
                complete: buffer.complete || self.complete,
                little_endian: self.transaction.little_endian(),
            };
            if group_fits(group, &subject, work) {
                return Some(true);
            }
            if !spec.multi {
                break;
            }
        }
        let may_come = spec.streaming || self.progress <= spec.progress;
        if may_come && !self.complete {
            None
        } else {
            Some(false)
        }
    }

    pub(super) fn slot(&self, slots: &[Slot]) -> Option<usize> {
        slots
            .iter()
            .find(|slot| std::ptr::eq(slot.protocol, self.protocol))
            .map(|slot| slot.slot)
    }

    fn condition(&self, condition: &TxCondition, settled: u32) -> Option<bool> {
        match condition {
            TxCondition::Value { slots, test, .. } => {
                let slot = self.slot(slots)?;
                let spec = &self.protocol.values[slot];
                if !spec.directions.contains(&self.direction) {
                    return Some(false);
                }
                let now_s = self.view.packet.ts.seconds();
                let holds = (0..)
                    .map_while(|index| self.transaction.value(slot, self.direction, index))
                    .any(|value| test.matches(value, now_s));
                match holds {
                    true if self.progress >= spec.progress || self.complete => Some(true),
                    _ if self.complete => Some(holds),
                    _ => None,
                }
            }
            TxCondition::Event { name, .. } => {
                match self
                    .transaction
                    .meta()
                    .events
                    .iter()
                    .any(|event| event.eq_ignore_ascii_case(name))
                {
                    true => Some(true),
                    false if self.complete => Some(false),
                    false => None,
                }
            }
            TxCondition::Interface { test, .. } => {
                match self.transaction.call().is_some_and(|call| test.matches(&call)) {
                    true => Some(true),
                    false if self.complete => Some(false),
                    false => None,
                }
            }
            TxCondition::File(tests) => {
                let files = self.transaction.files();
                let fits = files.is_some_and(|files| {
                    files
                        .of(self.direction)
                        .skip(settled as usize)
                        .any(|file| tests.iter().all(|test| file_fits(file, test)))
                });
                match fits {
                    true => Some(true),
                    false if self.complete => Some(false),
                    false => None,
                }
            }
        }
    }

    /// Conditions on the payload beside those on the transaction: on the stream, or the datagram.
    fn payload(&self, signature: &Signature, work: &mut Work) -> Option<bool> {
        if signature.payload.is_empty() {
            return Some(true);
        }
        let packet = self.view.packet;
        let Some(session) = self.view.tcp else {
            return Some(chain_fits(signature, packet.payload, work));
        };
        for (_, octets) in session.raw_windows_back(self.direction) {
            if chain_fits(signature, octets, work) {
                return Some(true);
            }
        }
        if self.complete {
            Some(false)
        } else {
            None
        }
    }
}

fn file_fits(file: &File, test: &FileTest) -> bool {
    let over = file.state != crate::file::State::Open;
    match test {
        FileTest::Any => true,
        FileTest::Name(part, negated) => contains(&file.name, part) != *negated,
        FileTest::Extension(extension, negated) => {
            let name = &file.name;
            let fits = name.len() > extension.len()
                && name[name.len() - extension.len() - 1] == b'.'
                && name[name.len() - extension.len()..].eq_ignore_ascii_case(extension);
            fits != *negated
        }
        FileTest::Magic(part, negated) => file
            .magic()
            .is_some_and(|text| contains(text.as_bytes(), part) != *negated),
        FileTest::Size(test) => over && test.matches(i64::try_from(file.size).unwrap_or(i64::MAX)),
        FileTest::Md5(list, negated) => file
            .digests()
            .is_some_and(|digests| list.binary_search(&digests.md5).is_ok() != *negated),
        FileTest::Sha1(list, negated) => file
            .digests()
            .is_some_and(|digests| list.binary_search(&digests.sha1).is_ok() != *negated),
        FileTest::Sha256(list, negated) => file
            .digests()
            .is_some_and(|digests| list.binary_search(&digests.sha256).is_ok() != *negated),
    }
}

/// Whether `part`, in lower case, is in `text` in any case.
fn contains(text: &[u8], part: &[u8]) -> bool {
    part.is_empty()
        || text
            .windows(part.len())
            .any(|window| window.eq_ignore_ascii_case(part))
}
