use super::*;
use crate::config::Config;
use crate::time::Timestamp;

const TS: Direction = Direction::ToServer;
const TC: Direction = Direction::ToClient;
const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n";
const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

/// A flow that keeps what the layer leaves, as the stream does.
struct Play {
    table: AppTable,
    app: AppLayer,
    facts: FlowFacts,
    held: [Vec<u8>; 2],
}

impl Play {
    fn new(midstream: bool, ports: [u16; 2]) -> Play {
        let mut config = Config::default();
        config.stream.midstream = midstream;
        Play {
            table: AppTable::new(&config),
            app: AppLayer::default(),
            facts: FlowFacts {
                ports,
                midstream,
                established: true,
                windows: [65_535; 2],
            },
            held: Default::default(),
        }
    }

    fn input(data: &[u8], eof: bool) -> Input<'_> {
        Input {
            data,
            gap: 0,
            eof,
            now: Timestamp(0),
            packet: 1,
        }
    }

    fn says(&mut self, direction: Direction, octets: &[u8]) -> Fed {
        self.app.saw(direction);
        self.held[direction.index()].extend_from_slice(octets);
        let [client, server] = self.held.clone();
        let inputs = [Play::input(&client, false), Play::input(&server, false)];
        let fed = self.app.feed_stream(&self.table, &self.facts, direction, &inputs);
        for (held, used) in self.held.iter_mut().zip(fed.used) {
            held.drain(..used);
        }
        fed
    }

    fn events(&self) -> Vec<&'static str> {
        self.app.events.iter().map(|(event, _)| *event).collect()
    }

    fn transactions(&self) -> u64 {
        self.app
            .parser
            .as_ref()
            .map_or(0, |parser| parser.transactions().end())
    }
}

#[test]
fn a_protocol_is_found_on_any_port_by_either_side() {
    let mut play = Play::new(false, [40_000, 8_123]);
    play.says(TS, &REQUEST[..2]);
    assert_eq!(play.app.found, Found::Unknown);
    play.says(TS, &REQUEST[2..]);
    play.says(TC, RESPONSE);
    assert_eq!(play.app.found.name(), Some("http"));
    assert_eq!(play.transactions(), 1);
    assert_eq!(play.held, [Vec::<u8>::new(), Vec::new()]);
    assert!(play.events().is_empty());
}

#[test]
fn sides_that_disagree_raise_an_event_and_the_parser_that_ran_stays() {
    let mut play = Play::new(false, [40_000, 8_123]);
    play.says(TS, REQUEST);
    play.says(TC, b"SSH-2.0-x\r\n");
    assert_eq!(play.app.found.name(), Some("http"));
    assert_eq!(play.app.by_direction[1].name(), Some("ssh"));
    assert_eq!(play.events(), ["applayer_mismatch_protocol_both_directions"]);
}

#[test]
fn one_recognised_side_speaks_for_both_once_the_other_is_hopeless() {
    let mut play = Play::new(false, [40_000, 8_123]);
    play.says(TS, REQUEST);
    play.says(TC, &[b'x'; 100]);
    assert_eq!(play.app.by_direction[1], Found::Failed);
    assert_eq!(play.events(), ["applayer_detect_protocol_only_one_direction"]);
}

#[test]
fn a_server_that_speaks_first_where_the_client_must_is_refused() {
    let mut play = Play::new(false, [40_000, 8_443]);
    let fed = play.says(TC, b"\x16\x03\x03\x00\x05\x02\x00\x00\x01\x00");
    assert!(fed.over);
    assert_eq!(play.events(), ["applayer_wrong_direction_first_data"]);
    assert!(play.app.failed());
}

#[test]
fn what_nobody_knows_is_given_up() {
    let mut play = Play::new(false, [40_000, 8_123]);
    play.says(TS, &[b'x'; 200]);
    let fed = play.says(TC, &[b'y'; 200]);
    assert!(fed.over && play.app.failed());
    assert!(play.events().is_empty());
    let mut play = Play::new(false, [40_000, 8_123]);
    let mut over = false;
    for _ in 0..200 {
        over |= play.says(TS, &[b'x'; 1000]).over;
    }
    assert!(over);
    assert_eq!(play.events(), ["applayer_proto_detection_skipped"]);
}

#[test]
fn a_flow_picked_up_the_wrong_way_round_is_turned() {
    let mut play = Play::new(true, [80, 40_000]);
    let fed = play.says(TS, RESPONSE);
    assert!(fed.reversed);
    assert_eq!(play.app.by_direction[TC.index()].name(), Some("http"));
}

#[test]
fn a_datagram_that_answers_before_it_was_asked_turns_the_flow() {
    let mut play = Play::new(false, [53, 40_000]);
    play.facts.ports = [40_000, 53];
    let answer = b"\x00\x01\x81\x80\x00\x01\x00\x00\x00\x00\x00\x00\x01a\x00\x00\x01\x00\x01";
    let fed = play
        .app
        .feed_datagram(&play.table, &play.facts, TS, &Play::input(answer, false));
    assert!(fed.reversed);
    assert_eq!(play.app.found.name(), Some("dns"));
    assert_eq!(play.transactions(), 1);
}

#[test]
fn starttls_without_tls_is_an_event() {
    let mut play = Play::new(false, [40_000, 25]);
    for (direction, text) in [
        (TC, "220 mx\r\n"),
        (TS, "EHLO c\r\n"),
        (TC, "250 STARTTLS\r\n"),
        (TS, "STARTTLS\r\n"),
        (TC, "220 go\r\n"),
        (TS, "GET / HTTP/1.1\r\n\r\n"),
    ] {
        play.says(direction, text.as_bytes());
    }
    assert_eq!(play.app.original.map(|protocol| protocol.name), Some("smtp"));
    assert!(play.events().contains(&"applayer_no_tls_after_starttls"));
}

#[test]
fn nothing_new_changes_nothing() {
    let mut play = Play::new(false, [40_000, 8_443]);
    play.says(TS, b"\x16\x03\x01\x00\x10\x01");
    let fed = play.says(TS, b"");
    assert!(!fed.over);
    assert_eq!(play.app.found.name(), Some("tls"));
    assert!(!play.app.ended[0]);
}

#[test]
fn an_announced_flow_needs_no_recognising() {
    let mut play = Play::new(false, [40_000, 50_000]);
    play.app.announced = crate::app::protocol("ftp-data").map(|protocol| Announced {
        protocol,
        direction: TC,
        note: b"\x00\x01name".to_vec(),
        parent: 7,
    });
    play.says(TC, b"contents");
    assert_eq!(play.app.found.name(), Some("ftp-data"));
    assert_eq!(play.app.announced_by, Some(7));
    let files = play
        .app
        .parser
        .as_ref()
        .and_then(|parser| parser.transactions().get(0)?.files());
    assert_eq!(
        files.map(|files| files.files[0].name.clone()),
        Some(b"name".to_vec())
    );
}
