//! The flow table: a slab with a hash over it, bounded, and a wheel that says when flows end.

use hashbrown::HashTable;

use super::key::Key;
use super::wheel::Wheel;
use super::Flow;
use crate::config::FlowLimits;
use crate::packet::Packet;

/// Slots are allocated in pieces of this many, so that growing never copies flows.
const PIECE: usize = 1024;

/// A flow and what the layers above keep with it.
#[derive(Debug)]
pub struct Slot<T> {
    key: Key,
    hash: u64,
    generation: u32,
    /// When the wheel looks at it; entries that say otherwise are stale.
    due: i64,
    /// The flow.
    pub flow: Flow,
    /// What the layers above keep.
    pub data: T,
}

/// Flows by key.
#[derive(Debug)]
pub struct Table<T> {
    limits: FlowLimits,
    pieces: Vec<Vec<Option<Slot<T>>>>,
    free: Vec<u32>,
    index: HashTable<(u32, u32)>,
    wheel: Wheel,
    due: Vec<(u32, u32)>,
    started: u64,
    /// Where the search for a flow to give up continues.
    hand: usize,
}

/// What a packet's look-up found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// It belongs to this flow.
    Flow(u32),
    /// It would belong to this flow, which timed out: end it and look again.
    Expired(u32),
    /// The table is full: end this one and look again.
    Full(u32),
    /// It began this flow.
    New(u32),
    /// It neither belongs to a flow nor begins one.
    None,
}

impl<T> Table<T> {
    /// An empty table.
    pub fn new(limits: FlowLimits) -> Table<T> {
        Table {
            limits,
            pieces: Vec::new(),
            free: Vec::new(),
            index: HashTable::new(),
            wheel: Wheel::new(),
            due: Vec::new(),
            started: 0,
            hand: 0,
        }
    }

    /// How many flows there are.
    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// No flow.
    pub fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    /// The slot at an index that [`Table::find`] returned.
    #[inline]
    pub fn get_mut(&mut self, at: u32) -> Option<&mut Slot<T>> {
        self.pieces
            .get_mut(at as usize / PIECE)?
            .get_mut(at as usize % PIECE)?
            .as_mut()
    }

    /// The slot at an index.
    #[inline]
    pub fn get(&self, at: u32) -> Option<&Slot<T>> {
        self.pieces
            .get(at as usize / PIECE)?
            .get(at as usize % PIECE)?
            .as_ref()
    }

    /// Find or begin a packet's flow. A flow is begun with `data`, and only if `may_begin`.
    pub fn find(&mut self, packet: &Packet<'_>, may_begin: bool, data: impl FnOnce() -> T) -> Found {
        let key = Key::of(packet, self.limits.vlan_tracking);
        let hash = key.hash(self.limits.hash_seed);
        let now = packet.ts.seconds();
        let pieces = &self.pieces;
        let tag = (hash >> 32) as u32;
        let same = |&(at, other): &(u32, u32)| {
            other == tag
                && pieces
                    .get(at as usize / PIECE)
                    .and_then(|piece| piece.get(at as usize % PIECE)?.as_ref())
                    .is_some_and(|slot| slot.key == key)
        };
        if let Some(&(at, _)) = self.index.find(hash, same) {
            let limits = &self.limits;
            let expired = pieces
                .get(at as usize / PIECE)
                .and_then(|piece| piece.get(at as usize % PIECE)?.as_ref())
                .is_some_and(|slot| slot.flow.last.seconds() + slot.flow.timeout_s(limits) < now);
            return if expired {
                Found::Expired(at)
            } else {
                Found::Flow(at)
            };
        }
        if !may_begin {
            return Found::None;
        }
        if self.len() >= self.limits.max_flows.max(1) {
            if let Some(at) = self.least_worth() {
                return Found::Full(at);
            }
        }
        Found::New(self.begin(packet, key, hash, data()))
    }

    fn begin(&mut self, packet: &Packet<'_>, key: Key, hash: u64, data: T) -> u32 {
        self.started += 1;
        // A bijection of the count on 51 bits (so that JSON numbers keep it), never 0.
        let id = self.started.wrapping_mul(0x9e37_79b9_7f4a_7c15) & ((1 << 51) - 1);
        let flow = Flow::begin(id, packet);
        let now = packet.ts.seconds();
        let due = now + flow.timeout_s(&self.limits) + 1;
        let at = self.vacant();
        let generation = self.started as u32;
        if let Some(slot) = self
            .pieces
            .get_mut(at as usize / PIECE)
            .and_then(|piece| piece.get_mut(at as usize % PIECE))
        {
            *slot = Some(Slot {
                key,
                hash,
                generation,
                due,
                flow,
                data,
            });
        }
        let pieces = &self.pieces;
        self.index
            .insert_unique(hash, (at, (hash >> 32) as u32), |&(at, _)| {
                pieces
                    .get(at as usize / PIECE)
                    .and_then(|piece| piece.get(at as usize % PIECE)?.as_ref())
                    .map_or(0, |slot| slot.hash)
            });
        self.wheel.put((at, generation), due, now);
        at
    }

    fn vacant(&mut self) -> u32 {
        if let Some(at) = self.free.pop() {
            return at;
        }
        match self.pieces.last_mut() {
            Some(piece) if piece.len() < PIECE => piece.push(None),
            _ => {
                let mut piece = Vec::with_capacity(PIECE);
                piece.push(None);
                self.pieces.push(piece);
            }
        }
        ((self.pieces.len() - 1) * PIECE + self.pieces.last().map_or(0, Vec::len) - 1) as u32
    }

