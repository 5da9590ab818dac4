//! Any TCP segments between two hosts: state machine, reassembly, application layer.
//!
//! Input: configuration bits (1 octet), then segments: sender and length (1 octet), flags, sequence number and
//! acknowledgement (2 octets each, near the ones expected), payload.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tapwarden_core::config::Config;
use tapwarden_core::engine::Engine;
use tapwarden_core::packet::Frame;
use tapwarden_core::time::Timestamp;

fuzz_target!(|input: &[u8]| {
    let Some((&bits, mut rest)) = input.split_first() else { return };
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
        let (hosts, ports) = if client { ([1, 2], [40_000u16, 80]) } else { ([2, 1], [80, 40_000]) };
        let mut packet = vec![0x45, 0, 0, 0, 0, 1, 0, 0, 64, 6, 0, 0, 192, 0, 2, hosts[0], 192, 0, 2, hosts[1]];
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
        engine.frame(&Frame { ts: Timestamp(now), data: &packet, wire_len: u32::from(total), linktype: 101 });
        rest = after;
    }
    engine.drain();
    let counters = engine.counters();
    let left = counters.iter().find(|(name, _)| name == "tcp.memuse").map_or(0, |(_, count)| *count);
    assert_eq!(left, 0, "memory of segments is not given back");
});
