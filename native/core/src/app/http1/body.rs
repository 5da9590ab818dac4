//! A message's body as rules see it: within its limit, in windows.

use super::options::BodyOptions;
use crate::app::Buffer;

/// A body.
#[derive(Debug, Default)]
pub struct Body {
    data: Vec<u8>,
    /// Offset of `data[0]`.
    base: u64,
    /// Octets taken.
    pub taken: u64,
    /// Octets that were shown.
    pub inspected: u64,
}

impl Body {
    /// How many of `len` octets are still within the limit; `None` when the limit was reached before.
    pub fn room(&self, len: usize, options: &BodyOptions) -> Option<usize> {
        if options.limit == 0 {
            return Some(len);
        }
        if self.taken >= options.limit {
            return None;
        }
        Some(len.min(usize::try_from(options.limit - self.taken).unwrap_or(usize::MAX)))
    }

    /// Add octets.
    pub fn append(&mut self, octets: &[u8]) {
        self.data.extend_from_slice(octets);
        self.taken += octets.len() as u64;
    }

    /// Octets were lost here.
    pub fn gap(&mut self, octets: u64) {
        self.taken += octets;
        self.data.clear();
        self.base = self.taken;
    }

    /// What there is from `offset` on.
    pub fn from(&self, offset: u64) -> &[u8] {
        usize::try_from(offset.saturating_sub(self.base))
            .ok()
            .and_then(|from| self.data.get(from..))
            .unwrap_or_default()
    }

    /// Enough came to inspect it now.
    pub fn ready(&self, over: bool, options: &BodyOptions) -> bool {
        self.taken > 0
            && (over
                || self.taken >= options.inspect_min_size
                || (options.limit != 0 && self.taken >= options.limit))
    }

    /// Where the window to inspect begins.
    fn window(&self, options: &BodyOptions) -> u64 {
        if self.inspected <= options.inspect_min_size {
            return 0;
        }
        let new = self.taken - self.inspected;
        let again = if new < options.inspect_window {
            options.inspect_window - new
        } else {
            options.inspect_window / 4
        };
        self.inspected.saturating_sub(again)
    }

    /// What there is to inspect now; `None` while too little came.
    pub fn buffer(&self, over: bool, options: &BodyOptions) -> Option<Buffer<'_>> {
        if !self.ready(over, options) {
            return None;
        }
        let offset = self.window(options).max(self.base);
        Some(Buffer {
            data: self.from(offset),
            offset,
            complete: over,
        })
    }

    /// What was shown was inspected; `keep_from` is where another reader still is.
    pub fn mark_inspected(&mut self, over: bool, options: &BodyOptions, keep_from: u64) {
        if !self.ready(over, options) {
            return;
        }
        self.inspected = self.taken;
        let keep = self.window(options).min(keep_from);
        let surplus = usize::try_from(keep.saturating_sub(self.base)).unwrap_or(usize::MAX);
        if surplus > 64 * 1024 && surplus <= self.data.len() {
            self.data.drain(..surplus);
            self.base += surplus as u64;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_shown_when_enough_came_and_then_by_windows() {
        let options = BodyOptions {
            limit: 1000,
            inspect_min_size: 100,
            inspect_window: 40,
        };
        let mut body = Body::default();
        body.append(&[b'a'; 99]);
        assert!(body.buffer(false, &options).is_none());
        assert_eq!(body.buffer(true, &options).unwrap().data.len(), 99);
        body.append(&[b'b'; 51]);
        assert_eq!(body.buffer(false, &options).unwrap().data.len(), 150);
        body.mark_inspected(false, &options, u64::MAX);
        body.append(b"new");
        let shown = body.buffer(false, &options).unwrap();
        assert_eq!((shown.offset, shown.data.len()), (113, 40));
        assert_eq!(body.room(2000, &options), Some(847));
    }
}
