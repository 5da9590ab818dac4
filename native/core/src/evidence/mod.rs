//! The packets around alerts: what came of the flow before, the one that alerted, what comes after, within budgets.
//!
//! Every frame goes into a [`ring`]; a flow remembers its last one there. When something alerts, the flow's frames are
//! copied out, and what follows of it is added until the budget or the time is used up or the flow ends. Whoever owns the
//! engine takes what is finished.

pub mod ring;

use std::collections::HashMap;

use smallvec::SmallVec;

use crate::config::Evidence;
use crate::packet::Frame;
use crate::time::Timestamp;
use ring::{Kept, Ring};

/// Flows followed at a time.
const ACTIVE_MAX: usize = 256;
/// Captures begun within a second of packet time: an alert storm must not turn into a copying storm.
const BEGUN_A_SECOND_MAX: u32 = 100;
/// Octets of finished captures that wait to be taken.
const FINISHED_OCTETS_MAX: usize = 64 << 20;

/// What was kept of one flow.
#[derive(Debug)]
pub struct Captured {
    /// `flow_id` of the alert; 0: a packet without a flow.
    pub flow: u64,
    /// The frames, in order.
    pub frames: Vec<Kept>,
    /// There was more before than the budget or the ring held.
    pub begun_before: bool,
}

#[derive(Debug)]
struct Following {
    captured: Captured,
    left: usize,
    until: Timestamp,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Recorder {
    options: Evidence,
    ring: Ring,
    /// The flow of the frame at hand, and its frame before.
    at_hand: Option<(u64, u64)>,
    alerted: SmallVec<[u64; 4]>,
    ended: SmallVec<[u64; 4]>,
    /// Where the ended flows among `alerted` have their last frame.
    last_frames: SmallVec<[(u64, u64); 4]>,
    active: HashMap<u64, Following>,
    look_again: Timestamp,
    begun: (i64, u32),
    finished: Vec<Captured>,
    finished_octets: usize,
    /// Captures that were not begun or not kept, for want of room.
    pub missed: u64,
    /// Captures begun.
    pub taken: u64,
}

impl Recorder {
    /// A recorder; one with a ring of 0 octets records nothing.
    pub fn new(options: Evidence) -> Recorder {
        Recorder {
            ring: Ring::new(usize::try_from(options.ring).unwrap_or(usize::MAX)),
            options,
            ..Recorder::default()
        }
    }

    /// Whether anything is recorded.
    pub fn is_on(&self) -> bool {
        self.options.ring > 0
    }

    /// The frame at hand is of this flow; `last` is where the flow keeps the number of its last frame.
    pub fn belongs(&mut self, flow: u64, last: &mut u64) {
        let number = self.ring.next_number();
        if *last != number {
            self.at_hand = Some((flow, *last));
            *last = number;
        }
    }

    /// The number of the frame at hand.
    pub fn number_at_hand(&self) -> u64 {
        self.ring.next_number()
    }

    /// A flow (0: a packet without one) alerted; `last` is the number of its last frame.
    pub fn alert(&mut self, flow: u64, last: u64) {
        if self.is_on() && !self.alerted.contains(&flow) {
            self.alerted.push(flow);
            self.last_frames.push((flow, last));
        }
    }

    /// A flow ended.
    pub fn end(&mut self, flow: u64) {
        if !self.active.is_empty() || !self.alerted.is_empty() {
            self.ended.push(flow);
        }
    }

    /// The frame at hand went all the way.
    pub fn frame(&mut self, frame: &Frame<'_>) {
        if !self.is_on() {
            return;
        }
        let (flow, previous) = self.at_hand.take().unwrap_or((0, 0));
        self.ring.push(frame, previous);
        if flow != 0 {
            self.follow(flow, frame);
        }
        if !self.alerted.is_empty() {
            self.begin(frame.ts);
        }
        self.settle(frame.ts);
    }

    /// Time passed, or flows ended without a frame.
    pub fn settle(&mut self, now: Timestamp) {
        if !self.alerted.is_empty() {
            self.begin(now);
        }
        for flow in std::mem::take(&mut self.ended) {
            self.finish(flow);
        }
        if !self.active.is_empty() && now >= self.look_again {
            self.look_again = Timestamp(now.0.saturating_add(1_000_000_000));
            let due: Vec<u64> = self
                .active
                .iter()
                .filter(|(_, one)| one.until <= now)
                .map(|(&flow, _)| flow)
                .collect();
            for flow in due {
                self.finish(flow);
            }
        }
    }

    /// Finish everything and hand over.
    pub fn drain(&mut self, now: Timestamp) {
        self.settle(now);
        let mut flows: Vec<u64> = self.active.keys().copied().collect();
        flows.sort_unstable();
        for flow in flows {
            self.finish(flow);
        }
    }

    /// What is finished.
    pub fn take(&mut self) -> Vec<Captured> {
        self.finished_octets = 0;
        std::mem::take(&mut self.finished)
    }

    fn follow(&mut self, flow: u64, frame: &Frame<'_>) {
        if self.active.is_empty() {
            return;
        }
        let Some(following) = self.active.get_mut(&flow) else {
            return;
        };
        following.captured.frames.push(Kept::of(frame));
        following.left = following.left.saturating_sub(frame.data.len());
        if following.left == 0 {
            self.finish(flow);
        }
    }

