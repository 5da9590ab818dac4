use proptest::prelude::*;

use super::hpack::encode_literal;
use super::*;
use crate::app::{Input, Parsed, Requests};
use crate::event::json::Json;
use crate::time::Timestamp;

const TS: Direction = Direction::ToServer;
const TC: Direction = Direction::ToClient;
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut octets = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    octets.extend([kind, flags]);
    octets.extend(stream.to_be_bytes());
    octets.extend(payload);
    octets
}

fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        encode_literal(name.as_bytes(), value.as_bytes(), &mut block);
    }
    block
}

fn headers(flags: u8, stream: u32, fields: &[(&str, &str)]) -> Vec<u8> {
    frame(1, flags | 4, stream, &block(fields))
}

/// Feed pieces in turn, each cut into parts of `step` octets; what is left is shown again.
fn feed(pieces: &[(Direction, Vec<u8>)], step: usize) -> (Box<dyn Parser>, bool) {
    let mut parser = start(&AppProtocol::default(), Carrier::Tcp);
    let mut held = [Vec::new(), Vec::new()];
    for (direction, octets) in pieces {
        for part in octets.chunks(step) {
            let held = &mut held[direction.index()];
            held.extend_from_slice(part);
            let input = Input {
                data: held,
                gap: 0,
                eof: false,
                now: Timestamp(0),
                packet: 1,
            };
            match parser.parse(*direction, &input, &mut Requests::default()) {
                Parsed::Used(used) => drop(held.drain(..used)),
                _ => return (parser, false),
            }
        }
    }
    (parser, true)
}

fn buffer(parser: &dyn Parser, id: u64, name: &str, direction: Direction, index: usize) -> Option<String> {
    let slot = BUFFERS.iter().position(|spec| spec.name == name).unwrap();
    let buffer = parser.transactions().get(id)?.buffer(slot, direction, index)?;
    Some(String::from_utf8_lossy(buffer.data).into_owned())
}

fn values(parser: &dyn Parser, id: u64, name: &str, direction: Direction) -> Vec<i64> {
    let slot = VALUES.iter().position(|spec| spec.name == name).unwrap();
    let tx = parser.transactions().get(id).unwrap();
    (0..)
        .map_while(|index| tx.value(slot, direction, index))
        .collect()
}

fn record(parser: &dyn Parser, id: u64) -> serde_json::Value {
    let tx = parser.transactions().get(id).unwrap();
    let mut out = Vec::new();
    let mut json = Json::new(&mut out);
    json.open();
    if tx.records(true) > 0 {
        tx.write_record(0, &mut json);
    }
    json.close_object();
    serde_json::from_slice(&out).unwrap()
}

fn exchange() -> Vec<(Direction, Vec<u8>)> {
    let request = [
        (":method", "POST"),
        (":path", "/a?b"),
        (":authority", "User@Example.com:8080"),
        ("user-agent", "test"),
        ("cookie", "a=1"),
        ("cookie", "b=2"),
        ("accept", " text/html\t"),
    ];
    let response = [
        (":status", "200"),
        ("content-type", "text/html"),
        ("set-cookie", "c=3"),
    ];
    vec![
        (TS, PREFACE.to_vec()),
        (TS, frame(4, 0, 0, &[0, 4, 0, 0, 0xff, 0xff])),
        (TC, frame(4, 1, 0, &[])),
        (TS, headers(0, 1, &request)),
        (TS, frame(0, 8, 1, b"\x02hello \0\0")),
        (TS, frame(0, 1, 1, b"there")),
        (TC, headers(0, 1, &response)),
        (TC, frame(0, 0, 1, b"and ")),
        (TC, frame(0, 1, 1, b"back")),
    ]
}

fn check(parser: &dyn Parser) {
    assert_eq!(parser.transactions().end(), 2);
    assert_eq!(
        values(parser, 0, "http2.settings.initial_window_size", TS),
        [65_535]
    );
    let id = 1;
    for (name, direction, text) in [
        ("http.uri", TS, "/a?b"),
        ("http.method", TS, "POST"),
        ("http.host", TS, "example.com"),
        ("http.host.raw", TS, "User@Example.com:8080"),
        ("http.user_agent", TS, "test"),
        ("http.cookie", TS, "a=1, b=2"),
        ("http.request_line", TS, "POST /a?b HTTP/2\r\n"),
        ("http.protocol", TC, "HTTP/2"),
        ("http.stat_code", TC, "200"),
        ("http.response_line", TC, "HTTP/2 200\r\n"),
        ("http.cookie", TC, "c=3"),
        ("http.header", TC, ":status: 200\r\ncontent-type: text/html\r\n"),
        (
            "http.header_names",
            TC,
            "\r\n:status\r\ncontent-type\r\nset-cookie\r\n\r\n",
        ),
        ("http.request_header", TS, ":method: POST"),
        ("http2.header_name", TC, ":status"),
        ("file.data", TC, "and back"),
        ("http.request_body", TS, "hello there"),
    ] {
        assert_eq!(
            buffer(parser, id, name, direction, 0).as_deref(),
            Some(text),
            "{name}"
        );
    }
    assert!(buffer(parser, id, "http.header", TS, 0)
        .unwrap()
        .ends_with("accept: text/html\r\n"));
    assert_eq!(values(parser, id, "http2.frametype", TS), [0, 1]);
    let tx = parser.transactions().get(id).unwrap();
    assert!(tx.complete(TS) && tx.complete(TC));
    assert_eq!(tx.meta().events[..], ["userinfo_in_uri"]);
}

