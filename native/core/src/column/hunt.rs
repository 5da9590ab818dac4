//! Many indicators looked for in a block at once: what the block has is looked up among the indicators.

use hashbrown::{HashMap, HashSet};

use super::dictionary::Values;
use super::filter::Span;
use super::part::{above, numbers, prints};
use super::{key, Column, Damaged, Pieces};

/// Newest rows told of each indicator.
pub const SAMPLES: usize = 5;

/// The columns that are looked at.
pub const COLUMNS: [Column; 8] = [
    Column::Number,
    Column::Source,
    Column::Destination,
    Column::SourcePort,
    Column::DestinationPort,
    Column::Domain,
    Column::Url,
    Column::Print,
];

/// What is looked for, by the caller's numbers.
#[derive(Default)]
pub struct Hunt {
    addresses: HashMap<Vec<u8>, Vec<u32>>,
    /// By family and octets of the network's beginning in full, then what is left of it: prefix lengths there are.
    networks: HashMap<(u8, u8), HashMap<Vec<u8>, Vec<u32>>>,
    endpoints: HashMap<Vec<u8>, Vec<(i64, u32)>>,
    domains: HashMap<Vec<u8>, Vec<u32>>,
    urls: HashMap<Vec<u8>, Vec<u32>>,
    prints: HashMap<u64, Vec<u32>>,
}

/// Indicators that are an address, and ports with which it is one.
type Meant<'a> = (Vec<u32>, &'a [(i64, u32)]);

/// What one indicator was found in.
#[derive(Debug, PartialEq, Eq)]
pub struct Found {
    /// The caller's number of it.
    pub indicator: u32,
    /// How many rows it was found in.
    pub count: u64,
    /// The first row's number.
    pub first: u64,
    /// The last row's number.
    pub last: u64,
    /// The newest rows, newest first.
    pub newest: Vec<u32>,
}

impl Hunt {
    /// Look for an address.
    pub fn address(&mut self, key: Vec<u8>, indicator: u32) {
        self.addresses.entry(key).or_default().push(indicator);
    }

    /// Look for addresses that have so many bits in common with this one.
    pub fn network(&mut self, key: &[u8], bits: u8, indicator: u32) {
        let family = key.first().copied().unwrap_or(0);
        let of_len = self.networks.entry((family, bits)).or_default();
        of_len.entry(masked(key, bits)).or_default().push(indicator);
    }

    /// Look for an address with a port.
    pub fn endpoint(&mut self, key: Vec<u8>, port: i64, indicator: u32) {
        self.endpoints.entry(key).or_default().push((port, indicator));
    }

    /// Look for a domain and all below it.
    pub fn domain(&mut self, key: Vec<u8>, indicator: u32) {
        self.domains.entry(key).or_default().push(indicator);
    }

    /// Look for a URL.
    pub fn url(&mut self, key: Vec<u8>, indicator: u32) {
        self.urls.entry(key).or_default().push(indicator);
    }

    /// Look for a hash or fingerprint.
    pub fn print(&mut self, print: u64, indicator: u32) {
        self.prints.entry(print).or_default().push(indicator);
    }

