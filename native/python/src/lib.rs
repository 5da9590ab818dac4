//! `tapwarden._core`: the only place that knows Python.
#![allow(missing_docs)]

use pyo3::prelude::*;

#[pymodule]
fn _core(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add("__version__", env!("CARGO_PKG_VERSION"))?;
    m.add("HYPERSCAN", cfg!(feature = "hyperscan"))
}
