//! Capture files: pcap and pcapng, plain, gzip or zstd, told apart by their first octets.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;

use tapwarden_core::packet::Frame;
use tapwarden_core::time::Timestamp;

use crate::pcap::Pcap;
use crate::pcapng::Pcapng;
use crate::window::Window;

/// Longest frame of any capture: libpcap's largest snap length for a link of packets is 256 KiB.
pub(crate) const MAX_FRAME_OCTETS: usize = 262_144;

/// Of a frame about to be lent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Meta {
    pub(crate) ts_ns: i64,
    pub(crate) captured: usize,
    /// Octets after the frame that belong to its record.
    pub(crate) padding: usize,
    pub(crate) wire_len: u32,
    pub(crate) linktype: u32,
}

/// Why there is no next frame.
#[derive(Debug)]
pub(crate) enum Stop {
    End,
    Truncated,
    Corrupt(&'static str),
    Read(io::Error),
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Stop {
        match error.kind() {
            // What decompressors say when their input was cut.
            io::ErrorKind::UnexpectedEof => Stop::Truncated,
            _ => Stop::Read(error),
        }
    }
}

enum Format {
    Pcap(Pcap),
    Pcapng(Pcapng),
}

/// Why a file cannot be used.
#[derive(Debug)]
pub enum OpenError {
    /// The file cannot be opened or read.
    Io(io::Error),
    /// It is not a capture.
    NotACapture(String),
}

/// A capture file being read, first frame to last.
pub struct CaptureFile {
    window: Window,
    format: Format,
    /// Octets to step over before the next record.
    behind: usize,
    size: u64,
    read: Arc<AtomicU64>,
    problem: String,
    frames: u64,
}

struct Counted {
    file: Box<dyn Read + Send>,
    read: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(buffer)?;
        self.read.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

impl CaptureFile {
    /// Open and read the file's header.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(path: &Path) -> Result<CaptureFile, OpenError> {
        let file = File::open(path).map_err(OpenError::Io)?;
        let meta = file.metadata().map_err(OpenError::Io)?;
        if meta.is_dir() {
            return Err(OpenError::NotACapture("it is a directory".into()));
        }
        CaptureFile::read_from(Box::new(file), meta.len())
    }

    /// Read a capture of `size` octets from anything that gives octets.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn read_from(file: Box<dyn Read + Send>, size: u64) -> Result<CaptureFile, OpenError> {
        let read = Arc::new(AtomicU64::new(0));
        let mut plain = Window::new(Box::new(Counted {
            file,
            read: Arc::clone(&read),
        }));
        plain.fill(4).map_err(OpenError::Io)?;
        let mut window = match plain.octets() {
            [] => return Err(OpenError::NotACapture("it is empty".into())),
            [0x1f, 0x8b, ..] => Window::new(Box::new(flate2::read::MultiGzDecoder::new(plain))),
            [0x28, 0xb5, 0x2f, 0xfd, ..] => {
                let decoder = zstd::stream::read::Decoder::new(plain).map_err(OpenError::Io)?;
                Window::new(Box::new(decoder))
            }
            _ => plain,
        };
        window
            .fill(24)
            .map_err(|error| OpenError::NotACapture(format!("it cannot be unpacked: {error}")))?;
        let format = if let Some(pcap) = Pcap::open(&mut window) {
            Format::Pcap(pcap)
        } else if let Some(pcapng) = Pcapng::open(&window) {
            Format::Pcapng(pcapng)
        } else {
            return Err(OpenError::NotACapture(
                "neither pcap nor pcapng, plain or packed by gzip or zstd".into(),
            ));
        };
        Ok(CaptureFile {
            window,
            format,
            behind: 0,
            size,
            read,
            problem: String::new(),
            frames: 0,
        })
    }

    /// The next frame; `None` at the end, or where the file cannot be read further (see [`CaptureFile::problem`]).
    pub fn next_frame(&mut self) -> Option<Frame<'_>> {
        if !self.problem.is_empty() {
            return None;
        }
        let stepped = self.window.skip(self.behind as u64);
        self.behind = 0;
        let next = match stepped {
            Err(error) => Err(Stop::from(error)),
            // The last frame's padding may be cut: nothing is lost with it.
            Ok(false) => Err(Stop::End),
            Ok(true) => match &mut self.format {
                Format::Pcap(pcap) => pcap.next(&mut self.window),
                Format::Pcapng(pcapng) => pcapng.next(&mut self.window),
            },
        };
        match next {
            Ok(meta) => {
                self.behind = meta.captured + meta.padding;
                self.frames += 1;
                Some(Frame {
                    ts: Timestamp(meta.ts_ns),
                    data: &self.window.octets()[..meta.captured],
                    wire_len: meta.wire_len,
                    linktype: meta.linktype,
                })
            }
            Err(stop) => {
                let at = format!("at octet {} after {} packets", self.window.position, self.frames);
                self.problem = match stop {
                    Stop::End => return None,
                    Stop::Truncated => format!("the capture is cut short {at}"),
                    Stop::Corrupt(what) => format!("the capture is corrupt {at}: {what}"),
                    Stop::Read(error) => format!("the capture cannot be read {at}: {error}"),
                };
                None
            }
        }
    }

    /// Link type of the frames, as far as it is known before the first (pcap: always).
    pub fn linktype(&self) -> Option<u32> {
        match &self.format {
            Format::Pcap(pcap) => Some(pcap.linktype()),
            Format::Pcapng(pcapng) => pcapng.linktype(),
        }
    }

    /// Size of the file, octets.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Octets of the file read so far.
    pub fn position(&self) -> u64 {
        self.read.load(Ordering::Relaxed).min(self.size)
    }

    /// Why reading stopped before the end; "" when it did not.
    pub fn problem(&self) -> &str {
        &self.problem
    }
}

impl Read for Window {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let have = self.fill(1)?.min(buffer.len());
        buffer[..have].copy_from_slice(&self.octets()[..have]);
        self.step(have);
        Ok(have)
    }
}