#[test]
fn a_stream_shows_its_parts_and_its_record() {
    let (parser, _) = feed(&exchange(), usize::MAX);
    check(parser.as_ref());
    let record = record(parser.as_ref(), 1);
    let http = &record["http"];
    assert_eq!(http["version"], "2");
    assert_eq!(http["http_method"], "POST");
    assert_eq!(http["url"], "/a?b");
    assert_eq!(http["status"], 200);
    assert_eq!(http["request_headers"].as_array().unwrap().len(), 7);
    assert_eq!(http["http2"]["stream_id"], 1);
}

#[test]
fn frames_of_the_connection_are_transactions_of_their_own() {
    let (parser, _) = feed(
        &[
            (TS, PREFACE.to_vec()),
            (TS, frame(8, 0, 0, &[0, 0, 0x10, 0])),
            (TC, frame(7, 0, 0, &[0, 0, 0, 5, 0, 0, 0, 1])),
            (TC, frame(3, 0, 7, &[0, 0, 0, 8])),
            (TC, frame(2, 0, 9, &[0, 0, 0, 0, 200])),
        ],
        usize::MAX,
    );
    assert_eq!(values(parser.as_ref(), 0, "http2.window", TS), [4096]);
    assert_eq!(parser.transactions().get(0).unwrap().records(true), 0);
    assert_eq!(values(parser.as_ref(), 1, "http2.errorcode", TC), [1]);
    assert_eq!(
        record(parser.as_ref(), 1)["http"]["http2"]["response"]["error_code"],
        "PROTOCOLERROR"
    );
    assert_eq!(
        record(parser.as_ref(), 2)["http"]["http2"]["response"]["error_code"],
        "Cancel"
    );
    assert_eq!(values(parser.as_ref(), 3, "http2.priority", TC), [200]);
}

#[test]
fn a_header_block_in_pieces_is_read_whole_and_padding_is_no_part_of_it() {
    let fields = block(&[(":method", "GET"), (":path", "/long")]);
    let (start, rest) = fields.split_at(7);
    let first = [&[3, 0, 0, 0, 0, 9], start, &[0; 3]].concat();
    let (parser, _) = feed(
        &[
            (TS, PREFACE.to_vec()),
            (TS, frame(1, 0x29, 1, &first)),
            (TS, frame(9, 4, 1, rest)),
        ],
        usize::MAX,
    );
    assert_eq!(
        buffer(parser.as_ref(), 0, "http.uri", TS, 0).as_deref(),
        Some("/long")
    );
    assert_eq!(values(parser.as_ref(), 0, "http2.priority", TS), [9]);
}

#[test]
fn a_promise_is_the_request_of_the_stream_it_promises() {
    let fields = block(&[(":path", "/style.css")]);
    let (parser, _) = feed(
        &[
            (TS, PREFACE.to_vec()),
            (TS, headers(1, 1, &[(":path", "/")])),
            (TC, frame(5, 0, 1, &[&[0, 0, 0, 2], &fields[..3]].concat())),
            (TC, frame(9, 4, 1, &fields[3..])),
        ],
        usize::MAX,
    );
    assert_eq!(
        buffer(parser.as_ref(), 1, "http.response_header", TC, 0).as_deref(),
        Some(":path: /style.css")
    );
    assert!(buffer(parser.as_ref(), 0, "http.response_header", TC, 0).is_none());
}

#[test]
fn a_compressed_body_is_a_file_of_what_it_holds() {
    use std::io::Write;
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(b"hello hello hello").unwrap();
    let gzip = gzip.finish().unwrap();
    let (parser, _) = feed(
        &[
            (
                TC,
                headers(0, 1, &[(":status", "200"), ("content-encoding", "gzip")]),
            ),
            (TC, frame(0, 0, 1, &gzip[..12])),
            (TC, frame(0, 1, 1, &gzip[12..])),
        ],
        usize::MAX,
    );
    assert_eq!(
        buffer(parser.as_ref(), 0, "file.data", TC, 0).as_deref(),
        Some("hello hello hello")
    );
}

#[test]
fn brotli_is_undone_for_so_many_streams_at_a_time() {
    let br = include_bytes!("../coding/hello.br");
    let mut pieces = Vec::new();
    for stream in 1..=17 {
        pieces.push((
            TC,
            headers(0, stream, &[(":status", "200"), ("content-encoding", "br")]),
        ));
    }
    for stream in [1, 17] {
        pieces.push((TC, frame(0, 1, stream, br)));
    }
    pieces.push((TC, headers(0, 18, &[("content-encoding", "br")])));
    pieces.push((TC, frame(0, 1, 18, br)));
    let (parser, _) = feed(&pieces, usize::MAX);
    let text = "hello hello hello hello\n";
    assert_eq!(
        buffer(parser.as_ref(), 0, "file.data", TC, 0).as_deref(),
        Some(text)
    );
    let events = |id| &parser.transactions().get(id).unwrap().meta().events[..];
    assert_eq!(events(16), ["failed_decompression"]);
    assert!(events(15).is_empty() && events(17).is_empty());
    assert_eq!(
        buffer(parser.as_ref(), 17, "file.data", TC, 0).as_deref(),
        Some(text)
    );
}

