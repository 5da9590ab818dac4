//! A sliding window over a reader: parsers ask for the next n octets to be there, look at them, and step over them.

use std::io::{self, Read};

/// Octets read at once.
const CHUNK: usize = 1 << 20;

/// Buffered octets of a reader. Holds at most what one `fill` asked for, plus a chunk.
pub(crate) struct Window {
    reader: Box<dyn Read + Send>,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    ended: bool,
    /// Octets stepped over since the beginning (uncompressed).
    pub(crate) position: u64,
}

impl Window {
    pub(crate) fn new(reader: Box<dyn Read + Send>) -> Window {
        Window {
            reader,
            buffer: Vec::new(),
            start: 0,
            end: 0,
            ended: false,
            position: 0,
        }
    }

    /// Try to have `n` octets; returns how many there are (fewer only at the end).
    pub(crate) fn fill(&mut self, n: usize) -> io::Result<usize> {
        while self.end - self.start < n && !self.ended {
            if self.start > 0 && self.buffer.len() - self.start < n.max(CHUNK / 2) {
                self.buffer.copy_within(self.start..self.end, 0);
                self.end -= self.start;
                self.start = 0;
            }
            let wanted = self.start + n.max(CHUNK);
            if self.buffer.len() < wanted {
                self.buffer.resize(wanted, 0);
            }
            match self.reader.read(&mut self.buffer[self.end..]) {
                Ok(0) => self.ended = true,
                Ok(count) => self.end += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(self.end - self.start)
    }

    /// The octets that are there.
    pub(crate) fn octets(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    /// Step over `n` octets that are there.
    pub(crate) fn step(&mut self, n: usize) {
        let n = n.min(self.end - self.start);
        self.start += n;
        self.position += n as u64;
    }

    /// Step over `n` octets, there or not; false at the end of the input.
    pub(crate) fn skip(&mut self, mut n: u64) -> io::Result<bool> {
        while n > 0 {
            let have = self.fill(1)? as u64;
            if have == 0 {
                return Ok(false);
            }
            let now = have.min(n);
            self.step(now as usize);
            n -= now;
        }
        Ok(true)
    }
}

/// Reads numbers of a file's own byte order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    Little,
    Big,
}

impl Order {
    /// 16 bits at `at`; 0 past the end.
    pub(crate) fn u16(self, octets: &[u8], at: usize) -> u16 {
        let pair = octets
            .get(at..at + 2)
            .and_then(|s| s.try_into().ok())
            .unwrap_or([0; 2]);
        match self {
            Order::Little => u16::from_le_bytes(pair),
            Order::Big => u16::from_be_bytes(pair),
        }
    }

    /// 32 bits at `at`; 0 past the end.
    pub(crate) fn u32(self, octets: &[u8], at: usize) -> u32 {
        let four = octets
            .get(at..at + 4)
            .and_then(|s| s.try_into().ok())
            .unwrap_or([0; 4]);
        match self {
            Order::Little => u32::from_le_bytes(four),
            Order::Big => u32::from_be_bytes(four),
        }
    }

    /// 64 bits at `at`; 0 past the end.
    pub(crate) fn u64(self, octets: &[u8], at: usize) -> u64 {
        let eight = octets
            .get(at..at + 8)
            .and_then(|s| s.try_into().ok())
            .unwrap_or([0; 8]);
        match self {
            Order::Little => u64::from_le_bytes(eight),
            Order::Big => u64::from_be_bytes(eight),
        }
    }
}
