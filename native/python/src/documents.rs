//! Events as Elasticsearch documents, made a batch at a time and handed out as the body of a bulk request.

use std::borrow::Cow;
use std::collections::HashMap;
use std::io::Write;
use std::ops::Range;

use flate2::write::GzEncoder;
use flate2::Compression;
use pyo3::exceptions::{PyIndexError, PyValueError};
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::{PyBytes, PyString};
use tapwarden_core::event::ecs::{append, append_reading, Id, Made, Odd, Reading, Source};

/// Five times as fast as the highest level, for a tenth more octets.
const GZIP_LEVEL: u32 = 1;

#[pyclass(frozen, module = "tapwarden._core")]
pub struct Documents {
    text: Vec<u8>,
    items: Vec<Option<Item>>,
    series: Series,
}

/// A document's place in the text, and what it is.
struct Item {
    id: Id,
    moment_us: i64,
    series: usize,
    place: Range<usize>,
}

/// Documents of one series: its name, the earliest and the latest time in microseconds since 1970, their numbers.
type Group = (String, i64, i64, Vec<usize>);

#[pymethods]
impl Documents {
    #[new]
    #[pyo3(signature = (records, origins, series, other, odd, *, whole = true))]
    fn new(
        py: Python<'_>,
        records: Vec<PyBackedBytes>,
        origins: Vec<Bound<'_, PyString>>,
        series: HashMap<String, String>,
        other: String,
        odd: &Bound<'_, PyAny>,
        whole: bool,
    ) -> PyResult<Documents> {
        if origins.len() != records.len() {
            return Err(PyValueError::new_err("one origin for each record"));
        }
        let origins = origins.iter().map(octets_of).collect::<PyResult<Vec<_>>>()?;
        let source = |number: usize| Source {
            raw: &records[number],
            origin: &origins[number],
            whole,
        };
        let series = Series::new(series, other);
        let mut text = Vec::new();
        let mut items: Vec<Option<Item>> = py.allow_threads(|| {
            // a document takes about twice the room of its record
            text.reserve(records.iter().map(|raw| raw.len() * 2 + 512).sum());
            let plain = |number| item(&series, &mut text, |text| append(source(number), text));
            (0..records.len()).map(plain).collect()
        });
        for (number, known) in items.iter_mut().enumerate().filter(|(_, known)| known.is_none()) {
            let reading: Option<(i64, String, Vec<u8>)> = odd.call1((number,))?.extract()?;
            let Some((moment_us, id, read)) = reading else {
                continue;
            };
            let id: Id = id
                .as_bytes()
                .try_into()
                .map_err(|_| PyValueError::new_err("an id has 32 digits"))?;
            let reading = Reading {
                id,
                moment_us,
                text: read,
            };
            *known = item(&series, &mut text, |text| {
                append_reading(source(number), &reading, text)
            });
        }
        Ok(Documents { text, items, series })
    }

    fn __len__(&self) -> usize {
        self.items.len()
    }

