//! In which order a rule's conditions on transactions are asked.
//!
//! The condition with the fast pattern comes first, the others by the progress at which they can be answered; what the
//! rule asks of the payload comes last. The order matters: the first condition that does not hold ends a look, and what
//! held until then is kept for the next look.
//!
//! # Source
//! Suricata 7's `DetectEngineAppInspectionEngine2Signature`.

use super::signature::{PatternPlace, Place, Signature, Slot, TxCondition};
use crate::app::{Carrier, Protocol, PROTOCOLS};
use crate::packet::Direction;

/// Bits of what a rule's state on a transaction says; the bits below are of the conditions that held.
pub mod flags {
    /// All conditions held: it alerted.
    pub const MATCHED: u64 = 1 << 63;
    /// It cannot match any more.
    pub const CANNOT: u64 = 1 << 62;
    /// Its condition on files was answered: a new file asks it again.
    pub const FILES: u64 = 1 << 61;
    /// It was begun again for a new file.
    pub const AGAIN: u64 = 1 << 60;
    /// What it asks of the payload held.
    pub const PAYLOAD: u64 = 1 << 59;
}

/// Conditions that are no buffers begin at this bit; more than fit share the last (see `finish::MAX_GROUPS`).
const CONDITIONS_AT: usize = 32;

/// Which condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// Number of the signature's buffer group, slot of its buffer.
    Group(usize, usize),
    /// Number of the signature's other condition, slot of its value if it is one.
    Condition(usize, usize),
    /// The payload.
    Payload,
}

/// A condition in its place.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    /// Which.
    pub ask: Ask,
    /// Progress of the transaction at which it can be asked.
    pub progress: u8,
    /// Its bit when it held.
    pub bit: u64,
    /// The fast pattern is in it.
    pub leads: bool,
}

/// The steps of a rule on transactions of one protocol in one direction.
#[derive(Debug)]
pub struct Plan {
    /// The protocol.
    pub protocol: &'static Protocol,
    /// The direction.
    pub direction: Direction,
    /// Never empty.
    pub steps: Box<[Step]>,
}

/// The plans of a rule for every protocol and direction it can match in.
pub fn plans(signature: &Signature) -> Vec<Plan> {
    let directions = [Direction::ToServer, Direction::ToClient]
        .into_iter()
        .filter(|direction| signature.direction.is_none_or(|only| only == *direction));
    let of = |protocol: &'static Protocol| {
        let plan = move |direction| plan(signature, protocol, direction);
        directions.clone().filter_map(plan)
    };
    PROTOCOLS
        .iter()
        .copied()
        .filter(|protocol| is_about(signature, protocol))
        .flat_map(of)
        .collect()
}

fn plan(signature: &Signature, protocol: &'static Protocol, direction: Direction) -> Option<Plan> {
    let lead = signature.fast_pattern.map(|pattern| pattern.place);
    let groups = signature.groups.iter().enumerate().filter_map(|(at, group)| {
        let Place::Transaction(slots) = &group.place else {
            return None;
        };
        let slot = slot_of(slots, protocol)?;
        let spec = &protocol.buffers[slot];
        spec.directions.contains(&direction).then_some(Step {
            ask: Ask::Group(at, slot),
            progress: spec.progress,
            bit: 1 << at,
            leads: lead == Some(PatternPlace::Group(at)),
        })
    });
    let conditions = signature
        .transaction
        .iter()
        .enumerate()
        .filter_map(|(at, condition)| {
            let (slot, progress) = condition_at(condition, protocol, direction)?;
            let bit = match condition {
                TxCondition::File(_) => flags::FILES,
                _ => 1 << (CONDITIONS_AT + at).min(58),
            };
            Some(Step {
                ask: Ask::Condition(at, slot),
                progress,
                bit,
                leads: false,
            })
        });
    let mut steps: Vec<Step> = groups.chain(conditions).collect();
    steps.sort_by_key(|step| (!step.leads, step.progress));
    if !steps.is_empty() && !signature.payload.is_empty() {
        let step = Step {
            ask: Ask::Payload,
            progress: 0,
            bit: flags::PAYLOAD,
            leads: lead == Some(PatternPlace::Payload),
        };
        let at = if step.leads { 0 } else { steps.len() };
        steps.insert(at, step);
    }
    (!steps.is_empty()).then(|| Plan {
        protocol,
        direction,
        steps: steps.into(),
    })
}

/// Slot and progress of a condition that is not on a buffer, if it is asked in this direction.
fn condition_at(
    condition: &TxCondition,
    protocol: &'static Protocol,
    direction: Direction,
) -> Option<(usize, u8)> {
    match condition {
        TxCondition::Value {
            slots,
            direction: only,
            ..
        } => {
            let slot = slot_of(slots, protocol)?;
            let spec = &protocol.values[slot];
            let asked = spec.directions.contains(&direction) && only.is_none_or(|only| only == direction);
            asked.then_some((slot, spec.progress))
        }
        TxCondition::OtherHost { slots } => {
            let slot = slot_of(slots, protocol)?;
            let spec = &protocol.values[slot];
            spec.directions
                .contains(&direction)
                .then_some((slot, spec.progress))
        }
        TxCondition::Event { .. } | TxCondition::Interface { .. } => Some((0, 0)),
        TxCondition::File(_) => {
            let spec = protocol
                .buffers
                .iter()
                .find(|buffer| buffer.name == "file.name")?;
            let asked = spec.directions.contains(&direction);
            asked.then_some((0, spec.progress))
        }
    }
}

fn slot_of(slots: &[Slot], protocol: &'static Protocol) -> Option<usize> {
    slots
        .iter()
        .find(|slot| std::ptr::eq(slot.protocol, protocol))
        .map(|slot| slot.slot)
}

/// Whether a rule can match transactions of this protocol.
fn is_about(signature: &Signature, protocol: &'static Protocol) -> bool {
    let named =
        |protocols: &[&'static Protocol]| protocols.iter().any(|known| std::ptr::eq(*known, protocol));
    if !signature.protocols.is_empty() && !named(&signature.protocols) {
        return false;
    }
    let carried = protocol.carriers.iter().any(|carrier| {
        signature.header.protocols.contains(match carrier {
            Carrier::Tcp => 6,
            Carrier::Udp => 17,
        })
    });
    carried
        && signature.groups.iter().all(|group| match &group.place {
            Place::Transaction(slots) => slot_of(slots, protocol).is_some(),
            Place::Packet(_) => true,
        })
        && signature.transaction.iter().all(|condition| match condition {
            TxCondition::Value { slots, .. } | TxCondition::OtherHost { slots } => {
                slot_of(slots, protocol).is_some()
            }
            TxCondition::Event { protocols, .. } | TxCondition::Interface { protocols, .. } => {
                named(protocols)
            }
            TxCondition::File(_) => true,
        })
}
