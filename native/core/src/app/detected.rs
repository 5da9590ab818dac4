//! Protocols that are found but not taken apart: `alert <proto>` and `app-layer-protocol` know them, their keywords are
//! refused.
//!
//! Patterns, ports and probes are those Suricata 7 registers.

use super::{Carrier, Pattern, Probe, ProbeFn, Probing, Protocol};
use crate::packet::Direction;

const TS: Direction = Direction::ToServer;
const TC: Direction = Direction::ToClient;
/// Octets after which most probes that are not sure say no.
const PROBE_MAX: usize = 16;

const fn on_ports(carrier: Carrier, ports: &'static [u16], probe: ProbeFn) -> Probing {
    Probing {
        carrier,
        ports,
        client_ports: &[],
        min: 0,
        max: PROBE_MAX,
        to_server: Some(probe),
        to_client: Some(probe),
    }
}

/// Remote framebuffer (RFC 6143).
pub static RFB: Protocol = Protocol {
    name: "rfb",
    patterns: &[
        Pattern::tcp(TC, b"RFB ").nocase(),
        Pattern::tcp(TS, b"RFB ").nocase(),
    ],
    ..Protocol::DETECTED
};

/// IMAP.
pub static IMAP: Protocol = Protocol {
    name: "imap",
    patterns: &[Pattern::tcp(TS, b"1 capability")],
    ..Protocol::DETECTED
};

fn from(direction: Direction, is_request: bool) -> Probe {
    if is_request == (direction == TS) {
        Probe::Certain
    } else {
        Probe::Reversed
    }
}

/// BitTorrent's distributed hash table.
pub static BITTORRENT_DHT: Protocol = Protocol {
    name: "bittorrent-dht",
    carriers: &[Carrier::Udp],
    patterns: &[
        Pattern::udp(TS, b"d1:ad2:id20:"),
        Pattern::udp(TC, b"d1:ad2:id20:"),
    ],
    ..Protocol::DETECTED
};

/// MQTT.
pub static MQTT: Protocol = Protocol {
    name: "mqtt",
    probing: &[on_ports(Carrier::Tcp, &[1883], mqtt)],
    ..Protocol::DETECTED
};

fn mqtt(octets: &[u8], _direction: Direction) -> Probe {
    let Some((&first, rest)) = octets.split_first() else {
        return Probe::Unsure;
    };
    let ends = rest.iter().take(4).any(|octet| octet & 0x80 == 0);
    match (first >> 4, first >> 1 & 3) {
        _ if !ends && rest.len() < 4 => Probe::Unsure,
        (0, _) | (_, 3) => Probe::No,
        _ if ends => Probe::Certain,
        _ => Probe::No,
    }
}

/// RDP.
pub static RDP: Protocol = Protocol {
    name: "rdp",
    probing: &[on_ports(Carrier::Tcp, &[3389], rdp)],
    ..Protocol::DETECTED
};

fn rdp(octets: &[u8], _direction: Direction) -> Probe {
    if octets.first() == Some(&3) {
        Probe::Certain
    } else {
        Probe::Unsure
    }
}

/// Telnet.
pub static TELNET: Protocol = Protocol {
    name: "telnet",
    probing: &[on_ports(Carrier::Tcp, &[23], telnet)],
    ..Protocol::DETECTED
};

fn telnet(octets: &[u8], _direction: Direction) -> Probe {
    if octets.len() > 1 {
        Probe::Certain
    } else {
        Probe::Unsure
    }
}

/// Kerberos 5.
pub static KRB5: Protocol = Protocol {
    name: "krb5",
    carriers: &[Carrier::Tcp, Carrier::Udp],
    probing: &[
        on_ports(Carrier::Udp, &[88], kerberos),
        on_ports(Carrier::Tcp, &[88], kerberos_stream),
    ],
    ..Protocol::DETECTED
};

