//! Rules grouped for running: immutable, shared between engines.
//!
//! A packet meets the rules of its protocol and direction only, and of these only those whose fast pattern it holds, or
//! that have none. Patterns are looked for in one pass over each inspected buffer.

use std::collections::HashMap;
use std::sync::Arc;

use super::chain::Condition;
use super::context::{Context, Dataset};
use super::load::{Loaded, Notice};
use super::matcher::{Matcher, Needle};
use super::reputation::Reputation;
use super::signature::{Action, Kind, PatternPlace, Signature};
use super::state::{BitChange, Effect, Memory, Names, StateTest};
use super::steps::Ask;
use super::threshold::Plan;
use super::transform::Transform;
use crate::app::{Protocol, PROTOCOLS};
use crate::packet::Direction;

/// Rules found by patterns in one kind of buffer, and those without a pattern.
#[derive(Debug, Default)]
pub struct Group {
    matcher: Option<Matcher>,
    /// Rules by needle.
    rules: Vec<Vec<u32>>,
    /// Rules without a pattern.
    pub always: Vec<u32>,
}

impl Group {
    /// The matcher, if there is a pattern to look for.
    pub fn matcher(&self) -> Option<&Matcher> {
        self.matcher.as_ref()
    }

    /// The rules whose fast pattern is needle `needle`.
    pub fn rules_of(&self, needle: u32) -> &[u32] {
        self.rules.get(needle as usize).map_or(&[], Vec::as_slice)
    }
}

/// Collects the patterns of a [`Group`].
#[derive(Debug, Default)]
struct GroupBuilder {
    needles: HashMap<(Box<[u8]>, bool), Vec<u32>>,
    always: Vec<u32>,
}

impl GroupBuilder {
    fn add(&mut self, rule: u32, pattern: Option<(&[u8], bool)>) {
        match pattern {
            Some((octets, nocase)) => self
                .needles
                .entry((octets.into(), nocase))
                .or_default()
                .push(rule),
            None => self.always.push(rule),
        }
    }

    fn build(self) -> Group {
        let mut needles: Vec<_> = self.needles.into_iter().collect();
        // The same set gives the same matcher, whatever the hash map's order.
        needles.sort_unstable();
        let wanted: Vec<Needle<'_>> = needles
            .iter()
            .map(|((octets, nocase), _)| Needle {
                octets,
                nocase: *nocase,
            })
            .collect();
        let matcher = (!wanted.is_empty()).then(|| Matcher::new(&wanted));
        Group {
            matcher,
            rules: needles.into_iter().map(|(_, rules)| rules).collect(),
            always: self.always,
        }
    }
}

/// What of a packet rules are grouped by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// ICMP and ICMPv6.
    Icmp,
    /// Anything else.
    Other,
}

/// How many classes there are.
pub const CLASSES: usize = 4;

impl Class {
    /// The class of an IP protocol.
    pub fn of(proto: u8) -> Class {
        match proto {
            6 => Class::Tcp,
            17 => Class::Udp,
            1 | 58 => Class::Icmp,
            _ => Class::Other,
        }
    }
}

/// Rules on transactions of one protocol in one direction.
#[derive(Debug, Default)]
pub struct Transactions {
    /// By slot of the protocol's buffers: rules whose fast pattern is there.
    pub buffers: Vec<Option<Group>>,
    /// Rules that are tried on every transaction.
    pub always: Vec<u32>,
}

/// All rules, grouped. Immutable.
#[derive(Debug)]
pub struct RuleSet {
    /// In the order they are run; a rule's index is its place here.
    pub signatures: Vec<Signature>,
    /// By class and direction: rules on packets.
    pub(super) packets: Vec<[Group; 2]>,
    /// By direction: TCP rules on the stream.
    pub(super) streams: [Group; 2],
    /// By direction: whether any rule looks at the stream.
    pub(super) streams_wanted: [bool; 2],
    /// By index in [`PROTOCOLS`] and direction.
    pub(super) transactions: Vec<[Transactions; 2]>,
    /// Rules on addresses alone.
    pub(super) addresses: Vec<u32>,
    /// Rules on a found protocol alone.
    pub(super) protocols: Vec<u32>,
    /// Rules on packet events alone.
    pub(super) events: Vec<u32>,
    /// Names of bits and variables.
    pub names: Names,
    /// Datasets as they were loaded.
    pub datasets: Vec<Dataset>,
    /// How often rules may alert.
    pub plan: Arc<Plan>,
    /// Reputation of addresses.
    pub reputation: Arc<Reputation>,
    /// Rules that were not loaded.
    pub errors: Vec<Notice>,
    /// Rules left out, files not read.
    pub warnings: Vec<Notice>,
}

