//! What one direction sent, in order: blocks of contiguous octets, and the segments they came in.
//!
//! Segments are remembered as long as their octets are kept, because where an overlapping one begins and ends decides,
//! by the target's [`Policy`], whose octets count.

use std::collections::VecDeque;

use smallvec::SmallVec;

use super::policy::Policy;

/// Contiguous octets.
#[derive(Debug, Default)]
struct Block {
    /// Offset in the stream of the first octet kept.
    offset: u64,
    octets: Vec<u8>,
    /// Octets at the front that were let go and not moved out yet.
    gone: usize,
}

impl Block {
    fn data(&self) -> &[u8] {
        self.octets.get(self.gone..).unwrap_or(&[])
    }

    fn end(&self) -> u64 {
        self.offset + (self.octets.len() - self.gone) as u64
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Piece {
    /// Where it begins; may be before what is kept.
    start: i64,
    length: u32,
}

impl Piece {
    fn end(self) -> i64 {
        self.start + i64::from(self.length)
    }
}

/// What came of a segment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Inserted {
    /// It overlapped what was there.
    pub overlap: bool,
    /// With other octets (only looked at when told to).
    pub different: bool,
}

/// Octets of one direction.
#[derive(Debug, Default)]
pub struct Buffer {
    blocks: SmallVec<[Block; 1]>,
    pieces: VecDeque<Piece>,
    /// Nothing before this offset is kept.
    base: u64,
    /// The greatest end of a segment.
    right: u64,
    seen: bool,
}

impl Buffer {
    /// Offset of the first octet that may be kept.
    pub fn base(&self) -> u64 {
        self.base
    }

    /// The greatest end of a segment so far.
    pub fn right(&self) -> u64 {
        self.right
    }

    /// A segment was inserted at some time.
    pub fn seen(&self) -> bool {
        self.seen
    }

    /// There are segments whose octets are kept.
    pub fn has_pieces(&self) -> bool {
        !self.pieces.is_empty()
    }

    /// End of the first contiguous octets.
    pub fn contiguous_end(&self) -> u64 {
        self.blocks.first().map_or(self.base, Block::end)
    }

    /// Memory held, octets.
    pub fn memory(&self) -> u64 {
        let blocks: usize = self.blocks.iter().map(|block| block.octets.capacity()).sum();
        (blocks + self.pieces.capacity() * std::mem::size_of::<Piece>()) as u64
    }

    /// Octets from `offset` on, as far as they are contiguous; or how many are missing there before the next block.
    pub fn at(&self, offset: u64) -> Result<&[u8], u64> {
        for block in &self.blocks {
            if block.offset > offset {
                return Err(block.offset - offset);
            }
            if offset < block.end() {
                return Ok(block
                    .data()
                    .get((offset - block.offset) as usize..)
                    .unwrap_or(&[]));
            }
        }
        Ok(&[])
    }

    /// The block at or after `offset`: where its octets (from `offset` on) begin, and them.
    pub fn block_from(&self, offset: u64) -> Option<(u64, &[u8])> {
        let block = self.blocks.iter().find(|block| block.end() > offset)?;
        let skip = offset.saturating_sub(block.offset);
        Some((block.offset + skip, block.data().get(skip as usize..)?))
    }

    /// Insert a segment whose first octet is at `start`.
    ///
    /// `compare` looks for overlaps with other octets; without it, every overlap is taken to differ.
    pub fn insert(&mut self, start: i64, octets: &[u8], policy: Policy, compare: bool) -> Inserted {
        let piece = Piece {
            start,
            length: octets.len() as u32,
        };
        if piece.end() <= self.base as i64 || octets.is_empty() {
            return Inserted::default();
        }
        self.seen = true;
        let in_order = self.pieces.is_empty() || start >= self.right as i64;
        self.right = self.right.max(piece.end() as u64);
        if in_order {
            self.pieces.push_back(piece);
            self.write(start, octets);
            return Inserted::default();
        }
        let (at, duplicate) = match self
            .pieces
            .binary_search_by_key(&(start, piece.length), |p| (p.start, p.length))
        {
            Ok(at) => (at, true),
            Err(at) => (at, false),
        };
        let before = at.checked_sub(1).and_then(|at| self.pieces.get(at));
        let overlap = duplicate
            || before.is_some_and(|p| p.start == start || p.end() > start)
            || self
                .pieces
                .get(at)
                .is_some_and(|p| p.start == start || piece.end() > p.start);
        let mut inserted = Inserted {
            overlap,
            different: false,
        };
        if overlap {
            let mut merged = octets.to_vec();
            // Towards the front until one ends before this one begins, then towards the end.
            let mut order: SmallVec<[Piece; 8]> = SmallVec::new();
            if duplicate {
                order.extend(self.pieces.get(at).copied());
            }
            order.extend(
                self.pieces
                    .range(..at)
                    .rev()
                    .copied()
                    .take_while(|p| p.end() > start),
            );
            let after = if duplicate { at + 1 } else { at };
            order.extend(
                self.pieces
                    .range(after..)
                    .copied()
                    .take_while(|p| piece.end() > p.start),
            );
            for old in order {
                inserted.different |= self.resolve(piece, old, octets, &mut merged, policy, compare);
            }
            self.write(start, &merged);
        } else {
            self.write(start, octets);
        }
        if !duplicate {
            self.pieces.insert(at, piece);
        }
        inserted
    }

