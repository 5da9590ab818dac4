//! The server's octets: status lines, headers, bodies, each matched to its request.

mod chunk;
mod header;
mod line;

use line::is_body;

use super::transaction::{progress, HttpTx};
use super::{request, HttpParser, Step};
use crate::app::{Input, Parsed, Requests};
use crate::packet::Direction;

const SIDE: Direction = Direction::ToClient;
/// Shown as URI and file name of a request that was not seen.
const URI_NOT_SEEN: &[u8] = b"/libhtp::request_uri_not_seen";
/// Octets after which a chunk's length must have begun.
const CHUNK_PROBE_OCTETS: usize = 1;

/// What comes next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum State {
    /// A response, if anything.
    #[default]
    Idle,
    /// A status line.
    Line,
    /// Header (or trailer) lines.
    Headers,
    /// So many octets of body.
    Body,
    /// Body until the connection ends.
    BodyToEnd,
    /// The length of a chunk.
    ChunkLength,
    /// So many octets of a chunk.
    ChunkData,
    /// The line end of a chunk.
    ChunkEnd,
    /// The response is over, if what follows does not say otherwise.
    Finalize,
}

/// The server's side.
#[derive(Debug, Default)]
pub struct Outbound {
    state: State,
    tx: Option<u64>,
    /// Id of the request the next response belongs to.
    next: u64,
    left: u64,
    /// The response has no body at all.
    no_body: bool,
    /// The line before ended with LF CR.
    after_lf_cr: bool,
    closed: bool,
}

impl HttpParser {
    pub(super) fn parse_responses(&mut self, input: &Input<'_>, requests: &mut Requests) -> Parsed {
        if input.gap > 0 {
            self.response_gap(input.gap, requests);
        }
        let mut pos = 0;
        self.outbound.closed = false;
        if !input.data.is_empty() {
            match self.run_responses(input.data, &mut pos, requests) {
                Step::Error => return Parsed::Failed,
                Step::Tunnel => return Parsed::Used(if self.tunnel { input.data.len() } else { pos }),
                Step::Go | Step::Need => {}
            }
        }
        if input.eof {
            self.outbound.closed = true;
            if let Step::Error = self.run_responses(input.data, &mut pos, requests) {
                return Parsed::Failed;
            }
            pos = input.data.len();
            // The connection is over for the client too.
            if self.inbound.tx.is_some() {
                let end = Input {
                    data: &[],
                    gap: 0,
                    ..*input
                };
                self.parse_requests(&end, requests);
            }
        }
        Parsed::Used(pos)
    }

    /// Octets were lost: those of a body are its own, those behind it end the response. Elsewhere what follows is read as
    /// if nothing had been lost.
    fn response_gap(&mut self, gap: u64, requests: &mut Requests) {
        let Some(id) = self.outbound.tx else { return };
        let mut gap = gap;
        if matches!(self.outbound.state, State::Body | State::BodyToEnd) {
            let to_end = self.outbound.state == State::BodyToEnd;
            let lost = if to_end { gap } else { gap.min(self.outbound.left) };
            if let Some(tx) = self.transactions.item_mut(id) {
                tx.body_gap(SIDE, lost);
            }
            gap -= lost;
            if !to_end {
                self.outbound.left -= lost;
                if self.outbound.left == 0 {
                    self.outbound.state = State::Finalize;
                    self.finish_body(id, SIDE, requests);
                }
            }
        }
        if gap > 0 && self.outbound.state == State::Finalize {
            self.complete_response(id, requests);
        }
    }

    fn run_responses(&mut self, data: &[u8], pos: &mut usize, requests: &mut Requests) -> Step {
        loop {
            match self.response_step(data, pos, requests) {
                Step::Go => {}
                step => return step,
            }
        }
    }

    fn response_step(&mut self, data: &[u8], pos: &mut usize, requests: &mut Requests) -> Step {
        let rest = &data[(*pos).min(data.len())..];
        if self.outbound.state == State::Idle {
            if rest.is_empty() {
                return Step::Need;
            }
            return self.begin_response(requests);
        }
        let Some(id) = self.outbound.tx else {
            return Step::Error;
        };
        match self.outbound.state {
            State::Line => self.response_line(id, rest, pos, requests),
            State::Headers => self.response_headers(id, rest, pos, requests),
            State::Body | State::ChunkData => self.response_body(id, rest, pos, requests),
            State::BodyToEnd => {
                *pos = data.len();
                if !rest.is_empty() && !self.body(id, SIDE, rest, requests) {
                    return Step::Error;
                }
                if self.outbound.closed {
                    self.outbound.state = State::Finalize;
                    return Step::Go;
                }
                Step::Need
            }
            State::ChunkLength => self.response_chunk(id, rest, pos),
            State::ChunkEnd if self.outbound.closed => {
                self.outbound.state = State::Finalize;
                Step::Go
            }
            State::ChunkEnd => match memchr::memchr(b'\n', rest) {
                Some(end) => {
                    *pos += end + 1;
                    self.count_framing(id, end + 1);
                    self.outbound.state = State::ChunkLength;
                    Step::Go
                }
                None => {
                    *pos = data.len();
                    self.count_framing(id, rest.len());
                    Step::Need
                }
            },
            State::Finalize => self.response_finalize(id, rest, pos, requests),
            State::Idle => Step::Need,
        }
    }