/// What the rules and the threshold configuration say; problems of the latter are warnings.
fn plan(context: &Context, signatures: &[Signature], warnings: &mut Vec<Notice>) -> Plan {
    let path = &context.config.detect.threshold_file;
    let text = match path.is_empty() {
        true => Ok(String::new()),
        false => context.text(path),
    };
    let text = text.unwrap_or_else(|reason| {
        warnings.push(Notice::of_file(path, 0, reason));
        String::new()
    });
    let (plan, problems) = Plan::new(signatures, &text, &context.address_vars);
    let notices = problems
        .into_iter()
        .map(|(line, reason)| Notice::of_file(path, line, reason));
    warnings.extend(notices);
    plan
}

/// The reputation lists; problems of them are warnings.
fn reputation(context: &Context, warnings: &mut Vec<Notice>) -> Reputation {
    let mut reputation = Reputation::default();
    let detect = &context.config.detect;
    for file in &detect.reputation_files {
        let path = match detect.reputation_path.trim_end_matches('/') {
            "" => file.clone(),
            _ if file.starts_with('/') => file.clone(),
            directory => format!("{directory}/{file}"),
        };
        match context.text(&path) {
            Ok(text) => {
                let problems = reputation.add(&text).into_iter();
                warnings.extend(problems.map(|(line, reason)| Notice::of_file(&path, line, reason)));
            }
            Err(reason) => warnings.push(Notice::of_file(&path, 0, reason)),
        }
    }
    reputation
}

/// Order of actions: what passes comes first.
fn action_order(action: Action) -> u8 {
    match action {
        Action::Pass => 0,
        Action::Drop => 1,
        Action::Reject | Action::RejectDst | Action::RejectBoth => 2,
        Action::Alert => 3,
        Action::Config => 4,
    }
}

/// Rules that set bits come before those that both set and ask, before those that ask.
fn bit_order(signature: &Signature, memory: fn(Memory) -> bool) -> u8 {
    let sets = signature.effects.iter().any(|effect| {
        matches!(effect, Effect::Bit { memory: of, change: BitChange::Set | BitChange::Toggle | BitChange::Unset, .. } if memory(*of))
    });
    let asks = signature
        .state
        .iter()
        .any(|test| matches!(test, StateTest::Bits { memory: of, .. } if memory(*of)));
    match (sets, asks) {
        (true, false) => 0,
        (true, true) => 1,
        (false, true) => 2,
        (false, false) => 3,
    }
}

fn integer_order(signature: &Signature) -> u8 {
    let sets = signature
        .effects
        .iter()
        .any(|effect| matches!(effect, Effect::Integer { .. }));
    let asks = signature
        .state
        .iter()
        .any(|test| matches!(test, StateTest::Integer { .. } | StateTest::IntegerSet { .. }));
    match (sets, asks) {
        (true, false) => 0,
        (true, true) => 1,
        (false, true) => 2,
        (false, false) => 3,
    }
}

/// Rules that capture variables come before those that ask for them.
fn variable_order(signature: &Signature) -> u8 {
    let asks = |test: &StateTest| {
        matches!(
            test,
            StateTest::Variable { .. } | StateTest::PacketVariable { .. }
        )
    };
    match (signature.captures, signature.state.iter().any(asks)) {
        (true, false) => 0,
        (true, true) => 1,
        (false, true) => 2,
        (false, false) => 3,
    }
}

