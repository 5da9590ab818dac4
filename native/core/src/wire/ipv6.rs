//! IPv6 (RFC 8200) and its extension headers.

use std::net::Ipv6Addr;

use super::{be16, be32, octet, rest, Malformed};

/// Fixed header length, octets.
pub const LEN: usize = 40;

/// A fixed header whose payload length fits.
#[derive(Clone, Copy, Debug)]
pub struct Ipv6<'a> {
    data: &'a [u8],
    payload_len: usize,
}

impl<'a> Ipv6<'a> {
    /// Check the lengths; too few octets for a header carry no event of their own.
    pub fn parse(data: &'a [u8]) -> Result<Ipv6<'a>, Option<Malformed>> {
        if data.len() < LEN {
            return Err(None);
        }
        if octet(data, 0) >> 4 != 6 {
            return Err(Some(Malformed("ipv6.wrong_ip_version")));
        }
        let payload_len = usize::from(be16(data, 4));
        if data.len() < LEN + payload_len {
            return Err(Some(Malformed("ipv6.trunc_pkt")));
        }
        Ok(Ipv6 { data, payload_len })
    }

    /// The fixed header.
    pub fn header(&self) -> &'a [u8] {
        self.data.get(..LEN).unwrap_or(&[])
    }

    /// The fixed header and the first `extensions_len` octets of what follows.
    pub fn header_with(&self, extensions_len: usize) -> &'a [u8] {
        self.data.get(..LEN + extensions_len).unwrap_or(&[])
    }

    /// What follows the fixed header, to the end it gives.
    pub fn payload(&self) -> &'a [u8] {
        self.data.get(LEN..LEN + self.payload_len).unwrap_or(&[])
    }

    /// Traffic class.
    pub fn traffic_class(&self) -> u8 {
        (be16(self.data, 0) >> 4) as u8
    }

    /// Next header.
    pub fn next_header(&self) -> u8 {
        octet(self.data, 6)
    }

    /// Hop limit.
    pub fn hop_limit(&self) -> u8 {
        octet(self.data, 7)
    }

    /// Source.
    pub fn src(&self) -> Ipv6Addr {
        address(self.data, 8)
    }

    /// Destination.
    pub fn dst(&self) -> Ipv6Addr {
        address(self.data, 24)
    }
}

/// The address at `at`.
pub fn address(data: &[u8], at: usize) -> Ipv6Addr {
    data.get(at..at + 16)
        .and_then(|octets| <[u8; 16]>::try_from(octets).ok())
        .map_or(Ipv6Addr::UNSPECIFIED, Ipv6Addr::from)
}

/// Fragment header (RFC 8200 section 4.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fragment {
    /// Next header of the fragmented part.
    pub next_header: u8,
    /// Offset, in units of 8 octets.
    pub offset: u16,
    /// More fragments follow.
    pub more: bool,
    /// Identification.
    pub id: u32,
    /// Where the fragment header begins, octets after the fixed header.
    pub at: usize,
}

/// What the extension headers lead to.
#[derive(Clone, Copy, Debug, Default)]
pub struct Walk {
    /// Protocol of the packet: the last next-header value looked at.
    pub proto: u8,
    /// A transport (or tunnel) with this protocol begins at `at`.
    pub transport: Option<u8>,
    /// Octets of extension headers.
    pub at: usize,
    /// The first fragment header.
    pub fragment: Option<Fragment>,
    /// It is a part of a fragmented packet: what follows is looked into when it is whole.
    pub is_fragment: bool,
    /// Next-header values, in order.
    pub chain: [u8; 8],
    /// How many of `chain` are set.
    pub chain_len: u8,
}

