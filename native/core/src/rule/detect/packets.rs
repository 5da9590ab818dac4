//! Rules on addresses, packets and streams.

use super::buffers::{chain_fits, packet_buffer_fits};
use super::fits::{flow_fits, header_fits, or, packet_fits};
use super::{Hit, Work};
use crate::packet::{Direction, Origin};
use crate::rule::cause::Cause;
use crate::rule::chain::Capture;
use crate::rule::matcher::Matcher;
use crate::rule::memory::{self, FlowDetect};
use crate::rule::set::{Class, RuleSet};
use crate::rule::signature::{Kind, Signature, View};
use crate::rule::state::Effect;
use crate::rule::why;

/// Rules on addresses alone: once a flow and direction.
pub(super) fn address_rules(
    set: &RuleSet,
    view: &View<'_, '_>,
    mut detect: Option<&mut FlowDetect>,
    work: &mut Work,
) {
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
        let hit = Hit::of_packet(rule, false);
        matched(signature, view, detect.as_deref_mut(), work, hit);
    }
}

/// Rules on packets and streams.
pub(super) fn packet_rules(
    set: &RuleSet,
    view: &View<'_, '_>,
    mut detect: Option<&mut FlowDetect>,
    work: &mut Work,
    ready: bool,
) {
    let mut candidates = std::mem::take(&mut work.candidates);
    candidates.clear();
    by_pattern(set, view, work, ready, &mut candidates);
    // Rules that ask for nothing but the protocol are run when it has become known.
    if view.packet.protocol_settled {
        candidates.extend_from_slice(&set.protocols);
    }
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
                let hit = Hit::of_packet(rule, stream);
                matched(signature, view, detect.as_deref_mut(), work, hit);
            }
            Err(cause) if work.trace.is_some() => why::packet_fails(set, signature, view, work, cause),
            Err(_) => {}
        }
    }
    work.candidates = candidates;
}

/// Rules without a pattern, those whose pattern is in the payload or in the stream, and those on events.
fn by_pattern(set: &RuleSet, view: &View<'_, '_>, work: &mut Work, ready: bool, candidates: &mut Vec<u32>) {
    let packet = view.packet;
    let direction = packet.direction.unwrap_or(Direction::ToServer).index();
    let class = Class::of(packet.ip.proto);
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
}

/// Look for patterns; `take` gets the needles.
pub(in crate::rule) fn scan(matcher: &Matcher, octets: &[u8], work: &mut Work, mut take: impl FnMut(u32)) {
    work.found.clear();
    matcher.scan(octets, &mut work.space, &mut work.found);
    for &needle in &work.found {
        take(needle);
    }
}

/// A rule matched: what it leaves behind, and the hit.
pub(in crate::rule) fn matched(
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
    if signature.captures {
        for (capture, octets) in work.machine.captured().drain(..) {
            match (capture, detect.as_deref_mut()) {
                (Capture::Packet(name), _) => memory::set_variable(&mut work.variables, name, octets),
                (Capture::Flow(name), Some(flow)) => memory::set_variable(&mut flow.variables, name, octets),
                (Capture::Flow(_), None) => {}
            }
        }
        if let Some(flow) = detect {
            flow.changed = true;
        }
    }
    work.hits.push(hit);
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
        let seen = packet.tcp().is_none() || packet.in_session;
        or(known && seen, Cause::AppProtocol)?;
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
