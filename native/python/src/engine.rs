//! An engine as a Python object.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use pyo3::exceptions::{PyOSError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use tapwarden_core::config::Config;
use tapwarden_core::engine;
use tapwarden_core::packet::Frame;
use tapwarden_core::time::Timestamp;

use crate::batch::Batch;
use crate::indicators::IndicatorSet;
use crate::rules::RuleSet;
use crate::sources::{locked, AfPacket, CaptureFile};

/// Frames taken from a ring in one call: bounds how long a batch of a busy interface grows.
const MAX_POLL_FRAMES: usize = 10_000;

/// The configuration from its JSON text.
pub fn config_of(text: &str) -> PyResult<Config> {
    serde_json::from_str(text)
        .map_err(|error| PyValueError::new_err(format!("engine configuration: {error}")))
}

#[pyclass(frozen, weakref, module = "tapwarden._core")]
pub struct Engine {
    engine: Mutex<engine::Engine>,
}

#[pymethods]
impl Engine {
    #[new]
    #[pyo3(signature = (config, rules=None, indicators=None))]
    fn new(
        py: Python<'_>,
        config: &str,
        rules: Option<&Bound<'_, RuleSet>>,
        indicators: Option<&Bound<'_, IndicatorSet>>,
    ) -> PyResult<Engine> {
        let indicators = indicators.map(|set| Arc::clone(&set.get().set));
        let config = config_of(config)?;
        let rules = rules.map(|set| Arc::clone(&set.get().set));
        let engine = py.allow_threads(|| {
            let mut engine = engine::Engine::new(config);
            if let Some(rules) = rules {
                engine.set_rules(rules);
            }
            if let Some(indicators) = indicators {
                engine.set_indicators(indicators);
            }
            engine
        });
        Ok(Engine {
            engine: Mutex::new(engine),
        })
    }

    #[pyo3(signature = (source, max_packets=10_000))]
    fn read(&self, py: Python<'_>, source: &Bound<'_, CaptureFile>, max_packets: usize) -> Option<Batch> {
        let source = source.get();
        py.allow_threads(|| {
            let mut file = locked(&source.file);
            let mut engine = locked(&self.engine);
            let mut count = 0;
            while count < max_packets {
                let Some(frame) = file.next_frame() else { break };
                engine.frame(&frame);
                count += 1;
            }
            (count > 0).then(|| Batch::new(engine.take_records()))
        })
    }

    fn poll(&self, py: Python<'_>, source: &Bound<'_, AfPacket>, timeout_ms: i32) -> PyResult<Batch> {
        let source = source.get();
        py.allow_threads(|| {
            let mut ring = locked(&source.ring);
            let ring = ring
                .as_mut()
                .ok_or_else(|| PyOSError::new_err((libc_ebadf(), "the ring is closed")))?;
            let mut engine = locked(&self.engine);
            if ring.wait(timeout_ms).map_err(PyErr::from)? {
                for _ in 0..MAX_POLL_FRAMES {
                    let Some(frame) = ring.next_frame() else { break };
                    engine.frame(&frame);
                }
            }
            Ok(Batch::new(engine.take_records()))
        })
    }

    #[pyo3(signature = (frames, linktype=1))]
    fn feed(&self, py: Python<'_>, frames: Vec<(i64, Bound<'_, PyBytes>)>, linktype: u32) -> Batch {
        // The octets stay where Python has them: `frames` holds a reference to each for the whole call.
        let frames: Vec<(Timestamp, &[u8])> = frames
            .iter()
            .map(|(ns, octets)| (Timestamp(*ns), octets.as_bytes()))
            .collect();
        py.allow_threads(|| {
            let mut engine = locked(&self.engine);
            for (ts, data) in frames {
                engine.frame(&Frame {
                    ts,
                    data,
                    wire_len: data.len() as u32,
                    linktype,
                });
            }
            Batch::new(engine.take_records())
        })
    }

    fn tick(&self, py: Python<'_>, now_ns: i64) -> Batch {
        py.allow_threads(|| {
            let mut engine = locked(&self.engine);
            engine.tick(Timestamp(now_ns));
            Batch::new(engine.take_records())
        })
    }

    fn drain(&self, py: Python<'_>) -> Batch {
        py.allow_threads(|| {
            let mut engine = locked(&self.engine);
            engine.drain();
            Batch::new(engine.take_records())
        })
    }

    /// (flow, begun before, [(nanoseconds, length on the wire, link type, octets)]) of each.
    #[allow(clippy::type_complexity)]
    fn evidence<'py>(&self, py: Python<'py>) -> Vec<(u64, bool, Vec<(i64, u32, u32, Bound<'py, PyBytes>)>)> {
        let taken = py.allow_threads(|| locked(&self.engine).take_evidence());
        taken
            .into_iter()
            .map(|captured| {
                let frames = captured.frames.into_iter().map(|one| {
                    let octets = PyBytes::new(py, &one.data);
                    (one.ts.0, one.wire_len, one.linktype, octets)
                });
                (captured.flow, captured.begun_before, frames.collect())
            })
            .collect()
    }

    fn swap_rules(&self, py: Python<'_>, rules: &Bound<'_, RuleSet>) {
        let set = Arc::clone(&rules.get().set);
        py.allow_threads(|| locked(&self.engine).set_rules(set));
    }

    fn explain(&self, sids: Vec<u32>) {
        locked(&self.engine).explain(&sids);
    }

    #[pyo3(signature = (*, all=false))]
    fn explanations(&self, py: Python<'_>, all: bool) -> Batch {
        py.allow_threads(|| Batch::new(locked(&self.engine).explanations(all)))
    }

    fn counters(&self) -> BTreeMap<String, u64> {
        locked(&self.engine).counters().into_iter().collect()
    }
}

/// EBADF on every Linux.
const fn libc_ebadf() -> i32 {
    9
}
