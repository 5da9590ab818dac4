//! HTTP/1.0, 1.1 and 0.9 as the "IDS" view sees it: what any server or browser might make of broken messages.
//!
//! `request` and `response` are state machines over the octets of their direction; `fields`, `header`, `uri`, `body`,
//! `encodings` and `multipart` are the parts of a message; `transaction` is what rules ask; `record` is what EVE shows.
//!
//! Events keep the upper-case names under which EVE's anomaly records show them; rules write them in any case.

mod body;
mod encodings;
mod fields;
mod header;
mod multipart;
pub(super) mod options;
mod record;
mod request;
mod response;
mod transaction;
mod upgrade;
mod uri;

use std::sync::Arc;

pub use header::parameter;
use options::HttpOptions;
use transaction::{progress, HttpTx};

use super::{
    BufferSpec, Carrier, Input, Parsed, Parser, Pattern, Protocol, Requests, Transactions, TxQueue, BOTH,
    TO_CLIENT, TO_SERVER,
};
use crate::app::coding::Layer;
use crate::config::AppProtocol;
use crate::packet::Direction;

/// Transactions of a flow the engine has not dealt with yet, at most.
const MAX_TRANSACTIONS: usize = 512;
/// Octets of a file's name that are kept.
const MAX_FILE_NAME_OCTETS: usize = 4096;
/// Times what was sent that a body may decode to, once it is above the bomb limit.
const BOMB_RATIO: u64 = 2048;

macro_rules! methods {
    ($($name:literal)*) => {
        &[
            $(
                Pattern::tcp(Direction::ToServer, concat!($name, " ").as_bytes()).nocase(),
                Pattern::tcp(Direction::ToServer, concat!($name, "\t").as_bytes()).nocase(),
            )*
            Pattern::tcp(Direction::ToClient, b"HTTP/0.9").nocase(),
            Pattern::tcp(Direction::ToClient, b"HTTP/1.0").nocase(),
            Pattern::tcp(Direction::ToClient, b"HTTP/1.1").nocase(),
        ]
    };
}

static PATTERNS: &[Pattern] = methods!(
    "GET" "PUT" "POST" "HEAD" "TRACE" "OPTIONS" "CONNECT" "DELETE" "PATCH" "PROPFIND" "PROPPATCH" "MKCOL" "COPY" "MOVE"
    "LOCK" "UNLOCK" "CHECKOUT" "UNCHECKOUT" "CHECKIN" "UPDATE" "LABEL" "REPORT" "MKWORKSPACE" "MKACTIVITY" "MERGE"
    "INVALID" "VERSION-CONTROL" "BASELINE-CONTROL"
);

/// Methods that are known when they begin what follows a message.
const METHODS: &[&[u8]] = &[
    b"GET",
    b"PUT",
    b"POST",
    b"DELETE",
    b"CONNECT",
    b"OPTIONS",
    b"TRACE",
    b"PATCH",
    b"PROPFIND",
    b"PROPPATCH",
    b"MKCOL",
    b"COPY",
    b"MOVE",
    b"LOCK",
    b"UNLOCK",
    b"VERSION-CONTROL",
    b"CHECKOUT",
    b"UNCHECKOUT",
    b"CHECKIN",
    b"UPDATE",
    b"LABEL",
    b"REPORT",
    b"MKWORKSPACE",
    b"MKACTIVITY",
    b"BASELINE-CONTROL",
    b"MERGE",
    b"INVALID",
    b"HEAD",
];

/// Buffers, in the order of their slots.
static BUFFERS: &[BufferSpec] = &[
    BufferSpec::new("http.uri", TO_SERVER, progress::LINE),
    BufferSpec::new("http.uri.raw", TO_SERVER, progress::LINE),
    BufferSpec::new("http.method", TO_SERVER, progress::LINE),
    BufferSpec::new("http.request_line", TO_SERVER, progress::LINE),
    BufferSpec::new("http.protocol", BOTH, progress::LINE),
    BufferSpec::new("http.host", TO_SERVER, progress::HEADERS),
    BufferSpec::new("http.host.raw", TO_SERVER, progress::HEADERS),
    BufferSpec::new("http.header", BOTH, progress::HEADERS),
    BufferSpec::new("http.header.raw", BOTH, progress::HEADERS),
    BufferSpec::new("http.header_names", BOTH, progress::HEADERS),
    BufferSpec::new("http.cookie", BOTH, progress::HEADERS),
    BufferSpec::new("http.user_agent", TO_SERVER, progress::HEADERS),
    BufferSpec::new("http.referer", TO_SERVER, progress::HEADERS),
    BufferSpec::new("http.accept", TO_SERVER, progress::HEADERS),
    BufferSpec::new("http.accept_enc", TO_SERVER, progress::HEADERS),
    BufferSpec::new("http.accept_lang", TO_SERVER, progress::HEADERS),
    BufferSpec::new("http.connection", BOTH, progress::HEADERS),
    BufferSpec::new("http.content_len", BOTH, progress::HEADERS),
    BufferSpec::new("http.content_type", BOTH, progress::HEADERS),
    BufferSpec::new("http.start", BOTH, progress::HEADERS),
    BufferSpec::new("http.request_header", TO_SERVER, progress::HEADERS).multi(),
    BufferSpec::new("http.response_header", TO_CLIENT, progress::HEADERS).multi(),
    BufferSpec::new("http.request_body", TO_SERVER, progress::BODY).streaming(),
    BufferSpec::new("http.stat_code", TO_CLIENT, progress::LINE),
    BufferSpec::new("http.stat_msg", TO_CLIENT, progress::LINE),
    BufferSpec::new("http.response_line", TO_CLIENT, progress::LINE),
    BufferSpec::new("http.server", TO_CLIENT, progress::HEADERS),
    BufferSpec::new("http.location", TO_CLIENT, progress::HEADERS),
    BufferSpec::new("http.response_body", TO_CLIENT, progress::BODY).streaming(),
    BufferSpec::new("file.data", BOTH, progress::BODY)
        .multi()
        .streaming(),
    BufferSpec::new("file.name", BOTH, progress::BODY).multi(),
    BufferSpec::new("file.magic", BOTH, progress::BODY).multi(),
];

