//! Counts over the matching rows of many blocks.

use hashbrown::HashMap;

use super::dictionary::Values;
use super::filter::{Filter, Span};
use super::part::{numbers, HASH_BITS};
use super::{key, tally, Column, Damaged, Pieces};

/// Values kept of one list. Where there are more, those that are furthest from being shown are forgotten.
pub const VALUES_MAX: usize = 2_000_000;

/// What is counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Counted {
    /// Rows.
    Rows,
    /// Rows by stretches of this many microseconds since 1970.
    Stretches(i64),
    /// Rows by the value of a field.
    Values(Field),
    /// Alerts by rule, source and destination.
    Groups,
}

/// A field whose values are counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Field {
    /// The values of a column.
    Column(Column),
    /// The signature id of [`Column::Rule`].
    Sid,
    /// The signature's text of [`Column::Rule`].
    Signature,
}

impl Field {
    /// By its name in questions.
    pub fn named(name: &str) -> Option<Field> {
        Some(match name {
            "src_ip" => Field::Column(Column::Source),
            "dest_ip" => Field::Column(Column::Destination),
            "dest_port" => Field::Column(Column::DestinationPort),
            "sid" => Field::Sid,
            "signature" => Field::Signature,
            "domain" => Field::Column(Column::Domain),
            "event_type" => Field::Column(Column::Kind),
            "app_proto" => Field::Column(Column::App),
            "sensor" => Field::Column(Column::Sensor),
            _ => return None,
        })
    }

    /// Where its values are.
    pub fn column(self) -> Column {
        match self {
            Field::Column(column) => column,
            Field::Sid | Field::Signature => Column::Rule,
        }
    }

    /// The field's part of a column's value; None where there is none.
    fn part(self, value: &[u8]) -> Option<&[u8]> {
        match self {
            Field::Column(_) => (!value.is_empty()).then_some(value),
            Field::Sid => key::rule_sid(value).and_then(|_| value.get(1..9)),
            Field::Signature => key::rule_text(value),
        }
    }

    /// A value as it is shown.
    fn text(self, value: &[u8]) -> String {
        match self {
            Field::Column(Column::Source | Column::Destination) => key::address_text(value),
            Field::Column(Column::Domain) => key::domain_text(value),
            Field::Column(Column::SourcePort | Column::DestinationPort) | Field::Sid => {
                key::whole_of(value).unwrap_or(0).to_string()
            }
            _ => String::from_utf8_lossy(value).into_owned(),
        }
    }
}

/// Alerts of one rule from one source to one destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// The rule, as [`key::rule`].
    pub rule: Vec<u8>,
    /// The addresses, as [`key::address`]; empty for none.
    pub source: Vec<u8>,
    /// See `source`.
    pub destination: Vec<u8>,
    /// How many there are.
    pub count: u64,
    /// Time of the first, microseconds since 1970.
    pub first_us: i64,
    /// Time of the last.
    pub last_us: i64,
}

/// What was counted so far.
pub struct Summary {
    counted: Counted,
    ascending: bool,
    rows: u64,
    stretches: HashMap<i64, u64>,
    values: HashMap<Vec<u8>, u64>,
    /// By rule, source, destination, as numbered: how many, times of the first and the last.
    groups: HashMap<(u32, u32, u32), (u64, i64, i64)>,
    rules: Numbered,
    addresses: Numbered,
}

impl Summary {
    /// Nothing yet. With `ascending` the rarest values are what matters.
    pub fn new(counted: Counted, ascending: bool) -> Summary {
        Summary {
            counted,
            ascending,
            rows: 0,
            stretches: HashMap::new(),
            values: HashMap::new(),
            groups: HashMap::new(),
            rules: Numbered::default(),
            addresses: Numbered::default(),
        }
    }

