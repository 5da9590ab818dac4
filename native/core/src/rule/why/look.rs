//! What a look at a rule found, in words.

use super::trail::{follow, Story};
use super::{entry, words, Finding, Outcome, MAX_EXCERPT, NO_TRANSACTION};
use crate::app::dcerpc::pdu::uuid_text;
use crate::app::Protocol;
use crate::packet::{Direction, Packet, Transport};
use crate::rule::answer::Look;
use crate::rule::cause::Cause;
use crate::rule::chain::Chain;
use crate::rule::detect::{header_fits, packet_buffer, Hit, Work};
use crate::rule::inspect::Subject;
use crate::rule::set::RuleSet;
use crate::rule::signature::{
    BufferGroup, FastPattern, Kind, PatternPlace, Place, Signature, TxCondition, View,
};
use crate::rule::FlowScene;

/// What kept a rule from matching before octets were asked.
pub(super) fn of_packet(signature: &Signature, view: &View<'_, '_>, cause: Cause) -> Finding {
    let packet = view.packet;
    let field = |field| words::header(signature, field);
    let protocol = || format!("protocol {}", field(1));
    let flow = || words::option(signature, "flow", 0);
    let (stage, condition, reason) = match cause {
        Cause::Passed => ("flow", String::new(), "the flow is not looked at any more".into()),
        Cause::NoHeader => ("header", protocol(), "there is no valid IP header".into()),
        Cause::Protocol => (
            "header",
            protocol(),
            format!("IP protocol is {}", packet.ip.proto),
        ),
        Cause::Version => ("header", protocol(), format!("it is IPv{}", packet.ip.version)),
        Cause::Direction => {
            let goes = match packet.direction {
                Some(Direction::ToServer) => "to the server",
                Some(Direction::ToClient) => "to the client",
                None => "in no direction: it belongs to no flow",
            };
            ("direction", flow(), format!("it goes {goes}"))
        }
        Cause::NoPorts => (
            "header",
            format!("{} {}", field(3), field(6)),
            "it has no ports".into(),
        ),
        Cause::SourcePort => (
            "header",
            format!("source port {}", field(3)),
            format!("it is {}", packet.sport),
        ),
        Cause::DestinationPort => (
            "header",
            format!("destination port {}", field(6)),
            format!("it is {}", packet.dport),
        ),
        Cause::Source => (
            "header",
            format!("source {}", field(2)),
            format!("it is {}", packet.src),
        ),
        Cause::Destination => (
            "header",
            format!("destination {}", field(5)),
            format!("it is {}", packet.dst),
        ),
        Cause::NoFlow => ("flow", flow(), "the packet belongs to no flow".into()),
        Cause::Established => {
            let is = if packet.established { "is" } else { "is not" };
            ("flow", flow(), format!("the flow {is} established"))
        }
        Cause::Fragments => {
            let was = if packet.reassembled { "was" } else { "was not" };
            (
                "flow",
                flow(),
                format!("the packet {was} put together from fragments"),
            )
        }
        Cause::FlowEnd => (
            "packet",
            String::new(),
            "it stands for the flow's end, the rule is on packets".into(),
        ),
        Cause::PayloadNeed => {
            let reason = match signature.payload_need {
                Some(true) => "there is nothing to inspect",
                _ => "there is payload",
            };
            ("payload", String::new(), reason.into())
        }
        Cause::AppProtocol => (
            "protocol",
            format!("app-layer protocol {}", signature.app),
            speaks(view),
        ),
        Cause::Packet(at) => {
            let keyword = signature.packet[at].keyword();
            let before = signature.packet[..at].iter();
            let nth = before.filter(|condition| condition.keyword() == keyword).count();
            (keyword, words::option(signature, keyword, nth), facts(packet))
        }
        Cause::State(_) => ("state", String::new(), "what is remembered says no".into()),
        Cause::StreamWaits => (
            "payload",
            String::new(),
            "the payload waits in the stream; it is looked at with a later packet".into(),
        ),
        Cause::NoPayload => ("payload", String::new(), "there is no payload".into()),
        Cause::Prefilter => (
            "prefilter",
            prefilter(signature),
            "it was not found: the rule was not tried".into(),
        ),
        Cause::Payload => ("payload", String::new(), "there are no octets to look at".into()),
        Cause::Group(at) => (
            signature.groups[at].name,
            String::new(),
            "the packet has none".into(),
        ),
        Cause::Transaction(_) => ("transaction", String::new(), String::new()),
    };
    Finding {
        stage: stage.into(),
        condition,
        reason,
        ..Finding::default()
    }
}

