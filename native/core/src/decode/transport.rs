//! What is above IP: transports and tunnels.

use std::cell::RefCell;

use smallvec::SmallVec;

use super::{Inner, Sink, Walk};
use crate::packet::{Origin, Packet, Transport, TCP_ACK, TCP_RST, TCP_SYN, TCP_URG};
use crate::wire::{
    be16, be32, checksum, erspan, ethernet, geneve, gre, icmp, ipv4, ipv6, octet, rest, sctp, tcp, teredo,
    udp, vxlan, Malformed,
};

impl<S: Sink> Walk<'_, S> {
    /// Decode what a tunnel carries; whether it could be read.
    pub(super) fn tunnel(
        &mut self,
        parent: &mut Packet<'_>,
        data: &[u8],
        kind: Inner,
        origin: Origin,
    ) -> bool {
        if parent.layers + 1 >= self.decoder.options.max_recursion {
            parent.malformed("too_many_layers");
            return false;
        }
        let mut inner = self.inner_packet(parent, data, origin);
        let packet = &mut inner;
        let decoded = match kind {
            Inner::Ipv4 => self.ipv4(packet, data),
            Inner::Ipv6 => self.ipv6(packet, data),
            Inner::Teredo => self.ipv6(packet, data) && !packet.invalid,
            Inner::Vlan => self.vlan(packet, data),
            Inner::Ethernet => self.ethernet(packet, data),
            Inner::Ppp => self.ppp(packet, data),
            Inner::ErspanI => {
                self.counters.erspan += 1;
                self.ethernet(packet, data)
            }
            Inner::ErspanII => self.erspan(packet, data),
        };
        if decoded {
            parent.payload_inspected_elsewhere = true;
            self.emit(packet);
        }
        decoded
    }

    pub(super) fn erspan<'a>(&mut self, packet: &mut Packet<'a>, data: &'a [u8]) -> bool {
        self.counters.erspan += 1;
        match erspan::parse(data) {
            Ok(_) if !self.deeper(packet) => false,
            Ok((id, frame)) => {
                if id > 0 {
                    packet.vlans.push(id);
                }
                self.ethernet(packet, frame)
            }
            Err(event) => {
                packet.raise(event);
                false
            }
        }
    }

    pub(super) fn gre<'a>(&mut self, packet: &mut Packet<'a>, data: &'a [u8]) {
        self.counters.gre += 1;
        let header = match gre::parse(data) {
            Err(gre::Error::TooSmall) => return packet.malformed("gre.pkt_too_small"),
            _ if !self.deeper(packet) => return,
            Err(gre::Error::Malformed(Malformed(event))) => return packet.malformed(event),
            Ok(header) => header,
        };
        let kind = match header.kind {
            ethernet::IPV4 => Inner::Ipv4,
            ethernet::IPV6 => Inner::Ipv6,
            ethernet::VLAN => Inner::Vlan,
            ethernet::BRIDGE => Inner::Ethernet,
            ethernet::ERSPAN if header.sequenced => Inner::ErspanII,
            ethernet::ERSPAN => Inner::ErspanI,
            gre::PPP if !header.empty => Inner::Ppp,
            _ => return,
        };
        self.tunnel(packet, header.payload, kind, Origin::Gre);
    }

    /// What is above IP. IPv4 carries IPv6 as protocol 41; IPv6 carries either.
    pub(super) fn transport<'a>(&mut self, packet: &mut Packet<'a>, proto: u8, data: &'a [u8]) {
        match (packet.ip.version, proto) {
            (_, 6) => self.tcp(packet, data),
            (_, 17) => self.udp(packet, data),
            (4, 1) => {
                self.counters.icmpv4 += 1;
                match icmp::parse(data) {
                    Ok(message) => set_icmp(packet, &message, Transport::Icmp(message.icmp)),
                    Err(Malformed(event)) => packet.malformed(event),
                }
            }
            (6, 58) => {
                self.counters.icmpv6 += 1;
                match icmp::parse_v6(data, packet.ip.ttl) {
                    Ok(message) => set_icmp(packet, &message, Transport::Icmp6(message.icmp)),
                    Err(Malformed(event)) => packet.malformed(event),
                }
            }
            (4, 58) => packet.malformed("ipv4.icmpv6"),
            (_, 47) => self.gre(packet, data),
            (_, 132) => {
                self.counters.sctp += 1;
                match sctp::parse(data) {
                    Ok((sport, dport)) => {
                        (packet.sport, packet.dport) = (sport, dport);
                        packet.transport = Transport::Sctp;
                        packet.transport_header = data.get(..sctp::LEN).unwrap_or(&[]);
                        packet.payload = rest(data, sctp::LEN);
                        packet.wants_flow = true;
                    }
                    Err(Malformed(event)) => packet.malformed(event),
                }
            }
            (_, 50) => {
                self.counters.esp += 1;
                if !self.deeper(packet) {
                    return;
                }
                if data.len() < 8 {
                    return packet.malformed("esp.pkt_too_small");
                }
                packet.transport = Transport::Esp(be32(data, 0));
                packet.transport_header = data.get(..8).unwrap_or(&[]);
                packet.payload = rest(data, 8);
                packet.wants_flow = true;
            }
            (4, 41) => {
                self.tunnel(packet, data, Inner::Ipv6, Origin::Ipv4);
                packet.wants_flow = true;
            }
            (6, 4) if data.len() < ipv4::LEN => packet.malformed("ipv6.ipv4_in_ipv6_too_small"),
            (6, 4) if octet(data, 0) >> 4 != 4 => packet.raise("ipv6.ipv4_in_ipv6_wrong_version"),
            (6, 4) => {
                let decoded = self.tunnel(packet, data, Inner::Ipv4, Origin::Ipv6);
                self.counters.ipv4_in_ipv6 += u64::from(decoded);
            }
            (6, 41) if data.len() < ipv6::LEN => packet.malformed("ipv6.ipv6_in_ipv6_too_small"),
            (6, 41) if octet(data, 0) >> 4 != 6 => packet.raise("ipv6.ipv6_in_ipv6_wrong_version"),
            (6, 41) => {
                let decoded = self.tunnel(packet, data, Inner::Ipv6, Origin::Ipv6);
                self.counters.ipv6_in_ipv6 += u64::from(decoded);
            }
            _ => {}
        }
    }

    pub(super) fn tcp<'a>(&mut self, packet: &mut Packet<'a>, data: &'a [u8]) {
        self.counters.tcp += 1;
        let events = RefCell::new(SmallVec::<[(&'static str, bool); 4]>::new());
        let parsed = tcp::parse(
            data,
            |event| events.borrow_mut().push((event, false)),
            |event| events.borrow_mut().push((event, true)),
        );
        for (event, invalid) in events.into_inner() {
            packet.invalid |= invalid;
            packet.raise(event);
        }
        let segment = match parsed {
            Ok(segment) => segment,
            Err(Malformed(event)) => return packet.malformed(event),
        };
        let flags = segment.tcp.flags;
        if flags & (TCP_SYN | TCP_ACK) == TCP_SYN | TCP_ACK {
            self.counters.tcp_synack += 1;
        } else if flags & TCP_SYN != 0 {
            self.counters.tcp_syn += 1;
        }
        if flags & TCP_RST != 0 {
            self.counters.tcp_rst += 1;
        }
        if flags & TCP_URG != 0 {
            self.counters.tcp_urg += 1;
        }
        if self.decoder.checksum_validation && checksum::transport(&packet.src, &packet.dst, 6, data) != 0 {
            packet.checksum_invalid = true;
            self.counters.tcp_invalid_checksum += 1;
        }
        (packet.sport, packet.dport) = (segment.sport, segment.dport);
        packet.transport = Transport::Tcp(segment.tcp);
        packet.transport_header = segment.header;
        packet.payload = segment.payload;
        packet.wants_flow = true;
    }

    pub(super) fn udp<'a>(&mut self, packet: &mut Packet<'a>, data: &'a [u8]) {
        self.counters.udp += 1;
        let datagram = match udp::parse(data) {
            Ok(datagram) => datagram,
            Err(Malformed(event)) => return packet.malformed(event),
        };
        (packet.sport, packet.dport) = (datagram.sport, datagram.dport);
        packet.transport = Transport::Udp;
        packet.transport_header = data.get(..udp::LEN).unwrap_or(&[]);
        packet.payload = datagram.payload;
        packet.wants_flow = true;
        let (sport, dport, payload) = (datagram.sport, datagram.dport, datagram.payload);
        let among = |ports: &[u16]| ports.contains(&sport) || ports.contains(&dport);
        let options = &self.decoder.options;
        let (geneve_port, vxlan_port) = (among(&options.geneve_ports), among(&options.vxlan_ports));
        if options.teredo_ports.contains(&0) || among(&options.teredo_ports) {
            if let Some(inner) = teredo::parse(payload) {
                if self.tunnel(packet, inner, Inner::Teredo, Origin::Teredo) {
                    self.counters.teredo += 1;
                    return;
                }
            }
        }
        if geneve_port {
            if let Some((kind, inner)) = geneve::parse(payload) {
                self.counters.geneve += 1;
                return self.overlay(packet, kind, inner, Origin::Geneve, "geneve.unknown_payload_type");
            }
        }
        if vxlan_port {
            if let Some(frame) = vxlan::parse(payload) {
                self.counters.vxlan += 1;
                let kind = be16(frame, 12);
                let inner = rest(frame, ethernet::LEN);
                self.overlay(packet, kind, inner, Origin::Vxlan, "vxlan.unknown_payload_type");
            }
        }
    }

    pub(super) fn overlay(
        &mut self,
        packet: &mut Packet<'_>,
        kind: u16,
        data: &[u8],
        origin: Origin,
        unknown: &'static str,
    ) {
        if !self.deeper(packet) {
            return;
        }
        let kind = match (origin, kind) {
            (_, ethernet::ARP) => return,
            (_, ethernet::IPV4) => Inner::Ipv4,
            (_, ethernet::IPV6) => Inner::Ipv6,
            (Origin::Geneve, ethernet::BRIDGE) => Inner::Ethernet,
            (Origin::Vxlan, ethernet::VLAN | ethernet::VLAN_AD | ethernet::VLAN_QINQ) => Inner::Vlan,
            _ => return packet.malformed(unknown),
        };
        self.tunnel(packet, data, kind, origin);
    }
}

fn set_icmp<'a>(packet: &mut Packet<'a>, message: &icmp::Message<'a>, transport: Transport<'a>) {
    message.odd.iter().flatten().for_each(|event| packet.raise(event));
    if let Some(event) = message.malformed {
        packet.malformed(event);
    }
    packet.transport = transport;
    packet.transport_header = message.header;
    packet.payload = message.payload;
    packet.wants_flow = true;
}
