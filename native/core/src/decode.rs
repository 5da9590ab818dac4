//! A frame's layers: from the link up to the transport, through tunnels and fragments.
//!
//! A tunnel's inner packet goes to the [`Sink`] before the packet it was in, so does a reassembled datagram before its
//! last fragment. Malformed input is an event on the packet, never a failure.

use std::net::IpAddr;

use crate::config::{Config, Decoder as Options};
use crate::counters::Counters;
use crate::defrag::{Defrag, Piece};
use crate::packet::{Frame, Origin, Outer, Packet, Transport, TCP_ACK, TCP_RST, TCP_SYN, TCP_URG};
use crate::wire::{
    be32, checksum, erspan, ethernet, geneve, gre, icmp, ipv4, ipv6, mpls, nsh, octet, ppp, pppoe, rest,
    sctp, sll, tcp, teredo, udp, vlan, vxlan, Malformed,
};

/// Whether frames of a link type (<https://www.tcpdump.org/linktypes.html>) can be decoded.
pub fn link_type_known(linktype: u32) -> bool {
    matches!(
        linktype,
        0 | 1 | 9 | 12 | 14 | 50 | 101 | 104 | 108 | 113 | 228 | 229 | 276
    )
}

/// Takes the packets of a frame, innermost first.
pub trait Sink {
    /// Take one.
    fn packet(&mut self, packet: &mut Packet<'_>, counters: &mut Counters);
}

/// Decodes frames. Owns the fragments that wait for the rest of their datagram.
#[derive(Debug)]
pub struct Decoder {
    options: Options,
    checksum_validation: bool,
    defrag: Defrag,
    frames: u64,
}

/// What a tunnel's payload is decoded as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Inner {
    Ipv4,
    Ipv6,
    Teredo,
    Vlan,
    Ethernet,
    Ppp,
    ErspanI,
    ErspanII,
}

impl Decoder {
    /// A decoder without state.
    pub fn new(config: &Config) -> Decoder {
        Decoder {
            options: config.decoder.clone(),
            checksum_validation: config.checksum_validation,
            defrag: Defrag::new(config),
            frames: 0,
        }
    }

    /// Decode a frame.
    pub fn frame(&mut self, frame: &Frame<'_>, counters: &mut Counters, sink: &mut impl Sink) {
        self.frames += 1;
        counters.pkts += 1;
        counters.bytes += frame.data.len() as u64;
        counters.max_pkt_size = counters.max_pkt_size.max(frame.data.len() as u64);
        if (frame.wire_len as usize) > frame.data.len() {
            counters.truncated += 1;
        }
        let mut packet = Packet::new(frame, self.frames);
        let mut walk = Walk {
            decoder: self,
            counters,
            sink,
        };
        walk.link(&mut packet, frame.linktype);
        walk.emit(&mut packet);
    }
}

/// One frame being decoded. Functions return whether the layer could be read.
struct Walk<'w, S> {
    decoder: &'w mut Decoder,
    counters: &'w mut Counters,
    sink: &'w mut S,
}