    /// What was found in a block.
    ///
    /// # Errors
    /// When one of its columns is damaged.
    pub fn search(&self, pieces: Pieces<'_>, span: Span) -> Result<Vec<Found>, Damaged> {
        let mut rows: HashMap<u32, HashSet<u32>> = HashMap::new();
        let sides = [
            (Column::Source, Column::SourcePort),
            (Column::Destination, Column::DestinationPort),
        ];
        for (side, port) in sides {
            self.search_side(pieces.get(side)?, pieces.get(port)?, &mut rows)?;
        }
        let names = |value: &[u8]| -> Vec<u32> {
            above(value)
                .filter_map(|name| self.domains.get(name))
                .flatten()
                .copied()
                .collect()
        };
        search_listed(
            pieces.get(Column::Domain)?,
            self.domains.is_empty(),
            names,
            &mut rows,
        )?;
        let urls = |value: &[u8]| self.urls.get(value).cloned().unwrap_or_default();
        search_listed(pieces.get(Column::Url)?, self.urls.is_empty(), urls, &mut rows)?;
        if !self.prints.is_empty() {
            for (row, print) in prints(pieces.get(Column::Print)?)? {
                for &indicator in self.prints.get(&print).into_iter().flatten() {
                    rows.entry(indicator).or_default().insert(row);
                }
            }
        }
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let numbers = numbers(pieces.get(Column::Number)?)?;
        let mut found = Vec::new();
        for (indicator, rows) in rows {
            let mut within = Vec::with_capacity(rows.len());
            for row in rows {
                let number = *numbers.get(row as usize).ok_or(Damaged)?;
                if span.is_none_or(|(first, end)| (first..end).contains(&number)) {
                    within.push(row);
                }
            }
            within.sort_unstable();
            let (Some(&first), Some(&last)) = (within.first(), within.last()) else {
                continue;
            };
            found.push(Found {
                indicator,
                count: within.len() as u64,
                first: numbers[first as usize],
                last: numbers[last as usize],
                newest: within.iter().rev().take(SAMPLES).copied().collect(),
            });
        }
        found.sort_by_key(|found| found.indicator);
        Ok(found)
    }

    fn search_side(
        &self,
        addresses: &[u8],
        ports: &[u8],
        rows: &mut HashMap<u32, HashSet<u32>>,
    ) -> Result<(), Damaged> {
        if self.addresses.is_empty() && self.networks.is_empty() && self.endpoints.is_empty() {
            return Ok(());
        }
        let values = Values::read(addresses)?;
        let mut meant: HashMap<u32, Meant<'_>> = HashMap::new();
        for (code, value) in (1u32..).zip(values.iter()) {
            let mut indicators: Vec<u32> = self.addresses.get(value).cloned().unwrap_or_default();
            for ((family, bits), networks) in &self.networks {
                if value.first() == Some(family) {
                    indicators.extend(networks.get(&masked(value, *bits)).into_iter().flatten());
                }
            }
            let endpoints = self.endpoints.get(value).map_or(&[][..], Vec::as_slice);
            if !indicators.is_empty() || !endpoints.is_empty() {
                meant.insert(code, (indicators, endpoints));
            }
        }
        if meant.is_empty() {
            return Ok(());
        }
        let ports = Values::read(ports)?;
        let port_codes = ports.codes()?;
        for (row, code) in values.codes()?.into_iter().enumerate() {
            let Some((indicators, endpoints)) = meant.get(&code) else {
                continue;
            };
            for &indicator in indicators {
                rows.entry(indicator).or_default().insert(row as u32);
            }
            for &(port, indicator) in *endpoints {
                let here = port_codes
                    .get(row)
                    .and_then(|&code| ports.get(code))
                    .and_then(key::whole_of);
                if here == Some(port) {
                    rows.entry(indicator).or_default().insert(row as u32);
                }
            }
        }
        Ok(())
    }
}

fn search_listed(
    piece: &[u8],
    nothing: bool,
    meant: impl Fn(&[u8]) -> Vec<u32>,
    rows: &mut HashMap<u32, HashSet<u32>>,
) -> Result<(), Damaged> {
    if nothing {
        return Ok(());
    }
    let values = Values::read(piece)?;
    let meant: Vec<Vec<u32>> = values.iter().map(meant).collect();
    if meant.iter().all(Vec::is_empty) {
        return Ok(());
    }
    for (row, code) in values.pairs()? {
        for &indicator in (code as usize)
            .checked_sub(1)
            .and_then(|at| meant.get(at))
            .into_iter()
            .flatten()
        {
            rows.entry(indicator).or_default().insert(row);
        }
    }
    Ok(())
}

/// The first so many bits of an address, the others 0.
fn masked(key: &[u8], bits: u8) -> Vec<u8> {
    let bits = usize::from(bits);
    let octets = key.iter().skip(1).enumerate();
    let kept = octets.map(|(place, octet)| match bits.saturating_sub(8 * place) {
        0 => 0,
        1..=7 => octet & (0xffu16 << (8 - (bits - 8 * place))) as u8,
        _ => *octet,
    });
    kept.collect()
}
