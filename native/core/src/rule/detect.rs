//! Rules run on a packet and what is known of its conversation.
//!
//! Addresses alone, once a flow and direction; then rules on the packet and the stream; then rules on transactions. What
//! matched is ordered, thinned (pass rules, thresholds, the limit a packet) and written.

use std::sync::Arc;

use super::cause::Cause;
use super::dataset_store::DatasetStore;
use super::inspect::{Inspector as Machine, Subject};
use super::matcher::Space;
use super::memory::{self, FlowDetect, Hosts};
use super::reputation::Reputation;
use super::set::{Class, RuleSet};
use super::signature::{BufferGroup, Kind, PacketBuffer, Place, Signature, View};
use super::state::{Effect, StateTest};
use super::threshold::{Thresholds, Verdict};
use super::why::{self, Trace};
use super::{Action, Inspector, Scene};
use crate::config::Config;
use crate::event::alert::{self, Alert};
use crate::event::sink::Records;
use crate::packet::{Direction, Origin, Packet, Transport};
use crate::stream::Session;

/// A rule that matched.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hit {
    pub(super) rule: u32,
    pub(super) transaction: Option<u64>,
    pub(super) stream: bool,
}

/// What is worked with, kept so that nothing is allocated.
#[derive(Debug)]
pub(super) struct Work {
    pub(super) machine: Machine,
    pub(super) space: Space,
    pub(super) found: Vec<u32>,
    pub(super) candidates: Vec<u32>,
    /// Rules on transactions whose fast pattern is in the payload of the packet at hand.
    pub(super) carried: Vec<u32>,
    pub(super) transformed: Vec<u8>,
    pub(super) spare: Vec<u8>,
    pub(super) hosts: Hosts,
    pub(super) datasets: DatasetStore,
    pub(super) reputation: Arc<Reputation>,
    pub(super) hits: Vec<Hit>,
    /// Rules whose every look is written down, when somebody asks why.
    pub(super) trace: Option<Box<Trace>>,
}

/// Runs a rule set. One for each engine.
#[derive(Debug)]
pub struct Detector {
    set: Arc<RuleSet>,
    generation: u32,
    config: Arc<Config>,
    work: Work,
    thresholds: Thresholds,
    alerts: u64,
    suppressed: u64,
    overflow: u64,
}

impl Detector {
    /// A detector that remembers nothing yet; `generation` tells its rule set from the one before.
    pub fn new(set: Arc<RuleSet>, config: Arc<Config>, generation: u32) -> Detector {
        Detector {
            work: Work {
                machine: Machine::new(config.detect.inspection_recursion_limit),
                space: Space::default(),
                found: Vec::new(),
                candidates: Vec::new(),
                carried: Vec::new(),
                transformed: Vec::new(),
                spare: Vec::new(),
                hosts: Hosts::default(),
                datasets: DatasetStore::new(&set.datasets),
                reputation: Arc::clone(&set.reputation),
                hits: Vec::new(),
                trace: None,
            },
            thresholds: Thresholds::new(Arc::clone(&set.plan)),
            alerts: 0,
            suppressed: 0,
            overflow: 0,
            generation,
            set,
            config,
        }
    }

