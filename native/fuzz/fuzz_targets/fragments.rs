//! Any IPv4 and IPv6 fragments of one datagram, under any policy.
//!
//! Input: policy and IP version (1 octet), then fragments: offset (1 octet), more-fragments and length (1 octet), payload.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tapwarden_core::config::Config;
use tapwarden_core::engine::Engine;
use tapwarden_core::packet::Frame;
use tapwarden_core::time::Timestamp;

const POLICIES: [&str; 7] = ["bsd", "bsd-right", "linux", "windows", "solaris", "first", "last"];

fuzz_target!(|input: &[u8]| {
    let Some((&kind, mut rest)) = input.split_first() else { return };
    let mut config = Config::default();
    let policy = POLICIES[usize::from(kind >> 1) % POLICIES.len()];
    config.host_os_policy.insert(policy.into(), vec!["0.0.0.0/0".into(), "::/0".into()]);
    let mut engine = Engine::new(config);
    while let [offset, head, after @ ..] = rest {
        let length = usize::from(head & 0x7f).min(after.len());
        let (payload, after) = after.split_at(length);
        let more = u16::from(head >> 7);
        let packet = if kind & 1 == 0 {
            let mut packet = vec![0x45, 0, 0, 0, 0, 1, 0, 0, 64, 17, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2];
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
        engine.frame(&Frame { ts: Timestamp(0), data: &packet, wire_len, linktype: 101 });
        rest = after;
    }
    engine.drain();
});
