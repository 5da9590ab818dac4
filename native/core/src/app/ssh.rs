//! SSH: banners, key exchange proposals and their fingerprints (HASSH), until encryption begins.
//!
//! Source: RFC 4253 sections 4.2, 6, 7.1; HASSH: <https://github.com/salesforce/hassh>.

use md5::{Digest, Md5};

use super::{
    Buffer, BufferSpec, Carrier, Input, Parsed, Parser, Pattern, Protocol, Requests, Transaction,
    Transactions, TxMeta, TxQueue, BOTH, TO_CLIENT, TO_SERVER,
};
use crate::config::AppProtocol;
use crate::event::json::Json;
use crate::file::hex;
use crate::packet::Direction;

/// Octets of a banner that are waited for.
const MAX_BANNER_OCTETS: usize = 256;
/// Octets of a packet header that are read: length, padding length, message number.
const HEADER_OCTETS: usize = 6;
/// Longest key exchange proposal that is put together.
const MAX_PROPOSAL_OCTETS: usize = 65_535;

/// How far a side got.
mod progress {
    /// A long banner, the end of its line is awaited.
    pub const BANNER_END: u8 = 1;
    /// Its banner is known.
    pub const BANNER: u8 = 2;
    /// Its keys are in use.
    pub const FINISHED: u8 = 3;
}

static BUFFERS: &[BufferSpec] = &[
    BufferSpec::new("ssh.proto", BOTH, progress::BANNER),
    BufferSpec::new("ssh.software", BOTH, progress::BANNER),
    BufferSpec::new("ssh.hassh", TO_SERVER, progress::BANNER),
    BufferSpec::new("ssh.hassh.string", TO_SERVER, progress::BANNER),
    BufferSpec::new("ssh.hassh.server", TO_CLIENT, progress::BANNER),
    BufferSpec::new("ssh.hassh.server.string", TO_CLIENT, progress::BANNER),
];

/// SSH.
pub static PROTOCOL: Protocol = Protocol {
    name: "ssh",
    patterns: &[
        Pattern::tcp(Direction::ToServer, b"SSH-").nocase(),
        Pattern::tcp(Direction::ToClient, b"SSH-").nocase(),
    ],
    start: Some(start),
    buffers: BUFFERS,
    events: &[
        "invalid_banner",
        "long_banner",
        "invalid_record",
        "long_kex_record",
    ],
    ..Protocol::DETECTED
};

fn start(_options: &AppProtocol, _carrier: Carrier) -> Box<dyn Parser> {
    let mut transactions = TxQueue::new(1);
    transactions.push(SshTx::default());
    Box::new(SshParser {
        transactions,
        skip: [0; 2],
    })
}

/// What a side said.
#[derive(Debug, Default)]
struct Side {
    progress: u8,
    version: Vec<u8>,
    software: Vec<u8>,
    hassh: String,
    proposal: Vec<u8>,
}

/// A connection.
#[derive(Debug, Default)]
struct SshTx {
    meta: TxMeta,
    sides: [Side; 2],
}

impl Transaction for SshTx {
    fn meta(&self) -> &TxMeta {
        &self.meta
    }

    fn meta_mut(&mut self) -> &mut TxMeta {
        &mut self.meta
    }

    fn progress(&self, direction: Direction) -> u8 {
        self.sides[direction.index()].progress
    }

    fn complete(&self, direction: Direction) -> bool {
        self.progress(direction) >= progress::FINISHED
    }

    fn buffer(&self, slot: usize, direction: Direction, index: usize) -> Option<Buffer<'_>> {
        if index > 0 {
            return None;
        }
        let side = &self.sides[direction.index()];
        let octets = match BUFFERS.get(slot)?.name {
            "ssh.proto" => &side.version,
            "ssh.software" => &side.software,
            "ssh.hassh" | "ssh.hassh.server" => side.hassh.as_bytes(),
            _ => &side.proposal,
        };
        (!octets.is_empty()).then(|| Buffer::whole(octets))
    }

    fn records(&self, ended: bool) -> usize {
        let finished = self.sides.iter().all(|side| side.progress == progress::FINISHED);
        let known = self.sides.iter().any(|side| !side.version.is_empty());
        usize::from(known && (finished || ended))
    }

    fn record_type(&self, _index: usize) -> &'static str {
        "ssh"
    }

    fn write_record(&self, _index: usize, json: &mut Json<'_>) {
        json.open_object("ssh");
        for (key, side) in ["client", "server"].iter().zip(&self.sides) {
            if side.version.is_empty() {
                continue;
            }
            json.open_object(key);
            json.str(
                "proto_version",
                &side.version[..side.version.len().min(MAX_BANNER_OCTETS)],
            );
            if !side.software.is_empty() {
                json.str(
                    "software_version",
                    &side.software[..side.software.len().min(MAX_BANNER_OCTETS)],
                );
            }
            if !side.hassh.is_empty() {
                json.open_object("hassh");
                json.str("hash", &side.hassh);
                json.str("string", &side.proposal);
                json.close_object();
            }
            json.close_object();
        }
        json.close_object();
    }
}

