//! Packet headers: IETF's long and short ones (RFC 9000 section 17), Google's public header and its first long ones.

use super::version::{is_google, NEGOTIATION, Q046, V2};
use crate::app::octets::Reader;

/// Octets of the hash that authenticates an unprotected packet of Google's QUIC.
const AUTH_HASH_OCTETS: usize = 12;

/// Bits of the first octet.
mod flag {
    pub const LONG: u8 = 0x80;
    /// Google's public header: reserved for multipath; IETF's: fixed bit.
    pub const FIXED: u8 = 0x40;
    pub const CONNECTION_ID: u8 = 0x08;
    pub const NONCE: u8 = 0x04;
    pub const VERSION: u8 = 0x01;
}

/// What a packet is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Carries hellos.
    Initial,
    /// Early data.
    ZeroRtt,
    /// The rest of the handshake, protected by keys that are not known here.
    Handshake,
    /// Asks the client to begin again.
    Retry,
    /// Lists the server's versions.
    VersionNegotiation,
    /// Data; says nothing.
    Short,
}

/// A packet's header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header<'a> {
    /// What for.
    pub kind: Kind,
    /// A long header, which has a version.
    pub long: bool,
    /// Version; 0 where the header has none.
    pub version: u32,
    /// Destination connection identifier.
    pub destination: &'a [u8],
    /// Octets of the header.
    pub len: usize,
    /// Octets of the packet behind the header.
    pub payload_len: usize,
}

/// A number in as many octets as its first two bits say (RFC 9000 section 16).
pub fn variable(reader: &mut Reader<'_>) -> Option<u64> {
    let first = reader.u8()?;
    let mut value = u64::from(first & 0x3f);
    for &octet in reader.take((1 << (first >> 6)) - 1)? {
        value = value << 8 | u64::from(octet);
    }
    Some(value)
}

impl<'a> Header<'a> {
    /// Read the header `octets` begin with; `None` when they begin with none.
    pub fn read(octets: &'a [u8]) -> Option<Header<'a>> {
        let mut reader = Reader::new(octets);
        let first = reader.u8()?;
        if first & flag::LONG != 0 {
            return read_long(octets, first, reader);
        }
        if first & flag::FIXED == 0 {
            return read_public(octets, first, reader);
        }
        finish(octets, reader.rest().len(), None, Header::short())
    }

    fn short() -> Header<'a> {
        Header {
            kind: Kind::Short,
            long: false,
            version: 0,
            destination: &[],
            len: 0,
            payload_len: 0,
        }
    }
}

/// Fill in the lengths. `rest` octets are behind the header, of which `payload` belong to the packet (all by default).
fn finish<'a>(
    octets: &'a [u8],
    rest: usize,
    payload: Option<u64>,
    mut header: Header<'a>,
) -> Option<Header<'a>> {
    let payload = usize::try_from(payload.unwrap_or(rest as u64)).ok()?;
    if payload > rest || payload > usize::from(u16::MAX) {
        return None;
    }
    header.len = octets.len() - rest;
    header.payload_len = payload;
    Some(header)
}

/// Google's header before Q044 ("QUIC Wire Layout Specification", public header).
fn read_public<'a>(octets: &'a [u8], first: u8, mut reader: Reader<'a>) -> Option<Header<'a>> {
    let mut header = Header::short();
    let with_id = first & flag::CONNECTION_ID != 0;
    if with_id {
        header.destination = reader.take(8)?;
    } else if first & flag::NONCE != 0 {
        reader.take(32)?;
    }
    if first & flag::VERSION != 0 {
        header.version = reader.u32()?;
        header.kind = Kind::Initial;
    }
    let number = 1 + usize::from((first & 0x30) >> 4);
    reader.take(number)?;
    if with_id {
        reader.take(AUTH_HASH_OCTETS)?;
    }
    finish(octets, reader.rest().len(), None, header)
}

fn read_long<'a>(octets: &'a [u8], first: u8, mut reader: Reader<'a>) -> Option<Header<'a>> {
    let version = reader.u32()?;
    let kind = long_kind(first, version)?;
    let google = is_google(version);
    let destination = if google {
        let lengths = reader.u8()?;
        // Half an octet each, less three; 0 is none.
        let octets_of = |half: u8| if half == 0 { 0 } else { usize::from(half) + 3 };
        let destination = reader.take(octets_of(lengths >> 4))?;
        reader.take(octets_of(lengths & 15))?;
        destination
    } else {
        let len = reader.u8()?;
        let destination = reader.take(usize::from(len))?;
        let len = reader.u8()?;
        reader.take(usize::from(len))?;
        destination
    };
    let mut payload = None;
    let mut rest = reader.rest().len();
    match kind {
        Kind::Initial if google => {
            reader.take(4 + AUTH_HASH_OCTETS)?;
            rest = reader.rest().len();
        }
        Kind::Initial => {
            let token = variable(&mut reader)?;
            reader.take(usize::try_from(token).ok()?)?;
            payload = Some(variable(&mut reader)?);
            rest = reader.rest().len();
        }
        // The token and its tag are all there is.
        Kind::Retry => rest = 0,
        _ => {}
    }
    let header = Header {
        kind,
        long: true,
        version,
        destination,
        len: 0,
        payload_len: 0,
    };
    finish(octets, rest, payload, header)
}

/// The kind by the first octet, numbered by each family in its own way.
fn long_kind(first: u8, version: u32) -> Option<Kind> {
    use Kind::{Handshake, Initial, Retry, VersionNegotiation, ZeroRtt};
    if version == NEGOTIATION {
        return Some(VersionNegotiation);
    }
    if is_google(version) && version != Q046 {
        return match first & 0x7f {
            0x7f => Some(Initial),
            0x7e => Some(Retry),
            0x7d => Some(Handshake),
            0x7c => Some(ZeroRtt),
            _ => None,
        };
    }
    let kinds = if version == V2 {
        // RFC 9369 section 3.2.
        [Retry, Initial, ZeroRtt, Handshake]
    } else {
        // RFC 9000 section 17.2.
        [Initial, ZeroRtt, Handshake, Retry]
    };
    Some(kinds[usize::from(first >> 4 & 3)])
}
