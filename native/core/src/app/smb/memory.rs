//! A bounded map that forgets what it learnt first.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;

/// A map of at most so many entries.
#[derive(Debug)]
pub struct Memory<K, V> {
    entries: HashMap<K, (u64, V)>,
    /// Keys in the order they came, with the number of the entry they made; some are gone or were replaced.
    order: VecDeque<(u64, K)>,
    next: u64,
    limit: usize,
    /// Entries forgotten because there were too many.
    pub dropped: u64,
}

impl<K: Clone + Eq + Hash, V> Memory<K, V> {
    /// An empty one.
    pub fn new(limit: usize) -> Memory<K, V> {
        Memory {
            entries: HashMap::new(),
            order: VecDeque::new(),
            next: 0,
            limit: limit.max(1),
            dropped: 0,
        }
    }

    /// Remember `value`, instead of what was known under `key`.
    pub fn insert(&mut self, key: K, value: V) {
        let number = self.next;
        self.next += 1;
        self.entries.insert(key.clone(), (number, value));
        self.order.push_back((number, key));
        while self.entries.len() > self.limit {
            self.forget_oldest();
        }
        if self.order.len() > 2 * self.limit {
            let entries = &self.entries;
            self.order
                .retain(|(number, key)| entries.get(key).is_some_and(|(current, _)| current == number));
        }
    }

    fn forget_oldest(&mut self) {
        let Some((number, key)) = self.order.pop_front() else {
            self.entries.clear();
            return;
        };
        if self
            .entries
            .get(&key)
            .is_some_and(|(current, _)| *current == number)
        {
            self.entries.remove(&key);
            self.dropped += 1;
        }
    }

    /// What is known under `key`.
    pub fn get(&self, key: &K) -> Option<&V> {
        self.entries.get(key).map(|(_, value)| value)
    }

    /// Take out what is known under `key`.
    pub fn remove(&mut self, key: &K) -> Option<V> {
        self.entries.remove(key).map(|(_, value)| value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_is_forgotten_and_counted() {
        let mut memory = Memory::new(2);
        for key in 0..3 {
            memory.insert(key, key * 10);
        }
        assert_eq!((memory.get(&0), memory.get(&2)), (None, Some(&20)));
        assert_eq!(memory.dropped, 1);
    }

    #[test]
    fn replacing_and_removing_leaves_nothing_behind() {
        let mut memory = Memory::new(4);
        for round in 0..1000 {
            memory.insert(1, round);
            memory.insert(2, round);
            assert_eq!(memory.remove(&2), Some(round));
        }
        assert_eq!(memory.get(&1), Some(&999));
        assert!(memory.order.len() <= 9);
        assert_eq!(memory.dropped, 0);
    }
}
