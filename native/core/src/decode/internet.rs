//! IPv4 and IPv6, fragments among them.

use std::cell::RefCell;
use std::net::IpAddr;

use smallvec::SmallVec;

use super::{fail, Sink, Walk};
use crate::defrag::Piece;
use crate::packet::{Frame, Origin, Outer, Packet};
use crate::wire::{ipv4, ipv6, octet, rest};

impl<S: Sink> Walk<'_, S> {
    pub(super) fn ipv4<'a>(&mut self, packet: &mut Packet<'a>, data: &'a [u8]) -> bool {
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
            let mut events = SmallVec::<[&'static str; 4]>::new();
            let result = {
                let (mut odd, mut bad) = (SmallVec::<[&'static str; 4]>::new(), false);
                let shared = RefCell::new(&mut odd);
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
                header: through(packet.data, header.header()),
                ip_at: distance(packet.data, data),
                link: None,
                payload,
            };
            if let Some(datagram) = self.decoder.defrag.add(packet, &piece, self.counters) {
                self.counters.defrag_ipv4_reassembled += 1;
                self.reassembled(packet, &datagram, piece.ip_at);
                self.decoder.defrag.give_back(datagram);
            }
            return true;
        }
        self.transport(packet, header.proto(), payload);
        true
    }

    pub(super) fn ipv6<'a>(&mut self, packet: &mut Packet<'a>, data: &'a [u8]) -> bool {
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

    pub(super) fn extensions<'a>(&mut self, packet: &mut Packet<'a>, header: &ipv6::Ipv6<'a>) {
        let payload = header.payload();
        let events = RefCell::new(SmallVec::<[(&'static str, bool); 4]>::new());
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
            header: through(packet.data, header.header_with(fragment.at)),
            ip_at: distance(packet.data, header.header()),
            link: Some(
                distance(packet.data, header.header())
                    + last_link(payload, header.next_header(), fragment.at),
            ),
            payload: rest(payload, fragment.at + 8),
        };
        if let Some(datagram) = self.decoder.defrag.add(packet, &piece, self.counters) {
            self.counters.defrag_ipv6_reassembled += 1;
            self.reassembled(packet, &datagram, piece.ip_at);
            self.decoder.defrag.give_back(datagram);
        }
    }

    /// Decode a datagram put together from fragments, the last of which is `packet`.
    pub(super) fn reassembled(&mut self, packet: &mut Packet<'_>, datagram: &[u8], ip_at: usize) {
        let mut whole = self.inner_packet(packet, datagram, Origin::Defrag);
        whole.recursion = packet.recursion;
        whole.vlans = packet.vlans.clone();
        whole.reassembled = true;
        let decoded = match packet.ip.version {
            4 => self.ipv4(&mut whole, rest(datagram, ip_at)),
            _ => self.ipv6(&mut whole, rest(datagram, ip_at)),
        };
        if decoded {
            packet.payload_inspected_elsewhere = true;
            self.emit(&mut whole);
        }
    }

    pub(super) fn inner_packet<'i>(&self, parent: &Packet<'_>, data: &'i [u8], origin: Origin) -> Packet<'i> {
        let frame = Frame {
            ts: parent.ts,
            data,
            wire_len: data.len() as u32,
            linktype: 101,
        };
        let mut inner = Packet::new(&frame, 0);
        inner.layers = parent.layers + 1;
        inner.recursion = parent.recursion.saturating_add(1);
        inner.origin = origin;
        inner.outer = parent.outer.or(Some(Outer {
            src: parent.src,
            dst: parent.dst,
            sport: parent.sport,
            dport: parent.dport,
            proto: parent.ip.proto,
            number: parent.number,
            origin: parent.origin,
        }));
        inner
    }
}

/// How far into `whole` its part `part` begins.
fn distance(whole: &[u8], part: &[u8]) -> usize {
    (part.as_ptr() as usize).saturating_sub(whole.as_ptr() as usize)
}

/// `whole` up to the end of its part `part`.
fn through<'a>(whole: &'a [u8], part: &[u8]) -> &'a [u8] {
    whole.get(..distance(whole, part) + part.len()).unwrap_or(&[])
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
