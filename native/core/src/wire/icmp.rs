//! ICMP (RFC 792) and ICMPv6 (RFC 4443, 4861, 2710, ...).

use std::net::IpAddr;

use super::{be16, be32, ipv4, ipv6, octet, rest, Malformed};
use crate::packet::Icmp;

/// A message.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// Header fields.
    pub icmp: Icmp,
    /// The header's octets.
    pub header: &'a [u8],
    /// What follows it.
    pub payload: &'a [u8],
    /// What is odd about it, but does not make it invalid.
    pub odd: [Option<&'static str>; 2],
    /// What makes it invalid.
    pub malformed: Option<&'static str>,
}

/// The conversation an error message is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Embedded {
    /// Source of the packet that caused it.
    pub src: IpAddr,
    /// Destination of the packet that caused it.
    pub dst: IpAddr,
    /// Its source port.
    pub sport: u16,
    /// Its destination port.
    pub dport: u16,
    /// Its protocol.
    pub proto: u8,
}

/// Read an ICMP message.
pub fn parse(data: &[u8]) -> Result<Message<'_>, Malformed> {
    if data.len() < 8 {
        return Err(Malformed("icmpv4.pkt_too_small"));
    }
    let (kind, code) = (octet(data, 0), octet(data, 1));
    let mut icmp = Icmp {
        kind,
        code,
        ..Icmp::default()
    };
    let (mut odd, mut malformed) = ([None; 2], None);
    let mut header_len = 8;
    if matches!(kind, 0 | 8 | 13..=18) {
        icmp.id = Some(be16(data, 4));
        icmp.seq = Some(be16(data, 6));
    }
    let highest_code = match kind {
        3 => 15,
        5 => 3,
        11 => 1,
        0 | 4 | 8 | 12..=18 => 0,
        9 => 255,
        _ => {
            odd[0] = Some("icmpv4.unknown_type");
            255
        }
    };
    if code > highest_code {
        odd[0] = Some("icmpv4.unknown_code");
    } else if matches!(kind, 3 | 4 | 5 | 11 | 12) && (data.len() > 8 || kind == 4) {
        malformed = check_embedded_v4(rest(data, 8)).err();
        if kind == 3 && code == 4 {
            icmp.mtu = Some(u32::from(be16(data, 6)));
        }
    }
    match kind {
        13 | 14 if data.len() < 8 + 12 => odd[1] = Some("icmpv4.ipv4_trunc_pkt"),
        13 | 14 => header_len = 20,
        9 => {
            let adverts = usize::from(octet(data, 4)) * usize::from(octet(data, 5)) * 4;
            if data.len() < adverts + 8 {
                odd[1] = Some("icmpv4.ipv4_trunc_pkt");
            } else {
                header_len += adverts;
            }
        }
        _ => {}
    }
    Ok(Message {
        icmp,
        header: data.get(..header_len).unwrap_or(&[]),
        payload: rest(data, header_len),
        odd,
        malformed,
    })
}

fn check_embedded_v4(data: &[u8]) -> Result<(), &'static str> {
    if data.len() < ipv4::LEN {
        return Err("icmpv4.ipv4_trunc_pkt");
    }
    if octet(data, 0) >> 4 != 4 {
        return Err("icmpv4.ipv4_unknown_ver");
    }
    Ok(())
}

/// The TCP or UDP conversation a "destination unreachable" is about; `payload` follows its 8 octets of header.
///
/// As Suricata, the embedded IP header is taken to be without options.
pub fn unreachable(payload: &[u8]) -> Option<Embedded> {
    check_embedded_v4(payload).ok()?;
    let proto = octet(payload, 9);
    let least = match proto {
        6 => ipv4::LEN + 20,
        17 => ipv4::LEN + 8,
        _ => return None,
    };
    (payload.len() >= least).then(|| Embedded {
        src: IpAddr::V4(ipv4::address(payload, 12)),
        dst: IpAddr::V4(ipv4::address(payload, 16)),
        sport: be16(payload, ipv4::LEN),
        dport: be16(payload, ipv4::LEN + 2),
        proto,
    })
}

/// Whether an ICMP type reports an error about another packet.
pub fn is_error(kind: u8) -> bool {
    matches!(kind, 3 | 4 | 5 | 11 | 12)
}

