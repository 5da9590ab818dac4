//! HTTP/2 (RFC 9113): with prior knowledge, or by upgrade from HTTP/1; a stream is a transaction, and so is each frame of
//! the connection.
//!
//! `frame` reads frames, `hpack` header blocks; `connection` gives them to `streams`; `side` is what a direction of a
//! stream said, `transaction` what rules ask, `record` what EVE shows.

mod connection;
mod frame;
pub(in crate::app) mod hpack;
mod record;
mod side;
mod streams;
mod transaction;

use connection::Connection;
use transaction::progress;

use super::{
    BufferSpec, Carrier, Parser, Pattern, Probe, Probing, Protocol, ValueSpec, BOTH, TO_CLIENT, TO_SERVER,
};
use crate::config::AppProtocol;
use crate::packet::Direction;

/// What bounds a connection: `max-streams`, `max-table-size`, `max-reassembly-size`.
#[derive(Clone, Copy, Debug)]
struct Limits {
    /// Streams, and frames of the connection, that the engine has not dealt with yet.
    streams: usize,
    /// Octets of a table of fields that are kept.
    table_octets: u32,
    /// Octets of a header block in several frames.
    block_octets: usize,
}

impl Limits {
    fn new(config: &AppProtocol) -> Limits {
        let number = |key: &str| config.options.get(key).and_then(|text| text.parse::<u32>().ok());
        Limits {
            streams: number("max-streams").unwrap_or(4096) as usize,
            table_octets: number("max-table-size").unwrap_or(65_536),
            block_octets: number("max-reassembly-size").unwrap_or(102_400) as usize,
        }
    }
}

/// Settings that rules ask for, from number 1 on: their name in rules, the value of a transaction.
pub const SETTINGS: [(&str, &str); 6] = [
    ("SETTINGS_HEADER_TABLE_SIZE", "http2.settings.header_table_size"),
    ("SETTINGS_ENABLE_PUSH", "http2.settings.enable_push"),
    (
        "SETTINGS_MAX_CONCURRENT_STREAMS",
        "http2.settings.max_concurrent_streams",
    ),
    (
        "SETTINGS_INITIAL_WINDOW_SIZE",
        "http2.settings.initial_window_size",
    ),
    ("SETTINGS_MAX_FRAME_SIZE", "http2.settings.max_frame_size"),
    (
        "SETTINGS_MAX_HEADER_LIST_SIZE",
        "http2.settings.max_header_list_size",
    ),
];

const fn value(name: &'static str) -> ValueSpec {
    ValueSpec {
        name,
        directions: BOTH,
        progress: 0,
    }
}

/// Values, in the order of their slots.
static VALUES: &[ValueSpec] = &[
    value("http2.frametype"),
    value("http2.errorcode"),
    value("http2.priority"),
    value("http2.window"),
    value("http2.size_update"),
    value(SETTINGS[0].1),
    value(SETTINGS[1].1),
    value(SETTINGS[2].1),
    value(SETTINGS[3].1),
    value(SETTINGS[4].1),
    value(SETTINGS[5].1),
];

/// Buffers, in the order of their slots.
static BUFFERS: &[BufferSpec] = &[
    BufferSpec::new("http.uri", TO_SERVER, progress::DATA),
    BufferSpec::new("http.uri.raw", TO_SERVER, progress::DATA),
    BufferSpec::new("http.method", TO_SERVER, progress::DATA),
    BufferSpec::new("http.request_line", TO_SERVER, progress::DATA),
    BufferSpec::new("http.protocol", BOTH, progress::DATA),
    BufferSpec::new("http.host", TO_SERVER, progress::DATA),
    BufferSpec::new("http.host.raw", TO_SERVER, progress::DATA),
    BufferSpec::new("http.header", BOTH, progress::DATA),
    BufferSpec::new("http.header.raw", BOTH, progress::DATA),
    BufferSpec::new("http.header_names", BOTH, progress::DATA),
    BufferSpec::new("http.cookie", BOTH, progress::DATA),
    BufferSpec::new("http.user_agent", TO_SERVER, progress::DATA),
    BufferSpec::new("http.referer", TO_SERVER, progress::DATA),
    BufferSpec::new("http.accept", TO_SERVER, progress::DATA),
    BufferSpec::new("http.accept_enc", TO_SERVER, progress::DATA),
    BufferSpec::new("http.accept_lang", TO_SERVER, progress::DATA),
    BufferSpec::new("http.connection", BOTH, progress::DATA),
    BufferSpec::new("http.content_len", BOTH, progress::DATA),
    BufferSpec::new("http.content_type", BOTH, progress::DATA),
    BufferSpec::new("http.request_header", TO_SERVER, progress::FIELDS).multi(),
    BufferSpec::new("http.response_header", TO_CLIENT, progress::FIELDS).multi(),
    BufferSpec::new("http.request_body", TO_SERVER, progress::DATA)
        .multi()
        .streaming(),
    BufferSpec::new("http.stat_code", TO_CLIENT, progress::DATA),
    // HTTP/2 has none; rules that ask for its absence are answered.
    BufferSpec::new("http.stat_msg", TO_CLIENT, progress::DATA),
    BufferSpec::new("http.response_line", TO_CLIENT, progress::DATA),
    BufferSpec::new("http.server", TO_CLIENT, progress::DATA),
    BufferSpec::new("http.location", TO_CLIENT, progress::DATA),
    BufferSpec::new("http.response_body", TO_CLIENT, progress::DATA)
        .multi()
        .streaming(),
    BufferSpec::new("http2.header_name", BOTH, progress::FIELDS).multi(),
    BufferSpec::new("http2.header", BOTH, progress::FIELDS).multi(),
    BufferSpec::new("file.data", BOTH, progress::DATA)
        .multi()
        .streaming(),
    BufferSpec::new("file.name", BOTH, progress::DATA).multi(),
    BufferSpec::new("file.magic", BOTH, progress::DATA).multi(),
];

/// HTTP/2.
pub static PROTOCOL: Protocol = Protocol {
    name: "http2",
    patterns: &[Pattern::tcp(Direction::ToServer, b"PRI * HTTP/2.0\r\n").nocase()],
    probing: &[Probing {
        carrier: Carrier::Tcp,
        ports: &[80],
        client_ports: &[],
        min: frame::HEADER_OCTETS,
        max: 24,
        to_server: None,
        to_client: Some(begins_with_settings),
    }],
    start: Some(start),
    buffers: BUFFERS,
    values: VALUES,
    events: &[
        "invalid_frame_header",
        "invalid_client_magic",
        "invalid_frame_data",
        "invalid_header",
        "invalid_frame_length",
        "extra_header_data",
        "long_frame_data",
        "stream_id_reuse",
        "invalid_http1_settings",
        "failed_decompression",
        "invalid_range",
        "header_integer_overflow",
        "too_many_streams",
        "authority_host_mismatch",
        "userinfo_in_uri",
        "reassembly_limit_reached",
    ],
    ..Protocol::DETECTED
};

fn start(options: &AppProtocol, _carrier: Carrier) -> Box<dyn Parser> {
    Box::new(Connection::new(Limits::new(options)))
}

/// A server's first frame is SETTINGS, of a size it may have.
fn begins_with_settings(octets: &[u8], _direction: Direction) -> Probe {
    match frame::Header::read(octets) {
        None => Probe::Unsure,
        Some(header) => {
            let is_settings = header.kind == frame::kind::SETTINGS && header.flags <= 1;
            if is_settings && !header.reserved && header.len <= 16_384 {
                Probe::Certain
            } else {
                Probe::No
            }
        }
    }
}

#[cfg(test)]
mod tests;
