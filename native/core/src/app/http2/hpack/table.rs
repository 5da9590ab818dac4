//! The fields that indices stand for: RFC 7541 appendix A, then those the sender added, within limits.

use std::collections::VecDeque;
use std::sync::Arc;

/// A field's name or value. Texts that fields share with the table are told from others: see [`Text::shares`].
#[derive(Clone, Debug)]
pub enum Text {
    /// Of the static table.
    Static(&'static [u8]),
    /// Sent.
    Sent(Arc<[u8]>),
}

impl Text {
    /// Its octets.
    pub fn octets(&self) -> &[u8] {
        match self {
            Text::Static(octets) => octets,
            Text::Sent(octets) => octets,
        }
    }

    /// How many fields hold this very text, the table's included.
    pub fn shares(&self) -> usize {
        match self {
            Text::Static(_) => 1,
            Text::Sent(octets) => Arc::strong_count(octets),
        }
    }

    /// Where it is kept, for texts that are shared.
    pub fn address(&self) -> *const u8 {
        self.octets().as_ptr()
    }
}

/// What an index stands for.
#[derive(Clone, Debug)]
pub enum Entry {
    /// A field.
    Field(Text, Text),
    /// Index 0.
    Zero,
    /// Nothing is there.
    Missing,
}

const STATIC: [(&[u8], &[u8]); 61] = [
    (b":authority", b""),
    (b":method", b"GET"),
    (b":method", b"POST"),
    (b":path", b"/"),
    (b":path", b"/index.html"),
    (b":scheme", b"http"),
    (b":scheme", b"https"),
    (b":status", b"200"),
    (b":status", b"204"),
    (b":status", b"206"),
    (b":status", b"304"),
    (b":status", b"400"),
    (b":status", b"404"),
    (b":status", b"500"),
    (b"accept-charset", b""),
    (b"accept-encoding", b"gzip, deflate"),
    (b"accept-language", b""),
    (b"accept-ranges", b""),
    (b"accept", b""),
    (b"access-control-allow-origin", b""),
    (b"age", b""),
    (b"allow", b""),
    (b"authorization", b""),
    (b"cache-control", b""),
    (b"content-disposition", b""),
    (b"content-encoding", b""),
    (b"content-language", b""),
    (b"content-length", b""),
    (b"content-location", b""),
    (b"content-range", b""),
    (b"content-type", b""),
    (b"cookie", b""),
    (b"date", b""),
    (b"etag", b""),
    (b"expect", b""),
    (b"expires", b""),
    (b"from", b""),
    (b"host", b""),
    (b"if-match", b""),
    (b"if-modified-since", b""),
    (b"if-none-match", b""),
    (b"if-range", b""),
    (b"if-unmodified-since", b""),
    (b"last-modified", b""),
    (b"link", b""),
    (b"location", b""),
    (b"max-forwards", b""),
    (b"proxy-authenticate", b""),
    (b"proxy-authorization", b""),
    (b"range", b""),
    (b"referer", b""),
    (b"refresh", b""),
    (b"retry-after", b""),
    (b"server", b""),
    (b"set-cookie", b""),
    (b"strict-transport-security", b""),
    (b"transfer-encoding", b""),
    (b"user-agent", b""),
    (b"vary", b""),
    (b"via", b""),
    (b"www-authenticate", b""),
];

/// Octets the table counts for a field besides its text (RFC 7541 section 4.1).
const FIELD_OCTETS: u64 = 32;
/// Size of a table nobody said anything of (RFC 9113 section 6.5.2).
const DEFAULT_OCTETS: u64 = 4096;

/// How a table that may grow beyond what is kept here is followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Growth {
    /// It cannot outgrow the limit.
    Bounded,
    /// It may: its first fields are kept.
    MayOutgrow,
    /// It did, and lost fields that are not known here: nothing is added any more.
    Outgrown,
}

/// One direction's dynamic table.
#[derive(Debug)]
pub struct Table {
    entries: VecDeque<(Text, Text)>,
    /// Octets the sender's table takes.
    octets: u64,
    /// Octets it may take.
    most: u64,
    growth: Growth,
    /// Octets that are kept at most.
    limit: u64,
}