/// Read an ICMPv6 message; `hop_limit` is that of the IPv6 header.
pub fn parse_v6(data: &[u8], hop_limit: u8) -> Result<Message<'_>, Malformed> {
    if data.len() < 8 {
        return Err(Malformed("icmpv6.pkt_too_small"));
    }
    let (kind, code) = (octet(data, 0), octet(data, 1));
    let mut icmp = Icmp {
        kind,
        code,
        ..Icmp::default()
    };
    let (mut odd, mut malformed) = ([None; 2], None);
    let mut whole_header = false;
    let code_known = match kind {
        1 => code <= 6,
        3 => code <= 1,
        4 => code <= 2,
        2 | 128..=137 | 141..=143 | 144..=149 | 154 | 156..=159 => code == 0,
        138 => code <= 2 || code == 255,
        139 | 140 => code <= 2,
        155 => code <= 3 || (128..=132).contains(&code),
        150..=153 => true,
        _ => {
            odd[0] = Some(match kind {
                5..=99 | 102..=126 | 160..=199 | 202.. => "icmpv6.unassigned_type",
                100 | 101 | 200 | 201 => "icmpv6.experimentation_type",
                _ => "icmpv6.unknown_type",
            });
            true
        }
    };
    if !code_known {
        odd[0] = Some("icmpv6.unknown_code");
    } else {
        match kind {
            1..=4 => {
                whole_header = true;
                let embedded = rest(data, 8);
                if embedded.len() < ipv6::LEN {
                    malformed = Some("icmpv6.ipv6_trunc_pkt");
                } else if octet(embedded, 0) >> 4 != 6 {
                    malformed = Some("icmpv6.ipv6_unknown_version");
                }
                if kind == 2 {
                    icmp.mtu = Some(be32(data, 4));
                }
            }
            128 | 129 => {
                whole_header = true;
                icmp.id = Some(be16(data, 4));
                icmp.seq = Some(be16(data, 6));
            }
            _ => {}
        }
    }
    if matches!(kind, 130..=132) && hop_limit != 1 {
        odd[1] = Some("icmpv6.mld_message_with_invalid_hl");
    }
    // The header of an informational message is just its first four octets. What follows is still counted from the
    // eighth: that is how Suricata has it, and rules are written against it.
    let payload = if whole_header {
        rest(data, 8)
    } else if data.len() >= 8 + 4 {
        data.get(4..data.len() - 8).unwrap_or(&[])
    } else {
        &[]
    };
    Ok(Message {
        icmp,
        header: data.get(..8).unwrap_or(&[]),
        payload,
        odd,
        malformed,
    })
}

/// The type that answers (or asks for) an ICMP type.
pub fn counterpart(kind: u8) -> Option<u8> {
    Some(match kind {
        8 => 0,
        0 => 8,
        13 => 14,
        14 => 13,
        15 => 16,
        16 => 15,
        10 => 9,
        9 => 10,
        17 => 18,
        18 => 17,
        _ => return None,
    })
}

/// The type that answers (or asks for) an ICMPv6 type.
pub fn counterpart_v6(kind: u8) -> Option<u8> {
    Some(match kind {
        128 => 129,
        129 => 128,
        135 => 136,
        136 => 135,
        133 => 134,
        134 => 133,
        130 => 131,
        131 => 130,
        139 => 140,
        140 => 139,
        144 => 145,
        145 => 144,
        146 => 147,
        147 => 146,
        148 => 149,
        149 => 148,
        151 => 152,
        152 => 151,
        157 => 158,
        158 => 157,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_echo_has_identifier_and_sequence() {
        let message = parse(&[8, 0, 0, 0, 1, 2, 3, 4, 9]).unwrap();
        assert_eq!(
            (message.icmp.id, message.icmp.seq, message.payload),
            (Some(0x102), Some(0x304), &[9u8][..])
        );
    }

    #[test]
    fn an_error_without_room_for_a_header_is_malformed() {
        let message = parse(&[3, 1, 0, 0, 0, 0, 0, 0, 0x45]).unwrap();
        assert_eq!(message.malformed, Some("icmpv4.ipv4_trunc_pkt"));
    }

    #[test]
    fn counterparts_are_mutual() {
        for kind in 0..=255u8 {
            for other in [
                counterpart(kind).map(counterpart),
                counterpart_v6(kind).map(counterpart_v6),
            ] {
                assert!(other.is_none() || other == Some(Some(kind)));
            }
        }
    }
}