/// Walk the extension headers of `payload`, the first of kind `next`.
pub fn walk(
    mut next: u8,
    payload: &[u8],
    mut odd: impl FnMut(&'static str),
    mut malformed: impl FnMut(&'static str),
) -> Walk {
    let mut walk = Walk {
        proto: 0,
        ..Walk::default()
    };
    let (mut hop, mut routing, mut auth, mut destination) = (false, false, false, 0u8);
    loop {
        let left = rest(payload, walk.at);
        if next == 59 {
            if !left.is_empty() {
                odd("ipv6.data_after_none_header");
            }
            return walk;
        }
        if left.len() < 2 {
            malformed("ipv6.trunc_exthdr");
            return walk;
        }
        let length = match next {
            6 | 17 | 58 | 132 | 50 | 4 => {
                walk.proto = next;
                walk.transport = Some(next);
                return walk;
            }
            // Hop-by-hop, routing, destination, mobility, HIP, shim6.
            0 | 43 | 60 | 135 | 139 | 140 => 8 + usize::from(octet(left, 1)) * 8,
            44 => 8,
            // Authentication: in units of 4 octets, less 2.
            51 => 12 + usize::from(octet(left, 1)).saturating_sub(1) * 4,
            1 => {
                odd("ipv6.icmpv4");
                return walk;
            }
            _ => {
                odd("ipv6.unknown_next_header");
                walk.proto = next;
                return walk;
            }
        };
        if !matches!(next, 135 | 139 | 140) {
            walk.proto = next;
        }
        if length > left.len() {
            malformed("ipv6.trunc_exthdr");
            return walk;
        }
        if let Some(slot) = walk.chain.get_mut(usize::from(walk.chain_len)) {
            *slot = next;
            walk.chain_len += 1;
        }
        let header = left.get(..length).unwrap_or(&[]);
        match next {
            0 if hop => odd("ipv6.exthdr_dupl_hh"),
            0 => {
                hop = true;
                check_options(true, rest(header, 2), &mut odd, &mut malformed);
            }
            60 if destination == 2 => odd("ipv6.exthdr_dupl_dh"),
            60 => {
                destination += 1;
                check_options(false, rest(header, 2), &mut odd, &mut malformed);
            }
            43 if routing => odd("ipv6.exthdr_dupl_rh"),
            43 => {
                routing = true;
                if octet(header, 2) == 0 {
                    odd("ipv6.rh_type_0");
                }
            }
            44 => {
                if octet(header, 1) != 0 {
                    odd("ipv6.fh_non_zero_reserved_field");
                }
                if walk.fragment.is_some() {
                    odd("ipv6.exthdr_dupl_fh");
                } else {
                    let word = be16(header, 2);
                    let fragment = Fragment {
                        next_header: octet(header, 0),
                        offset: word >> 3,
                        more: word & 1 == 1,
                        id: be32(header, 4),
                        at: walk.at,
                    };
                    walk.fragment = Some(fragment);
                    if !fragment.more && fragment.offset == 0 {
                        odd("ipv6.exthdr_useless_fh");
                    } else {
                        if fragment.more && left.len() % 8 != 0 {
                            odd("ipv6.frag_invalid_length");
                        }
                        walk.is_fragment = true;
                        return walk;
                    }
                }
            }
            51 => {
                if be16(header, 2) != 0 {
                    odd("ipv6.exthdr_ah_res_not_null");
                }
                if auth {
                    odd("ipv6.exthdr_dupl_ah");
                }
                auth = true;
            }
            _ => {}
        }
        next = octet(header, 0);
        walk.at += length;
    }
}

/// Check hop-by-hop or destination options.
fn check_options(
    hop_by_hop: bool,
    options: &[u8],
    odd: &mut impl FnMut(&'static str),
    malformed: &mut impl FnMut(&'static str),
) {
    let (mut padding, mut others) = (0, 0);
    let mut at = 0;
    while at < options.len() {
        let kind = octet(options, at);
        if kind == 0 {
            padding += 1;
            at += 1;
            continue;
        }
        let length = usize::from(octet(options, at + 1));
        if at + 1 >= options.len() || at + 1 + length > options.len() {
            malformed("ipv6.exthdr_invalid_optlen");
            break;
        }
        // Least value length by option: router alert (RFC 2711), jumbo payload (RFC 2675), home address (RFC 6275).
        let least = match kind {
            5 => 2,
            0xc2 => 4,
            0xc9 => 16,
            _ => 0,
        };
        if length < least {
            malformed("ipv6.exthdr_invalid_optlen");
            break;
        }
        match kind {
            1 => {
                padding += 1;
                if length == 0 {
                    odd("ipv6.zero_len_padn");
                }
            }
            0xc2 => {}
            5 | 0xc9 => others += 1,
            _ => {
                others += 1;
                odd(if hop_by_hop {
                    "ipv6.hopopts_unknown_opt"
                } else {
                    "ipv6.dstopts_unknown_opt"
                });
            }
        }
        at += length + 2;
    }
    if padding > 0 && others == 0 {
        odd(if hop_by_hop {
            "ipv6.hopopts_only_padding"
        } else {
            "ipv6.dstopts_only_padding"
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn walked(next: u8, payload: &[u8]) -> (Walk, Vec<&'static str>) {
        let (mut odd, mut bad) = (Vec::new(), Vec::new());
        let walk = walk(next, payload, |event| odd.push(event), |event| bad.push(event));
        odd.extend(bad);
        (walk, odd)
    }

    #[test]
    fn the_transport_is_found_behind_extension_headers() {
        let payload = [43, 0, 5, 2, 0, 0, 0, 0, 6, 0, 4, 0, 0, 0, 0, 0, 1, 2, 3];
        let (walk, events) = walked(0, &payload);
        assert_eq!(
            (walk.transport, walk.at, walk.chain_len, &walk.chain[..2]),
            (Some(6), 16, 2, &[0, 43][..])
        );
        assert_eq!(events, Vec::<&str>::new());
    }

    #[test]
    fn a_fragment_stops_the_walk_and_a_useless_fragment_header_does_not() {
        let (walk, _) = walked(44, &[17, 0, 0, 1, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0]);
        assert!(walk.is_fragment && walk.transport.is_none());
        assert_eq!(
            walk.fragment.map(|f| (f.offset, f.more, f.id)),
            Some((0, true, 7))
        );
        let (walk, events) = walked(44, &[17, 0, 0, 0, 0, 0, 0, 7, 0, 0]);
        assert_eq!(
            (walk.transport, events),
            (Some(17), vec!["ipv6.exthdr_useless_fh"])
        );
    }

    #[test]
    fn truncated_headers_and_options_are_malformed() {
        assert_eq!(walked(0, &[6, 1, 0, 0, 0, 0, 0, 0]).1, ["ipv6.trunc_exthdr"]);
        assert_eq!(
            walked(60, &[59, 0, 5, 9, 0, 0, 0, 0]).1,
            ["ipv6.exthdr_invalid_optlen"]
        );
        assert_eq!(
            walked(0, &[59, 0, 1, 4, 0, 0, 0, 0]).1,
            ["ipv6.hopopts_only_padding"]
        );
    }
}
