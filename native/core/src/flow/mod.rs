//! Who talks to whom: flows, their keys, their table.

pub mod community;
pub mod key;
pub mod table;
mod wheel;

use std::net::IpAddr;

use crate::config::FlowLimits;
use crate::packet::{Direction, Packet, Transport};
use crate::time::Timestamp;
use crate::wire::icmp;

/// How far a flow got; each has its own timeout.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum State {
    /// Not answered, or the TCP handshake is not complete.
    #[default]
    New,
    /// Answered.
    Established,
    /// The TCP session is over.
    Closed,
}

impl State {
    /// EVE's text.
    pub fn as_str(self) -> &'static str {
        match self {
            State::New => "new",
            State::Established => "established",
            State::Closed => "closed",
        }
    }
}

/// Why a flow ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// No packets for its timeout, or a new session took its place.
    Timeout,
    /// It had to go because the table was full.
    Forced,
    /// End of input.
    Shutdown,
}

impl Reason {
    /// EVE's text.
    pub fn as_str(self) -> &'static str {
        match self {
            Reason::Timeout => "timeout",
            Reason::Forced => "forced",
            Reason::Shutdown => "shutdown",
        }
    }
}

/// What the rest of the engine may know about a flow. The flow table owns it.
#[derive(Clone, Debug)]
pub struct Flow {
    /// `flow_id`: unique, deterministic for the same input.
    pub id: u64,
    /// The flow that announced this one (`parent_id`), 0 is none.
    pub parent: u64,
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
    /// ESP: the SPI.
    pub spi: u32,
    /// First packet.
    pub start: Timestamp,
    /// Latest packet.
    pub last: Timestamp,
    /// Packets by direction.
    pub packets: [u64; 2],
    /// Octets by direction, link layer included.
    pub octets: [u64; 2],
    /// Least and greatest TTL or hop limit by direction; 0 before the first packet.
    pub ttl: [(u8, u8); 2],
    /// Packets other than ICMP errors were seen, by direction.
    pub answered: [bool; 2],
    /// Packets were seen in both directions (UDP, ICMP), or the handshake is complete (TCP).
    pub established: bool,
    /// How far it got.
    pub state: State,
    /// An alert was raised on it.
    pub alerted: bool,
    /// What a rule did to it as a whole, as records say it: `"pass"`, `"drop"`, "" is nothing.
    pub action: &'static str,
    /// What rules remember of it by name, as records show it: a JSON object, or nothing.
    pub remembered: Vec<u8>,
    /// Number of its last frame among those remembered for evidence; 0 is none.
    pub recorded: u64,
    /// Client and server were swapped: the first packet came from the server.
    pub reversed: bool,
    /// Nothing of it is inspected any more (pass rule, bypass, encrypted).
    pub inspection_off: bool,
    /// Its payload is not inspected any more (encrypted).
    pub payload_inspection_off: bool,
    /// VLAN identifiers of the first packet.
    pub vlans: smallvec::SmallVec<[u16; 3]>,
    /// How many tunnels its packets are taken out of.
    pub recursion: u8,
}

impl Flow {
    /// The flow that a packet begins.
    pub fn begin(id: u64, packet: &Packet<'_>) -> Flow {
        let (sport, dport, spi) = match packet.transport {
            Transport::Icmp(icmp) | Transport::Icmp6(icmp) => (u16::from(icmp.kind), u16::from(icmp.code), 0),
            Transport::Esp(spi) => (0, 0, spi),
            _ => (packet.sport, packet.dport, 0),
        };
        Flow {
            id,
            parent: 0,
            src: packet.src,
            dst: packet.dst,
            sport,
            dport,
            proto: packet.ip.proto,
            spi,
            start: packet.ts,
            last: packet.ts,
            packets: [0; 2],
            octets: [0; 2],
            ttl: [(0, 0); 2],
            answered: [false; 2],
            established: false,
            state: State::New,
            alerted: false,
            action: "",
            remembered: Vec::new(),
            recorded: 0,
            reversed: false,
            inspection_off: false,
            payload_inspection_off: false,
            vlans: packet.vlans.clone(),
            recursion: packet.recursion,
        }
    }

