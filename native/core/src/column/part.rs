//! Records of one file: put in order, packed into blocks.

use std::sync::Arc;

use hashbrown::{HashMap, HashSet};

use super::codec::{put, Squeezer};
use super::dictionary::{put_rows, Builder};
use super::key::{self, Print};
use super::records::{Records, Row, State, SINGLE};
use super::{bloom, source, Column, Damaged};

/// Bits of a number that are of the event's id; above them is the time.
pub const HASH_BITS: u32 = 26;
const HASH_MASK: u64 = (1 << HASH_BITS) - 1;
const TIME_MAX: i64 = (1 << 37) - 1;

/// Rows of one block at most.
pub const ROWS_MAX: usize = 8192;

/// How a file's times count.
#[derive(Clone, Copy, Debug)]
pub struct PartClock {
    /// From this, microseconds since 1970.
    pub since_us: i64,
    /// In steps of so many microseconds, at least one.
    pub unit_us: i64,
}

impl PartClock {
    /// The number of a row: when, and some bits of the event's id.
    fn number(self, row: &Row) -> u64 {
        let elapsed = (row.micros - self.since_us).div_euclid(self.unit_us);
        (elapsed.clamp(0, TIME_MAX) as u64) << HASH_BITS | row.digest & HASH_MASK
    }
}

/// Records of one file, in the order of their numbers; each number once when they have been [told apart](Part::tell_apart).
pub struct Part {
    records: Arc<Records>,
    rows: Vec<(u64, u32)>,
}

/// A block, ready to be kept.
pub struct Packed {
    /// Number of the first row.
    pub first: u64,
    /// Number of the last row.
    pub last: u64,
    /// How many rows there are.
    pub rows: usize,
    /// Its pieces.
    pub pieces: Vec<(Column, Vec<u8>)>,
}

impl Part {
    /// The records that are chosen by day and type. `numbers` are those of records that were stored before.
    pub fn new(
        records: Arc<Records>,
        chosen: impl Fn(i64, &[u8]) -> bool,
        clock: PartClock,
        numbers: Option<&[u64]>,
    ) -> Part {
        let mut rows: Vec<(u64, u32)> = records
            .rows
            .iter()
            .enumerate()
            .filter(|(_, row)| row.state == State::Read && chosen(row.day(), records.kind(row)))
            .map(|(at, row)| {
                let known = numbers.and_then(|numbers| numbers.get(at).copied());
                (known.unwrap_or_else(|| clock.number(row)), at as u32)
            })
            .collect();
        rows.sort_unstable();
        let mut part = Part { records, rows };
        part.leave_out_repeated();
        part
    }

    /// How many records there are.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// First and last number.
    pub fn span(&self) -> Option<(u64, u64)> {
        Some((self.rows.first()?.0, self.rows.last()?.0))
    }

    /// A record and its origin.
    pub fn record(&self, at: usize) -> Option<(&[u8], &[u8])> {
        let row = self.records.rows.get(self.rows.get(at)?.1 as usize)?;
        Some((self.records.text(row.raw), self.records.text(row.origin)))
    }

    /// Which of these records have a number that is in a kept column of numbers: (place here, row there).
    ///
    /// # Errors
    /// When the column is damaged.
    pub fn meet(&self, kept: &[u8]) -> Result<Vec<(usize, usize)>, Damaged> {
        let Some((first, last)) = self.span() else {
            return Ok(Vec::new());
        };
        let there = numbers(kept)?;
        let begin = there.partition_point(|&number| number < first);
        let end = there.partition_point(|&number| number <= last);
        let mut met = Vec::new();
        let mut at = 0;
        for (row, &number) in there.iter().enumerate().take(end).skip(begin) {
            at += self.rows[at..].partition_point(|&(mine, _)| mine < number);
            while self.rows.get(at).is_some_and(|&(mine, _)| mine == number) {
                met.push((at, row));
                at += 1;
            }
        }
        Ok(met)
    }

    /// Leave out the records at these places, and give those at others the next number.
    pub fn settle(&mut self, known: &HashSet<usize>, met: &HashSet<usize>) {
        let mut at = 0;
        self.rows.retain_mut(|row| {
            if met.contains(&at) {
                row.0 = following(row.0);
            }
            at += 1;
            !known.contains(&(at - 1))
        });
        self.rows.sort_unstable();
    }