/// Length of a DER element's header.
fn der_header(octets: &[u8]) -> Option<usize> {
    match octets.get(1)? {
        0..=0x7f => Some(2),
        len => Some(2 + usize::from(len & 0x7f)),
    }
}

fn kerberos(octets: &[u8], _direction: Direction) -> Probe {
    // [APPLICATION n] SEQUENCE { [1] INTEGER 5
    let found = || {
        if octets.len() <= 10 || octets[0] >> 6 != 1 || octets[0] & 0x1f > 30 {
            return None;
        }
        let sequence = octets.get(der_header(octets)?..)?;
        if *sequence.first()? != 0x30 {
            return None;
        }
        let inner = sequence.get(der_header(sequence)?..)?;
        (inner.len() > 5 && inner[2..5] == [2, 1, 5]).then_some(())
    };
    found().map_or(Probe::No, |()| Probe::Certain)
}

fn kerberos_stream(octets: &[u8], direction: Direction) -> Probe {
    match octets.split_first_chunk::<4>() {
        Some((len, rest)) if octets.len() > 14 && u32::from_be_bytes(*len) <= 16_384 => {
            kerberos(rest, direction)
        }
        _ => Probe::No,
    }
}

/// SNMP.
pub static SNMP: Protocol = Protocol {
    name: "snmp",
    carriers: &[Carrier::Udp],
    probing: &[on_ports(Carrier::Udp, &[161, 162], snmp)],
    ..Protocol::DETECTED
};

fn snmp(octets: &[u8], _direction: Direction) -> Probe {
    if octets.len() < 4 {
        return Probe::No;
    }
    let Some(version) = der_header(octets).and_then(|len| octets.get(len..)) else {
        return Probe::No;
    };
    match version {
        [2, 1, 0 | 1 | 3, ..] if octets[0] == 0x30 => Probe::Certain,
        [] | [2] | [2, 1] if octets[0] == 0x30 => Probe::Unsure,
        _ => Probe::No,
    }
}

/// SIP over UDP.
pub static SIP: Protocol = Protocol {
    name: "sip",
    carriers: &[Carrier::Udp],
    probing: &[on_ports(Carrier::Udp, &[5060, 5061], sip)],
    ..Protocol::DETECTED
};

fn sip(octets: &[u8], direction: Direction) -> Probe {
    let line = octets.split(|&octet| octet == b'\r').next().unwrap_or_default();
    let mut words = line.split(|&octet| octet == b' ');
    let (first, _, third) = (words.next(), words.next(), words.next());
    let found = match direction {
        Direction::ToServer => {
            let method =
                first.is_some_and(|word| !word.is_empty() && word.iter().all(u8::is_ascii_uppercase));
            method && third.is_some_and(|word| word.starts_with(b"SIP/"))
        }
        Direction::ToClient => first.is_some_and(|word| word.starts_with(b"SIP/")) && third.is_some(),
    };
    if found && line.len() < octets.len() {
        Probe::Certain
    } else {
        Probe::Unsure
    }
}

/// TFTP.
pub static TFTP: Protocol = Protocol {
    name: "tftp",
    carriers: &[Carrier::Udp],
    probing: &[Probing {
        max: 4,
        ..on_ports(Carrier::Udp, &[69], tftp)
    }],
    ..Protocol::DETECTED
};

fn tftp(octets: &[u8], _direction: Direction) -> Probe {
    if octets.len() >= 4 && octets[0] == 0 {
        Probe::Certain
    } else {
        Probe::Unsure
    }
}

/// IKE.
pub static IKE: Protocol = Protocol {
    name: "ike",
    aliases: &["ikev2", "ikev1"],
    carriers: &[Carrier::Udp],
    probing: &[on_ports(Carrier::Udp, &[500], ike)],
    ..Protocol::DETECTED
};