fn speaks(view: &View<'_, '_>) -> String {
    match view.app.and_then(|app| app.found.name()) {
        Some(name) => format!("the flow speaks {name}"),
        None => "what the flow speaks is not known".into(),
    }
}

/// Header fields that conditions on packets are about.
fn facts(packet: &Packet<'_>) -> String {
    let mut facts = vec![format!("ttl {}", packet.ip.ttl)];
    match packet.transport {
        Transport::Tcp(tcp) => facts.push(format!(
            "flags 0x{:02x}, seq {}, ack {}, window {}",
            tcp.flags, tcp.seq, tcp.ack, tcp.window
        )),
        Transport::Icmp(icmp) | Transport::Icmp6(icmp) => {
            facts.push(format!("type {}, code {}", icmp.kind, icmp.code));
        }
        _ => {}
    }
    facts.push(format!("{} octets of payload", packet.payload.len()));
    if !packet.events.is_empty() {
        facts.push(format!("events {}", packet.events.join(" ")));
    }
    format!("the packet has {}", facts.join(", "))
}

/// What the prefilter looks for, and where.
fn prefilter(signature: &Signature) -> String {
    let Some(FastPattern { place, condition, .. }) = signature.fast_pattern else {
        return String::new();
    };
    let (name, chain) = match place {
        PatternPlace::Payload => ("payload", Some(&signature.payload)),
        PatternPlace::Group(at) => match signature.groups.get(at) {
            Some(group) => (group.name, Some(&group.chain)),
            None => return String::new(),
        },
    };
    let condition = chain.and_then(|chain| chain.conditions.get(condition));
    condition.map_or_else(String::new, |condition| {
        format!("{name}: {}", words::condition(condition))
    })
}

/// Run a chain again, observed; transforms are applied first.
fn ask(
    chain: &Chain,
    group: Option<&BufferGroup>,
    subject: &Subject<'_>,
    work: &mut Work,
    matched: bool,
) -> (Story, Vec<u8>) {
    let mut octets = subject.data.to_vec();
    if let Some(group) = group.filter(|group| !group.transforms.is_empty()) {
        let mut spare = Vec::new();
        crate::rule::transform::apply_all(&group.transforms, subject.data, &mut octets, &mut spare);
    }
    let shown = Subject {
        data: &octets,
        ..*subject
    };
    let story = follow(&mut work.machine, chain, &shown, &mut work.datasets, matched);
    octets.truncate(MAX_EXCERPT);
    (story, octets)
}

/// Put what a chain came to into a finding, if it came further than what is there.
fn take(finding: &mut Finding, name: &'static str, (story, octets): (Story, Vec<u8>)) {
    if finding.excerpt.is_some() && finding.depth >= story.places.len() {
        return;
    }
    finding.depth = story.places.len();
    finding.places = story.places.into_iter().map(|place| (name, place)).collect();
    finding.excerpt = Some(octets);
    match story.failed {
        Some((condition, reason)) => (finding.condition, finding.reason) = (condition, reason),
        None => finding.reason = "all its conditions hold on these octets, taken by themselves".into(),
    }
}

/// The names of transforms before a buffer's conditions.
fn named(group: &BufferGroup) -> String {
    let transforms = group.transforms.iter().map(|transform| transform.keyword());
    std::iter::once(group.name)
        .chain(transforms)
        .collect::<Vec<_>>()
        .join("; ")
}

