//! A request with its response.

use std::cell::OnceCell;
use std::sync::Arc;

use super::body::Body;
use super::header::Headers;
use super::multipart::Multipart;
use super::options::HttpOptions;
use super::{record, BUFFERS};
use crate::app::{Buffer, Transaction, TxMeta};
use crate::event::json::Json;
use crate::file::{Files, State};
use crate::packet::Direction;

/// How far a message got: libhtp's numbers, which rules' inspection order hangs on.
pub mod progress {
    /// Its first line is awaited.
    pub const LINE: u8 = 1;
    /// Its header is awaited.
    pub const HEADERS: u8 = 2;
    /// Its body is awaited.
    pub const BODY: u8 = 3;
    /// Its trailer is awaited.
    pub const TRAILER: u8 = 4;
    /// It is over.
    pub const COMPLETE: u8 = 5;
}

/// HTTP versions that are told apart; anything else is `Invalid`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// Not seen.
    #[default]
    Unknown,
    /// Not a version.
    Invalid,
    /// HTTP/0.9.
    V09,
    /// HTTP/1.0.
    V10,
    /// HTTP/1.1.
    V11,
}

impl Version {
    /// What `HTTP/x.y` says.
    pub fn parse(text: &[u8]) -> Version {
        match text {
            b"HTTP/0.9" => Version::V09,
            b"HTTP/1.0" => Version::V10,
            b"HTTP/1.1" => Version::V11,
            _ => Version::Invalid,
        }
    }
}

/// What both kinds of message have.
#[derive(Debug, Default)]
pub struct Message {
    /// See [`progress`].
    pub progress: u8,
    /// The first line, without its end.
    pub line: Option<Vec<u8>>,
    /// Version as text.
    pub protocol: Option<Vec<u8>>,
    /// Version.
    pub version: Version,
    /// Header fields.
    pub headers: Headers,
    /// Header (and trailer) octets.
    pub raw: Vec<u8>,
    /// The header is complete.
    pub headers_done: bool,
    /// It has a trailer.
    pub trailer: bool,
    /// Its body, decoded.
    pub body: Body,
    /// Octets of the message's body as sent.
    pub message_len: u64,
    /// Octets of its body as decoded.
    pub entity_len: u64,
    /// An event on header fields that is raised once was raised: no colon, invalid, folding.
    pub raised_once: [bool; 3],
    composed: OnceCell<Vec<u8>>,
    names: OnceCell<Vec<u8>>,
    start: OnceCell<Vec<u8>>,
    fields: OnceCell<Vec<Vec<u8>>>,
}

impl Message {
    /// `Name: value` lines, without cookies.
    fn composed(&self, cookie: &[u8]) -> &[u8] {
        self.composed.get_or_init(|| {
            let mut out = Vec::with_capacity(self.raw.len() + 2 * self.headers.len());
            for (name, value) in self.headers.iter() {
                if !name.eq_ignore_ascii_case(cookie) {
                    out.extend_from_slice(name);
                    out.extend_from_slice(b": ");
                    out.extend_from_slice(value);
                    out.extend_from_slice(b"\r\n");
                }
            }
            out
        })
    }

    fn names(&self) -> &[u8] {
        self.names.get_or_init(|| {
            let mut out = Vec::new();
            out.extend_from_slice(b"\r\n");
            for (name, _) in self.headers.iter() {
                out.extend_from_slice(name);
                out.extend_from_slice(b"\r\n");
            }
            out.extend_from_slice(b"\r\n");
            out
        })
    }

    fn start(&self) -> &[u8] {
        self.start.get_or_init(|| {
            let mut out = Vec::with_capacity(self.raw.len());
            out.extend_from_slice(self.line.as_deref().unwrap_or_default());
            out.extend_from_slice(b"\r\n");
            for (name, value) in self.headers.iter() {
                out.extend_from_slice(name);
                out.extend_from_slice(b": ");
                out.extend_from_slice(value);
                out.extend_from_slice(b"\r\n");
            }
            out.extend_from_slice(b"\r\n");
            out
        })
    }

    fn field(&self, index: usize) -> Option<&[u8]> {
        self.fields
            .get_or_init(|| {
                let line = |(name, value): (&[u8], &[u8])| [name, b": ", value].concat();
                self.headers.iter().map(line).collect()
            })
            .get(index)
            .map(Vec::as_slice)
    }
}

/// What only a request has.
#[derive(Debug, Default)]
pub struct RequestPart {
    /// Method as text.
    pub method: Option<Vec<u8>>,
    /// URI as sent.
    pub uri: Option<Vec<u8>>,
    /// URI made comparable.
    pub normalized: Option<Vec<u8>>,
    /// Path made comparable: the name of files without another.
    pub path: Option<Vec<u8>>,
    /// Host of an absolute URI.
    pub uri_host: Option<Vec<u8>>,
    /// Host: of the URI or the `Host` field.
    pub host: Option<Vec<u8>>,
    /// Port given with the host.
    pub port: Option<u16>,
    /// It is an HTTP/0.9 request: a line and nothing else.
    pub is_09: bool,
    /// The form in its body.
    pub form: Option<Multipart>,
    /// Its body was looked at for a form.
    pub form_checked: bool,
}

