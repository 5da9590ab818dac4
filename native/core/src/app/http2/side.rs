//! What one direction said on a stream: frames by type, fields, and the texts rules make of them.

use std::cell::OnceCell;

use hashbrown::{HashMap, HashSet};
use smallvec::SmallVec;

use super::hpack::Item;

/// Octets of fields of one stream and direction that are kept, as decoded.
const MAX_FIELD_OCTETS: usize = 1 << 20;
/// Fields of one stream and direction that are kept.
const MAX_FIELDS: usize = 8192;
/// Settings, error codes, weights or increments of one stream and direction that are kept, each.
const MAX_NUMBERS: usize = 256;

/// A frame that says how a stream fares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// GOAWAY with this error code.
    GoAway(u32),
    /// RST_STREAM with this error code.
    Reset(u32),
    /// The weight of PRIORITY, or of HEADERS.
    Weight(u8),
}

/// One direction of a stream.
#[derive(Debug, Default)]
pub struct Side {
    /// Types of its frames, a bit each.
    kinds: [u64; 4],
    /// Settings; `None` when it sent none.
    pub settings: Option<Vec<(u16, u32)>>,
    /// Errors and weights in order.
    pub marks: Vec<Mark>,
    /// Increments of windows.
    pub windows: Vec<u32>,
    /// It sent (parts of) header blocks.
    pub has_headers: bool,
    /// What header blocks said, with the number of the block.
    items: Vec<(u32, Item)>,
    blocks: u32,
    field_octets: usize,
    texts: Texts,
}

/// Texts made of the fields when they are asked for; anew when fields came.
#[derive(Debug, Default)]
struct Texts {
    composed: OnceCell<Vec<u8>>,
    raw: OnceCell<Vec<u8>>,
    names: OnceCell<Vec<u8>>,
    lines: OnceCell<Vec<Vec<u8>>>,
    joined: OnceCell<Vec<(usize, Vec<u8>)>>,
    host: OnceCell<Vec<u8>>,
    first_line: OnceCell<Vec<u8>>,
}

fn keep<T: PartialEq>(list: &mut Vec<T>, item: T) {
    if list.len() < MAX_NUMBERS {
        list.push(item);
    }
}

/// `name: value`
fn line((name, value): (&[u8], &[u8])) -> Vec<u8> {
    [name, b": ", value].concat()
}

