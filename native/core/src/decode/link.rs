//! Link layers, up to an IP header.

use super::{fail, Sink, Walk};
use crate::packet::Packet;
use crate::wire::{be16, ethernet, ipv4, ipv6, mpls, nsh, octet, ppp, pppoe, rest, sll, vlan, Malformed};

impl<S: Sink> Walk<'_, S> {
    pub(super) fn link(&mut self, packet: &mut Packet<'_>, linktype: u32) -> bool {
        let data = packet.data;
        // <https://www.tcpdump.org/linktypes.html>
        match linktype {
            1 => self.ethernet(packet, data),
            9 | 50 => self.ppp(packet, data),
            12 | 14 | 101 | 228 | 229 => {
                self.counters.raw += 1;
                self.raw(packet, data)
            }
            0 | 108 => {
                self.counters.null += 1;
                match sll::parse_loopback(data) {
                    Ok((4, payload)) => self.ipv4(packet, payload),
                    Ok((6, payload)) => self.ipv6(packet, payload),
                    Ok(_) => {
                        packet.raise("ltnull.unsupported_type");
                        true
                    }
                    Err(malformed) => fail(packet, malformed),
                }
            }
            104 => {
                self.counters.chdlc += 1;
                if data.len() < 4 {
                    return fail(packet, Malformed("chdlc.pkt_too_small"));
                }
                self.deeper(packet) && {
                    self.network(packet, be16(data, 2), rest(data, 4));
                    true
                }
            }
            113 | 276 => {
                let parsed = if linktype == 113 {
                    self.counters.sll += 1;
                    sll::parse_v1(data)
                } else {
                    self.counters.sll2 += 1;
                    sll::parse_v2(data)
                };
                match parsed {
                    Ok((kind, payload)) => {
                        self.deeper(packet) && {
                            self.network(packet, kind, payload);
                            true
                        }
                    }
                    Err(malformed) => fail(packet, malformed),
                }
            }
            _ => {
                self.counters.unknown_linktype += 1;
                false
            }
        }
    }

    pub(super) fn raw<'a>(&mut self, packet: &mut Packet<'a>, data: &'a [u8]) -> bool {
        if data.len() < ipv4::LEN {
            return fail(packet, Malformed("ipv4.pkt_too_small"));
        }
        match octet(data, 0) >> 4 {
            4 => self.ipv4(packet, data),
            6 => self.ipv6(packet, data),
            _ => {
                packet.raise("ipraw.invalid_ip_version");
                true
            }
        }
    }

    pub(super) fn ethernet<'a>(&mut self, packet: &mut Packet<'a>, data: &'a [u8]) -> bool {
        self.counters.ethernet += 1;
        match ethernet::Ethernet::parse(data) {
            Ok(header) => {
                self.deeper(packet) && {
                    packet.ether = Some((header.dst, header.src, header.kind));
                    self.network(packet, header.kind, header.payload);
                    true
                }
            }
            Err(malformed) => fail(packet, malformed),
        }
    }

    /// By EtherType; false when it is not known.
    pub(super) fn network<'a>(&mut self, packet: &mut Packet<'a>, kind: u16, data: &'a [u8]) -> bool {
        match kind {
            ethernet::IPV4 => {
                self.ipv4(packet, data);
            }
            ethernet::IPV6 => {
                self.ipv6(packet, data);
            }
            ethernet::PPPOE_SESSION => self.pppoe_session(packet, data),
            ethernet::PPPOE_DISCOVERY => {
                self.counters.pppoe += 1;
                if let Err(Malformed(event)) = pppoe::check_discovery(data) {
                    packet.malformed(event);
                }
            }
            ethernet::VLAN | ethernet::VLAN_AD | ethernet::VLAN_QINQ => {
                self.vlan(packet, data);
            }
            ethernet::IEEE8021AH => self.backbone(packet, data),
            ethernet::ARP => self.counters.arp += 1,
            ethernet::MPLS | ethernet::MPLS_MULTICAST => {
                self.mpls(packet, data);
            }
            ethernet::DCE => {
                if data.len() < 16 {
                    packet.malformed("dce.pkt_too_small");
                } else {
                    self.ethernet(packet, rest(data, 2));
                }
            }
            ethernet::VNTAG => {
                self.counters.vntag += 1;
                match ethernet::parse_vntag(data) {
                    Ok((kind, payload)) => {
                        if self.deeper(packet) && !self.network(packet, kind, payload) {
                            packet.malformed("vntag.unknown_type");
                        }
                    }
                    Err(Malformed(event)) => packet.malformed(event),
                }
            }
            ethernet::NSH => {
                self.nsh(packet, data);
            }
            _ => {
                self.counters.unknown_ethertype += 1;
                return false;
            }
        }
        true
    }

    /// 802.1ah. Not counted as a layer by Suricata, so one in another is walked here, not by recursion.
    pub(super) fn backbone<'a>(&mut self, packet: &mut Packet<'a>, mut data: &'a [u8]) {
        loop {
            self.counters.ieee8021ah += 1;
            match ethernet::parse_8021ah(data) {
                Ok((ethernet::IEEE8021AH, payload)) => data = payload,
                Ok((kind, payload)) => {
                    self.network(packet, kind, payload);
                    return;
                }
                Err(Malformed(event)) => return packet.malformed(event),
            }
        }
    }

    pub(super) fn vlan<'a>(&mut self, packet: &mut Packet<'a>, data: &'a [u8]) -> bool {
        if packet.vlans.len() >= vlan::MAX_TAGS {
            packet.raise("vlan.too_many_layers");
            return false;
        }
        match packet.vlans.len() {
            0 => self.counters.vlan += 1,
            1 => self.counters.vlan_qinq += 1,
            _ => self.counters.vlan_qinqinq += 1,
        }
        match vlan::parse(data) {
            Ok((id, kind, payload)) => {
                self.deeper(packet) && {
                    packet.vlans.push(id);
                    let known = self.network(packet, kind, payload);
                    if !known {
                        packet.malformed("vlan.unknown_type");
                    }
                    known
                }
            }
            Err(malformed) => fail(packet, malformed),
        }
    }

    pub(super) fn mpls<'a>(&mut self, packet: &mut Packet<'a>, data: &'a [u8]) -> bool {
        self.counters.mpls += 1;
        if !self.deeper(packet) {
            return false;
        }
        match mpls::parse(data) {
            Ok(mpls::Payload::Ipv4(payload)) => self.ipv4(packet, payload),
            Ok(mpls::Payload::Ipv6(payload)) => self.ipv6(packet, payload),
            Ok(mpls::Payload::Ethernet(payload)) => self.ethernet(packet, payload),
            Ok(mpls::Payload::BadLabel(event)) => {
                packet.raise(event);
                true
            }
            Err(malformed) => fail(packet, malformed),
        }
    }

    pub(super) fn nsh<'a>(&mut self, packet: &mut Packet<'a>, data: &'a [u8]) -> bool {
        self.counters.nsh += 1;
        match nsh::parse(data) {
            Ok(_) if !self.deeper(packet) => false,
            Ok(nsh::Nsh::Ipv4(payload)) => self.ipv4(packet, payload),
            Ok(nsh::Nsh::Ipv6(payload)) => self.ipv6(packet, payload),
            Ok(nsh::Nsh::Ethernet(payload)) => self.ethernet(packet, payload),
            Ok(nsh::Nsh::Mpls(payload)) => self.mpls(packet, payload),
            Ok(nsh::Nsh::Odd(event)) => {
                packet.raise(event);
                true
            }
            Err(malformed) => fail(packet, malformed),
        }
    }

    pub(super) fn ppp<'a>(&mut self, packet: &mut Packet<'a>, data: &'a [u8]) -> bool {
        self.counters.ppp += 1;
        let frame = match ppp::parse(data) {
            Ok(frame) => frame,
            Err(malformed) => return fail(packet, malformed),
        };
        if !self.deeper(packet) {
            return false;
        }
        let payload = frame.payload;
        match frame.protocol {
            ppp::IPV4 if payload.len() < ipv4::LEN => fail(
                packet,
                Malformed(if frame.compressed {
                    "ppp.vju_pkt_too_small"
                } else {
                    "ppp.ip4_pkt_too_small"
                }),
            ),
            ppp::VJ_UNCOMPRESSED if payload.len() < ipv4::LEN => {
                fail(packet, Malformed("ppp.vju_pkt_too_small"))
            }
            ppp::VJ_UNCOMPRESSED if octet(payload, 0) >> 4 != 4 => false,
            ppp::IPV4 | ppp::VJ_UNCOMPRESSED => self.ipv4(packet, payload),
            ppp::IPV6 if payload.len() < ipv6::LEN => fail(packet, Malformed("ppp.ip6_pkt_too_small")),
            ppp::IPV6 => self.ipv6(packet, payload),
            protocol => {
                if frame.compressed || ppp::known(protocol) || ppp::known_control(protocol) {
                    packet.raise("ppp.unsup_proto");
                } else {
                    packet.malformed("ppp.wrong_type");
                }
                true
            }
        }
    }

    pub(super) fn pppoe_session<'a>(&mut self, packet: &mut Packet<'a>, data: &'a [u8]) {
        self.counters.pppoe += 1;
        let (protocol, payload) = match pppoe::parse_session(data) {
            Ok(Some(session)) => session,
            Ok(None) => return,
            Err(Malformed(event)) => return packet.malformed(event),
        };
        match protocol {
            ppp::VJ_UNCOMPRESSED if payload.len() < ipv4::LEN => packet.malformed("ppp.vju_pkt_too_small"),
            ppp::IPV4 if payload.len() < ipv4::LEN => packet.malformed("ppp.ip4_pkt_too_small"),
            ppp::IPV6 if payload.len() < ipv6::LEN => packet.malformed("ppp.ip6_pkt_too_small"),
            ppp::VJ_UNCOMPRESSED if octet(payload, 0) >> 4 != 4 => {}
            ppp::IPV4 | ppp::VJ_UNCOMPRESSED => {
                self.ipv4(packet, payload);
            }
            ppp::IPV6 => {
                self.ipv6(packet, payload);
            }
            protocol if ppp::known(protocol) => packet.raise("ppp.unsup_proto"),
            _ => packet.malformed("ppp.wrong_type"),
        }
    }
}
