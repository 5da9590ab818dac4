//! The client's octets: request lines, headers, bodies, one after the other.

use super::encodings;
use super::header::{chunk_length, content_length, is_space, parse_line, Added, ChunkLength};
use super::transaction::{progress, HttpTx, Version};
use super::{chomp, is_blank, is_folding, uri, HttpParser, Step, MAX_FIELDS, MAX_FOLDED_OCTETS, METHODS};
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
    /// A header field that may go on with the next line.
    pending: Option<Vec<u8>>,
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

    fn request_gap(&mut self, gap: u64, requests: &mut Requests) {
        match (self.inbound.state, self.inbound.tx) {
            (State::Body, Some(id)) => {
                let left = self.inbound.left.unwrap_or(0);
                let lost = gap.min(left);
                if let Some(tx) = self.transactions.item_mut(id) {
                    tx.body_gap(SIDE, lost);
                }
                self.inbound.left = Some(left - lost);
                if left == lost {
                    self.inbound.state = State::Finalize;
                }
            }
            (State::Finalize, Some(id)) => self.complete_request(id, requests),
            (State::Ignore, _) => {}
            // Elsewhere what follows is read as if nothing had been lost.
            _ => {}
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
            State::Headers => self.request_headers(id, rest, pos, requests),
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

    fn too_long(&mut self, id: u64, len: usize) -> bool {
        let held = self.inbound.pending.as_ref().map_or(0, Vec::len);
        if len + held > self.options.field_limit {
            self.raise(Some(id), "REQUEST_FIELD_TOO_LONG");
            return true;
        }
        false
    }

    fn request_line(&mut self, id: u64, rest: &[u8], pos: &mut usize) -> Step {
        let end = match memchr::memchr(b'\n', rest) {
            Some(end) => end + 1,
            None if self.inbound.closed && !rest.is_empty() => rest.len(),
            None if self.too_long(id, rest.len()) => return Step::Error,
            None => return Step::Need,
        };
        *pos += end;
        let line = &rest[..end];
        if is_blank(line, false) {
            return Step::Go;
        }
        let (line, _) = chomp(line);
        let options = self.options.clone();
        let Some(tx) = self.transactions.item_mut(id) else {
            return Step::Error;
        };
        parse_request_line(tx, line);
        let is_connect = tx.request.method.as_deref() == Some(b"CONNECT");
        if let Some(target) = tx.request.uri.clone() {
            if is_connect {
                let (host, port, valid) = uri::host_port(&target);
                tx.request.uri_host = host;
                tx.request.port = port;
                if !valid {
                    tx.meta.raise("REQUEST_URI_HOST_INVALID");
                }
                tx.request.normalized = Some(Vec::new());
            } else {
                let parts = uri::split(&target);
                let normalized = uri::normalize(&parts, &options);
                if let Some(port) = parts.port {
                    tx.request.port = std::str::from_utf8(port.trim_ascii())
                        .ok()
                        .and_then(|text| text.parse().ok())
                        .filter(|&port: &u16| port > 0);
                    if tx.request.port.is_none() {
                        tx.meta.raise("REQUEST_URI_HOST_INVALID");
                    }
                }
                if normalized
                    .host
                    .as_ref()
                    .is_some_and(|host| !uri::valid_host(host))
                {
                    tx.meta.raise("REQUEST_URI_HOST_INVALID");
                }
                if normalized.double_encoded {
                    tx.meta.raise("DOUBLE_ENCODED_URI");
                }
                tx.request.path = parts.path.is_some().then_some(normalized.path);
                tx.request.uri_host = normalized.host;
                tx.request.normalized = Some(normalized.uri);
            }
        } else {
            tx.request.normalized = Some(Vec::new());
        }
        self.inbound.state = State::Version;
        Step::Go
    }

    fn request_version(&mut self, id: u64, rest: &[u8]) -> Step {
        let Some(tx) = self.transactions.item_mut(id) else {
            return Step::Error;
        };
        if tx.request.is_09 {
            if rest.len() <= MAX_JUNK_OCTETS && rest.iter().all(|&octet| is_space(octet)) {
                self.inbound.state = State::Finalize;
                return Step::Go;
            }
            // More than an HTTP/0.9 client would say: its version is missing.
            tx.request.is_09 = false;
        }
        tx.messages[0].progress = progress::HEADERS;
        self.inbound.state = State::Headers;
        Step::Go
    }

    fn request_headers(&mut self, id: u64, rest: &[u8], pos: &mut usize, requests: &mut Requests) -> Step {
        let Some(end) = memchr::memchr(b'\n', rest) else {
            if self.inbound.closed {
                if let Some(field) = self.inbound.pending.take() {
                    if !self.request_field(id, &field) {
                        return Step::Error;
                    }
                }
                *pos += rest.len();
                if let Some(tx) = self.transactions.item_mut(id) {
                    tx.messages[0].progress = progress::TRAILER;
                    tx.messages[0].headers_done = true;
                }
                self.inbound.state = State::Finalize;
                return Step::Go;
            }
            return if self.too_long(id, rest.len()) {
                Step::Error
            } else {
                Step::Need
            };
        };
        let line = &rest[..=end];
        *pos += line.len();
        let Some(tx) = self.transactions.item_mut(id) else {
            return Step::Error;
        };
        tx.messages[0].raw.extend_from_slice(line);
        if is_blank(line, false) {
            if let Some(field) = self.inbound.pending.take() {
                if !self.request_field(id, &field) {
                    return Step::Error;
                }
            }
            return self.request_headers_done(id, requests);
        }
        let (line, _) = chomp(line);
        let folded = line.first().is_none_or(|&first| is_folding(first));
        if !folded {
            if let Some(field) = self.inbound.pending.take() {
                if !self.request_field(id, &field) {
                    return Step::Error;
                }
            }
            match rest.get(end + 1) {
                Some(&next) if !is_folding(next) => {
                    if !self.request_field(id, line) {
                        return Step::Error;
                    }
                }
                _ => self.inbound.pending = Some(line.to_vec()),
            }
            return Step::Go;
        }
        match &mut self.inbound.pending {
            Some(field) if field.len() < MAX_FOLDED_OCTETS => field.extend_from_slice(line),
            Some(_) => {}
            None => {
                self.once(id, SIDE, 2, "INVALID_REQUEST_FIELD_FOLDING");
                let skip = line.iter().take_while(|&&octet| is_folding(octet)).count();
                self.inbound.pending = Some(line[skip..].to_vec());
            }
        }
        Step::Go
    }

    /// Raise an event that a message raises once.
    pub(super) fn once(&mut self, id: u64, side: Direction, which: usize, event: &'static str) {
        if let Some(tx) = self.transactions.item_mut(id) {
            let raised = &mut tx.messages[side.index()].raised_once[which];
            if !std::mem::replace(raised, true) {
                tx.meta.raise(event);
            }
        }
    }

    fn request_field(&mut self, id: u64, line: &[u8]) -> bool {
        let line = parse_line(line, SIDE);
        if line.no_colon {
            self.once(id, SIDE, 0, "REQUEST_FIELD_MISSING_COLON");
        } else if line.invalid {
            self.once(id, SIDE, 1, "REQUEST_HEADER_INVALID");
        }
        let Some(tx) = self.transactions.item_mut(id) else {
            return false;
        };
        let headers = &mut tx.messages[0].headers;
        match headers.add(line.name, line.value) {
            Added::New => {}
            Added::Repeated => {}
            Added::Ambiguous => {
                tx.meta.raise("DUPLICATE_CONTENT_LENGTH_FIELD_IN_REQUEST");
            }
        }
        if tx.messages[0].headers.len() > MAX_FIELDS {
            tx.meta.raise("REQUEST_TOO_MANY_HEADERS");
            return false;
        }
        true
    }

    fn request_headers_done(&mut self, id: u64, _requests: &mut Requests) -> Step {
        let Some(tx) = self.transactions.item_mut(id) else {
            return Step::Error;
        };
        if tx.messages[0].progress > progress::HEADERS {
            tx.messages[0].trailer = true;
            self.inbound.state = State::Finalize;
            return Step::Go;
        }
        tx.messages[0].headers_done = true;
        set_host(tx);
        let headers = &tx.messages[0].headers;
        if let Some(value) = headers.get("authorization") {
            let known = [&b"basic"[..], b"digest", b"bearer"]
                .iter()
                .any(|kind| value.len() >= kind.len() && value[..kind.len()].eq_ignore_ascii_case(kind));
            if !known {
                tx.meta.raise("REQUEST_AUTH_UNRECOGNIZED");
            }
        }
        let headers = &tx.messages[0].headers;
        let is_connect = tx.request.method.as_deref() == Some(b"CONNECT");
        let mut next = State::Finalize;
        let mut failed = false;
        if let Some(coding) = headers.get("transfer-encoding") {
            let chunked = coding
                .split(|&octet| octet == b',')
                .any(|token| token.trim_ascii().eq_ignore_ascii_case(b"chunked"));
            if chunked {
                next = State::ChunkLength;
                if tx.messages[0].version < Version::V11 {
                    tx.meta.raise("INVALID_TRANSFER_ENCODING_VALUE_IN_REQUEST");
                }
            } else {
                tx.meta.raise("INVALID_TRANSFER_ENCODING_VALUE_IN_REQUEST");
                failed = true;
            }
        } else if let Some(value) = headers.get("content-length") {
            let length = content_length(value);
            match length.length {
                Some(length) => {
                    self.inbound.announced = length;
                    self.inbound.left = Some(length);
                    if length > 0 {
                        next = State::Body;
                    }
                }
                None => {
                    tx.meta.raise("INVALID_CONTENT_LENGTH_FIELD_IN_REQUEST");
                    failed = true;
                }
            }
        }
        if is_connect {
            self.inbound.state = State::ConnectWait;
            return Step::Go;
        }
        if failed {
            return Step::Error;
        }
        if next != State::Finalize {
            tx.messages[0].progress = progress::BODY;
            self.inbound.has_body = true;
            self.layers[0].clear();
            let value = tx.messages[0].headers.get("content-encoding");
            let layer = value.and_then(|value| encodings::of_request(value, &self.options));
            self.layers[0].extend(layer);
        } else {
            self.inbound.left = None;
        }
        self.inbound.state = next;
        Step::Go
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
            return if self.too_long(id, rest.len()) {
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
                return if self.too_long(id, rest.len()) {
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

/// Method, URI and version of a request line, however they are kept apart.
fn parse_request_line(tx: &mut HttpTx, line: &[u8]) {
    tx.messages[0].line = Some(line.to_vec());
    let start = line
        .iter()
        .position(|&octet| !is_space(octet))
        .unwrap_or(line.len());
    if start > 0 {
        tx.meta.raise("REQUEST_LINE_LEADING_WHITESPACE");
    }
    let word = |from: usize| {
        line[from..]
            .iter()
            .position(|&octet| is_space(octet))
            .map_or(line.len(), |len| from + len)
    };
    let method_end = word(start);
    let method = &line[start..method_end];
    tx.request.method = Some(method.to_vec());
    let blanks = line[method_end..]
        .iter()
        .take_while(|&&octet| is_space(octet))
        .count();
    let uri_start = method_end + blanks;
    if line[method_end..uri_start].iter().any(|&octet| octet != b' ') {
        tx.meta.raise("METHOD_DELIM_NON_COMPLIANT");
    }
    if uri_start == line.len() {
        tx.request.is_09 = true;
        tx.messages[0].version = Version::V09;
        return;
    }
    let space = line[uri_start..]
        .iter()
        .position(|&octet| octet == b' ')
        .map(|len| uri_start + len);
    let odd = line[uri_start..space.unwrap_or(line.len())]
        .iter()
        .any(|&octet| is_space(octet));
    let uri_end = match space {
        Some(end) => end,
        None if odd => word(uri_start),
        None => line.len(),
    };
    if odd {
        tx.meta.raise("URI_DELIM_NON_COMPLIANT");
    }
    tx.request.uri = Some(line[uri_start..uri_end].to_vec());
    let blanks = line[uri_end..]
        .iter()
        .take_while(|&&octet| is_space(octet))
        .count();
    let protocol = &line[uri_end + blanks..];
    if protocol.is_empty() {
        tx.request.is_09 = true;
        tx.messages[0].version = Version::V09;
        return;
    }
    tx.messages[0].protocol = Some(protocol.to_vec());
    tx.messages[0].version = Version::parse(protocol);
}

/// The request's host: that of the URI, else that of the `Host` field.
fn set_host(tx: &mut HttpTx) {
    tx.request.host = tx.request.uri_host.clone();
    let Some(value) = tx.messages[0].headers.get("host") else {
        if tx.messages[0].version >= Version::V11 {
            tx.meta.raise("MISSING_HOST_HEADER");
        }
        return;
    };
    let (host, port, valid) = uri::host_port(value);
    if !valid {
        tx.meta.raise("REQUEST_HEADER_HOST_INVALID");
    }
    let ambiguous = match (&host, &tx.request.host) {
        (Some(host), Some(known)) => {
            let other_port = matches!((port, tx.request.port), (Some(a), Some(b)) if a != b);
            !host.eq_ignore_ascii_case(known) || other_port
        }
        (None, Some(_)) => true,
        _ => false,
    };
    if ambiguous {
        tx.meta.raise("HOST_HEADER_AMBIGUOUS");
    }
    if tx.request.host.is_none() && host.is_some() {
        tx.request.host = host;
        tx.request.port = port;
    }
}
