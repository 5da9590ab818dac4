//! What every record begins with.

use std::fmt;
use std::net::IpAddr;

use super::json::Json;
use super::protocol_name;
use crate::config::Output;
use crate::flow::{community, Flow};
use crate::packet::{Direction, Packet, Transport};
use crate::time::Timestamp;

/// Whose addresses a record shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sides {
    /// The packet's: its sender first.
    Packet,
    /// The flow's: its client first.
    Flow,
    /// Those of a direction of the flow: who sends in it first.
    Sending(Direction),
}

/// An address as EVE shows it: IPv6 in full, so that text comparison works.
#[derive(Clone, Copy, Debug)]
pub struct Shown(pub IpAddr);

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            IpAddr::V4(v4) => v4.fmt(f),
            IpAddr::V6(v6) => {
                let [a, b, c, d, e, g, h, i] = v6.segments();
                write!(
                    f,
                    "{a:04x}:{b:04x}:{c:04x}:{d:04x}:{e:04x}:{g:04x}:{h:04x}:{i:04x}"
                )
            }
        }
    }
}

/// Open a record about a packet (and its flow): everything up to and including `pkt_src`, what rules
/// remember of the flow, and `community_id`.
///
/// The caller adds its own members and closes the object.
pub fn open(
    json: &mut Json<'_>,
    event_type: &str,
    packet: &Packet<'_>,
    flow: Option<&Flow>,
    sides: Sides,
    output: &Output,
) {
    json.open();
    json.display("timestamp", packet.ts);
    flow_id(json, flow);
    sensor(json, output);
    if output.packet_number && packet.number != 0 {
        json.num("pcap_cnt", packet.number);
    }
    json.str("event_type", event_type);
    vlan(json, &packet.vlans);
    if packet.ip.version != 0 {
        let shown = match sides {
            Sides::Packet => packet.direction,
            Sides::Flow => Some(Direction::ToServer),
            Sides::Sending(direction) => Some(direction),
        };
        let swap = packet.direction.is_some() && shown != packet.direction;
        let ports = matches!(packet.ip.proto, 6 | 17 | 132).then_some((packet.sport, packet.dport));
        let (src, dst) = (packet.src, packet.dst);
        if swap {
            tuple(json, dst, src, ports.map(|(a, b)| (b, a)), packet.ip.proto);
        } else {
            tuple(json, src, dst, ports, packet.ip.proto);
        }
    }
    if let Transport::Icmp(icmp) | Transport::Icmp6(icmp) = packet.transport {
        json.num("icmp_type", icmp.kind);
        json.num("icmp_code", icmp.code);
    }
    json.str("pkt_src", packet.origin.as_str());
    if let Some(flow) = flow {
        remembered(json, flow);
    }
    community(json, flow, output);
}

/// Open a record about a flow as a whole, at `now`.
pub fn open_flow(json: &mut Json<'_>, event_type: &str, flow: &Flow, now: Timestamp, output: &Output) {
    json.open();
    json.display("timestamp", now);
    flow_id(json, Some(flow));
    sensor(json, output);
    json.str("event_type", event_type);
    vlan(json, &flow.vlans);
    let ports = matches!(flow.proto, 6 | 17 | 132).then_some((flow.sport, flow.dport));
    tuple(json, flow.src, flow.dst, ports, flow.proto);
}

/// `metadata`: bits and numbers that rules set on the flow, if there are any.
pub fn remembered(json: &mut Json<'_>, flow: &Flow) {
    if !flow.remembered.is_empty() {
        json.raw("metadata", &flow.remembered);
    }
}

/// `community_id`, where it is wanted.
pub fn community(json: &mut Json<'_>, flow: Option<&Flow>, output: &Output) {
    if let (true, Some(flow)) = (output.community_id, flow) {
        json.str("community_id", community::id(flow, output.community_id_seed));
    }
}

fn flow_id(json: &mut Json<'_>, flow: Option<&Flow>) {
    if let Some(flow) = flow {
        json.num("flow_id", flow.id);
        if flow.parent != 0 {
            json.num("parent_id", flow.parent);
        }
    }
}

fn sensor(json: &mut Json<'_>, output: &Output) {
    if !output.in_iface.is_empty() {
        json.str("in_iface", &output.in_iface);
    }
    if !output.sensor.is_empty() {
        json.str("host", &output.sensor);
    }
}

fn vlan(json: &mut Json<'_>, vlans: &[u16]) {
    if !vlans.is_empty() {
        json.open_array("vlan");
        vlans.iter().for_each(|&id| json.num_element(id));
        json.close_array();
    }
}

fn tuple(json: &mut Json<'_>, src: IpAddr, dst: IpAddr, ports: Option<(u16, u16)>, proto: u8) {
    json.display("src_ip", Shown(src));
    if let Some((sport, _)) = ports {
        json.num("src_port", sport);
    }
    json.display("dest_ip", Shown(dst));
    if let Some((_, dport)) = ports {
        json.num("dest_port", dport);
    }
    match protocol_name::name(proto) {
        Some(name) => json.str("proto", name),
        None => json.display("proto", proto),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ipv6_is_shown_in_full() {
        assert_eq!(
            Shown("2001:db8::1".parse().unwrap()).to_string(),
            "2001:0db8:0000:0000:0000:0000:0000:0001"
        );
        assert_eq!(Shown("192.0.2.1".parse().unwrap()).to_string(), "192.0.2.1");
    }
}
