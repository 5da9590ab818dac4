//! One batch, start to end: decode -> defragment -> flow -> stream -> application -> rules -> records.
//!
//! [`Engine`] owns everything; `path` is what a packet goes through behind the decoder, `turning` what a conversation goes
//! through that becomes another, `ending` what a flow goes through when it is over.

mod applications;
mod ending;
mod expected;
mod logging;
mod path;
mod pseudo;
#[cfg(test)]
mod tests;
mod turning;
mod wants;

use std::sync::Arc;

use crate::config::Config;
use crate::counters::Counters;
use crate::decode::Decoder;
use crate::event::sink::Records;
use crate::event::stats;
use crate::evidence::Captured;
use crate::flow::Reason;
use crate::intel::{IndicatorSet, Watch};
use crate::packet::Frame;
use crate::rule::{Detector, Inspector, RuleSet};
use crate::time::Timestamp;
use path::Path;

/// Single-threaded, deterministic, shares nothing but the immutable rule and indicator sets.
#[derive(Debug)]
pub struct Engine {
    decoder: Decoder,
    path: Path,
    counters: Counters,
    first: Option<Timestamp>,
    stats_written_s: i64,
    /// Rule sets so far.
    generation: u32,
    /// What detectors of rule sets before counted.
    retired: Vec<(String, u64)>,
}

impl Engine {
    /// An engine without state.
    pub fn new(config: Config) -> Engine {
        Engine {
            decoder: Decoder::new(&config),
            path: Path::new(config),
            counters: Counters::default(),
            first: None,
            stats_written_s: 0,
            generation: 0,
            retired: Vec::new(),
        }
    }

    /// Look at packets with these rules from now on, or with none. Sessions that began without rules keep no raw stream.
    pub fn set_inspector(&mut self, inspector: Option<Box<dyn Inspector>>) {
        self.path.inspector = inspector;
    }

    /// Run these rules from now on; flows go on. Bits, numbers, thresholds and datasets begin anew, counters do not.
    pub fn set_rules(&mut self, rules: Arc<RuleSet>) {
        let config = Arc::clone(&self.path.config);
        self.retired = self.detection_counters();
        self.generation += 1;
        self.path.inspector = Some(Box::new(Detector::new(rules, config, self.generation)));
    }

    /// Look traffic up in these indicators from now on.
    pub fn set_indicators(&mut self, indicators: Arc<IndicatorSet>) {
        let config = Arc::clone(&self.path.config);
        self.path.watch = Some(Watch::new(indicators, config));
    }

    /// Take frames, in the order they were captured.
    pub fn feed<'f>(&mut self, frames: impl Iterator<Item = Frame<'f>>) {
        for frame in frames {
            self.frame(&frame);
        }
    }

    /// Take one frame.
    pub fn frame(&mut self, frame: &Frame<'_>) {
        self.tick(frame.ts);
        self.decoder.frame(frame, &mut self.counters, &mut self.path);
        self.path.recorder.frame(frame);
    }

    /// Let time pass: end flows that timed out, write statistics that are due.
    pub fn tick(&mut self, now: Timestamp) {
        self.path.advance(now, &mut self.counters);
        self.path.recorder.settle(now);
        let first = *self.first.get_or_insert(now);
        let interval_s = i64::from(self.path.config.output.stats_interval_s);
        let uptime_s = self.path.now.seconds_since(first);
        if interval_s > 0 && uptime_s >= self.stats_written_s + interval_s {
            self.stats_written_s = uptime_s;
            self.write_stats();
        }
    }

    /// End of input: end all flows, write the last statistics. The engine is empty afterwards.
    pub fn drain(&mut self) {
        self.path.end_all(Reason::Shutdown, &mut self.counters);
        self.path.recorder.drain(self.path.now);
        self.write_stats();
    }

    fn write_stats(&mut self) {
        if self.path.wants.stats {
            let uptime_s = self.first.map_or(0, |first| self.path.now.seconds_since(first));
            stats::write(self.path.now, uptime_s, &self.counters(), &mut self.path.records);
        }
    }

    /// The records written since they were last taken.
    pub fn take_records(&mut self) -> Records {
        std::mem::take(&mut self.path.records)
    }

    /// Write down from now on why the rules with these sids match or do not, at each packet and transaction.
    pub fn explain(&mut self, sids: &[u32]) {
        if let Some(inspector) = &mut self.path.inspector {
            inspector.explain(sids);
        }
    }

    /// What was written down since it was last asked for; with `all` also of transactions that are still open.
    pub fn explanations(&mut self, all: bool) -> Records {
        let inspector = self.path.inspector.as_mut();
        inspector.map_or_else(Records::default, |inspector| inspector.explanations(all))
    }

    /// The packets of alerts that were finished since they were last taken.
    pub fn take_evidence(&mut self) -> Vec<Captured> {
        self.path.recorder.take()
    }

    /// Counters by the names of Suricata's statistics.
    pub fn counters(&self) -> Vec<(String, u64)> {
        let mut list = self.counters.list();
        list.extend(self.path.watch.iter().flat_map(Inspector::counters));
        list.extend(self.detection_counters());
        if self.path.recorder.is_on() {
            list.push(("evidence.taken".into(), self.path.recorder.taken));
            list.push(("evidence.missed".into(), self.path.recorder.missed));
        }
        list
    }

    /// What this and earlier rule sets' detectors counted.
    fn detection_counters(&self) -> Vec<(String, u64)> {
        let inspector = self.path.inspector.as_ref();
        let now = inspector.map_or_else(Vec::new, |inspector| inspector.counters());
        if self.retired.is_empty() {
            return now;
        }
        let mut sums = self.retired.clone();
        for (name, count) in now {
            match sums.iter_mut().find(|(known, _)| *known == name) {
                Some((_, sum)) => *sum += count,
                None => sums.push((name, count)),
            }
        }
        sums
    }
}
