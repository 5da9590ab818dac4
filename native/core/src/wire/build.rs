//! Packets for tests.

use super::checksum;

pub(crate) fn udp(sport: u16, dport: u16, payload: &[u8]) -> Vec<u8> {
    let length = 8 + payload.len() as u16;
    [
        &sport.to_be_bytes()[..],
        &dport.to_be_bytes(),
        &length.to_be_bytes(),
        &[0, 0],
        payload,
    ]
    .concat()
}

pub(crate) fn ipv4(proto: u8, flags: u16, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![
        0x45, 0, 0, 0, 0, 9, 0, 0, 64, proto, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2,
    ];
    packet[2..4].copy_from_slice(&(20 + payload.len() as u16).to_be_bytes());
    packet[6..8].copy_from_slice(&flags.to_be_bytes());
    let sum = checksum::header(&packet);
    packet[10..12].copy_from_slice(&sum.to_be_bytes());
    packet.extend_from_slice(payload);
    packet
}

pub(crate) fn ipv6(next: u8, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x60, 0, 0, 0, 0, 0, next, 64];
    packet[4..6].copy_from_slice(&(payload.len() as u16).to_be_bytes());
    packet.extend_from_slice(&[0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
    packet.extend_from_slice(&[0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2]);
    packet.extend_from_slice(payload);
    packet
}

pub(crate) fn ethernet(kind: u16, payload: &[u8]) -> Vec<u8> {
    [&[2; 6][..], &[4; 6], &kind.to_be_bytes(), payload].concat()
}

/// A TCP segment.
pub(crate) struct Tcp<'a> {
    pub(crate) ports: (u16, u16),
    pub(crate) seq: u32,
    pub(crate) ack: u32,
    pub(crate) flags: u8,
    pub(crate) payload: &'a [u8],
}

/// A TCP segment with a window of 65,535 octets and no options, without a checksum.
pub(crate) fn tcp(segment: &Tcp<'_>) -> Vec<u8> {
    let mut octets = Vec::new();
    octets.extend_from_slice(&segment.ports.0.to_be_bytes());
    octets.extend_from_slice(&segment.ports.1.to_be_bytes());
    octets.extend_from_slice(&segment.seq.to_be_bytes());
    octets.extend_from_slice(&segment.ack.to_be_bytes());
    octets.extend_from_slice(&[0x50, segment.flags, 0xff, 0xff, 0, 0, 0, 0]);
    octets.extend_from_slice(segment.payload);
    octets
}
