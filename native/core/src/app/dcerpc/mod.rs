//! DCE RPC (C706, [MS-RPCE]) over TCP and UDP; what of it SMB's named pipes share.
//!
//! `pdu` octets as PDUs <- `stream` connections, `datagram` connectionless calls <- `transaction` what rules look at <-
//! `record` as EVE shows it.
//!
//! What a protocol that carries calls owes to rules, all of it on the transaction that is a call: a buffer
//! `dcerpc.stub_data` (both directions, progress 0, streaming), a value `dcerpc.opnum` on requests, and
//! [`Transaction::call`](super::Transaction::call) on requests.

mod datagram;
pub mod pdu;
mod record;
mod stream;
mod transaction;

pub use pdu::Interface;

use super::{BufferSpec, Carrier, Parser, Pattern, Probe, Protocol, ValueSpec, BOTH};
use crate::config::AppProtocol;
use crate::packet::Direction;

const TS: Direction = Direction::ToServer;
const TC: Direction = Direction::ToClient;

/// Calls of a flow the engine has not dealt with yet, at most; `max-tx` of the protocol's options.
const MAX_CALLS: usize = 1024;

/// DCE RPC over TCP and UDP.
pub static PROTOCOL: Protocol = Protocol {
    name: "dcerpc",
    carriers: &[Carrier::Tcp, Carrier::Udp],
    patterns: &[
        Pattern::tcp(TS, b"\x05\x00").confirmed(probe, 0, 0),
        Pattern::tcp(TC, b"\x05\x00").confirmed(probe, 0, 0),
        Pattern::udp(TS, b"\x04\x00").confirmed(probe_datagram, 0, 0),
    ],
    start: Some(start),
    buffers: &[BufferSpec::new("dcerpc.stub_data", BOTH, 0).streaming()],
    values: &[ValueSpec {
        name: "dcerpc.opnum",
        directions: BOTH,
        progress: 0,
    }],
    ..Protocol::DETECTED
};

fn start(options: &AppProtocol, carrier: Carrier) -> Box<dyn Parser> {
    let limit = options
        .options
        .get("max-tx")
        .and_then(|text| text.parse().ok())
        .unwrap_or(MAX_CALLS);
    match carrier {
        Carrier::Tcp => Box::new(stream::StreamParser::new(limit)),
        Carrier::Udp => Box::new(datagram::DatagramParser::new(limit)),
    }
}

fn from(direction: Direction, is_request: bool) -> Probe {
    if is_request == (direction == TS) {
        Probe::Certain
    } else {
        Probe::Reversed
    }
}

fn probe(octets: &[u8], direction: Direction) -> Probe {
    match octets.first_chunk::<{ pdu::HEADER_OCTETS }>() {
        Some(&[5, 0, kind, _, order, character, ..]) if order & 0xee == 0 && character <= 3 => from(
            direction,
            matches!(kind, pdu::kind::REQUEST | pdu::kind::ALTER_CONTEXT),
        ),
        _ => Probe::No,
    }
}

fn probe_datagram(octets: &[u8], direction: Direction) -> Probe {
    match octets.first_chunk::<{ pdu::DATAGRAM_HEADER_OCTETS }>() {
        Some(&[4, kind, _, flags, order, character, ..])
            if flags & 0xfc == 0 && order & 0xee == 0 && character <= 3 =>
        {
            from(direction, kind == pdu::kind::REQUEST)
        }
        _ => Probe::No,
    }
}

/// A remote procedure call's request, as `dcerpc.iface` looks at it.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// Interfaces of the bind (or alter context) answered last.
    pub interfaces: &'a [Interface],
    /// Context the request names; `None` where that does not matter, as on SMB's pipes.
    pub context_id: Option<u16>,
}

#[cfg(test)]
mod tests;
