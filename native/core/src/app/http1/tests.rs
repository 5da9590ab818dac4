use proptest::prelude::*;

use super::*;
use crate::event::json::Json;
use crate::time::Timestamp;

fn input(data: &[u8], eof: bool) -> Input<'_> {
    Input {
        data,
        gap: 0,
        eof,
        now: Timestamp(0),
        packet: 1,
    }
}

/// Feed whole pieces in turn: (direction, octets); what a parser leaves is shown again.
fn feed(pieces: &[(Direction, &[u8])], eof: bool) -> Box<dyn Parser> {
    let mut parser = start(&AppProtocol::default(), Carrier::Tcp);
    let mut kept = [Vec::new(), Vec::new()];
    for (direction, octets) in pieces {
        let held = &mut kept[direction.index()];
        held.extend_from_slice(octets);
        match parser.parse(*direction, &input(held, false), &mut Requests::default()) {
            Parsed::Used(used) => drop(held.drain(..used)),
            _ => return parser,
        }
    }
    if eof {
        for direction in [Direction::ToServer, Direction::ToClient] {
            let held = &kept[direction.index()];
            parser.parse(direction, &input(held, true), &mut Requests::default());
        }
    }
    parser
}

fn buffer(parser: &dyn Parser, id: u64, name: &str, direction: Direction) -> Option<String> {
    let slot = BUFFERS.iter().position(|spec| spec.name == name).unwrap();
    let buffer = parser.transactions().get(id)?.buffer(slot, direction, 0)?;
    Some(String::from_utf8_lossy(buffer.data).into_owned())
}

const REQUEST: &[u8] = b"GET /a/../b%41?x=%20 HTTP/1.1\r\nHost: Example.com:8080\r\nUser-Agent: test\r\nCookie: c=1\r\nAccept: a\r\n b\r\n\r\n";
const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\nServer: s\r\nContent-Type: text/html; x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6;e\r\n world\r\n0\r\n\r\n";
const TS: Direction = Direction::ToServer;
const TC: Direction = Direction::ToClient;

fn check(parser: &dyn Parser, id: u64) {
    let expect = [
        ("http.uri", TS, "/bA?x= "),
        ("http.uri.raw", TS, "/a/../b%41?x=%20"),
        ("http.method", TS, "GET"),
        ("http.host", TS, "Example.com"),
        ("http.cookie", TS, "c=1"),
        ("http.accept", TS, "a b"),
        ("http.stat_code", TC, "200"),
        ("http.stat_msg", TC, "OK"),
        ("http.response_body", TC, "hello world"),
        ("file.data", TC, "hello world"),
        ("file.name", TC, "/bA"),
        ("http.server", TC, "s"),
    ];
    for (name, direction, text) in expect {
        assert_eq!(
            buffer(parser, id, name, direction).as_deref(),
            Some(text),
            "{name}"
        );
    }
    let header = buffer(parser, id, "http.header", TS).unwrap();
    assert_eq!(
        header,
        "Host: Example.com:8080\r\nUser-Agent: test\r\nAccept: a b\r\n"
    );
    let names = buffer(parser, id, "http.header_names", TS).unwrap();
    assert_eq!(names, "\r\nHost\r\nUser-Agent\r\nCookie\r\nAccept\r\n\r\n");
}

#[test]
fn a_transaction_shows_its_parts_and_its_record() {
    let parser = feed(&[(TS, REQUEST), (TC, RESPONSE)], false);
    check(parser.as_ref(), 0);
    let tx = parser.transactions().get(0).unwrap();
    assert_eq!(tx.records(false), 1);
    assert_eq!(tx.files().unwrap().files[0].size, 11);
    assert_eq!(tx.files().unwrap().files[0].state, crate::file::State::Closed);
    let mut out = Vec::new();
    let mut json = Json::new(&mut out);
    json.open();
    tx.write_record(0, &mut json);
    json.close_object();
    let record: serde_json::Value = serde_json::from_slice(&out).unwrap();
    let http = &record["http"];
    assert_eq!(http["hostname"], "Example.com");
    assert_eq!(http["http_port"], 8080);
    assert_eq!(http["http_content_type"], "text/html");
    assert_eq!(http["status"], 200);
}

#[test]
fn pipelined_requests_are_matched_in_order() {
    let requests = [REQUEST, REQUEST].concat();
    let responses = [RESPONSE, RESPONSE].concat();
    let parser = feed(&[(TS, &requests), (TC, &responses)], false);
    check(parser.as_ref(), 0);
    check(parser.as_ref(), 1);
}

