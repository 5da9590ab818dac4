//! Datasets while an engine runs: what was loaded, and what rules added or took away.

use std::collections::HashMap;

use super::chain::{DatasetAccess, DatasetOperation, DatasetTest};
use super::context::{Dataset, DatasetKind};

/// Octets a set may take when nothing else is said (Suricata's `datasets.defaults.memcap`).
const DEFAULT_MEMCAP: u64 = 100 << 20;

/// Octets an entry takes besides its value, roughly.
const ENTRY_OCTETS: u64 = 64;

/// The sets of one engine.
#[derive(Debug, Default)]
pub struct DatasetStore {
    sets: Vec<Set>,
    /// Values that were not added because a set was full.
    pub dropped: u64,
}

#[derive(Debug)]
struct Set {
    kind: DatasetKind,
    values: HashMap<Box<[u8]>, Option<u16>>,
    room: u64,
}

impl DatasetStore {
    /// The sets as they were loaded, by index.
    pub fn new(definitions: &[Dataset]) -> DatasetStore {
        let sets = definitions
            .iter()
            .map(|definition| {
                let values: HashMap<Box<[u8]>, Option<u16>> = definition.initial.iter().cloned().collect();
                let memcap = match definition.memcap {
                    0 => DEFAULT_MEMCAP,
                    memcap => memcap,
                };
                let used = values.keys().map(|value| cost(value)).sum();
                Set {
                    kind: definition.kind,
                    values,
                    room: memcap.saturating_sub(used),
                }
            })
            .collect();
        DatasetStore { sets, dropped: 0 }
    }

    /// The values of a set, in no particular order: what is saved.
    pub fn values(&self, dataset: u32) -> impl Iterator<Item = (&[u8], Option<u16>)> {
        let set = self.sets.get(dataset as usize);
        set.into_iter().flat_map(|set| {
            set.values
                .iter()
                .map(|(value, reputation)| (&**value, *reputation))
        })
    }
}

impl DatasetAccess for DatasetStore {
    fn dataset(&mut self, test: DatasetTest, value: &[u8]) -> bool {
        let Some(set) = self.sets.get_mut(test.dataset as usize) else {
            return false;
        };
        if value.is_empty() {
            return false;
        }
        // A value that cannot be in the set is not: nothing to add, nothing to take away.
        let Some(value) = Value::of(set.kind, value) else {
            return test.operation == DatasetOperation::IsNotSet;
        };
        let value = value.octets();
        match test.operation {
            DatasetOperation::IsSet => set.values.contains_key(value),
            DatasetOperation::IsNotSet => !set.values.contains_key(value),
            DatasetOperation::Unset => {
                let gone = set.values.remove(value).is_some();
                if gone {
                    set.room = set.room.saturating_add(cost(value));
                }
                gone
            }
            DatasetOperation::Set if set.values.contains_key(value) => false,
            DatasetOperation::Set => match set.room.checked_sub(cost(value)) {
                Some(room) => {
                    set.room = room;
                    set.values.insert(value.into(), None);
                    true
                }
                None => {
                    self.dropped += 1;
                    false
                }
            },
        }
    }

    fn datarep(&mut self, dataset: u32, value: &[u8]) -> Option<u16> {
        let set = self.sets.get(dataset as usize)?;
        *set.values.get(Value::of(set.kind, value)?.octets())?
    }
}

fn cost(value: &[u8]) -> u64 {
    ENTRY_OCTETS + value.len() as u64
}

/// A value as its set has it: addresses are all IPv6 in a set of both.
enum Value<'v> {
    Given(&'v [u8]),
    Mapped([u8; 16]),
}

impl<'v> Value<'v> {
    /// `None` when it is not of the kind.
    fn of(kind: DatasetKind, value: &'v [u8]) -> Option<Value<'v>> {
        let length = match (kind, value) {
            (DatasetKind::Ip, &[a, b, c, d]) => {
                let mapped = std::net::Ipv4Addr::new(a, b, c, d).to_ipv6_mapped();
                return Some(Value::Mapped(mapped.octets()));
            }
            (DatasetKind::String, value) => value.len(),
            (DatasetKind::Md5 | DatasetKind::Ip, _) => 16,
            (DatasetKind::Sha256, _) => 32,
            (DatasetKind::Ipv4, _) => 4,
        };
        (value.len() == length).then_some(Value::Given(value))
    }

    fn octets(&self) -> &[u8] {
        match self {
            Value::Given(octets) => octets,
            Value::Mapped(octets) => octets,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store(kind: DatasetKind, initial: &[(&[u8], Option<u16>)], memcap: u64) -> DatasetStore {
        let definition = Dataset {
            name: "seen".into(),
            kind,
            initial: initial
                .iter()
                .map(|(value, reputation)| ((*value).into(), *reputation))
                .collect(),
            save: "".into(),
            memcap,
            hash_size: 0,
        };
        DatasetStore::new(&[definition])
    }

    fn ask(store: &mut DatasetStore, operation: DatasetOperation, value: &[u8]) -> bool {
        store.dataset(
            DatasetTest {
                dataset: 0,
                operation,
            },
            value,
        )
    }

    #[test]
    fn a_value_is_set_once_and_can_be_taken_away() {
        use DatasetOperation::{IsNotSet, IsSet, Set, Unset};
        let mut sets = store(DatasetKind::String, &[(b"a", None)], 0);
        for (operation, value, holds) in [
            (IsSet, &b"a"[..], true),
            (IsSet, b"b", false),
            (Set, b"b", true),
            (Set, b"b", false),
            (IsSet, b"b", true),
            (Unset, b"b", true),
            (Unset, b"b", false),
            (IsNotSet, b"b", true),
            (IsNotSet, b"", false),
        ] {
            assert_eq!(ask(&mut sets, operation, value), holds, "{operation:?} {value:?}");
        }
    }

    #[test]
    fn a_full_set_takes_nothing_and_counts_it() {
        let mut sets = store(DatasetKind::String, &[], 2 * (ENTRY_OCTETS + 1));
        assert!(ask(&mut sets, DatasetOperation::Set, b"a"));
        assert!(ask(&mut sets, DatasetOperation::Set, b"b"));
        assert!(!ask(&mut sets, DatasetOperation::Set, b"c"));
        assert_eq!(sets.dropped, 1);
        assert!(ask(&mut sets, DatasetOperation::Unset, b"a"));
        assert!(ask(&mut sets, DatasetOperation::Set, b"c"));
        assert_eq!(sets.values(0).count(), 2);
    }

    #[test]
    fn addresses_of_both_families_share_a_set_and_hashes_have_their_length() {
        let mapped = std::net::Ipv4Addr::new(192, 0, 2, 1).to_ipv6_mapped().octets();
        let mut sets = store(DatasetKind::Ip, &[(&mapped, Some(40))], 0);
        assert!(ask(&mut sets, DatasetOperation::IsSet, &[192, 0, 2, 1]));
        assert_eq!(sets.datarep(0, &[192, 0, 2, 1]), Some(40));
        assert_eq!(sets.datarep(0, &[192, 0, 2, 2]), None);
        let mut hashes = store(DatasetKind::Md5, &[], 0);
        assert!(!ask(&mut hashes, DatasetOperation::Set, b"short"));
        assert!(ask(&mut hashes, DatasetOperation::Set, &[7; 16]));
    }
}