/// What only a response has.
#[derive(Debug, Default)]
pub struct ResponsePart {
    /// Status as text.
    pub status: Option<Vec<u8>>,
    /// Status; 0 when it is none.
    pub number: u16,
    /// Reason.
    pub message: Option<Vec<u8>>,
    /// 100 (Continue) was seen.
    pub continued: bool,
}

/// A transaction.
#[derive(Debug)]
pub struct HttpTx {
    /// The engine's part.
    pub meta: TxMeta,
    /// Request and response.
    pub messages: [Message; 2],
    /// The request's own.
    pub request: RequestPart,
    /// The response's own.
    pub response: ResponsePart,
    /// Files in both.
    pub files: Files,
    /// Whether a file is open in the request, the response.
    pub in_file: [bool; 2],
    options: Arc<HttpOptions>,
}

impl HttpTx {
    /// A new one.
    pub fn new(options: Arc<HttpOptions>) -> HttpTx {
        HttpTx {
            meta: TxMeta::default(),
            messages: Default::default(),
            request: RequestPart::default(),
            response: ResponsePart::default(),
            files: Files::default(),
            in_file: [false; 2],
            options,
        }
    }

    /// A message's part.
    pub fn message(&self, direction: Direction) -> &Message {
        &self.messages[direction.index()]
    }

    /// A message's part, to change it.
    pub fn message_mut(&mut self, direction: Direction) -> &mut Message {
        &mut self.messages[direction.index()]
    }

    /// Decoded octets of a body came. Returns whether raw inspection should happen now.
    pub fn body(&mut self, direction: Direction, octets: &[u8]) -> bool {
        if octets.is_empty() {
            return false;
        }
        let at = direction.index();
        self.messages[at].entity_len += octets.len() as u64;
        let options = self.options.bodies[at];
        let Some(room) = self.messages[at].body.room(octets.len(), &options) else {
            if self.in_file[at] {
                self.files.close(direction, State::Truncated);
                self.in_file[at] = false;
            }
            return false;
        };
        let octets = &octets[..room];
        self.messages[at].body.append(octets);
        match direction {
            Direction::ToServer => self.request_file(octets),
            Direction::ToClient => self.response_file(octets),
        }
        let body = &self.messages[at].body;
        body.inspected == 0 && body.taken >= options.inspect_min_size
    }

    /// Octets of a body were lost.
    pub fn body_gap(&mut self, direction: Direction, octets: u64) {
        let at = direction.index();
        self.messages[at].body.gap(octets);
        self.messages[at].message_len += octets;
        match direction {
            Direction::ToServer => self.request_file(&[]),
            Direction::ToClient => self.response_file(&[]),
        }
        self.files.gap(direction, octets);
    }

    fn request_file(&mut self, octets: &[u8]) {
        let method = self.request.method.as_deref().unwrap_or_default();
        let is_post = method == b"POST";
        if !self.request.form_checked {
            self.request.form_checked = true;
            if is_post {
                let content_type = self.messages[0].headers.get("content-type").unwrap_or_default();
                self.request.form = Multipart::new(content_type).unwrap_or(None);
            }
        }
        if self.request.form.is_some() {
            self.read_form(false);
        } else if is_post || method == b"PUT" {
            self.file(Direction::ToServer, None, octets);
        }
    }

    fn read_form(&mut self, complete: bool) {
        let Some(form) = &mut self.request.form else {
            return;
        };
        let data = self.messages[0].body.from(form.parsed);
        if let Some(event) = form.read(data, complete, &mut self.files) {
            self.meta.raise(event);
        }
    }

    fn response_file(&mut self, octets: &[u8]) {
        let headers = &self.messages[1].headers;
        let name = headers
            .get("content-disposition")
            .and_then(|value| super::header::parameter(value, b"filename="))
            .map(<[u8]>::to_vec);
        self.file(Direction::ToClient, name, octets);
        if self.in_file[1] {
            let range = self.messages[1]
                .headers
                .get("content-range")
                .and_then(super::record::content_range);
            if let (Some(range), Some(file)) = (range, self.files.open_file(Direction::ToClient)) {
                file.range = Some(range);
            }
        }
    }

    fn file(&mut self, direction: Direction, name: Option<Vec<u8>>, octets: &[u8]) {
        let at = direction.index();
        if !self.in_file[at] {
            let Some(name) = name.as_deref().or(self.request.path.as_deref()) else {
                return;
            };
            let kept = &name[..name.len().min(super::MAX_FILE_NAME_OCTETS)];
            if kept.len() < name.len() {
                self.meta.raise("FILE_NAME_TOO_LONG");
            }
            if self.files.open(kept, direction).is_none() {
                return;
            }
            self.in_file[at] = true;
        }
        self.files.append(direction, octets);
    }

