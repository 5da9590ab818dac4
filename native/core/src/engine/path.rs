//! What a packet goes through behind the decoder.

use std::sync::Arc;

use super::applications::Applications;
use super::expected::Announcements;
use super::logging::Log;
use super::wants::Wants;
use crate::app::table::AppTable;
use crate::app::{AppLayer, Carrier, FlowFacts, Input};
use crate::config::Config;
use crate::counters::Counters;
use crate::decode::Sink;
use crate::event::anomaly;
use crate::event::sink::Records;
use crate::evidence::Recorder;
use crate::flow::table::{Found, Slot, Table};
use crate::flow::{Reason, State};
use crate::intel::Watch;
use crate::packet::{Direction, Origin, Packet, Transport};
use crate::rule::{FlowDetect, FlowScene, Inspector, Scene};
use crate::stream::policy::Hosts;
use crate::stream::{Limits, Session, Step};
use crate::time::Timestamp;
use crate::wire::icmp;

/// What is kept with each flow.
#[derive(Debug, Default)]
pub(super) struct Conversation {
    pub(super) tcp: Option<Box<Session>>,
    pub(super) app: AppLayer,
    pub(super) detect: FlowDetect,
}

/// The path behind the decoder, with all its state.
#[derive(Debug)]
pub(super) struct Path {
    pub(super) config: Arc<Config>,
    pub(super) wants: Wants,
    pub(super) flows: Table<Conversation>,
    pub(super) records: Records,
    pub(super) now: Timestamp,
    pub(super) inspector: Option<Box<dyn Inspector>>,
    pub(super) watch: Option<Watch>,
    limits: Limits,
    table: AppTable,
    pub(super) announcements: Announcements,
    pub(super) recorder: Recorder,
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
                packet.payload_inspected_elsewhere |= slot.flow.payload_inspection_off;
                if let Some(direction) = packet.direction {
                    let settled = &mut slot.data.app.settled[direction.index()];
                    packet.protocol_settled = std::mem::take(settled);
                }
            }
            match packet.transport {
                Transport::Tcp(_) if !packet.checksum_invalid => {
                    self.stream(at, packet, counters);
                    self.turn(at, packet, counters);
                }
                Transport::Udp => self.datagram(at, packet, counters),
                _ => {}
            }
        }
        self.finish(at, packet, false, counters);
    }
}