    /// Put what counts of `old` into `merged`, the octets of `new`; whether they differ.
    fn resolve(
        &self,
        new: Piece,
        old: Piece,
        octets: &[u8],
        merged: &mut [u8],
        policy: Policy,
        compare: bool,
    ) -> bool {
        let from = new.start.max(old.start).max(self.base as i64);
        let to = new.end().min(old.end());
        if from >= to {
            return false;
        }
        let span = (from - new.start) as usize..(to - new.start) as usize;
        let Ok(kept) = self.at(from as u64) else {
            return false;
        };
        let Some(kept) = kept.get(..span.len()) else {
            return false;
        };
        let different = !compare || octets.get(span.clone()).is_some_and(|ours| ours != kept);
        if different && !new_counts(new, old, policy) {
            if let Some(slot) = merged.get_mut(span) {
                slot.copy_from_slice(kept);
            }
        }
        compare && different
    }

    /// Write octets at `start`, joining blocks.
    fn write(&mut self, start: i64, octets: &[u8]) {
        let skip = (self.base as i64 - start).max(0) as usize;
        let octets = octets.get(skip..).unwrap_or(&[]);
        let offset = (start + skip as i64) as u64;
        let end = offset + octets.len() as u64;
        if octets.is_empty() {
            return;
        }
        if let Some(last) = self.blocks.last_mut() {
            if last.end() == offset {
                last.octets.extend_from_slice(octets);
                return;
            }
        }
        // The blocks that touch [offset, end].
        let first = self
            .blocks
            .iter()
            .position(|block| block.end() >= offset)
            .unwrap_or(self.blocks.len());
        let count = self
            .blocks
            .iter()
            .skip(first)
            .take_while(|block| block.offset <= end)
            .count();
        if count == 0 {
            self.blocks.insert(
                first,
                Block {
                    offset,
                    octets: octets.to_vec(),
                    gone: 0,
                },
            );
            return;
        }
        let mut joined = Vec::new();
        let begin = self
            .blocks
            .get(first)
            .map_or(offset, |block| block.offset.min(offset));
        let finish = self
            .blocks
            .get(first + count - 1)
            .map_or(end, |block| block.end().max(end));
        joined.resize((finish - begin) as usize, 0);
        for block in self.blocks.iter().skip(first).take(count) {
            let at = (block.offset - begin) as usize;
            let data = block.data();
            if let Some(slot) = joined.get_mut(at..at + data.len()) {
                slot.copy_from_slice(data);
            }
        }
        let at = (offset - begin) as usize;
        if let Some(slot) = joined.get_mut(at..at + octets.len()) {
            slot.copy_from_slice(octets);
        }
        self.blocks.drain(first + 1..first + count);
        if let Some(block) = self.blocks.get_mut(first) {
            *block = Block {
                offset: begin,
                octets: joined,
                gone: 0,
            };
        }
    }

    /// Let go of what is before `offset`.
    pub fn slide(&mut self, offset: u64) {
        if offset <= self.base {
            return;
        }
        self.base = offset;
        while self.blocks.len() > 1 && self.blocks.first().is_some_and(|block| block.end() <= offset) {
            self.blocks.remove(0);
        }
        if let Some(block) = self.blocks.first_mut() {
            if block.end() <= offset {
                // An empty block keeps its memory for what follows, if there is not much of it.
                block.octets.clear();
                block.octets.shrink_to(16 << 10);
                block.gone = 0;
                block.offset = offset;
            } else if block.offset < offset {
                block.gone += (offset - block.offset) as usize;
                block.offset = offset;
                if block.gone >= 4096 && block.gone * 2 >= block.octets.len() {
                    block.octets.drain(..block.gone);
                    block.gone = 0;
                }
            }
        }
        while self
            .pieces
            .front()
            .is_some_and(|piece| piece.end() <= offset as i64)
        {
            self.pieces.pop_front();
        }
    }

