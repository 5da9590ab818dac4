//! What tells flows apart.

use std::net::IpAddr;

use crate::packet::{Packet, Transport};
use crate::wire::icmp;

/// A flow's key, the same for both directions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    /// The smaller address and port, then the larger. ESP is one-way: source, then destination.
    addresses: [u128; 2],
    ports: [u32; 2],
    proto: u8,
    version: u8,
    recursion: u8,
    vlans: [u16; 3],
}

fn number(address: &IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u128::from(v4.to_bits()),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

impl Key {
    /// The key of a packet with a decoded transport.
    ///
    /// An ICMP "destination unreachable" has the key of the TCP or UDP flow it is about.
    pub fn of(packet: &Packet<'_>, vlan_tracking: bool) -> Key {
        let mut vlans = [0; 3];
        if vlan_tracking {
            vlans
                .iter_mut()
                .zip(&packet.vlans)
                .for_each(|(slot, id)| *slot = *id);
        }
        let (mut src, mut dst, mut proto) = (number(&packet.src), number(&packet.dst), packet.ip.proto);
        let (mut sport, mut dport) = (u32::from(packet.sport), u32::from(packet.dport));
        let mut ordered = false;
        match packet.transport {
            Transport::Icmp(header) => {
                proto = 1;
                sport = u32::from(header.kind);
                dport = u32::from(icmp::counterpart(header.kind).unwrap_or(0));
                let about = if header.kind == 3 && !packet.invalid {
                    icmp::unreachable(packet.payload)
                } else {
                    None
                };
                if let Some(about) = about {
                    (src, dst, proto) = (number(&about.src), number(&about.dst), about.proto);
                    (sport, dport) = (u32::from(about.sport), u32::from(about.dport));
                }
            }
            Transport::Icmp6(header) => {
                sport = u32::from(header.kind) | u32::from(header.code) << 8;
                dport = u32::from(icmp::counterpart_v6(header.kind).unwrap_or(0));
            }
            Transport::Esp(spi) => {
                (sport, dport, ordered) = (spi, 0, true);
            }
            _ => {}
        }
        let swap = !ordered && (src, sport) > (dst, dport);
        let (addresses, ports) = if swap {
            ([dst, src], [dport, sport])
        } else {
            ([src, dst], [sport, dport])
        };
        Key {
            addresses,
            ports,
            proto,
            version: packet.ip.version,
            recursion: packet.recursion,
            vlans,
        }
    }

    /// A hash of it, keyed by `seed`.
    #[inline]
    pub fn hash(&self, seed: u64) -> u64 {
        let [a, b] = self.addresses;
        let [p, q] = self.ports;
        let [v, w, x] = self.vlans.map(u64::from);
        let rest = u64::from(self.proto) | u64::from(self.version) << 8 | u64::from(self.recursion) << 16;
        let mut hash = mix(seed ^ a as u64, 0x9e37_79b9_7f4a_7c15 ^ b as u64);
        hash = mix(
            hash ^ (u64::from(p) << 32 | u64::from(q)),
            0xe703_7ed1_a0b4_28db ^ (rest | v << 24 | w << 40),
        );
        if self.version == 6 || x != 0 {
            hash = mix(
                hash ^ (a >> 64) as u64 ^ x,
                0x8ebc_6af0_9c88_c6e3 ^ (b >> 64) as u64,
            );
        }
        hash
    }
}

/// Folded 128 bit product.
#[inline]
fn mix(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    (product as u64) ^ (product >> 64) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::Frame;
    use crate::time::Timestamp;

    fn packet(src: &str, sport: u16, dst: &str, dport: u16) -> Packet<'static> {
        let mut packet = Packet::new(
            &Frame {
                ts: Timestamp(0),
                data: &[],
                wire_len: 0,
                linktype: 1,
            },
            1,
        );
        (packet.src, packet.dst) = (src.parse().unwrap(), dst.parse().unwrap());
        (packet.sport, packet.dport, packet.ip.version, packet.ip.proto) = (sport, dport, 4, 17);
        packet.transport = Transport::Udp;
        packet
    }

    #[test]
    fn both_directions_have_one_key_and_one_hash() {
        let there = Key::of(&packet("192.0.2.1", 5, "192.0.2.2", 6), true);
        let back = Key::of(&packet("192.0.2.2", 6, "192.0.2.1", 5), true);
        assert_eq!(there, back);
        assert_eq!(there.hash(7), back.hash(7));
        assert_ne!(there.hash(7), there.hash(8));
    }

    #[test]
    fn crossed_ports_are_another_flow() {
        let one = Key::of(&packet("192.0.2.1", 5, "192.0.2.2", 6), true);
        assert_ne!(one, Key::of(&packet("192.0.2.1", 6, "192.0.2.2", 5), true));
    }

    #[test]
    fn vlans_tell_flows_apart_unless_told_otherwise() {
        let plain = packet("192.0.2.1", 5, "192.0.2.2", 6);
        let mut tagged = plain.clone();
        tagged.vlans.push(10);
        assert_ne!(Key::of(&plain, true), Key::of(&tagged, true));
        assert_eq!(Key::of(&plain, false), Key::of(&tagged, false));
    }
}