impl RuleSet {
    /// Group what was loaded.
    pub fn new(loaded: Loaded) -> RuleSet {
        let Loaded {
            mut signatures,
            errors,
            mut warnings,
            context,
        } = loaded;
        signatures.sort_by_key(|signature| {
            (
                action_order(signature.action),
                bit_order(signature, |memory| memory == Memory::Flow),
                integer_order(signature),
                variable_order(signature),
                bit_order(signature, |memory| memory != Memory::Flow),
                signature.priority,
            )
        });
        for (index, signature) in (0..).zip(&mut signatures) {
            signature.index = index;
        }
        let plan = plan(&context, &signatures, &mut warnings);
        let reputation = reputation(&context, &mut warnings);
        let mut set = RuleSet {
            plan: Arc::new(plan),
            reputation: Arc::new(reputation),
            packets: Vec::new(),
            streams: Default::default(),
            streams_wanted: [false; 2],
            transactions: Vec::new(),
            addresses: Vec::new(),
            protocols: Vec::new(),
            events: Vec::new(),
            names: context.names,
            datasets: context.datasets,
            errors,
            warnings,
            signatures,
        };
        set.group();
        set
    }

    /// How many rules there are; a bidirectional one counts once.
    pub fn loaded(&self) -> usize {
        let mut sids: Vec<_> = self
            .signatures
            .iter()
            .map(|signature| (signature.gid, signature.sid))
            .collect();
        sids.sort_unstable();
        sids.dedup();
        sids.len()
    }

    fn group(&mut self) {
        let mut packets: Vec<[GroupBuilder; 2]> = (0..CLASSES).map(|_| Default::default()).collect();
        let mut streams: [GroupBuilder; 2] = Default::default();
        let mut transactions = TransactionBuilder::new();
        for signature in &self.signatures {
            let rule = signature.index;
            if !signature.payload.is_empty() && signature.payload_on.stream {
                directions(signature).for_each(|at| self.streams_wanted[at] = true);
            }
            match signature.kind {
                Kind::IpOnly => self.addresses.push(rule),
                Kind::ProtocolOnly => self.protocols.push(rule),
                Kind::EventOnly => self.events.push(rule),
                Kind::Transaction => {
                    transactions.add(signature);
                    if carried(signature) {
                        on_packets(signature, &mut packets, &mut streams);
                    }
                }
                _ => on_packets(signature, &mut packets, &mut streams),
            }
        }
        self.packets = packets
            .into_iter()
            .map(|pair| pair.map(GroupBuilder::build))
            .collect();
        self.streams = streams.map(GroupBuilder::build);
        self.transactions = transactions.build();
    }

    /// The groups of a protocol's transactions in a direction.
    pub(super) fn transactions_of(&self, protocol: &Protocol, direction: Direction) -> Option<&Transactions> {
        let at = PROTOCOLS
            .iter()
            .position(|known| std::ptr::eq(*known, protocol))?;
        self.transactions.get(at).map(|pair| &pair[direction.index()])
    }
}

/// The octets of a rule's fast pattern, and whether case matters not.
fn pattern(signature: &Signature) -> Option<(&[u8], bool)> {
    let fast = signature.fast_pattern.filter(|fast| !fast.negated)?;
    let chain = match fast.place {
        PatternPlace::Payload => &signature.payload,
        PatternPlace::Group(at) => &signature.groups.get(at)?.chain,
    };
    let Some(Condition::Content(content)) = chain.conditions.get(fast.condition) else {
        return None;
    };
    let octets = match fast.chop {
        Some((offset, length)) => content
            .pattern
            .get(usize::from(offset)..usize::from(offset) + usize::from(length))?,
        None => &content.pattern,
    };
    // Long needles cost memory and find nothing more than their first octets do.
    Some((&octets[..octets.len().min(64)], content.nocase))
}

/// The pattern to look for in a buffer before its transforms; `None` when what is looked for is made by them.
fn buffer_pattern(signature: &Signature) -> Option<(&[u8], bool)> {
    let fast = signature.fast_pattern?;
    let PatternPlace::Group(at) = fast.place else {
        return None;
    };
    let (octets, nocase) = pattern(signature)?;
    match signature.groups.get(at)?.transforms[..] {
        [] => Some((octets, nocase)),
        // The dot that is put before the buffer is not in it; what follows the dot is.
        [Transform::DotPrefix] => match octets.strip_prefix(b".") {
            Some([]) => None,
            Some(rest) => Some((rest, nocase)),
            None => Some((octets, nocase)),
        },
        _ => None,
    }
}

