//! Files carried by transactions: names, sizes, hashes, and a bounded window of content for rules.
//!
//! A parser opens a file, appends what it decodes and closes it; hashes are computed as octets come. The engine inspects
//! the window, writes the record when a file is over, and may tell a file that nothing more of it is wanted.

mod hash;
mod magic;

pub use hash::{Digests, Hashes};

use std::borrow::Cow;
use std::cell::OnceCell;

use crate::app::Buffer;
use crate::event::json::Json;
use crate::packet::Direction;

/// Octets of content kept when nobody inspects it.
const MAX_WINDOW: usize = 256 * 1024;
/// Octets kept from the start, for content types.
const HEAD_OCTETS: usize = 4096;
/// Octets after which a file's type is told while it is open.
const MAGIC_OCTETS: usize = 512;
/// Files of one transaction that are kept; more are counted.
const MAX_FILES: usize = 1024;

/// How far a file got.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum State {
    /// More may come.
    #[default]
    Open,
    /// Complete.
    Closed,
    /// It ended, or was let go of, before its end.
    Truncated,
}

impl State {
    /// As in EVE.
    pub fn name(self) -> &'static str {
        match self {
            State::Open => "UNKNOWN",
            State::Closed => "CLOSED",
            State::Truncated => "TRUNCATED",
        }
    }
}

/// How much of a file is inspected at a time. Octets.
#[derive(Clone, Copy, Debug)]
pub struct Inspection {
    /// A file larger than this is inspected without waiting for more; 0 is no limit.
    pub limit: u64,
    /// Inspection waits for that much, or the file's end.
    pub min_size: u64,
}

impl Default for Inspection {
    /// Suricata's `filedata` defaults.
    fn default() -> Inspection {
        Inspection {
            limit: 100_000,
            min_size: 32_768,
        }
    }
}

/// Files of one transaction.
#[derive(Debug, Default)]
pub struct Files {
    /// In the order they began.
    pub files: Vec<File>,
    /// Files that were not kept because there were too many.
    pub dropped: u64,
}

/// One file.
#[derive(Debug, Default)]
pub struct File {
    /// Name as the protocol gave it; octets an attacker chose.
    pub name: Vec<u8>,
    /// Octets so far, lost ones included.
    pub size: u64,
    /// How far it got.
    pub state: State,
    /// Octets are missing within.
    pub gaps: bool,
    /// Who sends it; `None` while files of a transaction are only opened by `Default`.
    pub direction: Option<Direction>,
    /// Number of the file in its transaction.
    pub id: u32,
    /// Range of a larger file it is part of: first octet, last octet, size of the whole.
    pub range: Option<[u64; 3]>,
    /// Rules that asked for it to be stored.
    pub stored_by: Vec<u32>,
    /// Its record was written.
    pub logged: bool,
    /// Inspection parameters.
    pub inspection: Inspection,
    hashes: Hashes,
    magic: OnceCell<Cow<'static, str>>,
    head: Vec<u8>,
    window: Vec<u8>,
    /// Offset of `window[0]` in the file.
    window_at: u64,
    /// Octets that were inspected.
    inspected: u64,
}

impl Files {
    /// Begin a file. `None` when there are too many.
    pub fn open(&mut self, name: &[u8], direction: Direction) -> Option<&mut File> {
        if self.files.len() >= MAX_FILES {
            self.dropped += 1;
            return None;
        }
        self.files.push(File {
            name: name.to_vec(),
            direction: Some(direction),
            id: self.files.len() as u32,
            ..File::default()
        });
        self.files.last_mut()
    }

    /// The file of a direction that is open, newest first.
    pub fn open_file(&mut self, direction: Direction) -> Option<&mut File> {
        self.files
            .iter_mut()
            .rev()
            .find(|file| file.direction == Some(direction) && file.state == State::Open)
    }

    /// Add octets to the open file of a direction.
    pub fn append(&mut self, direction: Direction, octets: &[u8]) {
        if let Some(file) = self.open_file(direction) {
            file.append(octets);
        }
    }

    /// Octets of the open file of a direction were lost.
    pub fn gap(&mut self, direction: Direction, octets: u64) {
        if let Some(file) = self.open_file(direction) {
            file.gap(octets);
        }
    }

    /// End the open file of a direction.
    pub fn close(&mut self, direction: Direction, state: State) {
        if let Some(file) = self.open_file(direction) {
            file.close(state);
        }
    }

    /// Files a direction sends, in order.
    pub fn of(&self, direction: Direction) -> impl Iterator<Item = &File> {
        self.files
            .iter()
            .filter(move |file| file.direction == Some(direction))
    }

    /// What was shown of a direction's files was inspected.
    pub fn inspected(&mut self, direction: Direction) {
        for file in self
            .files
            .iter_mut()
            .filter(|file| file.direction == Some(direction))
        {
            file.mark_inspected();
        }
    }
}

impl File {
    /// Add octets.
    pub fn append(&mut self, octets: &[u8]) {
        if self.state != State::Open {
            return;
        }
        self.size += octets.len() as u64;
        if !self.gaps {
            self.hashes.update(octets);
        }
        if self.head.len() < HEAD_OCTETS {
            let wanted = HEAD_OCTETS - self.head.len();
            self.head.extend_from_slice(&octets[..octets.len().min(wanted)]);
        }
        self.window.extend_from_slice(octets);
        if self.window.len() > MAX_WINDOW {
            let surplus = self.window.len() - MAX_WINDOW / 2;
            self.window.drain(..surplus);
            self.window_at += surplus as u64;
        }
    }

