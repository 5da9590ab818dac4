//! TLS 1.0 to 1.3 and its SSL ancestors: what is said before encryption begins.
//!
//! Records are taken one by one; handshake messages are put together across them. A flow is one transaction.
//! Source: RFC 5246, RFC 8446, RFC 6520 (heartbeat); SSL 2.0 as far as its hellos.

mod certificate;
pub mod hello;
mod record;
mod version;

use certificate::Certificates;
use hello::Ja4;

use super::{
    Buffer, BufferSpec, Carrier, Input, Parsed, Parser, Pattern, Probe, Probing, Protocol, Requests,
    Transaction, Transactions, TxMeta, TxQueue, ValueSpec, BOTH, TO_CLIENT, TO_SERVER,
};
use crate::config::AppProtocol;
use crate::event::json::Json;
use crate::packet::Direction;

/// Octets of a record header.
const HEADER_OCTETS: usize = 5;
/// Longest record.
const MAX_RECORD_OCTETS: usize = (1 << 14) + 1024;
/// Longest handshake message that is put together.
const MAX_MESSAGE_OCTETS: usize = 1 << 20;

/// How far a session got.
mod progress {
    /// The server's certificate is there.
    pub const CERTIFICATE: u8 = 1;
    /// Encryption began.
    pub const DONE: u8 = 2;
    /// The connection ended.
    pub const FINISHED: u8 = 3;
}

/// What `ssl_state` asks for.
mod state {
    pub const CLIENT_HELLO: u8 = 1;
    pub const SERVER_HELLO: u8 = 2;
    pub const CLIENT_KEY_EXCHANGE: u8 = 4;
    pub const SERVER_KEY_EXCHANGE: u8 = 8;
}

const TS: Direction = Direction::ToServer;
const TC: Direction = Direction::ToClient;

static PATTERNS: &[Pattern] = &[
    Pattern::tcp(TS, b"\x01\x00\x02")
        .at(2)
        .confirmed(probe_ssl2, 0, 3),
    Pattern::tcp(TS, b"\x01\x03\x00"),
    Pattern::tcp(TS, b"\x16\x03\x00"),
    Pattern::tcp(TS, b"\x01\x03\x01"),
    Pattern::tcp(TS, b"\x16\x03\x01"),
    Pattern::tcp(TS, b"\x01\x03\x02"),
    Pattern::tcp(TS, b"\x16\x03\x02"),
    Pattern::tcp(TS, b"\x01\x03\x03"),
    Pattern::tcp(TS, b"\x16\x03\x03"),
    Pattern::tcp(TC, b"\x15\x03\x00"),
    Pattern::tcp(TC, b"\x16\x03\x00"),
    Pattern::tcp(TC, b"\x17\x03\x00"),
    Pattern::tcp(TC, b"\x15\x03\x01"),
    Pattern::tcp(TC, b"\x16\x03\x01"),
    Pattern::tcp(TC, b"\x17\x03\x01"),
    Pattern::tcp(TC, b"\x15\x03\x02"),
    Pattern::tcp(TC, b"\x16\x03\x02"),
    Pattern::tcp(TC, b"\x17\x03\x02"),
    Pattern::tcp(TC, b"\x15\x03\x03"),
    Pattern::tcp(TC, b"\x16\x03\x03"),
    Pattern::tcp(TC, b"\x17\x03\x03"),
    Pattern::tcp(TS, b"\x01\x03\x00").at(2),
    Pattern::tcp(TC, b"\x00\x02").at(5),
];

/// An SSL 2.0 Client Hello by its two-octet header.
fn probe_ssl2(octets: &[u8], _direction: Direction) -> Probe {
    match octets {
        [first, _, 1, ..] if first & 0x80 != 0 => Probe::Certain,
        [_, _, _, ..] => Probe::No,
        _ => Probe::Unsure,
    }
}

