//! EVE's `smb` object, as Suricata's schema has it.

use super::pipe::Call;
use super::reader::without_nuls;
use super::transaction::{
    Agreed, Command, Create, Detail, SessionSetup, SetInfo, SmbTx, Status, TreeConnect,
};
use super::{control, smb1, smb2, status};
use crate::app::dcerpc::pdu::{kind, uuid_text};
use crate::app::dcerpc::Interface;
use crate::event::json::Json;
use crate::packet::Direction;

/// The file's name where there is none.
const SHARE_ROOT: &[u8] = b"<share_root>";

/// Write an exchange.
pub fn write(tx: &SmbTx, json: &mut Json<'_>) {
    json.open_object("smb");
    json.num("id", tx.number);
    dialect(&tx.agreed, json);
    command(tx.command, json);
    if let Some(status) = tx.status {
        write_status(status, json);
    }
    json.num("session_id", tx.key.session);
    json.num("tree_id", tx.key.tree);
    detail(tx, json);
    json.close_object();
}

/// Text of any encoding: octets that are not UTF-8 are U+FFFD.
fn text(json: &mut Json<'_>, key: &str, octets: &[u8]) {
    json.str(key, String::from_utf8_lossy(octets).as_bytes());
}

/// A name, or a number that has none.
fn name_or_number(json: &mut Json<'_>, key: &str, name: Option<&str>, number: impl std::fmt::Display) {
    match name {
        Some(name) => json.str(key, name),
        None => json.display(key, number),
    }
}

fn dialect(agreed: &Agreed, json: &mut Json<'_>) {
    match (agreed.dialect, &agreed.dialect_name) {
        (0, Some(name)) => json.str("dialect", std::str::from_utf8(name).unwrap_or("invalid")),
        (0, None) => json.str("dialect", "unknown"),
        (dialect, _) => name_or_number(json, "dialect", smb2::dialect_name(dialect), dialect),
    }
}

fn command(command: Command, json: &mut Json<'_>) {
    match command {
        Command::None => {}
        Command::Smb1(command) => name_or_number(json, "command", smb1::command_name(command), command),
        Command::Smb2(command) => name_or_number(json, "command", smb2::command_name(command), command),
    }
}

fn write_status(status: Status, json: &mut Json<'_>) {
    match status {
        Status::Nt(status) => {
            name_or_number(json, "status", status::name(status), status);
            json.display("status_code", format_args!("0x{status:x}"));
        }
        Status::Class(class, code) => {
            match class {
                1 => name_or_number(json, "status", status::dos_name(code), code),
                2 => name_or_number(json, "status", status::server_name(code), code),
                _ => json.display("status", format_args!("UNKNOWN_{class:02x}_{code:04x}")),
            }
            json.display("status_code", format_args!("0x{code:04x}"));
        }
    }
}

