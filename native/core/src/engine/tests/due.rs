//! What is due when: records of files, rules on nothing but the protocol, what rules remember in every record.

use super::reload::{rules, sids};
use super::*;
use crate::wire::build::{ipv4, udp};

#[test]
fn a_file_is_told_with_the_next_packet_of_its_direction() {
    let mut play = Play::new(Config::default());
    play.handshake();
    play.say(0, TCP_PSH | TCP_ACK, b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n");
    play.say(
        1,
        TCP_PSH | TCP_ACK,
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc",
    );
    // Acknowledged and parsed here, packet 6, but the file is the server's.
    play.say(0, TCP_ACK, b"");
    play.say(1, TCP_ACK, b"");
    let records = play.records();
    let number = |kind: &str| {
        let record = records.iter().find(|record| record["event_type"] == kind);
        record.unwrap()["pcap_cnt"].as_u64()
    };
    assert_eq!((number("http"), number("fileinfo")), (Some(6), Some(7)));
}

#[test]
fn without_rules_too_the_file_of_a_flow_that_ends_is_told() {
    let mut play = Play::new(Config::default());
    play.handshake();
    play.say(0, TCP_PSH | TCP_ACK, b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n");
    play.say(
        1,
        TCP_PSH | TCP_ACK,
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc",
    );
    play.say(0, TCP_RST | TCP_ACK, b"");
    let records = play.records();
    let file = records
        .iter()
        .find(|record| record["event_type"] == "fileinfo")
        .unwrap();
    assert_eq!(file["fileinfo"]["size"], 3);
}

#[test]
fn a_protocol_over_udp_is_news_at_first_and_once_more_in_each_direction() {
    // Suricata 7.0.10 alerts on the same packets.
    let query = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x01a\x00\x00\x01\x00\x01";
    let answer = b"\x12\x34\x81\x83\x00\x01\x00\x00\x00\x00\x00\x00\x01a\x00\x00\x01\x00\x01";
    let mut engine = Engine::new(Config::default());
    engine.set_rules(rules(
        "alert ip any any -> any any (app-layer-protocol:dns; sid:1;)\n",
    ));
    for at in 0..8u8 {
        let there = at % 2 == 0;
        let (ports, text) = if there {
            ((4000, 53), query)
        } else {
            ((53, 4000), answer)
        };
        let mut packet = ipv4(17, 0, &udp(ports.0, ports.1, text));
        if !there {
            let (src, dst) = (packet[12..16].to_vec(), packet[16..20].to_vec());
            packet[12..16].copy_from_slice(&dst);
            packet[16..20].copy_from_slice(&src);
        }
        engine.frame(&Frame {
            ts: Timestamp(i64::from(at) * 1_000_000_000),
            data: &packet,
            wire_len: packet.len() as u32,
            linktype: 101,
        });
    }
    engine.drain();
    let text = String::from_utf8(engine.take_records().text).unwrap();
    let alerts = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    let numbers: Vec<u64> = alerts
        .filter(|record| record["event_type"] == "alert")
        .map(|record| record["pcap_cnt"].as_u64().unwrap())
        .collect();
    assert_eq!(numbers, [1, 2, 3, 4]);
}

#[test]
fn what_rules_remember_of_a_flow_stands_in_all_its_records() {
    let mut play = Play::new(Config::default());
    play.engine.set_rules(rules(
        "alert http any any -> any any (http.method; content:\"GET\"; flowbits:set,seen; flowint:count,+,1; sid:1;)\n",
    ));
    play.handshake();
    play.say(0, TCP_PSH | TCP_ACK, b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n");
    play.say(
        1,
        TCP_PSH | TCP_ACK,
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc",
    );
    play.goodbye();
    let records = play.records();
    assert_eq!(sids(&records), [1]);
    for kind in ["alert", "http", "fileinfo", "flow"] {
        let record = records
            .iter()
            .find(|record| record["event_type"] == kind)
            .unwrap();
        assert_eq!(record["metadata"]["flowbits"][0], "seen", "{kind}");
        assert_eq!(record["metadata"]["flowints"]["count"], 1, "{kind}");
    }
}

#[test]
fn a_rule_on_established_flows_is_not_run_at_their_end() {
    let mut play = Play::new(Config::default());
    play.engine.set_rules(rules(
        "alert http any any -> any any (flow:established,to_server; sid:1;)\nalert http any any -> any any (flow:to_server; sid:2;)\n",
    ));
    play.handshake();
    play.say(0, TCP_PSH | TCP_ACK, b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n");
    play.say(1, TCP_ACK, b"");
    assert_eq!(sids(&play.records()), [2]);
}

#[test]
fn version_2_of_ssh_is_one_that_is_compatible_with_2() {
    for (banner, alerts) in [("SSH-2.0-a\r\n", 1), ("SSH-1.99-a\r\n", 1), ("SSH-1.5-a\r\n", 0)] {
        let mut play = Play::new(Config::default());
        play.engine.set_rules(rules(
            "alert ssh any any -> any any (flow:to_server; ssh.protoversion:2_compat; sid:1;)\n",
        ));
        play.handshake();
        play.say(0, TCP_PSH | TCP_ACK, banner.as_bytes());
        play.say(1, TCP_PSH | TCP_ACK, b"SSH-2.0-b\r\n");
        play.say(0, TCP_ACK, b"");
        play.goodbye();
        assert_eq!(sids(&play.records()).len(), alerts, "{banner}");
    }
}