    /// A message is over: end its files.
    pub fn close_files(&mut self, direction: Direction) {
        if direction == Direction::ToServer && self.request.form.is_some() {
            self.read_form(true);
        }
        if self.in_file[direction.index()] {
            self.files.close(direction, State::Closed);
            self.in_file[direction.index()] = false;
        }
    }

    fn over(&self, direction: Direction) -> bool {
        self.message(direction).progress > progress::BODY
    }

    fn header(&self, direction: Direction, name: &str) -> Option<&[u8]> {
        let message = self.message(direction);
        message.headers_done.then(|| message.headers.get(name)).flatten()
    }
}

impl Transaction for HttpTx {
    fn meta(&self) -> &TxMeta {
        &self.meta
    }

    fn meta_mut(&mut self) -> &mut TxMeta {
        &mut self.meta
    }

    fn progress(&self, direction: Direction) -> u8 {
        self.message(direction).progress
    }

    fn begun(&self, direction: Direction) -> bool {
        self.message(direction).progress > 0
    }

    fn complete(&self, direction: Direction) -> bool {
        self.message(direction).progress >= progress::COMPLETE
    }

    fn buffer(&self, slot: usize, direction: Direction, index: usize) -> Option<Buffer<'_>> {
        let name = BUFFERS.get(slot)?.name;
        let message = self.message(direction);
        let request = direction == Direction::ToServer;
        let body = |at: usize| {
            message
                .body
                .buffer(self.over(direction), &self.options.bodies[at])
        };
        let octets: Option<&[u8]> = match name {
            "http.request_body" if request => return body(0),
            "http.response_body" if !request => return body(1),
            "file.data" if !request => return if index == 0 { body(1) } else { None },
            "file.data" => return self.files.of(direction).nth(index)?.buffer(),
            "http.request_header" | "http.response_header" => {
                message.headers_done.then(|| message.field(index)).flatten()
            }
            "file.name" => Some(&self.files.of(direction).nth(index)?.name),
            "file.magic" => self.files.of(direction).nth(index)?.magic().map(str::as_bytes),
            _ if index > 0 => None,
            "http.uri" => self.request.normalized.as_deref(),
            "http.uri.raw" => self.request.uri.as_deref(),
            "http.method" => self.request.method.as_deref(),
            "http.protocol" => message.protocol.as_deref(),
            "http.request_line" => self.messages[0].line.as_deref(),
            "http.response_line" => self.messages[1].line.as_deref(),
            "http.stat_code" => self.response.status.as_deref(),
            "http.stat_msg" => self.response.message.as_deref(),
            "http.host" => self.messages[0]
                .headers_done
                .then_some(self.request.host.as_deref())
                .flatten(),
            "http.host.raw" => match &self.request.uri_host {
                Some(host) => Some(host),
                None => self.header(direction, "host"),
            },
            "http.cookie" if request => self.header(direction, "cookie"),
            "http.cookie" => self.header(direction, "set-cookie"),
            "http.header" if message.headers_done && message.headers.len() > 0 => {
                Some(message.composed(if request { b"cookie" } else { b"set-cookie" }))
            }
            "http.header.raw" if message.headers_done => Some(&message.raw),
            "http.header_names" if message.headers_done && message.headers.len() > 0 => Some(message.names()),
            "http.start" if message.headers_done => Some(message.start()),
            "http.user_agent" => self.header(direction, "user-agent"),
            "http.referer" => self.header(direction, "referer"),
            "http.accept" => self.header(direction, "accept"),
            "http.accept_enc" => self.header(direction, "accept-encoding"),
            "http.accept_lang" => self.header(direction, "accept-language"),
            "http.connection" => self.header(direction, "connection"),
            "http.content_len" => self.header(direction, "content-length"),
            "http.content_type" => self.header(direction, "content-type"),
            "http.server" => self.header(direction, "server"),
            "http.location" => self.header(direction, "location"),
            _ => None,
        };
        octets.filter(|octets| !octets.is_empty()).map(Buffer::whole)
    }

    fn inspected(&mut self, direction: Direction) {
        let over = self.over(direction);
        let at = direction.index();
        let keep_from = match &self.request.form {
            Some(form) if at == 0 => form.parsed,
            _ => u64::MAX,
        };
        let options = self.options.bodies[at];
        self.messages[at].body.mark_inspected(over, &options, keep_from);
        self.files.inspected(direction);
    }

    fn files(&self) -> Option<&Files> {
        Some(&self.files)
    }

    fn files_mut(&mut self) -> Option<&mut Files> {
        Some(&mut self.files)
    }

    fn records(&self, ended: bool) -> usize {
        let complete = self.complete(Direction::ToServer) && self.complete(Direction::ToClient);
        usize::from(complete || ended)
    }

    fn record_type(&self, _index: usize) -> &'static str {
        "http"
    }

    fn write_record(&self, _index: usize, json: &mut Json<'_>) {
        record::write(self, json);
    }
}
