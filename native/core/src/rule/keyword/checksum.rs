//! Whether a packet's checksums are right, also where those of wrong ones are not dropped (`-k none`).

use super::{Argument, Keyword, Outcome, Quotes};
use crate::packet::{Packet, Transport};
use crate::rule::builder::Builder;
use crate::rule::signature::{PacketCondition, View};
use crate::wire::checksum;

macro_rules! keyword {
    ($name:literal, $doc:literal, $proto:literal, $of:expr) => {
        Keyword::new($name, $doc, ($proto, concat!($name, ":invalid;")), |b, a| {
            condition(b, $name, a, $of)
        })
        .quoted(Quotes::Optional)
    };
}

/// This family's keywords.
pub const KEYWORDS: &[Keyword] = &[
    keyword!("ipv4-csum", "The IPv4 header's: valid or invalid.", "ip", ipv4),
    keyword!("tcpv4-csum", "TCP's over IPv4.", "tcp", |p| tcp(p, 4)),
    keyword!("tcpv6-csum", "TCP's over IPv6.", "tcp", |p| tcp(p, 6)),
    keyword!("udpv4-csum", "UDP's over IPv4, if there is one.", "udp", |p| udp(
        p, 4
    )),
    keyword!("udpv6-csum", "UDP's over IPv6.", "udp", |p| udp(p, 6)),
    keyword!("icmpv4-csum", "ICMP's.", "icmp", icmpv4),
    keyword!("icmpv6-csum", "ICMPv6's.", "icmp", icmpv6),
];

/// Computes a checksum, 0 when right; `None` where the packet has no such.
type Sum = fn(&Packet<'_>) -> Option<u16>;

#[derive(Debug)]
struct Checksum {
    keyword: &'static str,
    wanted: bool,
    sum: Sum,
}

impl PacketCondition for Checksum {
    fn matches(&self, view: &View<'_, '_>) -> bool {
        if view.packet.pseudo {
            return false;
        }
        (self.sum)(view.packet).is_some_and(|sum| (sum == 0) == self.wanted)
    }

    fn keyword(&self) -> &'static str {
        self.keyword
    }
}

fn condition(builder: &mut Builder<'_>, keyword: &'static str, argument: Argument<'_>, sum: Sum) -> Outcome {
    let wanted = match argument.text.to_ascii_lowercase().as_str() {
        "valid" => true,
        "invalid" => false,
        other => return Err(format!("{other:?} is neither valid nor invalid").into()),
    };
    builder.packet.push(Box::new(Checksum { keyword, wanted, sum }));
    builder.last_keyword = keyword;
    Ok(())
}

fn ipv4(packet: &Packet<'_>) -> Option<u16> {
    (packet.ip.version == 4).then(|| checksum::header(packet.ip.header))
}

/// Checksum of the transport's header and payload, with a pseudo-header.
fn transport(packet: &Packet<'_>, version: u8, proto: u8) -> Option<u16> {
    let len = packet.transport_header.len() + packet.payload.len();
    let segment = packet.ip.payload.get(..len)?;
    (packet.ip.version == version).then(|| checksum::transport(&packet.src, &packet.dst, proto, segment))
}

fn tcp(packet: &Packet<'_>, version: u8) -> Option<u16> {
    packet.tcp()?;
    transport(packet, version, 6)
}

fn udp(packet: &Packet<'_>, version: u8) -> Option<u16> {
    let absent = version == 4 && packet.transport_header.get(6..8)? == [0, 0];
    match packet.transport {
        Transport::Udp if !absent => transport(packet, version, 17),
        _ => None,
    }
}

fn icmpv4(packet: &Packet<'_>) -> Option<u16> {
    match packet.transport {
        Transport::Icmp(_) => Some(checksum::header(packet.ip.payload)),
        _ => None,
    }
}

fn icmpv6(packet: &Packet<'_>) -> Option<u16> {
    match packet.transport {
        Transport::Icmp6(_) => Some(checksum::transport(
            &packet.src,
            &packet.dst,
            58,
            packet.ip.payload,
        )),
        _ => None,
    }
}
