//! Any frames of any link type, through the whole engine.
//!
//! Input: link type (1 octet), then frames, each after its length (2 octets, big-endian).
#![no_main]

use libfuzzer_sys::fuzz_target;
use tapwarden_core::config::Config;
use tapwarden_core::engine::Engine;
use tapwarden_core::packet::Frame;
use tapwarden_core::time::Timestamp;

const LINK_TYPES: [u32; 10] = [1, 101, 0, 9, 12, 104, 108, 113, 228, 276];

fuzz_target!(|input: &[u8]| {
    let Some((&linktype, mut rest)) = input.split_first() else { return };
    let linktype = LINK_TYPES[usize::from(linktype) % LINK_TYPES.len()];
    let mut engine = Engine::new(Config::default());
    let mut now = 0;
    while let [high, low, after @ ..] = rest {
        let length = usize::from(u16::from_be_bytes([*high, *low])).min(after.len());
        let (data, after) = after.split_at(length);
        now += 100_000_000;
        engine.frame(&Frame { ts: Timestamp(now), data, wire_len: length as u32, linktype });
        rest = after;
    }
    engine.drain();
});
