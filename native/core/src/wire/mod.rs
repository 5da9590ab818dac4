//! Octets as typed views: one file per header.
//!
//! A view is made only when the header fits, so no accessor reads out of bounds. What is malformed comes back as
//! [`Malformed`], named as Suricata names the event.

#[cfg(test)]
pub(crate) mod build;
pub mod checksum;
pub mod erspan;
pub mod ethernet;
pub mod geneve;
pub mod gre;
pub mod icmp;
pub mod ipv4;
pub mod ipv6;
pub mod mpls;
pub mod nsh;
pub mod ppp;
pub mod pppoe;
pub mod sctp;
pub mod sll;
pub mod tcp;
pub mod teredo;
pub mod udp;
pub mod vlan;
pub mod vxlan;

/// Why a header cannot be read: the decoder event's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed(pub &'static str);

/// Big-endian 16 bit number at `at`; 0 past the end.
#[inline]
pub fn be16(data: &[u8], at: usize) -> u16 {
    match data.get(at..at + 2) {
        Some(&[a, b]) => u16::from_be_bytes([a, b]),
        _ => 0,
    }
}

/// Big-endian 32 bit number at `at`; 0 past the end.
#[inline]
pub fn be32(data: &[u8], at: usize) -> u32 {
    match data.get(at..at + 4) {
        Some(&[a, b, c, d]) => u32::from_be_bytes([a, b, c, d]),
        _ => 0,
    }
}

/// Octet at `at`; 0 past the end.
#[inline]
pub fn octet(data: &[u8], at: usize) -> u8 {
    data.get(at).copied().unwrap_or(0)
}

/// What is from `at` on; empty past the end.
#[inline]
pub fn rest(data: &[u8], at: usize) -> &[u8] {
    data.get(at..).unwrap_or(&[])
}