struct SshParser {
    transactions: TxQueue<SshTx>,
    /// Octets of a packet that still come and say nothing.
    skip: [usize; 2],
}

/// The end of a line: (its length, where the next begins). LF, CR LF, or CR with something after it.
fn line(data: &[u8]) -> Option<(usize, usize)> {
    let at = memchr::memchr2(b'\r', b'\n', data)?;
    if data[at] == b'\n' {
        return Some((at, at + 1));
    }
    match data.get(at + 1)? {
        b'\n' => Some((at, at + 2)),
        _ => Some((at, at + 1)),
    }
}

/// `SSH-version-software comment` as (version, software).
fn banner(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let rest = line.strip_prefix(b"SSH-")?;
    let dash = rest
        .iter()
        .position(|&octet| octet == b'-')
        .filter(|&dash| dash > 0)?;
    let software = &rest[dash + 1..];
    let end = software
        .iter()
        .position(|octet| b" \r\n".contains(octet))
        .filter(|&end| end > 0);
    Some((&rest[..dash], &software[..end.unwrap_or(software.len())]))
}

/// What HASSH is made of: key exchange, ciphers, MACs, compression of one direction.
fn proposal(message: &[u8], direction: Direction) -> Option<Vec<u8>> {
    let mut rest = message.get(16..)?;
    let mut lists = [&b""[..]; 10];
    for list in &mut lists {
        let (len, after) = rest.split_first_chunk::<4>()?;
        let len = usize::try_from(u32::from_be_bytes(*len)).ok()?;
        *list = after.get(..len)?;
        rest = &after[len..];
    }
    rest.get(..5)?;
    let at = direction.index();
    Some([lists[0], lists[2 + at], lists[4 + at], lists[6 + at]].join(&b';'))
}

impl SshParser {
    fn raise(&mut self, event: &'static str) {
        if let Some(tx) = self.transactions.last_mut() {
            tx.meta.raise(event);
        }
    }

    fn side(&mut self, direction: Direction) -> Option<&mut Side> {
        Some(&mut self.transactions.last_mut()?.sides[direction.index()])
    }

    fn banner(&mut self, direction: Direction, data: &[u8]) -> Result<Option<usize>, ()> {
        let awaits_end = self
            .side(direction)
            .is_some_and(|side| side.progress == progress::BANNER_END);
        let Some((len, next)) = line(data) else {
            if awaits_end {
                return Ok(Some(data.len()));
            }
            if data.len() < MAX_BANNER_OCTETS {
                return Ok(None);
            }
            self.set_banner(direction, data, progress::BANNER_END)?;
            self.raise("long_banner");
            return Ok(Some(data.len()));
        };
        if awaits_end {
            if let Some(side) = self.side(direction) {
                side.progress = progress::BANNER;
            }
            return Ok(Some(next));
        }
        self.set_banner(direction, &data[..len], progress::BANNER)?;
        if len >= MAX_BANNER_OCTETS {
            self.raise("long_banner");
        }
        Ok(Some(next))
    }

    fn set_banner(&mut self, direction: Direction, text: &[u8], reached: u8) -> Result<(), ()> {
        let Some((version, software)) = banner(text) else {
            self.raise("invalid_banner");
            return Err(());
        };
        let (version, software) = (version.to_vec(), software.to_vec());
        let side = self.side(direction).ok_or(())?;
        side.version = version;
        side.software = software;
        side.progress = reached;
        Ok(())
    }

    /// One packet. Returns octets used, `None` to wait.
    fn packet(&mut self, direction: Direction, data: &[u8]) -> Result<Option<usize>, ()> {
        let Some((header, body)) = data.split_at_checked(HEADER_OCTETS) else {
            return Ok(None);
        };
        let len = u32::from_be_bytes([header[0], header[1], header[2], header[3]]);
        let Some(body_len) = len.checked_sub(2).and_then(|len| usize::try_from(len).ok()) else {
            self.raise("invalid_record");
            return Err(());
        };
        let message = header[5];
        let whole = body.get(..body_len);
        match (message, whole) {
            (20, Some(body)) => {
                if let Some(text) = proposal(body, direction) {
                    let side = self.side(direction).ok_or(())?;
                    side.hassh = hex(&Md5::digest(&text));
                    side.proposal = text;
                }
            }
            (20, None) if body_len < MAX_PROPOSAL_OCTETS => return Ok(None),
            (20, None) => self.raise("long_kex_record"),
            (21, _) => {
                if let Some(side) = self.side(direction) {
                    side.progress = progress::FINISHED;
                }
            }
            _ => {}
        }
        let here = body.len().min(body_len);
        self.skip[direction.index()] = body_len - here;
        Ok(Some(HEADER_OCTETS + here))
    }

