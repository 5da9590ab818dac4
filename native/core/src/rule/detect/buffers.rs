//! Conditions on octets: the payload, a header, a transformed buffer.

use super::Work;
use crate::packet::{Packet, Transport};
use crate::rule::inspect::Subject;
use crate::rule::keyword::network::address_octets;
use crate::rule::signature::{BufferGroup, PacketBuffer, Place, Signature};
use crate::rule::transform;

/// A rule's conditions on the payload; nothing holds on no octets.
pub(in crate::rule) fn chain_fits(signature: &Signature, octets: &[u8], work: &mut Work) -> bool {
    if octets.is_empty() {
        return false;
    }
    let Work {
        machine, datasets, ..
    } = work;
    machine.inspect(&signature.payload, &Subject::whole(octets), datasets)
}
/// Conditions on a header of the packet.
pub(super) fn packet_buffer_fits(group: &BufferGroup, packet: &Packet<'_>, work: &mut Work) -> bool {
    let mut room = [0; 16];
    packet_buffer(group, packet, &mut room)
        .is_some_and(|octets| group_fits(group, &Subject::whole(octets), work))
}

/// The header's octets a group looks at, if the packet has them.
pub(in crate::rule) fn packet_buffer<'a>(
    group: &BufferGroup,
    packet: &'a Packet<'_>,
    room: &'a mut [u8; 16],
) -> Option<&'a [u8]> {
    let Place::Packet(buffer) = group.place else {
        return None;
    };
    Some(match (buffer, packet.ip.version, &packet.transport) {
        (PacketBuffer::Ipv4Header, 4, _) | (PacketBuffer::Ipv6Header, 6, _) => packet.ip.header,
        (PacketBuffer::TcpHeader, _, Transport::Tcp(_))
        | (PacketBuffer::UdpHeader, _, Transport::Udp)
        | (PacketBuffer::Icmpv4Header, _, Transport::Icmp(_))
        | (PacketBuffer::Icmpv6Header, _, Transport::Icmp6(_)) => packet.transport_header,
        (PacketBuffer::SourceAddress, 4 | 6, _) => {
            let length = address_octets(packet.src, room);
            &room[..length]
        }
        (PacketBuffer::DestinationAddress, 4 | 6, _) => {
            let length = address_octets(packet.dst, room);
            &room[..length]
        }
        _ => return None,
    })
}

/// A group's conditions on octets, after its transforms.
pub(in crate::rule) fn group_fits(group: &BufferGroup, subject: &Subject<'_>, work: &mut Work) -> bool {
    let Work {
        machine,
        datasets,
        transformed,
        spare,
        ..
    } = work;
    if group.transforms.is_empty() {
        return machine.inspect(&group.chain, subject, datasets);
    }
    transform::apply_all(&group.transforms, subject.data, transformed, spare);
    machine.inspect(
        &group.chain,
        &Subject {
            data: transformed,
            ..*subject
        },
        datasets,
    )
}