    #[getter]
    fn ids(&self) -> Vec<Cow<'_, str>> {
        let ids = self.items.iter().map(Option::as_ref);
        ids.map(|item| item.map_or(Cow::Borrowed(""), |item| String::from_utf8_lossy(&item.id)))
            .collect()
    }

    #[getter]
    fn sizes(&self) -> Vec<usize> {
        let items = self.items.iter().map(Option::as_ref);
        items
            .map(|item| item.map_or(0, |item| item.place.len()))
            .collect()
    }

    fn groups(&self, numbers: Vec<usize>) -> PyResult<Vec<Group>> {
        let mut groups: Vec<Group> = Vec::new();
        let mut places: Vec<Option<usize>> = vec![None; self.series.names.len()];
        for number in numbers {
            let item = self.item(number)?;
            let at = item.moment_us;
            let place = *places[item.series].get_or_insert_with(|| {
                groups.push((self.series.names[item.series].clone(), at, at, Vec::new()));
                groups.len() - 1
            });
            let (_, earliest, latest, of_group) = &mut groups[place];
            *earliest = at.min(*earliest);
            *latest = at.max(*latest);
            of_group.push(number);
        }
        Ok(groups)
    }

    fn document<'py>(&self, py: Python<'py>, number: usize) -> PyResult<Bound<'py, PyBytes>> {
        let item = self.item(number)?;
        Ok(PyBytes::new(py, &self.text[item.place.clone()]))
    }

    #[pyo3(signature = (numbers, *, gzip = false))]
    fn body<'py>(&self, py: Python<'py>, numbers: Vec<usize>, gzip: bool) -> PyResult<Bound<'py, PyBytes>> {
        let items = numbers
            .into_iter()
            .map(|number| self.item(number))
            .collect::<PyResult<Vec<_>>>()?;
        let body = py.allow_threads(|| {
            let lines = self.lines(&items);
            if gzip {
                packed(&lines)
            } else {
                lines
            }
        });
        Ok(PyBytes::new(py, &body))
    }
}

impl Documents {
    fn item(&self, number: usize) -> PyResult<&Item> {
        let item = self.items.get(number).and_then(Option::as_ref);
        item.ok_or_else(|| PyIndexError::new_err(format!("there is no document {number}")))
    }

    /// An action and a document in turns, a line each.
    fn lines(&self, items: &[&Item]) -> Vec<u8> {
        let room = |item: &&Item| item.place.len() + self.series.names[item.series].len() + 80;
        let mut lines = Vec::with_capacity(items.iter().map(room).sum());
        for item in items {
            lines.extend_from_slice(b"{\"create\":{\"_index\":\"");
            lines.extend_from_slice(self.series.names[item.series].as_bytes());
            lines.extend_from_slice(b"\",\"_id\":\"");
            lines.extend_from_slice(&item.id);
            lines.extend_from_slice(b"\"}}\n");
            lines.extend_from_slice(&self.text[item.place.clone()]);
            lines.push(b'\n');
        }
        lines
    }
}

/// The document that `make` appends to the text; None for what is odd.
fn item(
    series: &Series,
    text: &mut Vec<u8>,
    make: impl FnOnce(&mut Vec<u8>) -> Result<Made, Odd>,
) -> Option<Item> {
    let begin = text.len();
    let Made { id, moment_us, kind } = make(text).ok()?;
    Some(Item {
        id,
        moment_us,
        series: series.of(&kind),
        place: begin..text.len(),
    })
}

/// Names of series by event type.
struct Series {
    names: Vec<String>,
    by_kind: HashMap<String, usize>,
}

impl Series {
    fn new(series: HashMap<String, String>, other: String) -> Series {
        let mut names = vec![other];
        let mut by_kind = HashMap::with_capacity(series.len());
        for (kind, name) in series {
            let place = names.iter().position(|known| *known == name).unwrap_or_else(|| {
                names.push(name);
                names.len() - 1
            });
            by_kind.insert(kind, place);
        }
        Series { names, by_kind }
    }

    fn of(&self, kind: &str) -> usize {
        self.by_kind.get(kind).copied().unwrap_or(0)
    }
}

/// A path in an origin may have any octets: Python keeps those that are no UTF-8 as lone surrogates.
fn octets_of(text: &Bound<'_, PyString>) -> PyResult<Vec<u8>> {
    match text.to_str() {
        Ok(text) => Ok(text.as_bytes().to_vec()),
        Err(_) => text.call_method1("encode", ("utf-8", "surrogatepass"))?.extract(),
    }
}

fn packed(lines: &[u8]) -> Vec<u8> {
    let mut packer = GzEncoder::new(Vec::with_capacity(lines.len() / 4), Compression::new(GZIP_LEVEL));
    // Writing to a Vec cannot fail.
    let _ = packer.write_all(lines);
    packer.finish().unwrap_or_default()
}
