//! A rule's header: protocols, addresses, ports, direction.

use std::net::IpAddr;

/// Sorted, disjoint, inclusive ranges of addresses; negations are resolved.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AddressSet {
    /// Every address, also where there is none.
    pub any: bool,
    /// IPv4, host byte order.
    pub v4: Box<[(u32, u32)]>,
    /// IPv6.
    pub v6: Box<[(u128, u128)]>,
    /// It was written with a negation (Suricata runs such rules on packets, not as IP-only ones).
    pub negated: bool,
}

impl AddressSet {
    /// Whether it holds `address`.
    pub fn contains(&self, address: IpAddr) -> bool {
        if self.any {
            return true;
        }
        match address {
            IpAddr::V4(address) => within(&self.v4, u32::from(address)),
            IpAddr::V6(address) => within(&self.v6, u128::from(address)),
        }
    }
}

/// Sorted, disjoint, inclusive ranges of ports; negations are resolved.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PortSet {
    /// Every port, also where there is none.
    pub any: bool,
    /// The ranges.
    pub ranges: Box<[(u16, u16)]>,
}

impl PortSet {
    /// Whether it holds `port`.
    pub fn contains(&self, port: u16) -> bool {
        self.any || within(&self.ranges, port)
    }
}

fn within<T: PartialOrd + Copy>(ranges: &[(T, T)], value: T) -> bool {
    let after = ranges.partition_point(|range| range.0 <= value);
    after
        .checked_sub(1)
        .and_then(|at| ranges.get(at))
        .is_some_and(|range| value <= range.1)
}

/// IP protocols and what of the packet a rule is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Protocols {
    /// Every protocol (`ip`): packets without a known transport count as well.
    pub any: bool,
    /// Bit n of word n / 64: IP protocol n.
    pub bits: [u64; 4],
    /// Only IPv4 (4) or IPv6 (6); 0 is both.
    pub version: u8,
    /// `tcp-pkt`: packets only, never the stream.
    pub packet_only: bool,
    /// `tcp-stream`: the stream only.
    pub stream_only: bool,
    /// `pkthdr`: also packets without a valid header.
    pub packet_header: bool,
}

impl Protocols {
    /// Whether it holds IP protocol `proto`.
    pub fn contains(&self, proto: u8) -> bool {
        self.any || self.bits[usize::from(proto / 64)] >> (proto % 64) & 1 == 1
    }
}

/// A rule's header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// IP protocols.
    pub protocols: Protocols,
    /// Source addresses.
    pub src: std::sync::Arc<AddressSet>,
    /// Destination addresses.
    pub dst: std::sync::Arc<AddressSet>,
    /// Source ports.
    pub sport: std::sync::Arc<PortSet>,
    /// Destination ports.
    pub dport: std::sync::Arc<PortSet>,
    /// `<>`: the rule set holds the rule a second time, with both sides exchanged (this is one of the two).
    pub bidirectional: bool,
}