    fn finish(&mut self, scene: &mut Scene<'_, '_>, records: &mut Records) {
        let Detector {
            set,
            config,
            work,
            thresholds,
            alerts,
            suppressed,
            overflow,
            ..
        } = self;
        work.hits.sort_by_key(|hit| (hit.rule, hit.transaction));
        let packet = scene.packet;
        let mut raised = 0;
        for (at, hit) in work.hits.iter().enumerate() {
            let signature = &set.signatures[hit.rule as usize];
            let flow_id = scene.flow.as_ref().map_or(0, |scene| scene.flow.id);
            let (mut action, mut silent) = (signature.action, signature.noalert);
            let mut changed = false;
            let verdict = thresholds.verdict(hit.rule, packet, flow_id);
            if let Some(trace) = &mut work.trace {
                trace.verdict(hit, verdict);
            }
            match verdict {
                Verdict::Alert => {}
                Verdict::AlertAs(instead) => (action, changed) = (instead, true),
                Verdict::Silent => {
                    *suppressed += 1;
                    silent = true;
                }
                Verdict::Ignore => {
                    *suppressed += 1;
                    continue;
                }
            }
            // What follows on the flow is not looked at: it passed, or it is gone where drops are carried out.
            if holds_for_flow(action, signature.kind, hit) {
                if let Some(scene) = &mut scene.flow {
                    scene.detect.passed = true;
                    if scene.flow.action.is_empty() {
                        scene.flow.action = if action == Action::Pass { "pass" } else { "drop" };
                    }
                }
            }
            if action == Action::Pass {
                if silent {
                    continue;
                }
                if !signature.also_alerts {
                    silence_rest(
                        work.trace.as_deref_mut(),
                        &work.hits[at..],
                        "a pass rule matched first",
                    );
                    break;
                }
            }
            if silent || action == Action::Config {
                continue;
            }
            if raised >= config.detect.packet_alert_max {
                *overflow += 1;
                silence_rest(
                    work.trace.as_deref_mut(),
                    &work.hits[at..=at],
                    "the packet has its most alerts",
                );
                continue;
            }
            raised += 1;
            *alerts += 1;
            if !config.output.disabled.iter().any(|kind| kind == "alert") {
                let blocked = shown_as_blocked(action, changed);
                write(*hit, signature, blocked, scene, set, config, records);
            }
            if action == Action::Pass {
                break;
            }
        }
        if raised > 0 {
            if let Some(scene) = &mut scene.flow {
                scene.flow.alerted = true;
            }
        }
        work.hits.clear();
    }
}

/// What an alert says was done. Nothing is dropped here: a drop rule's packet went on, while a reject is answered, and
/// what a rate filter made of a rule is said as it stands (as Suricata does without an inline mode).
fn shown_as_blocked(action: Action, changed: bool) -> bool {
    match action {
        Action::Reject | Action::RejectDst | Action::RejectBoth => true,
        Action::Drop => changed,
        Action::Alert | Action::Pass | Action::Config => false,
    }
}

/// These matches do not alert, for this reason.
fn silence_rest(trace: Option<&mut Trace>, hits: &[Hit], reason: &str) {
    if let Some(trace) = trace {
        hits.iter().for_each(|hit| trace.silenced(hit, reason));
    }
}

/// Whether a rule's action is about the rest of the flow, not only about the packet.
fn holds_for_flow(action: Action, kind: Kind, hit: &Hit) -> bool {
    let acts = !matches!(action, Action::Alert | Action::Config);
    acts && match kind {
        Kind::IpOnly | Kind::LikeIpOnly | Kind::ProtocolOnly | Kind::AppLayer | Kind::Transaction => true,
        Kind::PacketOrStream | Kind::Stream => hit.stream,
        Kind::EventOnly | Kind::Packet => false,
    }
}

fn write(
    hit: Hit,
    signature: &Signature,
    blocked: bool,
    scene: &Scene<'_, '_>,
    set: &RuleSet,
    config: &Config,
    records: &mut Records,
) {
    let packet = scene.packet;
    let about = scene.flow.as_ref();
    let transaction = hit.transaction.and_then(|id| {
        let transactions = about?.app.parser.as_ref()?.transactions();
        Some((id, transactions.get(id)?))
    });
    let bits: Vec<&str> = about.map_or_else(Vec::new, |scene| {
        scene
            .detect
            .bits
            .iter()
            .filter_map(|bit| Some(set.names.name(*bit)?.1))
            .collect()
    });
    let integers: Vec<(&str, u32)> = about.map_or_else(Vec::new, |scene| {
        let all = scene.detect.integers.iter();
        all.filter_map(|(name, value)| Some((set.names.name(*name)?.1, *value)))
            .collect()
    });
    let session = about.and_then(|scene| scene.tcp.as_deref());
    // A match in a transaction is one in the stream that carries it.
    let stateful = hit.stream || hit.transaction.is_some();
    let streamed = match (session, packet.direction) {
        (Some(session), Some(direction)) if stateful => {
            session.raw_window(direction).map(|(octets, _)| octets)
        }
        _ => None,
    };
    let alert = Alert {
        packet,
        flow: about.map(|scene| &*scene.flow),
        app: about.map(|scene| &*scene.app),
        transaction,
        payload: streamed.unwrap_or(packet.payload),
        stream: stateful && packet.ip.proto == 6,
        bits: &bits,
        integers: &integers,
        blocked,
    };
    alert::write(&alert, signature, &config.output, records);
}

