//! Ethernet II (IEEE 802.3), 802.1ah, data center ethernet and VN-Tag: what leads to an EtherType.

use super::{be16, rest, Malformed};

/// IPv4.
pub const IPV4: u16 = 0x0800;
/// ARP.
pub const ARP: u16 = 0x0806;
/// Transparent Ethernet bridging.
pub const BRIDGE: u16 = 0x6558;
/// 802.1Q.
pub const VLAN: u16 = 0x8100;
/// 802.1ad.
pub const VLAN_AD: u16 = 0x88a8;
/// Q in Q before 802.1ad.
pub const VLAN_QINQ: u16 = 0x9100;
/// IPv6.
pub const IPV6: u16 = 0x86dd;
/// PPPoE discovery.
pub const PPPOE_DISCOVERY: u16 = 0x8863;
/// PPPoE session.
pub const PPPOE_SESSION: u16 = 0x8864;
/// MPLS, unicast.
pub const MPLS: u16 = 0x8847;
/// MPLS, multicast.
pub const MPLS_MULTICAST: u16 = 0x8848;
/// 802.1ah.
pub const IEEE8021AH: u16 = 0x88e7;
/// ERSPAN I and II, under GRE.
pub const ERSPAN: u16 = 0x88be;
/// Data center ethernet (Cisco FabricPath).
pub const DCE: u16 = 0x8903;
/// Network service header.
pub const NSH: u16 = 0x894f;
/// 802.1Qbh.
pub const VNTAG: u16 = 0x8926;

/// Header length, octets.
pub const LEN: usize = 14;

/// A header and what follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ethernet<'a> {
    /// Destination.
    pub dst: [u8; 6],
    /// Source.
    pub src: [u8; 6],
    /// EtherType.
    pub kind: u16,
    /// What follows.
    pub payload: &'a [u8],
}

impl<'a> Ethernet<'a> {
    /// Read it.
    pub fn parse(data: &'a [u8]) -> Result<Ethernet<'a>, Malformed> {
        match data {
            &[a, b, c, d, e, f, g, h, i, j, k, l, m, n, ref payload @ ..] => Ok(Ethernet {
                dst: [a, b, c, d, e, f],
                src: [g, h, i, j, k, l],
                kind: u16::from_be_bytes([m, n]),
                payload,
            }),
            _ => Err(Malformed("ethernet.pkt_too_small")),
        }
    }

    /// Write it.
    pub fn emit(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.dst);
        out.extend_from_slice(&self.src);
        out.extend_from_slice(&self.kind.to_be_bytes());
        out.extend_from_slice(self.payload);
    }
}

/// 802.1ah: the EtherType within and what follows.
pub fn parse_8021ah(data: &[u8]) -> Result<(u16, &[u8]), Malformed> {
    if data.len() < 18 {
        return Err(Malformed("ieee8021ah.header_too_small"));
    }
    Ok((be16(data, 16), rest(data, 18)))
}

/// VN-Tag: the EtherType within and what follows.
pub fn parse_vntag(data: &[u8]) -> Result<(u16, &[u8]), Malformed> {
    if data.len() < 6 {
        return Err(Malformed("vntag.header_too_small"));
    }
    Ok((be16(data, 4), rest(data, 6)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let header = Ethernet {
            dst: [1; 6],
            src: [2; 6],
            kind: IPV6,
            payload: b"x",
        };
        let mut out = Vec::new();
        header.emit(&mut out);
        assert_eq!(Ethernet::parse(&out), Ok(header));
        assert_eq!(
            Ethernet::parse(&out[..13]),
            Err(Malformed("ethernet.pkt_too_small"))
        );
    }
}
