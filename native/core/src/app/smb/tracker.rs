//! A file that is read or written: pieces at offsets, put in order. What begins where the file so far ends is passed on at
//! once, what lies ahead is kept, what was passed already is not looked at again.

use std::collections::BTreeMap;

use super::key::FileId;
use crate::file::{Files, State};
use crate::packet::Direction;

/// Octets ahead of what is due that are kept, where the protocol says no limit.
const MAX_AHEAD_OCTETS: u64 = 64 << 20;
/// Pieces ahead of what is due that are kept, where the protocol says no limit.
const MAX_AHEAD_PIECES: usize = 1024;
/// Seconds a file waits for more after octets of its connection were lost.
const GAP_PATIENCE_S: i64 = 60;

/// A piece that lies ahead.
#[derive(Debug, Default)]
struct Piece {
    octets: Vec<u8>,
    len: u64,
    lost: bool,
}

/// A transfer.
#[derive(Debug)]
pub struct Transfer {
    /// Who sends it.
    pub direction: Direction,
    /// The file.
    pub id: FileId,
    /// Its name.
    pub name: Vec<u8>,
    /// The share it is on.
    pub share: Vec<u8>,
    /// After octets were lost: when it is not waited for any longer, seconds since 1970.
    pub deadline_s: Option<i64>,
    /// Octets passed on: where the next piece is due.
    passed: u64,
    /// Octets of the current piece that still come.
    left: u32,
    /// The current piece lies ahead: where it begins.
    ahead: Option<u64>,
    pieces: BTreeMap<u64, Piece>,
    waiting: u64,
    open: bool,
    closed: bool,
    truncated: bool,
}

impl Transfer {
    /// A transfer of which nothing came.
    pub fn new(direction: Direction, id: &[u8], name: &[u8]) -> Transfer {
        Transfer {
            direction,
            id: FileId::from_slice(id),
            name: name.to_vec(),
            share: Vec::new(),
            deadline_s: None,
            passed: 0,
            left: 0,
            ahead: None,
            pieces: BTreeMap::new(),
            waiting: 0,
            open: false,
            closed: false,
            truncated: false,
        }
    }

    /// It is under way.
    pub fn is_open(&self) -> bool {
        self.open
    }

    /// Octets passed on.
    pub fn passed(&self) -> u64 {
        self.passed
    }

    /// Octets that wait for what is due before them.
    pub fn waiting(&self) -> u64 {
        self.waiting
    }

    /// Pieces that wait.
    pub fn waiting_pieces(&self) -> usize {
        self.pieces.len()
    }

    /// A piece of `len` octets begins at `offset`, of which `data` is here.
    pub fn piece(&mut self, files: &mut Files, data: &[u8], offset: u64, len: u32) {
        if self.left != 0 {
            self.truncate(files);
        }
        self.ahead = (offset != self.passed).then_some(offset);
        self.left = len;
        if self.truncated || self.closed {
            return;
        }
        if !self.open {
            self.open = files.open(&self.name, self.direction).is_some();
        }
        if self.open {
            self.more(files, data, false);
        }
    }

    /// More of the current piece; `lost`: octets that never came, whose number counts. Returns octets used.
    pub fn more(&mut self, files: &mut Files, data: &[u8], lost: bool) -> usize {
        let len = data.len().min(self.left as usize);
        // Cannot be cut off: it is at most `left`.
        self.left -= len as u32;
        let data = &data[..len];
        if self.truncated || data.is_empty() {
            return len;
        }
        match self.ahead {
            None => {
                pass(files, self.direction, data, len as u64, lost);
                self.passed += len as u64;
            }
            Some(offset) => self.keep(files, offset, data, lost),
        }
        if self.left == 0 && self.ahead.take().is_none() {
            self.catch_up(files);
        }
        len
    }

