//! `anomaly` records: what was malformed or odd in a packet's headers, its TCP session or its application layer.

use super::header::{self, Sides};
use super::json::Json;
use super::sink::Records;
use crate::config::Output;
use crate::flow::Flow;
use crate::packet::Packet;

/// Write a record for each event of a packet.
pub fn packet(packet: &Packet<'_>, flow: Option<&Flow>, output: &Output, records: &mut Records) {
    for event in &packet.events {
        let kind = if event.starts_with("stream.") {
            "stream"
        } else {
            "decode"
        };
        if !output.anomaly.iter().any(|wanted| wanted == kind) {
            continue;
        }
        records.record(|text| {
            let mut json = Json::new(text);
            header::open(&mut json, "anomaly", packet, flow, Sides::Packet, output);
            json.open_object("anomaly");
            json.str("type", kind);
            if kind == "decode" {
                json.display("event", format_args!("decoder.{event}"));
            } else {
                json.str("event", event);
            }
            json.close_object();
            json.close_object();
        });
    }
}

/// Write a record of an application-layer event; `layer` is "proto_parser" (with its transaction) or "proto_detect".
pub fn application(
    packet: &Packet<'_>,
    flow: &Flow,
    (app_proto, event, layer): (&str, &str, &str),
    transaction: Option<u64>,
    output: &Output,
    records: &mut Records,
) {
    records.record(|text| {
        let mut json = Json::new(text);
        header::open(&mut json, "anomaly", packet, Some(flow), Sides::Packet, output);
        if let Some(id) = transaction {
            json.num("tx_id", id);
        }
        json.open_object("anomaly");
        json.str("app_proto", app_proto);
        json.str("type", "applayer");
        json.str("event", event);
        json.str("layer", layer);
        json.close_object();
        json.close_object();
    });
}
