//! Dialogues made of arbitrary octets, and what must hold of any of them: no panic, no more used than was shown, records
//! that are JSON, buffers and values that can be asked for.

use tapwarden_core::app::{
    protocol, AppLayer, AppTable, Carrier, FlowFacts, Input, Parsed, Parser, Protocol, Requests, PROTOCOLS,
};
use tapwarden_core::config::{AppProtocol, Config};
use tapwarden_core::event::json::Json;
use tapwarden_core::packet::Direction;
use tapwarden_core::time::Timestamp;

/// Cut octets into pieces of a dialogue: (direction, octets, octets lost before, end). A piece begins with an octet that
/// says the direction (bit 0), whether something was lost (bit 1), whether it is the last (bit 2), and two with its length.
fn pieces(mut octets: &[u8]) -> impl Iterator<Item = (Direction, &[u8], u64, bool)> {
    std::iter::from_fn(move || {
        let [what, high, low, rest @ ..] = octets else {
            return None;
        };
        let (piece, rest) = rest.split_at(rest.len().min(usize::from(u16::from_be_bytes([*high, *low]))));
        octets = rest;
        let direction = if what & 1 == 0 {
            Direction::ToServer
        } else {
            Direction::ToClient
        };
        Some((direction, piece, u64::from(what & 2) * 50, what & 4 != 0))
    })
}

fn input(data: &[u8], gap: u64, eof: bool) -> Input<'_> {
    Input {
        data,
        gap,
        eof,
        now: Timestamp(0),
        packet: 1,
    }
}

/// Let a parser alone read a dialogue.
///
/// # Panics
/// When something that must hold does not.
pub fn parse(name: &str, carrier: Carrier, octets: &[u8]) {
    dialogue(name, carrier, None, octets);
}

fn dialogue(name: &str, carrier: Carrier, note: Option<&[u8]>, octets: &[u8]) {
    let protocol = protocol(name).expect("a protocol of the table");
    let start = protocol.start.expect("one that is parsed");
    let mut parser = start(&AppProtocol::default(), carrier);
    if let Some(note) = note {
        parser.announced(note);
    }
    let mut held = [Vec::new(), Vec::new()];
    for (direction, piece, gap, eof) in pieces(octets) {
        let held = &mut held[direction.index()];
        let gap = if protocol.accepts_gaps { gap } else { 0 };
        if gap > 0 {
            held.clear();
        }
        held.extend_from_slice(piece);
        match parser.parse(direction, &input(held, gap, eof), &mut Requests::default()) {
            Parsed::Used(used) => drop(held.drain(..used)),
            Parsed::Failed | Parsed::Finished => break,
        }
    }
    ask(protocol, parser.as_mut());
}

/// A transfer: what announced it (a line), then the dialogue.
///
/// # Panics
/// When something that must hold does not.
pub fn ftp_data(octets: &[u8]) {
    let end = octets
        .iter()
        .position(|octet| *octet == b'\n')
        .unwrap_or(octets.len());
    let (note, rest) = octets.split_at(end);
    dialogue("ftp-data", Carrier::Tcp, Some(note), rest.get(1..).unwrap_or(&[]));
}

/// A mail of any octets: MIME, attachments, URLs.
///
/// # Panics
/// When something that must hold does not.
pub fn mime(octets: &[u8]) {
    let mut all = Vec::new();
    let mut piece = |direction: Direction, octets: &[u8]| {
        for part in octets.chunks(usize::from(u16::MAX)) {
            all.push(direction.index() as u8);
            all.extend_from_slice(&(part.len() as u16).to_be_bytes());
            all.extend_from_slice(part);
        }
    };
    piece(Direction::ToClient, b"220 mx\r\n");
    piece(
        Direction::ToServer,
        b"MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n",
    );
    piece(Direction::ToClient, b"250 ok\r\n250 ok\r\n354 go\r\n");
    // In two pieces: what is cut must be put together.
    let (first, second) = octets.split_at(octets.len() / 2);
    piece(Direction::ToServer, first);
    piece(Direction::ToServer, second);
    piece(Direction::ToServer, b"\r\n.\r\nQUIT\r\n");
    piece(Direction::ToClient, b"250 ok\r\n221 bye\r\n");
    parse("smtp", Carrier::Tcp, &all);
}

/// Every probe and confirmation of every protocol on the same octets, in both directions.
pub fn probes(octets: &[u8]) {
    for protocol in PROTOCOLS {
        let looks = protocol.probing.iter();
        let looks = looks.flat_map(|probing| [probing.to_server, probing.to_client]);
        let confirmations = protocol.patterns.iter().filter_map(|pattern| pattern.confirm);
        for look in looks.flatten().chain(confirmations.map(|(look, ..)| look)) {
            for direction in [Direction::ToServer, Direction::ToClient] {
                look(octets, direction);
            }
        }
    }
}

/// Let the whole layer find and read a dialogue.
///
/// # Panics
/// When something that must hold does not.
pub fn layer(octets: &[u8]) {
    let [flags, port_high, port_low, rest @ ..] = octets else {
        return;
    };
    let mut config = Config::default();
    config.stream.midstream = flags & 1 != 0;
    let table = AppTable::new(&config);
    let facts = FlowFacts {
        ports: [40_000, u16::from_be_bytes([*port_high, *port_low])],
        midstream: flags & 1 != 0,
        established: true,
        windows: [65_535; 2],
    };
    let mut app = AppLayer::default();
    let mut held = [Vec::new(), Vec::new()];
    for (direction, piece, gap, eof) in pieces(rest) {
        if flags & 2 != 0 {
            app.feed_datagram(&table, &facts, direction, &input(piece, 0, false));
            continue;
        }
        held[direction.index()].extend_from_slice(piece);
        let shown = held.clone();
        let here = |at: usize| at == direction.index();
        let inputs = [0, 1].map(|at| input(&shown[at], if here(at) { gap } else { 0 }, eof && here(at)));
        let fed = app.feed_stream(&table, &facts, direction, &inputs);
        for (held, used) in held.iter_mut().zip(fed.used) {
            held.drain(..used);
        }
        if fed.reversed {
            held.swap(0, 1);
        }
    }
    if let (Some(protocol), Some(parser)) = (app.protocol(), &mut app.parser) {
        ask(protocol, parser.as_mut());
    }
}

/// Ask for everything rules and records could ask for.
fn ask(protocol: &Protocol, parser: &mut dyn Parser) {
    let transactions = parser.transactions_mut();
    let mut next = 0;
    while let Some(id) = transactions.next_from(next) {
        next = id + 1;
        let Some(tx) = transactions.get_mut(id) else {
            continue;
        };
        for direction in [Direction::ToServer, Direction::ToClient] {
            for slot in 0..protocol.buffers.len() {
                let mut index = 0;
                while tx.buffer(slot, direction, index).is_some() && index < 10_000 {
                    index += 1;
                }
            }
            for slot in 0..protocol.values.len() {
                tx.value(slot, direction, 0);
            }
            tx.inspected(direction);
        }
        for event in &tx.meta().events {
            assert!(
                protocol.events.contains(event),
                "{event} is not in the protocol's table"
            );
        }
        for index in 0..tx.records(true) {
            let mut out = Vec::new();
            let mut json = Json::new(&mut out);
            json.open();
            tx.write_record(index, &mut json);
            json.close_object();
            serde_json::from_slice::<serde_json::Value>(&out).expect("a record is JSON");
        }
    }
}
