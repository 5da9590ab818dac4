//! The last step of a rule: buffers to slots, what payload conditions run on, checks over the whole, the fast pattern.

use smallvec::SmallVec;

use super::builder::{slots_of, Builder, Fault};
use super::chain::{Chain, Condition, Content, Operand};
use super::header::Header;
use super::keyword::buffers::Where;
use super::lexer::invalid;
use super::signature::{
    BufferGroup, FastPattern, FlowCondition, Kind, NumberTest, PatternPlace, PayloadOn, Place, Problem,
    ProblemKind, Signature,
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
pub fn check(builder: &Builder<'_>, groups: &[BufferGroup]) -> Result<(), Fault> {
    let on_transactions = groups
        .iter()
        .any(|group| matches!(group.place, Place::Transaction(_)));
    if builder.requires_packet && on_transactions {
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
            "" | "http" | "http1" | "http2" | "smtp" | "ftp" | "ftp-data" | "smb" | "nfs"
        )
    {
        return Err(format!("the protocol {} carries no files", builder.app).into());
    }
    Ok(())
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

/// `bsize` against the contents.
fn check_size(group: &BufferGroup) -> Result<(), Fault> {
    for condition in &group.chain.conditions {
        let Condition::Size(test) = condition else {
            continue;
        };
        let most = match *test {
            NumberTest::Equal(n) | NumberTest::LessOrEqual(n) => n,
            NumberTest::Less(n) | NumberTest::Between(_, n) => n - 1,
            _ => continue,
        };
        let need = required_octets(&group.chain.conditions, most);
        if group.transforms.is_empty() && need > most {
            return Err(format!(
                "the contents of {} need {need} octets, its size is at most {most}",
                group.name
            )
            .into());
        }
    }
    Ok(())
}

/// How good a prefilter a pattern is: distinct octets that are not letters or zeros count most, repeats little.
pub fn strength(pattern: &[u8]) -> u32 {
    let mut seen = [false; 256];
    pattern
        .iter()
        .map(|&octet| {
            let first = !std::mem::replace(&mut seen[usize::from(octet)], true);
            let weight = match octet {
                b'a'..=b'z' | b'A'..=b'Z' => 3,
                b' ' | b'\t' | 0 | 0xff => 2,
                b'0'..=b'9' => 4,
                b' '..=b'~' => 4,
                _ => 5,
            };
            if first {
                weight
            } else {
                1
            }
        })
        .sum()
}

/// The content a prefilter shall look for: the one the rule names, else the strongest that must be there.
pub fn fast_pattern(payload: &Chain, groups: &[BufferGroup]) -> Option<FastPattern> {
    let lists = std::iter::once((PatternPlace::Payload, &payload.conditions, true)).chain(
        groups
            .iter()
            .enumerate()
            .filter(|(_, group)| matches!(group.place, Place::Transaction(_)))
            .map(|(at, group)| (PatternPlace::Group(at), &group.chain.conditions, false)),
    );
    let mut candidates: SmallVec<[(FastPattern, &Content, bool); 8]> = SmallVec::new();
    for (place, conditions, in_payload) in lists {
        for (at, condition) in conditions.iter().enumerate() {
            let Condition::Content(content) = condition else {
                continue;
            };
            if let Some(chop) = content.fast_pattern {
                // What must not be there names no candidates.
                if !content.negated {
                    return Some(FastPattern {
                        place,
                        condition: at,
                        chop,
                        explicit: true,
                    });
                }
            }
            if !content.negated && !content.pattern.is_empty() {
                let proposal = FastPattern {
                    place,
                    condition: at,
                    chop: None,
                    explicit: false,
                };
                candidates.push((proposal, content, in_payload));
            }
        }
    }
    // Buffers before the payload: they are shorter and their groups smaller. Then the strongest.
    candidates
        .into_iter()
        .max_by_key(|(_, content, in_payload)| (!*in_payload, strength(&content.pattern)))
        .map(|(pattern, ..)| pattern)
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
        let plain = signature.packet.is_empty() && signature.groups.is_empty();
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
