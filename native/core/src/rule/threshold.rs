//! How often a rule may alert: `threshold` and `detection_filter` of rules, and what `threshold.config` says of them.
//!
//! [`Plan`] is what is to be counted, immutable and shared; [`Thresholds`] are one engine's counts.
//!
//! # Source
//! Suricata 7's guide, "Global-Thresholds" and "Thresholding Keywords".

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use super::address::addresses;
use super::header::AddressSet;
use super::signature::{Action, Signature, Threshold, ThresholdKind, Track};
use crate::packet::Packet;
use crate::time::Timestamp;

/// Counts kept at once; beyond it those that expired are forgotten, and nothing new is counted when none did.
const MAX_COUNTS: usize = 262_144;

/// Seconds between two searches for counts that expired, when there is no room.
const SEARCH_INTERVAL_S: i64 = 1;

/// What is to be done with a match.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Alert.
    Alert,
    /// Alert, but do this instead of what the rule says (`rate_filter`).
    AlertAs(Action),
    /// No alert, but the rule's action holds (suppressed, over a limit).
    Silent,
    /// As if it had not matched.
    Ignore,
}

/// One thing that is asked before a rule alerts.
#[derive(Clone, Debug)]
enum Step {
    /// Never alert.
    Never,
    /// No alert for these addresses.
    Suppress(Side, Arc<AddressSet>),
    /// Count.
    Count(Threshold),
    /// Count, and act in another way when there are too many, for some seconds.
    Rate(Threshold, Action, u32),
}

#[derive(Clone, Copy, Debug)]
enum Side {
    Source,
    Destination,
    Either,
}

/// What is asked of each rule, by its index.
#[derive(Debug, Default)]
pub struct Plan {
    steps: HashMap<u32, Vec<Step>>,
}

impl Plan {
    /// What these rules and a threshold configuration say. Lines that cannot be taken are returned: (line, reason).
    pub fn new(
        signatures: &[Signature],
        config: &str,
        address_vars: &BTreeMap<String, String>,
    ) -> (Plan, Vec<(u32, String)>) {
        let mut plan = Plan::default();
        for signature in signatures {
            let own = signature.threshold.iter().chain(&signature.detection_filter);
            let steps: Vec<Step> = own.map(|threshold| Step::Count(*threshold)).collect();
            if !steps.is_empty() {
                plan.steps.insert(signature.index, steps);
            }
        }
        let mut problems = Vec::new();
        for (number, line) in (1..).zip(config.lines()) {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            match Entry::parse(line, address_vars) {
                Ok(entry) => {
                    if let Err(reason) = plan.add(&entry, signatures) {
                        problems.push((number, reason));
                    }
                }
                Err(reason) => problems.push((number, reason)),
            }
        }
        (plan, problems)
    }

    /// Take a line of the configuration to the rules it names; 0 names all.
    fn add(&mut self, entry: &Entry, signatures: &[Signature]) -> Result<(), String> {
        if entry.sid > 0 && entry.gid == 0 {
            return Err("sig_id needs a gen_id other than 0".into());
        }
        let mut known = false;
        let one = entry.sid > 0;
        for signature in signatures {
            if entry.gid > 0 && signature.gid != entry.gid || one && signature.sid != entry.sid {
                continue;
            }
            known = true;
            let steps = self.steps.entry(signature.index).or_default();
            let own = steps
                .iter()
                .position(|step| matches!(step, Step::Count(_) | Step::Rate(..)));
            match (&entry.step, own) {
                (Step::Never, _) => steps.insert(0, Step::Never),
                // Suppression is asked before anything is counted.
                (Step::Suppress(..), _) => steps.insert(0, entry.step.clone()),
                (_, None) => steps.push(entry.step.clone()),
                // What the configuration says of one rule replaces what the rule says; of many, the rule's own holds.
                (Step::Count(_), Some(at)) if one => steps[at] = entry.step.clone(),
                _ => {}
            }
        }
        if one && !known {
            return Err(format!(
                "there is no rule with sid {}, gid {}",
                entry.sid, entry.gid
            ));
        }
        Ok(())
    }
}

/// A line of `threshold.config`.
#[derive(Debug)]
struct Entry {
    gid: u32,
    sid: u32,
    step: Step,
}