fn directions(signature: &Signature) -> impl Iterator<Item = usize> + '_ {
    (0..2).filter(|&at| {
        signature
            .direction
            .is_none_or(|direction| direction.index() == at)
    })
}

fn on_packets(signature: &Signature, packets: &mut [[GroupBuilder; 2]], streams: &mut [GroupBuilder; 2]) {
    let found = match signature.fast_pattern {
        Some(fast) if fast.place == PatternPlace::Payload && signature.prefilter_keyword.is_none() => {
            pattern(signature)
        }
        _ => None,
    };
    let protocols = &signature.header.protocols;
    let on = signature.payload_on;
    for direction in directions(signature) {
        for (class, protos) in [&[6][..], &[17], &[1, 58], &[]].into_iter().enumerate() {
            let wanted = match protos {
                [] => {
                    let known = [6u8, 17, 1, 58].iter().map(|proto| 1u64 << proto).sum::<u64>();
                    protocols.any || protocols.bits[0] & !known != 0 || protocols.bits[1..] != [0; 3]
                }
                protos => protos.iter().any(|proto| protocols.contains(*proto)),
            };
            if !wanted {
                continue;
            }
            let streams_only = class == Class::Tcp as usize && on.stream && !on.packet;
            if !streams_only {
                packets[class][direction].add(signature.index, found);
            }
            if class == Class::Tcp as usize && on.stream {
                streams[direction].add(signature.index, found);
            }
        }
    }
}

/// Rules on one protocol's transactions in one direction: by slot, and those always tried.
#[derive(Default)]
struct Pending {
    slots: Vec<Option<GroupBuilder>>,
    always: Vec<u32>,
}

struct TransactionBuilder {
    /// By protocol and direction.
    groups: Vec<[Pending; 2]>,
}

impl TransactionBuilder {
    fn new() -> TransactionBuilder {
        let empty = |protocol: &&'static Protocol| {
            let pending = || Pending {
                slots: protocol.buffers.iter().map(|_| None).collect(),
                always: Vec::new(),
            };
            [pending(), pending()]
        };
        TransactionBuilder {
            groups: PROTOCOLS.iter().map(empty).collect(),
        }
    }

    fn add(&mut self, signature: &Signature) {
        let lead = signature
            .fast_pattern
            .filter(|fast| !fast.negated && signature.prefilter_keyword.is_none());
        if carried(signature) {
            return;
        }
        for plan in &signature.plans {
            let Some(at) = PROTOCOLS
                .iter()
                .position(|known| std::ptr::eq(*known, plan.protocol))
            else {
                continue;
            };
            let Pending { slots, always } = &mut self.groups[at][plan.direction.index()];
            let slot = plan.steps.iter().find_map(|step| match step.ask {
                Ask::Group(_, slot) if step.leads => Some(slot),
                _ => None,
            });
            match (lead, slot) {
                (Some(_), Some(slot)) => slots[slot]
                    .get_or_insert_with(GroupBuilder::default)
                    .add(signature.index, buffer_pattern(signature)),
                // A pattern in a buffer that this direction does not have: the rule cannot match here.
                (Some(_), None) => {}
                (None, _) => always.push(signature.index),
            }
        }
    }

    fn build(self) -> Vec<[Transactions; 2]> {
        self.groups
            .into_iter()
            .map(|pair| {
                pair.map(|Pending { slots, always }| Transactions {
                    buffers: slots
                        .into_iter()
                        .map(|slot| slot.map(GroupBuilder::build))
                        .collect(),
                    always,
                })
            })
            .collect()
    }
}

/// Whether a rule on transactions is found by a pattern in the payload.
fn carried(signature: &Signature) -> bool {
    signature.prefilter_keyword.is_none()
        && signature
            .fast_pattern
            .is_some_and(|fast| fast.place == PatternPlace::Payload && !fast.negated)
}

/// A set that many engines share.
pub type SharedRules = Arc<RuleSet>;