    /// The columns that [`Summary::add`] looks at, apart from those of the filter and its span.
    pub fn columns(&self) -> Vec<Column> {
        match self.counted {
            Counted::Rows => Vec::new(),
            Counted::Stretches(_) => vec![Column::Number],
            Counted::Values(field) => vec![field.column()],
            Counted::Groups => vec![Column::Number, Column::Rule, Column::Source, Column::Destination],
        }
    }

    /// The column of which a tally will do.
    pub fn tallied(&self) -> Option<Column> {
        match self.counted {
            Counted::Values(field) => tally::TALLIED
                .into_iter()
                .find(|&column| column == field.column()),
            _ => None,
        }
    }

    /// Count a block's matching rows. Times count from `since_us` in steps of `unit_us`.
    ///
    /// # Errors
    /// When a column is damaged; nothing of the block is counted then.
    pub fn add(
        &mut self,
        filter: &Filter,
        pieces: Pieces<'_>,
        rows: usize,
        span: Span,
        clock: super::part::PartClock,
    ) -> Result<(), Damaged> {
        let matching = filter.rows(pieces, rows, span)?;
        let count = matching.iter().filter(|keep| **keep).count() as u64;
        if count == 0 {
            return Ok(());
        }
        match self.counted {
            Counted::Rows => {}
            Counted::Stretches(each_us) => {
                let numbers = numbers(pieces.get(Column::Number)?)?;
                // rows are in the order of time: most are in the stretch of the one before
                let (mut reached, mut end, mut count) = (0, i64::MIN, 0);
                for (number, _) in numbers.iter().zip(&matching).filter(|(_, keep)| **keep) {
                    let time = clock.since_us + (number >> HASH_BITS) as i64 * clock.unit_us;
                    if time >= end {
                        *self.stretches.entry(reached).or_default() += std::mem::take(&mut count);
                        reached = time.div_euclid(each_us);
                        end = (reached + 1).saturating_mul(each_us);
                    }
                    count += 1;
                }
                *self.stretches.entry(reached).or_default() += count;
            }
            Counted::Values(field) => self.add_values(field, pieces, &matching)?,
            Counted::Groups => self.add_groups(pieces, &matching, clock)?,
        }
        self.rows += count;
        Ok(())
    }

    /// The stretch that all rows between these numbers are in: where there is one, [`Summary::add_in`] will do.
    pub fn stretch(&self, first: u64, last: u64, clock: super::part::PartClock) -> Option<i64> {
        let Counted::Stretches(each_us) = self.counted else {
            return None;
        };
        let of = |number: u64| {
            let elapsed = ((number >> HASH_BITS) as i64).saturating_mul(clock.unit_us);
            clock.since_us.saturating_add(elapsed).div_euclid(each_us)
        };
        (of(first) == of(last)).then(|| of(first))
    }

    /// Count a block's matching rows, all of which are in this stretch of time. Looks at no times but for a span.
    ///
    /// # Errors
    /// When a column is damaged; nothing of the block is counted then.
    pub fn add_in(
        &mut self,
        filter: &Filter,
        pieces: Pieces<'_>,
        rows: usize,
        span: Span,
        stretch: i64,
    ) -> Result<(), Damaged> {
        let matching = filter.rows(pieces, rows, span)?;
        let count = matching.iter().filter(|keep| **keep).count() as u64;
        *self.stretches.entry(stretch).or_default() += count;
        self.rows += count;
        Ok(())
    }

    fn add_values(&mut self, field: Field, pieces: Pieces<'_>, matching: &[bool]) -> Result<(), Damaged> {
        let values = Values::read(pieces.get(field.column())?)?;
        let mut counts = vec![0u64; values.len() + 1];
        if field.column() == Column::Domain {
            for (row, code) in values.pairs()? {
                counts[code as usize] += u64::from(*matching.get(row as usize).ok_or(Damaged)?);
            }
        } else {
            for (code, keep) in values.codes()?.into_iter().zip(matching) {
                counts[code as usize] += u64::from(*keep);
            }
        }
        for (value, count) in values.iter().zip(counts.into_iter().skip(1)) {
            self.note(field, value, count);
        }
        self.forget();
        Ok(())
    }

