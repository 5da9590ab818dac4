//! The server's octets: status lines, headers, bodies, each matched to its request.

use super::encodings::{self, contains_nocase};
use super::header::{chunk_length, content_length, is_space, parse_line, Added, ChunkLength};
use super::transaction::{progress, HttpTx, Version};
use super::{chomp, is_blank, is_folding, HttpParser, Step, MAX_FIELDS, MAX_FOLDED_OCTETS};
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
    pending: Option<Vec<u8>>,
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

    fn response_gap(&mut self, gap: u64, requests: &mut Requests) {
        let id = self.outbound.tx;
        match (self.outbound.state, id) {
            (State::Body | State::BodyToEnd, Some(id)) => {
                let to_end = self.outbound.state == State::BodyToEnd;
                let lost = if to_end { gap } else { gap.min(self.outbound.left) };
                if let Some(tx) = self.transactions.item_mut(id) {
                    tx.body_gap(SIDE, lost);
                }
                if !to_end {
                    self.outbound.left -= lost;
                    if self.outbound.left == 0 {
                        self.outbound.state = State::Finalize;
                        self.finish_body(id, SIDE, requests);
                    }
                }
            }
            (State::Finalize, Some(id)) => {
                self.complete_response(id, requests);
            }
            _ => {}
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
            if let (super::request::State::Finalize, Some(open)) = (self.inbound.state, self.inbound.tx) {
                self.complete_request(open, requests);
            }
            id = self.transactions.next_id();
            let mut tx = HttpTx::new(self.options.clone());
            tx.request.uri = Some(URI_NOT_SEEN.to_vec());
            tx.request.path = Some(URI_NOT_SEEN.to_vec());
            tx.meta.raise("UNABLE_TO_MATCH_RESPONSE_TO_REQUEST");
            self.transactions.push(tx);
            self.inbound.tx = Some(id);
            self.inbound.state = super::request::State::Finalize;
        }
        self.outbound.next = id + 1;
        self.outbound.tx = Some(id);
        self.outbound.no_body = false;
        self.outbound.pending = None;
        let incomplete_line = self.inbound.state == super::request::State::Line;
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

    fn reply_too_long(&self, len: usize) -> bool {
        let held = self.outbound.pending.as_ref().map_or(0, Vec::len);
        len + held > self.options.field_limit
    }

    fn response_line(&mut self, id: u64, rest: &[u8], pos: &mut usize, requests: &mut Requests) -> Step {
        let closed = self.outbound.closed;
        // A line ends with LF, or with a CR that no LF follows.
        let end = match memchr::memchr2(b'\r', b'\n', rest) {
            Some(at) if rest[at] == b'\n' => at + 1,
            Some(at) => match rest[at + 1..].iter().position(|&octet| octet != b'\r') {
                Some(0) if rest[at + 1] == b'\n' => at + 2,
                Some(_) => at + 1,
                None if closed => rest.len(),
                None => return Step::Need,
            },
            None if closed => rest.len(),
            None if self.reply_too_long(rest.len()) => return Step::Error,
            None => return Step::Need,
        };
        let line = &rest[..end];
        if line.is_empty() || is_blank(line, false) {
            *pos += end;
            if closed {
                self.outbound.state = State::Finalize;
            }
            return Step::Go;
        }
        let (text, _) = chomp(line);
        *pos += end;
        if is_body(text) {
            let follows = rest.get(end..).unwrap_or_default();
            if follows.len() > 1 && (follows[0] == b'H' || text.len() <= 2) {
                return Step::Go;
            }
            self.layers[1].clear();
            if !self.body(id, SIDE, line, requests) {
                return Step::Error;
            }
            if follows.is_empty() {
                if let Some(tx) = self.transactions.item_mut(id) {
                    tx.messages[1].progress = progress::BODY;
                }
                self.outbound.state = State::Finalize;
            }
            return Step::Go;
        }
        let Some(tx) = self.transactions.item_mut(id) else {
            return Step::Error;
        };
        parse_status_line(tx, text);
        tx.messages[1].progress = progress::HEADERS;
        self.outbound.state = State::Headers;
        Step::Go
    }

    fn response_headers(&mut self, id: u64, rest: &[u8], pos: &mut usize, requests: &mut Requests) -> Step {
        if self.outbound.closed {
            let tail = rest.to_vec();
            *pos += tail.len();
            if let Some(tx) = self.transactions.item_mut(id) {
                tx.messages[1].raw.extend_from_slice(&tail);
                tx.messages[1].trailer = true;
                tx.messages[1].headers_done = true;
            }
            self.outbound.state = State::Finalize;
            return Step::Go;
        }
        let Some((from, len)) = header_line(rest, self.outbound.after_lf_cr) else {
            return if self.reply_too_long(rest.len()) {
                Step::Error
            } else {
                Step::Need
            };
        };
        let line = &rest[from..len];
        self.outbound.after_lf_cr = line.ends_with(b"\n\r");
        let more = rest.get(len).is_some_and(|&octet| octet != b'\n');
        *pos += len;
        let Some(tx) = self.transactions.item_mut(id) else {
            return Step::Error;
        };
        tx.messages[1].raw.extend_from_slice(&rest[..len]);
        let in_header = tx.messages[1].progress == progress::HEADERS;
        let version = tx.messages[1].version;
        if is_blank(line, more) {
            if let Some(field) = self.outbound.pending.take() {
                if !self.response_field(id, &field) {
                    return Step::Error;
                }
            }
            if in_header {
                return self.response_headers_done(id, requests);
            }
            if let Some(tx) = self.transactions.item_mut(id) {
                tx.messages[1].trailer = true;
            }
            self.outbound.state = State::Finalize;
            return Step::Go;
        }
        let (text, _) = chomp(line);
        if text.first().is_some_and(|&first| !is_folding(first)) {
            if let Some(field) = self.outbound.pending.take() {
                if !self.response_field(id, &field) {
                    return Step::Error;
                }
            }
            if rest.get(len).is_some_and(|&next| is_folding(next)) {
                self.outbound.pending = Some(text.to_vec());
            } else if !self.response_field(id, text) {
                return Step::Error;
            }
            return Step::Go;
        }
        match self.outbound.pending.take() {
            None => {
                self.once(id, SIDE, 2, "INVALID_RESPONSE_FIELD_FOLDING");
                let skip = text.iter().take_while(|&&octet| is_folding(octet)).count();
                self.outbound.pending = Some(text[skip..].to_vec());
            }
            Some(field) if text.contains(&b':') && field.contains(&b':') && version == Version::V11 => {
                // Two fields, not one that goes on.
                self.once(id, SIDE, 2, "INVALID_RESPONSE_FIELD_FOLDING");
                if !self.response_field(id, &field) {
                    return Step::Error;
                }
                self.outbound.pending = Some(text.get(1..).unwrap_or_default().to_vec());
            }
            Some(mut field) => {
                if field.len() < MAX_FOLDED_OCTETS {
                    field.extend_from_slice(text);
                }
                self.outbound.pending = Some(field);
            }
        }
        Step::Go
    }

    fn response_field(&mut self, id: u64, line: &[u8]) -> bool {
        let line = parse_line(line, SIDE);
        if line.no_colon {
            self.once(id, SIDE, 0, "RESPONSE_FIELD_MISSING_COLON");
            if let Some(tx) = self.transactions.item_mut(id) {
                tx.messages[1].raised_once[1] = true;
            }
        } else if line.invalid {
            self.once(id, SIDE, 1, "RESPONSE_HEADER_INVALID");
        }
        let Some(tx) = self.transactions.item_mut(id) else {
            return false;
        };
        match tx.messages[1].headers.add(line.name, line.value) {
            Added::New => {}
            Added::Repeated => {}
            Added::Ambiguous => {
                tx.meta.raise("DUPLICATE_CONTENT_LENGTH_FIELD_IN_RESPONSE");
            }
        }
        if tx.messages[1].headers.len() > MAX_FIELDS {
            tx.meta.raise("RESPONSE_TOO_MANY_HEADERS");
            return false;
        }
        true
    }

    /// The header is complete: what body follows?
    fn response_headers_done(&mut self, id: u64, requests: &mut Requests) -> Step {
        let Some(tx) = self.transactions.item_mut(id) else {
            return Step::Error;
        };
        let number = tx.response.number;
        let headers = &tx.messages[1].headers;
        let method = tx.request.method.as_deref().unwrap_or_default();
        let length = headers.get("content-length").map(content_length);
        let coding = headers.get("transfer-encoding");
        if method == b"CONNECT" && (200..300).contains(&number) {
            tx.messages[1].headers_done = true;
            self.outbound.state = State::Finalize;
            return Step::Go;
        }
        if number == 101 && coding.is_none() && length.is_none() {
            let upgrade = headers.get("upgrade").map(<[u8]>::to_vec);
            let port = tx.request.port.unwrap_or(0);
            tx.messages[1].headers_done = true;
            if upgrade.as_deref() == Some(b"h2c") && crate::app::protocol("http2").is_some() {
                requests.change_protocol = Some("http2");
                requests.change_port = port;
                requests.note = super::upgrade::note(tx);
            } else {
                self.tunnel = true;
            }
            return Step::Tunnel;
        }
        if number == 100 && coding.is_none() && length.and_then(|length| length.length).unwrap_or(0) == 0 {
            if std::mem::replace(&mut tx.response.continued, true) {
                tx.meta.raise("100_CONTINUE_ALREADY_SEEN");
            }
            tx.messages[1].headers.clear();
            tx.messages[1].progress = progress::LINE;
            self.outbound.state = State::Line;
            return Step::Go;
        }
        let refused = (400..500).contains(&number)
            && self.inbound.announced > 0
            && self.inbound.left == Some(self.inbound.announced)
            && tx.messages[0]
                .headers
                .get("expect")
                .is_some_and(|value| value.eq_ignore_ascii_case(b"100-continue"));
        if refused {
            self.inbound.state = super::request::State::Finalize;
        }
        let mut next = State::BodyToEnd;
        let silent = matches!(number, 100..=199 | 204 | 304) && coding.is_none() && length.is_none();
        if method == b"HEAD" || silent {
            self.outbound.no_body = true;
            next = State::Finalize;
        }
        if next != State::Finalize {
            let headers = &tx.messages[1].headers;
            let chunked = headers
                .get("transfer-encoding")
                .filter(|coding| contains_nocase(&without_nul(coding), b"chunked"));
            if let Some(coding) = chunked {
                let odd = !coding.eq_ignore_ascii_case(b"chunked");
                if odd {
                    tx.meta.raise("RESPONSE_ABNORMAL_TRANSFER_ENCODING");
                }
                if tx.messages[1].version < Version::V11 {
                    tx.meta.raise("RESPONSE_CHUNKED_OLD_PROTO");
                }
                next = State::ChunkLength;
            } else if let Some(length) = length {
                let Some(length) = length.length else {
                    tx.meta.raise("INVALID_CONTENT_LENGTH_FIELD_IN_RESPONSE");
                    return Step::Error;
                };
                self.outbound.left = length;
                next = if length > 0 { State::Body } else { State::Finalize };
            } else if headers
                .get("content-type")
                .is_some_and(|kind| contains_nocase(kind, b"multipart/byteranges"))
            {
                tx.meta.raise("RESPONSE_MULTIPART_BYTERANGES");
                return Step::Error;
            }
            if next != State::Finalize {
                tx.messages[1].progress = progress::BODY;
            }
        }
        tx.messages[1].headers_done = true;
        self.outbound.state = next;
        self.set_layers(id);
        Step::Go
    }

    /// Decoders for the response's content encodings.
    fn set_layers(&mut self, id: u64) {
        let options = self.options.clone();
        self.layers[1].clear();
        let Some(tx) = self.transactions.item_mut(id) else {
            return;
        };
        let Some(value) = tx.messages[1].headers.get("content-encoding") else {
            return;
        };
        let (layers, events) = encodings::of_response(value, &options);
        for event in events {
            tx.meta.raise(event);
        }
        self.layers[1] = layers;
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

    /// Chunk lengths and line ends count as octets of the message.
    fn count_framing(&mut self, id: u64, octets: usize) {
        if let Some(tx) = self.transactions.item_mut(id) {
            tx.messages[1].message_len += octets as u64;
        }
    }

    fn response_chunk(&mut self, id: u64, rest: &[u8], pos: &mut usize) -> Step {
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
            (None, None) if self.reply_too_long(rest.len()) => return Step::Error,
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

    fn response_finalize(&mut self, id: u64, rest: &[u8], pos: &mut usize, requests: &mut Requests) -> Step {
        if rest.is_empty() {
            return self.complete_response(id, requests);
        }
        let end = match memchr::memchr(b'\n', rest) {
            Some(end) => end + 1,
            None if self.outbound.closed => rest.len(),
            None if self.reply_too_long(rest.len()) => return Step::Error,
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

fn without_nul(value: &[u8]) -> Vec<u8> {
    value.iter().copied().filter(|&octet| octet != 0).collect()
}

/// Whether a line where a status line should be is a body without one.
fn is_body(line: &[u8]) -> bool {
    let start = line
        .iter()
        .position(|&octet| !is_space(octet) && octet != 0)
        .unwrap_or(line.len());
    !line
        .get(start..start + 4)
        .is_some_and(|word| word.eq_ignore_ascii_case(b"HTTP"))
}

/// The next header line: (start, end). LF CR counts as one end; after it CR LF CR LF is an odd one.
fn header_line(rest: &[u8], mut after_lf_cr: bool) -> Option<(usize, usize)> {
    let mut from = 0;
    let mut at = 0;
    while let Some(&octet) = rest.get(at) {
        at += 1;
        match octet {
            b'\r' => {
                match rest.get(at)? {
                    b'\n' => {
                        at += 1;
                        if after_lf_cr && rest.get(at) == Some(&b'\r') {
                            at += 1;
                            from += 1;
                            if rest.get(at) == Some(&b'\n') {
                                at += 1;
                                from += 1;
                            }
                        }
                    }
                    b'\r' => continue,
                    _ => {}
                }
                if at - from < 2 {
                    after_lf_cr = false;
                    continue;
                }
                return Some((from, at));
            }
            b'\n' => {
                if rest.get(at) == Some(&b'\r') {
                    at += 1;
                }
                return Some((from, at));
            }
            _ => after_lf_cr = false,
        }
    }
    None
}

fn parse_status_line(tx: &mut HttpTx, line: &[u8]) {
    tx.messages[1].line = Some(line.to_vec());
    tx.messages[1].version = Version::Invalid;
    tx.messages[1].protocol = None;
    tx.response.status = None;
    tx.response.number = 0;
    tx.response.message = None;
    let mut rest = line;
    let mut word = || {
        let start = rest
            .iter()
            .position(|&octet| !is_space(octet))
            .unwrap_or(rest.len());
        let after = &rest[start..];
        let len = after
            .iter()
            .position(|&octet| is_space(octet))
            .unwrap_or(after.len());
        rest = &after[len..];
        &after[..len]
    };
    let protocol = word();
    let status = word();
    let reason = rest.trim_ascii_start();
    if !protocol.is_empty() {
        tx.messages[1].version = Version::parse(protocol);
        tx.messages[1].protocol = Some(protocol.to_vec());
    }
    if tx.messages[1].version == Version::Invalid {
        tx.meta.raise("RESPONSE_INVALID_PROTOCOL");
    }
    if !status.is_empty() {
        let number = std::str::from_utf8(status)
            .ok()
            .and_then(|text| text.parse::<u16>().ok());
        tx.response.number = number.filter(|number| (100..1000).contains(number)).unwrap_or(0);
        tx.response.status = Some(status.to_vec());
    }
    if tx.response.number == 0 {
        tx.meta.raise("RESPONSE_INVALID_STATUS");
    }
    if !reason.is_empty() {
        tx.response.message = Some(reason.to_vec());
    }
}
