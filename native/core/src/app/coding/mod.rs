//! Content encodings undone, layer by layer: gzip, deflate (with or without a zlib header), LZMA, Brotli.
//!
//! What claims to be one and is another is tried as the other; what cannot be decoded is passed on as it is.

mod brotli;
mod gzip;

use std::io::Write;

use brotli::Brotli;
use flate2::{Crc, Decompress, FlushDecompress, Status};
use gzip::{broken_header, read_header, Header};

/// Octets a layer gives on at a time.
const BLOCK_OCTETS: usize = 8192;
/// Other readings tried before a layer gives up.
const MAX_RESTARTS: u8 = 3;

/// A content encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// gzip or zlib, told apart by their headers.
    Gzip,
    /// Raw deflate.
    Deflate,
    /// LZMA ("alone").
    Lzma,
    /// Brotli.
    Brotli,
}

/// What went wrong, as an app-layer event.
pub type Trouble = Option<&'static str>;

/// It is not what it claims to be.
const BROKEN: &str = "GZIP_DECOMPRESSION_FAILED";
/// It needs more memory than it may take.
const TOO_LARGE: &str = "LZMA_MEMLIMIT_REACHED";

enum Coder {
    /// Waits for enough of a gzip or zlib header.
    Header(Vec<u8>),
    Raw(Decompress),
    Zlib(Decompress),
    /// After a gzip header; the checksum of what came out so far.
    Gzip(Decompress, Box<Crc>),
    /// The gzip trailer: octets of it so far.
    Trailer(Box<Crc>, Vec<u8>),
    Lzma(Box<lzma_rs::decompress::Stream<Vec<u8>>>),
    Brotli(Brotli),
    /// At its end: what follows is dropped.
    Ended,
    /// Gave up: what comes is passed on.
    Through,
}

/// One layer.
pub struct Layer {
    coder: Coder,
    encoding: Encoding,
    restarts: u8,
    /// Octets decoded and not given on yet.
    held: Vec<u8>,
}

impl std::fmt::Debug for Layer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Layer")
            .field("encoding", &self.encoding)
            .finish_non_exhaustive()
    }
}

impl Layer {
    /// A layer; `lzma_memory` 0 turns LZMA off.
    pub fn new(encoding: Encoding, lzma_memory: usize) -> Layer {
        let coder = match encoding {
            Encoding::Gzip => Coder::Header(Vec::new()),
            Encoding::Deflate => Coder::Raw(Decompress::new(false)),
            Encoding::Brotli => Coder::Brotli(Brotli::default()),
            Encoding::Lzma if lzma_memory == 0 => Coder::Through,
            Encoding::Lzma => {
                let options = lzma_rs::decompress::Options {
                    memlimit: Some(lzma_memory),
                    allow_incomplete: true,
                    ..Default::default()
                };
                Coder::Lzma(Box::new(lzma_rs::decompress::Stream::new_with_options(
                    &options,
                    Vec::new(),
                )))
            }
        };
        Layer {
            coder,
            encoding,
            restarts: 0,
            held: Vec::new(),
        }
    }

    /// Decode `data` onto `out`, in whole blocks; the rest is held until [`Layer::finish`] or the encoding's end.
    pub fn decode(&mut self, data: &[u8], out: &mut Vec<u8>) -> Trouble {
        let mut from = 0;
        let mut trouble = None;
        loop {
            match self.step(&data[from..]) {
                Ok(()) => {
                    self.give(matches!(self.coder, Coder::Ended), out);
                    return trouble;
                }
                Err(event) if !self.held.is_empty() => {
                    // Something came of it: that was its end, broken as it is.
                    self.coder = Coder::Ended;
                    self.give(true, out);
                    return Some(event);
                }
                Err(event) => {
                    trouble = Some(event);
                    if matches!(self.encoding, Encoding::Lzma | Encoding::Brotli)
                        || self.restarts >= MAX_RESTARTS
                    {
                        self.coder = Coder::Through;
                        out.extend_from_slice(data);
                        return trouble;
                    }
                    from = self.restart(data);
                }
            }
        }
    }

    /// Read `data` another way; returns where to start.
    fn restart(&mut self, data: &[u8]) -> usize {
        if self.restarts > 0 {
            self.encoding = match self.encoding {
                Encoding::Deflate => Encoding::Gzip,
                _ => Encoding::Deflate,
            };
        }
        self.restarts += 1;
        self.coder = match self.encoding {
            Encoding::Deflate => Coder::Raw(Decompress::new(false)),
            _ => Coder::Header(Vec::new()),
        };
        broken_header(data)
    }