    /// Count the rows of many blocks of these types (none: all) by what was tallied of them.
    ///
    /// # Errors
    /// When it is damaged; nothing of it is counted then.
    pub fn add_tally(&mut self, tally: &[u8], kinds: &[Vec<u8>]) -> Result<(), Damaged> {
        let Counted::Values(field) = self.counted else {
            return Err(Damaged);
        };
        tally::read(tally, kinds, |value, count| self.note(field, value, count))?;
        self.forget();
        Ok(())
    }

    fn note(&mut self, field: Field, value: &[u8], count: u64) {
        let Some(part) = field.part(value).filter(|_| count > 0) else {
            return;
        };
        match self.values.get_mut(part) {
            Some(known) => *known += count,
            None => {
                self.values.insert(part.to_vec(), count);
            }
        }
    }

    /// Keep the list bounded.
    fn forget(&mut self) {
        if self.values.len() > VALUES_MAX {
            let bound = self.bound(VALUES_MAX / 2);
            let ascending = self.ascending;
            self.values
                .retain(|_, count| if ascending { *count < bound } else { *count > bound });
        }
    }

    fn add_groups(
        &mut self,
        pieces: Pieces<'_>,
        matching: &[bool],
        clock: super::part::PartClock,
    ) -> Result<(), Damaged> {
        let rules = Values::read(pieces.get(Column::Rule)?)?;
        let sources = Values::read(pieces.get(Column::Source)?)?;
        let destinations = Values::read(pieces.get(Column::Destination)?)?;
        let numbers = numbers(pieces.get(Column::Number)?)?;
        let codes = [rules.codes()?, sources.codes()?, destinations.codes()?];
        if codes
            .iter()
            .any(|codes| !codes.is_empty() && codes.len() != matching.len())
            || numbers.len() != matching.len()
        {
            return Err(Damaged);
        }
        // the block's numbers of values as ours; 0 for none
        let ours = [
            self.rules.numbers(rules.iter(), |rule| {
                rule.get(..9).filter(|_| key::rule_sid(rule).is_some())
            }),
            self.addresses.numbers(sources.iter(), Some),
            self.addresses.numbers(destinations.iter(), Some),
        ];
        let ours = |side: usize, row: usize| {
            codes[side]
                .get(row)
                .and_then(|&code| ours[side].get(code as usize))
                .copied()
                .unwrap_or(0)
        };
        for ((row, _), number) in matching
            .iter()
            .enumerate()
            .zip(numbers)
            .filter(|((_, keep), _)| **keep)
        {
            let rule = ours(0, row);
            if rule == 0 {
                continue;
            }
            let time = clock.since_us + (number >> HASH_BITS) as i64 * clock.unit_us;
            let group = self
                .groups
                .entry((rule, ours(1, row), ours(2, row)))
                .or_insert((0, time, time));
            *group = (group.0 + 1, group.1.min(time), group.2.max(time));
        }
        if self.groups.len() > VALUES_MAX {
            let mut counts: Vec<u64> = self.groups.values().map(|group| group.0).collect();
            let middle = counts.len() / 2;
            let bound = *counts.select_nth_unstable(middle).1;
            self.groups.retain(|_, group| group.0 > bound);
        }
        Ok(())
    }

    /// Rows counted.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Rows by stretch of time, oldest first.
    pub fn stretches(&self) -> Vec<(i64, u64)> {
        let counts = self.stretches.iter().map(|(at, count)| (*at, *count));
        let mut found: Vec<(i64, u64)> = counts.filter(|(_, count)| *count > 0).collect();
        found.sort_unstable();
        found
    }

