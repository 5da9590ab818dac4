//! Who talks to whom: flows, their keys, their table.

use std::net::IpAddr;

use crate::packet::Direction;
use crate::time::Timestamp;

/// What the rest of the engine may know about a flow. The flow table owns it.
#[derive(Clone, Debug)]
pub struct Flow {
    /// `flow_id`: unique, deterministic for the same input.
    pub id: u64,
    /// Client (who sent the first packet, or the SYN).
    pub src: IpAddr,
    /// Server.
    pub dst: IpAddr,
    /// Client's port (ICMP: type).
    pub sport: u16,
    /// Server's port (ICMP: code).
    pub dport: u16,
    /// IP protocol.
    pub proto: u8,
    /// First packet.
    pub start: Timestamp,
    /// Latest packet.
    pub last: Timestamp,
    /// Packets by direction.
    pub packets: [u64; 2],
    /// Octets by direction, link layer included.
    pub octets: [u64; 2],
    /// Packets were seen in both directions (UDP, ICMP), or the handshake is complete (TCP).
    pub established: bool,
    /// An alert was raised on it.
    pub alerted: bool,
    /// VLAN identifiers of the first packet.
    pub vlans: smallvec::SmallVec<[u16; 3]>,
}

impl Flow {
    /// Whether packets were seen in `direction`.
    pub fn seen(&self, direction: Direction) -> bool {
        self.packets[direction.index()] > 0
    }
}