/// HTTP/1.
pub static PROTOCOL: Protocol = Protocol {
    name: "http",
    aliases: &["http1"],
    patterns: PATTERNS,
    accepts_gaps: true,
    start: Some(start),
    buffers: BUFFERS,
    events: &[
        "UNKNOWN_ERROR",
        "GZIP_DECOMPRESSION_FAILED",
        "REQUEST_FIELD_MISSING_COLON",
        "RESPONSE_FIELD_MISSING_COLON",
        "INVALID_REQUEST_CHUNK_LEN",
        "INVALID_RESPONSE_CHUNK_LEN",
        "INVALID_TRANSFER_ENCODING_VALUE_IN_REQUEST",
        "INVALID_TRANSFER_ENCODING_VALUE_IN_RESPONSE",
        "INVALID_CONTENT_LENGTH_FIELD_IN_REQUEST",
        "INVALID_CONTENT_LENGTH_FIELD_IN_RESPONSE",
        "DUPLICATE_CONTENT_LENGTH_FIELD_IN_REQUEST",
        "DUPLICATE_CONTENT_LENGTH_FIELD_IN_RESPONSE",
        "100_CONTINUE_ALREADY_SEEN",
        "UNABLE_TO_MATCH_RESPONSE_TO_REQUEST",
        "INVALID_SERVER_PORT_IN_REQUEST",
        "INVALID_AUTHORITY_PORT",
        "REQUEST_HEADER_INVALID",
        "RESPONSE_HEADER_INVALID",
        "MISSING_HOST_HEADER",
        "HOST_HEADER_AMBIGUOUS",
        "INVALID_REQUEST_FIELD_FOLDING",
        "INVALID_RESPONSE_FIELD_FOLDING",
        "REQUEST_FIELD_TOO_LONG",
        "RESPONSE_FIELD_TOO_LONG",
        "FILE_NAME_TOO_LONG",
        "REQUEST_LINE_INVALID",
        "REQUEST_BODY_UNEXPECTED",
        "REQUEST_SERVER_PORT_TCP_PORT_MISMATCH",
        "REQUEST_URI_HOST_INVALID",
        "REQUEST_HEADER_HOST_INVALID",
        "REQUEST_AUTH_UNRECOGNIZED",
        "REQUEST_HEADER_REPETITION",
        "RESPONSE_HEADER_REPETITION",
        "DOUBLE_ENCODED_URI",
        "URI_DELIM_NON_COMPLIANT",
        "METHOD_DELIM_NON_COMPLIANT",
        "REQUEST_LINE_LEADING_WHITESPACE",
        "TOO_MANY_ENCODING_LAYERS",
        "ABNORMAL_CE_HEADER",
        "RESPONSE_MULTIPART_BYTERANGES",
        "RESPONSE_ABNORMAL_TRANSFER_ENCODING",
        "RESPONSE_CHUNKED_OLD_PROTO",
        "RESPONSE_INVALID_PROTOCOL",
        "RESPONSE_INVALID_STATUS",
        "REQUEST_LINE_INCOMPLETE",
        "LZMA_MEMLIMIT_REACHED",
        "COMPRESSION_BOMB",
        "RANGE_INVALID",
        "REQUEST_CHUNK_EXTENSION",
        "REQUEST_TOO_MANY_HEADERS",
        "RESPONSE_TOO_MANY_HEADERS",
        "MULTIPART_GENERIC_ERROR",
        "MULTIPART_NO_FILEDATA",
        "MULTIPART_INVALID_HEADER",
        "TOO_MANY_WARNINGS",
        "FAILED_PROTOCOL_CHANGE",
    ],
    ..Protocol::DETECTED
};

