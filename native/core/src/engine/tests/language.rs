//! Keywords that need more than one buffer to be seen working: variables, counters of flows, absent buffers.

use super::*;
use crate::rule::context::NoFiles;
use crate::rule::load::load;
use crate::rule::RuleSet;

const RULES: &str = r#"
alert toy any any -> any any (toy.word; pcre:"/name=([a-z]+)/, flow:who"; sid:1;)
alert toy any any -> any any (toy.word; content:"again"; flowvar:who,"alice"; sid:2;)
alert toy any any -> any any (toy.word; content:"again"; flowvar:who,"mallory"; sid:3;)
alert tcp any any -> any any (content:"TOY"; pcre:"/id=(?P<pkt_id>[0-9]+)/"; sid:4;)
alert tcp any any -> any any (content:"TOY"; pktvar:id,"42"; sid:5;)
alert tcp any any -> any any (content:"TOY"; pktvar:id,"43"; sid:6;)
alert http any any -> any any (http.referer; absent; sid:7;)
alert toy any any -> any any (flow:to_server; toy.word; absent; sid:8;)
alert toy any any -> any any (toy.word; entropy:value > 3; sid:9;)
alert toy any any -> any any (toy.word; entropy:value < 1; sid:10;)
alert tcp any any -> any any (flow.pkts_toserver:4; flags:PA; sid:11;)
alert tcp any any -> any any (flow.bytes:toclient,>100000; sid:12;)
alert http any any -> any any (http.referer; absent:or_else; content:!"bad"; sid:13;)
"#;

/// What a client's words raise: sid and the variables shown with it.
fn raised(words: &[&[u8]]) -> Vec<(u64, Value)> {
    let config = Config::default();
    let loaded = load(
        &config,
        &[("a.rules".into(), RULES.into())],
        Box::new(NoFiles),
        ".",
    );
    assert!(loaded.errors.is_empty(), "{:?}", loaded.errors);
    let mut play = Play::new(config);
    play.engine.set_rules(Arc::new(RuleSet::new(loaded)));
    play.handshake();
    for word in words {
        play.say(0, TCP_PSH | TCP_ACK, word);
        play.say(1, TCP_PSH | TCP_ACK, b"1\n");
    }
    play.goodbye();
    let alerts = play
        .records()
        .into_iter()
        .filter(|record| record["event_type"] == "alert")
        .map(|record| {
            let sid = record["alert"]["signature_id"].as_u64().unwrap_or(0);
            (sid, record["metadata"].clone())
        });
    let mut alerts: Vec<(u64, Value)> = alerts.collect();
    alerts.sort_by_key(|(sid, _)| *sid);
    alerts
}

fn sids(alerts: &[(u64, Value)]) -> Vec<u64> {
    alerts.iter().map(|(sid, _)| *sid).collect()
}

#[test]
fn what_an_expression_captured_is_asked_for_later_and_shown() {
    let alerts = raised(&[b"TOY name=alice\n", b"TOY again again\n"]);
    let shown = |sid| {
        let found = alerts.iter().find(|(known, _)| *known == sid);
        found.map(|(_, metadata)| metadata["flowvars"].clone())
    };
    assert!(sids(&alerts).contains(&1) && sids(&alerts).contains(&2));
    assert!(!sids(&alerts).contains(&3));
    assert_eq!(shown(2), Some(serde_json::json!([{"who": "alice"}])));
}

#[test]
fn a_variable_of_a_packet_is_gone_with_it() {
    let alerts = raised(&[b"TOY id=42\n", b"TOY plain\n"]);
    let with: Vec<&Value> = alerts
        .iter()
        .filter(|(sid, _)| *sid == 5)
        .map(|(_, metadata)| &metadata["pktvars"])
        .collect();
    assert_eq!(with, [&serde_json::json!([{"id": "42"}])]);
    assert!(!sids(&alerts).contains(&6));
}

#[test]
fn entropy_and_counters_of_the_flow_are_compared() {
    let alerts = sids(&raised(&[b"TOY abcdefghijklmnop\n"]));
    assert!(alerts.contains(&9) && !alerts.contains(&10), "{alerts:?}");
    assert!(!alerts.contains(&12), "{alerts:?}");
    let alerts = sids(&raised(&[b"TOY aaaaaaaa\n", b"TOY aaaaaaaa\n"]));
    assert!(alerts.contains(&10) && !alerts.contains(&9), "{alerts:?}");
    assert!(alerts.contains(&11), "{alerts:?}");
}

#[test]
fn a_buffer_that_is_not_there_is_absent_and_one_that_is_may_be_asked_instead() {
    for (referer, expected) in [
        ("", &[7, 13][..]),
        ("Referer: http://good.test/\r\n", &[13]),
        ("Referer: http://bad.test/\r\n", &[]),
    ] {
        let request = format!("GET / HTTP/1.1\r\nHost: a.test\r\n{referer}\r\n");
        let alerts = sids(&raised(&[request.as_bytes()]));
        let about: Vec<u64> = alerts.into_iter().filter(|sid| [7, 13].contains(sid)).collect();
        assert_eq!(about, expected, "{referer:?}");
    }
}

#[test]
fn a_buffer_that_is_there_is_not_absent() {
    assert!(!sids(&raised(&[b"TOY word\n"])).contains(&8));
}