impl Inspector for Detector {
    fn inspect(&mut self, scene: &mut Scene<'_, '_>, records: &mut Records) {
        let packet = scene.packet;
        let Detector {
            set, config, work, ..
        } = self;
        match &mut scene.flow {
            None => {
                let view = View {
                    packet,
                    flow: None,
                    tcp: None,
                    app: None,
                };
                address_rules(set, &view, None, work);
                packet_rules(set, &view, None, work, false);
            }
            Some(about) => {
                about.detect.belong_to(self.generation);
                if about.flow.inspection_off || about.detect.passed {
                    if let Some(trace) = &mut work.trace {
                        trace.passed(set, about, packet);
                    }
                    give_up(about, packet);
                    return;
                }
                let direction = packet.direction.unwrap_or(Direction::ToServer);
                let first = !std::mem::replace(&mut about.detect.addresses_done[direction.index()], true);
                let established = !matches!(packet.transport, Transport::Tcp(_)) || packet.established;
                let ready = established
                    && set.streams_wanted[direction.index()]
                    && about
                        .tcp
                        .as_deref()
                        .is_some_and(|session| session.raw_ready(direction, &config.stream));
                {
                    let view = View {
                        packet,
                        flow: Some(about.flow),
                        tcp: about.tcp.as_deref(),
                        app: Some(about.app),
                    };
                    if first {
                        address_rules(set, &view, Some(about.detect), work);
                    }
                    packet_rules(set, &view, Some(about.detect), work, ready);
                }
                super::transaction::run(set, about, packet, direction, work);
                if work.trace.is_some() {
                    why::flow_is_looked_at(set, about, packet, work);
                }
                if !work.hits.is_empty() {
                    self.finish(scene, records);
                }
                if let Some(about) = &mut scene.flow {
                    let unwanted =
                        packet.payload_inspected_elsewhere || !self.set.streams_wanted[direction.index()];
                    if ready || established && unwanted {
                        done_with_stream(about.tcp.as_deref_mut(), direction, ready);
                    }
                }
                return;
            }
        }
        if !self.work.hits.is_empty() {
            self.finish(scene, records);
        }
    }

    fn explain(&mut self, sids: &[u32]) {
        self.work.trace = Some(Box::new(Trace::new(&self.set, sids)));
    }

    fn explanations(&mut self, all: bool) -> Records {
        let trace = self.work.trace.as_mut();
        trace.map_or_else(Records::default, |trace| trace.take(&self.set, all))
    }

    fn counters(&self) -> Vec<(String, u64)> {
        vec![
            ("detect.alert".into(), self.alerts),
            ("detect.alert_queue_overflow".into(), self.overflow),
            ("detect.alerts_suppressed".into(), self.suppressed),
            ("detect.dataset_drops".into(), self.work.datasets.dropped),
            ("detect.hostbits_drops".into(), self.work.hosts.dropped),
            ("detect.threshold_drops".into(), self.thresholds.dropped),
        ]
    }
}

/// Nothing of the flow is looked at: what waits for a look is let go.
fn give_up(about: &mut super::FlowScene<'_>, packet: &Packet<'_>) {
    let Some(direction) = packet.direction else { return };
    if let Some(session) = about.tcp.as_deref_mut() {
        let windows = session.raw_windows(direction);
        let upto = windows.fold(0, |_, (offset, octets)| offset + octets.len() as u64);
        session.raw_done(direction, upto);
    }
    if let Some(parser) = about.app.parser.as_mut() {
        let transactions = parser.transactions_mut();
        let mut next = 0;
        while let Some(id) = transactions.next_from(next) {
            next = id + 1;
            if let Some(transaction) = transactions.get_mut(id) {
                transaction.meta_mut().detect[direction.index()].done = true;
                transaction.inspected(direction);
            }
        }
    }
}

/// What was looked at is let go; without a rule on the stream all is.
fn done_with_stream(session: Option<&mut Session>, direction: Direction, looked: bool) {
    let Some(session) = session else { return };
    let upto = if looked {
        let mut windows = session.raw_windows(direction);
        windows.by_ref().for_each(drop);
        windows.progress()
    } else {
        0
    };
    session.raw_done(direction, upto);
}