static BUFFERS: &[BufferSpec] = &[
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
static VALUES: &[ValueSpec] = &[
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

/// TLS.
pub static PROTOCOL: Protocol = Protocol {
    name: "tls",
    aliases: &["ssl"],
    patterns: PATTERNS,
    probing: &[Probing {
        carrier: Carrier::Tcp,
        ports: &[443],
        client_ports: &[],
        min: 0,
        max: 3,
        to_server: Some(probe_ssl2),
        to_client: None,
    }],
    first: Some(TS),
    start: Some(start),
    buffers: BUFFERS,
    values: VALUES,
    events: &[
        "INVALID_SSLV2_HEADER",
        "INVALID_TLS_HEADER",
        "INVALID_RECORD_VERSION",
        "INVALID_RECORD_TYPE",
        "INVALID_RECORD_LENGTH",
        "INVALID_HANDSHAKE_MESSAGE",
        "HEARTBEAT_MESSAGE",
        "INVALID_HEARTBEAT_MESSAGE",
        "OVERFLOW_HEARTBEAT_MESSAGE",
        "DATALEAK_HEARTBEAT_MISMATCH",
        "HANDSHAKE_INVALID_LENGTH",
        "MULTIPLE_SNI_EXTENSIONS",
        "INVALID_SNI_TYPE",
        "INVALID_SNI_LENGTH",
        "TOO_MANY_RECORDS_IN_PACKET",
        "INVALID_CERTIFICATE",
        "CERTIFICATE_INVALID_LENGTH",
        "CERTIFICATE_INVALID_VERSION",
        "CERTIFICATE_INVALID_SERIAL",
        "CERTIFICATE_INVALID_ALGORITHMIDENTIFIER",
        "CERTIFICATE_INVALID_X509NAME",
        "CERTIFICATE_INVALID_DATE",
        "CERTIFICATE_INVALID_EXTENSIONS",
        "CERTIFICATE_INVALID_DER",
        "CERTIFICATE_INVALID_SUBJECT",
        "CERTIFICATE_INVALID_ISSUER",
        "CERTIFICATE_INVALID_VALIDITY",
        "ERROR_MESSAGE_ENCOUNTERED",
        "INVALID_SSL_RECORD",
    ],
    ..Protocol::DETECTED
};

/// What is done once a session is encrypted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Encrypted {
    /// Payload is not inspected any more, records are.
    #[default]
    TrackOnly,
    /// The flow is let go.
    Bypass,
    /// As if it were not encrypted.
    Full,
}

fn start(options: &AppProtocol, _carrier: Carrier) -> Box<dyn Parser> {
    let encrypted = match options.options.get("encryption-handling").map(String::as_str) {
        Some("bypass") => Encrypted::Bypass,
        Some("full") => Encrypted::Full,
        _ => Encrypted::TrackOnly,
    };
    let disabled = |key: &str| matches!(options.options.get(key).map(String::as_str), Some("no" | "false"));
    let mut transactions = TxQueue::new(1);
    transactions.push(TlsTx::default());
    Box::new(TlsParser {
        transactions,
        encrypted,
        ja3: !disabled("ja3-fingerprints"),
        ja4: !disabled("ja4-fingerprints"),
        ended: [false; 2],
        cipher_change: [false; 2],
        early_data: false,
        versions_seen: false,
        client_certificate: false,
        fingerprint: Ja4::default(),
        heartbeat: None,
        heartbeat_octets: 0,
        framing: Default::default(),
        ssl2: Default::default(),
    })
}

/// What one side said.
#[derive(Debug, Default)]
struct Side {
    version: u16,
    hello_seen: bool,
    random: Option<[u8; hello::RANDOM_OCTETS]>,
    session_id: Vec<u8>,
    sni: Option<Vec<u8>>,
    ja3: Option<String>,
    ja3_hash: Option<String>,
    certificates: Certificates,
}

/// A session.
#[derive(Debug, Default)]
pub struct TlsTx {
    meta: TxMeta,
    sides: [Side; 2],
    ja4_text: Option<String>,
    resumed: bool,
    without_certificate: bool,
    /// What the last message with a state said, since the last records began (see [`state`]).
    now: u8,
    done: bool,
    finished: bool,
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
        } else if direction == TS && self.sides[1].certificates.shown.is_some() {
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

/// Where a direction is within its records.
#[derive(Debug, Default)]
struct Framing {
    /// Octets of an application data record that still come.
    skip: usize,
    /// A record began that is not all there.
    begun: bool,
    /// A handshake message that goes on in the next record: type, length, octets so far.
    message: Option<(u8, usize, Vec<u8>)>,
}

struct TlsParser {
    transactions: TxQueue<TlsTx>,
    encrypted: Encrypted,
    ja3: bool,
    ja4: bool,
    ended: [bool; 2],
    cipher_change: [bool; 2],
    early_data: bool,
    versions_seen: bool,
    client_certificate: bool,
    fingerprint: Ja4,
    /// Who sent the heartbeat that is not answered yet.
    heartbeat: Option<Direction>,
    heartbeat_octets: usize,
    framing: [Framing; 2],
    ssl2: Ssl2,
}

/// What SSL 2.0 said.
#[derive(Debug, Default)]
struct Ssl2 {
    hellos: [bool; 2],
    no_session: bool,
    master_key: bool,
    encrypted: [bool; 2],
}

/// A record was refused; the event was raised.
struct Refused;

impl TlsParser {
    fn raise(&mut self, event: &'static str) {
        if let Some(tx) = self.transactions.last_mut() {
            tx.meta.raise(event);
        }
    }

    fn refuse<T>(&mut self, event: &'static str) -> Result<T, Refused> {
        self.raise(event);
        Err(Refused)
    }

    fn tx(&mut self) -> Result<&mut TlsTx, Refused> {
        self.transactions.last_mut().ok_or(Refused)
    }

    /// Take what there is. Returns how much was used, or `None` when the flow is to be let go.
    fn records(
        &mut self,
        direction: Direction,
        data: &[u8],
        requests: &mut Requests,
    ) -> Result<Option<usize>, Refused> {
        let at = direction.index();
        let mut used = self.framing[at].skip.min(data.len());
        self.framing[at].skip -= used;
        // What was said is over when a record begins; a record that goes on says nothing new until it is there.
        if !std::mem::take(&mut self.framing[at].begun) {
            self.tx()?.now = 0;
        }
        while used < data.len() {
            let rest = &data[used..];
            let taken = if rest[0] & 0xc0 != 0 {
                self.ssl2_record(direction, rest)?
            } else {
                self.record(direction, rest, requests)?
            };
            match taken {
                Some(0) => return Ok(None),
                Some(len) => {
                    used += len;
                    requests.trigger_raw[at] = true;
                }
                None => {
                    self.framing[at].begun = true;
                    break;
                }
            }
        }
        self.framing[at].begun |= self.framing[at].skip > 0;
        Ok(Some(used))
    }

    /// One record. `None` waits for more; 0 lets the flow go.
    fn record(
        &mut self,
        direction: Direction,
        rest: &[u8],
        requests: &mut Requests,
    ) -> Result<Option<usize>, Refused> {
        let at = direction.index();
        let Some((header, body)) = rest.split_at_checked(HEADER_OCTETS) else {
            return Ok(None);
        };
        let kind = header[0];
        let len = usize::from(u16::from_be_bytes([header[3], header[4]]));
        let side = &mut self.tx()?.sides[at];
        let before = side.version;
        if !(side.hello_seen && side.version != 0) {
            side.version = u16::from_be_bytes([header[1], header[2]]);
        }
        let version = side.version;
        if !(20..=24).contains(&kind) {
            self.raise("INVALID_RECORD_TYPE");
            if before == version::TLS10 || before == version::TLS11 {
                self.tx()?.sides[at].version = before;
                return Ok(Some(rest.len()));
            }
            return Err(Refused);
        }
        if len == 0 {
            return self.refuse("INVALID_RECORD_LENGTH");
        }
        if !version::is_valid(version) {
            return self.refuse("INVALID_RECORD_VERSION");
        }
        if len > MAX_RECORD_OCTETS {
            return self.refuse("INVALID_RECORD_LENGTH");
        }
        if kind == 23 {
            return self.application_data(direction, body, len, requests);
        }
        let Some(body) = body.get(..len) else {
            return Ok(None);
        };
        match kind {
            20 => self.cipher_change[at] = true,
            22 => self.handshake_record(direction, body)?,
            24 => self.heartbeat(direction, body)?,
            _ => {}
        }
        Ok(Some(HEADER_OCTETS + len))
    }

    fn application_data(
        &mut self,
        direction: Direction,
        body: &[u8],
        len: usize,
        requests: &mut Requests,
    ) -> Result<Option<usize>, Refused> {
        let early = self.early_data && !self.tx()?.sides[1].hello_seen;
        if !early && !body.is_empty() {
            self.tx()?.done = true;
            match self.encrypted {
                Encrypted::Full => {}
                Encrypted::TrackOnly => requests.opaque_payload = true,
                Encrypted::Bypass => return Ok(Some(0)),
            }
        }
        let here = body.len().min(len);
        self.framing[direction.index()].skip = len - here;
        Ok(Some(HEADER_OCTETS + here))
    }

    fn handshake_record(&mut self, direction: Direction, body: &[u8]) -> Result<(), Refused> {
        let tx = self.transactions.last_mut().ok_or(Refused)?;
        if self.cipher_change != [false; 2] {
            // In TLS 1.3 a change of ciphers means nothing until the server has spoken.
            let client = &tx.sides[0];
            let only_compatible =
                client.hello_seen && client.version > version::TLS12 && !tx.sides[1].hello_seen;
            if !only_compatible {
                return Ok(());
            }
        }
        if body.len() < 4 {
            return self.refuse("INVALID_SSL_RECORD");
        }
        if self.handshake(direction, body).is_err() {
            return self.refuse("INVALID_HANDSHAKE_MESSAGE");
        }
        Ok(())
    }

    fn handshake(&mut self, direction: Direction, mut body: &[u8]) -> Result<(), Refused> {
        let at = direction.index();
        while !body.is_empty() {
            if let Some((kind, len, mut octets)) = self.framing[at].message.take() {
                let add = body.len().min(len - octets.len());
                octets.extend_from_slice(&body[..add]);
                body = &body[add..];
                if octets.len() == len {
                    self.message(direction, kind, &octets)?;
                } else {
                    self.framing[at].message = Some((kind, len, octets));
                }
                continue;
            }
            let Some((header, rest)) = body.split_at_checked(4) else {
                return self.refuse("INVALID_SSL_RECORD");
            };
            let kind = header[0];
            let len = usize::from(header[1]) << 16 | usize::from(header[2]) << 8 | usize::from(header[3]);
            if !matches!(kind, 0..=2 | 4 | 11..=16 | 20..=22) {
                if !self.cipher_change[at] {
                    self.raise("INVALID_HANDSHAKE_MESSAGE");
                }
                body = &rest[rest.len().min(len)..];
                continue;
            }
            match rest.get(..len) {
                Some(message) => {
                    self.message(direction, kind, message)?;
                    body = &rest[len..];
                }
                None if len > MAX_MESSAGE_OCTETS => return Err(Refused),
                None => {
                    self.framing[at].message = Some((kind, len, rest.to_vec()));
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn message(&mut self, direction: Direction, kind: u8, octets: &[u8]) -> Result<(), Refused> {
        if octets.is_empty() {
            return Ok(());
        }
        match kind {
            1 => self.hello(direction, octets, true),
            2 => self.hello(direction, octets, false),
            11 => {
                let event = self.tx()?.sides[direction.index()].certificates.read(octets);
                if let Some(event) = event {
                    self.raise(event);
                }
                Ok(())
            }
            12 => {
                self.tx()?.now = state::SERVER_KEY_EXCHANGE;
                Ok(())
            }
            16 => {
                self.tx()?.now = state::CLIENT_KEY_EXCHANGE;
                Ok(())
            }
            13 if direction == TC => {
                self.client_certificate = true;
                self.tx()?.now = 0;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn hello(&mut self, direction: Direction, octets: &[u8], client: bool) -> Result<(), Refused> {
        let ja4 = (client && self.ja4).then_some(&mut self.fingerprint);
        let hello = hello::parse(octets, client, self.versions_seen, ja4);
        let ja3 = self.ja3;
        let ja4_text = (client && self.ja4).then(|| self.fingerprint.text());
        self.early_data |= hello.early_data;
        self.versions_seen |= hello.has_versions;
        let tx = self.tx()?;
        for event in &hello.events {
            tx.meta.raise(event);
        }
        tx.resumed |= hello.ticket;
        tx.without_certificate |= hello.without_certificate;
        if ja4_text.is_some() {
            tx.ja4_text = ja4_text;
        }
        // The role a message claims says whose random and state it is; the direction says whose it was.
        let role = usize::from(!client);
        tx.sides[role].hello_seen = true;
        tx.now = if client {
            state::CLIENT_HELLO
        } else {
            state::SERVER_HELLO
        };
        if hello.random.is_some() {
            tx.sides[role].random = hello.random;
        }
        let side = &mut tx.sides[direction.index()];
        if hello.version != 0 {
            side.version = hello.version;
        }
        if side.session_id.is_empty() {
            side.session_id = hello.session_id;
        }
        match (&side.sni, hello.sni) {
            (Some(_), Some(_)) => tx.meta.raise("MULTIPLE_SNI_EXTENSIONS"),
            (None, Some(sni)) => side.sni = Some(sni),
            _ => {}
        }
        if ja3 && side.ja3_hash.is_none() {
            if let Some(text) = hello.ja3 {
                side.ja3_hash = Some(hello::ja3_hash(&text));
                side.ja3 = Some(text);
            }
        }
        if !client && !tx.sides[0].session_id.is_empty() && tx.sides[0].session_id == tx.sides[1].session_id {
            tx.resumed = true;
        }
        Ok(())
    }

    fn heartbeat(&mut self, direction: Direction, body: &[u8]) -> Result<(), Refused> {
        let [kind, high, low, ..] = *body else {
            return Ok(());
        };
        let encrypted = self.cipher_change != [false; 2];
        if !encrypted && !(1..=2).contains(&kind) {
            return self.refuse("INVALID_HEARTBEAT_MESSAGE");
        }
        match self.heartbeat {
            None => {
                self.heartbeat = Some(direction);
                if encrypted {
                    self.heartbeat_octets = body.len();
                    return Ok(());
                }
                let payload = usize::from(u16::from_be_bytes([high, low]));
                if payload + 3 > body.len() {
                    return self.refuse("OVERFLOW_HEARTBEAT_MESSAGE");
                }
                if body.len() - payload - 3 < 16 {
                    return self.refuse("INVALID_HEARTBEAT_MESSAGE");
                }
            }
            Some(sender) if sender == direction => return self.refuse("INVALID_HEARTBEAT_MESSAGE"),
            Some(_) => {
                self.heartbeat = None;
                let asked = std::mem::take(&mut self.heartbeat_octets);
                if encrypted && asked > 0 && asked < body.len() {
                    return self.refuse("DATALEAK_HEARTBEAT_MISMATCH");
                }
            }
        }
        Ok(())
    }

    /// One SSL 2.0 record. `None` waits for more; 0 lets the flow go.
    fn ssl2_record(&mut self, direction: Direction, rest: &[u8]) -> Result<Option<usize>, Refused> {
        let at = direction.index();
        let header = if rest[0] & 0x80 != 0 { 2 } else { 3 };
        if rest.len() < header + 1 {
            return Ok(None);
        }
        let mask = if header == 2 { 0x7f } else { 0x3f };
        let len = usize::from(rest[0] & mask) << 8 | usize::from(rest[1]);
        self.tx()?.sides[at].version = version::SSL2;
        if len == 0 {
            return self.refuse_ssl2("INVALID_SSLV2_HEADER");
        }
        let Some(body) = rest.get(header..header + len) else {
            return Ok(None);
        };
        match body[0] {
            0 => self.raise("ERROR_MESSAGE_ENCOUNTERED"),
            1 => {
                let [_, major, minor, _, _, high, low, ..] = *body else {
                    return self.refuse_ssl2("INVALID_SSL_RECORD");
                };
                let tx = self.tx()?;
                tx.sides[0].hello_seen = true;
                tx.now = state::CLIENT_HELLO;
                tx.sides[at].version = u16::from_be_bytes([major, minor]);
                self.ssl2.hellos[0] = true;
                self.ssl2.no_session = high == 0 && low == 0;
            }
            2 => self.ssl2.master_key = true,
            4 => {
                let tx = self.tx()?;
                tx.sides[1].hello_seen = true;
                tx.now = state::SERVER_HELLO;
                self.ssl2.hellos[1] = true;
            }
            3 | 5..=8 => {
                if body[0] == 8 && direction == TS {
                    self.tx()?.now = state::CLIENT_KEY_EXCHANGE;
                }
                if self.ssl2.hellos == [true; 2] {
                    let encrypted = direction == TC || self.ssl2.no_session || self.ssl2.master_key;
                    self.ssl2.encrypted[at] |= encrypted;
                    if self.ssl2.encrypted == [true; 2] && self.encrypted != Encrypted::Full {
                        return Ok(Some(0));
                    }
                }
            }
            _ => {}
        }
        Ok(Some(header + len))
    }

    fn refuse_ssl2<T>(&mut self, event: &'static str) -> Result<T, Refused> {
        self.raise(event);
        self.refuse("INVALID_SSL_RECORD")
    }
}

impl Parser for TlsParser {
    fn parse(&mut self, direction: Direction, input: &Input<'_>, requests: &mut Requests) -> Parsed {
        self.ended[direction.index()] |= input.eof;
        if input.data.is_empty() {
            if input.eof {
                if let Some(tx) = self.transactions.last_mut() {
                    tx.finished = true;
                }
                return Parsed::Used(0);
            }
            return Parsed::Failed;
        }
        let result = self.records(direction, input.data, requests);
        let ended = self.ended == [true; 2];
        let by_client = self.client_certificate;
        if let Some(tx) = self.transactions.last_mut() {
            let side = usize::from(!by_client);
            tx.done |= tx.sides[side].certificates.shown.is_some();
            tx.finished |= ended;
        }
        match result {
            Ok(Some(used)) => Parsed::Used(used),
            Ok(None) => Parsed::Finished,
            Err(Refused) => Parsed::Failed,
        }
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
