//! A connection: octets to frames, frames to streams.

use std::sync::Arc;

use super::frame::{self, flag, kind, Header, Payload, HEADER_OCTETS};
use super::hpack::{self, Item, Table};
use super::side::Mark;
use super::streams::Streams;
use super::transaction::{Http2Tx, State};
use super::Limits;
use crate::app::{Input, Parsed, Parser, Requests, Transactions};
use crate::packet::Direction;

/// What a client that knows it speaks HTTP/2 sends first (RFC 9113 section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// A frame this long is not waited for.
const LONG_FRAME_OCTETS: usize = 65_536;
/// Octets of a frame that is not waited for that are read, bodies apart.
const LONG_FRAME_READ_OCTETS: usize = 256;

/// A header block that goes on in CONTINUATION frames.
#[derive(Debug)]
struct Block {
    /// Stream of its frames.
    stream: u32,
    /// Stream it is about: another one when it is promised.
    about: u32,
    octets: Vec<u8>,
}

/// What is still to come of a frame that was not waited for.
#[derive(Debug)]
struct Long {
    header: Header,
    left: usize,
    /// Of these, padding at the end.
    padding: usize,
}

/// What one endpoint sends.
#[derive(Debug)]
struct Half {
    table: Table,
    block: Option<Block>,
    long: Option<Long>,
}

/// A flow's parser.
#[derive(Debug)]
pub struct Connection {
    limits: Limits,
    streams: Streams,
    halves: [Half; 2],
    preface_seen: bool,
    /// Shared with each decoder that takes much memory: counts them.
    large_decoders: Arc<()>,
}

impl Connection {
    /// A fresh one.
    pub fn new(limits: Limits) -> Connection {
        let half = || Half {
            table: Table::new(limits.table_octets),
            block: None,
            long: None,
        };
        Connection {
            streams: Streams::new(limits.streams),
            halves: [half(), half()],
            preface_seen: false,
            large_decoders: Arc::default(),
            limits,
        }
    }

    /// Read frames; how many octets were used, or `None` when there are too many streams.
    fn frames(&mut self, direction: Direction, data: &[u8]) -> Option<usize> {
        let mut at = 0;
        loop {
            let rest = data.get(at..).unwrap_or_default();
            if self.halves[direction.index()].long.is_some() {
                at += self.go_on(direction, rest);
                if at >= data.len() {
                    return Some(at);
                }
                continue;
            }
            let Some(header) = Header::read(rest) else {
                return Some(at);
            };
            let octets = &rest[HEADER_OCTETS..];
            if header.len >= LONG_FRAME_OCTETS {
                if octets.len() < LONG_FRAME_READ_OCTETS {
                    return Some(at);
                }
                at += HEADER_OCTETS + self.begin_long(direction, header, octets)?;
                continue;
            }
            let Some(octets) = octets.get(..header.len) else {
                return Some(at);
            };
            at += HEADER_OCTETS + header.len;
            // The acknowledgement of settings says nothing.
            if !(header.len == 0 && header.kind == kind::SETTINGS) {
                self.frame(direction, &header, octets, true)?;
            }
        }
    }

    /// Read the beginning of a long frame; how many octets were used.
    fn begin_long(&mut self, direction: Direction, header: Header, octets: &[u8]) -> Option<usize> {
        let padding = match octets.first() {
            Some(&padding) if header.kind == kind::DATA && header.has(flag::PADDED) => padding.into(),
            _ => 0,
        };
        self.halves[direction.index()].long = Some(Long {
            header,
            left: header.len - LONG_FRAME_READ_OCTETS,
            padding,
        });
        let tx = self.frame(direction, &header, &octets[..LONG_FRAME_READ_OCTETS], false)?;
        tx.meta.raise("long_frame_data");
        Some(LONG_FRAME_READ_OCTETS)
    }

    /// Read more of a long frame; how many octets were used.
    fn go_on(&mut self, direction: Direction, octets: &[u8]) -> usize {
        let slot = &mut self.halves[direction.index()].long;
        let Some(long) = slot else { return 0 };
        let used = octets.len().min(long.left);
        let body = used.min(long.left.saturating_sub(long.padding));
        long.left -= used;
        let (header, over) = (long.header, long.left == 0);
        if over {
            *slot = None;
        }
        if header.kind == kind::DATA {
            if let Some(tx) = self.streams.of(header.stream) {
                tx.has_news();
                tx.data(direction, &octets[..body], over && header.has(flag::END_STREAM));
            }
        }
        used
    }