impl Entry {
    fn parse(line: &str, address_vars: &BTreeMap<String, String>) -> Result<Entry, String> {
        let (kind, rest) = line
            .split_once(char::is_whitespace)
            .ok_or("it says threshold, event_filter, rate_filter or suppress, then gen_id")?;
        let mut words: BTreeMap<&str, &str> = BTreeMap::new();
        // An address list has commas of its own: it comes last.
        let (rest, ip) = match rest.find(", ip ").or_else(|| rest.find(",ip ")) {
            Some(at) => (&rest[..at], rest[at + 1..].trim_start().strip_prefix("ip")),
            None => (rest, None),
        };
        for part in rest.split(',') {
            let (key, value) = part
                .trim()
                .split_once(char::is_whitespace)
                .ok_or_else(|| format!("{part:?} has no value"))?;
            words.insert(key, value.trim());
        }
        let word = |key: &str| words.get(key).copied().ok_or_else(|| format!("{key} is missing"));
        let number = |key: &str| {
            let value = word(key)?;
            value
                .parse::<u32>()
                .map_err(|_| format!("{key}: {value:?} is not a number"))
        };
        let step = match kind {
            "threshold" | "event_filter" => Step::Count(Threshold {
                kind: match word("type")? {
                    "limit" => ThresholdKind::Limit,
                    "threshold" => ThresholdKind::Threshold,
                    "both" => ThresholdKind::Both,
                    other => return Err(format!("type {other:?} is not limit, threshold or both")),
                },
                track: track(word("track")?)?,
                count: number("count")?,
                seconds: number("seconds")?,
            }),
            "rate_filter" => {
                let threshold = Threshold {
                    kind: ThresholdKind::DetectionFilter,
                    track: track(word("track")?)?,
                    count: number("count")?,
                    seconds: number("seconds")?,
                };
                let action = match word("new_action")? {
                    "alert" | "log" => Action::Alert,
                    "drop" | "sdrop" => Action::Drop,
                    "pass" => Action::Pass,
                    "reject" => Action::Reject,
                    other => return Err(format!("new_action {other:?} is not known")),
                };
                Step::Rate(threshold, action, number("timeout")?)
            }
            "suppress" => match (words.get("track"), ip) {
                (None, None) => Step::Never,
                (Some(&track), Some(ip)) => {
                    let side = match track {
                        "by_src" => Side::Source,
                        "by_dst" => Side::Destination,
                        "by_either" => Side::Either,
                        other => return Err(format!("track {other:?} is not by_src, by_dst or by_either")),
                    };
                    let set = addresses(&bracketed(ip), address_vars)?;
                    Step::Suppress(side, Arc::new(set))
                }
                _ => return Err("track and ip go together".into()),
            },
            other => {
                return Err(format!(
                    "{other:?} is not threshold, event_filter, rate_filter or suppress"
                ))
            }
        };
        if matches!(&step, Step::Count(threshold) | Step::Rate(threshold, ..) if threshold.count == 0) {
            return Err("count is at least 1".into());
        }
        Ok(Entry {
            gid: number("gen_id")?,
            sid: number("sig_id")?,
            step,
        })
    }
}

/// A list may stand without its brackets here.
fn bracketed(list: &str) -> String {
    let list = list.trim();
    if list.contains(',') && !list.starts_with('[') {
        format!("[{list}]")
    } else {
        list.to_string()
    }
}

