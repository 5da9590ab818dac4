//! What matched, in order: thinned by pass rules, thresholds and the limit a packet, then written.

use super::{Detector, Hit};
use crate::config::Config;
use crate::event::alert::{self, Alert};
use crate::event::sink::Records;
use crate::rule::signature::{Kind, Signature};
use crate::rule::threshold::Verdict;
use crate::rule::why::Trace;
use crate::rule::{Action, Scene};

impl Detector {
    /// Act on what matched in the scene.
    pub(super) fn finish(&mut self, scene: &mut Scene<'_, '_>, records: &mut Records) {
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
                write(*hit, signature, blocked, scene, config, records);
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
    config: &Config,
    records: &mut Records,
) {
    let packet = scene.packet;
    let about = scene.flow.as_ref();
    let transaction = hit.transaction.and_then(|id| {
        let transactions = about?.app.parser.as_ref()?.transactions();
        Some((id, transactions.get(id)?))
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
        blocked,
    };
    alert::write(&alert, signature, &config.output, records);
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
