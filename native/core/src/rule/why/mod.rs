//! Why a rule matches or does not: what came of each look at it, written down for whoever asks.
//!
//! Detection runs as always; at the places where a rule's fate is known it says so here, when somebody asks ([`Trace`] is
//! there). What exactly failed in a chain of conditions is found by running the same machine once more, observed
//! ([`trail`]). A rule whose pattern the prefilter did not find is tried all the same, for the explanation alone.

mod look;
mod trail;
mod words;

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

pub(super) use look::{flow_is_looked_at, matches, packet_fails, transaction_fails};

use super::cause::Cause;
use super::detect::Hit;
use super::set::RuleSet;
use super::signature::{Signature, View};
use super::threshold::Verdict;
use super::FlowScene;
use crate::event::json::Json;
use crate::event::protocol_name;
use crate::event::sink::Records;
use crate::packet::{Direction, Packet};
use crate::time::Timestamp;
use trail::Place;

/// Explanations kept until they are taken; more are counted.
const MAX_ENTRIES: usize = 1 << 20;

/// Transactions whose last word is waited for.
const MAX_OPEN: usize = 1 << 17;

/// Octets shown of what was looked at.
const MAX_EXCERPT: usize = 96;

/// What came of a look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// It matched and alerts.
    Match,
    /// It matched, but a threshold or another rule keeps it from alerting.
    Silent,
    /// It did not.
    No,
}

/// What was found out of one look.
#[derive(Debug, Default)]
struct Finding {
    /// Which part of the rule: `header`, `flow`, `prefilter`, a buffer's name, ...
    stage: String,
    /// The condition, in the rule's words.
    condition: String,
    /// Why it failed.
    reason: String,
    /// What held, and where: (buffer, place).
    places: Vec<(&'static str, Place)>,
    /// The octets that were looked at, cut.
    excerpt: Option<Vec<u8>>,
    /// How far down the chain of conditions it came.
    depth: usize,
}

/// A look at a rule.
#[derive(Debug)]
struct Entry {
    rule: u32,
    packet: u64,
    ts: Timestamp,
    flow: u64,
    transaction: Option<u64>,
    direction: Option<Direction>,
    ends: [(IpAddr, u16); 2],
    has_ip: bool,
    proto: u8,
    app: &'static str,
    outcome: Outcome,
    cause: Cause,
    finding: Finding,
}

/// What a look at a transaction is remembered by: flow, transaction, direction, rule.
type Key = (u64, u64, bool, u32);

/// Stands for "no transaction" in a [`Key`].
const NO_TRANSACTION: u64 = u64::MAX;

/// Rules that somebody asks about, and what was found out.
#[derive(Debug)]
pub(super) struct Trace {
    rules: Vec<u32>,
    entries: Vec<Entry>,
    /// Transactions, until they end: the look that came furthest; `None` after a match.
    open: HashMap<Key, Option<Entry>>,
    /// Flows and rules of which some transaction was looked at.
    seen: HashSet<(u64, u32)>,
    /// Explanations that found no room.
    dropped: u64,
}

impl Trace {
    /// Explain the rules with these sids.
    pub fn new(set: &RuleSet, sids: &[u32]) -> Trace {
        let wanted = set
            .signatures
            .iter()
            .filter(|signature| sids.contains(&signature.sid));
        Trace {
            rules: wanted.map(|signature| signature.index).collect(),
            entries: Vec::new(),
            open: HashMap::new(),
            seen: HashSet::new(),
            dropped: 0,
        }
    }

    /// Add the rules asked about that `is_meant` and are no candidates, and tell which these are.
    pub fn add_untried(
        &self,
        set: &RuleSet,
        candidates: &mut Vec<u32>,
        is_meant: impl Fn(&Signature) -> bool,
    ) -> Vec<u32> {
        let wanted = self.rules.iter().copied();
        let untried: Vec<u32> = wanted
            .filter(|rule| !candidates.contains(rule) && is_meant(&set.signatures[*rule as usize]))
            .collect();
        candidates.extend_from_slice(&untried);
        untried
    }

