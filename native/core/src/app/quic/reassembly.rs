//! The handshake's octets of one side, put together from CRYPTO frames in any order (RFC 9000 section 7.5).

use smallvec::SmallVec;

/// Octets that are put together, at most; no hello is longer.
const MAX_OCTETS: u64 = 65_535;
/// Pieces with holes between them that are remembered, at most.
const MAX_PIECES: usize = 64;

/// A piece would not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLong;

/// What came so far.
#[derive(Debug, Default)]
pub struct Reassembly {
    octets: Vec<u8>,
    /// Where octets are: from, to; in order, apart from each other.
    pieces: SmallVec<[(usize, usize); 4]>,
}

impl Reassembly {
    /// Add a piece. What was there already stays as it came first.
    ///
    /// # Errors
    /// When it goes beyond what is put together, or there are too many holes: it is not kept.
    pub fn add(&mut self, offset: u64, data: &[u8]) -> Result<(), TooLong> {
        let end = offset.checked_add(data.len() as u64).ok_or(TooLong)?;
        if end >= MAX_OCTETS {
            return Err(TooLong);
        }
        let (from, to) = (offset as usize, end as usize);
        if from == to {
            return Ok(());
        }
        // The pieces that touch the new one become one with it.
        let first = self.pieces.partition_point(|piece| piece.1 < from);
        let last = self.pieces.partition_point(|piece| piece.0 <= to);
        if first == last && self.pieces.len() >= MAX_PIECES {
            return Err(TooLong);
        }
        if self.octets.len() < to {
            self.octets.resize(to, 0);
        }
        let mut at = from;
        let mut merged = (from, to);
        for &(start, end) in &self.pieces[first..last] {
            if at < start {
                self.octets[at..start].copy_from_slice(&data[at - from..start - from]);
            }
            at = at.max(end);
            merged = (merged.0.min(start), merged.1.max(end));
        }
        if at < to {
            self.octets[at..to].copy_from_slice(&data[at - from..]);
        }
        self.pieces.drain(first..last);
        self.pieces.insert(first, merged);
        Ok(())
    }

    /// What is there from the beginning on, without a hole.
    pub fn start(&self) -> &[u8] {
        match self.pieces.first() {
            Some(&(0, end)) => &self.octets[..end],
            _ => &[],
        }
    }

    /// Let go of everything.
    pub fn clear(&mut self) {
        *self = Reassembly::default();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_beyond_the_limit_is_refused() {
        let mut reassembly = Reassembly::default();
        assert_eq!(reassembly.add(MAX_OCTETS, b"x"), Err(TooLong));
        assert_eq!(reassembly.add(u64::MAX, b"x"), Err(TooLong));
        assert!(reassembly.start().is_empty());
    }

    #[test]
    fn holes_are_bounded() {
        let mut reassembly = Reassembly::default();
        for at in 0..MAX_PIECES as u64 {
            assert_eq!(reassembly.add(1 + 2 * at, b"x"), Ok(()));
        }
        assert_eq!(reassembly.add(1000, b"x"), Err(TooLong));
        assert_eq!(reassembly.add(0, b"x"), Ok(()));
        assert_eq!(reassembly.start(), b"xx");
    }

    proptest! {
        #[test]
        fn pieces_in_any_order_give_the_whole(
            whole in proptest::collection::vec(any::<u8>(), 1..400),
            cuts in proptest::collection::vec((any::<usize>(), any::<usize>()), 0..40),
        ) {
            let mut reassembly = Reassembly::default();
            let mut have = vec![false; whole.len()];
            for (a, b) in cuts {
                let (a, b) = (a % (whole.len() + 1), b % (whole.len() + 1));
                let (from, to) = (a.min(b), a.max(b));
                reassembly.add(from as u64, &whole[from..to]).unwrap();
                have[from..to].fill(true);
                let start = have.iter().position(|&here| !here).unwrap_or(whole.len());
                prop_assert_eq!(reassembly.start(), &whole[..start]);
            }
        }
    }
}