    fn step(&mut self, direction: Direction, data: &[u8]) -> Result<Option<usize>, ()> {
        let reached = self.side(direction).map_or(0, |side| side.progress);
        if reached < progress::BANNER {
            self.banner(direction, data)
        } else {
            self.packet(direction, data)
        }
    }

    fn encrypted(&self) -> bool {
        self.transactions
            .item(0)
            .is_some_and(|tx| tx.sides.iter().all(|side| side.progress == progress::FINISHED))
    }
}

impl Parser for SshParser {
    fn parse(&mut self, direction: Direction, input: &Input<'_>, _requests: &mut Requests) -> Parsed {
        let at = direction.index();
        let mut used = self.skip[at].min(input.data.len());
        self.skip[at] -= used;
        while used < input.data.len() {
            match self.step(direction, &input.data[used..]) {
                Ok(Some(len)) => used += len,
                Ok(None) => break,
                Err(()) => return Parsed::Failed,
            }
            if self.encrypted() {
                return Parsed::Finished;
            }
        }
        Parsed::Used(used)
    }

    fn transactions(&self) -> &dyn Transactions {
        &self.transactions
    }

    fn transactions_mut(&mut self) -> &mut dyn Transactions {
        &mut self.transactions
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::time::Timestamp;

    fn input(data: &[u8]) -> Input<'_> {
        Input {
            data,
            gap: 0,
            eof: false,
            now: Timestamp(0),
            packet: 1,
        }
    }

    fn stream() -> Vec<u8> {
        let mut body = vec![0; 16];
        for list in ["kex", "key", "c2s", "s2c", "mac1", "mac2", "none", "zlib", "", ""] {
            body.extend_from_slice(&(list.len() as u32).to_be_bytes());
            body.extend_from_slice(list.as_bytes());
        }
        body.extend_from_slice(&[0; 5]);
        let mut stream = b"SSH-2.0-OpenSSH_9.6 Debian\r\n".to_vec();
        stream.extend_from_slice(&(body.len() as u32 + 2).to_be_bytes());
        stream.extend_from_slice(&[0, 20]);
        stream.extend_from_slice(&body);
        stream.extend_from_slice(&[0, 0, 0, 2, 0, 21]);
        stream
    }

    fn check(parser: &dyn Parser) {
        let tx = parser.transactions().get(0).unwrap();
        let shown = |slot| tx.buffer(slot, Direction::ToServer, 0).unwrap().data;
        assert_eq!(shown(0), b"2.0");
        assert_eq!(shown(1), b"OpenSSH_9.6");
        assert_eq!(shown(3), b"kex;c2s;mac1;none");
        assert!(tx.complete(Direction::ToServer));
    }

    #[test]
    fn both_sides_with_new_keys_let_the_flow_go() {
        let mut parser = start(&AppProtocol::default(), Carrier::Tcp);
        let stream = stream();
        parser.parse(Direction::ToServer, &input(&stream), &mut Requests::default());
        check(parser.as_ref());
        let parsed = parser.parse(Direction::ToClient, &input(&stream), &mut Requests::default());
        assert_eq!(parsed, Parsed::Finished);
    }

    proptest! {
        #[test]
        fn a_stream_cut_anywhere_gives_the_same_connection(cut in 0usize..120) {
            let stream = stream();
            let cut = cut.min(stream.len());
            let mut parser = start(&AppProtocol::default(), Carrier::Tcp);
            let Parsed::Used(used) = parser.parse(Direction::ToServer, &input(&stream[..cut]), &mut Requests::default()) else {
                panic!("refused")
            };
            parser.parse(Direction::ToServer, &input(&stream[used..]), &mut Requests::default());
            check(parser.as_ref());
        }

        #[test]
        fn any_octets_do_not_panic(data in proptest::collection::vec(any::<u8>(), 0..300)) {
            let stream = [&b"SSH-2.0-x\n"[..], &data].concat();
            let mut parser = start(&AppProtocol::default(), Carrier::Tcp);
            parser.parse(Direction::ToServer, &input(&stream), &mut Requests::default());
            parser.parse(Direction::ToClient, &input(&data), &mut Requests::default());
        }
    }
}