impl Path {
    pub(super) fn new(config: Config) -> Path {
        Path {
            wants: Wants::new(&config.output),
            limits: Limits {
                options: config.stream.clone(),
                hosts: Hosts::new(&config),
            },
            table: AppTable::new(&config),
            announcements: Announcements::default(),
            recorder: Recorder::new(config.evidence.clone()),
            flows: Table::new(config.flow.clone()),
            records: Records::default(),
            now: Timestamp(0),
            inspector: None,
            watch: None,
            config: Arc::new(config),
        }
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
            flows,
            limits,
            now,
            table,
            inspector,
            announcements,
            ..
        } = self;
        let Some(Slot { flow, data, .. }) = flows.get_mut(at) else {
            return;
        };
        let known = data.app.found.name().is_some();
        let (step, swap) = match &mut data.tcp {
            Some(session) => (session.track(packet, limits, counters), false),
            None => match Session::begin(packet, limits, inspector.is_some(), counters) {
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
        packet.in_session |= session.established && step != Step::Refuse;
        if step == Step::Take {
            announcements.tell(flow, &mut data.app);
            let mut upper = Applications {
                app: &mut data.app,
                table,
                ports: [flow.sport, flow.dport],
            };
            if session.reassemble(packet, limits, counters, &mut upper) {
                flow.swap();
                packet.direction = packet.direction.map(Direction::opposite);
            }
            announcements.settle(flow, &data.app);
            count_application(&data.app, known, Carrier::Tcp, counters);
        }
        flow.established = session.established;
        let state = session.state.of_flow();
        if state != flow.state && !packet.pseudo {
            flow.state = state;
            if state == State::Closed {
                let second = now.seconds();
                flows.reschedule(at, second);
            }
        }
    }

    /// UDP: feed the application layer.
    fn datagram(&mut self, at: u32, packet: &mut Packet<'_>, counters: &mut Counters) {
        let Path { flows, table, .. } = self;
        let (Some(Slot { flow, data, .. }), Some(direction)) = (flows.get_mut(at), packet.direction) else {
            return;
        };
        let known = data.app.found.name().is_some();
        let facts = FlowFacts {
            ports: [flow.sport, flow.dport],
            ..FlowFacts::default()
        };
        let input = Input {
            data: packet.payload,
            gap: 0,
            eof: false,
            now: packet.ts,
            packet: packet.number,
        };
        let fed = data.app.feed_datagram(table, &facts, direction, &input);
        packet.protocol_settled |= fed.settled;
        if fed.reversed {
            flow.swap();
            packet.direction = Some(direction.opposite());
        }
        count_application(&data.app, known, Carrier::Udp, counters);
    }

    /// Behind flow and stream: rules, records, letting go. Pseudo packets go here too; `last` is a flow's last one.
    pub(super) fn finish(
        &mut self,
        at: Option<u32>,
        packet: &mut Packet<'_>,
        last: bool,
        counters: &mut Counters,
    ) {
        self.inspect(at, packet);
        self.log_anomalies(at, packet, counters);
        let Path {
            flows,
            limits,
            config,
            wants,
            records,
            announcements,
            inspector,
            ..
        } = self;
        let Some(Slot { flow, data, .. }) = at.and_then(|at| flows.get_mut(at)) else {
            return;
        };
        if data.app.parser.is_some() || !data.app.events.is_empty() {
            announcements.take(flow, &mut data.app);
            let (output, inspecting) = (&config.output, inspector.is_some());
            let depth_reached = match (&data.tcp, packet.direction) {
                (Some(session), Some(direction)) => session.half(direction).depth_reached(),
                _ => false,
            };
            Log {
                packet,
                flow,
                output,
                wants,
                records,
                inspecting,
                last,
                depth_reached,
            }
            .transactions(&mut data.app);
        }
        if let (Some(session), Some(direction)) = (&mut data.tcp, packet.direction) {
            session.prune(direction, limits, counters);
        }
        self.looked_at(at, packet);
    }

    /// Let indicators and rules look at a packet and what is known of its conversation.
    fn inspect(&mut self, at: Option<u32>, packet: &Packet<'_>) {
        let Path {
            flows,
            records,
            inspector,
            watch,
            recorder,
            ..
        } = self;
        if recorder.is_on() && !packet.pseudo {
            if let Some(slot) = at.and_then(|at| flows.get_mut(at)) {
                recorder.belongs(slot.flow.id, &mut slot.flow.recorded);
            }
        }
        if inspector.is_none() && watch.is_none() {
            return;
        }
        let (written, recorded) = (records.len(), recorder.is_on());
        let flow = at
            .and_then(|at| flows.get_mut(at))
            .map(|Slot { flow, data, .. }| FlowScene {
                flow,
                tcp: data.tcp.as_deref_mut(),
                app: &mut data.app,
                detect: &mut data.detect,
            });
        let mut scene = Scene { packet, flow };
        if let Some(watch) = watch {
            watch.inspect(&mut scene, records);
        }
        if let Some(inspector) = inspector {
            inspector.inspect(&mut scene, records);
        }
        if recorded && records.len() > written {
            let (flow, last) = at
                .and_then(|at| flows.get(at))
                .map_or((0, recorder.number_at_hand()), |slot| {
                    (slot.flow.id, slot.flow.recorded)
                });
            recorder.alert(flow, last);
        }
    }

    /// The application layer's news of a direction were looked at.
    fn looked_at(&mut self, at: Option<u32>, packet: &Packet<'_>) {
        // What is looked at before its time leaves the news to the packet that brought them.
        if packet.origin == Origin::StreamFlush {
            return;
        }
        if let Some(slot) = at.and_then(|at| self.flows.get_mut(at)) {
            let app = &mut slot.data.app;
            app.fed = false;
            if let Some(direction) = packet.direction {
                app.updated[direction.index()] = false;
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
}

/// Count what was found out about a flow's application protocol.
fn count_application(app: &AppLayer, known: bool, carrier: Carrier, counters: &mut Counters) {
    let (false, Some(name)) = (known, app.found.name()) else {
        return;
    };
    let one = app
        .protocol()
        .is_some_and(|protocol| protocol.carriers.len() == 1);
    let suffix = match carrier {
        _ if one => "",
        Carrier::Tcp => "_tcp",
        Carrier::Udp => "_udp",
    };
    *counters.app.entry(("flow", name, suffix)).or_default() += 1;
}