/// What of packet and stream the payload conditions are asked of.
fn payloads<'a>(view: &View<'a, '_>, back: bool) -> Vec<&'a [u8]> {
    let mut all = Vec::new();
    if let (Some(session), Some(direction)) = (view.tcp, view.packet.direction) {
        let windows = match back {
            true => session.raw_windows_back(direction),
            false => session.raw_windows(direction),
        };
        all.extend(windows.map(|(_, octets)| octets));
    }
    if !view.packet.payload.is_empty() {
        all.push(view.packet.payload);
    }
    all
}

/// A rule on packets failed.
#[cold]
pub(in crate::rule) fn packet_fails(
    set: &RuleSet,
    signature: &Signature,
    view: &View<'_, '_>,
    work: &mut Work,
    cause: Cause,
) {
    if !work
        .trace
        .as_ref()
        .is_some_and(|trace| trace.asks(signature.index))
    {
        return;
    }
    let mut finding = of_packet(signature, view, cause);
    match cause {
        Cause::State(at) => finding.condition = words::state(&signature.state[at], set),
        Cause::Group(at) => {
            let group = &signature.groups[at];
            let mut room = [0; 16];
            finding.stage = named(group);
            if let Some(octets) = packet_buffer(group, view.packet, &mut room) {
                let told = ask(&group.chain, Some(group), &Subject::whole(octets), work, false);
                take(&mut finding, group.name, told);
            }
        }
        Cause::Payload => {
            for octets in payloads(view, false) {
                let told = ask(&signature.payload, None, &Subject::whole(octets), work, false);
                take(&mut finding, "payload", told);
            }
        }
        _ => {}
    }
    let entry = entry(signature, view, Outcome::No, cause, finding);
    if let Some(trace) = &mut work.trace {
        trace.push(entry);
    }
}

/// A rule on transactions failed, or waits for more.
#[cold]
pub(in crate::rule) fn transaction_fails(
    set: &RuleSet,
    signature: &Signature,
    look: &Look<'_, '_>,
    work: &mut Work,
    cause: Cause,
    waits: bool,
) {
    if !work
        .trace
        .as_ref()
        .is_some_and(|trace| trace.asks(signature.index))
    {
        return;
    }
    // The other direction of a rule on one is not worth a word.
    if cause == Cause::Direction {
        return;
    }
    let view = &look.view;
    let mut finding = of_packet(signature, view, cause);
    match cause {
        Cause::State(at) => finding.condition = words::state(&signature.state[at], set),
        Cause::Group(at) => of_buffer(&signature.groups[at], look, work, &mut finding, false),
        Cause::Transaction(at) => of_condition(signature, at, look, &mut finding),
        Cause::Payload => {
            for octets in payloads(view, true) {
                let told = ask(&signature.payload, None, &Subject::whole(octets), work, false);
                take(&mut finding, "payload", told);
            }
        }
        _ => {}
    }
    if waits {
        finding.reason.push_str(if look.complete {
            " (and more cannot come)"
        } else {
            " (so far)"
        });
    }
    let mut entry = entry(signature, view, Outcome::No, cause, finding);
    entry.transaction = Some(look.id);
    let flow = entry.flow;
    let key = (
        flow,
        look.id,
        look.direction == Direction::ToServer,
        signature.index,
    );
    if let Some(trace) = &mut work.trace {
        trace.seen.insert((flow, signature.index));
        trace.keep(key, entry);
    }
}

