//! What a client asks.

use super::message::{self, Message, Setting};
use super::{command, dialect_name, is_told, transfer};
use crate::app::smb::key::{FileId, Kind};
use crate::app::smb::pipe::{self, Carried};
use crate::app::smb::reader::without_nuls;
use crate::app::smb::spnego;
use crate::app::smb::state::State;
use crate::app::smb::transaction::{
    Command, Create, Detail, Negotiate, Rename, SessionSetup, SetInfo, SmbTx, TreeConnect,
};
use crate::packet::Direction;

const UNKNOWN: &[u8] = b"<unknown>";
const DELETE_ON_CLOSE: u32 = 0x1000;
const DIRECTORY: u32 = 1;

/// A message could not be read.
struct Malformed;

/// Whether an exchange was made for the request.
type Outcome = Result<bool, &'static str>;

impl From<Malformed> for &'static str {
    fn from(_: Malformed) -> &'static str {
        "malformed_data"
    }
}

/// Take a request.
pub fn request(state: &mut State, message: &Message<'_>) {
    let outcome = match message.command {
        command::SET_INFO => set_info(state, message),
        command::IOCTL => control(state, message),
        command::NEGOTIATE => negotiate(state, message),
        command::SESSION_SETUP => session_setup(state, message),
        command::TREE_CONNECT => tree_connect(state, message),
        command::TREE_DISCONNECT => {
            state.trees.remove(&message.key(Kind::Share));
            Ok(false)
        }
        command::CREATE => create(state, message),
        command::READ => read(state, message),
        command::WRITE => {
            transfer::written(state, message, 0);
            Ok(true)
        }
        command::CLOSE => close(state, message),
        _ => Ok(false),
    };
    if outcome != Ok(true) && is_told(message.command) {
        let tx = ask(state, message, Kind::Generic, Detail::None);
        if let Err(event) = outcome {
            tx.meta.raise(event);
        }
    }
}

fn ask<'a>(state: &'a mut State, message: &Message<'_>, kind: Kind, detail: Detail) -> &'a mut SmbTx {
    let tx = state.queue.ask(detail);
    tx.key = message.key(kind);
    tx.command = Command::Smb2(message.command);
    tx
}

fn set_info(state: &mut State, message: &Message<'_>) -> Outcome {
    let request = message::set_info_request(message.body).ok_or(Malformed)?;
    let known = state.files.get(&request.file.into()).cloned();
    let detail = match request.setting {
        Setting::Name(name) => Detail::Rename(Box::new(Rename {
            id: FileId::from_slice(request.file),
            from: known.unwrap_or_else(|| UNKNOWN.to_vec()),
            to: without_nuls(name),
        })),
        Setting::Disposition(delete_on_close) => Detail::SetInfo(Box::new(SetInfo {
            subcommand: request.class.into(),
            level: request.level.into(),
            delete_on_close,
            name: known
                .or_else(|| created_before(state, message))
                .unwrap_or_else(|| UNKNOWN.to_vec()),
            id: FileId::from_slice(request.file),
        })),
        Setting::Other => return Ok(false),
    };
    ask(state, message, Kind::Generic, detail);
    Ok(true)
}

/// In a chain of messages the file may be the one the message before makes.
fn created_before(state: &State, message: &Message<'_>) -> Option<Vec<u8>> {
    let mut key = message.key(Kind::Name).without_tree();
    key.message = key.message.checked_sub(1)?;
    state.names.get(&key).cloned()
}

fn control(state: &mut State, message: &Message<'_>) -> Outcome {
    let key = message.key(Kind::Header);
    let Some(request) = message::control_request(message.body) else {
        ask(state, message, Kind::Header, Detail::None)
            .meta
            .raise("malformed_data");
        return Ok(true);
    };
    if request.is_pipe() && state.carries_dcerpc(request.file) {
        let carried = Carried {
            command: Command::Smb2(command::IOCTL),
            key,
            status: None,
        };
        pipe::sent(state, &carried, request.data);
    } else {
        ask(state, message, Kind::Header, Detail::Control(request.code));
    }
    Ok(true)
}

