//! One condition on a transaction, asked.

use std::net::IpAddr;

use super::detect::{chain_fits, group_fits, Work};
use super::inspect::Subject;
use super::signature::{BufferGroup, FileTest, Signature, Slot, TxCondition, View};
use super::steps::{Ask, Step};
use crate::app::{Protocol, Transaction};
use crate::file::{File, State};
use crate::packet::Direction;

/// What a condition says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// It holds.
    Holds,
    /// It holds for a file, and a file that is not over may make it hold once more.
    HoldsForNow,
    /// It does not hold, at least not yet.
    Not,
    /// It will not hold on this transaction.
    Never,
    /// It will not hold on the files there are.
    NeverForFiles,
}

/// A look at a transaction: what conditions are asked of.
pub(super) struct Look<'a, 'p> {
    pub(super) view: View<'a, 'p>,
    pub(super) protocol: &'static Protocol,
    pub(super) transaction: &'a dyn Transaction,
    pub(super) id: u64,
    pub(super) direction: Direction,
    pub(super) progress: u8,
    /// Nothing will be added to it in this direction.
    pub(super) complete: bool,
}

impl<'a, 'p> Look<'a, 'p> {
    /// A look at transaction `id` as it is now, for an explanation.
    pub(super) fn of(view: &View<'a, 'p>, id: u64) -> Option<Look<'a, 'p>> {
        let (app, direction) = (view.app?, view.packet.direction?);
        let transaction = app.parser.as_ref()?.transactions().get(id)?;
        Some(Look {
            view: *view,
            protocol: app.protocol()?,
            transaction,
            id,
            direction,
            progress: transaction.progress(direction),
            complete: transaction.complete(direction),
        })
    }

    /// The slot that is this transaction's protocol's.
    pub(super) fn slot(&self, slots: &[Slot]) -> Option<usize> {
        slots
            .iter()
            .find(|slot| std::ptr::eq(slot.protocol, self.protocol))
            .map(|slot| slot.slot)
    }

    /// Ask one; of files, the first `settled` do not count.
    pub(super) fn ask(&self, step: &Step, signature: &Signature, settled: u32, work: &mut Work) -> Answer {
        let over = self.progress > step.progress;
        match step.ask {
            Ask::Group(at, slot) => match signature.groups.get(at) {
                Some(group) => self.buffer(group, slot, over, work),
                None => Answer::Never,
            },
            Ask::Condition(at, slot) => match signature.transaction.get(at) {
                Some(condition) => self.condition(condition, slot, settled),
                None => Answer::Never,
            },
            Ask::Payload => self.payload(signature, work),
        }
    }

    fn buffer(&self, group: &BufferGroup, slot: usize, over: bool, work: &mut Work) -> Answer {
        let spec = &self.protocol.buffers[slot];
        let mut there = false;
        for index in 0.. {
            let Some(buffer) = self.transaction.buffer(slot, self.direction, index) else {
                break;
            };
            let subject = Subject {
                data: buffer.data,
                offset: buffer.offset,
                complete: buffer.complete || over,
                little_endian: self.transaction.little_endian(),
            };
            if group_fits(group, &subject, work) {
                return Answer::Holds;
            }
            there = true;
            if !spec.multi {
                break;
            }
        }
        if over && !there && group.chain.holds_on_absence() {
            return Answer::Holds;
        }
        let of_files = spec.name.starts_with("file.");
        if of_files {
            return match self.transaction.files() {
                Some(_) => Answer::Not,
                None => Answer::NeverForFiles,
            };
        }
        if over {
            Answer::Never
        } else {
            Answer::Not
        }
    }

    fn condition(&self, condition: &TxCondition, slot: usize, settled: u32) -> Answer {
        let holds = match condition {
            TxCondition::Value { test, .. } => {
                let now_s = self.view.packet.ts.seconds();
                (0..)
                    .map_while(|index| self.transaction.value(slot, self.direction, index))
                    .any(|value| test.matches(value, now_s))
            }
            TxCondition::Event { name, .. } => {
                let events = &self.transaction.meta().events;
                let raised = events.iter().any(|event| event.eq_ignore_ascii_case(name));
                if !raised && self.complete {
                    return Answer::Never;
                }
                raised
            }
            TxCondition::OtherHost { .. } => {
                let client = self.view.flow.and_then(|flow| match flow.src {
                    IpAddr::V4(v4) => Some(i64::from(u32::from(v4))),
                    IpAddr::V6(_) => None,
                });
                let host = self.transaction.value(slot, self.direction, 0);
                host.is_some() && host != client
            }
            TxCondition::Interface { test, .. } => {
                self.transaction.call().is_some_and(|call| test.matches(&call))
            }
            TxCondition::File(tests) => return self.files(tests, settled),
        };
        if holds {
            Answer::Holds
        } else {
            Answer::Not
        }
    }

    /// What all files together say: one that passes is enough.
    fn files(&self, tests: &[FileTest], settled: u32) -> Answer {
        let Some(files) = self.transaction.files() else {
            return Answer::NeverForFiles;
        };
        let (mut last, mut holds) = (Answer::Not, false);
        for file in files.of(self.direction).skip(settled as usize) {
            last = if !tests.iter().all(|test| can_be_asked(file, test)) {
                Answer::Not
            } else if tests.iter().all(|test| file_fits(file, test)) {
                Answer::Holds
            } else {
                Answer::NeverForFiles
            };
            holds |= last == Answer::Holds;
        }
        match (holds, last) {
            (true, Answer::Not) => Answer::HoldsForNow,
            (true, _) => Answer::Holds,
            (false, last) => last,
        }
    }

    /// Conditions on the payload beside those on the transaction: on the stream, or the datagram.
    fn payload(&self, signature: &Signature, work: &mut Work) -> Answer {
        let packet = self.view.packet;
        let Some(session) = self.view.tcp else {
            return match chain_fits(signature, packet.payload, work) {
                true => Answer::Holds,
                false => Answer::Never,
            };
        };
        let mut windows = session.raw_windows_back(self.direction);
        if windows.any(|(_, octets)| chain_fits(signature, octets, work)) {
            Answer::Holds
        } else if self.complete {
            Answer::Never
        } else {
            Answer::Not
        }
    }
}

/// Whether enough of a file is there to ask.
fn can_be_asked(file: &File, test: &FileTest) -> bool {
    match test {
        FileTest::Any => true,
        FileTest::Name(..) | FileTest::Extension(..) => !file.name.is_empty(),
        FileTest::Magic(..) => file.size > 0,
        FileTest::Size(_) => file.state != State::Open,
        FileTest::Md5(..) | FileTest::Sha1(..) | FileTest::Sha256(..) => file.digests().is_some(),
    }
}

fn file_fits(file: &File, test: &FileTest) -> bool {
    let over = file.state != State::Open;
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
