//! A decoded packet: borrowed octets, and what the headers said.

use std::net::IpAddr;

use smallvec::SmallVec;

use crate::time::Timestamp;

/// A frame as a source delivered it.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    /// When it was captured.
    pub ts: Timestamp,
    /// The captured octets, from the link layer on.
    pub data: &'a [u8],
    /// Length on the wire, octets; more than `data.len()` when the capture was cut (snap length).
    pub wire_len: u32,
    /// Link type as in <https://www.tcpdump.org/linktypes.html>.
    pub linktype: u32,
}

/// Who sends, seen from the flow: the client is who opened it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Direction {
    /// From the client to the server.
    ToServer = 0,
    /// From the server to the client.
    ToClient = 1,
}

impl Direction {
    /// The other one.
    pub fn opposite(self) -> Direction {
        match self {
            Direction::ToServer => Direction::ToClient,
            Direction::ToClient => Direction::ToServer,
        }
    }

    /// 0 or 1, for arrays of two.
    pub fn index(self) -> usize {
        self as usize
    }
}

/// TCP header fields (RFC 9293 section 3.1), host byte order.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tcp<'a> {
    /// Sequence number.
    pub seq: u32,
    /// Acknowledgement number.
    pub ack: u32,
    /// CWR ECE URG ACK PSH RST SYN FIN from bit 7 to bit 0.
    pub flags: u8,
    /// Data offset and the reserved bits, as on the wire (octet 12).
    pub offset_reserved: u8,
    /// Window, not scaled.
    pub window: u16,
    /// Urgent pointer.
    pub urgent: u16,
    /// Options, may be malformed.
    pub options: &'a [u8],
    /// Maximum segment size option, if present and well-formed.
    pub mss: Option<u16>,
    /// Window scale option (0 to 14), if present and well-formed.
    pub window_scale: Option<u8>,
    /// Timestamps option (TSval, TSecr), if present and well-formed.
    pub timestamps: Option<(u32, u32)>,
    /// SACK-permitted option present.
    pub sack_permitted: bool,
}

/// FIN flag.
pub const TCP_FIN: u8 = 0x01;
/// SYN flag.
pub const TCP_SYN: u8 = 0x02;
/// RST flag.
pub const TCP_RST: u8 = 0x04;
/// PSH flag.
pub const TCP_PSH: u8 = 0x08;
/// ACK flag.
pub const TCP_ACK: u8 = 0x10;
/// URG flag.
pub const TCP_URG: u8 = 0x20;

/// ICMP or ICMPv6 header fields.
#[derive(Clone, Copy, Debug, Default)]
pub struct Icmp {
    /// Type.
    pub kind: u8,
    /// Code.
    pub code: u8,
    /// Identifier, for the types that have one.
    pub id: Option<u16>,
    /// Sequence number, for the types that have one.
    pub seq: Option<u16>,
    /// MTU, for "packet too big" (ICMPv6) and "fragmentation needed" (ICMP).
    pub mtu: Option<u32>,
}

/// What is above IP.
#[derive(Clone, Copy, Debug, Default)]
pub enum Transport<'a> {
    /// Nothing that was decoded: another protocol, a fragment, or a header that is malformed.
    #[default]
    None,
    /// TCP.
    Tcp(Tcp<'a>),
    /// UDP.
    Udp,
    /// ICMP.
    Icmp(Icmp),
    /// ICMPv6.
    Icmp6(Icmp),
    /// SCTP.
    Sctp,
    /// ESP (RFC 4303): the SPI.
    Esp(u32),
}

/// Fields of the IP header that rules look at.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ip<'a> {
    /// 4, 6, or 0 when there is no IP.
    pub version: u8,
    /// Protocol (IPv4) or the last next-header (IPv6).
    pub proto: u8,
    /// TTL or hop limit.
    pub ttl: u8,
    /// TOS or traffic class.
    pub tos: u8,
    /// Identification: of the IPv4 header, or of the IPv6 fragment header.
    pub id: u32,
    /// Reserved, DF, MF from bit 2 to bit 0.
    pub frag_flags: u8,
    /// Fragment offset, in units of 8 octets.
    pub frag_offset: u16,
    /// IPv4 options, may be malformed.
    pub options: &'a [u8],
    /// Next-header values of the IPv6 extension headers, in order.
    pub extensions: [u8; 8],
    /// How many of `extensions` are set.
    pub extension_count: u8,
    /// The whole header (with options or extension headers).
    pub header: &'a [u8],
    /// Everything after the header, to the end the header gives.
    pub payload: &'a [u8],
}

/// A packet with its layers, valid while the frame's (or the reassembled datagram's) octets are.
#[derive(Clone, Debug)]
pub struct Packet<'a> {
    /// When the frame was captured.
    pub ts: Timestamp,
    /// 1-based number of the frame in its capture (`pcap_cnt`).
    pub number: u64,
    /// The octets this packet was decoded from, from its own lowest layer on.
    pub data: &'a [u8],
    /// Octets on the wire.
    pub wire_len: u32,
    /// Link type of `data`.
    pub linktype: u32,
    /// Ethernet destination, source, type.
    pub ether: Option<([u8; 6], [u8; 6], u16)>,
    /// VLAN identifiers, outermost first.
    pub vlans: SmallVec<[u16; 3]>,
    /// Source address; unspecified when `ip.version` is 0.
    pub src: IpAddr,
    /// Destination address.
    pub dst: IpAddr,
    /// Source port, 0 without ports.
    pub sport: u16,
    /// Destination port, 0 without ports.
    pub dport: u16,
    /// IP header fields.
    pub ip: Ip<'a>,
    /// The transport header fields.
    pub transport: Transport<'a>,
    /// The transport header's octets.
    pub transport_header: &'a [u8],
    /// The transport's payload.
    pub payload: &'a [u8],
    /// What was malformed or odd, by Suricata's event name: `"ipv4.hlen_too_small"`.
    pub events: SmallVec<[&'static str; 2]>,
    /// How many tunnels this packet was taken out of.
    pub recursion: u8,
    /// Made by the engine at the end of a flow, not received.
    pub pseudo: bool,
    /// Put together from fragments.
    pub reassembled: bool,
    /// A checksum is wrong and checksums are checked: the packet takes part in nothing stateful.
    pub checksum_invalid: bool,
    /// Set by the flow layer.
    pub direction: Option<Direction>,
}

impl<'a> Packet<'a> {
    /// A packet of which nothing is known yet but the frame.
    pub fn new(frame: &Frame<'a>, number: u64) -> Packet<'a> {
        Packet {
            ts: frame.ts,
            number,
            data: frame.data,
            wire_len: frame.wire_len,
            linktype: frame.linktype,
            ether: None,
            vlans: SmallVec::new(),
            src: IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED),
            dst: IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED),
            sport: 0,
            dport: 0,
            ip: Ip::default(),
            transport: Transport::None,
            transport_header: &[],
            payload: &[],
            events: SmallVec::new(),
            recursion: 0,
            pseudo: false,
            reassembled: false,
            checksum_invalid: false,
            direction: None,
        }
    }

    /// The TCP header, if it is TCP.
    pub fn tcp(&self) -> Option<&Tcp<'a>> {
        match &self.transport {
            Transport::Tcp(tcp) => Some(tcp),
            _ => None,
        }
    }
}
