//! Frames in, packets out.

use proptest::prelude::*;

use super::{Decoder, Sink};
use crate::config::Config;
use crate::counters::Counters;
use crate::packet::{Frame, Origin, Packet, Transport};
use crate::time::Timestamp;
use crate::wire::build::{ethernet, ipv4, ipv6, udp};
use crate::wire::checksum;

/// What a packet was, said shortly: origin, protocol, ports, payload, events.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Said {
    origin: Origin,
    proto: u8,
    ports: (u16, u16),
    payload: Vec<u8>,
    events: Vec<&'static str>,
    recursion: u8,
    vlans: Vec<u16>,
}

#[derive(Default)]
struct Heard(Vec<Said>);

impl Sink for Heard {
    fn packet(&mut self, packet: &mut Packet<'_>, _counters: &mut Counters) {
        self.0.push(Said {
            origin: packet.origin,
            proto: packet.ip.proto,
            ports: (packet.sport, packet.dport),
            payload: packet.payload.to_vec(),
            events: packet.events.to_vec(),
            recursion: packet.recursion,
            vlans: packet.vlans.to_vec(),
        });
    }
}

fn decode(linktype: u32, frames: &[&[u8]]) -> Vec<Said> {
    let config = Config {
        checksum_validation: true,
        ..Config::default()
    };
    let mut decoder = Decoder::new(&config);
    let mut heard = Heard::default();
    for data in frames {
        let frame = Frame {
            ts: Timestamp(1_000_000_000),
            data,
            wire_len: data.len() as u32,
            linktype,
        };
        decoder.frame(&frame, &mut Counters::default(), &mut heard);
    }
    heard.0
}

fn last(said: &[Said]) -> &Said {
    said.last().expect("a packet")
}

#[test]
fn every_link_type_leads_to_the_same_datagram() {
    let ip = ipv4(17, 0, &udp(5, 6, b"hi"));
    let frames: Vec<(u32, Vec<u8>)> = vec![
        (1, ethernet(0x0800, &ip)),
        (101, ip.clone()),
        (12, ip.clone()),
        (228, ip.clone()),
        (0, [&[2, 0, 0, 0][..], &ip].concat()),
        (108, [&[0, 0, 0, 2][..], &ip].concat()),
        (113, [&[0; 14][..], &[8, 0], &ip].concat()),
        (276, [&[8, 0][..], &[0; 18], &ip].concat()),
        (9, [&[0xff, 3, 0, 0x21][..], &ip].concat()),
        (104, [&[0x0f, 0, 8, 0][..], &ip].concat()),
    ];
    for (linktype, frame) in frames {
        let said = decode(linktype, &[&frame]);
        assert_eq!(said.len(), 1, "link type {linktype}");
        assert_eq!(
            (said[0].ports, &said[0].payload[..]),
            ((5, 6), &b"hi"[..]),
            "link type {linktype}"
        );
        assert!(
            said[0].events.is_empty(),
            "link type {linktype}: {:?}",
            said[0].events
        );
    }
}

#[test]
fn vlan_tags_are_kept_up_to_three() {
    let ip = ipv4(17, 0, &udp(5, 6, b"hi"));
    let tagged = ethernet(0x88a8, &[&[0, 7, 0x81, 0, 0, 8, 8, 0][..], &ip].concat());
    assert_eq!(last(&decode(1, &[&tagged])).vlans, [7, 8]);
    let four = ethernet(
        0x8100,
        &[
            &[0, 1, 0x81, 0, 0, 2, 0x81, 0, 0, 3, 0x81, 0, 0, 4, 8, 0][..],
            &ip,
        ]
        .concat(),
    );
    let said = decode(1, &[&four]);
    assert_eq!(
        (last(&said).vlans.as_slice(), last(&said).proto),
        (&[1, 2, 3][..], 0)
    );
    assert!(last(&said).events.contains(&"vlan.too_many_layers"));
}

#[test]
fn tunnels_yield_their_inner_packet_first() {
    let inner = ipv4(17, 0, &udp(5, 6, b"hi"));
    let inner6 = ipv6(17, &udp(5, 6, b"hi"));
    let gre = [&[0, 0, 8, 0][..], &inner].concat();
    let vxlan = [&[8, 0, 0, 0, 0, 0, 1, 0][..], &ethernet(0x0800, &inner)].concat();
    let geneve = [&[0, 0, 8, 0, 0, 0, 1, 0][..], &inner].concat();
    for (origin, outer) in [
        (Origin::Gre, ipv4(47, 0, &gre)),
        (Origin::Ipv4, ipv4(41, 0, &inner6)),
        (Origin::Ipv6, ipv6(4, &inner)),
        (Origin::Ipv6, ipv6(41, &inner6)),
        (Origin::Vxlan, ipv4(17, 0, &udp(1, 4789, &vxlan))),
        (Origin::Geneve, ipv4(17, 0, &udp(1, 6081, &geneve))),
        (Origin::Teredo, ipv4(17, 0, &udp(1, 3544, &inner6))),
    ] {
        let said = decode(101, &[&outer]);
        assert_eq!(said.len(), 2, "{origin:?}");
        assert_eq!(
            (said[0].origin, said[0].recursion, said[0].ports),
            (origin, 1, (5, 6))
        );
        assert_eq!((said[1].origin, said[1].recursion), (Origin::Wire, 0));
    }
}