fn track(text: &str) -> Result<Track, String> {
    Ok(match text {
        "by_src" => Track::BySrc,
        "by_dst" => Track::ByDst,
        "by_both" => Track::ByBoth,
        "by_rule" => Track::ByRule,
        other => {
            return Err(format!(
                "track {other:?} is not by_src, by_dst, by_both or by_rule"
            ))
        }
    })
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Key {
    Rule,
    Host(IpAddr),
    Pair(IpAddr, IpAddr),
    Flow(u64),
}

impl Key {
    fn new(track: Track, packet: &Packet<'_>, flow_id: u64) -> Key {
        match track {
            Track::BySrc => Key::Host(packet.src),
            Track::ByDst => Key::Host(packet.dst),
            Track::ByBoth => Key::Pair(packet.src.min(packet.dst), packet.src.max(packet.dst)),
            Track::ByRule => Key::Rule,
            Track::ByFlow => Key::Flow(flow_id),
        }
    }
}

#[derive(Debug)]
struct Count {
    since: Timestamp,
    /// How long it is of use.
    seconds: u32,
    matches: u32,
    /// Second at which a rate filter began to act.
    acting_since_s: Option<i64>,
}

/// The counts of one engine, over all its rules.
#[derive(Debug)]
pub struct Thresholds {
    plan: Arc<Plan>,
    counts: HashMap<(u32, Key), Count>,
    searched_s: i64,
    /// Matches that could not be counted.
    pub dropped: u64,
}

impl Thresholds {
    /// Nothing counted yet.
    pub fn new(plan: Arc<Plan>) -> Thresholds {
        Thresholds {
            plan,
            counts: HashMap::new(),
            searched_s: i64::MIN,
            dropped: 0,
        }
    }

    /// What becomes of a match of the rule with this index. `flow_id` is 0 without a flow.
    pub fn verdict(&mut self, index: u32, packet: &Packet<'_>, flow_id: u64) -> Verdict {
        let plan = Arc::clone(&self.plan);
        let mut verdict = Verdict::Alert;
        let Some(steps) = plan.steps.get(&index) else {
            return verdict;
        };
        for step in steps {
            let answer = match step {
                Step::Never => Verdict::Silent,
                _ if packet.ip.version == 0 => Verdict::Alert,
                Step::Suppress(side, set) => {
                    let suppressed = match side {
                        Side::Source => set.contains(packet.src),
                        Side::Destination => set.contains(packet.dst),
                        Side::Either => set.contains(packet.src) || set.contains(packet.dst),
                    };
                    if suppressed {
                        Verdict::Silent
                    } else {
                        Verdict::Alert
                    }
                }
                Step::Count(threshold) => {
                    let key = Key::new(threshold.track, packet, flow_id);
                    self.count(index, key, threshold, packet.ts)
                }
                Step::Rate(threshold, action, timeout_s) => {
                    let key = Key::new(threshold.track, packet, flow_id);
                    if self.rate(index, key, threshold, *timeout_s, packet.ts) {
                        Verdict::AlertAs(*action)
                    } else {
                        Verdict::Alert
                    }
                }
            };
            match answer {
                Verdict::Silent | Verdict::Ignore => return answer,
                Verdict::AlertAs(_) => verdict = answer,
                Verdict::Alert => {}
            }
        }
        verdict
    }

    fn count(&mut self, index: u32, key: Key, threshold: &Threshold, now: Timestamp) -> Verdict {
        let kind = threshold.kind;
        let first = match self.counts.get_mut(&(index, key)) {
            Some(count) if is_within(count, threshold, now) => {
                count.matches = count.matches.saturating_add(1);
                return match kind {
                    ThresholdKind::Limit if count.matches <= threshold.count => Verdict::Alert,
                    ThresholdKind::Limit => Verdict::Silent,
                    ThresholdKind::Threshold if count.matches >= threshold.count => {
                        count.matches = 0;
                        Verdict::Alert
                    }
                    ThresholdKind::Both if count.matches == threshold.count => Verdict::Alert,
                    ThresholdKind::Both if count.matches > threshold.count => Verdict::Silent,
                    ThresholdKind::DetectionFilter if count.matches > threshold.count => Verdict::Alert,
                    _ => Verdict::Ignore,
                };
            }
            Some(count) => {
                (count.since, count.matches) = (now, 1);
                false
            }
            None => true,
        };
        let each = kind == ThresholdKind::Threshold && threshold.count == 1;
        if first && !each {
            self.add((index, key), threshold.seconds, now);
        }
        match kind {
            ThresholdKind::Limit => Verdict::Alert,
            ThresholdKind::Both if threshold.count == 1 => Verdict::Alert,
            ThresholdKind::Threshold if each && first => Verdict::Alert,
            _ => Verdict::Ignore,
        }
    }

    /// Whether there are too many, or were less than `timeout_s` ago.
    fn rate(&mut self, index: u32, key: Key, threshold: &Threshold, timeout_s: u32, now: Timestamp) -> bool {
        let Some(count) = self.counts.get_mut(&(index, key)) else {
            self.add((index, key), threshold.seconds.max(timeout_s), now);
            return false;
        };
        if let Some(since_s) = count.acting_since_s {
            let over = now.seconds() - since_s > i64::from(timeout_s);
            if over {
                count.acting_since_s = None;
            }
            return !over;
        }
        if !is_within(count, threshold, now) {
            (count.since, count.matches) = (now, 1);
            return false;
        }
        count.matches = count.matches.saturating_add(1);
        let reached = count.matches > threshold.count;
        if reached {
            count.acting_since_s = Some(now.seconds());
        }
        reached
    }

    fn add(&mut self, key: (u32, Key), seconds: u32, now: Timestamp) {
        if self.counts.len() >= MAX_COUNTS
            && now.seconds() >= self.searched_s.saturating_add(SEARCH_INTERVAL_S)
        {
            self.searched_s = now.seconds();
            self.counts
                .retain(|_, count| now.seconds_since(count.since) <= i64::from(count.seconds));
        }
        if self.counts.len() >= MAX_COUNTS {
            self.dropped += 1;
            return;
        }
        let count = Count {
            since: now,
            seconds,
            matches: 1,
            acting_since_s: None,
        };
        self.counts.insert(key, count);
    }
}

fn is_within(count: &Count, threshold: &Threshold, now: Timestamp) -> bool {
    let length = i64::from(threshold.seconds) * 1_000_000_000;
    now.0 <= count.since.0.saturating_add(length)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::packet::Frame;
    use crate::rule::context::NoFiles;
    use crate::rule::load::load;

    const SECONDS: [i64; 8] = [0, 1, 2, 3, 10, 11, 12, 13];

    fn thresholds(options: &str, config: &str) -> (Thresholds, Vec<(u32, String)>) {
        let rule = format!("alert ip any any -> any any (msg:\"x\"; {options} sid:7;)");
        let loaded = load(
            &Config::default(),
            &[("test".into(), rule)],
            Box::new(NoFiles),
            ".",
        );
        assert!(loaded.errors.is_empty(), "{:?}", loaded.errors);
        let vars = [("NET".to_string(), "[192.0.2.0/24]".to_string())].into();
        let (plan, problems) = Plan::new(&loaded.signatures, config, &vars);
        (Thresholds::new(Arc::new(plan)), problems)
    }

    /// A letter for each match from 192.0.2.1 to 198.18.0.1 at these seconds.
    fn verdicts(options: &str, config: &str) -> String {
        let (mut thresholds, problems) = thresholds(options, config);
        assert!(problems.is_empty(), "{problems:?}");
        let mut verdict = |second: i64| {
            let frame = Frame {
                ts: Timestamp(second * 1_000_000_000),
                data: &[],
                wire_len: 0,
                linktype: 1,
            };
            let mut packet = Packet::new(&frame, 1);
            packet.ip.version = 4;
            packet.src = "192.0.2.1".parse().unwrap();
            packet.dst = "198.18.0.1".parse().unwrap();
            match thresholds.verdict(0, &packet, 0) {
                Verdict::Alert => 'A',
                Verdict::AlertAs(_) => 'R',
                Verdict::Silent => 's',
                Verdict::Ignore => '.',
            }
        };
        SECONDS.iter().map(|&second| verdict(second)).collect()
    }

    #[test]
    fn each_kind_counts_in_its_own_way() {
        let of = |kind| format!("threshold:type {kind}, track by_src, count 2, seconds 10;");
        assert_eq!(verdicts(&of("limit"), ""), "AAsssAAs");
        assert_eq!(verdicts(&of("threshold"), ""), ".A.A..A.");
        assert_eq!(verdicts(&of("both"), ""), ".Asss.As");
        let filter = "detection_filter:track by_dst, count 2, seconds 10;";
        assert_eq!(verdicts(filter, ""), "..AAA..A");
        assert_eq!(verdicts("", ""), "AAAAAAAA");
    }

    #[test]
    fn the_configuration_suppresses_by_address() {
        for (line, expected) in [
            ("suppress gen_id 1, sig_id 7", "ssssssss"),
            ("suppress gen_id 0, sig_id 0", "ssssssss"),
            (
                "suppress gen_id 1, sig_id 7, track by_src, ip 192.0.2.1",
                "ssssssss",
            ),
            (
                "suppress gen_id 1, sig_id 7, track by_dst, ip 192.0.2.1",
                "AAAAAAAA",
            ),
            (
                "suppress gen_id 1, sig_id 7, track by_either, ip $NET",
                "ssssssss",
            ),
            (
                "suppress gen_id 1, sig_id 0, track by_src, ip [198.18.0.0/15, 192.0.2.9]",
                "AAAAAAAA",
            ),
            ("suppress gen_id 2, sig_id 0", "AAAAAAAA"),
        ] {
            assert_eq!(verdicts("", line), expected, "{line}");
        }
    }

    #[test]
    fn the_configuration_replaces_what_one_rule_says_but_not_what_many_say() {
        let own = "threshold:type limit, track by_src, count 1, seconds 100;";
        let one = "threshold gen_id 1, sig_id 7, type limit, track by_rule, count 3, seconds 100";
        assert_eq!(verdicts(own, one), "AAAsssss");
        let all = "event_filter gen_id 1, sig_id 0, type limit, track by_rule, count 3, seconds 100";
        assert_eq!(verdicts(own, all), "Asssssss");
        assert_eq!(verdicts("", all), "AAAsssss");
    }

    #[test]
    fn a_rate_filter_acts_until_its_timeout() {
        let line =
            "rate_filter gen_id 1, sig_id 7, track by_rule, count 2, seconds 60, new_action drop, timeout 8";
        // Acts from second 2 on; at 11 the timeout is over, and what was counted before still counts.
        assert_eq!(verdicts("", line), "AARRRARR");
    }

    #[test]
    fn lines_that_cannot_be_taken_are_told() {
        let config =
            "# comment\nsuppress gen_id 1, sig_id 8\nnonsense\nthreshold gen_id 1, sig_id 7, type limit\n\
                      suppress gen_id 0, sig_id 7\nsuppress gen_id 1, sig_id 7, track by_src\n\
                      threshold gen_id 1, sig_id 7, type limit, track by_src, count 0, seconds 1";
        let (_, problems) = thresholds("", config);
        let lines: Vec<u32> = problems.iter().map(|problem| problem.0).collect();
        assert_eq!(lines, [2, 3, 4, 5, 6, 7], "{problems:?}");
    }
}
