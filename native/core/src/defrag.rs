//! IP fragments wait here for the rest of their datagram.
//!
//! Where fragments overlap, the target's operating system decides which octets count (Novak, "Target-Based
//! Fragmentation Reassembly", 2005). Bounded by datagrams, octets and time; what had to go is counted.

mod datagram;

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;

use crate::config::{Config, Defrag as Limits};
use crate::counters::Counters;
use crate::packet::Packet;
use crate::stream::policy::Hosts;
use datagram::{Datagram, Outcome};

/// A fragment.
#[derive(Clone, Copy, Debug)]
pub struct Piece<'a> {
    /// Protocol (IPv4) or next header (IPv6) of the datagram.
    pub proto: u8,
    /// Identification.
    pub id: u32,
    /// Offset in octets.
    pub offset: u32,
    /// More fragments follow.
    pub more: bool,
    /// What precedes the fragmentable part: the link layer's octets, then the IPv4 header, or the IPv6 header with the
    /// extension headers before the fragment header.
    pub header: &'a [u8],
    /// Where in `header` the IP header is.
    pub ip_at: usize,
    /// IPv6: where in `header` the next-header octet that names the fragment header is.
    pub link: Option<usize>,
    /// This fragment's part.
    pub payload: &'a [u8],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Key {
    /// The smaller address first: as Suricata, fragments of both directions are one datagram's.
    hosts: (IpAddr, IpAddr),
    id: u32,
    proto: u8,
    vlans: [u16; 3],
}

/// Datagrams in reassembly.
#[derive(Debug)]
pub struct Defrag {
    limits: Limits,
    hosts: Hosts,
    waiting: HashMap<Key, Datagram>,
    /// In the order they began, with the serial number that tells stale entries.
    order: VecDeque<(Key, u64)>,
    begun: u64,
    memory: u64,
    spare: Vec<u8>,
}

impl Defrag {
    /// No fragments yet.
    pub fn new(config: &Config) -> Defrag {
        Defrag {
            limits: config.defrag.clone(),
            hosts: Hosts::new(config),
            waiting: HashMap::new(),
            order: VecDeque::new(),
            begun: 0,
            memory: 0,
            spare: Vec::new(),
        }
    }

    /// Take a fragment; the datagram, as `Piece::header` begins, when it is whole now. Events are raised on the packet.
    pub fn add(
        &mut self,
        packet: &mut Packet<'_>,
        piece: &Piece<'_>,
        counters: &mut Counters,
    ) -> Option<Vec<u8>> {
        let v4 = packet.ip.version == 4;
        let fixed = if v4 { 20 } else { 0 };
        if piece.offset as usize + piece.payload.len() + fixed > 65_535 {
            packet.raise(if v4 {
                "ipv4.frag_pkt_too_large"
            } else {
                "ipv6.frag_pkt_too_large"
            });
            return None;
        }
        let mut vlans = [0; 3];
        vlans
            .iter_mut()
            .zip(&packet.vlans)
            .for_each(|(slot, id)| *slot = *id);
        let key = Key {
            hosts: (packet.src.min(packet.dst), packet.src.max(packet.dst)),
            id: piece.id,
            proto: if v4 { piece.proto } else { 44 },
            vlans,
        };
        let now_s = packet.ts.seconds();
        if self
            .waiting
            .get(&key)
            .is_some_and(|datagram| datagram.due_s < now_s)
        {
            counters.defrag_timeouts += 1;
            self.forget(&key);
        }
        if !self.waiting.contains_key(&key) {
            self.make_room(now_s, counters);
            self.begun += 1;
            self.order.push_back((key, self.begun));
        }
        let (serial, hosts) = (self.begun, &self.hosts);
        let datagram = self
            .waiting
            .entry(key)
            .or_insert_with(|| Datagram::new(serial, hosts.policy(&packet.dst)));
        datagram.due_s = now_s + i64::from(self.limits.timeout_s);
        let room = self.limits.memcap.saturating_sub(self.memory);
        let before = datagram.memory;
        let outcome = datagram.insert(piece, room, &mut self.spare);
        self.memory = (self.memory + datagram.memory).saturating_sub(before);
        if datagram.overlap {
            datagram.overlap = false;
            packet.raise(if v4 {
                "ipv4.frag_overlap"
            } else {
                "ipv6.frag_overlap"
            });
        }
        match outcome {
            Outcome::Waits => None,
            Outcome::NoRoom => {
                counters.defrag_memcap += 1;
                packet.raise(if v4 {
                    "ipv4.frag_ignored"
                } else {
                    "ipv6.frag_ignored"
                });
                None
            }
            Outcome::Whole => {
                self.forget(&key);
                Some(std::mem::take(&mut self.spare))
            }
            Outcome::Broken => {
                self.forget(&key);
                None
            }
        }
    }