    fn asks(&self, rule: u32) -> bool {
        self.rules.contains(&rule)
    }

    /// A rule on packets failed before its conditions on octets were asked.
    pub fn packet_fails(&mut self, signature: &Signature, view: &View<'_, '_>, cause: Cause) {
        if self.asks(signature.index) {
            let finding = look::of_packet(signature, view, cause);
            self.push(entry(signature, view, Outcome::No, cause, finding));
        }
    }

    /// A flow is not looked at any more.
    pub fn passed(&mut self, set: &RuleSet, about: &FlowScene<'_>, packet: &Packet<'_>) {
        let reason = if about.detect.passed {
            "a pass or drop rule matched on this flow before"
        } else {
            "inspection of this flow was ended (bypass, or encrypted)"
        };
        let view = View {
            packet,
            flow: Some(about.flow),
            tcp: None,
            app: Some(about.app),
        };
        for rule in self.rules.clone() {
            let finding = Finding {
                stage: "flow".into(),
                reason: reason.into(),
                ..Finding::default()
            };
            let signature = &set.signatures[rule as usize];
            self.push(entry(signature, &view, Outcome::No, Cause::Passed, finding));
        }
    }

    /// What thresholds made of a match.
    pub fn verdict(&mut self, hit: &Hit, verdict: Verdict) {
        let reason = match verdict {
            Verdict::Alert | Verdict::AlertAs(_) => return,
            Verdict::Silent => "suppressed, or over a limit: it acts but does not alert",
            Verdict::Ignore => "a threshold or detection_filter is not reached, or over",
        };
        let mut recent = self.entries.iter_mut().rev().take(self.rules.len() * 8);
        if let Some(entry) =
            recent.find(|entry| entry.rule == hit.rule && entry.transaction == hit.transaction)
        {
            if entry.outcome == Outcome::Match {
                entry.outcome = Outcome::Silent;
                entry.finding.stage = "threshold".into();
                entry.finding.reason = reason.into();
            }
        }
    }

    /// The limit on alerts of a packet, or a rule that passes, kept a match from alerting.
    pub fn silenced(&mut self, hit: &Hit, reason: &str) {
        let mut recent = self.entries.iter_mut().rev().take(self.rules.len() * 8);
        if let Some(entry) =
            recent.find(|entry| entry.rule == hit.rule && entry.transaction == hit.transaction)
        {
            if entry.outcome == Outcome::Match {
                entry.outcome = Outcome::Silent;
                entry.finding.stage = "alert".into();
                entry.finding.reason = reason.into();
            }
        }
    }

    /// Keep a look at a transaction, or at a flow without one, if it came further than those before.
    fn keep(&mut self, key: Key, entry: Entry) {
        if self.open.len() >= MAX_OPEN && !self.open.contains_key(&key) {
            self.dropped += 1;
            return;
        }
        let rank = |entry: &Entry| (entry.cause, entry.finding.depth);
        match self.open.entry(key) {
            std::collections::hash_map::Entry::Vacant(vacant) => {
                vacant.insert(Some(entry));
            }
            std::collections::hash_map::Entry::Occupied(mut known) => match known.get_mut() {
                Some(known) if rank(known) <= rank(&entry) => *known = entry,
                _ => {}
            },
        }
    }

    /// Nothing follows in this direction of a transaction: what is known of it is final.
    pub fn transaction_ends(&mut self, flow: u64, id: u64, direction: Direction) {
        for rule in self.rules.clone() {
            let key = (flow, id, direction == Direction::ToServer, rule);
            if let Some(Some(entry)) = self.open.remove(&key) {
                self.push(entry);
            }
        }
    }