    fn begin(&mut self, now: Timestamp) {
        let last_frames = std::mem::take(&mut self.last_frames);
        for flow in std::mem::take(&mut self.alerted) {
            if let Some(following) = self.active.get_mut(&flow) {
                // Another alert of the flow: it is followed for as long again.
                following.left = self.options.after as usize;
                following.until = self.options.end_after(now);
                continue;
            }
            if self.begun.0 != now.seconds() {
                self.begun = (now.seconds(), 0);
            }
            if self.active.len() >= ACTIVE_MAX || self.begun.1 >= BEGUN_A_SECOND_MAX {
                self.missed += 1;
                continue;
            }
            self.begun.1 += 1;
            self.taken += 1;
            let last = last_frames
                .iter()
                .find(|(of, _)| *of == flow)
                .map_or(0, |(_, last)| *last);
            let (frames, begun_before) = self.ring.back_from(last, self.options.before as usize);
            let captured = Captured {
                flow,
                frames,
                begun_before,
            };
            let (left, until) = (self.options.after as usize, self.options.end_after(now));
            self.active.insert(
                flow,
                Following {
                    captured,
                    left,
                    until,
                },
            );
            if flow == 0 {
                self.finish(0);
            }
        }
    }

    fn finish(&mut self, flow: u64) {
        let Some(Following { captured, .. }) = self.active.remove(&flow) else {
            return;
        };
        let octets: usize = captured.frames.iter().map(|one| one.data.len() + 64).sum();
        if captured.frames.is_empty() || self.finished_octets + octets > FINISHED_OCTETS_MAX {
            self.missed += 1;
            return;
        }
        self.finished_octets += octets;
        self.finished.push(captured);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000_000;

    fn recorder() -> Recorder {
        Recorder::new(Evidence {
            ring: 100_000,
            before: 25,
            after: 35,
            after_s: 5,
        })
    }

    /// Frame `number` (its octets) of a flow at a time; whether it alerts.
    fn pass(recorder: &mut Recorder, last: &mut u64, flow: u64, number: u8, at_s: i64, alerts: bool) {
        recorder.belongs(flow, last);
        recorder.belongs(flow, last); // a pseudo packet
        if alerts {
            recorder.alert(flow, *last);
        }
        recorder.frame(&Frame {
            ts: Timestamp(at_s * SECOND),
            data: &[number; 10],
            wire_len: 10,
            linktype: 1,
        });
    }

    fn numbers(captured: &Captured) -> Vec<u8> {
        captured.frames.iter().map(|one| one.data[0]).collect()
    }

    #[test]
    fn packets_before_and_after_an_alert_are_kept_within_the_budgets() {
        let (mut recorder, mut ours, mut other) = (recorder(), 0, 0);
        for number in 0..12 {
            pass(&mut recorder, &mut ours, 7, number, 1, number == 5);
            pass(&mut recorder, &mut other, 8, 100 + number, 1, false);
        }
        let taken = recorder.take();
        assert_eq!(taken.len(), 1);
        assert_eq!(taken[0].flow, 7);
        assert_eq!(numbers(&taken[0]), [4, 5, 6, 7, 8, 9]);
        assert!(taken[0].begun_before);
    }

    #[test]
    fn a_capture_ends_with_its_flow_or_its_time() {
        let (mut recorder, mut first, mut second, mut other) = (recorder(), 0, 0, 0);
        pass(&mut recorder, &mut first, 7, 1, 1, true);
        pass(&mut recorder, &mut second, 8, 2, 1, true);
        recorder.end(7);
        recorder.settle(Timestamp(SECOND));
        assert_eq!(
            recorder.take().iter().map(|one| one.flow).collect::<Vec<_>>(),
            [7]
        );
        pass(&mut recorder, &mut other, 9, 3, 20, false);
        let taken = recorder.take();
        assert_eq!(taken.iter().map(|one| one.flow).collect::<Vec<_>>(), [8]);
        assert!(!taken[0].begun_before);
    }

    #[test]
    fn an_alert_at_the_end_of_a_flow_has_its_packets() {
        let (mut recorder, mut last) = (recorder(), 0);
        pass(&mut recorder, &mut last, 7, 1, 1, false);
        recorder.alert(7, last);
        recorder.end(7);
        recorder.settle(Timestamp(90 * SECOND));
        assert_eq!(numbers(&recorder.take()[0]), [1]);
    }

    #[test]
    fn a_storm_is_bounded_and_counted() {
        let mut recorder = recorder();
        for flow in 1..2000 {
            let mut last = 0;
            pass(&mut recorder, &mut last, flow, 1, 1, true);
        }
        recorder.drain(Timestamp(SECOND));
        assert_eq!(recorder.take().len() as u64, recorder.taken);
        assert_eq!(recorder.taken + recorder.missed, 1999);
        assert_eq!(recorder.taken, u64::from(BEGUN_A_SECOND_MAX));
    }

    #[test]
    fn without_a_ring_nothing_is_recorded() {
        let (mut recorder, mut last) = (Recorder::default(), 0);
        pass(&mut recorder, &mut last, 7, 1, 1, true);
        recorder.drain(Timestamp(SECOND));
        assert!(recorder.take().is_empty());
    }
}
