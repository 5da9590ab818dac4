//! One batch, start to end: decode -> defragment -> flow -> stream -> application -> rules -> records.

use std::sync::Arc;

use crate::app::AppLayer;
use crate::config::Config;
use crate::counters::Counters;
use crate::decode::{Decoder, Sink};
use crate::event::sink::Records;
use crate::event::{anomaly, flow as flow_record, stats};
use crate::flow::table::{Found, Slot, Table};
use crate::flow::{Reason, State};
use crate::packet::{Frame, Packet, Transport};
use crate::rule::FlowDetect;
use crate::stream::Session;
use crate::time::Timestamp;
use crate::wire::icmp;

/// What is kept with each flow.
#[derive(Debug, Default)]
struct Conversation {
    tcp: Option<Box<Session>>,
    app: AppLayer,
    #[allow(dead_code)] // read once the rule layer is there
    detect: FlowDetect,
}

/// Single-threaded, deterministic, shares nothing.
#[derive(Debug)]
pub struct Engine {
    decoder: Decoder,
    path: Path,
    counters: Counters,
    first: Option<Timestamp>,
    next_stats: i64,
}

/// The path of a packet behind the decoder.
#[derive(Debug)]
struct Path {
    config: Arc<Config>,
    wants: Wants,
    flows: Table<Conversation>,
    records: Records,
    now: Timestamp,
}

/// Which records are written, looked up once.
#[derive(Clone, Copy, Debug)]
struct Wants {
    anomaly: bool,
    flow: bool,
    stats: bool,
}

impl Engine {
    /// An engine without state.
    pub fn new(config: Config) -> Engine {
        let wanted = |kind: &str| !config.output.disabled.iter().any(|disabled| disabled == kind);
        let wants = Wants {
            anomaly: wanted("anomaly"),
            flow: wanted("flow"),
            stats: wanted("stats"),
        };
        Engine {
            decoder: Decoder::new(&config),
            path: Path {
                wants,
                flows: Table::new(config.flow.clone()),
                records: Records::default(),
                now: Timestamp(0),
                config: Arc::new(config),
            },
            counters: Counters::default(),
            first: None,
            next_stats: 0,
        }
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
    }

    /// Let time pass: end flows that timed out, write statistics that are due.
    pub fn tick(&mut self, now: Timestamp) {
        self.path.now = self.path.now.max(now);
        self.path.expire(&mut self.counters);
        let interval = i64::from(self.path.config.output.stats_interval_s);
        let first = *self.first.get_or_insert(now);
        if interval > 0 && self.path.now.seconds_since(first) >= self.next_stats + interval {
            self.next_stats = self.path.now.seconds_since(first);
            self.stats();
        }
    }

    /// End of input: end all flows. The engine is empty afterwards.
    pub fn drain(&mut self) {
        for at in self.path.flows.all() {
            self.path.end(at, Reason::Shutdown, &mut self.counters);
        }
        self.stats();
    }

    fn stats(&mut self) {
        if self.path.wants.stats {
            let uptime_s = self.first.map_or(0, |first| self.path.now.seconds_since(first));
            stats::write(self.path.now, uptime_s, &self.counters(), &mut self.path.records);
        }
    }

    /// The records written since they were last taken.
    pub fn take_records(&mut self) -> Records {
        std::mem::take(&mut self.path.records)
    }

    /// Counters by the names of Suricata's statistics.
    pub fn counters(&self) -> Vec<(String, u64)> {
        self.counters.list()
    }
}

impl Sink for Path {
    fn packet(&mut self, packet: &mut Packet<'_>, counters: &mut Counters) {
        let at = if packet.wants_flow {
            self.find_flow(packet, counters)
        } else {
            None
        };
        let slot = at.and_then(|at| self.flows.get_mut(at));
        if let Some(slot) = slot {
            slot.flow.count(packet);
        }
        if !packet.events.is_empty() {
            counters.packet_events(&packet.events);
            if self.wants.anomaly {
                let flow = at.and_then(|at| self.flows.get(at)).map(|slot| &slot.flow);
                anomaly::packet(packet, flow, &self.config.output, &mut self.records);
            }
        }
    }
}

impl Path {
    fn find_flow(&mut self, packet: &Packet<'_>, counters: &mut Counters) -> Option<u32> {
        let may_begin = !matches!(packet.transport, Transport::Icmp(icmp) if icmp::is_error(icmp.kind));
        loop {
            match self.flows.find(packet, may_begin, Conversation::default) {
                Found::Flow(at) => return Some(at),
                Found::Expired(at) => self.end(at, Reason::Timeout, counters),
                Found::Full(at) => {
                    counters.flow_get_used += 1;
                    self.end(at, Reason::Forced, counters);
                }
                Found::New(at) => {
                    counters.flow_total += 1;
                    counters.flow_active += 1;
                    match packet.ip.proto {
                        6 => counters.flow_tcp += 1,
                        17 => counters.flow_udp += 1,
                        1 => counters.flow_icmpv4 += 1,
                        58 => counters.flow_icmpv6 += 1,
                        _ => {}
                    }
                    return Some(at);
                }
                Found::None => return None,
            }
        }
    }

    fn expire(&mut self, counters: &mut Counters) {
        while let Some(at) = self.flows.next_expired(self.now.seconds()) {
            self.end(at, Reason::Timeout, counters);
        }
    }

    fn end(&mut self, at: u32, reason: Reason, counters: &mut Counters) {
        let Some(slot) = self.flows.remove(at) else { return };
        counters.flow_active -= 1;
        match slot.flow.state {
            State::New => counters.flow_end_new += 1,
            State::Established => counters.flow_end_established += 1,
            State::Closed => counters.flow_end_closed += 1,
        }
        if reason == Reason::Timeout {
            counters.flow_timeout += 1;
        }
        if self.wants.flow {
            let Slot { flow, data, .. } = &slot;
            let output = &self.config.output;
            flow_record::write(
                flow,
                &data.app,
                data.tcp.as_deref(),
                reason,
                self.now,
                output,
                &mut self.records,
            );
        }
    }
}
