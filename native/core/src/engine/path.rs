//! What a packet goes through behind the decoder.

use std::sync::Arc;

use crate::app::{AppLayer, Input};
use crate::config::Config;
use crate::counters::Counters;
use crate::decode::Sink;
use crate::event::anomaly;
use crate::event::sink::Records;
use crate::flow::table::{Found, Slot, Table};
use crate::flow::{Reason, State};
use crate::packet::{Direction, Packet, Transport};
use crate::rule::FlowDetect;
use crate::stream::policy::Hosts;
use crate::stream::{self, Fed, Limits, Session, Step, Upper};
use crate::time::Timestamp;
use crate::wire::icmp;

/// What is kept with each flow.
#[derive(Debug, Default)]
pub(super) struct Conversation {
    pub(super) tcp: Option<Box<Session>>,
    pub(super) app: AppLayer,
    #[allow(dead_code)] // read once the rule layer is there
    pub(super) detect: FlowDetect,
}

/// The path behind the decoder, with all its state.
#[derive(Debug)]
pub(super) struct Path {
    pub(super) config: Arc<Config>,
    pub(super) wants: Wants,
    pub(super) limits: Limits,
    pub(super) flows: Table<Conversation>,
    pub(super) records: Records,
    pub(super) now: Timestamp,
}

/// Which records are written, looked up once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wants {
    pub(super) anomaly: bool,
    pub(super) flow: bool,
    pub(super) stats: bool,
}

impl Path {
    pub(super) fn new(config: Config) -> Path {
        let wanted = |kind: &str| !config.output.disabled.iter().any(|disabled| disabled == kind);
        Path {
            wants: Wants {
                anomaly: wanted("anomaly"),
                flow: wanted("flow"),
                stats: wanted("stats"),
            },
            limits: Limits {
                options: config.stream.clone(),
                hosts: Hosts::new(&config),
            },
            flows: Table::new(config.flow.clone()),
            records: Records::default(),
            now: Timestamp(0),
            config: Arc::new(config),
        }
    }

    pub(super) fn config(&self) -> &Config {
        &self.config
    }

    pub(super) fn now(&self) -> Timestamp {
        self.now
    }

    pub(super) fn take_records(&mut self) -> Records {
        std::mem::take(&mut self.records)
    }

    /// Where records of a kind go, if they are wanted.
    pub(super) fn records_of(&mut self, kind: &str) -> Option<&mut Records> {
        (kind != "stats" || self.wants.stats).then_some(&mut self.records)
    }

    /// Time passes: flows time out.
    pub(super) fn advance(&mut self, now: Timestamp, counters: &mut Counters) {
        self.now = self.now.max(now);
        while let Some(at) = self.flows.next_expired(self.now.seconds()) {
            self.end(at, Reason::Timeout, counters);
        }
    }

    /// The packet's flow, begun if need be; flows that are in its way end.
    fn find_flow(&mut self, packet: &Packet<'_>, counters: &mut Counters) -> Option<u32> {
        let may_begin = !matches!(packet.transport, Transport::Icmp(icmp) if icmp::is_error(icmp.kind));
        loop {
            match self.flows.find(packet, may_begin, Conversation::default) {
                Found::Flow(at) if self.gives_way(at, packet) => {
                    counters.flow_tcp_reuse += 1;
                    self.end(at, Reason::Timeout, counters);
                }
                Found::Flow(at) => return Some(at),
                Found::Expired(at) => self.end(at, Reason::Timeout, counters),
                Found::Full(at) => {
                    counters.flow_get_used += 1;
                    self.end(at, Reason::Forced, counters);
                }
                Found::New(at) => {
                    counters.flow_begins(packet.ip.proto);
                    return Some(at);
                }
                Found::None => return None,
            }
        }
    }

