//! Rules on what packets are: the same 24 rules and 15 packets gave the same 59 alerts in Suricata 7.0.10.

use std::sync::Arc;

use super::{NoFiles, Value};
use crate::config::Config;
use crate::engine::Engine;
use crate::packet::Frame;
use crate::time::Timestamp;
use crate::wire::build::{ipv4, ipv6, udp};

/// Numbers of the packets each rule alerted on, the packets 20 seconds apart.
fn alerts(rules: &[&str], packets: &[Vec<u8>]) -> Vec<Vec<u64>> {
    let text: String = (1..)
        .zip(rules)
        .map(|(sid, options)| format!("alert ip any any -> any any ({options} sid:{sid};)\n"))
        .collect();
    let config = Config::default();
    let loaded = crate::rule::load::load(&config, &[("test.rules".into(), text)], Box::new(NoFiles), ".");
    let set = Arc::new(crate::rule::RuleSet::new(loaded));
    assert_eq!(set.loaded(), rules.len());
    let mut engine = Engine::new(config);
    engine.set_rules(set);
    for (at, packet) in (1..).zip(packets) {
        engine.frame(&Frame {
            ts: Timestamp(at * 20_000_000_000),
            data: packet,
            wire_len: packet.len() as u32,
            linktype: 101,
        });
    }
    engine.drain();
    let text = String::from_utf8(engine.take_records().text).unwrap();
    let records: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let of = |sid: usize| {
        let is = |record: &&Value| record["alert"]["signature_id"] == sid;
        let hits = records.iter().filter(is);
        hits.map(|record| record["pcap_cnt"].as_u64().unwrap()).collect()
    };
    (1..=rules.len()).map(of).collect()
}

#[test]
fn checksums_are_right_wrong_or_not_there() {
    let without = ipv4(17, 0, &udp(5, 6, b"abc"));
    let mut wrong = without.clone();
    wrong[26..28].copy_from_slice(&[0x12, 0x34]);
    let mut header = without.clone();
    header[10] ^= 1;
    let icmp = ipv4(1, 0, &[8, 0, 0xf7, 0xff, 0, 0, 0, 0]);
    let over_ipv6 = ipv6(17, &udp(5, 6, b"abc"));
    let rules = [
        "udpv4-csum:valid;",
        "udpv4-csum:invalid;",
        "ipv4-csum:invalid;",
        "icmpv4-csum:valid;",
        "udpv6-csum:invalid;",
    ];
    let expected: [&[u64]; 5] = [&[], &[2], &[3], &[4], &[5]];
    assert_eq!(
        alerts(&rules, &[without, wrong, header, icmp, over_ipv6]),
        expected
    );
}

#[test]
fn calls_of_onc_rpc_versions_of_ip_and_ages_of_flows_are_told_apart() {
    let mut call = vec![0; 32];
    for (at, value) in [(7, 0), (11, 2), (13, 1), (14, 0x86), (15, 0xa0), (19, 2), (23, 3)] {
        call[at] = value;
    }
    let mut reply = call.clone();
    reply[7] = 1;
    let packets = [
        ipv4(17, 0, &udp(5, 111, &call)),
        ipv4(17, 0, &udp(5, 111, &reply)),
        ipv6(17, &udp(5, 111, &call)),
    ];
    let rules = [
        "rpc:100000,*,3;",
        "rpc:100000,2,4;",
        "l3_proto:ipv6;",
        "flow.age:>10;",
        "engine-event:decoder.udp.hlen_invalid;",
    ];
    let expected: [&[u64]; 5] = [&[1, 3], &[], &[3], &[2], &[]];
    assert_eq!(alerts(&rules, &packets), expected);
}