    /// Take back a datagram's buffer.
    pub fn give_back(&mut self, mut datagram: Vec<u8>) {
        datagram.clear();
        self.spare = datagram;
    }

    fn forget(&mut self, key: &Key) {
        if let Some(datagram) = self.waiting.remove(key) {
            self.memory = self.memory.saturating_sub(datagram.memory);
        }
    }

    /// Let go of what timed out, and of the oldest when there are too many.
    fn make_room(&mut self, now_s: i64, counters: &mut Counters) {
        while let Some(&(key, serial)) = self.order.front() {
            let current = self
                .waiting
                .get(&key)
                .filter(|datagram| datagram.serial == serial);
            let full = self.waiting.len() >= self.limits.max_trackers.max(1);
            match current {
                None => {}
                Some(datagram) if datagram.due_s < now_s => {
                    counters.defrag_timeouts += 1;
                    self.forget(&key);
                }
                Some(_) if full => {
                    counters.defrag_max_frag_hits += 1;
                    self.forget(&key);
                }
                Some(_) => return,
            }
            self.order.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::packet::Frame;
    use crate::time::Timestamp;

    const HEADER: [u8; 20] = [
        0x45, 0, 0, 0, 0, 7, 0, 0, 64, 17, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2,
    ];

    fn packet(second: i64) -> Packet<'static> {
        let frame = Frame {
            ts: Timestamp(second * 1_000_000_000),
            data: &[],
            wire_len: 0,
            linktype: 101,
        };
        let mut packet = Packet::new(&frame, 1);
        packet.ip.version = 4;
        (packet.src, packet.dst) = ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
        packet
    }

    fn piece(offset: u32, more: bool, payload: &[u8]) -> Piece<'_> {
        Piece {
            proto: 17,
            id: 7,
            offset,
            more,
            header: &HEADER,
            ip_at: 0,
            link: None,
            payload,
        }
    }

    fn whole(policy: &str, pieces: &[(u32, bool, &[u8])]) -> Option<Vec<u8>> {
        let mut config = Config::default();
        config
            .host_os_policy
            .insert(policy.into(), vec!["0.0.0.0/0".into()]);
        let mut defrag = Defrag::new(&config);
        let mut result = None;
        for &(offset, more, payload) in pieces {
            result = defrag
                .add(
                    &mut packet(0),
                    &piece(offset, more, payload),
                    &mut Counters::default(),
                )
                .or(result);
        }
        result.map(|datagram| datagram[20..].to_vec())
    }

