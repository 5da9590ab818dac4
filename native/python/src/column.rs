//! Blocks of stored events, made and asked by the store.

use std::sync::Arc;

use pyo3::create_exception;
use pyo3::exceptions::{PyException, PyMemoryError, PyValueError};
use pyo3::prelude::*;
use pyo3::pybacked::{PyBackedBytes, PyBackedStr};
use pyo3::types::PyBytes;
use tapwarden_core::column::filter::{Condition, Filter, Span, Test};
use tapwarden_core::column::hunt::{self, Hunt};
use tapwarden_core::column::key::{self, Print};
use tapwarden_core::column::part::{self, Part, PartClock};
use tapwarden_core::column::records::Records;
use tapwarden_core::column::summary::{Counted, Field, Summary};
use tapwarden_core::column::tally::{Tally, TALLIED};
use tapwarden_core::column::{source, Column, Damaged, Pieces};

create_exception!(
    _core,
    DamagedBlock,
    PyException,
    "A piece of a block that is not what was written."
);

/// Pieces as the store has them: number of the column, octets.
type Given = Vec<(u8, PyBackedBytes)>;
type Kept<'py> = (u64, u64, usize, Vec<(u8, Bound<'py, PyBytes>)>);
type Both<'py> = (Bound<'py, PyBytes>, Bound<'py, PyBytes>);

fn damaged(_: Damaged) -> PyErr {
    DamagedBlock::new_err("damaged block")
}

fn no_memory(error: std::io::Error) -> PyErr {
    PyMemoryError::new_err(error.to_string())
}

fn with_pieces<T>(given: &Given, ask: impl FnOnce(Pieces<'_>) -> T) -> T {
    let pieces: Vec<(Column, &[u8])> = given
        .iter()
        .filter_map(|(number, octets)| Some((Column::numbered(*number)?, &octets[..])))
        .collect();
    ask(Pieces(&pieces))
}

fn numbers_of(columns: Vec<Column>) -> Vec<u8> {
    columns.into_iter().map(|column| column as u8).collect()
}

fn keyed(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut key = Vec::new();
    write(&mut key);
    key
}

#[pyclass(module = "tapwarden._core")]
pub struct EventRecords {
    records: Arc<Records>,
}

#[pymethods]
impl EventRecords {
    #[new]
    fn new(py: Python<'_>, items: Vec<(PyBackedBytes, PyBackedBytes)>) -> EventRecords {
        let records = py.allow_threads(|| {
            let mut records = Records::default();
            for (raw, origin) in &items {
                records.push(raw, origin);
            }
            records
        });
        EventRecords {
            records: Arc::new(records),
        }
    }

    fn doubtful(&self) -> Vec<usize> {
        self.records.doubtful().collect()
    }

    #[pyo3(signature = (at, plain, micros))]
    fn settle(&mut self, at: usize, plain: Option<&[u8]>, micros: i64) -> PyResult<()> {
        let records = Arc::get_mut(&mut self.records)
            .ok_or_else(|| PyValueError::new_err("records are settled before they are parted"))?;
        records.settle(at, plain.map(|plain| (plain, micros)));
        Ok(())
    }

    fn places(&self) -> Vec<(i64, String, usize)> {
        let places = self.records.places();
        places
            .into_iter()
            .map(|((day, kind), count)| (day, String::from_utf8_lossy(kind).into_owned(), count))
            .collect()
    }

    #[pyo3(signature = (chosen, since_us, unit_us, numbers=None))]
    fn part(
        &self,
        py: Python<'_>,
        chosen: Vec<(i64, PyBackedStr)>,
        since_us: i64,
        unit_us: i64,
        numbers: Option<Vec<u64>>,
    ) -> PyResult<EventPart> {
        if unit_us < 1 {
            return Err(PyValueError::new_err("a unit is a microsecond or more"));
        }
        let records = Arc::clone(&self.records);
        let part = py.allow_threads(|| {
            let is_chosen = |day: i64, kind: &[u8]| {
                chosen
                    .iter()
                    .any(|(one, of)| *one == day && of.as_bytes() == kind)
            };
            Part::new(
                records,
                is_chosen,
                PartClock { since_us, unit_us },
                numbers.as_deref(),
            )
        });
        Ok(EventPart { part })
    }
}

#[pyclass(module = "tapwarden._core")]
pub struct EventPart {
    part: Part,
}

#[pymethods]
impl EventPart {
    fn __len__(&self) -> usize {
        self.part.len()
    }

    fn span(&self) -> Option<(u64, u64)> {
        self.part.span()
    }

    fn record<'py>(&self, py: Python<'py>, at: usize) -> Option<Both<'py>> {
        let (raw, origin) = self.part.record(at)?;
        Some((PyBytes::new(py, raw), PyBytes::new(py, origin)))
    }

    fn meet(&self, py: Python<'_>, numbers: PyBackedBytes) -> PyResult<Vec<(usize, usize)>> {
        py.allow_threads(|| self.part.meet(&numbers)).map_err(damaged)
    }

    fn settle(&mut self, known: Vec<usize>, met: Vec<usize>) {
        self.part
            .settle(&known.into_iter().collect(), &met.into_iter().collect());
    }

    fn tell_apart(&mut self) -> bool {
        self.part.tell_apart()
    }

    fn stretches(&self, py: Python<'_>, units: u64) -> Vec<(String, u64, u64)> {
        let counts = py.allow_threads(|| self.part.stretches(units.max(1)));
        counts
            .into_iter()
            .map(|((kind, at), count)| (String::from_utf8_lossy(kind).into_owned(), at, count))
            .collect()
    }

    fn packed<'py>(&self, py: Python<'py>) -> PyResult<Vec<Kept<'py>>> {
        let blocks = py.allow_threads(|| self.part.packed()).map_err(no_memory)?;
        Ok(blocks
            .into_iter()
            .map(|block| {
                let pieces = block.pieces.into_iter();
                let pieces = pieces.map(|(column, octets)| (column as u8, PyBytes::new(py, &octets)));
                (block.first, block.last, block.rows, pieces.collect())
            })
            .collect())
    }
}