fn start(options: &AppProtocol, _carrier: Carrier) -> Box<dyn Parser> {
    Box::new(HttpParser {
        options: Arc::new(HttpOptions::new(options)),
        transactions: TxQueue::new(MAX_TRANSACTIONS),
        inbound: request::Inbound::default(),
        outbound: response::Outbound::default(),
        pending: [None, None],
        layers: [Vec::new(), Vec::new()],
        completed: 0,
        tunnel: false,
    })
}

/// Header fields of a message that are kept; more is an error.
const MAX_FIELDS: usize = 1024;
/// Octets a folded header field may grow to.
const MAX_FOLDED_OCTETS: usize = 102_400;

/// What a state did.
enum Step {
    /// Go on with the state that is next.
    Go,
    /// Nothing more to do with what there is.
    Need,
    /// It is not HTTP.
    Error,
    /// The connection became something else.
    Tunnel,
}

struct HttpParser {
    options: Arc<HttpOptions>,
    transactions: TxQueue<HttpTx>,
    inbound: request::Inbound,
    outbound: response::Outbound,
    /// A header field of the request, of the response that may go on with the next line.
    pending: [Option<Vec<u8>>; 2],
    /// Content encodings of the request's and the response's body.
    layers: [Vec<Layer>; 2],
    /// Responses that are complete.
    completed: u64,
    /// Both directions carry something else now.
    tunnel: bool,
}

impl HttpParser {
    fn raise(&mut self, id: Option<u64>, event: &'static str) {
        let tx = match id {
            Some(id) => self.transactions.item_mut(id),
            None => self.transactions.last_mut(),
        };
        if let Some(tx) = tx {
            tx.meta.raise(event);
        }
    }

    /// Octets of a body came, as sent. Returns false when they decode to too much.
    fn body(&mut self, id: u64, direction: Direction, octets: &[u8], requests: &mut Requests) -> bool {
        let at = direction.index();
        let Some(tx) = self.transactions.item_mut(id) else {
            return true;
        };
        tx.message_mut(direction).message_len += octets.len() as u64;
        if self.layers[at].is_empty() {
            requests.trigger_raw[at] |= tx.body(direction, octets);
            return true;
        }
        let mut decoded = Vec::new();
        let mut input = octets.to_vec();
        for layer in &mut self.layers[at] {
            decoded.clear();
            if let Some(event) = layer.decode(&input, &mut decoded) {
                tx.meta.raise(event);
            }
            std::mem::swap(&mut input, &mut decoded);
        }
        requests.trigger_raw[at] |= tx.body(direction, &input);
        let message = tx.message(direction);
        let bomb = message.entity_len > self.options.bomb_limit
            && message.entity_len > BOMB_RATIO.saturating_mul(message.message_len);
        if bomb {
            tx.meta.raise("COMPRESSION_BOMB");
        }
        !bomb
    }

    /// A body is over: what its decoders hold comes now.
    fn finish_body(&mut self, id: u64, direction: Direction, requests: &mut Requests) {
        let at = direction.index();
        let mut carried = Vec::new();
        for mut layer in std::mem::take(&mut self.layers[at]) {
            let mut decoded = Vec::new();
            if !carried.is_empty() {
                layer.decode(&carried, &mut decoded);
            }
            layer.finish(&mut decoded);
            carried = decoded;
        }
        if let Some(tx) = self.transactions.item_mut(id) {
            requests.trigger_raw[at] |= tx.body(direction, &carried);
        }
    }
}

impl Parser for HttpParser {
    fn parse(&mut self, direction: Direction, input: &Input<'_>, requests: &mut Requests) -> Parsed {
        if self.tunnel {
            return Parsed::Used(input.data.len());
        }
        match direction {
            Direction::ToServer => self.parse_requests(input, requests),
            Direction::ToClient => self.parse_responses(input, requests),
        }
    }

    fn transactions(&self) -> &dyn Transactions {
        &self.transactions
    }

    fn transactions_mut(&mut self) -> &mut dyn Transactions {
        &mut self.transactions
    }
}

/// A line without its end, and how long that was.
fn chomp(line: &[u8]) -> (&[u8], usize) {
    let mut rest = line;
    let mut end = 0;
    loop {
        match rest {
            [before @ .., b'\r', b'\n'] => (rest, end) = (before, 2),
            [before @ .., b'\n' | b'\r'] => (rest, end) = (before, 1),
            _ => return (rest, end),
        }
    }
}

/// Whether a line says nothing. `more` tells that octets other than LF follow.
fn is_blank(line: &[u8], more: bool) -> bool {
    matches!(line, b"\r" | b"\n" | b"\r\n") || (matches!(line, b" \n" | b"\t\n") && more)
}

fn is_folding(octet: u8) -> bool {
    matches!(octet, b' ' | b'\t' | 0)
}

#[cfg(test)]
mod tests;