#[test]
fn a_response_without_a_request_is_kept_and_raises_an_event() {
    let parser = feed(&[(TC, RESPONSE)], false);
    let tx = parser.transactions().get(0).unwrap();
    assert_eq!(
        tx.meta().events.as_slice()[0],
        "UNABLE_TO_MATCH_RESPONSE_TO_REQUEST"
    );
    assert_eq!(
        buffer(parser.as_ref(), 0, "http.uri.raw", TS).unwrap(),
        "/libhtp::request_uri_not_seen"
    );
}

#[test]
fn a_body_without_length_ends_with_the_connection() {
    let response = b"HTTP/1.0 200 OK\r\n\r\nto the end";
    let parser = feed(&[(TS, REQUEST), (TC, response)], true);
    assert_eq!(
        buffer(parser.as_ref(), 0, "http.response_body", TC).unwrap(),
        "to the end"
    );
    assert!(parser.transactions().get(0).unwrap().complete(TC));
}

#[test]
fn connect_asks_for_the_protocol_to_be_looked_for_again() {
    let mut parser = start(&AppProtocol::default(), Carrier::Tcp);
    let mut requests = Requests::default();
    parser.parse(
        TS,
        &input(
            b"CONNECT h.example:443 HTTP/1.1\r\nHost: h.example\r\n\r\n",
            false,
        ),
        &mut requests,
    );
    parser.parse(TC, &input(b"HTTP/1.1 200 OK\r\n\r\n", false), &mut requests);
    assert_eq!((requests.change_protocol, requests.change_port), (Some(""), 443));
}

#[test]
fn an_upload_gives_its_file_by_its_own_name() {
    let body =
        b"--b\r\nContent-Disposition: form-data; name=\"f\"; filename=\"up.bin\"\r\n\r\nDATA\r\n--b--\r\n";
    let head = format!("POST /u HTTP/1.1\r\nHost: h\r\nContent-Type: multipart/form-data; boundary=b\r\nContent-Length: {}\r\n\r\n", body.len());
    let parser = feed(
        &[
            (TS, head.as_bytes()),
            (TS, body),
            (TC, b"HTTP/1.1 204 No Content\r\n\r\n"),
        ],
        false,
    );
    let tx = parser.transactions().get(0).unwrap();
    let file = &tx.files().unwrap().files[0];
    assert_eq!((file.name.as_slice(), file.size), (&b"up.bin"[..], 4));
    assert!(tx.complete(TS) && tx.complete(TC));
}

proptest! {
    #[test]
    fn any_octets_do_not_panic(data in proptest::collection::vec(any::<u8>(), 0..400), cut in 0usize..400) {
        let cut = cut.min(data.len());
        feed(&[(TS, &data[..cut]), (TC, &data[cut..]), (TS, REQUEST), (TC, &data), (TC, RESPONSE)], true);
    }

    #[test]
    fn almost_http_does_not_panic(at in 0usize..80, octet: u8, tail in "[ \t\r\nHTP/1.0:a-f;,]{0,40}") {
        let mut response = RESPONSE.to_vec();
        response[at % RESPONSE.len()] = octet;
        response.extend_from_slice(tail.as_bytes());
        feed(&[(TS, REQUEST), (TC, &response), (TS, tail.as_bytes())], true);
    }

    #[test]
    fn streams_cut_anywhere_give_the_same_transaction(a in 1usize..100, b in 1usize..100) {
        let (a, b) = (a.min(REQUEST.len()), b.min(RESPONSE.len()));
        let parser = feed(&[(TS, &REQUEST[..a]), (TS, &REQUEST[a..]), (TC, &RESPONSE[..b]), (TC, &RESPONSE[b..])], false);
        check(parser.as_ref(), 0);
    }
}

#[test]
fn octets_lost_behind_a_body_end_its_response() {
    let mut parser = start(&AppProtocol::default(), Carrier::Tcp);
    let mut give = |direction, gap, data: &[u8]| {
        let lost = Input {
            gap,
            ..input(data, false)
        };
        parser.parse(direction, &lost, &mut Requests::default())
    };
    give(TS, 0, b"GET /1 HTTP/1.0\r\n\r\n");
    give(TC, 0, b"HTTP/1.0 200 OK\r\nContent-Length: 12\r\n\r\n");
    give(TS, 0, b"GET /2 HTTP/1.0\r\n\r\n");
    give(TC, 127, b"AAAA\nAAAA\n");
    let body = |id| parser.transactions().get(id).unwrap().files().unwrap().files[0].size;
    assert!(parser.transactions().get(0).unwrap().complete(TC));
    assert_eq!((body(0), body(1)), (12, 10));
}