    /// Take a frame; `None` when there are too many streams.
    fn frame(
        &mut self,
        direction: Direction,
        header: &Header,
        octets: &[u8],
        complete: bool,
    ) -> Option<&mut Http2Tx> {
        let payload = frame::read(header, octets, complete);
        let mut about = header.stream;
        let mut event = None;
        let mut fields = None;
        match payload {
            Payload::Headers(_, block) => fields = self.block(direction, header, about, block, &mut event),
            Payload::Promise(promised, block) => {
                about = promised;
                fields = self.block(direction, header, about, block, &mut event);
            }
            Payload::Continuation(block) => {
                (about, fields) = self.continuation(direction, header, block, &mut event);
            }
            Payload::Settings(ref settings) => {
                let sizes = settings.iter().filter(|(id, _)| *id == 1);
                for (_, octets) in sizes {
                    // What one endpoint accepts binds the other.
                    let sender = direction.opposite();
                    self.halves[sender.index()].table.allow((*octets).into());
                }
            }
            Payload::Malformed(name) => event = Some(name),
            _ => {}
        }
        let decoders = fields.is_some().then(|| self.large_decoders.clone());
        let tx = if header.stream == 0 {
            self.begin(0)?
        } else {
            self.stream(about)?
        };
        if tx.state == State::Closed
            && !matches!(
                header.kind,
                kind::RST_STREAM | kind::WINDOW_UPDATE | kind::PRIORITY
            )
        {
            tx.meta.raise("stream_id_reuse");
        }
        if let Some(event) = event {
            tx.meta.raise(event);
        }
        if let (Some(items), Some(decoders)) = (fields, decoders) {
            tx.fields(direction, items, &decoders);
        }
        tx.has_news();
        let ends = header.has(flag::END_STREAM);
        let side = tx.side_mut(direction);
        side.saw(header.kind);
        match payload {
            Payload::Headers(weight, _) => {
                if let Some(weight) = weight {
                    side.add_mark(Mark::Weight(weight));
                }
                if ends {
                    tx.end(direction);
                }
            }
            Payload::Promise(..) if direction == Direction::ToClient => tx.state = State::Reserved,
            Payload::Priority(weight) => side.add_mark(Mark::Weight(weight)),
            Payload::Reset(code) => side.add_mark(Mark::Reset(code)),
            Payload::GoAway(code) => side.add_mark(Mark::GoAway(code)),
            Payload::WindowUpdate(increment) => side.add_window(increment),
            Payload::Settings(settings) => side.add_settings(&settings),
            Payload::Data(body) => {
                if !complete {
                    tx.goes_on(direction);
                    tx.data(direction, body, false);
                } else {
                    if ends {
                        tx.end(direction);
                    } else {
                        tx.goes_on(direction);
                    }
                    tx.data(direction, body, ends);
                }
            }
            _ => {}
        }
        Some(tx)
    }

    /// (The beginning of) a header block: its fields, once it is complete.
    fn block(
        &mut self,
        direction: Direction,
        header: &Header,
        about: u32,
        octets: &[u8],
        event: &mut Option<&'static str>,
    ) -> Option<Vec<Item>> {
        let half = &mut self.halves[direction.index()];
        if header.has(flag::END_HEADERS) {
            return half.decode(octets, event);
        }
        half.block = Some(Block {
            stream: header.stream,
            about,
            octets: Vec::new(),
        });
        half.collect(octets, self.limits.block_octets, event);
        Some(Vec::new())
    }

    /// More of a header block: the stream it is about, and its fields once it is complete.
    fn continuation(
        &mut self,
        direction: Direction,
        header: &Header,
        octets: &[u8],
        event: &mut Option<&'static str>,
    ) -> (u32, Option<Vec<Item>>) {
        let half = &mut self.halves[direction.index()];
        let about = match &half.block {
            Some(block) if block.stream == header.stream => block.about,
            // Of nothing: read for what it is.
            _ => return (header.stream, half.decode(octets, event)),
        };
        half.collect(octets, self.limits.block_octets, event);
        if !header.has(flag::END_HEADERS) {
            return (about, Some(Vec::new()));
        }
        let octets = half.block.take().map(|block| block.octets).unwrap_or_default();
        (about, half.decode(&octets, event))
    }

