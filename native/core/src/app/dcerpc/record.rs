//! A call as EVE's `dcerpc` record shows it.

use super::pdu::{kind, uuid_text};
use super::transaction::{DcerpcTx, Id, Side};
use crate::event::json::Json;

/// Write the object under `dcerpc`.
pub(super) fn write(call: &DcerpcTx, json: &mut Json<'_>) {
    json.open_object("dcerpc");
    let (request, response) = (call.request(), call.response());
    if request.done && !request.lost {
        write_kind("request", request.kind, json);
        match (request.kind, call.id) {
            (kind::REQUEST, _) => {
                json.open_object("req");
                json.num("opnum", call.opnum);
                write_side(request, json);
                json.close_object();
            }
            (kind::BIND, Id::Call { .. }) => write_interfaces(call, json),
            _ => {}
        }
    } else {
        json.str("request", "REQUEST_LOST");
    }
    if response.done && !response.lost {
        write_kind("response", response.kind, json);
        if response.kind == kind::RESPONSE {
            json.open_object("res");
            write_side(response, json);
            json.close_object();
        }
    } else {
        json.str("response", "UNREPLIED");
    }
    match call.id {
        Id::Call { id, version } => {
            json.num("call_id", id);
            json.display("rpc_version", format_args!("{}.{}", version.0, version.1));
        }
        Id::Activity { uuid, sequence } => {
            json.str("activityuuid", uuid_text(&uuid));
            json.num("seqnum", sequence);
            json.str("rpc_version", "4.0");
        }
    }
    json.close_object();
}

fn write_kind(key: &str, kind: u8, json: &mut Json<'_>) {
    match kind::name(kind) {
        Some(name) => json.str(key, name),
        None => json.display(key, kind),
    }
}

fn write_side(side: &Side, json: &mut Json<'_>) {
    json.num("frag_cnt", side.fragments);
    json.num("stub_data_size", side.stub.len() as u64);
}

fn write_interfaces(call: &DcerpcTx, json: &mut Json<'_>) {
    let Some(interfaces) = &call.interfaces else {
        return;
    };
    json.open_array("interfaces");
    for interface in interfaces.iter() {
        json.open();
        json.str("uuid", uuid_text(&interface.uuid));
        json.display(
            "version",
            format_args!("{}.{}", interface.version, interface.version_minor),
        );
        json.num("ack_result", interface.result.unwrap_or(0));
        json.close_object();
    }
    json.close_array();
}