fn negotiate(state: &mut State, message: &Message<'_>) -> Outcome {
    let (guid, dialects) = message::negotiate_request(message.body).ok_or(Malformed)?;
    if state.negotiation(2).is_some() {
        return Ok(true);
    }
    let name = |dialect: u16| dialect_name(dialect).map_or_else(|| dialect.to_string(), str::to_owned);
    let tx = state.queue.ask(Detail::Negotiate(Box::new(Negotiate {
        version: 2,
        dialects: dialects
            .into_iter()
            .map(|dialect| name(dialect).into_bytes())
            .collect(),
        client_guid: Some(guid.to_vec()),
        server_guid: Vec::new(),
    })));
    tx.command = Command::Smb2(command::NEGOTIATE);
    Ok(true)
}

fn session_setup(state: &mut State, message: &Message<'_>) -> Outcome {
    // One that cannot be read is not told at all.
    let Some(blob) = message::session_setup_request(message.body) else {
        return Ok(true);
    };
    let credentials = spnego::credentials(blob).unwrap_or_default();
    let unusual = credentials
        .logon
        .as_ref()
        .is_some_and(|logon| logon.unusual_order);
    let setup = SessionSetup {
        logon: credentials.logon,
        ticket: credentials.ticket,
        ..SessionSetup::default()
    };
    let tx = ask(
        state,
        message,
        Kind::Header,
        Detail::SessionSetup(Box::new(setup)),
    );
    if unusual {
        tx.meta.raise("unusual_ntlmssp_order");
    }
    Ok(true)
}

fn tree_connect(state: &mut State, message: &Message<'_>) -> Outcome {
    let share = message::tree_connect_request(message.body).ok_or(Malformed)?;
    let mut share = without_nuls(share);
    if share.len() > 1 {
        share.remove(0);
    }
    let detail = Detail::TreeConnect(Box::new(TreeConnect {
        share,
        ..TreeConnect::default()
    }));
    ask(state, message, Kind::Tree, detail);
    Ok(true)
}

fn create(state: &mut State, message: &Message<'_>) -> Outcome {
    let request = message::create_request(message.body).ok_or(Malformed)?;
    state
        .names
        .insert(message.key(Kind::Name).without_tree(), request.name.to_vec());
    let detail = Detail::Create(Box::new(Create {
        disposition: request.disposition,
        delete_on_close: request.options & DELETE_ON_CLOSE != 0,
        directory: request.options & DIRECTORY != 0,
        name: request.name.to_vec(),
        ..Create::default()
    }));
    ask(state, message, Kind::Generic, detail);
    Ok(true)
}

fn read(state: &mut State, message: &Message<'_>) -> Outcome {
    let request = message::read_request(message.body).ok_or(Malformed)?;
    let max_read = state.queue.agreed().max_read;
    if transfer::is_too_large(state, Direction::ToClient, max_read, request.len) {
        return Err("read_request_too_large");
    }
    state.reads.insert(
        message.key(Kind::Offset).without_tree(),
        (FileId::from_slice(request.file), request.offset),
    );
    Ok(false)
}

fn close(state: &mut State, message: &Message<'_>) -> Outcome {
    let file = message::close_request(message.body).ok_or(Malformed)?;
    for direction in [Direction::ToServer, Direction::ToClient] {
        let Some(tx) = state.transfer(file, direction, false) else {
            continue;
        };
        let is_open = !tx.done[Direction::ToServer.index()];
        if let Some((transfer, files)) = tx.transfer().filter(|_| is_open) {
            transfer.close(files);
        }
        tx.finish();
        tx.set_status(crate::app::smb::status::SUCCESS, false);
    }
    Ok(false)
}