fn of_buffer(
    group: &BufferGroup,
    look: &Look<'_, '_>,
    work: &mut Work,
    finding: &mut Finding,
    matched: bool,
) {
    finding.stage = named(group);
    let Place::Transaction(slots) = &group.place else {
        return;
    };
    let Some(slot) = look.slot(slots) else {
        finding.reason = format!("{} has no such buffer", look.protocol.name);
        return;
    };
    let spec = &look.protocol.buffers[slot];
    if !spec.directions.contains(&look.direction) {
        finding.reason = "it is not there in this direction".into();
        return;
    }
    if look.progress < spec.progress && !look.complete {
        finding.reason = "the transaction has not come to it".into();
        return;
    }
    finding.reason = "the transaction has none".into();
    for index in 0.. {
        let Some(buffer) = look.transaction.buffer(slot, look.direction, index) else {
            break;
        };
        let subject = Subject {
            data: buffer.data,
            offset: buffer.offset,
            complete: buffer.complete || look.complete,
            little_endian: look.transaction.little_endian(),
        };
        let told = ask(&group.chain, Some(group), &subject, work, false);
        let all = told.0.failed.is_none();
        take(finding, group.name, told);
        if !spec.multi || matched && all {
            break;
        }
    }
}

fn of_condition(signature: &Signature, at: usize, look: &Look<'_, '_>, finding: &mut Finding) {
    match &signature.transaction[at] {
        TxCondition::Value { name, slots, .. } => {
            let same = |condition: &&TxCondition| matches!(condition, TxCondition::Value { name: known, .. } if known == name);
            let nth = signature.transaction[..at].iter().filter(same).count();
            finding.stage = (*name).into();
            finding.condition = words::option(signature, name, nth);
            let slot = look.slot(slots);
            let values = slot.into_iter().flat_map(|slot| {
                (0..16).map_while(move |index| look.transaction.value(slot, look.direction, index))
            });
            let values: Vec<String> = values.map(|value| value.to_string()).collect();
            finding.reason = if values.is_empty() {
                "the transaction has no such value".into()
            } else {
                format!("it is {}", values.join(", "))
            };
        }
        TxCondition::Event { name, .. } => {
            let events = &look.transaction.meta().events;
            finding.stage = "app-layer-event".into();
            finding.condition = format!("app-layer-event:{name}");
            finding.reason = if events.is_empty() {
                "the transaction raised no event".into()
            } else {
                format!("it raised {}", events.join(", "))
            };
        }
        TxCondition::Interface { .. } => {
            finding.stage = "dcerpc".into();
            finding.condition = words::option(signature, "dcerpc.iface", 0);
            finding.reason = match look.transaction.call() {
                Some(call) => {
                    let accepted = call.interfaces.iter().filter(|interface| interface.accepted());
                    let accepted: Vec<String> = accepted
                        .map(|interface| {
                            format!("{} version {}", uuid_text(&interface.uuid), interface.version)
                        })
                        .collect();
                    match accepted.is_empty() {
                        true => "no interface was accepted".into(),
                        false => format!("accepted were {}", accepted.join(", ")),
                    }
                }
                None => "the transaction is no call".into(),
            };
        }
        TxCondition::OtherHost { slots } => {
            finding.stage = "ftpbounce".into();
            finding.condition = words::option(signature, "ftpbounce", 0);
            let slot = look.slot(slots);
            let host = slot.and_then(|slot| look.transaction.value(slot, look.direction, 0));
            finding.reason = match host.and_then(|host| u32::try_from(host).ok()) {
                Some(host) => format!("the PORT command names {}", std::net::Ipv4Addr::from(host)),
                None => "the transaction names no host".into(),
            };
        }
        TxCondition::File(_) => {
            let files = look
                .transaction
                .files()
                .into_iter()
                .flat_map(|files| files.of(look.direction));
            let files: Vec<String> = files
                .take(8)
                .map(|file| {
                    let magic = file.magic().unwrap_or("no magic yet");
                    format!(
                        "\"{}\" ({} octets, {magic})",
                        words::pattern(&file.name),
                        file.size
                    )
                })
                .collect();
            finding.stage = "file".into();
            finding.condition = FILE_KEYWORDS
                .iter()
                .map(|keyword| words::option(signature, keyword, 0))
                .filter(|text| text.contains(':'))
                .collect::<Vec<_>>()
                .join("; ");
            finding.reason = if files.is_empty() {
                "the transaction has no file in this direction".into()
            } else {
                format!("no file passes: {}", files.join(", "))
            };
        }
    }
}

