//! The streams of a connection as transactions: those that live, found by id or by the stream's number.

use std::collections::BTreeMap;

use hashbrown::HashMap;

use super::transaction::Http2Tx;
use crate::app::{Transaction, Transactions};

/// Live transactions of a connection.
#[derive(Debug)]
pub struct Streams {
    live: BTreeMap<u64, Box<Http2Tx>>,
    by_number: HashMap<u32, u64>,
    next: u64,
    limit: usize,
}

impl Streams {
    /// None yet, at most `limit` at a time.
    pub fn new(limit: usize) -> Streams {
        Streams {
            live: BTreeMap::new(),
            by_number: HashMap::new(),
            next: 0,
            limit: limit.max(1),
        }
    }

    /// The one of stream `number`.
    pub fn of(&mut self, number: u32) -> Option<&mut Http2Tx> {
        let id = self.by_number.get(&number)?;
        self.live.get_mut(id).map(Box::as_mut)
    }

    /// There are as many as there may be.
    pub fn is_full(&self) -> bool {
        self.live.len() >= self.limit
    }

    /// Begin one. That of stream 0 is a frame of the connection, which is never found again.
    pub fn begin(&mut self, tx: Http2Tx) -> &mut Http2Tx {
        let id = self.next;
        self.next += 1;
        if tx.stream != 0 {
            self.by_number.insert(tx.stream, id);
        }
        self.live.entry(id).or_insert_with(|| Box::new(tx)).as_mut()
    }

    /// All of them.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Http2Tx> {
        self.live.values_mut().map(Box::as_mut)
    }
}

impl Transactions for Streams {
    fn first(&self) -> u64 {
        self.live.keys().next().copied().unwrap_or(self.next)
    }

    fn end(&self) -> u64 {
        self.next
    }

    fn get(&self, id: u64) -> Option<&dyn Transaction> {
        self.live.get(&id).map(|tx| &**tx as &dyn Transaction)
    }

    fn get_mut(&mut self, id: u64) -> Option<&mut dyn Transaction> {
        self.live.get_mut(&id).map(|tx| &mut **tx as &mut dyn Transaction)
    }

    fn next_from(&self, id: u64) -> Option<u64> {
        self.live.range(id..).next().map(|(id, _)| *id)
    }

    fn release(&mut self, id: u64) {
        let Some(tx) = self.live.remove(&id) else { return };
        if self.by_number.get(&tx.stream) == Some(&id) {
            self.by_number.remove(&tx.stream);
        }
    }
}
