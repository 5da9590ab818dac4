//! What the peer acknowledged out of order (RFC 2018).

use smallvec::SmallVec;

use super::seq::{geq, gt, leq, lt};
use crate::wire::be32;

/// Ranges kept at most.
const MAX_RANGES: usize = 64;

/// Ranges, in order, not touching.
#[derive(Clone, Debug, Default)]
pub struct Sack {
    ranges: SmallVec<[(u32, u32); 2]>,
}

impl Sack {
    /// Octets acknowledged out of order.
    pub fn size(&self) -> u32 {
        self.ranges.iter().fold(0u32, |sum, (left, right)| {
            sum.wrapping_add(right.wrapping_sub(*left))
        })
    }

    /// Take the blocks of a SACK option.
    pub fn take(&mut self, blocks: &[u8], last_ack: u32, window: u32) {
        for block in blocks.chunks_exact(8) {
            let (mut left, mut right) = (be32(block, 0), be32(block, 4));
            if !lt(left, right) || lt(right, last_ack) || gt(left, last_ack.wrapping_add(window)) {
                continue;
            }
            if lt(left, last_ack) {
                left = last_ack;
            }
            self.ranges.retain(|&mut (from, to)| {
                let apart = lt(to, left) || gt(from, right);
                if !apart {
                    left = if lt(from, left) { from } else { left };
                    right = if gt(to, right) { to } else { right };
                }
                apart
            });
            if self.ranges.len() < MAX_RANGES {
                let at = self
                    .ranges
                    .iter()
                    .position(|&(from, _)| gt(from, left))
                    .unwrap_or(self.ranges.len());
                self.ranges.insert(at, (left, right));
            }
        }
    }

    /// Forget what is before `last_ack`.
    pub fn prune(&mut self, last_ack: u32) {
        if self.ranges.is_empty() {
            return;
        }
        self.ranges.retain(|&mut (_, right)| !lt(right, last_ack));
        if let Some((left, _)) = self.ranges.first_mut() {
            if lt(*left, last_ack) {
                *left = last_ack;
            }
        }
    }

    /// Whether all blocks of a SACK option are known already.
    pub fn knows(&self, blocks: &[u8]) -> bool {
        blocks.len() >= 8
            && blocks.chunks_exact(8).all(|block| {
                let (left, right) = (be32(block, 0), be32(block, 4));
                self.ranges
                    .iter()
                    .any(|&(from, to)| geq(left, from) && leq(right, to))
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(left: u32, right: u32) -> Vec<u8> {
        [left.to_be_bytes(), right.to_be_bytes()].concat()
    }

    #[test]
    fn ranges_join_and_are_forgotten() {
        let mut sack = Sack::default();
        sack.take(&block(100, 200), 50, 1000);
        sack.take(&block(300, 400), 50, 1000);
        assert_eq!(sack.size(), 200);
        sack.take(&block(150, 350), 50, 1000);
        assert_eq!(sack.size(), 300);
        assert!(sack.knows(&block(120, 380)) && !sack.knows(&block(120, 401)));
        sack.prune(250);
        assert_eq!(sack.size(), 150);
    }

    #[test]
    fn what_is_outside_the_window_is_not_taken() {
        let mut sack = Sack::default();
        sack.take(&block(10, 20), 50, 1000);
        sack.take(&block(2000, 2100), 50, 1000);
        assert_eq!(sack.size(), 0);
    }
}
