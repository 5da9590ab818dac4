//! Which rows of a block match a question.

use super::dictionary::Values;
use super::key::{self, Print};
use super::part::{numbers, prints, stretch};
use super::{bloom, source, Column, Damaged, Pieces};

/// What a value has to be.
#[derive(Clone, Debug)]
pub enum Test {
    /// One of these.
    OneOf(Vec<Vec<u8>>),
    /// Between these, both included.
    Within(Vec<u8>, Vec<u8>),
    /// Something that begins with this.
    Begins(Vec<u8>),
    /// Something that has this in it.
    Contains(Vec<u8>),
    /// A rule with this id.
    Sid(i64),
    /// A rule whose text has this in it, whatever its case.
    Signature(Vec<u8>),
}

impl Test {
    fn holds(&self, value: &[u8]) -> bool {
        match self {
            Test::OneOf(values) => values.iter().any(|one| one == value),
            Test::Within(first, last) => value.len() == first.len() && value >= first && value <= last,
            Test::Begins(beginning) => value.starts_with(beginning),
            Test::Contains(part) => memchr::memmem::find(value, part).is_some(),
            Test::Sid(sid) => key::rule_sid(value) == Some(*sid),
            Test::Signature(part) => key::rule_text(value).is_some_and(|text| {
                let lower = key::lower(std::str::from_utf8(text).unwrap_or("")).into_owned();
                memchr::memmem::find(lower.as_bytes(), part).is_some()
            }),
        }
    }
}

/// One thing that has to hold of a row.
#[derive(Clone, Debug)]
pub enum Condition {
    /// A value in one of these columns.
    Value(Vec<Column>, Test),
    /// A print.
    Print(u64),
    /// Octets of the record, once its ASCII letters are lower case.
    Text(Vec<u8>),
}

/// Rows of a block that are asked about: numbers from the first (inclusive) to the second (exclusive); all of them.
pub type Span = Option<(u64, u64)>;

/// A question: all of its conditions have to hold.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    conditions: Vec<Condition>,
}

impl Filter {
    /// One more thing that has to hold.
    pub fn add(&mut self, condition: Condition) {
        self.conditions.push(condition);
    }

    /// The columns that [`Filter::rows`] looks at, apart from the numbers.
    pub fn columns(&self) -> Vec<Column> {
        let mut columns = Vec::new();
        for condition in &self.conditions {
            match condition {
                Condition::Value(of, _) => columns.extend(of.iter().copied()),
                Condition::Print(_) => columns.push(Column::Print),
                Condition::Text(_) => columns.push(Column::Record),
            }
        }
        columns.sort_unstable();
        columns.dedup();
        columns
    }

    /// The filters by which [`Filter::possible`] tells whether a block is worth looking into.
    pub fn blooms(&self) -> Vec<Column> {
        let mut blooms: Vec<Column> = self.asked().into_iter().map(|(bloom, _, _)| bloom).collect();
        blooms.sort_unstable();
        blooms.dedup();
        blooms
    }

    /// Whether a row of the block can match, by its filters.
    ///
    /// # Errors
    /// When one is damaged.
    pub fn possible(&self, pieces: Pieces<'_>) -> Result<bool, Damaged> {
        for (column, keys, all) in self.asked() {
            let there = bloom::may_have(pieces.get(column)?, keys.into_iter())?;
            let possible = if all {
                there.into_iter().all(|has| has)
            } else {
                there.into_iter().any(|has| has)
            };
            if !possible {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Filters, keys in them, whether it takes all of these or any.
    fn asked(&self) -> Vec<(Column, Vec<u64>, bool)> {
        let mut asked = Vec::new();
        for condition in &self.conditions {
            match condition {
                Condition::Print(print) => asked.push((Column::PrintBloom, vec![*print], true)),
                Condition::Value(of, Test::OneOf(values)) => match of.first() {
                    Some(Column::Source | Column::Destination) => {
                        asked.push((
                            Column::AddressBloom,
                            values.iter().map(|one| key::hash(one)).collect(),
                            false,
                        ));
                    }
                    Some(Column::SourcePort | Column::DestinationPort) => {
                        let prints = values.iter().map(|port| key::print(Print::Port, port));
                        asked.push((Column::PrintBloom, prints.collect(), false));
                    }
                    _ => {}
                },
                Condition::Value(of, Test::Begins(domain)) if of.first() == Some(&Column::Domain) => {
                    asked.push((Column::DomainBloom, vec![key::hash(domain)], true));
                }
                Condition::Value(of, Test::Contains(part))
                    if of.first() == Some(&Column::Url) && part.len() >= 3 =>
                {
                    asked.push((Column::UrlBloom, part.windows(3).map(stretch).collect(), true));
                }
                _ => {}
            }
        }
        asked
    }

    /// Whether each of the block's rows matches. Looks at the numbers where there is a span.
    ///
    /// # Errors
    /// When a column is damaged or does not have so many rows.
    pub fn rows(&self, pieces: Pieces<'_>, rows: usize, span: Span) -> Result<Vec<bool>, Damaged> {
        let mut matching = vec![true; rows];
        if let Some((first, end)) = span {
            let numbers = numbers(pieces.get(Column::Number)?)?;
            if numbers.len() != rows {
                return Err(Damaged);
            }
            for (keep, number) in matching.iter_mut().zip(numbers) {
                *keep = (first..end).contains(&number);
            }
        }
        let mut records: Option<&[u8]> = None;
        for condition in &self.conditions {
            match condition {
                Condition::Value(columns, test) => {
                    let mut found = vec![false; rows];
                    for &column in columns {
                        mark(pieces.get(column)?, column, test, &mut found)?;
                    }
                    retain(&mut matching, &found);
                }
                Condition::Print(print) => {
                    let mut found = vec![false; rows];
                    for (row, other) in prints(pieces.get(Column::Print)?)? {
                        if other == *print {
                            *found.get_mut(row as usize).ok_or(Damaged)? = true;
                        }
                    }
                    retain(&mut matching, &found);
                }
                Condition::Text(text) => records = Some(text),
            }
            if !matching.contains(&true) {
                return Ok(matching);
            }
        }
        if let Some(text) = records {
            let left: Vec<u32> = (0u32..)
                .zip(&matching)
                .filter(|(_, keep)| **keep)
                .map(|(row, _)| row)
                .collect();
            let found = source::with(pieces.get(Column::Record)?, &left, text)?;
            for (row, has) in left.into_iter().zip(found) {
                matching[row as usize] = has;
            }
        }
        Ok(matching)
    }
}

/// Note the rows of which a value passes.
fn mark(piece: &[u8], column: Column, test: &Test, found: &mut [bool]) -> Result<(), Damaged> {
    let values = Values::read(piece)?;
    let mut passing = vec![false];
    passing.extend(values.iter().map(|value| test.holds(value)));
    if !passing.contains(&true) {
        return Ok(());
    }
    let passes = |code: u32| passing.get(code as usize).copied().unwrap_or(false);
    if matches!(column, Column::Domain | Column::Url) {
        for (row, code) in values.pairs()? {
            if passes(code) {
                *found.get_mut(row as usize).ok_or(Damaged)? = true;
            }
        }
    } else {
        let codes = values.codes()?;
        if codes.len() != found.len() {
            return Err(Damaged);
        }
        for (found, code) in found.iter_mut().zip(codes) {
            *found |= passes(code);
        }
    }
    Ok(())
}

fn retain(matching: &mut [bool], found: &[bool]) {
    for (keep, found) in matching.iter_mut().zip(found) {
        *keep &= found;
    }
}