#[test]
fn a_body_in_one_long_frame_is_taken_as_it_comes() {
    let body: Vec<u8> = (0..100_000u32).map(|at| (at % 251) as u8).collect();
    let pieces = [
        (TC, headers(0, 1, &[(":status", "200")])),
        (TC, frame(0, 1, 1, &body)),
        (TC, headers(1, 3, &[(":status", "404")])),
    ];
    for step in [1000, usize::MAX] {
        let (parser, _) = feed(&pieces, step);
        let tx = parser.transactions().get(0).unwrap();
        let file = &tx.files().unwrap().files[0];
        assert_eq!((file.size, file.state), (100_000, crate::file::State::Closed));
        assert_eq!(tx.meta().events[..], ["long_frame_data"]);
        assert_eq!(
            buffer(parser.as_ref(), 1, "http.stat_code", TC, 0).as_deref(),
            Some("404")
        );
    }
}

#[test]
fn an_upgraded_request_is_that_of_stream_one() {
    let mut parser = start(&AppProtocol::default(), Carrier::Tcp);
    parser.announced(&block(&[
        (":method", "GET"),
        (":path", "/up"),
        (":authority", "host"),
        ("http2-settings", "AAMAAABkAAQAAP__"),
    ]));
    assert_eq!(
        buffer(parser.as_ref(), 0, "http.uri", TS, 0).as_deref(),
        Some("/up")
    );
    assert_eq!(
        values(parser.as_ref(), 1, "http2.settings.max_concurrent_streams", TS),
        [100]
    );
}

#[test]
fn too_many_streams_end_the_parsing() {
    let mut pieces = vec![(TS, PREFACE.to_vec())];
    pieces.extend((0..4097u32).map(|at| (TS, headers(0, 2 * at + 1, &[(":path", "/")]))));
    let (parser, goes_on) = feed(&pieces, usize::MAX);
    assert!(!goes_on);
    let tx = parser.transactions().get(0).unwrap();
    assert_eq!(tx.meta().events[..], ["too_many_streams"]);
}

#[test]
fn a_table_that_expands_without_end_is_kept_within_limits() {
    let value = "v".repeat(3000);
    let mut bomb = vec![0x40, 1, b'n', 127, 0xb9, 22];
    bomb.extend(value.as_bytes());
    bomb.extend(vec![0xbe; 16_000]);
    let (parser, _) = feed(&[(TS, PREFACE.to_vec()), (TS, frame(1, 5, 1, &bomb))], usize::MAX);
    let tx = parser.transactions().get(0).unwrap();
    assert_eq!(tx.meta().events[..], ["reassembly_limit_reached"]);
    assert!(buffer(parser.as_ref(), 0, "http.header", TS, 0).unwrap().len() < 2 << 20);
}

fn shown(parser: &dyn Parser) -> Vec<String> {
    let ids: Vec<u64> = parser.transactions().ids().collect();
    ids.into_iter()
        .map(|id| {
            let tx = parser.transactions().get(id).unwrap();
            let files: Vec<_> = tx
                .files()
                .unwrap()
                .files
                .iter()
                .map(|file| (file.size, file.state))
                .collect();
            format!("{} {:?} {:?}", record(parser, id), files, tx.meta().events)
        })
        .collect()
}

proptest! {
    #[test]
    fn a_dialogue_cut_anywhere_reads_the_same(step in 1usize..40) {
        let (parser, _) = feed(&exchange(), step);
        check(parser.as_ref());
    }

    #[test]
    fn any_frames_cut_anywhere_read_the_same(
        frames in prop::collection::vec((any::<bool>(), 0u8..11, any::<u8>(), 0u32..4, prop::collection::vec(any::<u8>(), 0..60)), 0..20),
        step in 1usize..50,
    ) {
        let mut pieces = vec![(TS, PREFACE.to_vec())];
        for (back, kind, flags, stream, payload) in frames {
            pieces.push((if back { TC } else { TS }, frame(kind, flags, stream, &payload)));
        }
        let (whole, _) = feed(&pieces, usize::MAX);
        let (cut, _) = feed(&pieces, step);
        prop_assert_eq!(shown(whole.as_ref()), shown(cut.as_ref()));
    }

    #[test]
    fn any_octets_do_not_panic(octets in prop::collection::vec(any::<u8>(), 0..400), back in any::<bool>()) {
        let direction = if back { TC } else { TS };
        let (parser, _) = feed(&[(TS, PREFACE.to_vec()), (direction, octets)], 50);
        shown(parser.as_ref());
    }
}
