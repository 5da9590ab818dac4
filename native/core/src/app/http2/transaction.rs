//! A stream, or one frame of the connection, as a transaction.

use std::sync::Arc;

use super::hpack::Item;
use super::side::{Mark, Side};
use super::{record, BUFFERS, VALUES};
use crate::app::coding::{Encoding, Layer};
use crate::app::{Buffer, Transaction, TxMeta};
use crate::event::json::Json;
use crate::file::{Files, State as FileState};
use crate::packet::Direction;

/// Brotli decoders of a connection at a time: each may take a window of 16 MB.
const MAX_LARGE_DECODERS: usize = 16;
/// A body that decodes to more than this is given up when it is so many times what was sent.
const BOMB_OCTETS: u64 = 1 << 20;
const BOMB_RATIO: u64 = 2048;
/// Octets of a body that are decoded at a time: what comes of them may be a thousand times as much.
const DECODED_AT_A_TIME: usize = 4096;

/// How far a stream got: Suricata's states, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// Frames came, no body.
    Open,
    /// The server promised it.
    Reserved,
    /// The client sends a body.
    DataClient,
    /// The client is done.
    HalfClosedClient,
    /// The server sends a body.
    DataServer,
    /// The server is done.
    HalfClosedServer,
    /// Both are done.
    Closed,
    /// A frame of the connection.
    Connection,
    /// There were too many streams.
    Dropped,
}

/// How far a direction got, as rules ask for it.
pub mod progress {
    /// Fields may come.
    pub const FIELDS: u8 = 1;
    /// The body, or nothing after the fields, came: they can be looked at.
    pub const DATA: u8 = 2;
    /// The stream went on from there.
    pub const AFTER: u8 = 3;
    /// It is over.
    pub const OVER: u8 = 4;
}

/// A direction's body.
#[derive(Debug, Default)]
struct Body {
    /// The first content encoding was seen.
    encoding_seen: bool,
    decoder: Option<Layer>,
    /// Held as long as the decoder takes much memory.
    large: Option<Arc<()>>,
    /// Its file was opened.
    opened: bool,
    /// Octets that went into the decoder, that came out.
    sent: u64,
    made: u64,
}

/// A stream.
#[derive(Debug)]
pub struct Http2Tx {
    /// The engine's part.
    pub meta: TxMeta,
    /// Number of the stream; 0 is the connection.
    pub stream: u32,
    /// How far it got.
    pub state: State,
    /// What each direction said.
    pub sides: [Side; 2],
    /// A frame came that a direction's rules have not looked at since.
    news: [bool; 2],
    bodies: [Body; 2],
    files: Files,
}

impl Http2Tx {
    /// A new one.
    pub fn new(stream: u32) -> Http2Tx {
        Http2Tx {
            meta: TxMeta::default(),
            stream,
            state: if stream == 0 {
                State::Connection
            } else {
                State::Open
            },
            sides: Default::default(),
            news: [true; 2],
            bodies: Default::default(),
            files: Files::default(),
        }
    }

    /// What a direction said.
    pub fn side_mut(&mut self, direction: Direction) -> &mut Side {
        &mut self.sides[direction.index()]
    }

    /// A frame came, from either side.
    pub fn has_news(&mut self) {
        self.news = [true; 2];
    }

    /// A direction sent the end of what it sends.
    pub fn end(&mut self, direction: Direction) {
        let client = direction == Direction::ToServer;
        self.state = match self.state {
            State::Closed | State::Connection => return,
            State::HalfClosedClient | State::DataServer if !client => State::Closed,
            State::HalfClosedServer if client => State::Closed,
            State::HalfClosedClient | State::DataServer | State::HalfClosedServer => return,
            _ if client => State::HalfClosedClient,
            _ => State::HalfClosedServer,
        };
    }

    /// A direction sent octets of a body, and more will come.
    pub fn goes_on(&mut self, direction: Direction) {
        self.state = self.state.max(match direction {
            Direction::ToServer => State::DataClient,
            Direction::ToClient => State::DataServer,
        });
    }