    fn step(&mut self, data: &[u8]) -> Result<(), &'static str> {
        match &mut self.coder {
            Coder::Through => {
                self.held.extend_from_slice(data);
                Ok(())
            }
            Coder::Ended => Ok(()),
            Coder::Header(header) => {
                header.extend_from_slice(data);
                let (coder, start) = match read_header(header) {
                    Header::Short => return Ok(()),
                    Header::Gzip(len) => (Coder::Gzip(Decompress::new(false), Box::default()), len),
                    Header::Zlib => (Coder::Zlib(Decompress::new(true)), 0),
                    Header::Wrong => return Err(BROKEN),
                };
                let header = std::mem::take(header);
                self.coder = coder;
                self.step(&header[start..])
            }
            Coder::Raw(inflate) | Coder::Zlib(inflate) => {
                if run(inflate, data, &mut self.held).map_err(|()| BROKEN)?.is_some() {
                    self.coder = Coder::Ended;
                }
                Ok(())
            }
            Coder::Gzip(inflate, crc) => {
                let before = self.held.len();
                let ended = run(inflate, data, &mut self.held).map_err(|()| BROKEN)?;
                crc.update(&self.held[before..]);
                let Some(used) = ended else { return Ok(()) };
                let crc = std::mem::take(crc);
                self.coder = Coder::Trailer(crc, Vec::new());
                self.step(&data[used..])
            }
            Coder::Trailer(crc, trailer) => {
                trailer.extend_from_slice(data);
                let Some(&trailer) = trailer.first_chunk::<8>() else {
                    return Ok(());
                };
                let [a, b, c, d, e, f, g, h] = trailer;
                let right = u32::from_le_bytes([a, b, c, d]) == crc.sum()
                    && u32::from_le_bytes([e, f, g, h]) == crc.amount();
                self.coder = Coder::Ended;
                if right {
                    Ok(())
                } else {
                    Err(BROKEN)
                }
            }
            Coder::Brotli(brotli) => {
                if brotli.run(data, &mut self.held).map_err(|()| BROKEN)? {
                    self.coder = Coder::Ended;
                }
                Ok(())
            }
            Coder::Lzma(stream) => {
                let result = stream.write_all(data);
                if let Some(output) = stream.get_output_mut() {
                    self.held.append(output);
                }
                // The decoder tells its limit by its text alone.
                result.map_err(|error| match error.to_string() {
                    text if text.contains("memory limit") => TOO_LARGE,
                    _ => BROKEN,
                })
            }
        }
    }

    fn give(&mut self, all: bool, out: &mut Vec<u8>) {
        let through = matches!(self.coder, Coder::Through);
        let len = if all || through {
            self.held.len()
        } else {
            self.held.len() / BLOCK_OCTETS * BLOCK_OCTETS
        };
        out.extend(self.held.drain(..len));
    }

    /// The message ended: give on what is held.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        if let Coder::Lzma(_) = &self.coder {
            if let Coder::Lzma(stream) = std::mem::replace(&mut self.coder, Coder::Ended) {
                if let Ok(mut rest) = stream.finish() {
                    self.held.append(&mut rest);
                }
            }
        }
        out.append(&mut self.held);
    }
}

/// Run inflate over `data`; at its end, how much of it was used.
fn run(inflate: &mut Decompress, mut data: &[u8], held: &mut Vec<u8>) -> Result<Option<usize>, ()> {
    let whole = data.len();
    let mut block = [0u8; BLOCK_OCTETS];
    loop {
        let before = (inflate.total_in(), inflate.total_out());
        let result = inflate.decompress(data, &mut block, FlushDecompress::None);
        let used = (inflate.total_in() - before.0) as usize;
        let made = (inflate.total_out() - before.1) as usize;
        held.extend_from_slice(&block[..made.min(BLOCK_OCTETS)]);
        data = data.get(used..).unwrap_or_default();
        match result {
            Ok(Status::StreamEnd) => return Ok(Some(whole - data.len())),
            Ok(_) if made == BLOCK_OCTETS => {}
            Ok(_) if data.is_empty() || (used == 0 && made == 0) => return Ok(None),
            Ok(_) => {}
            Err(_) => return Err(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
    use flate2::Compression;

    use super::*;

    fn decoded(encoding: Encoding, data: &[u8], cut: usize) -> Vec<u8> {
        let mut layer = Layer::new(encoding, 1 << 20);
        let mut out = Vec::new();
        layer.decode(&data[..cut], &mut out);
        layer.decode(&data[cut..], &mut out);
        layer.finish(&mut out);
        out
    }

    #[test]
    fn gzip_zlib_and_raw_deflate_are_decoded_whatever_they_are_called() {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
        gzip.write_all(b"hello hello hello").unwrap();
        let gzip = gzip.finish().unwrap();
        let mut zlib = ZlibEncoder::new(Vec::new(), Compression::default());
        zlib.write_all(b"hello hello hello").unwrap();
        let zlib = zlib.finish().unwrap();
        let mut raw = DeflateEncoder::new(Vec::new(), Compression::default());
        raw.write_all(b"hello hello hello").unwrap();
        let raw = raw.finish().unwrap();
        for data in [&gzip, &zlib, &raw] {
            for encoding in [Encoding::Gzip, Encoding::Deflate] {
                assert_eq!(decoded(encoding, data, 0), b"hello hello hello");
            }
        }
        for cut in 0..gzip.len() {
            assert_eq!(decoded(Encoding::Gzip, &gzip, cut), b"hello hello hello");
        }
    }

    #[test]
    fn what_is_not_encoded_is_passed_on() {
        assert_eq!(
            decoded(Encoding::Gzip, b"plain text, really", 0),
            b"plain text, really"
        );
    }

    #[test]
    fn lzma_beyond_its_memory_is_an_event_of_its_own() {
        let mut packed = Vec::new();
        lzma_rs::lzma_compress(&mut &[7u8; 20_000][..], &mut packed).unwrap();
        for (memory, event) in [(1 << 20, None), (4096, Some("LZMA_MEMLIMIT_REACHED"))] {
            let mut layer = Layer::new(Encoding::Lzma, memory);
            assert_eq!(layer.decode(&packed, &mut Vec::new()), event);
        }
    }

    proptest::proptest! {
        #[test]
        fn any_octets_do_not_panic(data in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..300), cut in 0usize..300) {
            for encoding in [Encoding::Gzip, Encoding::Deflate, Encoding::Lzma, Encoding::Brotli] {
                decoded(encoding, &data, cut.min(data.len()));
            }
        }
    }
}
