//! `tapwarden._core`: the only place that knows Python. Its interface is `src/tapwarden/_core.pyi`.
//!
//! Whatever takes long releases the interpreter lock. A panic of the core would be a bug; PyO3 turns it into an exception
//! of this call, so one bad packet cannot end the process.
#![allow(
    missing_docs,
    reason = "the interface is documented in _core.pyi, where its users look"
)]

mod batch;
mod column;
mod documents;
mod engine;
mod indicators;
mod rules;
mod sources;

use pyo3::prelude::*;

#[pymodule]
fn _core(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add("__version__", env!("CARGO_PKG_VERSION"))?;
    m.add("HYPERSCAN", cfg!(feature = "hyperscan"))?;
    column::register(m)?;
    m.add_class::<batch::Batch>()?;
    m.add_class::<documents::Documents>()?;
    m.add_class::<engine::Engine>()?;
    m.add_class::<indicators::IndicatorSet>()?;
    m.add_class::<rules::RuleSet>()?;
    m.add_class::<sources::AfPacket>()?;
    m.add_class::<sources::CaptureFile>()
}
