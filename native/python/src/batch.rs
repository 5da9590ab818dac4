//! Finished records, handed over without being looked into.

use std::collections::BTreeMap;

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList};
use tapwarden_core::event::sink::Records;

#[pyclass(frozen, module = "tapwarden._core")]
pub struct Batch {
    records: Records,
}

impl Batch {
    pub fn new(records: Records) -> Batch {
        Batch { records }
    }

    fn lines_of(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        let mut start = 0;
        self.records.ends.iter().map(move |&end| {
            // The newline is not part of the line.
            let line = &self.records.text[start..end - 1];
            start = end;
            line
        })
    }
}

#[pymethods]
impl Batch {
    fn __len__(&self) -> usize {
        self.records.len()
    }

    #[getter]
    fn raw<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.records.text)
    }

    fn lines<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        PyList::new(py, self.lines_of().map(|line| PyBytes::new(py, line)))
    }

    fn kinds(&self) -> BTreeMap<String, u64> {
        const KEY: &[u8] = b"\"event_type\":\"";
        let mut kinds: BTreeMap<&[u8], u64> = BTreeMap::new();
        for line in self.lines_of() {
            // The header is written by us, before anything an attacker chose: the first hit is the type.
            let Some(at) = line.windows(KEY.len()).position(|window| window == KEY) else {
                continue;
            };
            let rest = &line[at + KEY.len()..];
            let end = rest.iter().position(|&octet| octet == b'"').unwrap_or(rest.len());
            *kinds.entry(&rest[..end]).or_default() += 1;
        }
        kinds
            .into_iter()
            .map(|(kind, count)| (String::from_utf8_lossy(kind).into_owned(), count))
            .collect()
    }
}
