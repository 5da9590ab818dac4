//! Capture files and rings as Python objects. An engine borrows them for the length of a call.

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use pyo3::exceptions::{PyOSError, PyValueError};
use pyo3::prelude::*;
use tapwarden_capture::afpacket::{Ring, RingOptions};
use tapwarden_capture::file::{self, OpenError};
use tapwarden_core::decode::link_type_known;

/// A lock that a panic in another thread does not close for ever.
pub fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[pyclass(frozen, module = "tapwarden._core")]
pub struct CaptureFile {
    pub file: Mutex<file::CaptureFile>,
}

#[pymethods]
impl CaptureFile {
    #[new]
    fn new(path: &str) -> PyResult<CaptureFile> {
        let file = file::CaptureFile::open(Path::new(path)).map_err(|error| match error {
            OpenError::Io(error) => {
                PyErr::from(std::io::Error::new(error.kind(), format!("{path}: {error}")))
            }
            OpenError::NotACapture(why) => PyValueError::new_err(format!("{path} is no capture: {why}")),
        })?;
        if let Some(linktype) = file.linktype().filter(|&linktype| !link_type_known(linktype)) {
            return Err(PyValueError::new_err(format!(
                "{path} holds frames of link type {linktype}, which cannot be decoded"
            )));
        }
        Ok(CaptureFile {
            file: Mutex::new(file),
        })
    }

    #[getter]
    fn size_octets(&self) -> u64 {
        locked(&self.file).size()
    }

    #[getter]
    fn position_octets(&self) -> u64 {
        locked(&self.file).position()
    }

    #[getter]
    fn problem(&self) -> String {
        locked(&self.file).problem().to_string()
    }
}

#[pyclass(frozen, module = "tapwarden._core")]
pub struct AfPacket {
    pub ring: Mutex<Option<Ring>>,
}

#[pymethods]
impl AfPacket {
    #[new]
    #[pyo3(signature = (interface, *, block_size=1 << 20, blocks=64, fanout_group=0, promiscuous=true, filter=vec![]))]
    fn new(
        interface: &str,
        block_size: u32,
        blocks: u32,
        fanout_group: u16,
        promiscuous: bool,
        filter: Vec<(u16, u8, u8, u32)>,
    ) -> PyResult<AfPacket> {
        let options = RingOptions {
            block_size,
            blocks,
            fanout_group,
            promiscuous,
            filter,
        };
        // From the raw number, so that errno and the exception's class are right.
        let ring = Ring::open(interface, &options).map_err(|error| match error.raw_os_error() {
            Some(number) => PyOSError::new_err((number, error.to_string(), interface.to_string())),
            None => PyErr::from(error),
        })?;
        Ok(AfPacket {
            ring: Mutex::new(Some(ring)),
        })
    }

    #[getter]
    fn kernel_packets(&self) -> u64 {
        locked(&self.ring).as_mut().map_or(0, |ring| ring.statistics().0)
    }

    #[getter]
    fn kernel_drops(&self) -> u64 {
        locked(&self.ring).as_mut().map_or(0, |ring| ring.statistics().1)
    }

    fn close(&self) {
        locked(&self.ring).take();
    }
}