impl Table {
    /// An empty one that keeps at most `limit` octets.
    pub fn new(limit: u32) -> Table {
        Table {
            entries: VecDeque::new(),
            octets: 0,
            most: DEFAULT_OCTETS,
            growth: Growth::Bounded,
            limit: limit.into(),
        }
    }

    /// What `index` stands for.
    pub fn entry(&self, index: u64) -> Entry {
        let Some(at) = index.checked_sub(1) else {
            return Entry::Zero;
        };
        let at = usize::try_from(at).unwrap_or(usize::MAX);
        if let Some((name, value)) = STATIC.get(at) {
            return Entry::Field(Text::Static(name), Text::Static(value));
        }
        // Index 62 is the newest.
        let back = at - STATIC.len();
        match self.entries.iter().rev().nth(back) {
            Some((name, value)) => Entry::Field(name.clone(), value.clone()),
            None => Entry::Missing,
        }
    }

    /// Add a field; those that do not fit any more go. Returns its name as the table keeps it.
    pub fn add(&mut self, name: Text, value: Text) -> Text {
        let name = match name {
            Text::Static(octets) => Text::Sent(Arc::from(octets)),
            sent @ Text::Sent(_) => sent,
        };
        self.octets += FIELD_OCTETS + (name.octets().len() + value.octets().len()) as u64;
        let keeps = match self.growth {
            Growth::Bounded => true,
            Growth::MayOutgrow => self.octets <= self.limit,
            Growth::Outgrown => false,
        };
        if keeps {
            self.entries.push_back((name.clone(), value));
        } else if self.growth == Growth::MayOutgrow && self.octets > self.most {
            self.growth = Growth::Outgrown;
        }
        self.shrink_to(self.most);
        name
    }

    fn shrink_to(&mut self, most: u64) {
        while self.octets > most {
            let Some((name, value)) = self.entries.pop_front() else {
                break;
            };
            let octets = FIELD_OCTETS + (name.octets().len() + value.octets().len()) as u64;
            self.octets = self.octets.saturating_sub(octets);
        }
    }

    /// The sender shrinks the table within a header block: fields go at once, the size holds from its end on.
    pub fn shrink(&mut self, most: u64) {
        if most < self.most {
            self.shrink_to(most);
        }
    }

    /// Its size is this from now on: the receiver allows it (SETTINGS_HEADER_TABLE_SIZE), or the sender chose it.
    pub fn allow(&mut self, most: u64) {
        self.most = most;
        self.growth = match self.growth {
            _ if most <= self.limit => Growth::Bounded,
            Growth::Bounded => Growth::MayOutgrow,
            outgrown => outgrown,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(table: &mut Table, name: &str, value: &str) {
        let text = |text: &str| Text::Sent(Arc::from(text.as_bytes()));
        table.add(text(name), text(value));
    }

    fn value(table: &Table, index: u64) -> Option<String> {
        match table.entry(index) {
            Entry::Field(_, value) => Some(String::from_utf8(value.octets().to_vec()).unwrap()),
            _ => None,
        }
    }

    #[test]
    fn the_oldest_fields_go_when_a_table_is_full() {
        let mut table = Table::new(65_536);
        table.allow(100);
        for (name, value) in [("a", "1"), ("b", "2"), ("c", "3")] {
            add(&mut table, name, value);
        }
        assert_eq!(value(&table, 62).as_deref(), Some("3"));
        assert_eq!(value(&table, 63).as_deref(), Some("2"));
        assert!(matches!(table.entry(64), Entry::Missing));
        assert!(matches!(table.entry(0), Entry::Zero));
        table.shrink(40);
        assert!(matches!(table.entry(63), Entry::Missing));
        assert_eq!(value(&table, 2).as_deref(), Some("GET"));
        assert_eq!(value(&table, 61).as_deref(), Some(""));
    }

    #[test]
    fn a_table_of_any_size_is_kept_within_its_limit() {
        let mut table = Table::new(1000);
        table.allow(u64::MAX);
        for number in 0..1000 {
            add(&mut table, "name", &number.to_string());
        }
        let kept: usize = table
            .entries
            .iter()
            .map(|(name, value)| 32 + name.octets().len() + value.octets().len())
            .sum();
        assert!(kept <= 1000, "{kept}");
        assert!(table.entries.len() > 20);
    }
}
