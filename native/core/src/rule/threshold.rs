//! How often rules alert: `threshold` and `detection_filter` as rules have them.

use std::collections::HashMap;
use std::net::IpAddr;

use super::signature::{Signature, Threshold, ThresholdKind, Track};
use crate::flow::Flow;
use crate::packet::Packet;

/// Counters kept at once; over it those that are over are let go, then nothing is counted, which is counted.
const MAX_COUNTERS: usize = 1 << 17;

/// What is counted together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Key {
    Address(IpAddr),
    Pair(IpAddr, IpAddr),
    Rule,
    Flow(u64),
}

#[derive(Clone, Copy, Debug)]
struct Counter {
    since_s: i64,
    count: u32,
    seconds: u32,
}

/// Counters of all rules of an engine.
#[derive(Debug, Default)]
pub struct Thresholds {
    counters: HashMap<(u32, u32, Key, ThresholdKind), Counter>,
    /// Counters that found no room.
    pub dropped: u64,
}

fn key(track: Track, packet: &Packet<'_>, flow: Option<&Flow>) -> Key {
    match track {
        Track::BySrc => Key::Address(packet.src),
        Track::ByDst => Key::Address(packet.dst),
        Track::ByBoth => Key::Pair(packet.src.min(packet.dst), packet.src.max(packet.dst)),
        Track::ByRule => Key::Rule,
        Track::ByFlow => flow.map_or(Key::Rule, |flow| Key::Flow(flow.id)),
    }
}

impl Thresholds {
    /// Whether a match of `signature` on `packet` becomes an alert.
    pub fn alerts(&mut self, signature: &Signature, packet: &Packet<'_>, flow: Option<&Flow>) -> bool {
        [signature.detection_filter, signature.threshold]
            .into_iter()
            .flatten()
            .all(|threshold| self.passes(signature, threshold, packet, flow))
    }

    fn passes(
        &mut self,
        signature: &Signature,
        threshold: Threshold,
        packet: &Packet<'_>,
        flow: Option<&Flow>,
    ) -> bool {
        let now_s = packet.ts.seconds();
        let key = (
            signature.gid,
            signature.sid,
            key(threshold.track, packet, flow),
            threshold.kind,
        );
        if self.counters.len() >= MAX_COUNTERS && !self.counters.contains_key(&key) {
            self.counters
                .retain(|_, counter| now_s - counter.since_s <= i64::from(counter.seconds));
            if self.counters.len() >= MAX_COUNTERS {
                self.dropped += 1;
                return threshold.kind != ThresholdKind::DetectionFilter;
            }
        }
        let fresh = Counter {
            since_s: now_s,
            count: 0,
            seconds: threshold.seconds,
        };
        let counter = self.counters.entry(key).or_insert(fresh);
        let over = now_s - counter.since_s > i64::from(threshold.seconds);
        if over {
            *counter = fresh;
        }
        counter.count = counter.count.saturating_add(1);
        match threshold.kind {
            ThresholdKind::Limit => counter.count <= threshold.count,
            ThresholdKind::Both => counter.count == threshold.count,
            ThresholdKind::DetectionFilter => counter.count > threshold.count,
            ThresholdKind::Threshold => {
                let reached = counter.count >= threshold.count;
                if reached {
                    *counter = fresh;
                }
                reached
            }
        }
    }
}