fn trimmed(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

impl Side {
    /// A frame of this type came.
    pub fn saw(&mut self, kind: u8) {
        self.kinds[usize::from(kind >> 6)] |= 1 << (kind & 63);
    }

    /// The types of its frames.
    pub fn kinds(&self) -> impl Iterator<Item = u8> + '_ {
        (0..=u8::MAX).filter(|kind| self.kinds[usize::from(kind >> 6)] & 1 << (kind & 63) != 0)
    }

    /// Keep settings.
    pub fn add_settings(&mut self, settings: &[(u16, u32)]) {
        let kept = self.settings.get_or_insert_with(Vec::new);
        for setting in settings {
            keep(kept, *setting);
        }
    }

    /// Keep an error code or weight.
    pub fn add_mark(&mut self, mark: Mark) {
        keep(&mut self.marks, mark);
    }

    /// Keep an increment.
    pub fn add_window(&mut self, increment: u32) {
        if !self.windows.contains(&increment) {
            keep(&mut self.windows, increment);
        }
    }

    /// Keep what a header block said; whether there was room for all of it.
    pub fn add_items(&mut self, items: impl IntoIterator<Item = Item>) -> bool {
        self.has_headers = true;
        self.blocks += 1;
        self.texts = Texts::default();
        for item in items {
            let (name, value) = item.field();
            let octets = name.len() + value.len();
            if self.items.len() >= MAX_FIELDS || self.field_octets + octets > MAX_FIELD_OCTETS {
                return false;
            }
            self.field_octets += octets;
            self.items.push((self.blocks, item));
        }
        true
    }

    /// What header blocks said, with the number of the block.
    pub fn items(&self) -> &[(u32, Item)] {
        &self.items
    }

    fn fields(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.items.iter().map(|(_, item)| item.field())
    }

    /// The name of field number `index`; `None` when that has none.
    pub fn name(&self, index: usize) -> Option<&[u8]> {
        let (_, item) = self.items.get(index)?;
        Some(item.field().0).filter(|name| !name.is_empty())
    }

    /// Field number `index` as a line.
    pub fn line(&self, index: usize) -> Option<&[u8]> {
        let lines = self.texts.lines.get_or_init(|| self.fields().map(line).collect());
        lines.get(index).map(Vec::as_slice)
    }

    /// The first value of field `name`.
    pub fn first(&self, name: &[u8]) -> Option<&[u8]> {
        self.fields()
            .find(|(known, _)| *known == name)
            .map(|(_, value)| value)
    }

    /// The values of field `name`, joined. Repeats that share their name with the table and others do not count, which
    /// keeps one octet of a header block from standing for kilobytes, as the arbiter has it.
    pub fn joined(&self, name: &[u8]) -> Option<&[u8]> {
        let at = self.fields().position(|(known, _)| known == name)?;
        let joined = self.texts.joined.get_or_init(|| self.join());
        match joined.iter().find(|(first, _)| *first == at) {
            Some((_, text)) => Some(text),
            None => self.items.get(at).map(|(_, item)| item.field().1),
        }
    }

    /// Fields that have more than one value: where the first is, and all of them.
    fn join(&self) -> Vec<(usize, Vec<u8>)> {
        let mut firsts: HashMap<&[u8], usize> = HashMap::new();
        let mut joined: HashMap<usize, Vec<u8>> = HashMap::new();
        for (at, (_, item)) in self.items.iter().enumerate() {
            let Item::Field { name, value } = item else {
                continue;
            };
            let first = *firsts.entry(name.octets()).or_insert(at);
            if first != at && name.shares() <= 2 {
                let text = joined
                    .entry(first)
                    .or_insert_with(|| self.items[first].1.field().1.to_vec());
                text.extend_from_slice(b", ");
                text.extend_from_slice(value.octets());
            }
        }
        joined.into_iter().collect()
    }

    /// The fields as lines, without those called `cookie`, values trimmed. `None` when there are none.
    pub fn composed(&self, cookie: &[u8]) -> Option<&[u8]> {
        let text = self.texts.composed.get_or_init(|| {
            let mut text = Vec::new();
            for (name, value) in self
                .fields()
                .filter(|(name, _)| !name.eq_ignore_ascii_case(cookie))
            {
                text.extend_from_slice(&line((name, trimmed(value))));
                text.extend_from_slice(b"\r\n");
            }
            text
        });
        (!text.is_empty()).then_some(text)
    }

    /// The fields as lines.
    pub fn raw(&self) -> Option<&[u8]> {
        let text = self.texts.raw.get_or_init(|| {
            let mut text = Vec::new();
            for field in self.fields() {
                text.extend_from_slice(&line(field));
                text.extend_from_slice(b"\r\n");
            }
            text
        });
        (!text.is_empty()).then_some(text)
    }

    /// The names of the fields, each in its line.
    pub fn names(&self) -> Option<&[u8]> {
        if self.items.is_empty() {
            return None;
        }
        Some(self.texts.names.get_or_init(|| {
            let mut text = b"\r\n".to_vec();
            for (name, _) in self.fields() {
                text.extend_from_slice(name);
                text.extend_from_slice(b"\r\n");
            }
            text.extend_from_slice(b"\r\n");
            text
        }))
    }

    /// The host of `:authority`: without user and port, in lower case.
    pub fn host(&self) -> Option<&[u8]> {
        let authority = self.joined(b":authority")?;
        Some(self.texts.host.get_or_init(|| {
            let after_user = authority
                .iter()
                .position(|&octet| octet == b'@')
                .map_or(0, |at| at + 1);
            let host = &authority[after_user..];
            let end = host.iter().position(|&octet| octet == b':').unwrap_or(host.len());
            host[..end].to_ascii_lowercase()
        }))
    }

    /// The request line HTTP/1 would have.
    pub fn request_line(&self) -> &[u8] {
        self.texts.first_line.get_or_init(|| {
            let part = |name| self.first(name).unwrap_or_default();
            [part(b":method"), b" ", part(b":path"), b" HTTP/2\r\n"].concat()
        })
    }

    /// The status line HTTP/1 would have.
    pub fn response_line(&self) -> &[u8] {
        self.texts.first_line.get_or_init(|| {
            let status = self.first(b":status").unwrap_or_default();
            [b"HTTP/2 ", status, b"\r\n"].concat()
        })
    }

    /// What header blocks said, without fields that stand for one the same block had before.
    pub fn told(&self) -> SmallVec<[&Item; 32]> {
        let mut known: HashSet<*const u8> = HashSet::new();
        let mut block = 0;
        let mut told = SmallVec::new();
        for (number, item) in &self.items {
            if *number != block {
                block = *number;
                known.clear();
            }
            let repeats = match item {
                Item::Field { name, .. } => name.shares() > 2 && !known.insert(name.address()),
                _ => false,
            };
            if !repeats {
                told.push(item);
            }
        }
        told
    }
}
