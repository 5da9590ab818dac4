//! Brotli (RFC 7932).

use brotli_decompressor::{BrotliDecompressStream, BrotliResult, BrotliState, StandardAlloc};

use super::BLOCK_OCTETS;

/// A decoder. Its window has up to 2^24 octets (larger ones are not of the RFC): memory that is claimed at once and used
/// as far as octets come out, so who decodes bounds these.
#[derive(Default)]
pub struct Brotli(Option<Box<BrotliState<StandardAlloc, StandardAlloc, StandardAlloc>>>);

impl Brotli {
    /// Decode `data` onto `out`; whether it ended.
    ///
    /// # Errors
    /// It is not Brotli.
    pub fn run(&mut self, data: &[u8], out: &mut Vec<u8>) -> Result<bool, ()> {
        let state = self.0.get_or_insert_with(|| {
            let memory = StandardAlloc::default;
            Box::new(BrotliState::new_strict(memory(), memory(), memory()))
        });
        let (mut left, mut at, mut total) = (data.len(), 0, 0);
        let mut block = [0u8; BLOCK_OCTETS];
        loop {
            let (mut room, mut made) = (block.len(), 0);
            let result = BrotliDecompressStream(
                &mut left, &mut at, data, &mut room, &mut made, &mut block, &mut total, state,
            );
            out.extend_from_slice(block.get(..made).unwrap_or_default());
            match result {
                BrotliResult::ResultSuccess => return Ok(true),
                BrotliResult::NeedsMoreInput => return Ok(false),
                BrotliResult::NeedsMoreOutput if made > 0 => {}
                BrotliResult::NeedsMoreOutput | BrotliResult::ResultFailure => return Err(()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// "hello hello hello hello\n", by brotli 1.1.
    const HELLO: &[u8] = include_bytes!("hello.br");

    #[test]
    fn a_stream_cut_anywhere_decodes() {
        for cut in 0..HELLO.len() {
            let (mut brotli, mut out) = (Brotli::default(), Vec::new());
            let ended = brotli.run(&HELLO[..cut], &mut out);
            assert!(ended == Ok(true) || brotli.run(&HELLO[cut..], &mut out) == Ok(true));
            assert_eq!(out, b"hello hello hello hello\n");
        }
    }
}
