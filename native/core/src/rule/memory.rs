//! What rules remember: bits and numbers of flows, bits of hosts and pairs of hosts for a time.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use smallvec::SmallVec;

use super::signature::View;
use super::state::{
    BitChange, Effect, IntegerChange, IntegerCompare, IntegerValue, Memory, Names, StateTest,
};
use crate::event::json::Json;

/// Bits and numbers a flow can have.
const MAX_OF_FLOW: usize = 128;

/// Host and pair bits kept at once.
const MAX_OF_HOSTS: usize = 1 << 18;

/// What the rule layer remembers of a flow.
#[derive(Debug, Default)]
pub struct FlowDetect {
    /// Which rule set the rest belongs to: names are numbered by set.
    pub(super) generation: u32,
    /// Flow bits that are set.
    pub(super) bits: SmallVec<[u32; 4]>,
    /// Flow numbers.
    pub(super) integers: SmallVec<[(u32, u32); 2]>,
    /// Captures kept with the flow.
    pub(super) variables: Variables,
    /// Address-only rules were run, by direction.
    pub(super) addresses_done: [bool; 2],
    /// Bits or numbers were changed since they were last shown.
    pub(super) changed: bool,
    /// A pass rule let the flow pass, or it was dropped: it is not looked at.
    pub(super) passed: bool,
}

impl FlowDetect {
    /// Forget what was remembered for another rule set, but not that rules on addresses and protocols alone were run: a
    /// reload does not alert on every flow again.
    pub(super) fn belong_to(&mut self, generation: u32) {
        if self.generation != generation {
            *self = FlowDetect {
                generation,
                passed: self.passed,
                addresses_done: self.addresses_done,
                ..FlowDetect::default()
            };
        }
    }
}

impl FlowDetect {
    /// Bits, numbers and variables by name, with those of the packet, as the JSON object records show as `metadata`;
    /// nothing where there are none.
    pub(super) fn show(&self, names: &Names, of_packet: &Variables, out: &mut Vec<u8>) {
        out.clear();
        let variables = self.variables.len() + of_packet.len();
        if self.bits.is_empty() && self.integers.is_empty() && variables == 0 {
            return;
        }
        let mut json = Json::new(out);
        json.open();
        show_variables(&mut json, "pktvars", names, of_packet);
        if !self.bits.is_empty() {
            json.open_array("flowbits");
            for (_, name) in self.bits.iter().filter_map(|bit| names.name(*bit)) {
                json.str_element(name);
            }
            json.close_array();
        }
        if !self.integers.is_empty() {
            json.open_object("flowints");
            for (number, value) in &self.integers {
                if let Some((_, name)) = names.name(*number) {
                    json.num_named(name, *value);
                }
            }
            json.close_object();
        }
        show_variables(&mut json, "flowvars", names, &self.variables);
        json.close_object();
    }
}

/// Variables, each in an object of its own.
fn show_variables(json: &mut Json<'_>, key: &str, names: &Names, variables: &Variables) {
    if variables.is_empty() {
        return;
    }
    json.open_array(key);
    for (number, octets) in variables {
        if let Some((_, name)) = names.name(*number) {
            json.open();
            json.str_named(name, octets);
            json.close_object();
        }
    }
    json.close_array();
}

/// Whose bit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Owner {
    Host(IpAddr),
    Pair(IpAddr, IpAddr),
}

/// Bits of hosts and pairs, until they expire. Bounded; over the bound none is added, which is counted.
#[derive(Debug, Default)]
pub struct Hosts {
    bits: HashMap<(Owner, u32), i64>,
    /// Bits that found no room.
    pub dropped: u64,
}

fn owner(memory: Memory, view: &View<'_, '_>) -> Option<Owner> {
    let (src, dst) = (view.packet.src, view.packet.dst);
    Some(match memory {
        Memory::Flow => return None,
        Memory::Source => Owner::Host(src),
        Memory::Destination => Owner::Host(dst),
        Memory::Pair => Owner::Pair(src.min(dst), src.max(dst)),
    })
}

impl Hosts {
    /// Whether a bit is set; asking forgets one that expired.
    fn is_set(&mut self, owner: Owner, name: u32, now_s: i64) -> bool {
        match self.bits.get(&(owner, name)) {
            Some(until) if *until >= now_s => true,
            Some(_) => {
                self.bits.remove(&(owner, name));
                false
            }
            None => false,
        }
    }

    /// What Suricata does: a bit that is there keeps its time when it is set again, and one that expired is there until
    /// a rule asks for it.
    fn change(&mut self, owner: Owner, name: u32, change: BitChange, expire_s: u32, now_s: i64) {
        let is_there = self.bits.contains_key(&(owner, name));
        match (change, is_there) {
            (BitChange::Unset, _) | (BitChange::Toggle, true) => {
                self.bits.remove(&(owner, name));
            }
            (BitChange::Set, true) => {}
            (BitChange::Set | BitChange::Toggle, false) => {
                if self.bits.len() >= MAX_OF_HOSTS {
                    self.bits.retain(|_, until| *until >= now_s);
                    if self.bits.len() >= MAX_OF_HOSTS {
                        self.dropped += 1;
                        return;
                    }
                }
                self.bits.insert((owner, name), now_s + i64::from(expire_s));
            }
        }
    }
}

