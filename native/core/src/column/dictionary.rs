//! Columns of texts: each different value once, then which of them each row has.

use hashbrown::HashMap;

use super::codec::{expand, put, put_planes, Reader};
use super::Damaged;

/// The different values of a column in the making, numbered from 1 as they come.
#[derive(Default)]
pub struct Builder<'a> {
    numbers: HashMap<&'a [u8], u32>,
    entries: Vec<&'a [u8]>,
}

impl<'a> Builder<'a> {
    /// The value's number.
    pub fn number(&mut self, value: &'a [u8]) -> u32 {
        let entries = &mut self.entries;
        *self.numbers.entry(value).or_insert_with(|| {
            entries.push(value);
            entries.len() as u32
        })
    }

    /// The values, in the order of their numbers.
    pub fn entries(&self) -> &[&'a [u8]] {
        &self.entries
    }

    /// A column in which each row has one value or none: 0.
    pub fn single(&self, codes: &[u32]) -> Vec<u8> {
        let mut out = self.values();
        put(&mut out, codes.len() as u64);
        put_planes(&mut out, codes);
        out
    }

    /// A column in which each row has any number of values: (row, number), rows ascending.
    pub fn listed(&self, pairs: &[(u32, u32)]) -> Vec<u8> {
        let mut out = self.values();
        put(&mut out, pairs.len() as u64);
        put_rows(&mut out, pairs.iter().map(|pair| pair.0));
        let codes: Vec<u32> = pairs.iter().map(|pair| pair.1).collect();
        put_planes(&mut out, &codes);
        out
    }

    fn values(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.entries.iter().map(|entry| entry.len() + 2).sum());
        put(&mut out, self.entries.len() as u64);
        for entry in &self.entries {
            put(&mut out, entry.len() as u64);
        }
        for entry in &self.entries {
            out.extend_from_slice(entry);
        }
        out
    }
}

/// Append row numbers, ascending, as what each is more than the one before.
pub fn put_rows(out: &mut Vec<u8>, rows: impl Iterator<Item = u32>) {
    let mut before = 0;
    for row in rows {
        put(out, u64::from(row.wrapping_sub(before)));
        before = row;
    }
}

/// So many row numbers that were put.
///
/// # Errors
/// When there are fewer.
pub fn rows(reader: &mut Reader<'_>, count: usize) -> Result<Vec<u32>, Damaged> {
    let mut row = 0u32;
    (0..count)
        .map(|_| {
            let more = u32::try_from(reader.number()?).map_err(|_| Damaged)?;
            row = row.checked_add(more).ok_or(Damaged)?;
            Ok(row)
        })
        .collect()
}

/// A column of values that was kept.
pub struct Values {
    plain: Vec<u8>,
    /// Where each value begins, and where the last ends, in `plain`.
    places: Vec<u32>,
}

impl Values {
    /// Expand a column and find its values.
    ///
    /// # Errors
    /// When it is damaged.
    pub fn read(piece: &[u8]) -> Result<Values, Damaged> {
        let plain = expand(piece)?;
        if plain.is_empty() {
            return Ok(Values {
                plain,
                places: vec![0],
            });
        }
        let mut reader = Reader::new(&plain);
        let count = reader.count()?;
        let mut places = Vec::with_capacity(count + 1);
        let mut place = 0u64;
        places.push(0);
        for _ in 0..count {
            place = place.checked_add(reader.number()?).ok_or(Damaged)?;
            places.push(u32::try_from(place).map_err(|_| Damaged)?);
        }
        // now it is known where the values begin
        let rest = reader.rest();
        let begin = (plain.len() - rest) as u32;
        if place > rest as u64 {
            return Err(Damaged);
        }
        for place in &mut places {
            *place = place.checked_add(begin).ok_or(Damaged)?;
        }
        Ok(Values { plain, places })
    }

    /// How many different values there are.
    pub fn len(&self) -> usize {
        self.places.len() - 1
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The values, in the order of their numbers.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        self.places
            .windows(2)
            .map(|pair| &self.plain[pair[0] as usize..pair[1] as usize])
    }

    /// The value with this number, from 1.
    pub fn get(&self, number: u32) -> Option<&[u8]> {
        let at = (number as usize).checked_sub(1)?;
        let (begin, end) = (*self.places.get(at)?, *self.places.get(at + 1)?);
        self.plain.get(begin as usize..end as usize)
    }

    /// Each row's number, 0 for none; of a column with one value a row at most.
    ///
    /// # Errors
    /// When it is damaged.
    pub fn codes(&self) -> Result<Vec<u32>, Damaged> {
        let mut reader = self.behind();
        let count = reader.count_or_zero()?;
        let codes = if count == 0 {
            Vec::new()
        } else {
            reader.planes(count)?
        };
        self.checked(&codes)?;
        Ok(codes)
    }

    /// (row, number), rows ascending; of a column with any number of values a row.
    ///
    /// # Errors
    /// When it is damaged.
    pub fn pairs(&self) -> Result<Vec<(u32, u32)>, Damaged> {
        let mut reader = self.behind();
        let count = reader.count_or_zero()?;
        if count == 0 {
            return Ok(Vec::new());
        }
        let rows = rows(&mut reader, count)?;
        let codes = reader.planes(count)?;
        self.checked(&codes)?;
        Ok(rows.into_iter().zip(codes).collect())
    }

    fn behind(&self) -> Reader<'_> {
        let end = self.places.last().map_or(0, |&end| end as usize);
        Reader::new(self.plain.get(end..).unwrap_or(&[]))
    }

    fn checked(&self, codes: &[u32]) -> Result<(), Damaged> {
        let most = self.len() as u32;
        let fits = codes.iter().all(|&code| code <= most);
        fits.then_some(()).ok_or(Damaged)
    }
}