    /// A header block was decoded. `decoders` counts those of the connection that take much memory.
    pub fn fields(&mut self, direction: Direction, items: Vec<Item>, decoders: &Arc<()>) {
        let (mut authority, mut host) = (None, None);
        for (name, value) in items.iter().map(Item::field) {
            if name == b"content-encoding" {
                if !self.bodies[direction.index()].encode(value, decoders) {
                    self.meta.raise("failed_decompression");
                }
            } else if name.eq_ignore_ascii_case(b":authority") {
                authority = Some(value);
                // RFC 9113 section 8.3.1: no user there.
                if value.contains(&b'@') {
                    self.meta.raise("userinfo_in_uri");
                }
            } else if name.eq_ignore_ascii_case(b"host") {
                host = Some(value);
            }
        }
        if let (Some(authority), Some(host)) = (authority, host) {
            if !authority.eq_ignore_ascii_case(host) {
                self.meta.raise("authority_host_mismatch");
            }
        }
        if items.iter().any(|item| matches!(item, Item::Wrong(_))) {
            self.meta.raise("invalid_header");
        }
        if !self.side_mut(direction).add_items(items) {
            self.meta.raise("reassembly_limit_reached");
        }
    }

    /// Octets of a body came; `over` when they are the last.
    pub fn data(&mut self, direction: Direction, octets: &[u8], over: bool) {
        let body = &mut self.bodies[direction.index()];
        if !std::mem::replace(&mut body.opened, true) {
            if direction == Direction::ToClient {
                let range = self.sides[1].joined(b"content-range");
                if range.is_some_and(|range| !is_range(range)) {
                    self.meta.raise("invalid_range");
                }
            }
            self.files.open(b"", direction);
        }
        match &mut body.decoder {
            None => self.files.append(direction, octets),
            Some(decoder) => {
                let mut decoded = Vec::new();
                for piece in octets.chunks(DECODED_AT_A_TIME) {
                    decoded.clear();
                    let trouble = decoder.decode(piece, &mut decoded);
                    decoder.finish(&mut decoded);
                    self.files.append(direction, &decoded);
                    body.sent += piece.len() as u64;
                    body.made += decoded.len() as u64;
                    let is_bomb = body.made > BOMB_OCTETS && body.made / BOMB_RATIO > body.sent;
                    if trouble.is_some() || is_bomb {
                        self.meta.raise("failed_decompression");
                    }
                    if is_bomb {
                        self.files.close(direction, FileState::Truncated);
                        (body.decoder, body.large) = (None, None);
                        return;
                    }
                }
            }
        }
        if over {
            (body.decoder, body.large) = (None, None);
            self.files.close(direction, FileState::Closed);
        }
    }
}

impl Body {
    /// The first content encoding counts. False when there are too many decoders for another.
    fn encode(&mut self, value: &[u8], decoders: &Arc<()>) -> bool {
        if std::mem::replace(&mut self.encoding_seen, true) {
            return true;
        }
        if value == b"br" {
            // One of the references is the connection's, one the caller's.
            if Arc::strong_count(decoders) > MAX_LARGE_DECODERS + 1 {
                return false;
            }
            self.large = Some(decoders.clone());
        }
        self.decoder = match value {
            b"gzip" => Some(Layer::new(Encoding::Gzip, 0)),
            b"deflate" => Some(Layer::new(Encoding::Deflate, 0)),
            b"br" => Some(Layer::new(Encoding::Brotli, 0)),
            _ => None,
        };
        true
    }
}

/// `bytes first-last/size`, `bytes first-last/*` or `bytes */size`, with numbers in their order.
fn is_range(value: &[u8]) -> bool {
    let read = || {
        let text = std::str::from_utf8(value).ok()?.trim_start_matches(' ');
        let text = text.split_once(' ')?.1.trim_start_matches(' ');
        let (range, size) = text.split_once('/')?;
        let number = |text: &str| text.parse::<i64>().ok().filter(|number| *number >= 0);
        let digits = size.bytes().take_while(u8::is_ascii_digit).count();
        let size = if size.starts_with('*') {
            -1
        } else {
            number(&size[..digits])?
        };
        if range == "*" {
            return Some(size >= 0);
        }
        let (first, last) = range.split_once('-')?;
        let (first, last) = (number(first)?, number(last)?);
        Some(first <= last && !(last > 0 && size > 0 && last > size - 1))
    };
    read().unwrap_or(false)
}

impl Transaction for Http2Tx {
    fn meta(&self) -> &TxMeta {
        &self.meta
    }

    fn meta_mut(&mut self) -> &mut TxMeta {
        &mut self.meta
    }

    fn progress(&self, direction: Direction) -> u8 {
        let data = match direction {
            Direction::ToServer => State::DataClient,
            Direction::ToClient => State::DataServer,
        };
        match self.state {
            state if state >= State::Closed => progress::OVER,
            state if state > data => progress::AFTER,
            state if state == data => progress::DATA,
            _ => progress::FIELDS,
        }
    }

    fn begun(&self, direction: Direction) -> bool {
        self.news[direction.index()]
    }

    fn complete(&self, _direction: Direction) -> bool {
        self.state >= State::Closed
    }