    /// Of a few flows, the one that is idle longest.
    fn least_worth(&mut self) -> Option<u32> {
        let total = self.pieces.len() * PIECE;
        let mut best: Option<(u32, i64)> = None;
        for _ in 0..total {
            self.hand = (self.hand + 1) % total.max(1);
            if let Some(slot) = self.get(self.hand as u32) {
                let last = slot.flow.last.0;
                if best.is_none_or(|(_, least)| last < least) {
                    best = Some((self.hand as u32, last));
                }
                if self.hand % 16 == 0 {
                    break;
                }
            }
        }
        best.map(|(at, _)| at)
    }

    /// The flow's state changed: its timeout may have become shorter.
    pub fn reschedule(&mut self, at: u32, now: i64) {
        let limits = self.limits.clone();
        let Some(slot) = self.get_mut(at) else { return };
        let due = slot.flow.last.seconds() + slot.flow.timeout_s(&limits) + 1;
        if due < slot.due {
            slot.due = due;
            let entry = (at, slot.generation);
            self.wheel.put(entry, due, now);
        }
    }

    /// Take the next flow that timed out by `now` (seconds), if any.
    #[inline]
    pub fn next_expired(&mut self, now: i64) -> Option<u32> {
        if self.due.is_empty() && !self.wheel.is_due(now) {
            return None;
        }
        self.search_expired(now)
    }

    fn search_expired(&mut self, now: i64) -> Option<u32> {
        let mut due = std::mem::take(&mut self.due);
        if due.is_empty() {
            self.wheel.take(now, &mut due);
        }
        let mut expired = None;
        while let Some((at, generation)) = due.pop() {
            let limits = self.limits.clone();
            let Some(slot) = self.get_mut(at).filter(|slot| slot.generation == generation) else {
                continue;
            };
            let end = slot.flow.last.seconds() + slot.flow.timeout_s(&limits);
            if end < now {
                expired = Some(at);
                break;
            }
            if slot.due <= now {
                slot.due = end + 1;
                self.wheel.put((at, generation), end + 1, now);
            }
        }
        self.due = due;
        expired
    }

    /// Any flow, for the end of input.
    pub fn any(&self) -> Option<u32> {
        // In order of beginning where slots were not reused; the order is deterministic either way.
        let pieces = self.pieces.iter().flatten().enumerate();
        pieces
            .filter_map(|(at, slot)| slot.as_ref().map(|_| at as u32))
            .next()
    }

    /// All flows, in the order of their beginning.
    pub fn all(&self) -> Vec<u32> {
        let mut all: Vec<(u32, u32)> = self
            .pieces
            .iter()
            .flatten()
            .enumerate()
            .filter_map(|(at, slot)| slot.as_ref().map(|slot| (slot.generation, at as u32)))
            .collect();
        all.sort_unstable();
        all.into_iter().map(|(_, at)| at).collect()
    }

    /// Take a flow out.
    pub fn remove(&mut self, at: u32) -> Option<Slot<T>> {
        let slot = self
            .pieces
            .get_mut(at as usize / PIECE)?
            .get_mut(at as usize % PIECE)?
            .take()?;
        if let Ok(entry) = self.index.find_entry(slot.hash, |&(other, _)| other == at) {
            entry.remove();
        }
        self.free.push(at);
        Some(slot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::{Frame, Transport};
    use crate::time::Timestamp;

    fn packet(second: i64, sport: u16) -> Packet<'static> {
        let frame = Frame {
            ts: Timestamp(second * 1_000_000_000),
            data: &[],
            wire_len: 0,
            linktype: 1,
        };
        let mut packet = Packet::new(&frame, 1);
        (packet.sport, packet.dport, packet.ip.version, packet.ip.proto) = (sport, 53, 4, 17);
        packet.transport = Transport::Udp;
        packet
    }

    fn table(max_flows: usize) -> Table<()> {
        Table::new(FlowLimits {
            max_flows,
            ..FlowLimits::default()
        })
    }

    #[test]
    fn a_flow_is_found_until_it_times_out() {
        let mut table = table(10);
        let Found::New(at) = table.find(&packet(0, 1), true, || ()) else {
            panic!()
        };
        assert_eq!(table.find(&packet(30, 1), true, || ()), Found::Flow(at));
        assert_eq!(table.find(&packet(31, 1), true, || ()), Found::Expired(at));
        assert_eq!(table.next_expired(30), None);
        assert_eq!(table.next_expired(31), Some(at));
        table.remove(at);
        assert_eq!(table.find(&packet(31, 1), false, || ()), Found::None);
    }

    #[test]
    fn a_full_table_names_a_flow_to_end() {
        let mut table = table(2);
        table.find(&packet(0, 1), true, || ());
        table.find(&packet(1, 2), true, || ());
        let Found::Full(at) = table.find(&packet(2, 3), true, || ()) else {
            panic!()
        };
        table.remove(at);
        assert!(matches!(table.find(&packet(2, 3), true, || ()), Found::New(_)));
        assert_eq!(table.len(), 2);
    }

    #[test]
    fn a_packet_keeps_its_flow_alive() {
        let mut table = table(10);
        let Found::New(at) = table.find(&packet(0, 1), true, || ()) else {
            panic!()
        };
        for second in 1..200 {
            assert_eq!(table.next_expired(second), None);
            table.get_mut(at).unwrap().flow.last = Timestamp(second * 1_000_000_000);
        }
        assert_eq!(table.next_expired(229), None);
        assert_eq!(table.next_expired(230), Some(at));
    }
}
