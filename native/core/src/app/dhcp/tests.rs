use proptest::prelude::*;

use super::*;
use crate::time::Timestamp;

/// A message with these options.
fn message(operation: u8, options: &[u8]) -> Vec<u8> {
    let mut octets = vec![0; message::HEADER_OCTETS];
    octets[..8].copy_from_slice(&[operation, 1, 6, 0, 0, 0, 0x3d, 0x1d]);
    octets[16..20].copy_from_slice(&[192, 0, 2, 10]);
    octets[28..34].copy_from_slice(&[0, 0x0b, 0x82, 1, 0xfc, 0x42]);
    octets[236..].copy_from_slice(&[0x63, 0x82, 0x53, 0x63]);
    octets.extend_from_slice(options);
    octets
}

fn read(extended: Option<&str>, octets: &[u8]) -> Box<dyn Parser> {
    let mut options = AppProtocol::default();
    if let Some(extended) = extended {
        options.options.insert("extended".into(), extended.into());
    }
    let mut parser = start(&options, Carrier::Udp);
    let input = Input {
        data: octets,
        gap: 0,
        eof: false,
        now: Timestamp(0),
        packet: 1,
    };
    assert_eq!(
        parser.parse(Direction::ToServer, &input, &mut Requests::default()),
        Parsed::Used(octets.len())
    );
    parser
}

fn record(parser: &dyn Parser) -> serde_json::Value {
    let mut out = Vec::new();
    let mut json = Json::new(&mut out);
    json.open();
    parser.transactions().get(0).unwrap().write_record(0, &mut json);
    json.close_object();
    serde_json::from_slice::<serde_json::Value>(&out).unwrap()["dhcp"].clone()
}

const OFFERED: &[u8] = &[
    53, 1, 5, 1, 4, 255, 255, 255, 0, 58, 4, 0, 0, 7, 8, 59, 4, 0, 0, 12, 78, 51, 4, 0, 0, 14, 16, 3, 4, 192,
    0, 2, 1, 6, 8, 192, 0, 2, 2, 192, 0, 2, 3, 61, 3, 1, 0xab, 0xcd, 255,
];

#[test]
fn an_acknowledgement_tells_what_it_gives() {
    let parser = read(None, &message(message::REPLY, OFFERED));
    assert_eq!(
        record(parser.as_ref()),
        serde_json::json!({"type": "reply", "id": 0x3d1d, "client_mac": "00:0b:82:01:fc:42",
            "assigned_ip": "192.0.2.10", "client_ip": "0.0.0.0", "relay_ip": "0.0.0.0",
            "next_server_ip": "0.0.0.0", "dhcp_type": "ack", "subnet_mask": "255.255.255.0",
            "renewal_time": 1800, "rebinding_time": 3150, "lease_time": 3600, "routers": ["192.0.2.1"],
            "dns_servers": ["192.0.2.2", "192.0.2.3"], "client_id": "ab:cd"})
    );
    let tx = parser.transactions().get(0).unwrap();
    let times = [0, 1, 2].map(|slot| tx.value(slot, Direction::ToServer, 0));
    assert_eq!(times, [Some(3600), Some(3150), Some(1800)]);
    assert!(tx.meta().events.is_empty());
}

#[test]
fn without_extended_only_acknowledgements_have_a_record_and_a_short_one() {
    let parser = read(Some("no"), &message(message::REPLY, OFFERED));
    assert_eq!(parser.transactions().get(0).unwrap().records(false), 1);
    let record = record(parser.as_ref());
    assert_eq!(record["renewal_time"], 1800);
    assert!(record.get("lease_time").is_none() && record.get("routers").is_none());
    let parser = read(Some("no"), &message(message::REQUEST, &[53, 1, 1, 255]));
    assert_eq!(parser.transactions().get(0).unwrap().records(true), 0);
}

#[test]
fn options_that_end_early_are_an_event() {
    for options in [&[][..], &[53], &[53, 2, 1], &[51, 4, 0, 0], &[61, 1, 1, 255]] {
        let parser = read(None, &message(message::REQUEST, options));
        let tx = parser.transactions().get(0).unwrap();
        assert_eq!(tx.meta().events[..], ["truncated_options"], "{options:?}");
    }
}

proptest! {
    #[test]
    fn any_octets_do_not_panic(options in proptest::collection::vec(any::<u8>(), 0..200), cut in 0usize..440) {
        let octets = message(message::REPLY, &options);
        let parser = read(None, &octets[..cut.min(octets.len())]);
        if parser.transactions().get(0).is_some() {
            record(parser.as_ref());
        }
    }
}
