//! What was said: bounded TCP reassembly. [`Session`] is what app and rule see of it.

use crate::packet::Direction;

/// A TCP session's two half-streams, as the layers above see them.
///
/// Offsets are octets since the initial sequence number + 1 of that direction, 64 bit, never wrapping.
#[derive(Debug, Default)]
pub struct Session {
    /// By direction.
    pub halves: [HalfStream; 2],
    /// The three-way handshake was seen, or the session was picked up midstream.
    pub established: bool,
    /// Picked up without its handshake.
    pub midstream: bool,
    /// TCP flags seen, by direction.
    pub flags: [u8; 2],
}

/// One direction.
#[derive(Debug, Default)]
#[allow(dead_code)] // read once the layers above are there
pub struct HalfStream {
    /// Contiguous octets in memory; `base` is the offset of the first.
    pub(crate) data: Vec<u8>,
    /// Offset of `data[0]`.
    pub(crate) base: u64,
    /// Offset up to which the peer acknowledged (what is above may still change).
    pub(crate) acked: u64,
    /// Offset up to which raw inspection was done.
    pub(crate) raw_progress: u64,
    /// Raw inspection shall happen now, chunk full or not (set by app-layer parsers).
    pub(crate) raw_trigger: bool,
    /// Nothing follows: FIN or RST seen and all data before it delivered, depth reached, or the flow ended.
    pub(crate) ended: bool,
}

impl Session {
    /// The TCP state as EVE names it.
    pub fn state_name(&self) -> Option<&'static str> {
        None
    }

    /// The half-stream of a direction.
    pub fn half(&self, direction: Direction) -> &HalfStream {
        &self.halves[direction.index()]
    }

    /// The half-stream of a direction, to change it.
    pub fn half_mut(&mut self, direction: Direction) -> &mut HalfStream {
        &mut self.halves[direction.index()]
    }
}

impl HalfStream {
    /// Octets were lost.
    pub fn has_gap(&self) -> bool {
        false
    }

    /// Inspect what was received and acknowledged so far at the next chance, even if the chunk is not full.
    pub fn trigger_raw(&mut self) {
        self.raw_trigger = true;
    }
}