    /// Let go of everything; nothing will be inserted any more.
    pub fn clear(&mut self) {
        self.blocks = SmallVec::new();
        self.pieces = VecDeque::new();
    }
}

/// Whether the octets of a new segment replace those of an old one it overlaps.
///
/// Novak and Sturges, "Target-Based TCP Stream Reassembly" (2007).
fn new_counts(new: Piece, old: Piece, policy: Policy) -> bool {
    use Policy::{Bsd, Hpux10, Hpux11, Irix, Linux, Macos, OldLinux, Solaris, Windows, Windows2k3};
    if policy == Policy::Last {
        return true;
    }
    match new.start.cmp(&old.start) {
        std::cmp::Ordering::Equal => {
            new.end() > old.end() && policy == Linux
                || new.end() >= old.end() && matches!(policy, OldLinux | Solaris | Hpux11)
        }
        std::cmp::Ordering::Less => {
            new.end() >= old.end() && matches!(policy, Solaris | Hpux11)
                || matches!(
                    policy,
                    Bsd | Hpux10 | Irix | Windows | Windows2k3 | OldLinux | Linux | Macos
                )
        }
        std::cmp::Ordering::Greater => new.end() > old.end() && matches!(policy, Solaris | Hpux11),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn filled(segments: &[(i64, &[u8])], policy: Policy) -> Vec<u8> {
        let mut buffer = Buffer::default();
        for (start, octets) in segments {
            buffer.insert(*start, octets, policy, false);
        }
        buffer.at(0).unwrap_or(&[]).to_vec()
    }

    #[test]
    fn the_policy_decides_an_overlap() {
        // The old segment at 0, then one that begins before the middle old one.
        let segments: &[(i64, &[u8])] = &[(2, b"bbbb"), (0, b"aaaa")];
        assert_eq!(filled(segments, Policy::Bsd), b"aaaabb");
        assert_eq!(filled(segments, Policy::First), b"aabbbb");
        assert_eq!(filled(segments, Policy::Last), b"aaaabb");
        assert_eq!(filled(segments, Policy::Vista), b"aabbbb");
        let same: &[(i64, &[u8])] = &[(0, b"bbb"), (0, b"aaaa"), (3, b"c")];
        assert_eq!(filled(same, Policy::Linux), b"aaaa");
        assert_eq!(filled(same, Policy::Bsd), b"bbba");
        assert_eq!(filled(same, Policy::Solaris), b"aaaa");
    }

    #[test]
    fn different_octets_are_told_only_when_asked() {
        let mut buffer = Buffer::default();
        buffer.insert(0, b"abc", Policy::Bsd, true);
        let again = buffer.insert(0, b"abc", Policy::Bsd, true);
        assert_eq!(
            again,
            Inserted {
                overlap: true,
                different: false
            }
        );
        let other = buffer.insert(0, b"abX", Policy::Bsd, true);
        assert_eq!(
            other,
            Inserted {
                overlap: true,
                different: true
            }
        );
        assert_eq!(buffer.at(0), Ok(&b"abc"[..]));
    }

    #[test]
    fn a_hole_is_told_and_closed() {
        let mut buffer = Buffer::default();
        buffer.insert(5, b"fgh", Policy::Bsd, false);
        assert_eq!(buffer.at(0), Err(5));
        buffer.insert(0, b"abcde", Policy::Bsd, false);
        assert_eq!(buffer.at(0), Ok(&b"abcdefgh"[..]));
        buffer.slide(6);
        assert_eq!(buffer.at(6), Ok(&b"gh"[..]));
        assert_eq!((buffer.base(), buffer.right()), (6, 8));
    }

    proptest! {
        #[test]
        fn any_cut_and_any_order_give_the_same_stream(
            data in proptest::collection::vec(any::<u8>(), 1..300),
            cuts in proptest::collection::vec(0usize..300, 0..12),
            order in proptest::collection::vec(any::<u32>(), 16),
            overlap in 0usize..20,
        ) {
            let mut edges: Vec<usize> = cuts.into_iter().map(|cut| cut % data.len()).collect();
            edges.extend([0, data.len()]);
            edges.sort_unstable();
            edges.dedup();
            let mut segments: Vec<(u32, usize, usize)> = edges
                .windows(2)
                .enumerate()
                .map(|(at, edge)| (order[at % 16], edge[0], (edge[1] + overlap).min(data.len())))
                .collect();
            segments.sort_unstable();
            for policy in [Policy::Bsd, Policy::Linux, Policy::Last, Policy::First, Policy::Solaris] {
                let mut buffer = Buffer::default();
                for &(_, from, to) in &segments {
                    buffer.insert(from as i64, &data[from..to], policy, true);
                }
                prop_assert_eq!(buffer.at(0), Ok(&data[..]));
            }
        }

        #[test]
        fn any_segments_and_slides_keep_the_buffer_whole(
            steps in proptest::collection::vec((0i64..200, 1usize..60, any::<u8>(), 0u64..250), 1..60)
        ) {
            let mut buffer = Buffer::default();
            for (start, length, fill, slide) in steps {
                buffer.insert(start, &vec![fill; length], Policy::Bsd, fill % 2 == 0);
                if slide % 7 == 0 {
                    buffer.slide(slide.min(buffer.right()));
                }
                let mut at = buffer.base();
                for block in &buffer.blocks {
                    prop_assert!(block.offset >= at);
                    at = block.end() + 1;
                }
            }
        }
    }
}
