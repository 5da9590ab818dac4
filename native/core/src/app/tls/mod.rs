//! TLS 1.0 to 1.3 and its SSL ancestors: what is said before encryption begins.
//!
//! Records are taken one by one; handshake messages are put together across them. A flow is one transaction.
//! Source: RFC 5246, RFC 8446, RFC 6520 (heartbeat); SSL 2.0 as far as its hellos.

mod certificate;
mod handshake;
mod heartbeat;
pub mod hello;
mod record;
mod records;
mod ssl2;
mod transaction;
mod version;

use hello::Ja4;
use records::Framing;
use ssl2::Ssl2;
use transaction::{TlsTx, BUFFERS, VALUES};

use super::{Carrier, Input, Parsed, Parser, Pattern, Probing, Protocol, Requests, Transactions, TxQueue};
use crate::config::AppProtocol;
use crate::packet::Direction;

const TS: Direction = Direction::ToServer;
const TC: Direction = Direction::ToClient;

static PATTERNS: &[Pattern] = &[
    Pattern::tcp(TS, b"\x01\x00\x02")
        .at(2)
        .confirmed(ssl2::probe, 0, 3),
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
        to_server: Some(ssl2::probe),
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
