//! A protocol is one file and one line: `app/toy.rs`, which nothing but its line in `PROTOCOLS` names.

use super::*;
use crate::rule::context::NoFiles;
use crate::rule::load::load;
use crate::rule::RuleSet;

const RULES: &str = r#"
alert toy any any -> any any (msg:"word"; toy.word; content:"secret"; startswith; sid:1;)
alert toy any any -> any any (msg:"answer"; toy.answer; to_md5; content:"|a1 d0 c6 e8 3f 02 73 27|"; sid:2;)
alert tcp any any -> any any (msg:"number"; toy.number:>40; sid:3;)
alert toy any any -> any any (msg:"event"; flow:to_client; app-layer-event:toy.not_a_number; sid:4;)
alert tcp any any -> any any (msg:"other"; toy.word; content:"nothing"; sid:5;)
alert tcp any any -> any any (msg:"found"; app-layer-protocol:toy; flow:to_server; sid:6;)
"#;

fn play(words: &[(&[u8], &[u8])]) -> Vec<Value> {
    let config = Config::default();
    let loaded = load(
        &config,
        &[("toy.rules".into(), RULES.into())],
        Box::new(NoFiles),
        ".",
    );
    assert!(loaded.errors.is_empty(), "{:?}", loaded.errors);
    let mut play = Play::new(config);
    play.engine.set_rules(Arc::new(RuleSet::new(loaded)));
    play.handshake();
    for (word, answer) in words {
        play.say(0, TCP_PSH | TCP_ACK, word);
        play.say(1, TCP_PSH | TCP_ACK, answer);
    }
    play.goodbye();
    play.records()
}

fn alerts(records: &[Value]) -> Vec<u64> {
    let alerts = records.iter().filter(|record| record["event_type"] == "alert");
    let mut sids: Vec<u64> = alerts
        .filter_map(|record| record["alert"]["signature_id"].as_u64())
        .collect();
    sids.sort_unstable();
    sids
}

#[test]
fn a_protocol_s_own_tables_give_rules_its_buffers_values_and_events() {
    let records = play(&[(b"TOY secret sauce\n", b"42\n"), (b"TOY plain\n", b"many\n")]);
    assert_eq!(alerts(&records), [1, 2, 3, 4, 6]);
}

#[test]
fn its_records_are_written_and_its_name_stands_in_those_of_others() {
    let records = play(&[(b"TOY secret\n", b"7\n")]);
    let toy: Vec<&Value> = records
        .iter()
        .filter(|record| record["event_type"] == "toy")
        .collect();
    assert_eq!(toy.len(), 1);
    assert_eq!(
        toy[0]["toy"],
        serde_json::json!({"word": "secret", "answer": "7"})
    );
    let flow = records
        .iter()
        .find(|record| record["event_type"] == "flow")
        .unwrap();
    assert_eq!(flow["app_proto"], "toy");
    let alert = records
        .iter()
        .find(|record| record["event_type"] == "alert")
        .unwrap();
    assert_eq!(alert["toy"]["word"], "secret");
}

#[test]
fn a_keyword_that_neither_a_table_nor_a_protocol_has_is_refused() {
    let rule = "alert toy any any -> any any (toy.colour; content:\"red\"; sid:1;)";
    let loaded = load(
        &Config::default(),
        &[("r".into(), rule.into())],
        Box::new(NoFiles),
        ".",
    );
    assert!(
        loaded.errors[0].reason.contains("unknown rule keyword"),
        "{:?}",
        loaded.errors
    );
}
