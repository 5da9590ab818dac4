//! `flow` records: a conversation, when it is over.

use super::header;
use super::json::Json;
use super::sink::Records;
use crate::app::AppLayer;
use crate::config::Output;
use crate::flow::{Flow, Reason};
use crate::packet::Direction;
use crate::stream::Session;
use crate::time::Timestamp;
use crate::wire::icmp;

/// Write one.
pub fn write(
    flow: &Flow,
    app: &AppLayer,
    session: Option<&Session>,
    reason: Reason,
    now: Timestamp,
    output: &Output,
    records: &mut Records,
) {
    records.record(|text| {
        let mut json = Json::new(text);
        header::open_flow(&mut json, "flow", flow, now, output);
        protocol_members(&mut json, flow);
        app_protocols(&mut json, app);
        json.open_object("flow");
        counts(&mut json, flow);
        json.display("end", flow.last);
        json.num("age", flow.last.seconds() - flow.start.seconds());
        if reason == Reason::Forced {
            json.bool("emergency", true);
        }
        json.str("state", flow.state.as_str());
        json.str("reason", reason.as_str());
        json.bool("alerted", flow.alerted);
        if !flow.action.is_empty() {
            json.str("action", flow.action);
        }
        json.close_object();
        header::remembered(&mut json, flow);
        header::community(&mut json, Some(flow), output);
        if flow.proto == 6 {
            tcp(&mut json, session);
        }
        json.close_object();
    });
}

/// What alerts show of a flow: `pkts_toserver` to `start`.
pub fn counts(json: &mut Json<'_>, flow: &Flow) {
    json.num("pkts_toserver", flow.packets[Direction::ToServer.index()]);
    json.num("pkts_toclient", flow.packets[Direction::ToClient.index()]);
    json.num("bytes_toserver", flow.octets[Direction::ToServer.index()]);
    json.num("bytes_toclient", flow.octets[Direction::ToClient.index()]);
    json.display("start", flow.start);
}

/// `app_proto` and where it is not the same for both sides or changed.
pub fn app_protocols(json: &mut Json<'_>, app: &AppLayer) {
    let name = app.found.name();
    if let Some(name) = name {
        json.str("app_proto", name);
    }
    for (key, side) in [
        ("app_proto_ts", app.by_direction[0].name()),
        ("app_proto_tc", app.by_direction[1].name()),
    ] {
        if let Some(side) = side.filter(|side| Some(*side) != name) {
            json.str(key, side);
        }
    }
    if let Some(original) = app.original.filter(|original| Some(original.name) != name) {
        json.str("app_proto_orig", original.name);
    }
    if let Some(expected) = app.expected.filter(|expected| Some(expected.name) != name) {
        json.str("app_proto_expected", expected.name);
    }
}

fn protocol_members(json: &mut Json<'_>, flow: &Flow) {
    match flow.proto {
        1 | 58 => {
            json.num("icmp_type", flow.sport);
            json.num("icmp_code", flow.dport);
            if flow.packets[Direction::ToClient.index()] > 0 {
                let kind = flow.sport as u8;
                let answer = if flow.proto == 1 {
                    icmp::counterpart(kind)
                } else {
                    icmp::counterpart_v6(kind)
                };
                json.num("response_icmp_type", answer.unwrap_or(0));
                json.num("response_icmp_code", 0);
            }
        }
        50 => json.num("spi", flow.spi),
        _ => {}
    }
}

fn tcp(json: &mut Json<'_>, session: Option<&Session>) {
    let flags = session.map_or([0, 0], |session| session.flags);
    json.open_object("tcp");
    json.display("tcp_flags", format_args!("{:02x}", flags[0] | flags[1]));
    json.display("tcp_flags_ts", format_args!("{:02x}", flags[0]));
    json.display("tcp_flags_tc", format_args!("{:02x}", flags[1]));
    for (bit, name) in ["fin", "syn", "rst", "psh", "ack", "urg", "ecn", "cwr"]
        .into_iter()
        .enumerate()
    {
        if (flags[0] | flags[1]) >> bit & 1 == 1 {
            json.bool(name, true);
        }
    }
    if let Some(session) = session {
        if let Some(state) = session.state_name() {
            json.str("state", state);
        }
        for (key, direction) in [("tc_gap", Direction::ToClient), ("ts_gap", Direction::ToServer)] {
            if session.half(direction).has_gap() {
                json.bool(key, true);
            }
        }
        json.num("ts_max_regions", 1);
        json.num("tc_max_regions", 1);
    }
    json.close_object();
}
