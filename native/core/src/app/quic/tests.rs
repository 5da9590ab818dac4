use proptest::prelude::*;

use super::*;
use crate::time::Timestamp;

const TS: Direction = Direction::ToServer;
const TC: Direction = Direction::ToClient;
/// Destination of the client's first packet in all examples.
const DESTINATION: &[u8] = b"\x83\x94\xc8\xf0\x3e\x51\x57\x08";
/// Octets of the header of the client's packet in RFC 9001 appendix A.2, without the packet number.
const CLIENT_HEADER_OCTETS: usize = 18;

fn octets(hex: &str) -> Vec<u8> {
    hex.as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

fn feed(parser: &mut dyn Parser, direction: Direction, data: &[u8]) {
    let input = Input {
        data,
        gap: 0,
        eof: false,
        now: Timestamp(0),
        packet: 1,
    };
    let parsed = parser.parse(direction, &input, &mut Requests::default());
    assert_eq!(parsed, Parsed::Used(data.len()));
}

/// A parser that was shown these datagrams.
fn shown(datagrams: &[(Direction, &[u8])]) -> Box<dyn Parser> {
    let mut parser = start(&AppProtocol::default(), Carrier::Udp);
    for (direction, data) in datagrams {
        feed(parser.as_mut(), *direction, data);
    }
    parser
}

fn buffer(parser: &dyn Parser, id: u64, name: &str) -> Option<Vec<u8>> {
    let slot = BUFFERS.iter().position(|spec| spec.name == name).unwrap();
    let tx = parser.transactions().get(id)?;
    let buffer = tx.buffer(slot, tx.only().unwrap(), 0)?;
    Some(buffer.data.to_vec())
}

fn text(parser: &dyn Parser, id: u64, name: &str) -> String {
    String::from_utf8(buffer(parser, id, name).unwrap()).unwrap()
}

fn record(parser: &dyn Parser, id: u64) -> serde_json::Value {
    let mut out = Vec::new();
    let mut json = Json::new(&mut out);
    json.open();
    parser.transactions().get(id).unwrap().write_record(0, &mut json);
    json.close_object();
    serde_json::from_slice::<serde_json::Value>(&out).unwrap()["quic"].take()
}

fn events(parser: &dyn Parser, id: u64) -> Vec<&'static str> {
    parser.transactions().get(id).unwrap().meta().events.to_vec()
}

/// A client's Initial packet of version 1 with these frames.
fn sealed(number: u8, frames: &[u8]) -> Vec<u8> {
    let keys = InitialKeys::new(1, DESTINATION).unwrap();
    let mut frames = frames.to_vec();
    frames.resize(frames.len().max(32), 0);
    let mut header = b"\xc0\x00\x00\x00\x01\x08".to_vec();
    header.extend_from_slice(DESTINATION);
    header.extend_from_slice(b"\x00\x00");
    header.extend_from_slice(&(0x4000 | (frames.len() as u16 + 17)).to_be_bytes());
    header.push(number);
    keys.seal(TS, &header, &frames)
}

/// The client's hello of RFC 9001 appendix A.2.
fn client_hello() -> Vec<u8> {
    let packet = octets(examples::V1_CLIENT);
    let keys = InitialKeys::new(1, DESTINATION).unwrap();
    let frames = keys.open(TS, &packet, CLIENT_HEADER_OCTETS).unwrap();
    frames[4..4 + 0xf1].to_vec()
}

fn crypto(offset: u16, data: &[u8]) -> Vec<u8> {
    let mut frame = vec![6];
    frame.extend_from_slice(&(0x4000 | offset).to_be_bytes());
    frame.extend_from_slice(&(0x4000 | data.len() as u16).to_be_bytes());
    frame.extend_from_slice(data);
    frame
}

#[test]
fn the_examples_of_the_rfcs_are_opened_in_both_directions() {
    for (client, server, version) in [
        (examples::V1_CLIENT, examples::V1_SERVER, "1"),
        (examples::V2_CLIENT, examples::V2_SERVER, "v2"),
    ] {
        let parser = shown(&[(TS, &octets(client)), (TC, &octets(server))]);
        let parser = parser.as_ref();
        assert_eq!(parser.transactions().end(), 2);
        assert_eq!(text(parser, 0, "quic.sni"), "example.com");
        assert_eq!(
            text(parser, 0, "ja3.string"),
            "771,4865-4866,0-65281-10-16-5-51-43-13-45-28-57,29-23-24,"
        );
        assert!(text(parser, 0, "ja4.hash").starts_with("q13d0211an_"));
        assert_eq!(text(parser, 1, "ja3s.string"), "771,4865,51-43");
        let quic = record(parser, 0);
        assert_eq!(quic["version"], version);
        assert_eq!(quic["sni"], "example.com");
        assert_eq!(quic["extensions"][0]["values"][0], "example.com");
        assert_eq!(quic["extensions"][3]["name"], "alpn");
        let quic = record(parser, 1);
        assert!(quic.get("ja3").is_none());
        assert_eq!(quic["ja3s"]["string"], "771,4865,51-43");
        assert_eq!(quic["extensions"][1]["values"][0], "Tls13");
    }
}

