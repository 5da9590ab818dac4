//! QUIC (RFC 9000, 9001, 9369 and their drafts) and Google's before it: what is said before encryption begins.
//!
//! Initial packets are protected by keys anyone can make who saw the first; behind them are the hellos of TLS. Each packet
//! with a long header is a transaction of its own until its side's hello was read; what follows says nothing.
//!
//! `header` <- here -> `keys` opens Initial packets -> `frame` -> `reassembly` -> `hello`, or `chlo` for Google's.

mod chlo;
#[cfg(test)]
mod examples;
mod frame;
mod header;
mod hello;
mod keys;
mod reassembly;
mod record;
mod version;

use std::borrow::Cow;

use chlo::Cyu;
use frame::Frame;
use header::{Header, Kind};
use hello::{Extension, Start};
use keys::InitialKeys;
use reassembly::Reassembly;

use super::tls::hello::ja3_hash;
use super::{
    Buffer, BufferSpec, Carrier, Input, Parsed, Parser, Probe, Probing, Protocol, Requests, Transaction,
    Transactions, TxMeta, TxQueue, BOTH, TO_CLIENT, TO_SERVER,
};
use crate::config::AppProtocol;
use crate::event::json::Json;
use crate::packet::Direction;

/// Packets of a flow the engine has not dealt with yet, at most.
const MAX_TRANSACTIONS: usize = 512;

static BUFFERS: &[BufferSpec] = &[
    BufferSpec::new("quic.version", BOTH, 1),
    BufferSpec::new("quic.sni", TO_SERVER, 1),
    BufferSpec::new("quic.ua", TO_SERVER, 1),
    BufferSpec::new("quic.cyu.hash", TO_SERVER, 1).multi(),
    BufferSpec::new("quic.cyu.string", TO_SERVER, 1).multi(),
    BufferSpec::new("ja3.hash", TO_SERVER, 1),
    BufferSpec::new("ja3.string", TO_SERVER, 1),
    BufferSpec::new("ja3s.hash", TO_CLIENT, 1),
    BufferSpec::new("ja3s.string", TO_CLIENT, 1),
    BufferSpec::new("ja4.hash", TO_SERVER, 1),
];

/// QUIC.
pub static PROTOCOL: Protocol = Protocol {
    name: "quic",
    carriers: &[Carrier::Udp],
    probing: &[Probing {
        carrier: Carrier::Udp,
        ports: &[443, 80],
        client_ports: &[],
        min: 0,
        max: 16,
        to_server: Some(probe),
        to_client: Some(probe),
    }],
    start: Some(start),
    buffers: BUFFERS,
    events: &[
        "failed_decrypt",
        "error_on_data",
        "error_on_header",
        "crypto_frag_too_long",
    ],
    ..Protocol::DETECTED
};

fn probe(octets: &[u8], _direction: Direction) -> Probe {
    match Header::read(octets) {
        Some(_) => Probe::Certain,
        None => Probe::No,
    }
}

fn start(_options: &AppProtocol, _carrier: Carrier) -> Box<dyn Parser> {
    Box::new(QuicParser {
        keys: None,
        retried: false,
        sides: Default::default(),
        transactions: TxQueue::new(MAX_TRANSACTIONS),
    })
}

/// A packet with a long header, or with Google's public header and a version.
pub struct QuicTx {
    meta: TxMeta,
    direction: Direction,
    version: u32,
    /// The version as sent; `None` where it was not in a long header.
    version_octets: Option<[u8; 4]>,
    sni: Option<Vec<u8>>,
    ua: Option<Vec<u8>>,
    cyu: Vec<Cyu>,
    extensions: Vec<Extension>,
    ja3: Option<String>,
    ja3_hash: Option<String>,
    ja4: Option<String>,
}

impl QuicTx {
    fn new(direction: Direction, header: &Header<'_>) -> QuicTx {
        QuicTx {
            meta: TxMeta::default(),
            direction,
            version: header.version,
            version_octets: header.long.then(|| header.version.to_be_bytes()),
            sni: None,
            ua: None,
            cyu: Vec::new(),
            extensions: Vec::new(),
            ja3: None,
            ja3_hash: None,
            ja4: None,
        }
    }

    fn take_message(&mut self, tags: &chlo::Tags<'_>) {
        for (tag, value) in tags {
            if tag == chlo::SNI {
                self.sni = Some(value.to_vec());
            } else if tag == chlo::UAID {
                self.ua = Some(value.to_vec());
            }
            if self.sni.is_some() && self.ua.is_some() {
                break;
            }
        }
        self.cyu.extend(Cyu::new(self.version, tags));
    }

    fn take_hello(&mut self, hello: hello::Hello) {
        for extension in &hello.extensions {
            if let (0, Some(name)) = (extension.kind, extension.values.first()) {
                self.sni = Some(name.clone());
            }
        }
        self.ja3_hash = Some(ja3_hash(&hello.ja3));
        self.ja3 = Some(hello.ja3);
        if self.direction == Direction::ToServer {
            self.ja4 = hello.ja4;
        }
        self.extensions.extend(hello.extensions);
    }
}

impl Transaction for QuicTx {
    fn meta(&self) -> &TxMeta {
        &self.meta
    }

    fn meta_mut(&mut self) -> &mut TxMeta {
        &mut self.meta
    }

    fn only(&self) -> Option<Direction> {
        Some(self.direction)
    }