    /// The transaction of a stream, or a new one.
    fn stream(&mut self, number: u32) -> Option<&mut Http2Tx> {
        if self.streams.of(number).is_some() {
            return self.streams.of(number);
        }
        self.begin(number)
    }

    fn begin(&mut self, number: u32) -> Option<&mut Http2Tx> {
        if self.streams.is_full() {
            for tx in self.streams.iter_mut() {
                tx.meta.raise("too_many_streams");
                tx.state = State::Dropped;
            }
            return None;
        }
        Some(self.streams.begin(Http2Tx::new(number)))
    }
}

impl Half {
    fn collect(&mut self, octets: &[u8], limit: usize, event: &mut Option<&'static str>) {
        let Some(block) = &mut self.block else { return };
        let room = limit.saturating_sub(block.octets.len());
        if octets.len() > room {
            *event = Some("reassembly_limit_reached");
        }
        block.octets.extend_from_slice(&octets[..octets.len().min(room)]);
    }

    fn decode(&mut self, octets: &[u8], event: &mut Option<&'static str>) -> Option<Vec<Item>> {
        let mut items = Vec::new();
        match hpack::decode(octets, &mut self.table, &mut items) {
            Ok(false) => Some(items),
            Ok(true) => {
                *event = Some("extra_header_data");
                Some(items)
            }
            Err(hpack::Truncated) => {
                *event = Some("invalid_frame_data");
                None
            }
        }
    }
}

impl Parser for Connection {
    fn parse(&mut self, direction: Direction, input: &Input<'_>, _requests: &mut Requests) -> Parsed {
        let mut data = input.data;
        let mut used = 0;
        if direction == Direction::ToServer && !self.preface_seen {
            let Some(first) = data.get(..PREFACE.len()) else {
                return Parsed::Used(0);
            };
            if first == PREFACE {
                used = PREFACE.len();
                data = &data[used..];
            } else if std::str::from_utf8(first).is_err() {
                return Parsed::Failed;
            }
            self.preface_seen = true;
        }
        match self.frames(direction, data) {
            Some(more) => Parsed::Used(used + more),
            None => Parsed::Failed,
        }
    }

    fn transactions(&self) -> &dyn Transactions {
        &self.streams
    }

    fn transactions_mut(&mut self) -> &mut dyn Transactions {
        &mut self.streams
    }

    /// The HTTP/1 request that was upgraded, as a header block: it is the request of stream 1.
    fn announced(&mut self, note: &[u8]) {
        let mut items = Vec::new();
        let mut table = Table::new(self.limits.table_octets);
        if hpack::decode(note, &mut table, &mut items).is_err() {
            return;
        }
        for item in items {
            let (name, value) = item.field();
            if name == b"http2-settings" {
                let value = value.to_vec();
                self.announced_settings(&value);
                continue;
            }
            let decoders = self.large_decoders.clone();
            let Some(tx) = self.stream(1) else { return };
            tx.has_news();
            tx.side_mut(Direction::ToServer).saw(kind::HEADERS);
            tx.fields(Direction::ToServer, vec![item], &decoders);
            tx.state = State::HalfClosedClient;
        }
    }
}

impl Connection {
    /// The settings of the upgraded request: a SETTINGS payload in base64url (RFC 7540 section 3.2.1).
    fn announced_settings(&mut self, text: &[u8]) {
        use base64::Engine;
        let trimmed = text.trim_ascii_end();
        let end = trimmed
            .iter()
            .rposition(|&octet| octet != b'=')
            .map_or(0, |at| at + 1);
        let decoded = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(&trimmed[..end]);
        let octets = decoded.unwrap_or_default();
        if octets.is_empty() || octets.len() % 6 != 0 {
            if let Some(tx) = self.stream(1) {
                tx.meta.raise("invalid_http1_settings");
            }
        }
        let header = Header {
            len: octets.len(),
            kind: kind::SETTINGS,
            flags: 0,
            reserved: false,
            stream: 0,
        };
        if !octets.is_empty() {
            self.frame(Direction::ToServer, &header, &octets, true);
        }
    }
}
