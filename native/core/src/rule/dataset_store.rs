//! Datasets at run time: what rules asked for, added and took away.

use std::collections::HashMap;

use super::chain::{DatasetAccess, DatasetOperation, DatasetTest};
use super::context::{Dataset, DatasetKind};

/// Octets a set may take when its definition says nothing (Suricata's default).
const MEMCAP: u64 = 100 << 20;

/// Estimated octets an entry takes beside its value.
const ENTRY_OCTETS: u64 = 64;

#[derive(Debug)]
struct Set {
    kind: DatasetKind,
    entries: HashMap<Box<[u8]>, u16>,
    octets: u64,
    memcap: u64,
}

/// All sets of an engine. Bounded; what found no room is counted.
#[derive(Debug, Default)]
pub struct Datasets {
    sets: Vec<Set>,
    /// Values that found no room.
    pub dropped: u64,
}

impl Datasets {
    /// The sets as they were loaded.
    pub fn new(definitions: &[Dataset]) -> Datasets {
        let set = |definition: &Dataset| Set {
            kind: definition.kind,
            octets: definition
                .initial
                .iter()
                .map(|(value, _)| value.len() as u64 + ENTRY_OCTETS)
                .sum(),
            entries: definition
                .initial
                .iter()
                .map(|(value, score)| (value.clone(), score.unwrap_or(0)))
                .collect(),
            memcap: if definition.memcap == 0 {
                MEMCAP
            } else {
                definition.memcap
            },
        };
        Datasets {
            sets: definitions.iter().map(set).collect(),
            dropped: 0,
        }
    }
}

/// A value as the set keeps it; `None` when it cannot be of the set's kind.
fn shaped<'v>(kind: DatasetKind, value: &'v [u8], room: &'v mut [u8; 16]) -> Option<&'v [u8]> {
    match (kind, value.len()) {
        (DatasetKind::String, 1..)
        | (DatasetKind::Md5, 16)
        | (DatasetKind::Sha256, 32)
        | (DatasetKind::Ipv4, 4) => Some(value),
        (DatasetKind::Ip, 16) => Some(value),
        (DatasetKind::Ip, 4) => {
            *room = [
                0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, value[0], value[1], value[2], value[3],
            ];
            Some(&room[..])
        }
        _ => None,
    }
}

impl DatasetAccess for Datasets {
    fn dataset(&mut self, test: DatasetTest, value: &[u8]) -> bool {
        let mut room = [0; 16];
        let Some(set) = self.sets.get_mut(test.dataset as usize) else {
            return false;
        };
        let Some(value) = shaped(set.kind, value, &mut room) else {
            return false;
        };
        match test.operation {
            DatasetOperation::IsSet => set.entries.contains_key(value),
            DatasetOperation::IsNotSet => !set.entries.contains_key(value),
            DatasetOperation::Unset => match set.entries.remove(value) {
                Some(_) => {
                    set.octets -= value.len() as u64 + ENTRY_OCTETS;
                    true
                }
                None => false,
            },
            DatasetOperation::Set => {
                if set.entries.contains_key(value) {
                    return false;
                }
                if set.octets + value.len() as u64 + ENTRY_OCTETS > set.memcap {
                    self.dropped += 1;
                    return false;
                }
                set.octets += value.len() as u64 + ENTRY_OCTETS;
                set.entries.insert(value.into(), 0);
                true
            }
        }
    }

    fn datarep(&mut self, dataset: u32, value: &[u8]) -> Option<u16> {
        let mut room = [0; 16];
        let set = self.sets.get(dataset as usize)?;
        set.entries.get(shaped(set.kind, value, &mut room)?).copied()
    }
}
