//! A transaction: a request with its response, or whatever a protocol's unit is.

use std::collections::VecDeque;

use smallvec::SmallVec;

use super::dcerpc::Call;
use super::Transactions;
use crate::event::json::Json;
use crate::packet::Direction;

/// What rules look at.
#[derive(Clone, Copy, Debug)]
pub struct Buffer<'a> {
    /// The octets there are.
    pub data: &'a [u8],
    /// Offset of `data[0]` in the whole buffer (streaming buffers let go of what was inspected).
    pub offset: u64,
    /// Nothing will be added.
    pub complete: bool,
}

impl<'a> Buffer<'a> {
    /// A buffer that is all there.
    pub fn whole(data: &'a [u8]) -> Buffer<'a> {
        Buffer {
            data,
            offset: 0,
            complete: true,
        }
    }
}

/// What the rule layer remembers of a transaction in one direction.
#[derive(Debug, Default)]
pub struct DetectState {
    /// Which rule set the rest belongs to: rules are numbered by set.
    pub generation: u32,
    /// Detection on this direction is over.
    pub done: bool,
    /// Bits of progress: the buffers of that progress were looked at for fast patterns a last time.
    pub scanned: u64,
    /// Rules that were begun, by index, with what of them held (see `rule::steps::flags`).
    pub rules: Vec<(u32, u64)>,
    /// Files there were at the look before.
    pub files: u32,
    /// Files that rules on files which are begun again do not count: those before the newest.
    pub settled_files: u32,
}

impl DetectState {
    /// Forget what was remembered for another rule set, but not that nothing more is to be looked at.
    pub fn belong_to(&mut self, generation: u32) {
        if self.generation != generation {
            *self = DetectState {
                generation,
                done: self.done,
                ..DetectState::default()
            };
        }
    }
}

/// What the engine keeps with each transaction.
#[derive(Debug, Default)]
pub struct TxMeta {
    /// Detection state by direction.
    pub detect: [DetectState; 2],
    /// Bits of indicator look-ups made.
    pub watched: u32,
    /// Bits of records written (one per logger of the protocol).
    pub logged: u32,
    /// App-layer events raised, by name, in order (bounded).
    pub events: SmallVec<[&'static str; 2]>,
    /// How many of `events` were written as anomaly records.
    pub events_logged: usize,
}

/// At most this many events are kept on a transaction.
const MAX_EVENTS: usize = 32;

impl TxMeta {
    /// Raise an app-layer event once.
    pub fn raise(&mut self, event: &'static str) {
        if self.events.len() < MAX_EVENTS && !self.events.contains(&event) {
            self.events.push(event);
        }
    }
}

pub use crate::file::Files;

/// A protocol's unit of exchange.
pub trait Transaction {
    /// The engine's part.
    fn meta(&self) -> &TxMeta;
    /// The engine's part, to change it.
    fn meta_mut(&mut self) -> &mut TxMeta;
    /// How far it got in a direction; grows only. 0 is "not started". One message is there at once.
    fn progress(&self, _direction: Direction) -> u8 {
        1
    }
    /// Something was said in a direction that is part of it, since the look before where a protocol can tell.
    fn begun(&self, _direction: Direction) -> bool {
        true
    }
    /// Nothing will be added in a direction. One message is complete at once.
    fn complete(&self, _direction: Direction) -> bool {
        true
    }
    /// Buffer in `slot` of the protocol's `buffers`; `index` counts those of a multi-buffer.
    fn buffer(&self, _slot: usize, _direction: Direction, _index: usize) -> Option<Buffer<'_>> {
        None
    }
    /// Value in `slot` of the protocol's `values`; `index` counts where there are several (answers, certificates).
    fn value(&self, _slot: usize, _direction: Direction, _index: usize) -> Option<i64> {
        None
    }
    /// What was shown of streaming buffers in this direction was inspected: let go of it.
    fn inspected(&mut self, _direction: Direction) {}
    /// Files seen so far.
    fn files(&self) -> Option<&Files> {
        None
    }
    /// Files, to change their engine-side state.
    fn files_mut(&mut self) -> Option<&mut Files> {
        None
    }
    /// The one direction it consists of (a DNS query, an answer); `None` is both.
    fn only(&self) -> Option<Direction> {
        None
    }
    /// The remote procedure call it is the request of, with the interfaces it may be about (`dcerpc.iface`).
    fn call(&self) -> Option<Call<'_>> {
        None
    }
    /// Numbers in its buffers are little-endian, for `byte_test:...,dce` and the like.
    fn little_endian(&self) -> bool {
        false
    }
    /// How many records of its own it writes now (0: nothing to write). Asked when it makes progress, and at last with
    /// `ended` when nothing can be added (both directions complete or over); not asked again once it wrote some.
    fn records(&self, _ended: bool) -> usize {
        1
    }
    /// The record's `event_type`, for record `index`.
    fn record_type(&self, _index: usize) -> &'static str;
    /// Write record `index`: the object under the event type's key, e.g. `"dns":{...}`.
    fn write_record(&self, index: usize, json: &mut Json<'_>);
    /// Write what an alert or fileinfo on this transaction shows of it; the same as the record where nothing differs.
    fn write_context(&self, json: &mut Json<'_>) {
        self.write_record(0, json);
    }
}

/// Transactions in order, bounded.
#[derive(Debug)]
pub struct TxQueue<T> {
    first: u64,
    items: VecDeque<Option<T>>,
    limit: usize,
    /// Transactions that had to go because there were too many.
    pub overflow: u64,
}

impl<T> TxQueue<T> {
    /// An empty queue that holds at most `limit`.
    pub fn new(limit: usize) -> TxQueue<T> {
        TxQueue {
            first: 0,
            items: VecDeque::new(),
            limit: limit.max(1),
            overflow: 0,
        }
    }

