//! A session as rules and records see it.

use super::certificate::Certificates;
use super::{hello, record};
use crate::app::{Buffer, BufferSpec, Transaction, TxMeta, ValueSpec, BOTH, TO_CLIENT, TO_SERVER};
use crate::event::json::Json;
use crate::packet::Direction;

/// How far a session got.
pub(super) mod progress {
    /// The server's certificate is there.
    pub const CERTIFICATE: u8 = 1;
    /// Encryption began.
    pub const DONE: u8 = 2;
    /// The connection ended.
    pub const FINISHED: u8 = 3;
}

/// What `ssl_state` asks for.
pub(super) mod state {
    pub const CLIENT_HELLO: u8 = 1;
    pub const SERVER_HELLO: u8 = 2;
    pub const CLIENT_KEY_EXCHANGE: u8 = 4;
    pub const SERVER_KEY_EXCHANGE: u8 = 8;
}

/// Buffers, in the order of their slots.
pub(super) static BUFFERS: &[BufferSpec] = &[
    BufferSpec::new("tls.sni", TO_SERVER, 0),
    BufferSpec::new("tls.cert_subject", BOTH, progress::CERTIFICATE),
    BufferSpec::new("tls.cert_issuer", BOTH, progress::CERTIFICATE),
    BufferSpec::new("tls.cert_serial", BOTH, progress::CERTIFICATE),
    BufferSpec::new("tls.cert_fingerprint", BOTH, progress::CERTIFICATE),
    BufferSpec::new("tls.certs", BOTH, progress::CERTIFICATE).multi(),
    // Zeros until the hello is there: looked at again.
    BufferSpec::new("tls.random", BOTH, 0).streaming(),
    BufferSpec::new("tls.random_time", BOTH, 0).streaming(),
    BufferSpec::new("tls.random_bytes", BOTH, 0).streaming(),
    BufferSpec::new("ja3.hash", TO_SERVER, 0),
    BufferSpec::new("ja3.string", TO_SERVER, 0),
    BufferSpec::new("ja3s.hash", TO_CLIENT, 0),
    BufferSpec::new("ja3s.string", TO_CLIENT, 0),
    BufferSpec::new("ja4.hash", TO_SERVER, 0),
];

/// Values, in the order of their slots. `ssl_state` is a set of bits: client hello 1, server hello 2, client key
/// exchange 4, server key exchange 8.
pub(super) static VALUES: &[ValueSpec] = &[
    ValueSpec {
        name: "tls.version",
        directions: BOTH,
        progress: 0,
    },
    ValueSpec {
        name: "ssl_version",
        directions: BOTH,
        progress: 0,
    },
    ValueSpec {
        name: "ssl_state",
        directions: BOTH,
        progress: 0,
    },
    ValueSpec {
        name: "tls.cert_chain_len",
        directions: BOTH,
        progress: progress::CERTIFICATE,
    },
    ValueSpec {
        name: "tls_cert_notbefore",
        directions: TO_CLIENT,
        progress: progress::CERTIFICATE,
    },
    ValueSpec {
        name: "tls_cert_notafter",
        directions: TO_CLIENT,
        progress: progress::CERTIFICATE,
    },
];

/// What one side said.
#[derive(Debug, Default)]
pub(super) struct Side {
    pub(super) version: u16,
    pub(super) hello_seen: bool,
    pub(super) random: Option<[u8; hello::RANDOM_OCTETS]>,
    pub(super) session_id: Vec<u8>,
    pub(super) sni: Option<Vec<u8>>,
    pub(super) ja3: Option<String>,
    pub(super) ja3_hash: Option<String>,
    pub(super) certificates: Certificates,
}

/// A session.
#[derive(Debug, Default)]
pub struct TlsTx {
    pub(super) meta: TxMeta,
    pub(super) sides: [Side; 2],
    pub(super) ja4_text: Option<String>,
    pub(super) resumed: bool,
    pub(super) without_certificate: bool,
    /// What the last message with a state said, since the last records began (see [`state`]).
    pub(super) now: u8,
    pub(super) done: bool,
    pub(super) finished: bool,
}

