//! Header compression (RFC 7541): blocks of octets to fields.

mod huffman;
mod table;

use table::Entry;
pub use table::{Table, Text};

/// What a header block says.
#[derive(Clone, Debug)]
pub enum Item {
    /// A field.
    Field {
        /// Its name as sent: in lower case if the sender keeps to the rules.
        name: Text,
        /// Its value.
        value: Text,
    },
    /// The sender's table has this size from now on, octets.
    SizeUpdate(u64),
    /// Something that stands for no field; the name under which EVE shows it.
    Wrong(&'static str),
}

impl Item {
    /// Name and value; empty for what is no field.
    pub fn field(&self) -> (&[u8], &[u8]) {
        match self {
            Item::Field { name, value } => (name.octets(), value.octets()),
            Item::SizeUpdate(_) | Item::Wrong(_) => (b"", b""),
        }
    }
}

/// A header block ends within a field: none of it is believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Truncated;

/// A number that is too large for anything.
struct Overflow;

/// Octets of a block, read from the front.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn octet(&mut self) -> Result<u8, Truncated> {
        let (&first, rest) = self.0.split_first().ok_or(Truncated)?;
        self.0 = rest;
        Ok(first)
    }

    fn take(&mut self, len: u64) -> Result<&'a [u8], Truncated> {
        let len = usize::try_from(len).map_err(|_| Truncated)?;
        if len > self.0.len() {
            return Err(Truncated);
        }
        let (taken, rest) = self.0.split_at(len);
        self.0 = rest;
        Ok(taken)
    }

    /// A number whose first bits are the low ones of `first` (RFC 7541 section 5.1). One of too many octets reads as 0, as
    /// the arbiter has it.
    fn number(&mut self, first: u8, prefix: u32) -> Result<Result<u64, Overflow>, Truncated> {
        let most = (1u64 << prefix) - 1;
        let value = u64::from(first) & most;
        if value < most {
            return Ok(Ok(value));
        }
        let mut sum = Some(most);
        let mut too_long = false;
        for count in 0.. {
            let octet = self.octet()?;
            let (part, last) = (u64::from(octet & 0x7f), octet & 0x80 == 0);
            if count < 9 || count == 9 && last && part <= 1 {
                sum = sum.and_then(|sum| sum.checked_add(part << (7 * count)));
            } else {
                too_long = true;
            }
            if last {
                break;
            }
        }
        Ok(if too_long { Ok(0) } else { sum.ok_or(Overflow) })
    }

    fn text(&mut self) -> Result<Result<Vec<u8>, Overflow>, Truncated> {
        let first = self.octet()?;
        let len = match self.number(first, 7)? {
            Ok(len) => len,
            Err(overflow) => return Ok(Err(overflow)),
        };
        let octets = self.take(len)?;
        if first & 0x80 == 0 {
            return Ok(Ok(octets.to_vec()));
        }
        let mut text = Vec::with_capacity(octets.len() * 3 / 2);
        huffman::decode(octets, &mut text);
        Ok(Ok(text))
    }
}

/// Decode a header block; `out` gets its items in order. Returns whether octets were left over.
///
/// # Errors
/// The block ends within a field. The table has the fields before it then, as the sender's has.
pub fn decode(block: &[u8], table: &mut Table, out: &mut Vec<Item>) -> Result<bool, Truncated> {
    let mut reader = Reader(block);
    let mut size = None;
    while !reader.0.is_empty() {
        match item(&mut reader, table)? {
            Ok(item) => {
                if let Item::SizeUpdate(octets) = item {
                    size = size.max(Some(octets));
                }
                out.push(item);
            }
            Err(Overflow) => {
                out.push(Item::Wrong("HTTP2HeaderDecodeIntegerOverflow"));
                break;
            }
        }
    }
    if let Some(octets) = size {
        table.allow(octets);
    }
    Ok(!reader.0.is_empty())
}

fn item(reader: &mut Reader<'_>, table: &mut Table) -> Result<Result<Item, Overflow>, Truncated> {
    macro_rules! within {
        ($value:expr) => {
            match $value? {
                Ok(value) => value,
                Err(overflow) => return Ok(Err(overflow)),
            }
        };
    }
    let first = reader.octet()?;
    if first & 0x80 != 0 {
        let index = within!(reader.number(first, 7));
        return Ok(Ok(match table.entry(index) {
            Entry::Field(name, value) => Item::Field { name, value },
            Entry::Zero => Item::Wrong("HTTP2HeaderDecodeIndex0"),
            Entry::Missing => Item::Wrong("HTTP2HeaderDecodeNotIndexed"),
        }));
    }
    if first & 0xe0 == 0x20 {
        let octets = within!(reader.number(first, 5));
        table.shrink(octets);
        return Ok(Ok(Item::SizeUpdate(octets)));
    }
    // A literal: added to the table, or not (0x10 is "never", for those that pass it on).
    let adds = first & 0x40 != 0;
    let index = within!(reader.number(first, if adds { 6 } else { 4 }));
    let name = if index == 0 {
        Text::Sent(within!(reader.text()).into())
    } else {
        match table.entry(index) {
            Entry::Field(name, _) => name,
            Entry::Zero | Entry::Missing => Text::Static(b""),
        }
    };
    let value = Text::Sent(within!(reader.text()).into());
    let name = if adds {
        table.add(name, value.clone())
    } else {
        name
    };
    Ok(Ok(Item::Field { name, value }))
}

/// Append a field to a header block, as a literal that no table keeps.
pub fn encode_literal(name: &[u8], value: &[u8], block: &mut Vec<u8>) {
    block.push(0);
    for text in [name, value] {
        let len = text.len();
        if len < 127 {
            block.push(len as u8);
        } else {
            block.push(127);
            let mut rest = len - 127;
            while rest >= 128 {
                block.push((rest % 128) as u8 | 0x80);
                rest /= 128;
            }
            block.push(rest as u8);
        }
        block.extend_from_slice(text);
    }
}

#[cfg(test)]
mod tests;