    fn keep(&mut self, files: &mut Files, offset: u64, data: &[u8], lost: bool) {
        let len = data.len() as u64;
        let is_new = !self.pieces.contains_key(&offset);
        if self.waiting + len > MAX_AHEAD_OCTETS || is_new && self.pieces.len() >= MAX_AHEAD_PIECES {
            self.truncate(files);
            return;
        }
        let piece = self.pieces.entry(offset).or_default();
        piece.len += len;
        piece.lost |= lost;
        if offset > self.passed {
            piece.octets.extend_from_slice(data);
        }
        self.waiting += len;
    }

    /// Pass on what waited and is due now.
    fn catch_up(&mut self, files: &mut Files) {
        while let Some(piece) = self.pieces.remove(&self.passed) {
            self.waiting = self.waiting.saturating_sub(piece.len);
            pass(files, self.direction, &piece.octets, piece.len, piece.lost);
            if piece.len == 0 {
                break;
            }
            self.passed += piece.len;
        }
    }

    /// It is complete.
    pub fn close(&mut self, files: &mut Files) {
        if !self.truncated {
            files.close(self.direction, State::Closed);
        }
        self.open = false;
        self.closed = true;
        self.passed = 0;
    }

    /// Its rest is not followed.
    pub fn truncate(&mut self, files: &mut Files) {
        if self.truncated || !self.open {
            return;
        }
        files.close(self.direction, State::Truncated);
        self.truncated = true;
        self.pieces.clear();
        self.waiting = 0;
    }

    /// Octets of the connection were lost: wait for more of the file, but not for ever.
    pub fn wait_from(&mut self, now_s: i64) {
        self.deadline_s.get_or_insert(now_s + GAP_PATIENCE_S);
    }
}

fn pass(files: &mut Files, direction: Direction, data: &[u8], len: u64, lost: bool) {
    if lost || data.len() as u64 != len {
        files.gap(direction, len);
    } else {
        files.append(direction, data);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn transfer() -> (Transfer, Files) {
        (
            Transfer::new(Direction::ToClient, b"0123456789abcdef", b"a.txt"),
            Files::default(),
        )
    }

    #[test]
    fn pieces_in_any_order_make_the_same_file() {
        let (mut transfer, mut files) = transfer();
        transfer.piece(&mut files, b"ghi", 6, 3);
        transfer.piece(&mut files, b"def", 3, 3);
        assert_eq!((transfer.waiting(), transfer.waiting_pieces()), (6, 2));
        transfer.piece(&mut files, b"abc", 0, 3);
        transfer.close(&mut files);
        assert_eq!(files.files[0].buffer().unwrap().data, b"abcdefghi");
        assert_eq!(files.files[0].state, State::Closed);
    }

    #[test]
    fn a_piece_that_does_not_end_before_the_next_ends_the_file() {
        let (mut transfer, mut files) = transfer();
        transfer.piece(&mut files, b"ab", 0, 3);
        transfer.piece(&mut files, b"def", 3, 3);
        assert_eq!(files.files[0].state, State::Truncated);
        assert_eq!(files.files[0].size, 2);
    }

    #[test]
    fn what_waits_is_bounded() {
        let (mut transfer, mut files) = transfer();
        for at in 1..=u64::try_from(MAX_AHEAD_PIECES).unwrap() + 1 {
            transfer.piece(&mut files, b"x", at * 10, 1);
        }
        assert_eq!(files.files[0].state, State::Truncated);
        assert_eq!(transfer.waiting(), 0);
    }

    proptest! {
        #[test]
        fn a_piece_may_come_in_any_parts(parts in proptest::collection::vec(1usize..9, 1..20)) {
            let whole: Vec<u8> = (0..200).collect();
            let (mut transfer, mut files) = transfer();
            transfer.piece(&mut files, &[], 0, 200);
            let mut rest = whole.as_slice();
            for part in parts {
                rest = &rest[transfer.more(&mut files, &rest[..part.min(rest.len())], false)..];
            }
            transfer.more(&mut files, rest, false);
            transfer.close(&mut files);
            prop_assert_eq!(files.files[0].buffer().unwrap().data, whole.as_slice());
        }
    }
}
