//! Rule sets as Python objects.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use pyo3::prelude::*;
use tapwarden_core::config::Config;
use tapwarden_core::rule;
use tapwarden_core::rule::context::Files;
use tapwarden_core::rule::load::{load, Notice};

use crate::engine::config_of;

/// (file, line, column, sid, keyword, reason, hint)
type Row = (String, u32, u32, Option<u32>, String, String, String);

#[pyclass(frozen, module = "tapwarden._core")]
pub struct RuleSet {
    pub set: Arc<rule::RuleSet>,
    pub config: Arc<Config>,
}

/// Data files, relative to a directory.
struct Disk(PathBuf);

impl Files for Disk {
    fn read(&self, path: &str) -> Result<Vec<u8>, String> {
        std::fs::read(self.0.join(path)).map_err(|error| error.to_string())
    }
}

#[pymethods]
impl RuleSet {
    #[new]
    #[pyo3(signature = (config, files, base_dir="."))]
    fn new(py: Python<'_>, config: &str, files: Vec<String>, base_dir: &str) -> PyResult<RuleSet> {
        let config = config_of(config)?;
        py.allow_threads(|| {
            let mut sources = Vec::with_capacity(files.len());
            for file in files {
                let octets = std::fs::read(Path::new(&file)).map_err(|error| named(&file, &error))?;
                // What is not UTF-8 is replaced: the rule it stands in is then refused or harmless.
                sources.push((file, String::from_utf8_lossy(&octets).into_owned()));
            }
            let loaded = load(&config, &sources, Box::new(Disk(base_dir.into())), base_dir);
            Ok(RuleSet {
                set: Arc::new(rule::RuleSet::new(loaded)),
                config: Arc::new(config),
            })
        })
    }

    #[getter]
    fn loaded(&self) -> usize {
        self.set.loaded()
    }

    #[getter]
    fn sids(&self) -> Vec<u32> {
        let mut sids: Vec<u32> = self
            .set
            .signatures
            .iter()
            .map(|signature| signature.sid)
            .collect();
        sids.sort_unstable();
        sids.dedup();
        sids
    }

    #[getter]
    fn errors(&self) -> Vec<Row> {
        self.set.errors.iter().map(row).collect()
    }

    #[getter]
    fn warnings(&self) -> Vec<Row> {
        self.set.warnings.iter().map(row).collect()
    }
}

/// The error with its number and file name, as Python has them.
pub fn named(file: &str, error: &std::io::Error) -> PyErr {
    use pyo3::exceptions::PyOSError;
    match error.raw_os_error() {
        Some(number) => {
            let text = error.to_string();
            let text = text.split(" (os error").next().unwrap_or(&text).to_string();
            PyOSError::new_err((number, text, file.to_string()))
        }
        None => PyOSError::new_err(format!("{file}: {error}")),
    }
}

fn row(notice: &Notice) -> Row {
    (
        notice.file.clone(),
        notice.line,
        notice.column,
        notice.sid,
        notice.keyword.clone(),
        notice.reason.clone(),
        notice.hint.clone(),
    )
}