    fn buffer(&self, slot: usize, direction: Direction, index: usize) -> Option<Buffer<'_>> {
        if direction != self.direction {
            return None;
        }
        let octets: Option<&[u8]> = match BUFFERS.get(slot)?.name {
            "quic.cyu.hash" => self.cyu.get(index).map(|cyu| cyu.hash.as_bytes()),
            "quic.cyu.string" => self.cyu.get(index).map(|cyu| cyu.string.as_bytes()),
            _ if index > 0 => None,
            "quic.version" => self.version_octets.as_ref().map(|octets| octets.as_slice()),
            "quic.sni" => self.sni.as_deref(),
            "quic.ua" => self.ua.as_deref(),
            "ja3.hash" | "ja3s.hash" => self.ja3_hash.as_deref().map(str::as_bytes),
            "ja3.string" | "ja3s.string" => self.ja3.as_deref().map(str::as_bytes),
            "ja4.hash" => self.ja4.as_deref().map(str::as_bytes),
            _ => None,
        };
        octets.map(Buffer::whole)
    }

    fn record_type(&self, _index: usize) -> &'static str {
        "quic"
    }

    fn write_record(&self, _index: usize, json: &mut Json<'_>) {
        record::write(self, json);
    }
}

/// How far one side's handshake got.
#[derive(Debug, Default)]
struct Side {
    hello_seen: bool,
    handshake: Reassembly,
}

struct QuicParser {
    keys: Option<InitialKeys>,
    /// The server asked for another beginning, which it may do once.
    retried: bool,
    sides: [Side; 2],
    transactions: TxQueue<QuicTx>,
}

impl QuicParser {
    /// Take the packets of a datagram, until one says nothing more.
    fn datagram(&mut self, direction: Direction, mut octets: &[u8]) {
        while !octets.is_empty() {
            let Some(header) = Header::read(octets) else {
                return;
            };
            if self.sides[direction.index()].hello_seen || header.kind == Kind::Short {
                return;
            }
            let (packet, rest) = octets.split_at(header.len + header.payload_len);
            octets = rest;
            let mut tx = QuicTx::new(direction, &header);
            let goes_on = match header.kind {
                Kind::Initial => match self.initial(&header, packet, &mut tx) {
                    Ok(()) => true,
                    Err(event) => {
                        tx.meta.raise(event);
                        false
                    }
                },
                Kind::Retry => {
                    self.retry(direction);
                    true
                }
                _ => true,
            };
            self.transactions.push(tx);
            if !goes_on {
                return;
            }
        }
    }

    /// The server asks the client to begin again, with other keys (RFC 9000 section 17.2.5).
    fn retry(&mut self, direction: Direction) {
        if direction == Direction::ToClient && self.keys.is_some() && !self.retried {
            self.retried = true;
            self.keys = None;
            self.sides[0].hello_seen = false;
        }
    }

    /// Take an Initial packet.
    ///
    /// # Errors
    /// What is wrong with it, as an event.
    fn initial(&mut self, header: &Header<'_>, packet: &[u8], tx: &mut QuicTx) -> Result<(), &'static str> {
        if self.keys.is_none() {
            self.keys = InitialKeys::new(header.version, header.destination);
        }
        let payload = &packet[header.len..];
        let frames = match &self.keys {
            Some(keys) if !payload.is_empty() => {
                let frames = keys.open(tx.direction, packet, header.len);
                Cow::Owned(frames.ok_or("failed_decrypt")?)
            }
            _ => Cow::Borrowed(payload),
        };
        let side = &mut self.sides[tx.direction.index()];
        let read = frame::read(&frames).and_then(|frames| side.take(frames, tx));
        if read.is_none() {
            // What was put together before is not trusted any more either.
            side.handshake.clear();
            return Err("error_on_data");
        }
        Ok(())
    }
}

impl Side {
    /// Take a packet's frames. `None` when its handshake is none.
    fn take(&mut self, frames: Vec<Frame<'_>>, tx: &mut QuicTx) -> Option<()> {
        let mut hellos = Vec::new();
        let mut grown = false;
        let mut too_long = false;
        let mut messages = Vec::new();
        for frame in frames {
            match frame {
                Frame::Stream(tags) => messages.extend(tags),
                Frame::Crypto { offset, data } => {
                    if offset == 0 {
                        match hello::read(data) {
                            Start::Hello(hello) => {
                                hellos.push(hello);
                                continue;
                            }
                            Start::Other => return None,
                            Start::Short => {}
                        }
                    }
                    grown = true;
                    too_long |= self.handshake.add(offset, data).is_err();
                }
            }
        }
        if grown && hellos.is_empty() {
            if let Start::Hello(hello) = hello::read(self.handshake.start()) {
                hellos.push(hello);
            }
        }
        if too_long {
            tx.meta.raise("crypto_frag_too_long");
        }
        for tags in &messages {
            tx.take_message(tags);
        }
        for hello in hellos {
            tx.take_hello(hello);
            self.hello_seen = true;
            self.handshake.clear();
        }
        Some(())
    }
}

impl Parser for QuicParser {
    fn parse(&mut self, direction: Direction, input: &Input<'_>, _requests: &mut Requests) -> Parsed {
        // What is wrong with one datagram says nothing about the next.
        self.datagram(direction, input.data);
        Parsed::Used(input.data.len())
    }

    fn transactions(&self) -> &dyn Transactions {
        &self.transactions
    }

    fn transactions_mut(&mut self) -> &mut dyn Transactions {
        &mut self.transactions
    }
}

#[cfg(test)]
mod tests;