impl<S: Sink> Walk<'_, S> {
    fn emit(&mut self, packet: &mut Packet<'_>) {
        if packet.invalid {
            self.counters.invalid += 1;
        }
        self.sink.packet(packet, self.counters);
    }

    /// Count a layer; false when there are too many.
    fn deeper(&mut self, packet: &mut Packet<'_>) -> bool {
        packet.layers += 1;
        if packet.layers >= self.decoder.options.max_recursion {
            packet.malformed("too_many_layers");
            return false;
        }
        true
    }

    fn link(&mut self, packet: &mut Packet<'_>, linktype: u32) -> bool {
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
                    self.network(packet, crate::wire::be16(data, 2), rest(data, 4));
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

    fn raw<'a>(&mut self, packet: &mut Packet<'a>, data: &'a [u8]) -> bool {
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

    fn ethernet<'a>(&mut self, packet: &mut Packet<'a>, data: &'a [u8]) -> bool {
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
    fn network<'a>(&mut self, packet: &mut Packet<'a>, kind: u16, data: &'a [u8]) -> bool {
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
    fn backbone<'a>(&mut self, packet: &mut Packet<'a>, mut data: &'a [u8]) {
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

    fn vlan<'a>(&mut self, packet: &mut Packet<'a>, data: &'a [u8]) -> bool {
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

    fn mpls<'a>(&mut self, packet: &mut Packet<'a>, data: &'a [u8]) -> bool {
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

    fn nsh<'a>(&mut self, packet: &mut Packet<'a>, data: &'a [u8]) -> bool {
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

    fn ppp<'a>(&mut self, packet: &mut Packet<'a>, data: &'a [u8]) -> bool {
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

    fn pppoe_session<'a>(&mut self, packet: &mut Packet<'a>, data: &'a [u8]) {
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

    fn ipv4<'a>(&mut self, packet: &mut Packet<'a>, data: &'a [u8]) -> bool {
        self.counters.ipv4 += 1;
        if !self.deeper(packet) {
            return false;
        }
        let header = match ipv4::Ipv4::parse(data) {
            Ok(header) => header,
            Err(malformed) => return fail(packet, malformed),
        };
        if !header.options().is_empty() {
            let mut invalid = false;
            let mut events = smallvec::SmallVec::<[&'static str; 4]>::new();
            let result = {
                let (mut odd, mut bad) = (smallvec::SmallVec::<[&'static str; 4]>::new(), false);
                let shared = std::cell::RefCell::new(&mut odd);
                let result = ipv4::check_options(
                    header.options(),
                    |event| shared.borrow_mut().push(event),
                    |event| {
                        bad = true;
                        shared.borrow_mut().push(event);
                    },
                );
                invalid |= bad;
                events.append(&mut odd);
                result
            };
            packet.invalid |= invalid;
            events.iter().for_each(|event| packet.raise(event));
            if let Err(malformed) = result {
                return fail(packet, malformed);
            }
        }
        packet.src = IpAddr::V4(header.src());
        packet.dst = IpAddr::V4(header.dst());
        let payload = header.payload();
        let ip = &mut packet.ip;
        ip.version = 4;
        ip.proto = header.proto();
        ip.ttl = header.ttl();
        ip.tos = header.tos();
        ip.id = u32::from(header.id());
        ip.frag_flags = header.flags();
        ip.frag_offset = header.fragment_offset();
        ip.options = header.options();
        ip.header = header.header();
        ip.payload = payload;
        if header.is_fragment() {
            packet.fragment = true;
            self.counters.defrag_ipv4_fragments += 1;
            let piece = Piece {
                proto: header.proto(),
                id: u32::from(header.id()),
                offset: u32::from(header.fragment_offset()) * 8,
                more: header.flags() & 1 == 1,
                header: header.header(),
                link: None,
                payload,
            };
            if let Some(datagram) = self.decoder.defrag.add(packet, &piece, self.counters) {
                self.counters.defrag_ipv4_reassembled += 1;
                self.reassembled(packet, &datagram);
                self.decoder.defrag.give_back(datagram);
            }
            return true;
        }
        self.transport(packet, header.proto(), payload);
        true
    }

    fn ipv6<'a>(&mut self, packet: &mut Packet<'a>, data: &'a [u8]) -> bool {
        self.counters.ipv6 += 1;
        if !self.deeper(packet) {
            return false;
        }
        let header = match ipv6::Ipv6::parse(data) {
            Ok(header) => header,
            Err(Some(malformed)) => return fail(packet, malformed),
            Err(None) => return false,
        };
        packet.src = IpAddr::V6(header.src());
        packet.dst = IpAddr::V6(header.dst());
        let (first, payload) = (header.next_header(), header.payload());
        let ip = &mut packet.ip;
        ip.version = 6;
        ip.proto = first;
        ip.ttl = header.hop_limit();
        ip.tos = header.traffic_class();
        ip.header = header.header();
        ip.payload = payload;
        match first {
            6 | 17 | 58 | 132 | 4 | 41 | 47 => self.transport(packet, first, payload),
            0 | 43 | 44 | 50 | 51 | 59 | 60 | 135 | 139 | 140 => self.extensions(packet, &header),
            1 => packet.raise("ipv6.icmpv4"),
            _ => packet.raise("ipv6.unknown_next_header"),
        }
        true
    }

    fn extensions<'a>(&mut self, packet: &mut Packet<'a>, header: &ipv6::Ipv6<'a>) {
        let payload = header.payload();
        let events = std::cell::RefCell::new(smallvec::SmallVec::<[(&'static str, bool); 4]>::new());
        let walk = ipv6::walk(
            header.next_header(),
            payload,
            |event| events.borrow_mut().push((event, false)),
            |event| events.borrow_mut().push((event, true)),
        );
        for (event, invalid) in events.into_inner() {
            packet.invalid |= invalid;
            packet.raise(event);
        }
        let ip = &mut packet.ip;
        ip.proto = walk.proto;
        ip.extensions = walk.chain;
        ip.extension_count = walk.chain_len;
        ip.header = header.header_with(walk.at);
        ip.payload = rest(payload, walk.at);
        if let Some(fragment) = walk.fragment {
            ip.id = fragment.id;
            ip.frag_flags = u8::from(fragment.more);
            ip.frag_offset = fragment.offset;
        }
        if let Some(proto) = walk.transport {
            self.transport(packet, proto, rest(payload, walk.at));
        }
        let (Some(fragment), true) = (walk.fragment, walk.is_fragment) else {
            return;
        };
        packet.fragment = true;
        self.counters.defrag_ipv6_fragments += 1;
        let piece = Piece {
            proto: fragment.next_header,
            id: fragment.id,
            offset: u32::from(fragment.offset) * 8,
            more: fragment.more,
            header: header.header_with(fragment.at),
            link: Some(last_link(payload, header.next_header(), fragment.at)),
            payload: rest(payload, fragment.at + 8),
        };
        if let Some(datagram) = self.decoder.defrag.add(packet, &piece, self.counters) {
            self.counters.defrag_ipv6_reassembled += 1;
            self.reassembled(packet, &datagram);
            self.decoder.defrag.give_back(datagram);
        }
    }

    /// Decode a datagram put together from fragments, the last of which is `packet`.
    fn reassembled(&mut self, packet: &mut Packet<'_>, datagram: &[u8]) {
        let mut whole = self.inner_packet(packet, datagram, Origin::Defrag);
        whole.recursion = packet.recursion;
        whole.vlans = packet.vlans.clone();
        whole.reassembled = true;
        whole.outer = None;
        let decoded = match packet.ip.version {
            4 => self.ipv4(&mut whole, datagram),
            _ => self.ipv6(&mut whole, datagram),
        };
        if decoded {
            packet.payload_inspected_elsewhere = true;
            self.emit(&mut whole);
        }
    }

    fn inner_packet<'i>(&self, parent: &Packet<'_>, data: &'i [u8], origin: Origin) -> Packet<'i> {
        let frame = Frame {
            ts: parent.ts,
            data,
            wire_len: data.len() as u32,
            linktype: 101,
        };
        let mut inner = Packet::new(&frame, parent.number);
        inner.layers = parent.layers + 1;
        inner.recursion = parent.recursion.saturating_add(1);
        inner.origin = origin;
        inner.outer = parent.outer.or(Some(Outer {
            src: parent.src,
            dst: parent.dst,
            sport: parent.sport,
            dport: parent.dport,
            proto: parent.ip.proto,
        }));
        inner
    }

    /// Decode what a tunnel carries; whether it could be read.
    fn tunnel(&mut self, parent: &mut Packet<'_>, data: &[u8], kind: Inner, origin: Origin) -> bool {
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

    fn erspan<'a>(&mut self, packet: &mut Packet<'a>, data: &'a [u8]) -> bool {
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

    fn gre<'a>(&mut self, packet: &mut Packet<'a>, data: &'a [u8]) {
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
    fn transport<'a>(&mut self, packet: &mut Packet<'a>, proto: u8, data: &'a [u8]) {
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

    fn tcp<'a>(&mut self, packet: &mut Packet<'a>, data: &'a [u8]) {
        self.counters.tcp += 1;
        let events = std::cell::RefCell::new(smallvec::SmallVec::<[(&'static str, bool); 4]>::new());
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

    fn udp<'a>(&mut self, packet: &mut Packet<'a>, data: &'a [u8]) {
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
                let kind = crate::wire::be16(frame, 12);
                let inner = rest(frame, ethernet::LEN);
                self.overlay(packet, kind, inner, Origin::Vxlan, "vxlan.unknown_payload_type");
            }
        }
    }

    fn overlay(
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

fn fail(packet: &mut Packet<'_>, Malformed(event): Malformed) -> bool {
    packet.malformed(event);
    false
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

/// Where, in the unfragmentable part, the next-header octet that names the fragment header is: octets from the
/// beginning of the fixed header.
fn last_link(payload: &[u8], first: u8, fragment_at: usize) -> usize {
    let (mut next, mut at, mut link) = (first, 0, 6);
    while at < fragment_at {
        let length = match next {
            51 => 12 + usize::from(octet(payload, at + 1)).saturating_sub(1) * 4,
            44 => 8,
            _ => 8 + usize::from(octet(payload, at + 1)) * 8,
        };
        link = ipv6::LEN + at;
        next = octet(payload, at);
        at += length;
    }
    link
}