    /// Octets were lost here.
    pub fn gap(&mut self, octets: u64) {
        if self.state == State::Open && octets > 0 {
            self.gaps = true;
            self.size += octets;
            self.window.clear();
            self.window_at = self.size;
        }
    }

    /// Nothing more will come, as its protocol says. What is cut short has one digest, of what there is.
    pub fn close(&mut self, state: State) {
        if self.state == State::Open {
            self.state = if self.gaps { State::Truncated } else { state };
            if self.state == State::Closed {
                self.hashes.finish();
            } else {
                self.hashes.finish_cut();
            }
        }
    }

    /// Nothing more will come, though its protocol did not say so: what it would have been is not known.
    pub fn abandon(&mut self) {
        if self.state == State::Open {
            self.state = State::Truncated;
        }
    }

    /// Digests, once it is complete without gaps.
    pub fn digests(&self) -> Option<&Digests> {
        self.hashes.digests()
    }

    /// Its first octets (up to 4096), to tell its type.
    pub fn head(&self) -> &[u8] {
        &self.head
    }

    /// What it is, as `file(1)` would say; `None` while too little came.
    pub fn magic(&self) -> Option<&str> {
        let over = self.state != State::Open;
        if !over && self.head.len() < MAGIC_OCTETS {
            return None;
        }
        let whole = over && self.size == self.head.len() as u64;
        Some(self.magic.get_or_init(|| magic::describe(&self.head, whole)))
    }

    /// What there is to inspect now; `None` while too little came.
    pub fn buffer(&self) -> Option<Buffer<'_>> {
        let over = self.state != State::Open;
        let Inspection { limit, min_size } = self.inspection;
        if self.size == 0 || (!over && (limit == 0 || self.size < limit) && self.size < min_size) {
            return None;
        }
        let from = usize::try_from(self.inspected.saturating_sub(self.window_at)).unwrap_or(usize::MAX);
        let data = self.window.get(from..).unwrap_or_default();
        Some(Buffer {
            data,
            offset: self.window_at + from.min(self.window.len()) as u64,
            complete: over,
        })
    }

    fn mark_inspected(&mut self) {
        if self.buffer().is_none() || self.inspected == self.size {
            return;
        }
        self.inspected = self.size;
        self.window.clear();
        self.window_at = self.size;
    }

    /// Write the members of EVE's `fileinfo`, without its braces.
    pub fn write_info(&self, tx_id: u64, json: &mut Json<'_>) {
        if !self.name.is_empty() {
            json.str("filename", &self.name);
        }
        json.bool("gaps", self.gaps);
        json.str("state", self.state.name());
        if let Some(digests) = self.digests() {
            json.str("md5", hex(&digests.md5));
            json.str("sha1", hex(&digests.sha1));
            json.str("sha256", hex(&digests.sha256));
        } else if let Some(sha256) = self.hashes.cut() {
            json.str("sha256", hex(sha256));
        }
        json.bool("stored", !self.stored_by.is_empty());
        json.num("size", self.size);
        if let Some([start, end, _]) = self.range {
            json.num("start", start);
            json.num("end", end);
        }
        json.num("tx_id", tx_id);
    }
}

/// Lower-case hexadecimal.
pub fn hex(octets: &[u8]) -> String {
    let mut text = String::with_capacity(octets.len() * 2);
    for octet in octets {
        for nibble in [octet >> 4, octet & 15] {
            text.push(char::from_digit(u32::from(nibble), 16).unwrap_or('0'));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closed_file_has_its_digests_one_cut_short_has_one_and_one_abandoned_none() {
        let mut files = Files::default();
        files.open(b"a", Direction::ToClient).unwrap();
        files.append(Direction::ToClient, b"ab");
        files.append(Direction::ToClient, b"c");
        files.close(Direction::ToClient, State::Closed);
        assert_eq!(
            hex(&files.files[0].digests().unwrap().md5),
            "900150983cd24fb0d6963f7d28e17f72"
        );
        assert_eq!(files.files[0].buffer().unwrap().data, b"abc");
        files.open(b"b", Direction::ToClient).unwrap();
        files.append(Direction::ToClient, b"abc");
        files.close(Direction::ToClient, State::Truncated);
        assert!(files.files[1].digests().is_none());
        let sha256 = files.files[1].hashes.cut().unwrap();
        assert!(hex(sha256).starts_with("ba7816bf"));
        files.open(b"c", Direction::ToClient).unwrap();
        files.files[2].abandon();
        assert!(files.files[2].hashes.cut().is_none());
    }

    #[test]
    fn an_open_file_is_inspected_once_enough_came_and_only_once() {
        let mut file = File {
            direction: Some(Direction::ToServer),
            ..File::default()
        };
        file.append(&[0; 1000]);
        assert!(file.buffer().is_none());
        file.append(&[1; 32_000]);
        assert_eq!(file.buffer().unwrap().data.len(), 33_000);
        file.mark_inspected();
        file.append(b"tail");
        let rest = file.buffer().unwrap();
        assert_eq!((rest.data, rest.offset), (&b"tail"[..], 33_000));
    }
}
