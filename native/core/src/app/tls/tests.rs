//! Sessions, record by record.

use proptest::prelude::*;

use super::transaction::{progress, state};
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

/// A handshake message in one record.
fn record(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut message = vec![kind, 0];
    message.extend_from_slice(&(body.len() as u16).to_be_bytes());
    message.extend_from_slice(body);
    let mut out = vec![22, 3, 1];
    out.extend_from_slice(&(message.len() as u16).to_be_bytes());
    out.extend_from_slice(&message);
    out
}

fn extension(kind: u16, body: &[u8]) -> Vec<u8> {
    let mut out = kind.to_be_bytes().to_vec();
    out.extend_from_slice(&(body.len() as u16).to_be_bytes());
    out.extend_from_slice(body);
    out
}

fn client_hello() -> Vec<u8> {
    let mut body = vec![3, 3];
    body.extend_from_slice(&[7; 32]);
    body.push(0);
    body.extend_from_slice(b"\x00\x06\x1a\x1a\x13\x01\xc0\x2f\x01\x00");
    let mut extensions = extension(0, b"\x00\x0e\x00\x00\x0bexample.com");
    extensions.extend(extension(10, b"\x00\x04\x00\x1d\x00\x17"));
    extensions.extend(extension(11, b"\x01\x00"));
    extensions.extend(extension(13, b"\x00\x04\x04\x03\x08\x04"));
    extensions.extend(extension(16, b"\x00\x03\x02h2"));
    extensions.extend(extension(43, b"\x04\x03\x04\x03\x03"));
    body.extend_from_slice(&(extensions.len() as u16).to_be_bytes());
    body.extend_from_slice(&extensions);
    record(1, &body)
}

fn shown(parser: &dyn Parser, name: &str, direction: Direction) -> Option<String> {
    let slot = BUFFERS.iter().position(|spec| spec.name == name).unwrap();
    let buffer = parser.transactions().get(0)?.buffer(slot, direction, 0)?;
    Some(String::from_utf8_lossy(buffer.data).into_owned())
}

fn check(parser: &dyn Parser) {
    assert_eq!(shown(parser, "tls.sni", TS).as_deref(), Some("example.com"));
    assert_eq!(
        shown(parser, "ja3.string", TS).as_deref(),
        Some("771,4865-49199,0-10-11-13-16-43,29-23,0")
    );
    let ja4 = shown(parser, "ja4.hash", TS).unwrap();
    assert!(ja4.starts_with("t13d0206h2_"), "{ja4}");
    assert_eq!(
        parser.transactions().get(0).unwrap().value(0, TS, 0),
        Some(0x0304)
    );
}

#[test]
fn a_client_hello_gives_its_name_version_and_fingerprints() {
    let mut parser = start(&AppProtocol::default(), Carrier::Tcp);
    let hello = client_hello();
    let parsed = parser.parse(TS, &input(&hello), &mut Requests::default());
    assert_eq!(parsed, Parsed::Used(hello.len()));
    check(parser.as_ref());
}

#[test]
fn a_hello_spread_over_records_is_put_together() {
    let hello = client_hello();
    let message = &hello[5..];
    let mut stream = Vec::new();
    for part in message.chunks(20) {
        stream.extend_from_slice(&[22, 3, 1, 0, part.len() as u8]);
        stream.extend_from_slice(part);
    }
    let mut parser = start(&AppProtocol::default(), Carrier::Tcp);
    parser.parse(TS, &input(&stream), &mut Requests::default());
    check(parser.as_ref());
}

#[test]
fn application_data_ends_the_handshake_and_payload_inspection() {
    let mut parser = start(&AppProtocol::default(), Carrier::Tcp);
    parser.parse(TS, &input(&client_hello()), &mut Requests::default());
    let mut requests = Requests::default();
    parser.parse(TC, &input(b"\x17\x03\x03\x00\x05ab"), &mut requests);
    assert!(requests.opaque_payload);
    assert_eq!(parser.transactions().get(0).unwrap().progress(TC), progress::DONE);
    // The rest of the record is skipped, the next one is read.
    let parsed = parser.parse(TC, &input(b"cde\x17\x03\x03\x00\x01z"), &mut requests);
    assert_eq!(parsed, Parsed::Used(9));
}

#[test]
fn a_heartbeat_that_asks_for_more_than_it_sent_is_an_event() {
    let mut parser = start(&AppProtocol::default(), Carrier::Tcp);
    parser.parse(TS, &input(&client_hello()), &mut Requests::default());
    let parsed = parser.parse(
        TS,
        &input(b"\x18\x03\x02\x00\x03\x01\x40\x00"),
        &mut Requests::default(),
    );
    assert_eq!(parsed, Parsed::Failed);
    let tx = parser.transactions().get(0).unwrap();
    assert_eq!(tx.meta().events.as_slice(), ["OVERFLOW_HEARTBEAT_MESSAGE"]);
}

proptest! {
    #[test]
    fn any_octets_do_not_panic(data in proptest::collection::vec(any::<u8>(), 1..400), head in 0usize..3) {
        let mut stream = [&b""[..], b"\x16\x03\x01\x01\x00\x0b\x00\x00\xfc", b"\x80\x20\x01"][head].to_vec();
        stream.extend_from_slice(&data);
        let mut parser = start(&AppProtocol::default(), Carrier::Tcp);
        parser.parse(TS, &input(&stream), &mut Requests::default());
        parser.parse(TC, &input(&stream), &mut Requests::default());
    }

    #[test]
    fn almost_hellos_do_not_panic(at in 0usize..140, octet: u8) {
        let mut hello = client_hello();
        let at = at % hello.len();
        hello[at] = octet;
        let mut parser = start(&AppProtocol::default(), Carrier::Tcp);
        parser.parse(TS, &input(&hello), &mut Requests::default());
    }

    #[test]
    fn a_stream_cut_anywhere_gives_the_same_session(cut in 1usize..140) {
        let hello = client_hello();
        let cut = cut.min(hello.len());
        let mut parser = start(&AppProtocol::default(), Carrier::Tcp);
        let Parsed::Used(used) = parser.parse(TS, &input(&hello[..cut]), &mut Requests::default()) else {
            panic!("refused")
        };
        if used < hello.len() {
            parser.parse(TS, &input(&hello[used..]), &mut Requests::default());
        }
        check(parser.as_ref());
    }
}

/// Conformance cases battery--tls--*: a random is seen from the other side's hello on, a state while it was the last.
#[test]
fn rules_see_randoms_and_states_as_the_arbiter_does() {
    let mut parser = start(&AppProtocol::default(), Carrier::Tcp);
    let state = |parser: &dyn Parser| {
        let slot = VALUES.iter().position(|spec| spec.name == "ssl_state").unwrap();
        parser.transactions().get(0).unwrap().value(slot, TS, 0)
    };
    let hello = client_hello();
    let (first, rest) = hello.split_at(20);
    assert_eq!(
        parser.parse(TS, &input(first), &mut Requests::default()),
        Parsed::Used(0)
    );
    parser.parse(TS, &input(&[first, rest].concat()), &mut Requests::default());
    assert_eq!(state(parser.as_ref()), Some(i64::from(state::CLIENT_HELLO)));
    assert_eq!(shown(parser.as_ref(), "tls.random", TS), None);
    assert_eq!(
        shown(parser.as_ref(), "tls.random", TC).as_deref(),
        Some("\0".repeat(32).as_str())
    );
    // What was said is over as soon as the next record begins.
    parser.parse(TC, &input(&[22, 3, 3]), &mut Requests::default());
    assert_eq!(state(parser.as_ref()), Some(0));
}
