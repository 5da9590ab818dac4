//! The last step of a rule: buffers to slots, what payload conditions run on, checks over the whole, the fast pattern.

use super::builder::{slots_of, Builder, Fault};
use super::chain::{Chain, Condition, Operand};
use super::header::Header;
use super::keyword::buffers::Where;
use super::lexer::invalid;
use super::signature::{
    BufferGroup, FileTest, FlowCondition, Kind, NumberTest, PayloadOn, Place, Problem, ProblemKind,
    Signature, TxCondition,
};
use super::state::{BitChange, Effect, Memory, StateTest};
use crate::app::{Carrier, Protocol};
use crate::packet::Direction;

/// Buffers a rule can look at: what is answered of a waiting rule is kept in the bits of a word (see `transaction`).
pub const MAX_GROUPS: usize = 30;

const TCP: u8 = 6;
const UDP: u8 = 17;

/// Limit the header's protocols to what carries the application, and to what `ip_proto` and others said.
pub fn carriers(
    header: &mut Header,
    protocols: &[&'static Protocol],
    ip_protocols: Option<[u64; 4]>,
    app: &str,
) {
    let bit = |proto: u8| 1u64 << (proto % 64);
    if !app.is_empty() && header.protocols.any {
        let over = |carrier| {
            protocols
                .iter()
                .any(|protocol| protocol.carriers.contains(&carrier))
        };
        header.protocols.any = false;
        header.protocols.bits = [0; 4];
        if over(Carrier::Tcp) {
            header.protocols.bits[0] |= bit(TCP);
        }
        if over(Carrier::Udp) {
            header.protocols.bits[0] |= bit(UDP);
        }
    }
    if let (Some(wanted), true) = (ip_protocols, header.protocols.any) {
        header.protocols.any = false;
        header.protocols.bits = wanted;
    }
}

/// Whether the header's protocols carry what the rule looks at.
///
/// # Errors
/// They do not.
pub fn check_carriers(builder: &Builder<'_>, header: &Header) -> Result<(), Fault> {
    for group in &builder.groups {
        let carrier = match group.sticky.place {
            Where::Packet(buffer) => buffer.carrier(),
            // Files over UDP there are none.
            Where::Transaction => (group.sticky.name == "file.data").then_some(TCP),
        };
        if carrier.is_some_and(|carrier| !header.protocols.contains(carrier)) {
            let name = group.sticky.name;
            return Err(format!("{name} is not in packets of the header's protocol").into());
        }
    }
    Ok(())
}

/// Buffers with where they are, and the rule's direction as far as they tell it.
///
/// # Errors
/// A buffer that nobody offers, an empty one, directions that exclude each other.
pub fn groups(
    builder: &mut Builder<'_>,
    protocols: &[&'static Protocol],
) -> Result<Vec<BufferGroup>, Problem> {
    if builder.groups.len() > MAX_GROUPS {
        let reason = format!("the rule looks at more than {MAX_GROUPS} buffers");
        return Err(invalid(builder.at, "", reason));
    }
    let mut groups = Vec::with_capacity(builder.groups.len());
    let (mut to_server_only, mut to_client_only) = (false, false);
    for pending in std::mem::take(&mut builder.groups) {
        let name = pending.sticky.name;
        if pending.conditions.is_empty() {
            return Err(invalid(
                pending.at,
                name,
                format!("nothing is asked of the buffer {name}"),
            ));
        }
        let place = match pending.sticky.place {
            Where::Packet(buffer) => Place::Packet(buffer),
            Where::Transaction => {
                let slots = slots_of(name, builder.app, protocols);
                if slots.is_empty() {
                    return Err(Problem {
                        kind: ProblemKind::NotThereYet,
                        ..invalid(
                            pending.at,
                            name,
                            format!("no protocol offers the buffer {name} yet"),
                        )
                    });
                }
                let offered = |direction: Direction| {
                    slots
                        .iter()
                        .any(|slot| slot.protocol.buffers[slot.slot].directions.contains(&direction))
                };
                match (offered(Direction::ToServer), offered(Direction::ToClient)) {
                    (true, false) => to_server_only = true,
                    (false, true) => to_client_only = true,
                    _ => {}
                }
                Place::Transaction(slots)
            }
        };
        groups.push(BufferGroup {
            name,
            place,
            direction: None,
            transforms: pending.transforms,
            chain: Chain {
                conditions: pending.conditions,
            },
        });
    }
    let conflict = |at: usize| invalid(at, "", "keywords of both directions are mixed");
    let at = builder.at;
    match (to_server_only, to_client_only) {
        (true, true) => return Err(conflict(at)),
        (true, false) => builder.limit(Direction::ToServer).map_err(|_| conflict(at))?,
        (false, true) => builder.limit(Direction::ToClient).map_err(|_| conflict(at))?,
        (false, false) => {}
    }
    for group in &mut groups {
        group.direction = builder.direction;
        if group.name == "http.header.raw" && group.direction.is_none() {
            let reason = "the headers of requests and of responses are looked at apart: say flow:to_server or to_client";
            return Err(invalid(at, group.name, reason));
        }
    }
    Ok(groups)
}

/// What payload conditions are run on.
///
/// # Errors
/// Packet-only and stream-only conditions together.
pub fn payload_on(builder: &Builder<'_>, header: &Header) -> Result<PayloadOn, Fault> {
    let flow = builder.flow.unwrap_or_default();
    let mut packet = builder.requires_packet || header.protocols.packet_only || flow.no_stream;
    let mut stream = header.protocols.stream_only || flow.only_stream;
    if packet && stream {
        return Err(
            "packet conditions (dsize, flags, ttl, tcp-pkt, ...) and stream-only ones exclude each other"
                .into(),
        );
    }
    let tcp = header.protocols.contains(TCP);
    if tcp && !packet && !stream && !builder.payload.is_empty() {
        stream = true;
        // Positions in a stream and in a packet differ: both are looked at.
        packet = builder.stream_size
            || builder.payload.iter().any(|condition| {
                matches!(condition, Condition::Content(content) if content.depth.is_some() || content.offset.is_some())
            });
    }
    if !tcp && !builder.payload.is_empty() {
        packet = true;
    }
    Ok(PayloadOn { packet, stream })
}

/// Checks over the whole rule.
///
/// # Errors
/// What cannot match, or does not fit together.
pub fn check(builder: &Builder<'_>, header: &Header, groups: &[BufferGroup]) -> Result<(), Fault> {
    let on_transactions = !builder.transaction.is_empty()
        || groups
            .iter()
            .any(|group| matches!(group.place, Place::Transaction(_)));
    let on_packets = builder.requires_packet
        || header.protocols.packet_only
        || builder.flow.is_some_and(|flow| flow.no_stream);
    if on_packets && on_transactions {
        return Err(Fault::hinted(
            "conditions on packets (dsize, flags, ttl, ...) and on the application layer exclude each other",
            "write two rules with a flowbit between them",
        ));
    }
    if let Some((_, most)) = builder.dsize {
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        let least = required_octets(&builder.payload, most);
        if least > most {
            return Err(format!("the contents need {least} octets, dsize allows {most}").into());
        }
    }
    for group in groups {
        check_size(group)?;
        check_absence(group)?;
    }
    if builder.fingerprint && !matches!(builder.app, "" | "tls" | "quic") {
        return Err(format!(
            "JA3 and JA4 are of TLS and QUIC, the rule is about {}",
            builder.app
        )
        .into());
    }
    if builder.file
        && !matches!(
            builder.app,
            "" | "http" | "http1" | "http2" | "smtp" | "ftp-data" | "smb" | "nfs"
        )
    {
        return Err(format!("the protocol {} carries no files", builder.app).into());
    }
    if builder.app == "http2" && asks_for_a_name(builder, groups) {
        return Err("files of HTTP/2 have no name".into());
    }
    Ok(())
}

/// Whether a rule asks for the name of a file.
fn asks_for_a_name(builder: &Builder<'_>, groups: &[BufferGroup]) -> bool {
    let names = |test: &FileTest| matches!(test, FileTest::Name(..) | FileTest::Extension(..));
    let tested = builder.transaction.iter().any(|condition| match condition {
        TxCondition::File(tests) => tests.iter().any(names),
        _ => false,
    });
    tested || groups.iter().any(|group| group.name == "file.name")
}

/// Octets that the contents of a chain need, when there can be at most `most`; counted as Suricata counts them, so that
/// the same rules are refused.
fn required_octets(conditions: &[Condition], most: i64) -> i64 {
    let number = |operand: Option<Operand>| match operand {
        Some(Operand::Number(number)) => number,
        _ => 0,
    };
    let contents = conditions.iter().filter_map(|condition| match condition {
        Condition::Content(content) => Some(content),
        _ => None,
    });
    let (mut total, mut offset) = (0i64, 0i64);
    for (at, content) in contents.enumerate() {
        let distance = number(content.distance);
        if at > 0 {
            if !content.is_relative() {
                continue;
            }
            if content.negated {
                let end = total + distance + number(content.within);
                if end > most {
                    return end;
                }
                continue;
            }
        }
        total += content.pattern.len() as i64 + distance;
        offset = offset.max(number(content.offset));
    }
    if total > most {
        total
    } else {
        total + offset
    }
}

/// `absent` stands alone, `absent:or_else` does not.
fn check_absence(group: &BufferGroup) -> Result<(), Fault> {
    let mut others = 0;
    let mut absent = None;
    for condition in &group.chain.conditions {
        match condition {
            Condition::Absent { or_else } => absent = Some(absent.unwrap_or(true) && *or_else),
            Condition::Content(content)
                if content.fast_pattern.is_some() && group.chain.holds_on_absence() =>
            {
                return Err(
                    format!("a fast_pattern cannot be in {}, which may be absent", group.name).into(),
                );
            }
            _ => others += 1,
        }
    }
    match absent {
        Some(false) if others > 0 => {
            Err(format!("{} is absent and asked for something else", group.name).into())
        }
        Some(true) if others == 0 => Err("absent:or_else needs another condition on the buffer".into()),
        _ => Ok(()),
    }
}

/// `bsize` against the contents.
fn check_size(group: &BufferGroup) -> Result<(), Fault> {
    for condition in &group.chain.conditions {
        let Condition::Size(test) = condition else {
            continue;
        };
        let most = match *test {
            // A bound that is excluded counts as one that is not, and `<=` is not looked at: as Suricata has it.
            NumberTest::Equal(n) | NumberTest::Less(n) | NumberTest::Between(_, n) => n,
            _ => continue,
        };
        let need = required_octets(&group.chain.conditions, most);
        if need > most {
            return Err(format!(
                "the contents of {} need {need} octets, its size is at most {most}",
                group.name
            )
            .into());
        }
    }
    Ok(())
}

/// How a rule is run.
pub fn kind(signature: &Signature, app_protocol_keyword: bool, packet_event: bool) -> Kind {
    let header = &signature.header;
    if signature.on_transactions() {
        return Kind::Transaction;
    }
    let bare = signature.app.is_empty() && signature.payload.is_empty() && signature.groups.is_empty();
    // What is remembered may be asked and left where nothing of the packet is looked at, but of flows only bits be set.
    let remembers = signature.state.iter().all(|test| match test {
        StateTest::Bits { memory, .. } => *memory != Memory::Flow,
        StateTest::Reputation { .. } => true,
        _ => false,
    }) && signature.effects.iter().all(|effect| match effect {
        Effect::Bit { memory, change, .. } => *memory != Memory::Flow || *change == BitChange::Set,
        Effect::Tag(_) => true,
        _ => false,
    });
    let protocol_alone = app_protocol_keyword
        && signature
            .packet
            .iter()
            .all(|condition| condition.keyword() == "app-layer-protocol")
        && signature.flow.is_none_or(|flow| flow == FlowCondition::default());
    if bare && remembers && protocol_alone {
        return Kind::ProtocolOnly;
    }
    if bare
        && remembers
        && signature.packet.is_empty()
        && signature.flow.is_none()
        && signature.direction.is_none()
    {
        let negated = header.src.negated || header.dst.negated;
        return if negated { Kind::LikeIpOnly } else { Kind::IpOnly };
    }
    if bare && packet_event {
        return Kind::EventOnly;
    }
    if signature.payload.is_empty() {
        let unasked = signature.flow.is_none_or(|flow| flow == FlowCondition::default());
        let plain = unasked
            && signature.packet.is_empty()
            && signature.state.is_empty()
            && signature.groups.is_empty();
        return if plain && !signature.app.is_empty() {
            Kind::AppLayer
        } else {
            Kind::Packet
        };
    }
    match (signature.payload_on.packet, signature.payload_on.stream) {
        (true, true) => Kind::PacketOrStream,
        (false, true) => Kind::Stream,
        _ => Kind::Packet,
    }
}
