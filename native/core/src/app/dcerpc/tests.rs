use proptest::prelude::*;

use super::*;
use crate::app::{Input, Parsed, Requests};
use crate::event::json::Json;
use crate::time::Timestamp;

/// A PDU with a little-endian header.
fn pdu(kind: u8, flags: u8, call_id: u32, body: &[u8]) -> Vec<u8> {
    let len = (pdu::HEADER_OCTETS + body.len()) as u16;
    let mut octets = vec![5, 0, kind, flags, 0x10, 0, 0, 0];
    octets.extend_from_slice(&len.to_le_bytes());
    octets.extend_from_slice(&[0, 0]);
    octets.extend_from_slice(&call_id.to_le_bytes());
    octets.extend_from_slice(body);
    octets
}

/// lsarpc 2.0 in context 1.
fn bind() -> Vec<u8> {
    let mut body = b"\xb8\x10\xb8\x10\x00\x00\x00\x00\x01\x00\x00\x00\x01\x00\x01\x00".to_vec();
    body.extend_from_slice(
        b"\x78\x57\x34\x12\x34\x12\xcd\xab\xef\x00\x01\x23\x45\x67\x89\xab\x02\x00\x00\x00",
    );
    body.extend_from_slice(&[0; 20]);
    pdu(pdu::kind::BIND, 3, 1, &body)
}

fn bind_ack(result: u8) -> Vec<u8> {
    let mut body = b"\xb8\x10\xb8\x10\x65\x8e\x00\x00\x04\x00135\x00\x00\x00\x01\x00\x00\x00".to_vec();
    body.extend_from_slice(&[result, 0, 0, 0]);
    body.extend_from_slice(&[0; 20]);
    pdu(pdu::kind::BIND_ACK, 3, 1, &body)
}

fn request(call_id: u32, opnum: u8, stub: &[u8]) -> Vec<u8> {
    let body = [&[0, 0, 0, 0, 1, 0, opnum, 0], stub].concat();
    pdu(pdu::kind::REQUEST, 3, call_id, &body)
}