    /// The same record twice is there once.
    fn leave_out_repeated(&mut self) {
        let records = &self.records;
        let mut of_number: Vec<u32> = Vec::new();
        let mut reached = None;
        self.rows.retain(|&(number, at)| {
            if reached != Some(number) {
                reached = Some(number);
                of_number.clear();
            }
            let repeated = of_number.iter().any(|&other| records.same(other, at));
            of_number.push(at);
            !repeated
        });
    }

    /// Give each number to one record, the next ones to others that have it; whether there were any.
    pub fn tell_apart(&mut self) -> bool {
        if self.rows.windows(2).all(|pair| pair[0].0 < pair[1].0) {
            return false;
        }
        let mut taken: HashSet<u64> = HashSet::with_capacity(self.rows.len());
        for row in &mut self.rows {
            while !taken.insert(row.0) {
                row.0 = following(row.0);
            }
        }
        self.rows.sort_unstable();
        true
    }

    /// How many records there are of each type and stretch of so many units of time.
    pub fn stretches(&self, units: u64) -> HashMap<(&[u8], u64), u64> {
        let mut counts: HashMap<(&[u8], u64), u64> = HashMap::new();
        for &(number, at) in &self.rows {
            let kind = self.records.kind(&self.records.rows[at as usize]);
            *counts.entry((kind, (number >> HASH_BITS) / units)).or_default() += 1;
        }
        counts
    }

    /// The blocks, each of about as many rows.
    ///
    /// # Errors
    /// When there is no memory for them.
    pub fn packed(&self) -> Result<Vec<Packed>, std::io::Error> {
        let blocks = self.rows.len().div_ceil(ROWS_MAX).max(1);
        let each = self.rows.len().div_ceil(blocks).max(1);
        let mut squeezer = Squeezer::default();
        self.rows
            .chunks(each)
            .map(|rows| self.block(rows, &mut squeezer))
            .collect()
    }

    fn block(&self, rows: &[(u64, u32)], squeezer: &mut Squeezer) -> Result<Packed, std::io::Error> {
        let records = &*self.records;
        let row_of = |at: u32| &records.rows[at as usize];
        let mut pieces = vec![(Column::Number, squeezer.squeeze(&numbers_plain(rows))?)];
        let mut addresses = HashSet::new();
        let mut prints = HashSet::new();
        let mut codes = Vec::with_capacity(rows.len());
        for (place, column) in SINGLE.into_iter().enumerate() {
            let mut builder = Builder::default();
            codes.clear();
            codes.extend(rows.iter().map(|&(_, at)| {
                row_of(at).values[place].map_or(0, |span| builder.number(records.key(span)))
            }));
            if builder.entries().is_empty() {
                continue;
            }
            match column {
                Column::Source | Column::Destination => {
                    addresses.extend(builder.entries().iter().map(|entry| key::hash(entry)));
                }
                Column::SourcePort | Column::DestinationPort => {
                    prints.extend(
                        builder
                            .entries()
                            .iter()
                            .map(|entry| key::print(Print::Port, entry)),
                    );
                }
                _ => {}
            }
            pieces.push((column, squeezer.squeeze(&builder.single(&codes))?));
        }
        let mut domains = HashSet::new();
        let mut stretches = HashSet::new();
        for column in [Column::Domain, Column::Url] {
            let mut builder = Builder::default();
            let mut pairs = Vec::new();
            for (row, &(_, at)) in rows.iter().enumerate() {
                for &(of, span) in &records.terms[row_of(at).terms.clone()] {
                    if of == column {
                        pairs.push((row as u32, builder.number(records.key(span))));
                    }
                }
            }
            if pairs.is_empty() {
                continue;
            }
            for entry in builder.entries() {
                if column == Column::Domain {
                    domains.extend(above(entry).map(key::hash));
                } else {
                    stretches.extend(entry.windows(3).map(stretch));
                }
            }
            pieces.push((column, squeezer.squeeze(&builder.listed(&pairs))?));
        }
        let listed: Vec<(u32, u64)> = rows
            .iter()
            .enumerate()
            .flat_map(|(row, &(_, at))| {
                let prints = &records.prints[row_of(at).prints.clone()];
                prints.iter().map(move |&print| (row as u32, print))
            })
            .collect();
        if !listed.is_empty() {
            prints.extend(listed.iter().map(|pair| pair.1));
            pieces.push((Column::Print, squeezer.squeeze(&prints_plain(&listed))?));
        }
        let texts: Vec<(&[u8], &[u8])> = rows
            .iter()
            .map(|&(_, at)| (records.text(row_of(at).raw), records.text(row_of(at).origin)))
            .collect();
        pieces.push((Column::Record, source::packed(&texts, squeezer)?));
        for (column, keys) in [
            (Column::AddressBloom, addresses),
            (Column::DomainBloom, domains),
            (Column::UrlBloom, stretches),
            (Column::PrintBloom, prints),
        ] {
            let keys: Vec<u64> = keys.into_iter().collect();
            if !keys.is_empty() {
                pieces.push((column, bloom::made(&keys, squeezer)?));
            }
        }
        Ok(Packed {
            first: rows.first().map_or(0, |row| row.0),
            last: rows.last().map_or(0, |row| row.0),
            rows: rows.len(),
            pieces,
        })
    }
}

