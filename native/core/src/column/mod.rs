//! Stored events: blocks of some thousand records of one kind of traffic, their searched values in columns.
//!
//! [`record`] and [`records`] read what is searched out of EVE records; [`part`] puts them in order and packs them into blocks of
//! [`Column`]s; [`filter`] says which rows of a block match, [`summary`] counts them, [`hunt`] looks for indicators,
//! [`tally`] merges the counts of many blocks, [`source`] gives the records back octet for octet. Where blocks are
//! kept, and in what order they are asked, is the caller's business: octets come in, octets go out.
//!
//! Blocks may be damaged or forged: whatever is read is checked, and what does not add up is [`Damaged`].

pub mod bloom;
pub mod codec;
pub mod dictionary;
pub mod filter;
pub mod hunt;
pub mod key;
pub mod part;
pub mod record;
pub mod records;
pub mod source;
pub mod summary;
pub mod tally;
pub mod time;

#[cfg(test)]
mod tests;

/// The pieces of a block. The numbers are kept in files: never change them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum Column {
    /// The rows' numbers, ascending: time, then some bits of the event's id.
    Number = 0,
    /// `event_type`.
    Kind = 1,
    /// `src_ip`, as [`key::address`].
    Source = 2,
    /// `dest_ip`.
    Destination = 3,
    /// `src_port`, as [`key::whole`].
    SourcePort = 4,
    /// `dest_port`.
    DestinationPort = 5,
    /// Signature id and text of an alert, as [`key::rule`].
    Rule = 6,
    /// `app_proto`.
    App = 7,
    /// `host`.
    Sensor = 8,
    /// Names asked for, server names, hosts, as [`key::domain`]; none or several a row.
    Domain = 9,
    /// URLs, as [`key::url`]; none or several a row.
    Url = 10,
    /// What is only ever looked for as a whole, as [`key::print`]; none or several a row.
    Print = 11,
    /// The records themselves.
    Record = 12,
    /// Which addresses may be in the block.
    AddressBloom = 16,
    /// Which domains, and domains above them.
    DomainBloom = 17,
    /// Which stretches of three octets of URLs.
    UrlBloom = 18,
    /// Which prints and ports.
    PrintBloom = 19,
}

impl Column {
    /// All of them, in the order of their numbers.
    pub const ALL: [Column; 17] = [
        Column::Number,
        Column::Kind,
        Column::Source,
        Column::Destination,
        Column::SourcePort,
        Column::DestinationPort,
        Column::Rule,
        Column::App,
        Column::Sensor,
        Column::Domain,
        Column::Url,
        Column::Print,
        Column::Record,
        Column::AddressBloom,
        Column::DomainBloom,
        Column::UrlBloom,
        Column::PrintBloom,
    ];

    /// The column with this number.
    pub fn numbered(number: u8) -> Option<Column> {
        Column::ALL.into_iter().find(|&column| column as u8 == number)
    }
}

/// A piece of a block that is not what was written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Damaged;

impl std::fmt::Display for Damaged {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("damaged block")
    }
}

impl std::error::Error for Damaged {}

/// Pieces of one block, as they are kept. A piece that is not there is an empty one.
#[derive(Clone, Copy)]
pub struct Pieces<'a>(pub &'a [(Column, &'a [u8])]);

impl<'a> Pieces<'a> {
    /// The octets of this piece.
    ///
    /// # Errors
    /// When it was not handed over: whatever asks for a column says so beforehand.
    pub fn get(&self, column: Column) -> Result<&'a [u8], Damaged> {
        self.0
            .iter()
            .find(|(name, _)| *name == column)
            .map(|(_, octets)| *octets)
            .ok_or(Damaged)
    }
}
