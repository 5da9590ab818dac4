//! The counts of many blocks together, by type and value, so that lists over long times need not look at each block.
//!
//! A piece is: the types (their number, then each with its length), the values (as a column has them), then for each
//! type how many values it has, and of each how much further on in the values it is, and how many rows have it.

use hashbrown::HashMap;

use super::codec::{expand, put, Reader, Squeezer};
use super::dictionary::Values;
use super::{Column, Damaged, Pieces};

/// Columns that are tallied.
pub const TALLIED: [Column; 8] = [
    Column::Kind,
    Column::Source,
    Column::Destination,
    Column::DestinationPort,
    Column::Rule,
    Column::App,
    Column::Sensor,
    Column::Domain,
];

/// The counts of one column of some blocks.
pub struct Tally {
    column: Column,
    kinds: Vec<Vec<u8>>,
    counts: HashMap<Vec<u8>, Vec<u64>>,
}

impl Tally {
    /// Nothing yet.
    pub fn new(column: Column) -> Tally {
        Tally {
            column,
            kinds: Vec::new(),
            counts: HashMap::new(),
        }
    }

    /// Add the counts of a block.
    ///
    /// # Errors
    /// When its columns are damaged.
    pub fn add(&mut self, pieces: Pieces<'_>) -> Result<(), Damaged> {
        let kinds = Values::read(pieces.get(Column::Kind)?)?;
        let kind_codes = kinds.codes()?;
        let places: Vec<usize> = kinds.iter().map(|kind| self.kind(kind)).collect();
        let values = Values::read(pieces.get(self.column)?)?;
        let width = places.len();
        let mut counts = vec![0u64; values.len() * width];
        let mut note = |row: usize, code: u32| {
            let kind = *kind_codes.get(row).ok_or(Damaged)? as usize;
            if code > 0 && kind > 0 {
                *counts
                    .get_mut((code as usize - 1) * width + kind - 1)
                    .ok_or(Damaged)? += 1;
            }
            Ok(())
        };
        if self.column == Column::Domain {
            for (row, code) in values.pairs()? {
                note(row as usize, code)?;
            }
        } else {
            for (row, code) in values.codes()?.into_iter().enumerate() {
                note(row, code)?;
            }
        }
        for (value, each) in values.iter().zip(counts.chunks(width.max(1))) {
            let known = self.counts.entry_ref(value).or_default();
            known.resize(self.kinds.len(), 0);
            for (place, count) in places.iter().zip(each) {
                known[*place] += count;
            }
        }
        Ok(())
    }

    /// Add the counts of a tally that was kept.
    ///
    /// # Errors
    /// When it is damaged; nothing of it is added then.
    pub fn add_packed(&mut self, piece: &[u8]) -> Result<(), Damaged> {
        let plain = expand(piece)?;
        let parsed = Parsed::read(&plain)?;
        let places: Vec<usize> = parsed.kinds.iter().map(|kind| self.kind(kind)).collect();
        for (&kind, of_kind) in places.iter().zip(&parsed.counts) {
            for &(place, rows) in of_kind {
                let known = self.counts.entry_ref(parsed.values[place]).or_default();
                known.resize(self.kinds.len(), 0);
                known[kind] = known[kind].saturating_add(rows);
            }
        }
        Ok(())
    }

    fn kind(&mut self, kind: &[u8]) -> usize {
        if let Some(place) = self.kinds.iter().position(|known| known == kind) {
            return place;
        }
        self.kinds.push(kind.to_vec());
        self.kinds.len() - 1
    }

    /// As it is kept.
    ///
    /// # Errors
    /// When there is no memory for it.
    pub fn packed(&self) -> Result<Vec<u8>, std::io::Error> {
        let mut sorted: Vec<(&Vec<u8>, &Vec<u64>)> = self.counts.iter().collect();
        sorted.sort_unstable();
        let mut out = Vec::new();
        put(&mut out, self.kinds.len() as u64);
        for kind in &self.kinds {
            put(&mut out, kind.len() as u64);
            out.extend_from_slice(kind);
        }
        put(&mut out, sorted.len() as u64);
        for (value, _) in &sorted {
            put(&mut out, value.len() as u64);
        }
        for (value, _) in &sorted {
            out.extend_from_slice(value);
        }
        for place in 0..self.kinds.len() {
            let of_kind = || {
                let counts = sorted
                    .iter()
                    .map(|(_, counts)| counts.get(place).copied().unwrap_or(0));
                counts.enumerate().filter(|(_, count)| *count > 0)
            };
            put(&mut out, of_kind().count() as u64);
            let mut next = 0;
            for (at, count) in of_kind() {
                put(&mut out, (at - next) as u64);
                put(&mut out, count);
                next = at + 1;
            }
        }
        Squeezer::default().squeeze(&out)
    }
}

/// A tally that was kept, taken apart.
struct Parsed<'a> {
    kinds: Vec<&'a [u8]>,
    values: Vec<&'a [u8]>,
    /// By type: places of values, and how many rows have them.
    counts: Vec<Vec<(usize, u64)>>,
}

impl<'a> Parsed<'a> {
    fn read(plain: &'a [u8]) -> Result<Parsed<'a>, Damaged> {
        let mut reader = Reader::new(plain);
        let mut kinds = Vec::new();
        for _ in 0..reader.count()? {
            let len = reader.count()?;
            kinds.push(reader.take(len)?);
        }
        let count = reader.count()?;
        let lens: Vec<usize> = (0..count).map(|_| reader.count()).collect::<Result<_, _>>()?;
        let values: Vec<&[u8]> = lens
            .into_iter()
            .map(|len| reader.take(len))
            .collect::<Result<_, _>>()?;
        let mut counts = Vec::with_capacity(kinds.len());
        for _ in &kinds {
            let mut place = 0usize;
            let mut of_kind = Vec::new();
            for _ in 0..reader.count()? {
                let more = usize::try_from(reader.number()?).map_err(|_| Damaged)?;
                place = place
                    .checked_add(more)
                    .filter(|&place| place < count)
                    .ok_or(Damaged)?;
                of_kind.push((place, reader.number()?));
                place += 1;
            }
            counts.push(of_kind);
        }
        Ok(Parsed {
            kinds,
            values,
            counts,
        })
    }
}

/// Tell each value and how many rows of these types (none: all) have it.
///
/// # Errors
/// When the piece is damaged; nothing is told then.
pub fn read(piece: &[u8], kinds: &[Vec<u8>], mut tell: impl FnMut(&[u8], u64)) -> Result<(), Damaged> {
    let plain = expand(piece)?;
    let parsed = Parsed::read(&plain)?;
    let mut counts = vec![0u64; parsed.values.len()];
    for (kind, of_kind) in parsed.kinds.iter().zip(&parsed.counts) {
        if kinds.is_empty() || kinds.iter().any(|one| one == kind) {
            for &(place, rows) in of_kind {
                counts[place] = counts[place].saturating_add(rows);
            }
        }
    }
    for (value, count) in parsed.values.into_iter().zip(counts) {
        tell(value, count);
    }
    Ok(())
}
