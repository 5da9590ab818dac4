use proptest::prelude::*;

use super::*;
use crate::time::Timestamp;

/// `www.example.com A`, asked.
fn query() -> Vec<u8> {
    let mut octets = vec![0x8d, 0x32, 0x01, 0x20, 0, 1, 0, 0, 0, 0, 0, 0];
    octets.extend_from_slice(b"\x03www\x07example\x03com\x00\x00\x01\x00\x01");
    octets
}

/// The same, answered with a CNAME and an A record, by pointers.
fn answer() -> Vec<u8> {
    let mut octets = vec![0x8d, 0x32, 0x81, 0xa0, 0, 1, 0, 2, 0, 0, 0, 0];
    octets.extend_from_slice(b"\x03www\x07example\x03com\x00\x00\x01\x00\x01");
    octets.extend_from_slice(b"\xc0\x0c\x00\x05\x00\x01\x00\x00\x0e\x10\x00\x02\xc0\x10");
    octets.extend_from_slice(b"\xc0\x10\x00\x01\x00\x01\x00\x00\x0e\x10\x00\x04\xc0\x00\x02\x01");
    octets
}

fn input(data: &[u8]) -> Input<'_> {
    Input {
        data,
        gap: 0,
        eof: false,
        now: Timestamp(0),
        packet: 1,
    }
}

fn record(parser: &dyn Parser, id: u64, index: usize) -> serde_json::Value {
    let mut out = Vec::new();
    let mut json = Json::new(&mut out);
    json.open();
    parser
        .transactions()
        .get(id)
        .unwrap()
        .write_record(index, &mut json);
    json.close_object();
    serde_json::from_slice(&out).unwrap()
}

#[test]
fn a_query_and_its_answer_are_two_transactions_with_their_records() {
    let mut parser = start(&AppProtocol::default(), Carrier::Udp);
    let mut requests = Requests::default();
    parser.parse(Direction::ToServer, &input(&query()), &mut requests);
    parser.parse(Direction::ToClient, &input(&answer()), &mut requests);
    assert_eq!(parser.transactions().end(), 2);
    let tx = parser.transactions().get(0).unwrap();
    let name = tx.buffer(0, Direction::ToServer, 0).unwrap();
    assert_eq!(name.data, b"www.example.com");
    assert!(tx.buffer(0, Direction::ToServer, 1).is_none());
    assert_eq!(tx.records(false), 1);
    let dns = &record(parser.as_ref(), 0, 0)["dns"];
    assert_eq!(dns["rrname"], "www.example.com");
    assert_eq!(dns["rrtype"], "A");
    assert_eq!(dns["id"], 0x8d32);
    let dns = &record(parser.as_ref(), 1, 0)["dns"];
    assert_eq!(dns["flags"], "81a0");
    assert_eq!(dns["answers"][0]["rdata"], "example.com");
    assert_eq!(dns["grouped"]["A"][0], "192.0.2.1");
    assert_eq!(dns["rcode"], "NOERROR");
}

#[test]
fn a_pointer_to_itself_is_no_message_and_raises_malformed_data() {
    let mut parser = start(&AppProtocol::default(), Carrier::Udp);
    let mut requests = Requests::default();
    parser.parse(Direction::ToServer, &input(&query()), &mut requests);
    let looping = b"\x00\x01\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\xc0\x0c\x00\x01\x00\x01";
    parser.parse(Direction::ToServer, &input(looping), &mut requests);
    assert_eq!(parser.transactions().end(), 1);
    assert_eq!(
        parser.transactions().get(0).unwrap().meta().events.as_slice(),
        ["malformed_data"]
    );
}

#[test]
fn a_name_longer_than_kept_is_cut_and_raises_name_too_long() {
    let mut octets = vec![0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for _ in 0..20 {
        octets.push(63);
        octets.extend_from_slice(&[b'a'; 63]);
    }
    octets.extend_from_slice(b"\x00\x00\x01\x00\x01");
    let mut parser = start(&AppProtocol::default(), Carrier::Udp);
    parser.parse(Direction::ToServer, &input(&octets), &mut Requests::default());
    let tx = parser.transactions().get(0).unwrap();
    assert_eq!(tx.buffer(0, Direction::ToServer, 0).unwrap().data.len(), 1025);
    assert_eq!(tx.meta().events.as_slice(), ["name_too_long"]);
}

#[test]
fn probing_tells_who_asked() {
    assert_eq!(probe_datagram(&query(), Direction::ToServer), Probe::Certain);
    assert_eq!(probe_datagram(&answer(), Direction::ToServer), Probe::Reversed);
    assert_eq!(
        probe_datagram(b"SSH-2.0-OpenSSH_9", Direction::ToServer),
        Probe::Unsure
    );
}

fn streamed() -> Vec<u8> {
    let mut stream = Vec::new();
    for message in [answer(), answer(), answer()] {
        stream.extend_from_slice(&(message.len() as u16).to_be_bytes());
        stream.extend_from_slice(&message);
    }
    stream
}

proptest! {
    #[test]
    fn any_octets_do_not_panic(data in proptest::collection::vec(any::<u8>(), 0..600), tcp: bool) {
        let carrier = if tcp { Carrier::Tcp } else { Carrier::Udp };
        let mut parser = start(&AppProtocol::default(), carrier);
        probe_stream(&data, Direction::ToClient);
        parser.parse(Direction::ToServer, &input(&data), &mut Requests::default());
        parser.parse(Direction::ToClient, &input(&data), &mut Requests::default());
        for id in 0..parser.transactions().end() {
            for index in 0..parser.transactions().get(id).unwrap().records(true) {
                record(parser.as_ref(), id, index);
            }
        }
    }

    #[test]
    fn a_stream_cut_anywhere_gives_the_same_messages(cut in 0usize..200) {
        let stream = streamed();
        let cut = cut.min(stream.len());
        let mut parser = start(&AppProtocol::default(), Carrier::Tcp);
        let mut requests = Requests::default();
        let Parsed::Used(used) = parser.parse(Direction::ToClient, &input(&stream[..cut]), &mut requests) else {
            panic!("refused")
        };
        let last = parser.parse(Direction::ToClient, &input(&stream[used..]), &mut requests);
        prop_assert_eq!(last, Parsed::Used(stream.len() - used));
        prop_assert_eq!(parser.transactions().end(), 3);
    }
}
