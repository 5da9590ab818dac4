//! `alert` records.

use base64::Engine as _;

use super::flow;
use super::header::{self, Shown, Sides};
use super::json::Json;
use super::protocol_name;
use super::sink::Records;
use crate::app::{AppLayer, Transaction};
use crate::config::Output;
use crate::flow::Flow;
use crate::packet::{Direction, Origin, Packet};
use crate::rule::signature::Target;
use crate::rule::Signature;

/// Octets of payload that are shown at most (Suricata's `payload-buffer-size`).
const MAX_PAYLOAD: usize = 4096;

/// Octets of the packet that are shown at most.
const MAX_PACKET: usize = 65_535;

/// What an alert is about.
#[derive(Clone, Copy)]
pub struct Alert<'a, 'p> {
    /// The packet it was raised on.
    pub packet: &'a Packet<'p>,
    /// Its flow.
    pub flow: Option<&'a Flow>,
    /// The flow's application layer.
    pub app: Option<&'a AppLayer>,
    /// The transaction, with its id.
    pub transaction: Option<(u64, &'a dyn Transaction)>,
    /// The payload that matched: the packet's, or what was inspected of the stream.
    pub payload: &'a [u8],
    /// `payload` is of the stream.
    pub stream: bool,
    /// The rate filter or the rule changed what is done: shown instead of the rule's action.
    pub blocked: bool,
}

/// Write the alert of a rule.
pub fn write(alert: &Alert<'_, '_>, rule: &Signature, output: &Output, records: &mut Records) {
    write_with(alert, output, records, |json| {
        rule_members(json, alert, rule, output)
    });
}

/// Write an alert whose `alert` object, and what else belongs to its cause, `cause` writes.
pub fn write_with(
    alert: &Alert<'_, '_>,
    output: &Output,
    records: &mut Records,
    cause: impl FnOnce(&mut Json<'_>),
) {
    records.record(|text| {
        let mut json = Json::new(text);
        header::open(
            &mut json,
            "alert",
            alert.packet,
            alert.flow,
            Sides::Packet,
            output,
        );
        if let Some((id, _)) = alert.transaction {
            json.num("tx_id", id);
        }
        cause(&mut json);
        tunnel(&mut json, alert.packet);
        if let Some((id, transaction)) = alert.transaction {
            transaction.write_context(&mut json);
            files(&mut json, id, transaction);
        }
        if let Some(app) = alert.app {
            flow::app_protocols(&mut json, app);
        }
        if let Some(direction) = alert.packet.direction {
            json.str(
                "direction",
                match direction {
                    Direction::ToServer => "to_server",
                    Direction::ToClient => "to_client",
                },
            );
        }
        if let Some(about) = alert.flow {
            json.open_object("flow");
            flow::counts(&mut json, about);
            json.display("src_ip", Shown(about.src));
            json.display("dest_ip", Shown(about.dst));
            if matches!(about.proto, 6 | 17 | 132) {
                json.num("src_port", about.sport);
                json.num("dest_port", about.dport);
            }
            json.close_object();
        }
        octets(&mut json, alert, output);
        json.close_object();
    });
}

/// The outermost packet of the tunnel that the packet was taken out of.
fn tunnel(json: &mut Json<'_>, packet: &Packet<'_>) {
    let Some(outer) = &packet.outer else { return };
    json.open_object("tunnel");
    json.display("src_ip", Shown(outer.src));
    json.num("src_port", outer.sport);
    json.display("dest_ip", Shown(outer.dst));
    json.num("dest_port", outer.dport);
    match protocol_name::name(outer.proto) {
        Some(name) => json.str("proto", name),
        None => json.display("proto", outer.proto),
    }
    json.num("depth", packet.recursion);
    if outer.number != 0 {
        json.num("pcap_cnt", outer.number);
    }
    json.str("pkt_src", Origin::Wire.as_str());
    json.close_object();
}

fn rule_members(json: &mut Json<'_>, alert: &Alert<'_, '_>, rule: &Signature, output: &Output) {
    json.open_object("alert");
    json.str("action", if alert.blocked { "blocked" } else { "allowed" });
    json.num("gid", rule.gid);
    json.num("signature_id", rule.sid);
    json.num("rev", rule.rev);
    json.str("signature", &rule.msg);
    json.str("category", rule.category.as_bytes());
    json.num("severity", rule.priority);
    if let Some(target) = rule.target {
        let packet = alert.packet;
        let (attacker, attacked) = match target {
            Target::Source => ((packet.dst, packet.dport), (packet.src, packet.sport)),
            Target::Destination => ((packet.src, packet.sport), (packet.dst, packet.dport)),
        };
        for (key, (address, port)) in [("source", attacker), ("target", attacked)] {
            json.open_object(key);
            json.display("ip", Shown(address));
            if matches!(packet.ip.proto, 6 | 17 | 132) {
                json.num("port", port);
            }
            json.close_object();
        }
    }
    if !rule.references.is_empty() {
        json.open_array("references");
        for reference in &rule.references {
            json.str_element([reference.prefix.as_bytes(), reference.value.as_bytes()].concat());
        }
        json.close_array();
    }
    metadata(json, rule);
    if output.alert_rule {
        json.str("rule", rule.text.as_bytes());
    }
    json.close_object();
}

/// Values by key, in the order the keys first stand in.
fn metadata(json: &mut Json<'_>, rule: &Signature) {
    if rule.metadata.is_empty() {
        return;
    }
    json.open_object("metadata");
    for (at, (key, _)) in rule.metadata.iter().enumerate() {
        if rule.metadata[..at].iter().any(|(earlier, _)| earlier == key) {
            continue;
        }
        json.open_array_named(key);
        for (_, value) in rule.metadata.iter().filter(|(other, _)| other == key) {
            json.str_element(value.as_bytes());
        }
        json.close_array();
    }
    json.close_object();
}

fn files(json: &mut Json<'_>, id: u64, transaction: &dyn Transaction) {
    let Some(files) = transaction.files().filter(|files| !files.files.is_empty()) else {
        return;
    };
    json.open_array("files");
    for file in &files.files {
        json.open();
        file.write_info(id, json);
        json.close_object();
    }
    json.close_array();
}

fn octets(json: &mut Json<'_>, alert: &Alert<'_, '_>, output: &Output) {
    let payload = &alert.payload[..alert.payload.len().min(MAX_PAYLOAD)];
    if output.alert_payload && !payload.is_empty() {
        base64(json, "payload", payload);
    }
    if output.alert_payload_printable && !payload.is_empty() {
        let printable = payload.iter().map(|&octet| match octet {
            b'\r' | b'\n' | b' '..=b'~' => octet,
            _ => b'.',
        });
        json.str("payload_printable", printable.collect::<Vec<u8>>());
    }
    json.num("stream", u8::from(alert.stream));
    if output.alert_payload && !alert.packet.pseudo {
        base64(
            json,
            "packet",
            &alert.packet.data[..alert.packet.data.len().min(MAX_PACKET)],
        );
        json.open_object("packet_info");
        json.num("linktype", alert.packet.linktype);
        json.close_object();
    }
}

fn base64(json: &mut Json<'_>, key: &str, octets: &[u8]) {
    json.str(key, base64::engine::general_purpose::STANDARD.encode(octets));
}
