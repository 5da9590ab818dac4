//! The latest frames, as octets in one ring, each linked to the one before it of the same flow.

use std::collections::VecDeque;

use crate::packet::Frame;
use crate::time::Timestamp;

/// A frame kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// When it was captured.
    pub ts: Timestamp,
    /// Length on the wire, octets.
    pub wire_len: u32,
    /// Link type.
    pub linktype: u32,
    /// The captured octets.
    pub data: Vec<u8>,
}

impl Kept {
    /// A copy of a frame.
    pub fn of(frame: &Frame<'_>) -> Kept {
        Kept {
            ts: frame.ts,
            wire_len: frame.wire_len,
            linktype: frame.linktype,
            data: frame.data.to_vec(),
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    ts: Timestamp,
    wire_len: u32,
    linktype: u32,
    at: usize,
    len: usize,
    /// Number of the frame before it of the same flow; 0 is none.
    previous: u64,
}

/// Bounded in octets; the oldest frames give way. Frames are numbered from 1 on.
#[derive(Debug, Default)]
pub struct Ring {
    octets: Vec<u8>,
    entries: VecDeque<Entry>,
    head: usize,
    /// Number of the oldest entry.
    first: u64,
}

impl Ring {
    /// A ring of this many octets; the memory is touched as it fills.
    pub fn new(size: usize) -> Ring {
        Ring {
            octets: vec![0; size],
            first: 1,
            ..Ring::default()
        }
    }

    /// The number that the next frame gets.
    pub fn next_number(&self) -> u64 {
        self.first + self.entries.len() as u64
    }

    /// Keep a frame; one that is larger than the ring takes its number but no room.
    pub fn push(&mut self, frame: &Frame<'_>, previous: u64) {
        let len = if frame.data.len() > self.octets.len() {
            0
        } else {
            frame.data.len()
        };
        if self.head + len > self.octets.len() {
            self.make_room(self.head, self.octets.len());
            self.head = 0;
        }
        self.make_room(self.head, self.head + len);
        if let (Some(room), Some(data)) = (
            self.octets.get_mut(self.head..self.head + len),
            frame.data.get(..len),
        ) {
            room.copy_from_slice(data);
        }
        self.entries.push_back(Entry {
            ts: frame.ts,
            wire_len: frame.wire_len,
            linktype: frame.linktype,
            at: self.head,
            len,
            previous,
        });
        self.head += len;
        // Frames without octets must not make the list longer than the ring.
        while self.entries.len() > self.octets.len() / 32 + 1 {
            self.forget_oldest();
        }
    }

    /// The frames of a flow up to the one with this number, oldest first, at most so many octets (the last one always);
    /// and whether there were more before.
    pub fn back_from(&self, number: u64, budget: usize) -> (Vec<Kept>, bool) {
        let mut found = Vec::new();
        let (mut number, mut octets) = (number, 0);
        while number > 0 {
            let Some(entry) = self.entry(number) else {
                return (in_order(found), true);
            };
            octets += entry.len;
            if octets > budget && !found.is_empty() {
                return (in_order(found), true);
            }
            if let Some(data) = self.octets.get(entry.at..entry.at + entry.len) {
                found.push(Kept {
                    ts: entry.ts,
                    wire_len: entry.wire_len,
                    linktype: entry.linktype,
                    data: data.to_vec(),
                });
            }
            number = entry.previous;
        }
        (in_order(found), false)
    }

    fn entry(&self, number: u64) -> Option<&Entry> {
        let place = number.checked_sub(self.first)?;
        self.entries.get(usize::try_from(place).ok()?)
    }

    /// Forget the oldest frames as long as they lie in this part of the ring.
    fn make_room(&mut self, from: usize, to: usize) {
        while let Some(oldest) = self.entries.front() {
            // What lies before the head was written after what lies behind it.
            let reaches = oldest.at < to && oldest.at + oldest.len > from;
            let behind = oldest.len == 0 && oldest.at >= from && oldest.at < to;
            if !(reaches || behind) {
                return;
            }
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        if self.entries.pop_front().is_some() {
            self.first += 1;
        }
    }
}

fn in_order(mut found: Vec<Kept>) -> Vec<Kept> {
    found.reverse();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(data: &[u8]) -> Frame<'_> {
        Frame {
            ts: Timestamp(i64::from(data.first().copied().unwrap_or(0))),
            data,
            wire_len: data.len() as u32,
            linktype: 1,
        }
    }

    fn firsts(kept: &[Kept]) -> Vec<u8> {
        kept.iter().filter_map(|one| one.data.first().copied()).collect()
    }

    #[test]
    fn frames_of_a_flow_come_back_in_order_within_the_budget() {
        let mut ring = Ring::new(1000);
        let mut last = [0_u64; 2];
        for number in 0..20_u8 {
            let flow = usize::from(number % 2);
            let at = ring.next_number();
            ring.push(&frame(&[number; 10]), last[flow]);
            last[flow] = at;
        }
        let (all, more) = ring.back_from(last[0], 1000);
        assert_eq!(firsts(&all), [0, 2, 4, 6, 8, 10, 12, 14, 16, 18]);
        assert!(!more);
        let (some, more) = ring.back_from(last[1], 35);
        assert_eq!(firsts(&some), [15, 17, 19]);
        assert!(more);
        assert_eq!(ring.back_from(last[1], 0).0.len(), 1);
    }

    #[test]
    fn the_oldest_give_way_and_what_is_left_is_whole() {
        for size in [64, 100, 257] {
            let mut ring = Ring::new(size);
            let mut last = 0;
            for number in 0..=255_u8 {
                let at = ring.next_number();
                ring.push(&frame(&vec![number; 1 + usize::from(number) % 23]), last);
                last = at;
                let (kept, _) = ring.back_from(last, usize::MAX);
                let expected: Vec<u8> = (0..=number).rev().take(kept.len()).rev().collect();
                assert_eq!(firsts(&kept), expected);
                for one in &kept {
                    assert!(one.data.iter().all(|octet| Some(octet) == one.data.first()));
                }
                assert!(kept.iter().map(|one| one.data.len()).sum::<usize>() <= size);
            }
        }
    }

    #[test]
    fn frames_larger_than_the_ring_and_empty_ones_do_no_harm() {
        let mut ring = Ring::new(16);
        for _ in 0..1000 {
            ring.push(&frame(&[7; 17]), 0);
            ring.push(&frame(&[]), 0);
            ring.push(&frame(&[8; 16]), 0);
        }
        assert!(ring.entries.len() < 10);
        assert_eq!(firsts(&ring.back_from(ring.next_number() - 1, 100).0), [8]);
        assert!(ring.back_from(5, 100).0.is_empty());
    }
}
