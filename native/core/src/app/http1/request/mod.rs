//! The client's octets: request lines, headers, bodies, one after the other.

mod header;
mod line;

use super::header::{chunk_length, is_space, ChunkLength};
use super::transaction::{progress, HttpTx};
use super::{chomp, HttpParser, Step, METHODS};
use crate::app::{Input, Parsed, Requests};
use crate::packet::Direction;

const SIDE: Direction = Direction::ToServer;
/// Octets after an HTTP/0.9 request line that may be junk.
const MAX_JUNK_OCTETS: usize = 16;

/// What comes next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum State {
    /// A request, if anything.
    #[default]
    Idle,
    /// A request line.
    Line,
    /// What may follow an HTTP/0.9 line.
    Version,
    /// Header (or trailer) lines.
    Headers,
    /// So many octets of body.
    Body,
    /// The length of a chunk.
    ChunkLength,
    /// So many octets of a chunk.
    ChunkData,
    /// The line end of a chunk.
    ChunkEnd,
    /// CONNECT: the answer decides.
    ConnectWait,
    /// CONNECT was granted: is it HTTP inside?
    ConnectProbe,
    /// The request is over, if what follows does not say otherwise.
    Finalize,
    /// Nothing counts after an HTTP/0.9 request.
    Ignore,
}

/// The client's side.
#[derive(Debug, Default)]
pub struct Inbound {
    /// What comes next.
    pub state: State,
    /// The request under way.
    pub tx: Option<u64>,
    /// Octets of body or chunk that are missing; `None` is not known.
    pub left: Option<u64>,
    /// Octets of body announced.
    pub announced: u64,
    /// The request has a body to finish.
    has_body: bool,
    closed: bool,
}

impl HttpParser {
    pub(super) fn parse_requests(&mut self, input: &Input<'_>, requests: &mut Requests) -> Parsed {
        if input.gap > 0 {
            self.request_gap(input.gap, requests);
        }
        let mut pos = 0;
        self.inbound.closed = false;
        if !input.data.is_empty() {
            match self.run_requests(input.data, &mut pos, requests) {
                Step::Error => return Parsed::Failed,
                Step::Tunnel => return Parsed::Used(input.data.len()),
                Step::Go | Step::Need => {}
            }
        }
        if input.eof {
            self.inbound.closed = true;
            if let Step::Error = self.run_requests(input.data, &mut pos, requests) {
                return Parsed::Failed;
            }
            pos = input.data.len();
        }
        Parsed::Used(pos)
    }

    /// Octets were lost: those of a body are its own, those behind it end the request. Elsewhere what follows is read as
    /// if nothing had been lost.
    fn request_gap(&mut self, gap: u64, requests: &mut Requests) {
        let Some(id) = self.inbound.tx else { return };
        let mut gap = gap;
        if self.inbound.state == State::Body {
            let left = self.inbound.left.unwrap_or(0);
            let lost = gap.min(left);
            if let Some(tx) = self.transactions.item_mut(id) {
                tx.body_gap(SIDE, lost);
            }
            gap -= lost;
            self.inbound.left = Some(left - lost);
            if left == lost {
                self.inbound.state = State::Finalize;
            }
        }
        if gap > 0 && self.inbound.state == State::Finalize {
            self.complete_request(id, requests);
        }
    }

    fn run_requests(&mut self, data: &[u8], pos: &mut usize, requests: &mut Requests) -> Step {
        loop {
            if self.tunnel {
                return Step::Tunnel;
            }
            let step = self.request_step(data, pos, requests);
            match step {
                Step::Go => {}
                step => return step,
            }
        }
    }

    fn request_step(&mut self, data: &[u8], pos: &mut usize, requests: &mut Requests) -> Step {
        let rest = &data[(*pos).min(data.len())..];
        if self.inbound.state == State::Idle {
            if rest.is_empty() {
                return Step::Need;
            }
            let id = self.transactions.next_id();
            let mut tx = HttpTx::new(self.options.clone());
            tx.messages[0].progress = progress::LINE;
            self.transactions.push(tx);
            self.inbound.tx = Some(id);
            self.inbound.has_body = false;
            self.inbound.state = State::Line;
            return Step::Go;
        }
        if self.inbound.state == State::Ignore {
            *pos = data.len();
            return Step::Need;
        }
        let Some(id) = self.inbound.tx else {
            return Step::Error;
        };
        match self.inbound.state {
            State::Line => self.request_line(id, rest, pos),
            State::Version => self.request_version(id, rest),
            State::Headers => self.request_headers(id, rest, pos),
            State::Body | State::ChunkData => self.request_body(id, rest, pos, requests),
            State::ChunkLength => self.request_chunk(id, rest, pos),
            State::ChunkEnd => match memchr::memchr(b'\n', rest) {
                Some(end) => {
                    *pos += end + 1;
                    self.inbound.state = State::ChunkLength;
                    Step::Go
                }
                None => {
                    *pos = data.len();
                    Step::Need
                }
            },
            State::ConnectWait => self.connect_wait(id),
            State::ConnectProbe => self.connect_probe(id, rest, requests),
            State::Finalize => self.request_finalize(id, rest, pos, requests),
            State::Idle | State::Ignore => Step::Need,
        }
    }

