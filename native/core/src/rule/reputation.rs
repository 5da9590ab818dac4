//! Reputation of addresses: lists of "address or network, category, score", asked by `iprep`.
//!
//! # Source
//! Suricata 7's guide, "IP Reputation Config" and "IP Reputation Format".

use std::collections::HashMap;
use std::net::IpAddr;

use super::state::{ReputationSide, StateTest};
use crate::packet::Packet;

/// Categories are 0 to this.
const MAX_CATEGORY: u8 = 59;
/// Scores are 0 to this.
const MAX_SCORE: u8 = 127;

/// What is known of a category of addresses: (category, score).
type Scores = Vec<(u8, u8)>;

/// Immutable, shared between engines.
#[derive(Debug, Default)]
pub struct Reputation {
    hosts: HashMap<IpAddr, Scores>,
    /// By prefix length, longest first; only lengths that occur.
    networks: Vec<(bool, u8, HashMap<u128, Scores>)>,
}

impl Reputation {
    /// Add a list. Lines that cannot be taken are returned: (line, reason).
    pub fn add(&mut self, text: &str) -> Vec<(u32, String)> {
        let mut problems = Vec::new();
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') || line.starts_with("ip,") {
                continue;
            }
            if let Err(reason) = self.line(line) {
                problems.push((number, reason));
            }
        }
        self.networks
            .sort_by_key(|(is_v6, length, _)| (*is_v6, std::cmp::Reverse(*length)));
        problems
    }

    fn line(&mut self, line: &str) -> Result<(), String> {
        let mut parts = line.split(',').map(str::trim);
        let (Some(place), Some(category), Some(score)) = (parts.next(), parts.next(), parts.next()) else {
            return Err("a line has an address or network, a category and a score".into());
        };
        let number = |text: &str, most: u8, what: &str| match text.parse::<u8>() {
            Ok(number) if number <= most => Ok(number),
            _ => Err(format!("{text:?} is not a {what} from 0 to {most}")),
        };
        let category = number(category, MAX_CATEGORY, "category")?;
        let score = number(score, MAX_SCORE, "score")?;
        let bad = || format!("{place:?} is not an address or network");
        let scores = match place.split_once('/') {
            None => self.hosts.entry(place.parse().map_err(|_| bad())?).or_default(),
            Some((address, length)) => {
                let address: IpAddr = address.parse().map_err(|_| bad())?;
                let most = if address.is_ipv6() { 128 } else { 32 };
                let length = number(length, most, "prefix length")?;
                let key = network(address, length);
                self.table(address.is_ipv6(), length).entry(key).or_default()
            }
        };
        match scores.iter_mut().find(|known| known.0 == category) {
            Some(known) => known.1 = score,
            None => scores.push((category, score)),
        }
        Ok(())
    }

    fn table(&mut self, is_v6: bool, length: u8) -> &mut HashMap<u128, Scores> {
        let known = self
            .networks
            .iter()
            .position(|table| (table.0, table.1) == (is_v6, length));
        let at = known.unwrap_or_else(|| {
            self.networks.push((is_v6, length, HashMap::new()));
            self.networks.len() - 1
        });
        &mut self.networks[at].2
    }

    /// The score of an address in a category: its own, else that of the smallest network it is in; `None` without one.
    pub fn score(&self, address: IpAddr, category: u8) -> Option<u8> {
        let of = |scores: &Scores| {
            let found = scores.iter().find(|known| known.0 == category);
            found.map(|known| known.1)
        };
        if let Some(score) = self.hosts.get(&address).and_then(of) {
            return Some(score);
        }
        let tables = self.networks.iter().filter(|table| table.0 == address.is_ipv6());
        tables
            .filter_map(|(_, length, table)| table.get(&network(address, *length)))
            .find_map(of)
    }

    /// Whether `iprep` holds for a packet; false when it is about something else.
    pub fn holds(&self, test: &StateTest, packet: &Packet<'_>) -> bool {
        let StateTest::Reputation {
            side,
            category,
            test,
            set,
        } = test
        else {
            return false;
        };
        let passes = |address| match (self.score(address, *category), set) {
            (score, Some(wanted)) => score.is_some() == *wanted,
            (Some(score), None) => test.matches(score.into()),
            (None, None) => false,
        };
        match side {
            ReputationSide::Any => passes(packet.src) || passes(packet.dst),
            ReputationSide::Source => passes(packet.src),
            ReputationSide::Destination => passes(packet.dst),
            ReputationSide::Both => passes(packet.src) && passes(packet.dst),
        }
    }

    /// No address has one.
    pub fn is_empty(&self) -> bool {
        self.hosts.is_empty() && self.networks.is_empty()
    }
}

/// The network of an address, as a number.
fn network(address: IpAddr, length: u8) -> u128 {
    let (number, bits) = match address {
        IpAddr::V4(address) => (u128::from(u32::from(address)), 32),
        IpAddr::V6(address) => (u128::from(address), 128),
    };
    let host_bits = 128u32.min(bits).saturating_sub(u32::from(length));
    number.checked_shr(host_bits).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_network_that_has_a_score_answers() {
        let mut reputation = Reputation::default();
        let list = "# list\n192.0.2.1,1,20\n192.0.2.0/24,1,30\n192.0.2.0/24,2,40\n192.0.0.0/16,2,50\n2001:db8::/32,1,60\n\
                    0.0.0.0/0,3,1\n";
        assert!(reputation.add(list).is_empty());
        for (address, category, expected) in [
            ("192.0.2.1", 1, Some(20)),
            ("192.0.2.1", 2, Some(40)),
            ("192.0.2.2", 1, Some(30)),
            ("192.0.3.1", 2, Some(50)),
            ("192.0.3.1", 1, None),
            ("2001:db8::9", 1, Some(60)),
            ("2001:db9::9", 1, None),
            ("203.0.113.1", 3, Some(1)),
        ] {
            let address: IpAddr = address.parse().unwrap();
            assert_eq!(
                reputation.score(address, category),
                expected,
                "{address} {category}"
            );
        }
    }

    #[test]
    fn lines_that_cannot_be_taken_are_told() {
        let problems = Reputation::default()
            .add("192.0.2.1,60,1\n192.0.2.1,1,128\nnowhere,1,1\n1.2.3.4\n1.2.3.4/33,1,1\n");
        assert_eq!(problems.len(), 5);
    }
}