    /// A new TCP session takes the place of an old one with the same addresses and ports.
    fn gives_way(&self, at: u32, packet: &Packet<'_>) -> bool {
        if packet.tcp().is_none() {
            return false;
        }
        let Some(slot) = self.flows.get(at) else {
            return false;
        };
        let to_server = slot.flow.direction_of(packet) == Direction::ToServer;
        Session::gives_way_to(slot.data.tcp.as_deref(), packet, to_server, &self.limits)
    }

    /// TCP: follow the session, reassemble, feed the application layer.
    pub(super) fn stream(&mut self, at: u32, packet: &mut Packet<'_>, counters: &mut Counters) {
        let Path {
            flows, limits, now, ..
        } = self;
        let Some(Slot { flow, data, .. }) = flows.get_mut(at) else {
            return;
        };
        let (step, swap) = match &mut data.tcp {
            Some(session) => (session.track(packet, limits, counters), false),
            None => match Session::begin(packet, limits, false, counters) {
                Some((session, step, swap)) => {
                    data.tcp = Some(Box::new(session));
                    (step, swap)
                }
                None => return,
            },
        };
        let Some(session) = data.tcp.as_deref_mut() else {
            return;
        };
        if swap {
            flow.swap();
            packet.direction = packet.direction.map(Direction::opposite);
        }
        if step == Step::Take {
            let mut upper = Applications { app: &mut data.app };
            if session.reassemble(packet, limits, counters, &mut upper) {
                flow.swap();
                packet.direction = packet.direction.map(Direction::opposite);
            }
        }
        flow.established = session.established;
        let state = match session.state {
            stream::State::None | stream::State::SynSent | stream::State::SynRecv => State::New,
            stream::State::LastAck | stream::State::TimeWait | stream::State::Closed => State::Closed,
            _ => State::Established,
        };
        if state != flow.state && !packet.pseudo {
            flow.state = state;
            if state == State::Closed {
                let second = now.seconds();
                flows.reschedule(at, second);
            }
        }
    }

    /// Write what the packet's headers and its session raised.
    fn log_anomalies(&mut self, at: Option<u32>, packet: &Packet<'_>, counters: &mut Counters) {
        if packet.events.is_empty() {
            return;
        }
        counters.packet_events(&packet.events);
        if self.wants.anomaly {
            let flow = at.and_then(|at| self.flows.get(at)).map(|slot| &slot.flow);
            anomaly::packet(packet, flow, &self.config.output, &mut self.records);
        }
    }

    /// Behind flow and stream: rules, records, letting go. Pseudo packets go here too.
    pub(super) fn finish(&mut self, at: Option<u32>, packet: &mut Packet<'_>, counters: &mut Counters) {
        self.log_anomalies(at, packet, counters);
        let Path { flows, limits, .. } = self;
        let Some(Slot { data, .. }) = at.and_then(|at| flows.get_mut(at)) else {
            return;
        };
        if let (Some(session), Some(direction)) = (&mut data.tcp, packet.direction) {
            session.prune(direction, limits, counters);
        }
    }
}

impl Sink for Path {
    fn packet(&mut self, packet: &mut Packet<'_>, counters: &mut Counters) {
        let at = if packet.wants_flow {
            self.find_flow(packet, counters)
        } else {
            None
        };
        if let Some(at) = at {
            if let Some(slot) = self.flows.get_mut(at) {
                slot.flow.count(packet);
            }
            if packet.tcp().is_some() && !packet.checksum_invalid {
                self.stream(at, packet, counters);
            }
        }
        self.finish(at, packet, counters);
    }
}

/// The application layer as the stream sees it.
struct Applications<'a> {
    app: &'a mut AppLayer,
}

impl Upper for Applications<'_> {
    fn saw(&mut self, _direction: Direction) {}

    fn feed(&mut self, _session: &Session, _direction: Direction, _inputs: &[Input<'_>; 2]) -> Fed {
        self.app.failed = true;
        Fed {
            over: true,
            ..Fed::default()
        }
    }
}