    /// The most frequent or the rarest values; equals by their text.
    pub fn values(&self, limit: usize) -> Vec<(String, u64)> {
        let Counted::Values(field) = self.counted else {
            return Vec::new();
        };
        if limit == 0 || self.values.is_empty() {
            return Vec::new();
        }
        let bound = self.bound(limit.min(self.values.len()) - 1);
        let shown = |count: u64| {
            if self.ascending {
                count <= bound
            } else {
                count >= bound
            }
        };
        let chosen = self.values.iter().filter(|(_, count)| shown(**count));
        let mut found: Vec<(String, u64)> =
            chosen.map(|(value, count)| (field.text(value), *count)).collect();
        found.sort_unstable_by(|one, other| {
            let by_count = if self.ascending {
                one.1.cmp(&other.1)
            } else {
                other.1.cmp(&one.1)
            };
            by_count.then_with(|| one.0.cmp(&other.0))
        });
        found.truncate(limit);
        found
    }

    /// The count of the value that comes in this place.
    fn bound(&self, place: usize) -> u64 {
        let mut counts: Vec<u64> = self.values.values().copied().collect();
        if counts.is_empty() {
            return 0;
        }
        let place = place.min(counts.len() - 1);
        if self.ascending {
            *counts.select_nth_unstable(place).1
        } else {
            *counts
                .select_nth_unstable_by(place, |one, other| other.cmp(one))
                .1
        }
    }

    /// The groups with the most alerts; equals by rule and addresses.
    pub fn groups(&self, limit: usize) -> Vec<Group> {
        if limit == 0 || self.groups.is_empty() {
            return Vec::new();
        }
        let sid = |rule: u32| key::rule_sid(self.rules.get(rule));
        type Line<'l> = (&'l (u32, u32, u32), &'l (u64, i64, i64));
        let order = |(key, group): &Line<'_>| (std::cmp::Reverse(group.0), sid(key.0));
        let mut found: Vec<Line<'_>> = self.groups.iter().collect();
        if limit < found.len() {
            let last = order(found.select_nth_unstable_by_key(limit - 1, order).1);
            found.retain(|line| order(line) <= last);
        }
        let mut groups: Vec<(Group, (String, String))> = found
            .into_iter()
            .map(|(key, group)| {
                let found = Group {
                    rule: self.rules.get(key.0).to_vec(),
                    source: self.addresses.get(key.1).to_vec(),
                    destination: self.addresses.get(key.2).to_vec(),
                    count: group.0,
                    first_us: group.1,
                    last_us: group.2,
                };
                let texts = (
                    key::address_text(&found.source),
                    key::address_text(&found.destination),
                );
                (found, texts)
            })
            .collect();
        let order = |group: &Group| (std::cmp::Reverse(group.count), key::rule_sid(&group.rule));
        groups.sort_unstable_by(|one, other| (order(&one.0), &one.1).cmp(&(order(&other.0), &other.1)));
        groups.truncate(limit);
        groups.into_iter().map(|(group, _)| group).collect()
    }
}

/// Different values of many blocks, numbered from 1 as they come.
#[derive(Default)]
struct Numbered {
    numbers: HashMap<Vec<u8>, u32>,
    values: Vec<Vec<u8>>,
}

impl Numbered {
    /// The number of each of a block's values, by its number in the block. Values with the same `part` are the same;
    /// the first is kept. Values without one have none.
    fn numbers<'v>(
        &mut self,
        values: impl Iterator<Item = &'v [u8]>,
        part: impl Fn(&'v [u8]) -> Option<&'v [u8]>,
    ) -> Vec<u32> {
        let mut ours = vec![0];
        for value in values {
            let Some(part) = part(value) else {
                ours.push(0);
                continue;
            };
            let known = &mut self.values;
            ours.push(*self.numbers.entry_ref(part).or_insert_with(|| {
                known.push(value.to_vec());
                known.len() as u32
            }));
        }
        ours
    }

    fn get(&self, number: u32) -> &[u8] {
        let at = (number as usize).checked_sub(1);
        at.and_then(|at| self.values.get(at)).map_or(&[], Vec::as_slice)
    }
}
