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
    /// Blocks of the SACK option (pairs of 32 bit edges), if present and well-formed.
    pub sack: &'a [u8],
    /// Fast Open option (RFC 7413) present.
    pub fast_open: bool,
    /// MD5 (RFC 2385) or AO (RFC 5925) option present.
    pub authenticated: bool,
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

/// Where a packet comes from (EVE's `pkt_src`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Origin {
    /// A captured frame.
    #[default]
    Wire,
    /// Taken out of GRE.
    Gre,
    /// Taken out of IPv4.
    Ipv4,
    /// Taken out of IPv6.
    Ipv6,
    /// Taken out of Teredo.
    Teredo,
    /// Taken out of VXLAN.
    Vxlan,
    /// Taken out of Geneve.
    Geneve,
    /// Put together from fragments.
    Defrag,
    /// Made at the end of a flow.
    FlowTimeout,
    /// Made when what waits of a TCP session's streams is looked at before its time.
    StreamFlush,
}

impl Origin {
    /// Suricata's text.
    pub fn as_str(self) -> &'static str {
        match self {
            Origin::Wire => "wire/pcap",
            Origin::Gre => "gre tunnel",
            Origin::Ipv4 => "ipv4 tunnel",
            Origin::Ipv6 => "ipv6 tunnel",
            Origin::Teredo => "teredo tunnel",
            Origin::Vxlan => "vxlan encapsulation",
            Origin::Geneve => "geneve encapsulation",
            Origin::Defrag => "defrag",
            Origin::FlowTimeout => "stream (flow timeout)",
            Origin::StreamFlush => "stream (detect/log)",
        }
    }
}

/// The outermost packet of a tunnel, as alerts show it.
#[derive(Clone, Copy, Debug)]
pub struct Outer {
    /// Source address.
    pub src: IpAddr,
    /// Destination address.
    pub dst: IpAddr,
    /// Source port, 0 without ports.
    pub sport: u16,
    /// Destination port, 0 without ports.
    pub dport: u16,
    /// IP protocol.
    pub proto: u8,
    /// The frame's number in its capture; the packets taken out of it have none of their own.
    pub number: u64,
    /// Where it comes from.
    pub origin: Origin,
}

/// A packet with its layers, valid while the frame's (or the reassembled datagram's) octets are.
#[derive(Clone, Debug)]
pub struct Packet<'a> {
    /// When the frame was captured.
    pub ts: Timestamp,
    /// 1-based number of the frame in its capture (`pcap_cnt`); 0 for what was taken out of a frame or made here.
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
    /// The flow was established when this packet had been counted (`flow:established` of this packet).
    pub established: bool,
    /// First packet of its flow in its direction.
    pub first_in_direction: bool,
    /// An event made it invalid (Suricata's `PKT_IS_INVALID`).
    pub invalid: bool,
    /// A fragment that is not looked into; the reassembled packet is.
    pub fragment: bool,
    /// Its payload is inspected as a packet of its own (tunnel) or not at all.
    pub payload_inspected_elsewhere: bool,
    /// Its TCP session, which is established, did not refuse it: rules on the application see it (`PKT_STREAM_EST`).
    pub in_session: bool,
    /// What its direction of the flow speaks has become known: rules on nothing but that are due.
    pub protocol_settled: bool,
    /// It goes to the flow layer.
    pub wants_flow: bool,
    /// Its payload was taken into the TCP stream, whose inspection covers it (`PKT_STREAM_ADD`).
    pub in_stream: bool,
    /// Pseudo packet or last packet: nothing follows on this stream direction (`STREAM_EOF`).
    pub stream_ended: bool,
    /// Where it comes from.
    pub origin: Origin,
    /// The outermost packet of the tunnel it was taken out of.
    pub outer: Option<Outer>,
    /// Headers decoded so far, its tunnels' included; bounded.
    pub(crate) layers: u8,
}

/// At most this many events are kept on a packet (Suricata's `PACKET_ENGINE_EVENT_MAX`).
const MAX_EVENTS: usize = 15;

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
            established: false,
            first_in_direction: false,
            invalid: false,
            fragment: false,
            payload_inspected_elsewhere: false,
            in_session: false,
            protocol_settled: false,
            wants_flow: false,
            in_stream: false,
            stream_ended: false,
            origin: Origin::Wire,
            outer: None,
            layers: 0,
        }
    }

    /// Note something odd.
    pub fn raise(&mut self, event: &'static str) {
        if !self.events.contains(&event) && self.events.len() < MAX_EVENTS {
            self.events.push(event);
        }
    }

    /// Note something that makes the packet invalid.
    pub fn malformed(&mut self, event: &'static str) {
        self.invalid = true;
        self.raise(event);
    }

    /// The TCP header, if it is TCP.
    pub fn tcp(&self) -> Option<&Tcp<'a>> {
        match &self.transport {
            Transport::Tcp(tcp) => Some(tcp),
            _ => None,
        }
    }
}