#[test]
fn version_is_shown_as_sent() {
    let parser = shown(&[(TS, &octets(examples::V2_CLIENT))]);
    assert_eq!(
        buffer(parser.as_ref(), 0, "quic.version").unwrap(),
        b"\x6b\x33\x43\xcf"
    );
}

#[test]
fn a_hello_in_pieces_over_packets_in_any_order_is_put_together() {
    let hello = client_hello();
    let (a, b) = hello.split_at(100);
    let second = sealed(0, &crypto(100, b));
    let first = sealed(1, &crypto(0, a));
    for datagrams in [[&second, &first], [&first, &second]] {
        let parser = shown(&datagrams.map(|datagram| (TS, datagram.as_slice())));
        assert!(buffer(parser.as_ref(), 0, "quic.sni").is_none());
        assert_eq!(text(parser.as_ref(), 1, "quic.sni"), "example.com");
    }
}

#[test]
fn pieces_that_leave_a_hole_are_no_hello() {
    let hello = client_hello();
    let mut frames = crypto(0, &hello[..100]);
    frames.extend(crypto(0, &hello[..100]));
    frames.extend(crypto(120, &hello[120..]));
    let parser = shown(&[(TS, &sealed(0, &frames))]);
    assert!(buffer(parser.as_ref(), 0, "quic.sni").is_none());
    assert!(events(parser.as_ref(), 0).is_empty());
}

#[test]
fn packets_in_one_datagram_are_transactions_each_until_the_hello() {
    let hello = client_hello();
    let (a, b) = hello.split_at(100);
    let mut datagram = sealed(0, &crypto(0, a));
    datagram.extend(sealed(1, &crypto(100, b)));
    datagram.extend(sealed(2, &crypto(241, b"more")));
    let mut parser = shown(&[(TS, &datagram)]);
    assert_eq!(parser.transactions().end(), 2);
    feed(parser.as_mut(), TS, &sealed(3, &[1]));
    assert_eq!(parser.transactions().end(), 2);
}

#[test]
fn a_changed_packet_raises_failed_decrypt_and_the_next_is_read() {
    let packet = octets(examples::V1_CLIENT);
    let mut changed = packet.clone();
    changed[600] ^= 1;
    let parser = shown(&[(TS, &changed), (TS, &packet)]);
    assert_eq!(events(parser.as_ref(), 0), ["failed_decrypt"]);
    assert_eq!(text(parser.as_ref(), 1, "quic.sni"), "example.com");
}

#[test]
fn a_handshake_that_begins_with_no_hello_raises_error_on_data() {
    let parser = shown(&[(TS, &sealed(0, &crypto(0, b"\x14\x00\x00\x01x")))]);
    assert_eq!(events(parser.as_ref(), 0), ["error_on_data"]);
}

#[test]
fn a_piece_beyond_what_is_put_together_raises_crypto_frag_too_long() {
    let mut frame = b"\x06\x80\x01\x00\x00\x01x".to_vec();
    frame.push(1);
    let parser = shown(&[(TS, &sealed(0, &frame))]);
    assert_eq!(events(parser.as_ref(), 0), ["crypto_frag_too_long"]);
}

#[test]
fn after_a_retry_keys_follow_from_the_new_destination() {
    let retry = b"\xf0\x00\x00\x00\x01\x00\x04abcdtoken-and-integrity-tag";
    let keys = InitialKeys::new(1, b"abcd").unwrap();
    let frames = crypto(0, &client_hello());
    let mut header = b"\xc0\x00\x00\x00\x01\x04abcd\x00\x00".to_vec();
    header.extend_from_slice(&(0x4000 | (frames.len() as u16 + 17)).to_be_bytes());
    header.push(1);
    let again = keys.seal(TS, &header, &frames);
    let parser = shown(&[(TS, &octets(examples::V1_CLIENT)), (TC, retry), (TS, &again)]);
    assert_eq!(parser.transactions().end(), 3);
    assert!(events(parser.as_ref(), 2).is_empty());
    assert_eq!(text(parser.as_ref(), 2, "quic.sni"), "example.com");
}

