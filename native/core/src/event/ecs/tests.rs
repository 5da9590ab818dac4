//! Documents of any record: JSON, with the record's own octets in them. What is in which field is tested where documents
//! are stored (tests/agent/store/test_elastic_document.py).

use proptest::prelude::*;
use serde_json::Value as Json;

use super::*;

fn source(raw: &[u8]) -> Source<'_> {
    Source {
        raw,
        origin: b"eve:1",
        whole: true,
    }
}

fn document(raw: &[u8]) -> (Made, Json) {
    let mut out = Vec::new();
    let made = append(source(raw), &mut out).unwrap();
    (made, serde_json::from_slice(&out).unwrap())
}

#[test]
fn an_event_is_known_by_its_time_and_its_octets() {
    let raw = br#"{"timestamp":"2026-11-24T11:00:00.123456+0800","event_type":"dns"}"#;
    let (made, doc) = document(raw);
    // of tapwarden.model.event.Event(raw, "eve:1").id
    assert_eq!(
        std::str::from_utf8(&made.id),
        Ok("01a20b7ef7fbd9826392a6cfbd4c7a24")
    );
    assert_eq!(made.kind, "dns");
    assert_eq!(doc["@timestamp"], "2026-11-24T03:00:00.123456+00:00");
    assert_eq!(
        doc["tapwarden"]["tie"],
        u64::from_str_radix("392a6cfbd4c7a24", 16).unwrap()
    );
}

#[test]
fn a_record_written_in_another_way_is_kept_as_text_too() {
    let raw = br#"{"timestamp":"2026-11-24T11:00:00Z", "event_type":"dns"}"#;
    let (_, doc) = document(raw);
    assert_eq!(
        doc["event"]["original"].as_str().map(str::as_bytes),
        Some(&raw[..])
    );
    assert_eq!(doc["suricata"]["eve"]["event_type"], "dns");
}

#[test]
fn what_is_not_written_plainly_is_left_to_a_reader_that_takes_more() {
    for raw in [&b"{}"[..], b"[]", b"7", b"\xff", br#"{"timestamp":"yesterday"}"#] {
        let mut out = Vec::new();
        assert_eq!(append(source(raw), &mut out).unwrap_err(), Odd);
        assert!(out.is_empty());
    }
}

fn values() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        any::<i64>().prop_map(Json::from),
        any::<f64>().prop_map(Json::from),
        "\\PC{0,12}".prop_map(Json::from),
    ];
    leaf.prop_recursive(4, 32, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Json::from),
            prop::collection::vec((names(), inner), 0..5).prop_map(|members| members.into_iter().collect()),
        ]
    })
}

fn names() -> impl Strategy<Value = String> {
    let known: Vec<String> = "alert dns tls quic http fileinfo files flow email tapwarden src_ip dest_ip src_port proto \
        in_iface signature_id metadata rrname queries query answers rrtype rdata sni ja3 fingerprint version hostname \
        url sha256 filename to indicator type age bytes_toserver pkts_toserver"
        .split_whitespace()
        .map(str::to_owned)
        .collect();
    prop_oneof![4 => prop::sample::select(known), 1 => "\\PC{0,6}"]
}

proptest! {
    #[test]
    fn any_record_becomes_a_document_that_holds_it(members in prop::collection::vec((names(), values()), 0..8)) {
        let mut record: serde_json::Map<String, Json> = members.into_iter().collect();
        record.insert("timestamp".to_owned(), "2026-11-24T11:00:00.123456Z".into());
        let raw = serde_json::to_vec(&record).unwrap();
        let (_, doc) = document(&raw);
        prop_assert_eq!(&doc["suricata"]["eve"], &Json::from(record));
        if let Some(original) = doc["event"]["original"].as_str() {
            prop_assert_eq!(original.as_bytes(), &raw[..]);
        }
    }

    #[test]
    fn any_octets_give_a_document_or_are_odd(raw in prop::collection::vec(any::<u8>(), 0..64), text: String) {
        let mut out = Vec::new();
        let reading = Reading { id: [b'f'; 32], moment_us: i64::MIN, text: text.into_bytes() };
        for made in [append(source(&raw), &mut out), append_reading(source(&raw), &reading, &mut out)] {
            prop_assert_eq!(made.is_err(), out.is_empty());
            out.clear();
        }
    }
}