fn address_rules(set: &RuleSet, view: &View<'_, '_>, mut detect: Option<&mut FlowDetect>, work: &mut Work) {
    if view.packet.ip.version == 0 {
        return;
    }
    for &rule in &set.addresses {
        let signature = &set.signatures[rule as usize];
        let fits =
            header_fits(signature, view).and_then(|()| packet_fits(signature, view, detect.as_deref(), work));
        if let Err(cause) = fits {
            if let Some(trace) = &mut work.trace {
                trace.packet_fails(signature, view, cause);
            }
            continue;
        }
        let hit = Hit {
            rule,
            transaction: None,
            stream: false,
        };
        matched(signature, view, detect.as_deref_mut(), work, hit);
    }
}

/// Rules on packets and streams.
fn packet_rules(
    set: &RuleSet,
    view: &View<'_, '_>,
    mut detect: Option<&mut FlowDetect>,
    work: &mut Work,
    ready: bool,
) {
    let packet = view.packet;
    let direction = packet.direction.unwrap_or(Direction::ToServer).index();
    let class = Class::of(packet.ip.proto);
    let mut candidates = std::mem::take(&mut work.candidates);
    candidates.clear();
    if packet.ip.version != 0 {
        let group = &set.packets[class as usize][direction];
        candidates.extend_from_slice(&group.always);
        let payload = if packet.payload_inspected_elsewhere {
            &[][..]
        } else {
            packet.payload
        };
        if let Some(matcher) = group.matcher() {
            scan(matcher, payload, work, |needle| {
                candidates.extend_from_slice(group.rules_of(needle))
            });
        }
        if class == Class::Tcp {
            let streams = &set.streams[direction];
            if ready {
                candidates.extend_from_slice(&streams.always);
                // What waits when payload is not inspected any more meets rules without a pattern only, as in Suricata.
                let matcher = streams.matcher().filter(|_| !packet.payload_inspected_elsewhere);
                if let (Some(matcher), Some(session), Some(direction)) = (matcher, view.tcp, packet.direction)
                {
                    for (_, octets) in session.raw_windows(direction) {
                        scan(matcher, octets, work, |needle| {
                            candidates.extend_from_slice(streams.rules_of(needle))
                        });
                    }
                }
            }
            // What was taken into the stream is looked at there.
            if !packet.in_stream && !payload.is_empty() {
                candidates.extend_from_slice(&streams.always);
                if let Some(matcher) = streams.matcher() {
                    scan(matcher, payload, work, |needle| {
                        candidates.extend_from_slice(streams.rules_of(needle))
                    });
                }
            }
        }
    }
    if !packet.events.is_empty() {
        candidates.extend_from_slice(&set.events);
    }
    protocol_rules(set, view, detect.as_deref_mut(), &mut candidates);
    let mut untried = Vec::new();
    if let Some(trace) = &work.trace {
        untried = trace.add_untried(set, &mut candidates, |signature| signature.kind.is_on_packets());
    }
    candidates.sort_unstable();
    candidates.dedup();
    work.carried.clear();
    for &rule in &candidates {
        let signature = &set.signatures[rule as usize];
        if signature.kind == Kind::Transaction {
            work.carried.push(rule);
            continue;
        }
        let outcome = packet_rule(signature, view, detect.as_deref(), work, ready);
        let outcome = match outcome {
            Ok(_) if untried.contains(&rule) => Err(Cause::Prefilter),
            outcome => outcome,
        };
        match outcome {
            Ok(stream) => {
                let hit = Hit {
                    rule,
                    transaction: None,
                    stream,
                };
                matched(signature, view, detect.as_deref_mut(), work, hit);
            }
            Err(cause) if work.trace.is_some() => why::packet_fails(set, signature, view, work, cause),
            Err(_) => {}
        }
    }
    work.candidates = candidates;
}

/// Rules that ask for nothing but the protocol are run once a direction, when it is known.
fn protocol_rules(
    set: &RuleSet,
    view: &View<'_, '_>,
    detect: Option<&mut FlowDetect>,
    candidates: &mut Vec<u32>,
) {
    let (Some(detect), Some(app), Some(direction)) = (detect, view.app, view.packet.direction) else {
        return;
    };
    let at = direction.index();
    if view.packet.pseudo
        || detect.protocol_done[at]
        || !(app.detection_done[at] || app.by_direction[at].name().is_some())
    {
        return;
    }
    detect.protocol_done[at] = true;
    candidates.extend_from_slice(&set.protocols);
}

/// Look for patterns; `take` gets the needles.
pub(super) fn scan(
    matcher: &super::matcher::Matcher,
    octets: &[u8],
    work: &mut Work,
    mut take: impl FnMut(u32),
) {
    work.found.clear();
    matcher.scan(octets, &mut work.space, &mut work.found);
    for &needle in &work.found {
        take(needle);
    }
}