#[test]
fn tunnels_in_tunnels_end_somewhere() {
    let mut packet = ipv4(17, 0, &udp(5, 6, b"hi"));
    for _ in 0..60 {
        packet = ipv4(47, 0, &[&[0, 0, 8, 0][..], &packet].concat());
    }
    let said = decode(101, &[&packet]);
    assert!((1..16).contains(&said.len()));
}

#[test]
fn fragments_become_a_datagram_again() {
    let datagram = udp(5, 6, &[7; 24]);
    let (one, two) = datagram.split_at(16);
    let said = decode(101, &[&ipv4(17, 0x2000, one), &ipv4(17, 2, two)]);
    let whole = said
        .iter()
        .find(|said| said.origin == Origin::Defrag)
        .expect("a whole datagram");
    assert_eq!(
        (whole.ports, whole.payload.len(), &whole.events[..]),
        ((5, 6), 24, &[][..])
    );
    let fragment = |offset: u16, more: u16, payload: &[u8]| {
        let header = [&[17, 0][..], &(offset << 3 | more).to_be_bytes(), &[0, 0, 0, 9]].concat();
        ipv6(44, &[&header[..], payload].concat())
    };
    let said = decode(101, &[&fragment(2, 0, two), &fragment(0, 1, one)]);
    let whole = said
        .iter()
        .find(|said| said.origin == Origin::Defrag)
        .expect("a whole datagram");
    assert_eq!((whole.proto, whole.ports, whole.payload.len()), (17, (5, 6), 24));
}

#[test]
fn a_wrong_tcp_checksum_is_told() {
    let mut segment = vec![0, 5, 0, 6, 0, 0, 0, 1, 0, 0, 0, 0, 0x50, 2, 1, 0, 0, 0, 0, 0];
    struct Flag(Vec<bool>);
    impl Sink for Flag {
        fn packet(&mut self, packet: &mut Packet<'_>, _counters: &mut Counters) {
            assert!(matches!(packet.transport, Transport::Tcp(_)));
            self.0.push(packet.checksum_invalid);
        }
    }
    let mut flag = Flag(Vec::new());
    let mut decoder = Decoder::new(&Config {
        checksum_validation: true,
        ..Config::default()
    });
    let (src, dst) = ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
    for right in [false, true] {
        if right {
            let sum = checksum::transport(&src, &dst, 6, &segment);
            segment[16..18].copy_from_slice(&sum.to_be_bytes());
        }
        let data = ipv4(6, 0, &segment);
        let frame = Frame {
            ts: Timestamp(0),
            data: &data,
            wire_len: data.len() as u32,
            linktype: 101,
        };
        decoder.frame(&frame, &mut Counters::default(), &mut flag);
    }
    assert_eq!(flag.0, [true, false]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn any_octets_never_panic(
        linktype in prop_oneof![Just(0u32), Just(1), Just(9), Just(12), Just(101), Just(104), Just(108), Just(113), Just(276), any::<u32>()],
        data in proptest::collection::vec(any::<u8>(), 0..200),
    ) {
        decode(linktype, &[&data]);
    }

    #[test]
    fn any_octets_behind_any_header_never_panic(
        kind in prop_oneof![
            Just(0x0800u16), Just(0x86dd), Just(0x8100), Just(0x8847), Just(0x8863), Just(0x8864), Just(0x88e7),
            Just(0x894f), Just(0x8926), Just(0x8903)
        ],
        proto in prop_oneof![Just(1u8), Just(4), Just(6), Just(17), Just(41), Just(44), Just(47), Just(50), Just(51), Just(58), Just(60), Just(132)],
        flags in any::<u16>(),
        port in prop_oneof![Just(3544u16), Just(4789), Just(6081)],
        data in proptest::collection::vec(any::<u8>(), 0..120),
    ) {
        decode(1, &[&ethernet(kind, &data)]);
        decode(101, &[&ipv4(proto, flags, &data), &ipv6(proto, &data), &ipv4(17, 0, &udp(1, port, &data))]);
    }
}
