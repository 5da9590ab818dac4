//! Frames of any octets through the whole engine.

use std::sync::{Arc, OnceLock};

use tapwarden_core::config::Config;
use tapwarden_core::engine::Engine;
use tapwarden_core::packet::Frame;
use tapwarden_core::rule::context::NoFiles;
use tapwarden_core::rule::load::load;
use tapwarden_core::rule::RuleSet;
use tapwarden_core::time::Timestamp;

/// All link types that are decoded, and one that is not.
const LINK_TYPES: [u32; 14] = [1, 101, 0, 9, 12, 14, 50, 104, 108, 113, 228, 229, 276, 147];

const POLICIES: [&str; 7] = ["bsd", "bsd-right", "linux", "windows", "solaris", "first", "last"];

/// Rules that look at packets, streams and transactions in every way.
const RULES: &str = include_str!("rules.rules");

/// Any frames of any link type. Input: link type (1 octet), then frames, each after its length (2 octets, big-endian).
pub fn any(input: &[u8]) {
    feed(Engine::new(Config::default()), input);
}

/// The same, with rules.
///
/// # Panics
/// When one of the rules does not load.
pub fn with_rules(input: &[u8]) {
    static SET: OnceLock<Arc<RuleSet>> = OnceLock::new();
    let set = SET.get_or_init(|| {
        let sources = [("rules".into(), RULES.into())];
        let loaded = load(&Config::default(), &sources, Box::new(NoFiles), ".");
        assert!(loaded.errors.is_empty(), "{:?}", loaded.errors);
        Arc::new(RuleSet::new(loaded))
    });
    let sids: Vec<u32> = set.signatures.iter().map(|signature| signature.sid).collect();
    let mut engine = Engine::new(Config::default());
    engine.set_rules(Arc::clone(set));
    // Of every other input it is asked why.
    if input.len() % 2 == 0 {
        engine.explain(&sids);
    }
    feed(engine, input);
}

fn feed(mut engine: Engine, input: &[u8]) {
    let Some((&linktype, mut rest)) = input.split_first() else {
        return;
    };
    let linktype = LINK_TYPES[usize::from(linktype) % LINK_TYPES.len()];
    let mut now = 0;
    while let [high, low, after @ ..] = rest {
        let length = usize::from(u16::from_be_bytes([*high, *low])).min(after.len());
        let (data, after) = after.split_at(length);
        now += 100_000_000;
        engine.frame(&Frame {
            ts: Timestamp(now),
            data,
            wire_len: length as u32,
            linktype,
        });
        rest = after;
    }
    engine.drain();
    records_are_json(&mut engine);
    for line in lines(&engine.explanations(true).text) {
        serde_json::from_slice::<serde_json::Value>(line).expect("an explanation is JSON");
    }
}

fn records_are_json(engine: &mut Engine) {
    for line in lines(&engine.take_records().text) {
        serde_json::from_slice::<serde_json::Value>(line).expect("a record is JSON");
    }
}

fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|octet| *octet == b'\n')
        .filter(|line| !line.is_empty())
}

/// Any IPv4 and IPv6 fragments of one datagram, under any policy.
///
/// Input: policy and IP version (1 octet), then fragments: offset (1 octet), more-fragments and length (1 octet), payload.
pub fn fragments(input: &[u8]) {
    let Some((&kind, mut rest)) = input.split_first() else {
        return;
    };
    let mut config = Config::default();
    let policy = POLICIES[usize::from(kind >> 1) % POLICIES.len()];
    config
        .host_os_policy
        .insert(policy.into(), vec!["0.0.0.0/0".into(), "::/0".into()]);
    let mut engine = Engine::new(config);
    while let [offset, head, after @ ..] = rest {
        let length = usize::from(head & 0x7f).min(after.len());
        let (payload, after) = after.split_at(length);
        let more = u16::from(head >> 7);
        let packet = if kind & 1 == 0 {
            let mut packet = vec![
                0x45, 0, 0, 0, 0, 1, 0, 0, 64, 17, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2,
            ];
            packet[6..8].copy_from_slice(&(more << 13 | u16::from(*offset)).to_be_bytes());
            packet[2..4].copy_from_slice(&(20 + length as u16).to_be_bytes());
            packet.extend_from_slice(payload);
            packet
        } else {
            let mut packet = vec![0x60, 0, 0, 0, 0, 0, 44, 64];
            packet[4..6].copy_from_slice(&(8 + length as u16).to_be_bytes());
            packet.extend_from_slice(&[0x20; 32]);
            packet.extend_from_slice(&[17, 0]);
            packet.extend_from_slice(&(u16::from(*offset) << 3 | more).to_be_bytes());
            packet.extend_from_slice(&[0, 0, 0, 1]);
            packet.extend_from_slice(payload);
            packet
        };
        let wire_len = packet.len() as u32;
        engine.frame(&Frame {
            ts: Timestamp(0),
            data: &packet,
            wire_len,
            linktype: 101,
        });
        rest = after;
    }
    engine.drain();
    records_are_json(&mut engine);
}

/// Any TCP segments between two hosts: state machine, reassembly, application layer.
///
/// Input: configuration bits (1 octet), then segments: sender and length (1 octet), flags, sequence number and
/// acknowledgement (2 octets each, near the ones expected), payload.
///
/// # Panics
/// When memory of segments is not given back.
pub fn segments(input: &[u8]) {
    let Some((&bits, mut rest)) = input.split_first() else {
        return;
    };
    let mut config = Config::default();
    config.stream.midstream = bits & 1 != 0;
    config.stream.async_oneside = bits & 2 != 0;
    config.stream.check_overlap_different_data = bits & 4 != 0;
    config.stream.depth = if bits & 8 != 0 { 4096 } else { 0 };
    let mut engine = Engine::new(config);
    let mut now = 0;
    while let [head, flags, seq_high, seq_low, ack_high, ack_low, after @ ..] = rest {
        let length = usize::from(head & 0x7f).min(after.len());
        let (payload, after) = after.split_at(length);
        let client = head & 0x80 == 0;
        let seq = u32::from(u16::from_be_bytes([*seq_high, *seq_low]));
        let ack = u32::from(u16::from_be_bytes([*ack_high, *ack_low]));
        let (hosts, ports) = if client {
            ([1, 2], [40_000u16, 80])
        } else {
            ([2, 1], [80, 40_000])
        };
        let mut packet = vec![
            0x45, 0, 0, 0, 0, 1, 0, 0, 64, 6, 0, 0, 192, 0, 2, hosts[0], 192, 0, 2, hosts[1],
        ];
        for port in ports {
            packet.extend_from_slice(&port.to_be_bytes());
        }
        packet.extend_from_slice(&seq.to_be_bytes());
        packet.extend_from_slice(&ack.to_be_bytes());
        packet.extend_from_slice(&[0x50, *flags, 0xff, 0xff, 0, 0, 0, 0]);
        packet.extend_from_slice(payload);
        let total = packet.len() as u16;
        packet[2..4].copy_from_slice(&total.to_be_bytes());
        now += 1_000_000;
        engine.frame(&Frame {
            ts: Timestamp(now),
            data: &packet,
            wire_len: u32::from(total),
            linktype: 101,
        });
        rest = after;
    }
    engine.drain();
    records_are_json(&mut engine);
    let counters = engine.counters();
    let left = counters
        .iter()
        .find(|(name, _)| name == "tcp.memuse")
        .map_or(0, |(_, count)| *count);
    assert_eq!(left, 0, "memory of segments is not given back");
}