    /// Add one; the oldest goes when there are too many. Returns the new one's id.
    pub fn push(&mut self, item: T) -> u64 {
        if self.items.len() >= self.limit {
            self.items.pop_front();
            self.first += 1;
            self.overflow += 1;
        }
        self.items.push_back(Some(item));
        self.first + self.items.len() as u64 - 1
    }

    /// Id the next one will get.
    pub fn next_id(&self) -> u64 {
        self.first + self.items.len() as u64
    }

    /// The one with this id.
    pub fn item(&self, id: u64) -> Option<&T> {
        self.items
            .get(usize::try_from(id.checked_sub(self.first)?).ok()?)?
            .as_ref()
    }

    /// The one with this id, to change it.
    pub fn item_mut(&mut self, id: u64) -> Option<&mut T> {
        self.items
            .get_mut(usize::try_from(id.checked_sub(self.first)?).ok()?)?
            .as_mut()
    }

    /// The newest.
    pub fn last_mut(&mut self) -> Option<&mut T> {
        self.items.back_mut()?.as_mut()
    }

    /// Those held, oldest first, with their ids.
    pub fn iter_mut(&mut self) -> impl DoubleEndedIterator<Item = (u64, &mut T)> {
        let first = self.first;
        self.items
            .iter_mut()
            .enumerate()
            .filter_map(move |(at, item)| Some((first + at as u64, item.as_mut()?)))
    }
}

impl<T: Transaction> Transactions for TxQueue<T> {
    fn first(&self) -> u64 {
        self.first
    }

    fn end(&self) -> u64 {
        self.first + self.items.len() as u64
    }

    fn get(&self, id: u64) -> Option<&dyn Transaction> {
        self.item(id).map(|item| item as &dyn Transaction)
    }

    fn get_mut(&mut self, id: u64) -> Option<&mut dyn Transaction> {
        self.item_mut(id).map(|item| item as &mut dyn Transaction)
    }

    fn release(&mut self, id: u64) {
        if let Some(at) = id.checked_sub(self.first).and_then(|at| usize::try_from(at).ok()) {
            if let Some(slot) = self.items.get_mut(at) {
                *slot = None;
            }
        }
        while let Some(None) = self.items.front() {
            self.items.pop_front();
            self.first += 1;
        }
    }
}
