//! Packets that were never received: they carry what waits in a TCP session through the layers.

use crate::flow::Flow;
use crate::packet::{Direction, Frame, Packet, Tcp, Transport, TCP_ACK};
use crate::stream::Session;
use crate::time::Timestamp;

/// A packet of a session without payload. The caller says what it is for.
pub(super) fn packet<'p>(flow: &Flow, session: &Session, direction: Direction, now: Timestamp) -> Packet<'p> {
    let mut packet = Packet::new(
        &Frame {
            ts: now,
            data: &[],
            wire_len: 0,
            linktype: 101,
        },
        0,
    );
    let from_client = direction == Direction::ToServer;
    (packet.src, packet.dst) = if from_client {
        (flow.src, flow.dst)
    } else {
        (flow.dst, flow.src)
    };
    (packet.sport, packet.dport) = if from_client {
        (flow.sport, flow.dport)
    } else {
        (flow.dport, flow.sport)
    };
    packet.vlans = flow.vlans.clone();
    packet.ip.version = if flow.src.is_ipv4() { 4 } else { 6 };
    packet.ip.proto = flow.proto;
    packet.ip.ttl = 64;
    packet.transport = Transport::Tcp(Tcp {
        seq: session.half(direction).next_seq,
        ack: session.half(direction.opposite()).last_ack,
        flags: TCP_ACK,
        offset_reserved: 0x50,
        window: 10,
        ..Tcp::default()
    });
    packet.direction = Some(direction);
    packet.pseudo = true;
    packet.established = true;
    packet.in_session = true;
    packet.payload_inspected_elsewhere = flow.payload_inspection_off;
    packet.recursion = flow.recursion;
    packet
}