#[pyclass(frozen, module = "tapwarden._core")]
pub struct EventFilter {
    filter: Filter,
}

#[pymethods]
impl EventFilter {
    #[new]
    fn new(conditions: Vec<(PyBackedStr, Vec<PyBackedStr>)>) -> PyResult<EventFilter> {
        let mut filter = Filter::default();
        for (name, values) in &conditions {
            let condition = condition(name, values)
                .ok_or_else(|| PyValueError::new_err(format!("{name} makes no sense with these values")))?;
            filter.add(condition);
        }
        Ok(EventFilter { filter })
    }

    #[getter]
    fn columns(&self) -> Vec<u8> {
        numbers_of(self.filter.columns())
    }

    #[getter]
    fn blooms(&self) -> Vec<u8> {
        numbers_of(self.filter.blooms())
    }

    fn possible(&self, pieces: Given) -> PyResult<bool> {
        with_pieces(&pieces, |pieces| self.filter.possible(pieces)).map_err(damaged)
    }

    #[pyo3(signature = (pieces, rows, span, limit, newest))]
    fn page(
        &self,
        py: Python<'_>,
        pieces: Given,
        rows: usize,
        span: Span,
        limit: usize,
        newest: bool,
    ) -> PyResult<Vec<(u64, u32)>> {
        py.allow_threads(|| {
            with_pieces(&pieces, |pieces| {
                let matching = self.filter.rows(pieces, rows, span)?;
                let numbers = part::numbers(pieces.get(Column::Number)?)?;
                let found = (0u32..).zip(matching).zip(numbers).filter(|((_, keep), _)| *keep);
                let found = found.map(|((row, _), number)| (number, row));
                Ok(if newest {
                    let all: Vec<(u64, u32)> = found.collect();
                    all.into_iter().rev().take(limit).collect()
                } else {
                    found.take(limit).collect()
                })
            })
        })
        .map_err(damaged)
    }
}