    /// Find the request the response belongs to, or make one up.
    fn begin_response(&mut self, requests: &mut Requests) -> Step {
        let mut id = self.outbound.next;
        if self.transactions.item(id).is_none() {
            if let (request::State::Finalize, Some(open)) = (self.inbound.state, self.inbound.tx) {
                self.complete_request(open, requests);
            }
            id = self.transactions.next_id();
            let mut tx = HttpTx::new(self.options.clone());
            tx.request.uri = Some(URI_NOT_SEEN.to_vec());
            tx.request.path = Some(URI_NOT_SEEN.to_vec());
            tx.meta.raise("UNABLE_TO_MATCH_RESPONSE_TO_REQUEST");
            self.transactions.push(tx);
            self.inbound.tx = Some(id);
            self.inbound.state = request::State::Finalize;
        }
        self.outbound.next = id + 1;
        self.outbound.tx = Some(id);
        self.outbound.no_body = false;
        self.pending[1] = None;
        let incomplete_line = self.inbound.state == request::State::Line;
        let Some(tx) = self.transactions.item_mut(id) else {
            return Step::Error;
        };
        if tx.request.is_09 {
            tx.messages[1].progress = progress::BODY;
            tx.messages[1].headers_done = true;
            self.outbound.state = State::BodyToEnd;
        } else {
            tx.messages[1].progress = progress::LINE;
            self.outbound.state = State::Line;
        }
        if tx.request.method.is_none() && tx.request.uri.is_none() && incomplete_line {
            tx.meta.raise("REQUEST_LINE_INCOMPLETE");
        }
        Step::Go
    }

    fn response_body(&mut self, id: u64, rest: &[u8], pos: &mut usize, requests: &mut Requests) -> Step {
        let chunk = self.outbound.state == State::ChunkData;
        if rest.is_empty() {
            if self.outbound.closed {
                self.outbound.state = State::Finalize;
                self.finish_body(id, SIDE, requests);
                return Step::Go;
            }
            return Step::Need;
        }
        let len = rest
            .len()
            .min(usize::try_from(self.outbound.left).unwrap_or(usize::MAX));
        *pos += len;
        if !self.body(id, SIDE, &rest[..len], requests) {
            return Step::Error;
        }
        self.outbound.left -= len as u64;
        if self.outbound.left > 0 {
            return Step::Need;
        }
        if chunk {
            self.outbound.state = State::ChunkEnd;
        } else {
            self.outbound.state = State::Finalize;
            self.finish_body(id, SIDE, requests);
        }
        Step::Go
    }

    fn response_finalize(&mut self, id: u64, rest: &[u8], pos: &mut usize, requests: &mut Requests) -> Step {
        if rest.is_empty() {
            return self.complete_response(id, requests);
        }
        let end = match memchr::memchr(b'\n', rest) {
            Some(end) => end + 1,
            None if self.outbound.closed => rest.len(),
            None if self.too_long(id, SIDE, rest.len()) => return Step::Error,
            None => return Step::Need,
        };
        let line = &rest[..end];
        if is_body(line) {
            *pos += end;
            return if self.body(id, SIDE, line, requests) {
                Step::Go
            } else {
                Step::Error
            };
        }
        self.complete_response(id, requests)
    }

    /// The response is over.
    fn complete_response(&mut self, id: u64, requests: &mut Requests) -> Step {
        if !self.outbound.no_body {
            self.finish_body(id, SIDE, requests);
        }
        self.outbound.tx = None;
        self.outbound.state = State::Idle;
        self.completed += 1;
        let Some(tx) = self.transactions.item_mut(id) else {
            return Step::Go;
        };
        if tx.messages[1].progress == progress::COMPLETE {
            return Step::Go;
        }
        tx.messages[1].progress = progress::COMPLETE;
        tx.messages[1].headers_done = true;
        tx.close_files(SIDE);
        requests.trigger_raw[1] = true;
        let granted = (200..300).contains(&tx.response.number);
        if tx.request.method.as_deref() == Some(b"CONNECT") && granted && self.completed == 1 {
            requests.change_protocol = Some("");
            requests.change_port = tx.request.port.unwrap_or(0);
            tx.messages[0].progress = progress::COMPLETE;
            return Step::Tunnel;
        }
        Step::Go
    }
}