fn ike(octets: &[u8], direction: Direction) -> Probe {
    let Some(header) = octets.first_chunk::<28>() else {
        return Probe::No;
    };
    let len = u32::from_be_bytes([header[24], header[25], header[26], header[27]]);
    let valid = match header[17] >> 4 {
        1 => true,
        2 => header[17] & 15 == 0 && (34..=37).contains(&header[18]) && len as usize == octets.len(),
        _ => false,
    };
    match valid {
        false => Probe::No,
        true if header[8..16] == [0; 8] && direction == TC => Probe::Reversed,
        true => Probe::Certain,
    }
}

/// Modbus over TCP.
pub static MODBUS: Protocol = Protocol {
    name: "modbus",
    probing: &[on_ports(Carrier::Tcp, &[502], modbus)],
    ..Protocol::DETECTED
};

fn modbus(octets: &[u8], _direction: Direction) -> Probe {
    match octets {
        [_, _, 0, 0, high, low, _, function, ..] => {
            let len = u16::from_be_bytes([*high, *low]);
            if (2..=254).contains(&len) && *function != 0 {
                Probe::Certain
            } else {
                Probe::No
            }
        }
        [_, _, 0, 0, ..] | [_, _, 0] | [_, _] | [_] | [] => Probe::Unsure,
        _ => Probe::No,
    }
}

/// DNP3.
pub static DNP3: Protocol = Protocol {
    name: "dnp3",
    probing: &[on_ports(Carrier::Tcp, &[20_000], dnp3)],
    ..Protocol::DETECTED
};

fn dnp3(octets: &[u8], direction: Direction) -> Probe {
    match octets {
        [0x05, 0x64, len, control, ..] if octets.len() >= 10 => {
            if *len < 5 {
                return Probe::No;
            }
            // From the master, or from the outstation.
            from(direction, control & 0x80 != 0)
        }
        [0x05, 0x64, ..] | [0x05] | [] => Probe::Unsure,
        _ => Probe::No,
    }
}

/// EtherNet/IP.
pub static ENIP: Protocol = Protocol {
    name: "enip",
    carriers: &[Carrier::Tcp, Carrier::Udp],
    probing: &[
        on_ports(Carrier::Tcp, &[44_818], enip),
        on_ports(Carrier::Udp, &[44_818], enip),
    ],
    ..Protocol::DETECTED
};

fn enip(octets: &[u8], _direction: Direction) -> Probe {
    let Some(header) = octets.first_chunk::<24>() else {
        return Probe::Unsure;
    };
    let command = u16::from_le_bytes([header[0], header[1]]);
    let status = u32::from_le_bytes([header[8], header[9], header[10], header[11]]);
    let known = matches!(command, 0x00 | 0x04 | 0x63..=0x66 | 0x6f | 0x70 | 0x72 | 0x73);
    if known && matches!(status, 0..=3 | 0x64 | 0x65 | 0x69) {
        Probe::Certain
    } else {
        Probe::No
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::PROTOCOLS;

    #[test]
    fn first_octets_betray_their_protocol() {
        assert_eq!(rdp(b"\x03\x00\x00\x13", TS), Probe::Certain);
        assert_eq!(sip(b"OPTIONS sip:a@b SIP/2.0\r\n", TS), Probe::Certain);
        assert_eq!(snmp(b"\x30\x26\x02\x01\x01\x04\x06public", TS), Probe::Certain);
        assert_eq!(mqtt(b"\x10\x0c\x00\x04MQTT", TS), Probe::Certain);
    }

    proptest::proptest! {
        #[test]
        fn no_probe_panics_on_any_octets(octets in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..100)) {
            for protocol in PROTOCOLS {
                for probing in protocol.probing {
                    for look in [probing.to_server, probing.to_client].into_iter().flatten() {
                        look(&octets, TS);
                        look(&octets, TC);
                    }
                }
                for (look, _, _) in protocol.patterns.iter().filter_map(|pattern| pattern.confirm) {
                    look(&octets, TS);
                }
            }
        }
    }
}