    fn push(&mut self, entry: Entry) {
        if self.entries.len() < MAX_ENTRIES {
            self.entries.push(entry);
        } else {
            self.dropped += 1;
        }
    }

    /// What was found out since this was last asked, a JSON text each; with `all` also of what is still open.
    pub fn take(&mut self, set: &RuleSet, all: bool) -> Records {
        if all {
            let seen = std::mem::take(&mut self.seen);
            let open = std::mem::take(&mut self.open).into_iter();
            let known = open.filter(|(key, _)| key.1 != NO_TRANSACTION || !seen.contains(&(key.0, key.3)));
            self.entries.extend(known.filter_map(|(_, entry)| entry));
        }
        self.entries
            .sort_by_key(|entry| (entry.packet, entry.flow, entry.transaction, entry.rule));
        let mut records = Records::default();
        for entry in self.entries.drain(..) {
            records.record(|out| write(&entry, &set.signatures[entry.rule as usize], out));
        }
        if self.dropped > 0 {
            let dropped = std::mem::take(&mut self.dropped);
            records.record(|out| {
                let mut json = Json::new(out);
                json.open();
                json.num("dropped", dropped);
                json.close_object();
            });
        }
        records
    }
}

fn entry(
    signature: &Signature,
    view: &View<'_, '_>,
    outcome: Outcome,
    cause: Cause,
    finding: Finding,
) -> Entry {
    let packet = view.packet;
    let app = view.app.and_then(|app| app.found.name());
    Entry {
        rule: signature.index,
        packet: packet.number,
        ts: packet.ts,
        flow: view.flow.map_or(0, |flow| flow.id),
        transaction: None,
        direction: packet.direction,
        ends: [(packet.src, packet.sport), (packet.dst, packet.dport)],
        has_ip: packet.ip.version != 0,
        proto: packet.ip.proto,
        app: app.unwrap_or(""),
        outcome,
        cause,
        finding,
    }
}

fn write(entry: &Entry, signature: &Signature, out: &mut Vec<u8>) {
    let mut json = Json::new(out);
    json.open();
    json.num("sid", signature.sid);
    json.num("gid", signature.gid);
    json.num("packet", entry.packet);
    json.display("timestamp", entry.ts);
    if entry.has_ip {
        json.display("src_ip", entry.ends[0].0);
        json.num("src_port", entry.ends[0].1);
        json.display("dest_ip", entry.ends[1].0);
        json.num("dest_port", entry.ends[1].1);
        match protocol_name::name(entry.proto) {
            Some(name) => json.str("proto", name),
            None => json.display("proto", entry.proto),
        }
    }
    if entry.flow != 0 {
        json.num("flow_id", entry.flow);
    }
    if let Some(direction) = entry.direction {
        let text = match direction {
            Direction::ToServer => "to_server",
            Direction::ToClient => "to_client",
        };
        json.str("direction", text);
    }
    if !entry.app.is_empty() {
        json.str("app_proto", entry.app);
    }
    if let Some(id) = entry.transaction {
        json.num("tx_id", id);
    }
    let outcome = match entry.outcome {
        Outcome::Match => "match",
        Outcome::Silent => "silent",
        Outcome::No => "no",
    };
    json.str("outcome", outcome);
    let finding = &entry.finding;
    for (key, value) in [
        ("stage", &finding.stage),
        ("condition", &finding.condition),
        ("reason", &finding.reason),
    ] {
        if !value.is_empty() {
            json.str(key, value);
        }
    }
    if let Some(excerpt) = &finding.excerpt {
        json.str("octets", words::pattern(excerpt));
    }
    if !finding.places.is_empty() {
        json.open_array("held");
        for (buffer, place) in &finding.places {
            json.open();
            json.str("buffer", buffer);
            json.str("condition", &place.condition);
            if let Some(start) = place.start {
                json.num("start", start as u64);
            }
            json.num("end", place.end as u64);
            json.close_object();
        }
        json.close_array();
    }
    json.close_object();
}