/// The number to try when another event has this one: the same time.
pub fn following(number: u64) -> u64 {
    (number & !HASH_MASK) | (number.wrapping_add(1) & HASH_MASK)
}

/// A domain's key, and those of the domains above it.
pub fn above(domain: &[u8]) -> impl Iterator<Item = &[u8]> {
    memchr::memchr_iter(b'.', domain).map(|dot| &domain[..=dot])
}

/// Three octets of a URL as a key of the filter.
pub fn stretch(three: &[u8]) -> u64 {
    key::hash(three)
}

fn numbers_plain(rows: &[(u64, u32)]) -> Vec<u8> {
    let mut out = Vec::with_capacity(rows.len() * 7);
    put(&mut out, rows.len() as u64);
    let mut before = 0;
    for &(number, _) in rows {
        put(&mut out, (number >> HASH_BITS).wrapping_sub(before));
        before = number >> HASH_BITS;
    }
    for plane in 0..4 {
        out.extend(
            rows.iter()
                .map(|&(number, _)| ((number & HASH_MASK) >> (8 * plane)) as u8),
        );
    }
    out
}

/// The numbers of a block's rows, ascending.
///
/// # Errors
/// When the column is damaged.
pub fn numbers(kept: &[u8]) -> Result<Vec<u64>, Damaged> {
    let plain = super::codec::expand(kept)?;
    let mut reader = super::codec::Reader::new(&plain);
    let count = reader.count()?;
    let mut time = 0u64;
    let mut numbers = Vec::with_capacity(count);
    for _ in 0..count {
        time = time.checked_add(reader.number()?).ok_or(Damaged)?;
        if time > TIME_MAX as u64 {
            return Err(Damaged);
        }
        numbers.push(time << HASH_BITS);
    }
    for plane in 0..4 {
        let octets = reader.take(count)?;
        for (number, &octet) in numbers.iter_mut().zip(octets) {
            *number |= (u64::from(octet) << (8 * plane)) & HASH_MASK;
        }
    }
    numbers
        .windows(2)
        .all(|pair| pair[0] < pair[1])
        .then_some(numbers)
        .ok_or(Damaged)
}

fn prints_plain(listed: &[(u32, u64)]) -> Vec<u8> {
    let mut out = Vec::with_capacity(listed.len() * 10);
    put(&mut out, listed.len() as u64);
    put_rows(&mut out, listed.iter().map(|pair| pair.0));
    for (_, print) in listed {
        out.extend(print.to_le_bytes());
    }
    out
}

/// The prints of a block's rows: (row, print), rows ascending.
///
/// # Errors
/// When the column is damaged.
pub fn prints(kept: &[u8]) -> Result<Vec<(u32, u64)>, Damaged> {
    let plain = super::codec::expand(kept)?;
    if plain.is_empty() {
        return Ok(Vec::new());
    }
    let mut reader = super::codec::Reader::new(&plain);
    let count = reader.count()?;
    let rows = super::dictionary::rows(&mut reader, count)?;
    let octets = reader.take(count.checked_mul(8).ok_or(Damaged)?)?;
    let prints = octets
        .chunks_exact(8)
        .map(|eight| eight.try_into().map_or(0, u64::from_le_bytes));
    Ok(rows.into_iter().zip(prints).collect())
}