/// A rule matched: what it leaves behind, and the hit.
pub(super) fn matched(
    signature: &Signature,
    view: &View<'_, '_>,
    mut detect: Option<&mut FlowDetect>,
    work: &mut Work,
    hit: Hit,
) {
    if work.trace.is_some() {
        why::matches(signature, view, work, hit);
    }
    for effect in &signature.effects {
        if matches!(effect, Effect::Bit { .. } | Effect::Integer { .. }) {
            memory::apply(effect, view, detect.as_deref_mut(), &mut work.hosts);
        }
    }
    work.hits.push(hit);
}

/// Protocol, direction, addresses and ports: the first that is not the rule's.
pub(super) fn header_fits(signature: &Signature, view: &View<'_, '_>) -> Result<(), Cause> {
    let packet = view.packet;
    let header = &signature.header;
    if packet.ip.version == 0 {
        let fits = header.protocols.packet_header || signature.kind == Kind::EventOnly;
        return or(fits, Cause::NoHeader);
    }
    or(header.protocols.contains(packet.ip.proto), Cause::Protocol)?;
    let version = header.protocols.version;
    or(version == 0 || version == packet.ip.version, Cause::Version)?;
    let direction = signature.direction;
    or(
        direction.is_none() || direction == packet.direction,
        Cause::Direction,
    )?;
    if !(header.sport.any && header.dport.any) {
        let ports = !packet.fragment && matches!(packet.ip.proto, 6 | 17 | 132);
        or(ports, Cause::NoPorts)?;
        or(header.sport.contains(packet.sport), Cause::SourcePort)?;
        or(header.dport.contains(packet.dport), Cause::DestinationPort)?;
    }
    or(header.src.contains(packet.src), Cause::Source)?;
    or(header.dst.contains(packet.dst), Cause::Destination)
}

/// Nothing, or the cause when it does not hold.
fn or(holds: bool, cause: Cause) -> Result<(), Cause> {
    if holds {
        Ok(())
    } else {
        Err(cause)
    }
}

/// What `flow:` asks.
pub(super) fn flow_fits(signature: &Signature, view: &View<'_, '_>) -> Result<(), Cause> {
    let Some(flow) = &signature.flow else {
        return Ok(());
    };
    or(view.flow.is_some(), Cause::NoFlow)?;
    let asks = |wanted: Option<bool>, is: bool| wanted.is_none_or(|wanted| wanted == is);
    or(
        asks(flow.established, view.packet.established),
        Cause::Established,
    )?;
    or(asks(flow.reassembled, view.packet.reassembled), Cause::Fragments)
}

/// Conditions on the packet and on what is remembered.
pub(super) fn packet_fits(
    signature: &Signature,
    view: &View<'_, '_>,
    detect: Option<&FlowDetect>,
    work: &mut Work,
) -> Result<(), Cause> {
    for (at, condition) in signature.packet.iter().enumerate() {
        or(condition.matches(view), Cause::Packet(at))?;
    }
    for (at, test) in signature.state.iter().enumerate() {
        let holds = match test {
            StateTest::Reputation { .. } => work.reputation.holds(test, view.packet),
            test => memory::holds(test, view, detect, &mut work.hosts).unwrap_or(false),
        };
        or(holds, Cause::State(at))?;
    }
    Ok(())
}

/// Whether a rule on packets matched in the stream, or what keeps it from matching.
fn packet_rule(
    signature: &Signature,
    view: &View<'_, '_>,
    detect: Option<&FlowDetect>,
    work: &mut Work,
    ready: bool,
) -> Result<bool, Cause> {
    let packet = view.packet;
    let at_the_end = packet.origin == Origin::FlowTimeout && signature.kind == Kind::Packet;
    or(!at_the_end, Cause::FlowEnd)?;
    let inspectable = ready || !packet.payload_inspected_elsewhere && !packet.payload.is_empty();
    let need = signature.payload_need;
    or(need.is_none_or(|need| need == inspectable), Cause::PayloadNeed)?;
    header_fits(signature, view)?;
    flow_fits(signature, view)?;
    if !signature.app.is_empty() {
        let protocol = view.app.and_then(|app| app.protocol());
        let known = protocol.is_some_and(|protocol| {
            let mut protocols = signature.protocols.iter();
            protocols.any(|known| std::ptr::eq(*known, protocol))
        });
        or(known, Cause::AppProtocol)?;
    }
    packet_fits(signature, view, detect, work)?;
    work.machine.begin(signature.variables);
    for (at, group) in signature.groups.iter().enumerate() {
        or(packet_buffer_fits(group, view.packet, work), Cause::Group(at))?;
    }
    if signature.payload.is_empty() {
        return Ok(false);
    }
    payload_fits(signature, view, work, ready)
}

