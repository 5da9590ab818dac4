//! What rules without an application-layer buffer look at: the stream in chunks.
//!
//! A direction is looked at when enough of it was acknowledged, when a parser asks for it, or when nothing follows; from
//! where the last look ended.

use super::{Session, State};
use crate::config::Stream as Options;
use crate::packet::Direction;

/// The windows of a look, in order: offset in the stream and octets. Where octets are missing a new window begins.
#[derive(Debug)]
pub struct Windows<'a> {
    session: &'a Session,
    direction: Direction,
    at: u64,
    end: u64,
    progress: u64,
}

impl<'a> Iterator for Windows<'a> {
    type Item = (u64, &'a [u8]);

    fn next(&mut self) -> Option<(u64, &'a [u8])> {
        let (offset, octets) = self.session.half(self.direction).buffer.block_from(self.at)?;
        if offset >= self.end {
            return None;
        }
        let length = octets.len().min((self.end - offset) as usize);
        self.at = offset + length as u64;
        self.progress = self.at;
        Some((offset, octets.get(..length)?))
    }
}

impl Windows<'_> {
    /// Offset up to which what was handed out reaches: what to tell [`Session::raw_done`].
    pub fn progress(&self) -> u64 {
        self.progress
    }
}

impl Session {
    /// Whether a look at the raw stream of a direction is due.
    pub fn raw_ready(&self, direction: Direction, options: &Options) -> bool {
        let half = self.half(direction);
        if half.raw_over || half.over || !half.buffer.has_pieces() || half.raw_progress == half.buffer.right()
        {
            return false;
        }
        let chunk = match direction {
            Direction::ToServer => options.toserver_chunk_size,
            Direction::ToClient => options.toclient_chunk_size,
        };
        half.depth_reached
            || half.raw_trigger
            || half.raw_ends
            || half.ended
            || self.state > State::TimeWait
            || half.acked().saturating_sub(half.raw_progress) >= u64::from(chunk)
    }

    /// The windows of a look, whether due or not.
    pub fn raw_windows(&self, direction: Direction) -> Windows<'_> {
        let half = self.half(direction);
        let end = if half.ended { u64::MAX } else { half.acked() };
        Windows {
            session: self,
            direction,
            at: half.raw_progress,
            end,
            progress: half.raw_progress,
        }
    }

    /// The windows of a look for a rule that also looks at application-layer buffers: when a parser asked for the look,
    /// it goes back to what was looked at before, as far as it was kept (`HalfStream::keep_for_raw`).
    pub fn raw_windows_back(&self, direction: Direction) -> Windows<'_> {
        let half = self.half(direction);
        let mut windows = self.raw_windows(direction);
        if half.raw_trigger && half.raw_back > 0 {
            windows.at = windows.at.min(half.app_progress.saturating_sub(half.raw_back));
        }
        windows
    }

    /// The first window of a look.
    pub fn raw_window(&self, direction: Direction) -> Option<(&[u8], u64)> {
        self.raw_windows(direction)
            .next()
            .map(|(offset, octets)| (octets, offset))
    }

    /// A look is over, up to an offset; 0 when nothing was looked at: then up to what the application layer took.
    pub fn raw_done(&mut self, direction: Direction, upto: u64) {
        let app_over = self.app_over;
        let half = self.half_mut(direction);
        let target = match upto {
            0 if app_over => half.acked(),
            0 => half.app_progress,
            upto => upto,
        };
        if target > half.raw_progress || upto == 0 {
            half.raw_progress = half.raw_progress.max(target);
            half.raw_trigger = false;
        }
        half.raw_over |= half.raw_ends;
    }

    /// Nothing follows in a direction (the flow ends), or, after a look at all there is, something does.
    pub fn end_direction(&mut self, direction: Direction, ended: bool) {
        self.half_mut(direction).ended = ended;
    }
}