    #[test]
    fn fragments_in_any_order_make_the_datagram() {
        let pieces: [(u32, bool, &[u8]); 3] =
            [(0, true, b"aaaaaaaa"), (8, true, b"bbbbbbbb"), (16, false, b"cc")];
        for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0], [2, 0, 1]] {
            let pieces: Vec<_> = order.iter().map(|&at| pieces[at]).collect();
            assert_eq!(whole("bsd", &pieces).as_deref(), Some(&b"aaaaaaaabbbbbbbbcc"[..]));
        }
    }

    /// The exercise of Novak and Sturges: letter, offset and length in blocks of 8 octets.
    const EXERCISE: [(u8, u32, usize); 17] = [
        (b'A', 0, 3),
        (b'B', 4, 2),
        (b'C', 6, 3),
        (b'D', 10, 1),
        (b'E', 13, 2),
        (b'F', 15, 3),
        (b'G', 18, 2),
        (b'H', 20, 2),
        (b'I', 22, 1),
        (b'J', 1, 4),
        (b'K', 6, 3),
        (b'L', 9, 3),
        (b'M', 12, 3),
        (b'N', 16, 1),
        (b'O', 19, 1),
        (b'P', 20, 1),
        (b'Q', 22, 2),
    ];

    #[test]
    fn each_policy_makes_of_overlaps_what_the_literature_says() {
        let parts: Vec<(u32, bool, Vec<u8>)> = EXERCISE
            .iter()
            .map(|&(letter, offset, blocks)| (offset * 8, letter != b'Q', vec![letter; blocks * 8]))
            .collect();
        let pieces: Vec<_> = parts
            .iter()
            .map(|(offset, more, data)| (*offset, *more, &data[..]))
            .collect();
        for (policy, expected) in [
            ("bsd", "AAAJJBCCCLLLMMMFFFGGHHIQ"),
            ("linux", "AAAJJBKKKLLLMMMFFFGGPHQQ"),
            ("windows", "AAAJBBCCCLLLMEEFFFGGHHIQ"),
            ("solaris", "AAAJBBCCCLLLMMMFFFGGHHIQ"),
            ("first", "AAAJBBCCCLDLMEEFFFGGHHIQ"),
            ("last", "AJJJJBKKKLLLMMMFNFGOPHQQ"),
        ] {
            let data = whole(policy, &pieces).unwrap_or_default();
            let letters: String = data.chunks(8).map(|chunk| char::from(chunk[0])).collect();
            assert_eq!(letters, expected, "{policy}");
        }
    }

    #[test]
    fn the_header_of_a_whole_datagram_has_its_length_and_a_right_checksum() {
        let mut header = HEADER;
        header[3] = 28;
        header[6] = 0x20;
        let sum = crate::wire::checksum::header(&header);
        header[10..12].copy_from_slice(&sum.to_be_bytes());
        let mut defrag = Defrag::new(&Config::default());
        let first = Piece {
            header: &header,
            ..piece(0, true, b"aaaaaaaa")
        };
        defrag.add(&mut packet(0), &first, &mut Counters::default());
        let datagram = defrag
            .add(&mut packet(0), &piece(8, false, b"b"), &mut Counters::default())
            .unwrap();
        assert_eq!(datagram.len(), 29);
        assert_eq!(crate::wire::checksum::header(&datagram[..20]), 0);
        assert_eq!(
            crate::wire::ipv4::Ipv4::parse(&datagram).unwrap().payload(),
            b"aaaaaaaab"
        );
    }

    #[test]
    fn a_datagram_that_is_never_whole_times_out() {
        let mut defrag = Defrag::new(&Config::default());
        let mut counters = Counters::default();
        defrag.add(&mut packet(0), &piece(0, true, b"aaaaaaaa"), &mut counters);
        assert!(defrag.memory > 0);
        assert_eq!(
            defrag.add(&mut packet(100), &piece(8, false, b"b"), &mut counters),
            None
        );
        assert_eq!(counters.defrag_timeouts, 1);
    }

    #[test]
    fn too_large_a_datagram_is_an_event() {
        let mut defrag = Defrag::new(&Config::default());
        let mut packet = packet(0);
        defrag.add(
            &mut packet,
            &piece(65_528, false, &[0; 9]),
            &mut Counters::default(),
        );
        assert_eq!(packet.events.as_slice(), ["ipv4.frag_pkt_too_large"]);
    }

    proptest! {
        #[test]
        fn any_fragments_never_panic_and_stay_bounded(
            pieces in proptest::collection::vec((0u32..40, any::<bool>(), 0usize..64), 1..40),
            policy in 0usize..6,
        ) {
            let name = ["bsd", "linux", "windows", "solaris", "first", "last"][policy];
            let mut config = Config::default();
            config.host_os_policy.insert(name.into(), vec!["0.0.0.0/0".into()]);
            config.defrag.memcap = 4096;
            let mut defrag = Defrag::new(&config);
            for (offset, more, length) in pieces {
                let data = vec![1; length];
                let result = defrag.add(&mut packet(0), &piece(offset * 8, more, &data), &mut Counters::default());
                if let Some(datagram) = result {
                    prop_assert!(datagram.len() <= 65_535);
                    defrag.give_back(datagram);
                }
                prop_assert!(defrag.memory <= 4096 + 64 + 128);
            }
        }
    }
}