    /// Whether packets were seen in `direction`.
    pub fn seen(&self, direction: Direction) -> bool {
        self.packets[direction.index()] > 0
    }

    /// Which way a packet of this flow goes.
    pub fn direction_of(&self, packet: &Packet<'_>) -> Direction {
        let from_client = match packet.transport {
            Transport::Tcp(_) | Transport::Udp | Transport::Sctp if packet.sport != packet.dport => {
                self.sport == packet.sport
            }
            Transport::Tcp(_)
            | Transport::Udp
            | Transport::Sctp
            | Transport::Icmp(_)
            | Transport::Icmp6(_) => self.src == packet.src,
            _ => true,
        };
        if from_client {
            Direction::ToServer
        } else {
            Direction::ToClient
        }
    }

    /// Count a packet, and tell it what the flow knows.
    pub fn count(&mut self, packet: &mut Packet<'_>) {
        let direction = self.direction_of(packet);
        let side = direction.index();
        self.last = self.last.max(packet.ts);
        self.packets[side] += 1;
        self.octets[side] += packet.data.len() as u64;
        packet.direction = Some(direction);
        let is_error = matches!(packet.transport, Transport::Icmp(icmp) if icmp::is_error(icmp.kind));
        if !self.answered[side] && !is_error {
            self.answered[side] = true;
            packet.first_in_direction = true;
        }
        let (least, greatest) = &mut self.ttl[side];
        *least = if *least == 0 {
            packet.ip.ttl
        } else {
            packet.ip.ttl.min(*least)
        };
        *greatest = packet.ip.ttl.max(*greatest);
        if self.proto != 6 && self.state == State::New && self.answered == [true, true] {
            self.state = State::Established;
            self.established = true;
        }
        packet.established = self.state == State::Established || self.established;
    }

    /// Client and server change places.
    pub fn swap(&mut self) {
        self.reversed = !self.reversed;
        std::mem::swap(&mut self.src, &mut self.dst);
        std::mem::swap(&mut self.sport, &mut self.dport);
        self.packets.swap(0, 1);
        self.octets.swap(0, 1);
        self.ttl.swap(0, 1);
        self.answered.swap(0, 1);
    }

    /// Seconds without packets after which it ends.
    pub fn timeout_s(&self, limits: &FlowLimits) -> i64 {
        let class = match self.proto {
            6 => 0,
            17 => 1,
            1 | 58 => 2,
            _ => 3,
        };
        i64::from(match self.state {
            State::New => limits.new_s[class],
            State::Established => limits.established_s[class],
            State::Closed if class == 0 => limits.closed_s,
            State::Closed => 0,
        })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::packet::Frame;

    /// A flow without packets.
    pub(crate) fn flow(src: &str, sport: u16, dst: &str, dport: u16, proto: u8) -> Flow {
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
        (packet.sport, packet.dport, packet.ip.proto) = (sport, dport, proto);
        Flow::begin(1, &packet)
    }

    #[test]
    fn a_flow_is_established_when_both_sides_spoke() {
        let mut flow = flow("192.0.2.1", 9, "192.0.2.2", 53, 17);
        let mut packet = Packet::new(
            &Frame {
                ts: Timestamp(5),
                data: &[0; 60],
                wire_len: 60,
                linktype: 1,
            },
            1,
        );
        (packet.src, packet.dst, packet.sport, packet.dport) = (flow.src, flow.dst, 9, 53);
        packet.transport = Transport::Udp;
        flow.count(&mut packet);
        assert_eq!(
            (packet.direction, packet.established),
            (Some(Direction::ToServer), false)
        );
        (packet.src, packet.dst, packet.sport, packet.dport) = (flow.dst, flow.src, 53, 9);
        flow.count(&mut packet);
        assert_eq!(
            (packet.direction, packet.established),
            (Some(Direction::ToClient), true)
        );
        assert_eq!(
            (flow.packets, flow.octets, flow.last),
            ([1, 1], [60, 60], Timestamp(5))
        );
    }
}
