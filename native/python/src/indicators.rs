//! Indicator sets as Python objects.

use std::sync::Arc;

use pyo3::prelude::*;
use tapwarden_core::intel;

#[pyclass(frozen, module = "tapwarden._core")]
pub struct IndicatorSet {
    pub set: Arc<intel::IndicatorSet>,
}

#[pymethods]
impl IndicatorSet {
    #[new]
    fn new(py: Python<'_>, items: Vec<(String, String, String, String)>) -> IndicatorSet {
        py.allow_threads(|| {
            let items = items
                .iter()
                .map(|(kind, value, source, info)| (&**kind, &**value, &**source, &**info));
            IndicatorSet {
                set: Arc::new(intel::IndicatorSet::new(items)),
            }
        })
    }

    fn __len__(&self) -> usize {
        self.set.len()
    }
}
