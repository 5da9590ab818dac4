//! Exchanges that are not done with, oldest first. A transfer may stay while thousands of others come and go.

use std::collections::VecDeque;
use std::sync::Arc;

use super::transaction::{Agreed, Detail, SmbTx};
use crate::app::{Transaction, Transactions};

/// The exchanges of a connection.
#[derive(Debug)]
pub struct Queue {
    held: VecDeque<(u64, Box<SmbTx>)>,
    next: u64,
    /// More than that, and the oldest that waits is waited for no longer.
    limit: usize,
    agreed: Arc<Agreed>,
    /// No answers will come: what is asked is complete at once.
    pub answers_end: bool,
    /// Exchanges let go because there were too many.
    pub overflow: u64,
}

impl Queue {
    /// An empty one.
    pub fn new(limit: usize) -> Queue {
        Queue {
            held: VecDeque::new(),
            next: 0,
            limit: limit.max(1),
            agreed: Arc::default(),
            answers_end: false,
            overflow: 0,
        }
    }

    /// What the sides agreed on.
    pub fn agreed(&self) -> &Agreed {
        &self.agreed
    }

    /// Change what the sides agreed on: it holds for all exchanges that are not told yet.
    pub fn agree(&mut self, change: impl FnOnce(&mut Agreed)) {
        let mut agreed = Agreed::clone(&self.agreed);
        change(&mut agreed);
        self.agreed = Arc::new(agreed);
        for (_, tx) in &mut self.held {
            tx.agreed = Arc::clone(&self.agreed);
        }
    }

    /// A new exchange.
    pub fn begin(&mut self, detail: Detail) -> &mut SmbTx {
        if self.held.len() > self.limit {
            if let Some((_, waiting)) = self.held.iter_mut().find(|(_, tx)| tx.done != [true; 2]) {
                waiting.finish();
                waiting.meta.raise("too_many_transactions");
            }
        }
        // What is complete is let go of by the engine; should it not be, memory is bounded all the same.
        while self.held.len() >= self.limit.saturating_mul(2) {
            self.held.pop_front();
            self.overflow += 1;
        }
        let id = self.next;
        self.next += 1;
        self.held.push_back((
            id,
            Box::new(SmbTx {
                number: id + 1,
                detail,
                agreed: Arc::clone(&self.agreed),
                ..SmbTx::default()
            }),
        ));
        let at = self.held.len() - 1;
        &mut self.held[at].1
    }

    /// A request that is complete, whose answer is awaited.
    pub fn ask(&mut self, detail: Detail) -> &mut SmbTx {
        let done = [true, self.answers_end];
        let tx = self.begin(detail);
        tx.done = done;
        tx
    }

    /// The oldest of which `is` holds.
    pub fn find(&mut self, is: impl Fn(&SmbTx) -> bool) -> Option<&mut SmbTx> {
        self.held.iter_mut().map(|(_, tx)| tx.as_mut()).find(|tx| is(tx))
    }

    /// The newest.
    pub fn last_mut(&mut self) -> Option<&mut SmbTx> {
        self.held.back_mut().map(|(_, tx)| tx.as_mut())
    }

    /// All.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut SmbTx> {
        self.held.iter_mut().map(|(_, tx)| tx.as_mut())
    }

    /// Number of the newest, gone or not; 0 is none.
    pub fn newest(&self) -> u64 {
        self.next
    }

    /// Raise an event on the newest.
    pub fn raise(&mut self, event: &'static str) {
        if let Some(tx) = self.last_mut() {
            tx.meta.raise(event);
        }
    }

    fn at(&self, id: u64) -> Result<usize, usize> {
        self.held.binary_search_by_key(&id, |(known, _)| *known)
    }
}

impl Transactions for Queue {
    fn first(&self) -> u64 {
        self.held.front().map_or(self.next, |(id, _)| *id)
    }

    fn end(&self) -> u64 {
        self.next
    }

    fn next_from(&self, id: u64) -> Option<u64> {
        let (Ok(at) | Err(at)) = self.at(id);
        self.held.get(at).map(|(id, _)| *id)
    }

    fn get(&self, id: u64) -> Option<&dyn Transaction> {
        let (_, tx) = self.held.get(self.at(id).ok()?)?;
        Some(tx.as_ref())
    }

    fn get_mut(&mut self, id: u64) -> Option<&mut dyn Transaction> {
        let at = self.at(id).ok()?;
        let (_, tx) = self.held.get_mut(at)?;
        Some(tx.as_mut())
    }

    fn release(&mut self, id: u64) {
        if let Ok(at) = self.at(id) {
            self.held.remove(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_waits_long_stays_while_others_go() {
        let mut queue = Queue::new(4);
        queue.begin(Detail::None);
        for id in 1..1000 {
            queue.ask(Detail::None).answered();
            queue.release(id);
        }
        assert_eq!((queue.first(), queue.end()), (0, 1000));
        assert!(queue.get(0).is_some() && queue.get(500).is_none());
        assert_eq!((queue.next_from(0), queue.next_from(1)), (Some(0), None));
        assert_eq!(queue.overflow, 0);
    }

    #[test]
    fn too_many_that_wait_are_not_waited_for() {
        let mut queue = Queue::new(4);
        for _ in 0..100 {
            queue.ask(Detail::None);
        }
        assert!(queue.held.len() <= 8);
        assert!(queue.overflow > 0);
        assert_eq!(queue.held[0].1.meta.events.as_slice(), ["too_many_transactions"]);
    }
}