fn condition(name: &str, values: &[PyBackedStr]) -> Option<Condition> {
    const SIDES: [Column; 2] = [Column::Source, Column::Destination];
    const PORTS: [Column; 2] = [Column::SourcePort, Column::DestinationPort];
    let first = values.first().map_or("", |text| text);
    let lower = || key::lower(key::word(first)).into_owned().into_bytes();
    let print = |of, octets: &[u8]| Some(Condition::Print(key::print(of, octets)));
    let words = || {
        Test::OneOf(
            values
                .iter()
                .map(|text| key::word(text).as_bytes().to_vec())
                .collect(),
        )
    };
    let of = |columns: &[Column], test| Some(Condition::Value(columns.to_vec(), test));
    match name {
        "kinds" => of(&[Column::Kind], words()),
        "sensor" => of(&[Column::Sensor], words()),
        "address" => of(&SIDES, address_test(first)?),
        "src_ip" => of(&SIDES[..1], address_test(first)?),
        "dest_ip" => of(&SIDES[1..], address_test(first)?),
        "port" => of(
            &PORTS,
            Test::OneOf(vec![key::whole(first.parse().ok()?).to_vec()]),
        ),
        "sid" => of(&[Column::Rule], Test::Sid(first.parse().ok()?)),
        "signature" => of(&[Column::Rule], Test::Signature(lower())),
        "domain" => match keyed(|out| key::domain(first, out)) {
            key if key.is_empty() => of(&[Column::Domain], Test::OneOf(Vec::new())),
            key => of(&[Column::Domain], Test::Begins(key)),
        },
        "url" => of(&[Column::Url], Test::Contains(keyed(|out| key::url(first, out)))),
        "file_hash" => print(Print::File, &lower()),
        "ja" => print(Print::Ja, &lower()),
        "community_id" => print(Print::Community, first.as_bytes()),
        "flow_id" => print(Print::Flow, &key::whole(first.parse().ok()?)),
        "text" => Some(Condition::Text(first.as_bytes().to_ascii_lowercase())),
        _ => None,
    }
}

fn address_test(text: &str) -> Option<Test> {
    let Some((address, bits)) = text.split_once('/') else {
        return Some(Test::OneOf(vec![keyed(|out| key::address(text, out))]));
    };
    let (first, last) = key::network(address, bits.parse().ok()?)?;
    Some(Test::Within(first, last))
}

#[pyclass(module = "tapwarden._core")]
pub struct EventSummary {
    summary: Summary,
}

type GroupLine = (i64, String, String, String, u64, i64, i64);

#[pymethods]
impl EventSummary {
    #[new]
    #[pyo3(signature = (counted, *, interval_us=0, field="", ascending=false))]
    fn new(counted: &str, interval_us: i64, field: &str, ascending: bool) -> PyResult<EventSummary> {
        let counted = match counted {
            "rows" => Counted::Rows,
            "stretches" if interval_us > 0 => Counted::Stretches(interval_us),
            "values" => {
                Counted::Values(Field::named(field).ok_or_else(|| PyValueError::new_err("no such field"))?)
            }
            "groups" => Counted::Groups,
            _ => return Err(PyValueError::new_err("nothing to count")),
        };
        Ok(EventSummary {
            summary: Summary::new(counted, ascending),
        })
    }

    #[getter]
    fn columns(&self) -> Vec<u8> {
        numbers_of(self.summary.columns())
    }

    #[getter]
    fn tallied(&self) -> Option<u8> {
        self.summary.tallied().map(|column| column as u8)
    }