const FILE_KEYWORDS: [&str; 8] = [
    "filename",
    "fileext",
    "filemagic",
    "filesize",
    "filemd5",
    "filesha1",
    "filesha256",
    "filestore",
];

/// A rule matched.
#[cold]
pub(in crate::rule) fn matches(signature: &Signature, view: &View<'_, '_>, work: &mut Work, hit: Hit) {
    if !work
        .trace
        .as_ref()
        .is_some_and(|trace| trace.asks(signature.index))
    {
        return;
    }
    let mut places = Vec::new();
    let mut excerpt = None;
    for group in &signature.groups {
        let mut found = Finding::default();
        let mut room = [0; 16];
        if let Some(octets) = packet_buffer(group, view.packet, &mut room) {
            let told = ask(&group.chain, Some(group), &Subject::whole(octets), work, true);
            take(&mut found, group.name, told);
        } else if let Some(look) = hit.transaction.and_then(|id| Look::of(view, id)) {
            of_buffer(group, &look, work, &mut found, true);
        }
        places.append(&mut found.places);
        excerpt = excerpt.or(found.excerpt);
    }
    if !signature.payload.is_empty() {
        let mut found = Finding::default();
        for octets in payloads(view, hit.transaction.is_some()) {
            let told = ask(&signature.payload, None, &Subject::whole(octets), work, true);
            let all = told.0.failed.is_none();
            take(&mut found, "payload", told);
            if all {
                break;
            }
        }
        places.append(&mut found.places);
        excerpt = excerpt.or(found.excerpt);
    }
    let finding = Finding {
        stage: if hit.stream {
            "stream".into()
        } else {
            String::new()
        },
        reason: if signature.noalert {
            "the rule itself says noalert".into()
        } else {
            String::new()
        },
        places,
        excerpt,
        ..Finding::default()
    };
    let outcome = if signature.noalert {
        Outcome::Silent
    } else {
        Outcome::Match
    };
    let mut entry = entry(signature, view, outcome, Cause::Payload, finding);
    entry.transaction = hit.transaction;
    let (flow, rule) = (entry.flow, signature.index);
    let Some(trace) = &mut work.trace else { return };
    if let (Some(id), Some(direction)) = (hit.transaction, view.packet.direction) {
        trace.seen.insert((flow, rule));
        trace
            .open
            .insert((flow, id, direction == Direction::ToServer, rule), None);
    }
    trace.push(entry);
}

/// All that can be done with a packet of a flow was done: rules on transactions that had none to look at say why.
#[cold]
pub(in crate::rule) fn flow_is_looked_at(
    set: &RuleSet,
    scene: &FlowScene<'_>,
    packet: &Packet<'_>,
    work: &mut Work,
) {
    let view = View {
        packet,
        flow: Some(scene.flow),
        tcp: None,
        app: Some(scene.app),
    };
    let protocol: Option<&'static Protocol> = scene.app.protocol();
    let Some(trace) = &mut work.trace else { return };
    for rule in trace.rules.clone() {
        let signature = &set.signatures[rule as usize];
        let one_sided = signature.direction.is_some() && signature.direction != packet.direction;
        if signature.kind != Kind::Transaction || one_sided || trace.seen.contains(&(scene.flow.id, rule)) {
            continue;
        }
        let cause = match header_fits(signature, &view) {
            Err(cause) => cause,
            Ok(()) if protocol.is_some_and(|protocol| signature.is_about(protocol)) => continue,
            Ok(()) => Cause::AppProtocol,
        };
        let mut finding = of_packet(signature, &view, cause);
        if cause == Cause::AppProtocol && signature.app.is_empty() {
            finding.condition = "a protocol that has what the rule looks at".into();
        }
        let entry = entry(signature, &view, Outcome::No, cause, finding);
        let to_server = packet.direction == Some(Direction::ToServer);
        trace.keep((scene.flow.id, NO_TRANSACTION, to_server, rule), entry);
    }
}
