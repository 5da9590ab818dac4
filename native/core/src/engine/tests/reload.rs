//! A rule set takes the place of another while flows go on.

use super::*;
use crate::rule::context::NoFiles;
use crate::rule::load::load;
use crate::rule::RuleSet;

pub(super) fn rules(text: &str) -> Arc<RuleSet> {
    let loaded = load(
        &Config::default(),
        &[("r.rules".into(), text.into())],
        Box::new(NoFiles),
        ".",
    );
    assert!(loaded.errors.is_empty(), "{:?}", loaded.errors);
    Arc::new(RuleSet::new(loaded))
}

pub(super) fn sids(records: &[Value]) -> Vec<u64> {
    let sids = records
        .iter()
        .filter_map(|record| record["alert"]["signature_id"].as_u64());
    sids.collect()
}

const BOTH: &str = "http.uri; content:\"/a\"; file.data; content:\"pay\";";

#[test]
fn rules_half_way_through_a_transaction_are_forgotten_with_their_set() {
    let mut play = Play::new(Config::default());
    // Many rules wait for the request's body; their numbers mean nothing in the next set.
    let many: String = (1..200)
        .map(|sid| format!("alert http any any -> any any (http.uri; content:\"/a\"; http.request_body; content:\"pay\"; sid:{sid};)\n"))
        .collect();
    play.engine.set_rules(rules(&many));
    play.handshake();
    play.say(
        0,
        TCP_PSH | TCP_ACK,
        b"POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 7\r\n\r\n",
    );
    play.say(1, TCP_ACK, b"");
    let new = format!("alert http any any -> any any (flow:to_server; {BOTH} sid:900;)")
        .replace("file.data", "http.request_body");
    play.engine.set_rules(rules(&new));
    play.say(0, TCP_PSH | TCP_ACK, b"payload");
    play.say(
        1,
        TCP_PSH | TCP_ACK,
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    );
    play.goodbye();
    assert_eq!(sids(&play.records()), [900]);
}

#[test]
fn address_rules_do_not_alert_again_on_flows_they_looked_at() {
    let mut play = Play::new(Config::default());
    let text = "alert ip any any -> any any (msg:\"ip\"; flow:to_server; ttl:64; sid:2;)\nalert tcp any any -> any any (sid:1;)";
    play.engine.set_rules(rules(text));
    play.handshake();
    let before = play.engine.take_records().len();
    assert!(before > 0);
    play.engine
        .set_rules(rules("alert tcp any any -> any any (sid:1;)"));
    play.say(0, TCP_PSH | TCP_ACK, b"x");
    play.goodbye();
    assert_eq!(sids(&play.records()), [0u64; 0]);
}

#[test]
fn a_flow_says_what_a_rule_did_to_it() {
    for (action, said) in [("pass", "pass"), ("drop", "drop"), ("reject", "drop")] {
        let mut play = Play::new(Config::default());
        play.engine
            .set_rules(rules(&format!("{action} tcp any any -> any any (sid:1;)")));
        play.handshake();
        assert_eq!(play.flow_among_others()["action"], said);
    }
}

#[test]
fn counters_of_detection_go_on() {
    let mut play = Play::new(Config::default());
    let alerts = |play: &Play| {
        let counters = play.engine.counters();
        let found: Vec<u64> = counters
            .iter()
            .filter(|(name, _)| name == "detect.alert")
            .map(|(_, count)| *count)
            .collect();
        assert_eq!(found.len(), 1);
        found[0]
    };
    play.engine
        .set_rules(rules("alert tcp any any -> any any (flags:S; sid:1;)"));
    play.handshake();
    assert_eq!(alerts(&play), 1);
    play.engine
        .set_rules(rules("alert tcp any any -> any any (flags:FA; sid:2;)"));
    assert_eq!(alerts(&play), 1);
    play.goodbye();
    assert_eq!(alerts(&play), 3);
}