fn payload_fits(
    signature: &Signature,
    view: &View<'_, '_>,
    work: &mut Work,
    ready: bool,
) -> Result<bool, Cause> {
    let packet = view.packet;
    let on = signature.payload_on;
    let tcp = packet.ip.proto == 6;
    let mut without = Cause::NoPayload;
    if tcp && on.stream {
        if let (true, Some(session), Some(direction)) = (ready, view.tcp, packet.direction) {
            for (_, octets) in session.raw_windows(direction) {
                if chain_fits(signature, octets, work) {
                    return Ok(true);
                }
                without = Cause::Payload;
            }
        }
        if !on.packet && packet.in_stream {
            return Err(if ready { Cause::Payload } else { Cause::StreamWaits });
        }
    }
    or(!packet.payload.is_empty(), without)?;
    or(chain_fits(signature, packet.payload, work), Cause::Payload)?;
    Ok(false)
}

pub(super) fn chain_fits(signature: &Signature, octets: &[u8], work: &mut Work) -> bool {
    if octets.is_empty() {
        return false;
    }
    let Work {
        machine, datasets, ..
    } = work;
    machine.inspect(&signature.payload, &Subject::whole(octets), datasets)
}

/// Conditions on a header of the packet.
fn packet_buffer_fits(group: &BufferGroup, packet: &Packet<'_>, work: &mut Work) -> bool {
    let mut room = [0; 16];
    packet_buffer(group, packet, &mut room)
        .is_some_and(|octets| group_fits(group, &Subject::whole(octets), work))
}

/// The header's octets a group looks at, if the packet has them.
pub(super) fn packet_buffer<'a>(
    group: &BufferGroup,
    packet: &'a Packet<'_>,
    room: &'a mut [u8; 16],
) -> Option<&'a [u8]> {
    let Place::Packet(buffer) = group.place else {
        return None;
    };
    Some(match (buffer, packet.ip.version, &packet.transport) {
        (PacketBuffer::Ipv4Header, 4, _) | (PacketBuffer::Ipv6Header, 6, _) => packet.ip.header,
        (PacketBuffer::TcpHeader, _, Transport::Tcp(_))
        | (PacketBuffer::UdpHeader, _, Transport::Udp)
        | (PacketBuffer::Icmpv4Header, _, Transport::Icmp(_))
        | (PacketBuffer::Icmpv6Header, _, Transport::Icmp6(_)) => packet.transport_header,
        (PacketBuffer::SourceAddress, 4 | 6, _) => {
            let length = super::keyword::network::address_octets(packet.src, room);
            &room[..length]
        }
        (PacketBuffer::DestinationAddress, 4 | 6, _) => {
            let length = super::keyword::network::address_octets(packet.dst, room);
            &room[..length]
        }
        _ => return None,
    })
}

/// A group's conditions on octets, after its transforms.
pub(super) fn group_fits(group: &BufferGroup, subject: &Subject<'_>, work: &mut Work) -> bool {
    let Work {
        machine,
        datasets,
        transformed,
        spare,
        ..
    } = work;
    if group.transforms.is_empty() {
        return machine.inspect(&group.chain, subject, datasets);
    }
    super::transform::apply_all(&group.transforms, subject.data, transformed, spare);
    machine.inspect(
        &group.chain,
        &Subject {
            data: transformed,
            ..*subject
        },
        datasets,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rejects_and_rate_filtered_drops_are_shown_as_blocked() {
        for (action, changed, blocked) in [
            (Action::Alert, false, false),
            (Action::Drop, false, false),
            (Action::Drop, true, true),
            (Action::Reject, false, true),
            (Action::RejectDst, false, true),
            (Action::RejectBoth, true, true),
            (Action::Pass, true, false),
        ] {
            assert_eq!(shown_as_blocked(action, changed), blocked, "{action:?} {changed}");
        }
    }
}
