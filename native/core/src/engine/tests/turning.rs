//! Conversations that become another protocol, or encrypted.

use super::*;
use crate::rule::load::load;

/// How often each rule alerts on a conversation: (sender, octets), each acknowledged.
fn alerts_on(rules: &[&str], said: &[(usize, &[u8])]) -> Vec<usize> {
    let text: String = rules
        .iter()
        .enumerate()
        .map(|(at, rule)| format!("{} sid:{};)\n", rule.trim_end_matches(')'), at + 1))
        .collect();
    let loaded = load(
        &Config::default(),
        &[("r.rules".into(), text)],
        Box::new(NoFiles),
        ".",
    );
    assert!(loaded.errors.is_empty(), "{:?}", loaded.errors);
    let mut play = Play::new(Config::default());
    play.engine.set_rules(Arc::new(crate::rule::RuleSet::new(loaded)));
    play.handshake();
    for (sender, octets) in said {
        play.say(*sender, TCP_PSH | TCP_ACK, octets);
        play.say(1 - sender, TCP_ACK, b"");
    }
    play.goodbye();
    alerts(play, rules.len() as u64)
}

const CLIENT_HELLO: &[u8] = b"\x16\x03\x01\x00\x09\x01\x00\x00\x05later";

#[test]
fn rules_on_the_stream_see_what_was_before_connect_and_behind_it_apart() {
    let said: [(usize, &[u8]); 3] = [
        (0, b"CONNECT a.example:443 HTTP/1.1\r\nHost: a.example\r\n\r\n"),
        (1, b"HTTP/1.1 200 Connection established\r\n\r\n"),
        (0, CLIENT_HELLO),
    ];
    let rules = [
        // Behind it: the stream begins with what is sealed, besides the packet itself.
        r#"alert tcp any any -> any any (flow:to_server,only_stream; content:"|16 03|"; startswith;)"#,
        // Before it: the stream ends with the request.
        r#"alert tcp any any -> any any (flow:to_server,only_stream; content:"|0d 0a 0d 0a|"; isdataat:!1,relative;)"#,
        // Nothing is looked at across.
        r#"alert tcp any any -> any any (flow:to_server,only_stream; content:"CONNECT"; content:"later"; distance:0;)"#,
    ];
    assert_eq!(alerts_on(&rules, &said), [1, 1, 0]);
}

#[test]
fn what_is_asked_before_starttls_is_told_when_it_comes() {
    let said: [(usize, &[u8]); 6] = [
        (1, b"220 mx ESMTP\r\n"),
        (0, b"EHLO c\r\n"),
        (1, b"250 STARTTLS\r\n"),
        (0, b"STARTTLS\r\n"),
        (1, b"220 go\r\n"),
        (0, CLIENT_HELLO),
    ];
    let rules = [
        r#"alert tcp any any -> any any (flow:to_server,only_stream; content:"|16 03|"; startswith;)"#,
        r#"alert tls any any -> any any (flow:to_server; content:"later";)"#,
    ];
    assert_eq!(alerts_on(&rules, &said), [1, 1]);
}

#[test]
fn payload_is_not_looked_at_once_ssh_is_encrypted() {
    let banner: &[u8] = b"SSH-2.0-x\r\n";
    // A packet with nothing but NEWKEYS (RFC 4253 section 7.3).
    let new_keys: &[u8] = b"\x00\x00\x00\x0c\x0a\x15\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00";
    let said: [(usize, &[u8]); 6] = [
        (0, banner),
        (1, banner),
        (0, new_keys),
        (1, new_keys),
        (0, b"sealed"),
        (1, b"sealed"),
    ];
    let rules = [
        r#"alert tcp any any -> any any (content:"sealed";)"#,
        r#"alert tcp any any -> any any (flow:only_stream; content:"SSH-2.0"; startswith;)"#,
        r#"alert tcp-pkt any any -> any any (content:"SSH-2.0"; startswith;)"#,
    ];
    assert_eq!(alerts_on(&rules, &said), [0, 2, 2]);
}