    fn request_body(&mut self, id: u64, rest: &[u8], pos: &mut usize, requests: &mut Requests) -> Step {
        if rest.is_empty() {
            return Step::Need;
        }
        let left = self.inbound.left.unwrap_or(0);
        let len = rest.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        *pos += len;
        let bearable = self.body(id, SIDE, &rest[..len], requests);
        if !bearable {
            return Step::Error;
        }
        self.inbound.left = Some(left - len as u64);
        if left == len as u64 {
            self.inbound.state = if self.inbound.state == State::Body {
                State::Finalize
            } else {
                State::ChunkEnd
            };
            return Step::Go;
        }
        Step::Need
    }

    fn request_chunk(&mut self, id: u64, rest: &[u8], pos: &mut usize) -> Step {
        let Some(end) = memchr::memchr(b'\n', rest) else {
            return if self.too_long(id, SIDE, rest.len()) {
                Step::Error
            } else {
                Step::Need
            };
        };
        *pos += end + 1;
        match chunk_length(chomp(&rest[..=end]).0) {
            ChunkLength::Is(length, extension) => {
                if extension {
                    self.raise(Some(id), "REQUEST_CHUNK_EXTENSION");
                }
                if length == 0 {
                    if let Some(tx) = self.transactions.item_mut(id) {
                        tx.messages[0].progress = progress::TRAILER;
                    }
                    self.inbound.state = State::Headers;
                } else {
                    self.inbound.left = Some(length);
                    self.inbound.state = State::ChunkData;
                }
                Step::Go
            }
            ChunkLength::Blank | ChunkLength::Invalid => {
                self.raise(Some(id), "INVALID_REQUEST_CHUNK_LEN");
                Step::Error
            }
        }
    }

    fn connect_wait(&mut self, id: u64) -> Step {
        let Some(tx) = self.transactions.item_mut(id) else {
            return Step::Error;
        };
        if tx.messages[1].progress <= progress::LINE {
            return Step::Need;
        }
        self.inbound.state = if (200..300).contains(&tx.response.number) {
            State::ConnectProbe
        } else {
            State::Finalize
        };
        Step::Go
    }

    fn connect_probe(&mut self, id: u64, rest: &[u8], requests: &mut Requests) -> Step {
        let Some(end) = rest.iter().position(|&octet| octet == b'\n' || octet == 0) else {
            return if rest.len() > self.options.field_limit {
                Step::Error
            } else {
                Step::Need
            };
        };
        if begins_with_method(&rest[..end]) {
            self.complete_request(id, requests);
            return Step::Go;
        }
        self.tunnel = true;
        Step::Tunnel
    }

    fn request_finalize(&mut self, id: u64, rest: &[u8], pos: &mut usize, requests: &mut Requests) -> Step {
        if rest.is_empty() {
            self.complete_request(id, requests);
            return Step::Go;
        }
        let (line, end) = match memchr::memchr(b'\n', rest) {
            Some(end) => (&rest[..end], end + 1),
            None if self.inbound.closed => (rest, rest.len()),
            None => {
                return if self.too_long(id, SIDE, rest.len()) {
                    Step::Error
                } else {
                    Step::Need
                }
            }
        };
        if line.is_empty() {
            self.complete_request(id, requests);
            return Step::Go;
        }
        if line.iter().any(|&octet| !is_space(octet)) {
            if begins_with_method(line) {
                self.inbound.left = None;
                self.complete_request(id, requests);
                return Step::Go;
            }
            if self.inbound.left.unwrap_or(0) == 0 {
                self.raise(Some(id), "REQUEST_BODY_UNEXPECTED");
            } else {
                self.inbound.left = Some(1);
            }
        }
        *pos += end;
        self.body(id, SIDE, &rest[..end], requests);
        Step::Go
    }

    /// The request is over.
    pub(super) fn complete_request(&mut self, id: u64, requests: &mut Requests) {
        if self.inbound.has_body {
            self.finish_body(id, SIDE, requests);
        }
        let mut is_09 = false;
        if let Some(tx) = self.transactions.item_mut(id) {
            if tx.messages[0].progress != progress::COMPLETE {
                tx.messages[0].progress = progress::COMPLETE;
                tx.messages[0].headers_done = true;
                tx.close_files(SIDE);
                requests.trigger_raw[0] = true;
            }
            is_09 = tx.request.is_09;
        }
        self.inbound.has_body = false;
        self.inbound.tx = None;
        self.inbound.state = if is_09 { State::Ignore } else { State::Idle };
    }
}

fn begins_with_method(line: &[u8]) -> bool {
    let start = line
        .iter()
        .position(|&octet| !is_space(octet))
        .unwrap_or(line.len());
    let word = &line[start..];
    let len = word
        .iter()
        .position(|&octet| is_space(octet))
        .unwrap_or(word.len());
    METHODS.contains(&&word[..len])
}