/// Whether a condition on what is remembered holds; `None` for those that others answer (reputation).
pub fn holds(
    test: &StateTest,
    view: &View<'_, '_>,
    flow: Option<&FlowDetect>,
    hosts: &mut Hosts,
) -> Option<bool> {
    let now_s = view.packet.ts.seconds();
    Some(match test {
        StateTest::Bits {
            memory: Memory::Flow,
            names,
            wanted,
            ..
        } => match flow {
            // Of several that must not be set, one that is not is enough.
            Some(flow) => names.iter().any(|name| flow.bits.contains(name) == *wanted),
            None => false,
        },
        StateTest::Bits {
            memory,
            names,
            wanted,
            ..
        } => match owner(*memory, view) {
            Some(owner) => names.iter().any(|name| hosts.is_set(owner, *name, now_s)) == *wanted,
            None => !wanted,
        },
        StateTest::IntegerSet { name, wanted } => {
            flow.is_some_and(|flow| integer(flow, *name).is_some()) == *wanted && flow.is_some()
        }
        StateTest::Integer { name, compare, value } => {
            let Some(flow) = flow else { return Some(false) };
            let (Some(have), Some(with)) = (integer(flow, *name), value_of(flow, *value)) else {
                return Some(false);
            };
            match compare {
                IntegerCompare::Less => have < with,
                IntegerCompare::LessOrEqual => have <= with,
                IntegerCompare::Equal => have == with,
                IntegerCompare::NotEqual => have != with,
                IntegerCompare::GreaterOrEqual => have >= with,
                IntegerCompare::Greater => have > with,
            }
        }
        StateTest::Variable { name, content } => {
            flow.is_some_and(|flow| variable_contains(&flow.variables, *name, content))
        }
        StateTest::PacketVariable { .. } | StateTest::Reputation { .. } => return None,
    })
}

/// Variables by number of their names.
pub type Variables = Vec<(u32, Arc<[u8]>)>;

/// Whether a variable is set and contains `content`.
pub fn variable_contains(variables: &Variables, name: u32, content: &[u8]) -> bool {
    let is = |(known, octets): &(u32, Arc<[u8]>)| {
        *known == name && memchr::memmem::find(octets, content).is_some()
    };
    variables.iter().any(is)
}

/// Set a variable; what is over the bound is not kept.
pub fn set_variable(variables: &mut Variables, name: u32, octets: Arc<[u8]>) {
    match variables.iter().position(|(known, _)| *known == name) {
        Some(at) => variables[at].1 = octets,
        None if variables.len() < MAX_OF_FLOW => variables.push((name, octets)),
        None => {}
    }
}

fn integer(flow: &FlowDetect, name: u32) -> Option<u32> {
    flow.integers
        .iter()
        .find(|(known, _)| *known == name)
        .map(|(_, value)| *value)
}

fn value_of(flow: &FlowDetect, value: IntegerValue) -> Option<u32> {
    match value {
        IntegerValue::Number(number) => Some(number),
        IntegerValue::Name(name) => integer(flow, name),
    }
}

/// Do what a match leaves behind in memory; other effects are not looked at.
pub fn apply(effect: &Effect, view: &View<'_, '_>, flow: Option<&mut FlowDetect>, hosts: &mut Hosts) {
    match (effect, flow) {
        (
            Effect::Bit {
                memory: Memory::Flow,
                name,
                change,
                ..
            },
            Some(flow),
        ) => {
            flow.changed = true;
            let at = flow.bits.iter().position(|bit| bit == name);
            match (change, at) {
                (BitChange::Set | BitChange::Toggle, None) if flow.bits.len() < MAX_OF_FLOW => {
                    flow.bits.push(*name)
                }
                (BitChange::Unset | BitChange::Toggle, Some(at)) => {
                    flow.bits.remove(at);
                }
                _ => {}
            }
        }
        (
            Effect::Bit {
                memory,
                name,
                change,
                expire_s,
            },
            _,
        ) => {
            if let Some(owner) = owner(*memory, view) {
                hosts.change(owner, *name, *change, *expire_s, view.packet.ts.seconds());
            }
        }
        (Effect::Integer { name, change, value }, Some(flow)) => {
            // A number never set counts from 0; another flowint that was never set changes nothing.
            let Some(by) = value_of(flow, *value) else { return };
            let have = integer(flow, *name);
            let new = match change {
                IntegerChange::Set => by,
                IntegerChange::Add => have.unwrap_or(0).wrapping_add(by),
                IntegerChange::Subtract => match have {
                    Some(have) => have.wrapping_sub(by),
                    None => return,
                },
            };
            flow.changed = true;
            let at = flow.integers.iter().position(|(known, _)| known == name);
            match at {
                Some(at) => flow.integers[at].1 = new,
                None if flow.integers.len() < MAX_OF_FLOW => flow.integers.push((*name, new)),
                None => {}
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> Owner {
        Owner::Pair(IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2]))
    }

    #[test]
    fn a_bit_set_again_keeps_its_time_until_a_rule_found_it_expired() {
        let mut hosts = Hosts::default();
        let set = |hosts: &mut Hosts, now_s| hosts.change(pair(), 1, BitChange::Set, 60, now_s);
        set(&mut hosts, 0);
        set(&mut hosts, 50);
        assert!(hosts.is_set(pair(), 1, 60));
        set(&mut hosts, 100);
        assert!(!hosts.is_set(pair(), 1, 100));
        set(&mut hosts, 100);
        assert!(hosts.is_set(pair(), 1, 160));
    }

    #[test]
    fn toggling_a_bit_takes_it_away_even_when_it_expired() {
        let mut hosts = Hosts::default();
        hosts.change(pair(), 1, BitChange::Toggle, 60, 0);
        assert!(hosts.is_set(pair(), 1, 1));
        hosts.change(pair(), 1, BitChange::Toggle, 60, 100);
        assert!(!hosts.is_set(pair(), 1, 100));
        hosts.change(pair(), 1, BitChange::Toggle, 60, 100);
        assert!(hosts.is_set(pair(), 1, 100));
    }
}