/// A GUID as Windows writes it, but for its last part, whose octets are back to front in Suricata's records. Empty when
/// it is none.
fn guid(octets: &[u8]) -> String {
    let order = [3, 2, 1, 0, 5, 4, 7, 6, 9, 8, 11, 10, 15, 14, 13, 12];
    let mut text = String::with_capacity(36);
    if octets.len() != order.len() {
        return text;
    }
    for (at, from) in order.into_iter().enumerate() {
        if matches!(at, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        text.push_str(&crate::file::hex(&octets[from..=from]));
    }
    text
}

/// A file's identifier: a GUID, or SMB 1's number.
fn file_id(json: &mut Json<'_>, id: &[u8]) {
    match id {
        [low, high] | [low, high, _, _, _, _] => json.display("fuid", format_args!("{high:02x}{low:02x}")),
        id => json.str("fuid", guid(id)),
    }
}

fn file_name(json: &mut Json<'_>, key: &str, name: &[u8]) {
    let name = without_nuls(name);
    if name.is_empty() {
        json.str("filename", SHARE_ROOT);
    } else {
        text(json, key, &name);
    }
}

fn access(json: &mut Json<'_>, delete_on_close: bool) {
    json.str(
        "access",
        if delete_on_close {
            "delete on close"
        } else {
            "normal"
        },
    );
}

fn detail(tx: &SmbTx, json: &mut Json<'_>) {
    match &tx.detail {
        Detail::None => {}
        Detail::SessionSetup(setup) => session_setup(setup, json),
        Detail::Create(create) => write_create(create, json),
        Detail::Negotiate(negotiate) => {
            json.open_array("client_dialects");
            for dialect in &negotiate.dialects {
                json.str_element(String::from_utf8_lossy(dialect).as_bytes());
            }
            json.close_array();
            if let Some(client) = &negotiate.client_guid {
                json.str("client_guid", guid(client));
            }
            json.str("server_guid", guid(&negotiate.server_guid));
            for (key, octets) in [
                ("max_read_size", tx.agreed.max_read),
                ("max_write_size", tx.agreed.max_write),
            ] {
                if octets > 0 {
                    json.num(key, octets);
                }
            }
        }
        Detail::TreeConnect(connect) => tree_connect(connect, tx.command, json),
        Detail::File(transfer) => {
            text(json, "filename", &transfer.name);
            text(json, "share", &transfer.share);
            file_id(json, &transfer.id);
        }
        Detail::Rename(rename) => {
            if matches!(tx.command, Command::Smb2(_)) {
                json.open_object("set_info");
                json.str("class", "FILE_INFO");
                json.str("info_level", "SMB2_FILE_RENAME_INFO");
                json.close_object();
            }
            json.open_object("rename");
            text(json, "from", &rename.from);
            text(json, "to", &rename.to);
            json.close_object();
            file_id(json, &rename.id);
        }
        Detail::Call(call) => {
            json.open_object("dcerpc");
            write_call(call, tx.agreed.interfaces.as_deref(), json);
            json.close_object();
        }
        Detail::Control(code) => name_or_number(json, "function", control::name(*code), code),
        Detail::SetInfo(info) => set_info(info, json),
    }
}

fn session_setup(setup: &SessionSetup, json: &mut Json<'_>) {
    if let Some(logon) = &setup.logon {
        json.open_object("ntlmssp");
        text(json, "domain", &logon.domain);
        text(json, "user", &logon.user);
        text(json, "host", &logon.host);
        if let Some((major, minor, build, revision)) = logon.version {
            json.display(
                "version",
                format_args!("{major}.{minor} build {build} rev {revision}"),
            );
        }
        json.close_object();
    }
    if let Some(ticket) = &setup.ticket {
        json.open_object("kerberos");
        text(json, "realm", &ticket.realm);
        json.open_array("snames");
        for name in &ticket.names {
            json.str_element(String::from_utf8_lossy(name).as_bytes());
        }
        json.close_array();
        json.close_object();
    }
    for (key, host) in [("request", &setup.client), ("response", &setup.server)] {
        if let Some([os, lan_manager]) = host {
            json.open_object(key);
            text(json, "native_os", os);
            text(json, "native_lm", lan_manager);
            json.close_object();
        }
    }
}

fn write_create(create: &Create, json: &mut Json<'_>) {
    file_name(
        json,
        if create.directory { "directory" } else { "filename" },
        &create.name,
    );
    let disposition = match create.disposition {
        0 => "FILE_SUPERSEDE",
        1 => "FILE_OPEN",
        2 => "FILE_CREATE",
        3 => "FILE_OPEN_IF",
        4 => "FILE_OVERWRITE",
        5 => "FILE_OVERWRITE_IF",
        _ => "UNKNOWN",
    };
    json.str("disposition", disposition);
    access(json, create.delete_on_close);
    for (key, time) in ["created", "accessed", "modified", "changed"]
        .iter()
        .zip(create.times)
    {
        json.num(key, time);
    }
    json.num("size", create.size);
    file_id(json, &create.id);
}

fn tree_connect(connect: &TreeConnect, command: Command, json: &mut Json<'_>) {
    text(
        json,
        if connect.is_pipe { "named_pipe" } else { "share" },
        &connect.share,
    );
    if matches!(command, Command::Smb1(_)) {
        json.open_object("service");
        for (key, service) in [
            ("request", &connect.requested_service),
            ("response", &connect.service),
        ] {
            if let Some(service) = service {
                text(json, key, service);
            }
        }
        json.close_object();
        return;
    }
    let share_type = match connect.share_type {
        1 => "FILE",
        2 => "PIPE",
        3 => "PRINT",
        _ => "UNKNOWN",
    };
    json.str("share_type", share_type);
}

fn set_info(info: &SetInfo, json: &mut Json<'_>) {
    file_name(json, "filename", &info.name);
    access(json, info.delete_on_close);
    match info.subcommand {
        8 => json.str("subcmd", "SET_FILE_INFO"),
        6 => json.str("subcmd", "SET_PATH_INFO"),
        _ => {}
    }
    if info.level == 1013 {
        json.str("level_of_interest", "Set Disposition Information");
    }
    file_id(json, &info.id);
}

fn write_call(call: &Call, interfaces: Option<&[Interface]>, json: &mut Json<'_>) {
    for (key, said, missing) in [
        ("request", call.request, "REQUEST_LOST"),
        ("response", call.response, "UNREPLIED"),
    ] {
        match said {
            Some(said) => name_or_number(json, key, kind::name(said), said),
            None => json.str(key, missing),
        }
    }
    match (call.request, interfaces) {
        (Some(kind::REQUEST), _) => {
            json.num("opnum", call.operation);
            stub(call, Direction::ToServer, "req", json);
            // Which context an interface has is not followed: all have the first.
            if let Some(interfaces) = interfaces.filter(|_| call.context == 0) {
                write_interfaces(interfaces, false, json);
            }
        }
        (Some(kind::BIND), Some(interfaces)) => write_interfaces(interfaces, true, json),
        _ => {}
    }
    if call.response == Some(kind::RESPONSE) {
        stub(call, Direction::ToClient, "res", json);
    }
    json.num("call_id", call.id);
}

fn stub(call: &Call, direction: Direction, key: &str, json: &mut Json<'_>) {
    json.open_object(key);
    json.num("frag_cnt", call.fragments[direction.index()]);
    json.num("stub_data_size", call.stub_octets[direction.index()]);
    json.close_object();
}

fn write_interfaces(interfaces: &[Interface], results: bool, json: &mut Json<'_>) {
    json.open_array("interfaces");
    for interface in interfaces {
        json.open();
        json.str("uuid", uuid_text(&interface.uuid));
        json.display(
            "version",
            format_args!("{}.{}", interface.version, interface.version_minor),
        );
        if let Some(result) = interface.result.filter(|_| results) {
            json.num("ack_result", result);
            json.num("ack_reason", 0);
        }
        json.close_object();
    }
    json.close_array();
}