#[test]
fn googles_hello_gives_name_agent_and_cyu() {
    // Tags and hash: "GQUIC Protocol Analysis and Fingerprinting in Zeek".
    let tags: [(&[u8; 4], &[u8]); 9] = [
        (b"PAD\0", b"---"),
        (b"SNI\0", b"example.com"),
        (b"VER\0", b"Q043"),
        (b"CCS\0", b""),
        (b"PDMD", b"X509"),
        (b"ICSL", b""),
        (b"MIDS", b""),
        (b"CFCW", b""),
        (b"SFCW", b""),
    ];
    let mut message = b"CHLO\x09\x00\x00\x00".to_vec();
    let mut end = 0u32;
    for (tag, value) in tags {
        end += value.len() as u32;
        message.extend_from_slice(tag);
        message.extend_from_slice(&end.to_le_bytes());
    }
    for (_, value) in tags {
        message.extend_from_slice(value);
    }
    let mut packet = b"\x09\x01\x02\x03\x04\x05\x06\x07\x08Q043\x01".to_vec();
    packet.extend_from_slice(&[0; 12]);
    packet.extend_from_slice(b"\xa0\x01");
    packet.extend_from_slice(&(message.len() as u16).to_be_bytes());
    packet.extend_from_slice(&message);
    let parser = shown(&[(TS, &packet)]);
    let parser = parser.as_ref();
    assert_eq!(text(parser, 0, "quic.sni"), "example.com");
    assert_eq!(
        text(parser, 0, "quic.cyu.string"),
        "43,PAD-SNI-VER-CCS-PDMD-ICSL-MIDS-CFCW-SFCW"
    );
    assert_eq!(
        text(parser, 0, "quic.cyu.hash"),
        "e030dea1f2eea44ac7db5fe4de792acd"
    );
    assert!(buffer(parser, 0, "quic.version").is_none());
    assert_eq!(record(parser, 0)["version"], "Q043");
    assert_eq!(
        record(parser, 0)["cyu"][0]["hash"],
        "e030dea1f2eea44ac7db5fe4de792acd"
    );
}

#[test]
fn what_is_no_header_is_not_quic() {
    assert_eq!(probe(&octets(examples::V1_CLIENT), TS), Probe::Certain);
    assert_eq!(probe(b"", TS), Probe::No);
    assert_eq!(probe(b"\xc0\x00\x00\x00\x01\xff", TS), Probe::No);
}

/// Ask for everything rules and records could ask for.
fn ask(parser: &dyn Parser) {
    for id in parser.transactions().first()..parser.transactions().end() {
        for spec in BUFFERS {
            buffer(parser, id, spec.name);
        }
        record(parser, id);
    }
}

proptest! {
    #[test]
    fn any_datagrams_are_read(
        datagrams in proptest::collection::vec((any::<bool>(), proptest::collection::vec(any::<u8>(), 0..200)), 0..8),
    ) {
        let mut parser = shown(&[(TS, &octets(examples::V1_CLIENT)[..])]);
        for (back, datagram) in &datagrams {
            feed(parser.as_mut(), if *back { TC } else { TS }, datagram);
        }
        ask(parser.as_ref());
    }

    #[test]
    fn any_frames_are_read(frames in proptest::collection::vec(any::<u8>(), 0..300)) {
        let parser = shown(&[(TS, &sealed(0, &frames))]);
        prop_assert!(!events(parser.as_ref(), 0).contains(&"failed_decrypt"));
        ask(parser.as_ref());
    }

    #[test]
    fn a_damaged_hello_is_read(at in 0usize..0xf1, octet in any::<u8>()) {
        let mut hello = client_hello();
        hello[at] = octet;
        ask(shown(&[(TS, &sealed(0, &crypto(0, &hello)))]).as_ref());
    }

    #[test]
    fn a_hello_cut_anywhere_is_the_same(cuts in proptest::collection::vec(1usize..0xf1, 1..6)) {
        let hello = client_hello();
        let mut cuts = cuts;
        cuts.sort_unstable();
        cuts.dedup();
        cuts.push(hello.len());
        let mut parser = shown(&[]);
        let mut from = 0;
        for (number, to) in cuts.into_iter().enumerate() {
            feed(parser.as_mut(), TS, &sealed(number as u8, &crypto(from as u16, &hello[from..to])));
            from = to;
        }
        let whole = shown(&[(TS, &sealed(0, &crypto(0, &hello)))]);
        let last = parser.transactions().end() - 1;
        prop_assert_eq!(record(parser.as_ref(), last), record(whole.as_ref(), 0));
    }
}
