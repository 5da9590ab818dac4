//! Lengths of chunks of responses.

use super::{State, CHUNK_PROBE_OCTETS, SIDE};
use crate::app::http1::header::{chunk_length, is_space, ChunkLength};
use crate::app::http1::transaction::progress;
use crate::app::http1::{HttpParser, Step};

impl HttpParser {
    /// Chunk lengths and line ends count as octets of the message.
    pub(super) fn count_framing(&mut self, id: u64, octets: usize) {
        if let Some(tx) = self.transactions.item_mut(id) {
            tx.messages[1].message_len += octets as u64;
        }
    }

    pub(super) fn response_chunk(&mut self, id: u64, rest: &[u8], pos: &mut usize) -> Step {
        if self.outbound.closed {
            // The last chunk never came: what is left is body.
            self.outbound.state = State::BodyToEnd;
            return Step::Go;
        }
        let line_end = memchr::memchr(b'\n', rest);
        let first = rest.iter().position(|&octet| !is_space(octet));
        // A length that does not begin like one is not waited for.
        let refused_at = first.filter(|&at| !rest[at].is_ascii_hexdigit()).and_then(|_| {
            rest.iter()
                .enumerate()
                .skip(CHUNK_PROBE_OCTETS - 1)
                .find(|(_, octet)| !is_space(**octet))
                .map(|(at, _)| at)
        });
        let end = match (line_end, refused_at) {
            (Some(line), Some(refused)) => line.min(refused),
            (Some(line), None) => line,
            (None, Some(refused)) => refused,
            (None, None) if self.too_long(id, SIDE, rest.len()) => return Step::Error,
            (None, None) => return Step::Need,
        };
        self.count_framing(id, end + 1);
        match chunk_length(&rest[..=end]) {
            ChunkLength::Blank => *pos += end + 1,
            ChunkLength::Invalid => {
                self.raise(Some(id), "INVALID_RESPONSE_CHUNK_LEN");
                self.outbound.state = State::BodyToEnd;
            }
            ChunkLength::Is(length, extension) => {
                *pos += end + 1;
                if extension {
                    self.raise(Some(id), "REQUEST_CHUNK_EXTENSION");
                }
                if length > 0 {
                    self.outbound.left = length;
                    self.outbound.state = State::ChunkData;
                } else {
                    if let Some(tx) = self.transactions.item_mut(id) {
                        tx.messages[1].progress = progress::TRAILER;
                    }
                    self.outbound.state = State::Headers;
                }
            }
        }
        Step::Go
    }
}