    #[pyo3(signature = (filter, pieces, rows, span, since_us, unit_us))]
    #[allow(
        clippy::too_many_arguments,
        reason = "what a block is, and what of it is asked"
    )]
    fn add(
        &mut self,
        py: Python<'_>,
        filter: &EventFilter,
        pieces: Given,
        rows: usize,
        span: Span,
        since_us: i64,
        unit_us: i64,
    ) -> PyResult<()> {
        let (summary, filter) = (&mut self.summary, &filter.filter);
        py.allow_threads(|| {
            with_pieces(&pieces, |pieces| {
                summary.add(filter, pieces, rows, span, PartClock { since_us, unit_us })
            })
        })
        .map_err(damaged)
    }

    fn stretch(&self, first: u64, last: u64, since_us: i64, unit_us: i64) -> Option<i64> {
        self.summary.stretch(first, last, PartClock { since_us, unit_us })
    }

    #[pyo3(signature = (filter, pieces, rows, span, stretch))]
    fn add_in(
        &mut self,
        py: Python<'_>,
        filter: &EventFilter,
        pieces: Given,
        rows: usize,
        span: Span,
        stretch: i64,
    ) -> PyResult<()> {
        let (summary, filter) = (&mut self.summary, &filter.filter);
        py.allow_threads(|| {
            with_pieces(&pieces, |pieces| {
                summary.add_in(filter, pieces, rows, span, stretch)
            })
        })
        .map_err(damaged)
    }

    fn add_tally(&mut self, py: Python<'_>, tally: PyBackedBytes, kinds: Vec<PyBackedStr>) -> PyResult<()> {
        let kinds: Vec<Vec<u8>> = kinds
            .iter()
            .map(|kind| key::word(kind).as_bytes().to_vec())
            .collect();
        let summary = &mut self.summary;
        py.allow_threads(|| summary.add_tally(&tally, &kinds))
            .map_err(damaged)
    }

    #[getter]
    fn rows(&self) -> u64 {
        self.summary.rows()
    }

    fn stretches(&self) -> Vec<(i64, u64)> {
        self.summary.stretches()
    }

    fn values(&self, limit: usize) -> Vec<(String, u64)> {
        self.summary.values(limit)
    }

    fn groups(&self, limit: usize) -> Vec<GroupLine> {
        self.summary
            .groups(limit)
            .into_iter()
            .map(|group| {
                let signature = key::rule_text(&group.rule).unwrap_or(&[]);
                (
                    key::rule_sid(&group.rule).unwrap_or(0),
                    String::from_utf8_lossy(signature).into_owned(),
                    key::address_text(&group.source),
                    key::address_text(&group.destination),
                    group.count,
                    group.first_us,
                    group.last_us,
                )
            })
            .collect()
    }
}

#[pyclass(frozen, module = "tapwarden._core")]
pub struct EventHunt {
    hunt: Hunt,
}

type FoundLine = (u32, u64, u64, u64, Vec<u32>);

#[pymethods]
impl EventHunt {
    #[new]
    fn new(indicators: Vec<(PyBackedStr, PyBackedStr)>) -> PyResult<EventHunt> {
        let mut hunt = Hunt::default();
        for (number, (of, value)) in (0u32..).zip(&indicators) {
            note(&mut hunt, of, value, number)
                .ok_or_else(|| PyValueError::new_err(format!("{value:?} is no {of}")))?;
        }
        Ok(EventHunt { hunt })
    }

    #[classattr]
    #[allow(non_snake_case, reason = "a constant of the class")]
    fn COLUMNS() -> Vec<u8> {
        numbers_of(hunt::COLUMNS.to_vec())
    }

    fn search(&self, py: Python<'_>, pieces: Given, span: Span) -> PyResult<Vec<FoundLine>> {
        let found = py
            .allow_threads(|| with_pieces(&pieces, |pieces| self.hunt.search(pieces, span)))
            .map_err(damaged)?;
        Ok(found
            .into_iter()
            .map(|one| (one.indicator, one.count, one.first, one.last, one.newest))
            .collect())
    }
}