impl TlsTx {
    /// A side's random as rules see it: there once the other side's hello was, zeros when its own was not. Odd, and what
    /// Suricata 7.0.10 does.
    fn random(&self, direction: Direction) -> Option<&[u8; hello::RANDOM_OCTETS]> {
        const NONE: &[u8; hello::RANDOM_OCTETS] = &[0; hello::RANDOM_OCTETS];
        self.sides[direction.opposite().index()].random.as_ref()?;
        Some(self.sides[direction.index()].random.as_ref().unwrap_or(NONE))
    }
}

impl Transaction for TlsTx {
    fn meta(&self) -> &TxMeta {
        &self.meta
    }

    fn meta_mut(&mut self) -> &mut TxMeta {
        &mut self.meta
    }

    fn progress(&self, direction: Direction) -> u8 {
        if self.finished {
            progress::FINISHED
        } else if self.done {
            progress::DONE
        } else if direction == Direction::ToServer && self.sides[1].certificates.shown.is_some() {
            progress::CERTIFICATE
        } else {
            0
        }
    }

    fn complete(&self, _direction: Direction) -> bool {
        self.finished
    }

    fn buffer(&self, slot: usize, direction: Direction, index: usize) -> Option<Buffer<'_>> {
        let name = BUFFERS.get(slot)?.name;
        let side = &self.sides[direction.index()];
        if name == "tls.certs" {
            return side.certificates.chain.get(index).map(|der| Buffer::whole(der));
        }
        if index > 0 {
            return None;
        }
        let shown = side.certificates.shown.as_ref();
        let octets: Option<&[u8]> = match name {
            "tls.sni" => self.sides[0].sni.as_deref(),
            "tls.cert_subject" => shown.map(|shown| shown.subject.as_bytes()),
            "tls.cert_issuer" => shown.map(|shown| shown.issuer.as_bytes()),
            "tls.cert_serial" => shown.map(|shown| shown.serial.as_bytes()),
            "tls.cert_fingerprint" => shown.map(|shown| shown.fingerprint.as_bytes()),
            "tls.random" => self.random(direction).map(|random| random.as_slice()),
            "tls.random_time" => self.random(direction).map(|random| &random[..4]),
            "tls.random_bytes" => self.random(direction).map(|random| &random[4..]),
            "ja3.hash" => self.sides[0].ja3_hash.as_deref().map(str::as_bytes),
            "ja3.string" => self.sides[0].ja3.as_deref().map(str::as_bytes),
            "ja3s.hash" => self.sides[1].ja3_hash.as_deref().map(str::as_bytes),
            "ja3s.string" => self.sides[1].ja3.as_deref().map(str::as_bytes),
            "ja4.hash" => self.ja4_text.as_deref().map(str::as_bytes),
            _ => None,
        };
        octets.map(Buffer::whole)
    }

    fn value(&self, slot: usize, direction: Direction, index: usize) -> Option<i64> {
        if index > 0 {
            return None;
        }
        let side = &self.sides[direction.index()];
        let shown = side.certificates.shown.as_ref();
        match VALUES.get(slot)?.name {
            "tls.version" | "ssl_version" => Some(i64::from(side.version)),
            "ssl_state" => Some(self.now.into()),
            "tls.cert_chain_len" => Some(side.certificates.chain.len() as i64),
            "tls_cert_notbefore" => shown.map(|shown| shown.not_before),
            "tls_cert_notafter" => shown.map(|shown| shown.not_after),
            _ => None,
        }
    }

    fn records(&self, ended: bool) -> usize {
        let worth = self.sides[1].certificates.shown.is_some() || self.resumed || self.without_certificate;
        usize::from(worth && (self.done || self.finished || ended))
    }

    fn record_type(&self, _index: usize) -> &'static str {
        "tls"
    }

    fn write_record(&self, _index: usize, json: &mut Json<'_>) {
        record::write(self, json);
    }
}