fn response(call_id: u32, stub: &[u8]) -> Vec<u8> {
    pdu(pdu::kind::RESPONSE, 3, call_id, &[&[0; 8], stub].concat())
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

fn parser(carrier: Carrier) -> Box<dyn Parser> {
    start(&AppProtocol::default(), carrier)
}

fn feed(parser: &mut dyn Parser, direction: Direction, data: &[u8]) -> Parsed {
    parser.parse(direction, &input(data), &mut Requests::default())
}

fn records(parser: &dyn Parser) -> Vec<serde_json::Value> {
    let calls = parser.transactions();
    let shown = (calls.first()..calls.end()).map(|id| {
        let mut out = Vec::new();
        let mut json = Json::new(&mut out);
        json.open();
        calls.get(id).unwrap().write_record(0, &mut json);
        json.close_object();
        serde_json::from_slice::<serde_json::Value>(&out).unwrap()["dcerpc"].clone()
    });
    shown.collect()
}

#[test]
fn a_bind_and_a_call_are_a_record_each() {
    let mut parser = parser(Carrier::Tcp);
    let talk = [
        (TS, bind()),
        (TC, bind_ack(0)),
        (TS, request(2, 15, b"arguments")),
        (TC, response(2, b"results")),
    ];
    for (direction, octets) in &talk {
        assert_eq!(
            feed(parser.as_mut(), *direction, octets),
            Parsed::Used(octets.len())
        );
    }
    assert_eq!(
        records(parser.as_ref()),
        [
            serde_json::json!({"request": "BIND", "interfaces": [
                {"uuid": "12345778-1234-abcd-ef00-0123456789ab", "version": "2.0", "ack_result": 0}],
                "response": "BINDACK", "call_id": 1, "rpc_version": "5.0"}),
            serde_json::json!({"request": "REQUEST", "req": {"opnum": 15, "frag_cnt": 1, "stub_data_size": 9},
                "response": "RESPONSE", "res": {"frag_cnt": 1, "stub_data_size": 15},
                "call_id": 2, "rpc_version": "5.0"}),
        ]
    );
    let call = parser.transactions().get(1).unwrap();
    assert_eq!(call.value(0, TS, 0), Some(15));
    assert_eq!(call.buffer(0, TS, 0).unwrap().data, b"arguments");
    let call = call.call().unwrap();
    assert_eq!(call.context_id, Some(1));
    assert!(call.interfaces[0].accepted());
}

#[test]
fn a_refused_interface_is_not_accepted_and_a_call_nobody_answered_is_unreplied() {
    let mut parser = parser(Carrier::Tcp);
    feed(parser.as_mut(), TS, &bind());
    feed(parser.as_mut(), TC, &bind_ack(2));
    feed(parser.as_mut(), TS, &request(2, 0, b"x"));
    let shown = records(parser.as_ref());
    assert_eq!(shown[0]["interfaces"][0]["ack_result"], 2);
    assert_eq!(shown[1]["response"], "UNREPLIED");
    let call = parser.transactions().get(1).unwrap();
    assert!(!call.call().unwrap().interfaces[0].accepted());
    assert_eq!((call.records(false), call.records(true)), (0, 1));
}

/// A connectionless PDU of activity 1 and call 7.
fn datagram(kind: u8, flags: u8, stub: &[u8]) -> Vec<u8> {
    let mut octets = vec![0; pdu::DATAGRAM_HEADER_OCTETS];
    octets[..5].copy_from_slice(&[4, kind, flags, 0, 0x10]);
    octets[40] = 1;
    octets[64] = 7;
    octets[68] = 3;
    octets[74] = stub.len() as u8;
    octets.extend_from_slice(stub);
    octets
}

#[test]
fn fragments_of_a_connectionless_call_are_put_together() {
    let mut parser = parser(Carrier::Udp);
    let (more, last) = (pdu::DATAGRAM_FRAGMENT, 6);
    feed(parser.as_mut(), TS, &datagram(pdu::kind::REQUEST, more, b"argu"));
    assert!(!parser.transactions().get(0).unwrap().complete(TS));
    feed(parser.as_mut(), TS, &datagram(pdu::kind::REQUEST, last, b"ments"));
    feed(parser.as_mut(), TC, &datagram(pdu::kind::RESPONSE, 0, b"r"));
    let call = parser.transactions().get(0).unwrap();
    assert_eq!(call.buffer(0, TS, 0).unwrap().data, b"arguments");
    assert_eq!(call.records(false), 1);
    let shown = &records(parser.as_ref())[0];
    assert_eq!(shown["req"]["frag_cnt"], 2);
    assert_eq!(shown["activityuuid"], "00000001-0000-0000-0000-000000000000");
    assert_eq!(shown["seqnum"], 7);
}

#[test]
fn too_many_waiting_calls_let_the_oldest_go_unanswered() {
    let mut parser = parser(Carrier::Tcp);
    for call_id in 0..1100 {
        feed(parser.as_mut(), TS, &request(call_id, 0, b"x"));
    }
    let calls = parser.transactions();
    assert!(calls.get(0).unwrap().complete(TC));
    assert!(!calls.get(1099).unwrap().complete(TC));
}

proptest! {
    #[test]
    fn a_connection_cut_anywhere_gives_the_same_calls(cuts in proptest::collection::vec(0usize..300, 0..6)) {
        let stream = [bind(), request(2, 15, b"arguments"), request(3, 16, b"")].concat();
        let whole = {
            let mut parser = parser(Carrier::Tcp);
            feed(parser.as_mut(), TS, &stream);
            records(parser.as_ref())
        };
        prop_assert_eq!(whole.len(), 3);
        let mut parser = parser(Carrier::Tcp);
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % stream.len()).chain([stream.len()]).collect();
        cuts.sort_unstable();
        let mut start = 0;
        for end in cuts {
            let Parsed::Used(used) = feed(parser.as_mut(), TS, &stream[start..end]) else {
                panic!("refused")
            };
            start += used;
        }
        prop_assert_eq!(start, stream.len());
        prop_assert_eq!(records(parser.as_ref()), whole);
    }

    #[test]
    fn any_octets_do_not_panic(data in proptest::collection::vec(any::<u8>(), 0..300), kind in 0u8..22) {
        let octets = pdu(kind, 3, 1, &data);
        for carrier in [Carrier::Tcp, Carrier::Udp] {
            let mut parser = parser(carrier);
            for direction in [TS, TC, TS] {
                feed(parser.as_mut(), direction, &octets);
                feed(parser.as_mut(), direction, &data);
            }
            let _ = records(parser.as_ref());
        }
    }
}