    fn buffer(&self, slot: usize, direction: Direction, index: usize) -> Option<Buffer<'_>> {
        let name = BUFFERS.get(slot)?.name;
        let side = &self.sides[direction.index()];
        let request = direction == Direction::ToServer;
        let octets: Option<&[u8]> = match name {
            "file.data" | "http.request_body" | "http.response_body" => {
                return self.files.of(direction).nth(index)?.buffer();
            }
            // Its files have none; rules on files are asked from that progress on.
            "file.name" => Some(&self.files.of(direction).nth(index)?.name),
            "file.magic" => self.files.of(direction).nth(index)?.magic().map(str::as_bytes),
            "http2.header_name" => side.name(index),
            "http2.header" | "http.request_header" | "http.response_header" => side.line(index),
            _ if index > 0 => None,
            "http.uri" | "http.uri.raw" => side.first(b":path"),
            "http.method" => side.first(b":method"),
            "http.stat_code" => side.first(b":status"),
            "http.protocol" => Some(b"HTTP/2"),
            "http.request_line" => Some(side.request_line()),
            "http.response_line" => Some(side.response_line()),
            "http.host" => side.host(),
            "http.host.raw" => side.joined(b":authority"),
            "http.header" => side.composed(if request { b"cookie" } else { b"set-cookie" }),
            "http.header.raw" => side.raw(),
            "http.header_names" => side.names(),
            "http.cookie" if request => side.joined(b"cookie"),
            "http.cookie" => side.joined(b"set-cookie"),
            "http.user_agent" => side.joined(b"user-agent"),
            "http.referer" => side.joined(b"referer"),
            "http.accept" => side.joined(b"accept"),
            "http.accept_enc" => side.joined(b"accept-encoding"),
            "http.accept_lang" => side.joined(b"accept-language"),
            "http.connection" => side.joined(b"connection"),
            "http.content_len" => side.joined(b"content-length"),
            "http.content_type" => side.joined(b"content-type"),
            "http.server" => side.joined(b"server"),
            "http.location" => side.joined(b"location"),
            _ => None,
        };
        octets.filter(|octets| !octets.is_empty()).map(Buffer::whole)
    }

    fn value(&self, slot: usize, direction: Direction, index: usize) -> Option<i64> {
        let side = &self.sides[direction.index()];
        let name = VALUES.get(slot)?.name;
        match name {
            "http2.frametype" => side.kinds().nth(index).map(i64::from),
            "http2.errorcode" => side.codes().nth(index).map(i64::from),
            "http2.priority" => side.weights().nth(index).map(i64::from),
            "http2.window" => side.windows.get(index).map(|&increment| increment.into()),
            "http2.size_update" => side.size_updates().nth(index),
            _ => {
                let id = super::SETTINGS.iter().position(|(_, value)| *value == name)? + 1;
                let settings = side.settings.iter().flatten();
                settings
                    .filter(|(known, _)| usize::from(*known) == id)
                    .nth(index)
                    .map(|(_, value)| i64::from(*value))
            }
        }
    }

    fn inspected(&mut self, direction: Direction) {
        self.news[direction.index()] = false;
        self.files.inspected(direction);
    }

    fn files(&self) -> Option<&Files> {
        Some(&self.files)
    }

    fn files_mut(&mut self) -> Option<&mut Files> {
        Some(&mut self.files)
    }

    fn records(&self, ended: bool) -> usize {
        usize::from((ended || self.state >= State::Closed) && record::says_something(self))
    }

    fn record_type(&self, _index: usize) -> &'static str {
        "http"
    }

    fn write_record(&self, _index: usize, json: &mut Json<'_>) {
        record::write(self, json);
    }

    fn write_context(&self, json: &mut Json<'_>) {
        if record::says_something(self) {
            record::write(self, json);
        }
    }
}

impl Side {
    fn codes(&self) -> impl Iterator<Item = u32> + '_ {
        self.marks.iter().filter_map(|mark| match *mark {
            Mark::GoAway(code) | Mark::Reset(code) => Some(code),
            Mark::Weight(_) => None,
        })
    }

    fn weights(&self) -> impl Iterator<Item = u8> + '_ {
        self.marks.iter().filter_map(|mark| match *mark {
            Mark::Weight(weight) => Some(weight),
            Mark::GoAway(_) | Mark::Reset(_) => None,
        })
    }

    fn size_updates(&self) -> impl Iterator<Item = i64> + '_ {
        self.items().iter().filter_map(|(_, item)| match item {
            Item::SizeUpdate(octets) => Some(i64::try_from(*octets).unwrap_or(i64::MAX)),
            _ => None,
        })
    }
}