fn note(hunt: &mut Hunt, of: &str, value: &str, number: u32) -> Option<()> {
    let lower = key::lower(key::word(value));
    match of {
        "ip" => hunt.address(keyed(|out| key::address(value, out)), number),
        "network" => {
            let (address, bits) = value.split_once('/')?;
            let bits: u8 = bits.parse().ok()?;
            let (first, _) = key::network(address, bits)?;
            hunt.network(&first, bits, number);
        }
        "ip_port" => {
            let (address, port) = value.rsplit_once(' ')?;
            hunt.endpoint(
                keyed(|out| key::address(address, out)),
                port.parse().ok()?,
                number,
            );
        }
        "domain" => hunt.domain(keyed(|out| key::domain(value, out)), number),
        "url" => hunt.url(keyed(|out| key::url(value, out)), number),
        "file_hash" => hunt.print(key::print(Print::File, lower.as_bytes()), number),
        "ja3" | "ja4" => hunt.print(key::print(Print::Ja, lower.as_bytes()), number),
        "cert_sha1" => hunt.print(key::print(Print::Certificate, &key::fingerprint(value)), number),
        _ => return None,
    }
    Some(())
}

/// The tallies of blocks, by column.
#[pyfunction]
pub fn tally_blocks<'py>(py: Python<'py>, blocks: Vec<Given>) -> PyResult<Vec<(u8, Bound<'py, PyBytes>)>> {
    let packed: Result<Vec<(Column, Vec<u8>)>, PyErr> = py.allow_threads(|| {
        let packed = TALLIED.into_iter().map(|column| {
            let mut tally = Tally::new(column);
            for block in &blocks {
                with_pieces(block, |pieces| tally.add(pieces)).map_err(damaged)?;
            }
            Ok((column, tally.packed().map_err(no_memory)?))
        });
        packed.collect()
    });
    let packed = packed?.into_iter();
    Ok(packed
        .map(|(column, octets)| (column as u8, PyBytes::new(py, &octets)))
        .collect())
}

/// Several tallies as one, by column.
#[pyfunction]
pub fn join_tallies<'py>(py: Python<'py>, tallies: Vec<Given>) -> PyResult<Vec<(u8, Bound<'py, PyBytes>)>> {
    let joined: Result<Vec<(Column, Vec<u8>)>, PyErr> = py.allow_threads(|| {
        let joined = TALLIED.into_iter().map(|column| {
            let mut tally = Tally::new(column);
            for one in &tallies {
                with_pieces(one, |pieces| tally.add_packed(pieces.get(column)?)).map_err(damaged)?;
            }
            Ok((column, tally.packed().map_err(no_memory)?))
        });
        joined.collect()
    });
    let joined = joined?.into_iter();
    Ok(joined
        .map(|(column, octets)| (column as u8, PyBytes::new(py, &octets)))
        .collect())
}

/// Records of a block and their origins.
#[pyfunction]
pub fn block_records<'py>(py: Python<'py>, piece: PyBackedBytes, rows: Vec<u32>) -> PyResult<Vec<Both<'py>>> {
    let found = py
        .allow_threads(|| source::read(&piece, &rows))
        .map_err(damaged)?;
    Ok(found
        .into_iter()
        .map(|(raw, origin)| (PyBytes::new(py, &raw), PyBytes::new(py, &origin)))
        .collect())
}

/// Numbers of a block's rows.
#[pyfunction]
pub fn block_numbers(piece: &[u8]) -> PyResult<Vec<u64>> {
    part::numbers(piece).map_err(damaged)
}

/// Add all of it to the module.
pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add("TALLIED_COLUMNS", numbers_of(TALLIED.to_vec()))?;
    m.add("DamagedBlock", m.py().get_type::<DamagedBlock>())?;
    m.add_class::<EventRecords>()?;
    m.add_class::<EventPart>()?;
    m.add_class::<EventFilter>()?;
    m.add_class::<EventSummary>()?;
    m.add_class::<EventHunt>()?;
    m.add_function(wrap_pyfunction!(tally_blocks, m)?)?;
    m.add_function(wrap_pyfunction!(join_tallies, m)?)?;
    m.add_function(wrap_pyfunction!(block_records, m)?)?;
    m.add_function(wrap_pyfunction!(block_numbers, m)?)
}
