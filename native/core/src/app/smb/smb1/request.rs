//! What a client asks.

use super::message::{self, Message};
use super::trans::{self, Setting, Target};
use super::{command, transfer};
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
const MALFORMED: &str = "malformed_data";
const DELETE_ON_CLOSE: u32 = 0x1000;
const DIRECTORY: u32 = 1;

/// Whether an exchange was made for the request.
type Outcome = Result<bool, &'static str>;

/// Exchanges of these commands are told only when something special is in them.
fn is_told(command: u8) -> bool {
    !matches!(
        command,
        command::READ_ANDX | command::WRITE_ANDX | command::TRANS | command::TRANS2
    )
}

/// Take one command of a message, whose block begins at `at`.
pub(super) fn one(state: &mut State, message: &Message<'_>, command: u8, at: usize) {
    let block = message.from(at);
    let outcome = match command {
        command::RENAME => rename(state, message),
        command::TRANS2 => set(state, message),
        command::READ_ANDX => read(state, message, block),
        command::WRITE_ANDX | command::WRITE | command::WRITE_AND_CLOSE => {
            transfer::written(state, message, command, at, 0);
            Ok(true)
        }
        command::TRANS => {
            call(state, message);
            Ok(true)
        }
        command::NEGOTIATE => negotiate(state, message),
        command::NT_CREATE => create(state, message, command, block),
        command::SESSION_SETUP => Ok(session_setup(state, message, block)),
        command::TREE_CONNECT => tree_connect(state, message, block),
        command::TREE_DISCONNECT => {
            state.trees.remove(&message.key(Kind::Share));
            Ok(false)
        }
        command::CLOSE => close(state, message),
        _ => Ok(false),
    };
    if outcome == Ok(true) || !is_told(command) {
        return;
    }
    let tx = ask(state, message, command, Kind::Generic, Detail::None);
    if let Err(event) = outcome {
        tx.meta.raise(event);
    }
    // These are not answered.
    if matches!(
        command,
        command::NT_CANCEL | command::TRANS2_SECONDARY | command::LOCKING_ANDX
    ) {
        tx.answered();
    }
}

/// Tell an exchange by its message's first command: when such are told, or something is wrong with it.
pub(super) fn ask_generic(state: &mut State, message: &Message<'_>, event: Option<&'static str>) {
    if is_told(message.command) || event.is_some() {
        let tx = ask(state, message, message.command, Kind::Generic, Detail::None);
        if let Some(event) = event {
            tx.meta.raise(event);
        }
    }
}

fn ask<'a>(
    state: &'a mut State,
    message: &Message<'_>,
    command: u8,
    kind: Kind,
    detail: Detail,
) -> &'a mut SmbTx {
    let tx = state.queue.ask(detail);
    tx.key = message.key(kind);
    tx.command = Command::Smb1(command);
    tx
}

fn rename(state: &mut State, message: &Message<'_>) -> Outcome {
    let (from, to) = message::rename_request(message.body).ok_or(MALFORMED)?;
    let detail = Detail::Rename(Box::new(Rename {
        id: FileId::new(),
        from: without_nuls(&from),
        to: without_nuls(&to),
    }));
    ask(state, message, command::RENAME, Kind::Generic, detail);
    Ok(true)
}

fn set(state: &mut State, message: &Message<'_>) -> Outcome {
    let Some(set) = trans::set_request(message.body).map_err(|()| MALFORMED)? else {
        return Ok(false);
    };
    let (id, name) = match set.target {
        Target::Path(path) => (FileId::new(), path),
        Target::File(fid) => {
            let name = state.files.get(&message.file(fid)).cloned();
            (FileId::from_slice(&fid), name.unwrap_or_else(|| UNKNOWN.to_vec()))
        }
    };
    let detail = match set.setting {
        Setting::Name(to) => Detail::Rename(Box::new(Rename {
            id,
            from: name,
            to: without_nuls(&to),
        })),
        Setting::Disposition(delete_on_close) => Detail::SetInfo(Box::new(SetInfo {
            subcommand: set.subcommand,
            level: set.level,
            delete_on_close,
            name,
            id,
        })),
    };
    ask(state, message, command::TRANS2, Kind::Generic, detail);
    Ok(true)
}

fn read(state: &mut State, message: &Message<'_>, block: &[u8]) -> Outcome {
    let (fid, offset) = message::read_request(block).ok_or(MALFORMED)?;
    state
        .reads
        .insert(message.key(Kind::Offset), (message.file(fid), offset));
    Ok(false)
}

/// TRANSACTION: a call, when it is about a pipe that carries DCERPC.
fn call(state: &mut State, message: &Message<'_>) {
    let Some((pipe, data)) = trans::request(message) else {
        ask_generic(state, message, Some(MALFORMED));
        return;
    };
    if let Some(fid) = pipe {
        // The answer does not name the pipe.
        state.names.insert(message.key(Kind::File), fid.to_vec());
        if state.carries_dcerpc(&message.file(fid)) {
            let carried = Carried {
                command: Command::Smb1(message.command),
                key: message.key(Kind::Header),
                status: None,
            };
            pipe::sent(state, &carried, data);
        }
    }
    ask_generic(state, message, None);
}

fn negotiate(state: &mut State, message: &Message<'_>) -> Outcome {
    let offered = message::negotiate_request(message.body).ok_or(MALFORMED)?;
    if let Some(tx) = state.negotiation(1) {
        tx.meta.raise("duplicate_negotiate");
        return Ok(true);
    }
    let malformed = offered.iter().any(|dialect| dialect.len() < 2);
    let dialects = offered.iter().filter_map(|dialect| dialect.get(1..));
    let tx = state.queue.ask(Detail::Negotiate(Box::new(Negotiate {
        version: 1,
        dialects: dialects.map(<[u8]>::to_vec).collect(),
        ..Negotiate::default()
    })));
    tx.command = Command::Smb1(command::NEGOTIATE);
    if malformed {
        tx.meta.raise("negotiate_malformed_dialects");
    }
    Ok(true)
}

fn create(state: &mut State, message: &Message<'_>, command: u8, block: &[u8]) -> Outcome {
    let request = message::create_request(message, block).ok_or(MALFORMED)?;
    state.names.insert(message.key(Kind::Name), request.name.clone());
    let detail = Detail::Create(Box::new(Create {
        disposition: request.disposition,
        delete_on_close: request.options & DELETE_ON_CLOSE != 0,
        directory: request.options & DIRECTORY != 0,
        name: request.name,
        ..Create::default()
    }));
    ask(state, message, command, Kind::Generic, detail);
    Ok(true)
}

fn session_setup(state: &mut State, message: &Message<'_>, block: &[u8]) -> bool {
    // One that cannot be read is not told at all.
    let Some(request) = message::setup_request(message, block) else {
        return true;
    };
    let credentials = spnego::credentials(request.blob).unwrap_or_default();
    let unusual = credentials
        .logon
        .as_ref()
        .is_some_and(|logon| logon.unusual_order);
    let setup = SessionSetup {
        client: Some(request.host),
        logon: credentials.logon,
        ticket: credentials.ticket,
        ..SessionSetup::default()
    };
    let detail = Detail::SessionSetup(Box::new(setup));
    let tx = ask(state, message, message.command, Kind::Header, detail);
    tx.key.tree = 0;
    if unusual {
        tx.meta.raise("unusual_ntlmssp_order");
    }
    true
}

fn tree_connect(state: &mut State, message: &Message<'_>, block: &[u8]) -> Outcome {
    let (mut share, service) = message::tree_request(message, block).ok_or(MALFORMED)?;
    if share.len() > 1 {
        share.remove(0);
    }
    let detail = Detail::TreeConnect(Box::new(TreeConnect {
        share,
        requested_service: Some(service.to_vec()),
        ..TreeConnect::default()
    }));
    ask(state, message, command::TREE_CONNECT, Kind::Tree, detail);
    Ok(true)
}

fn close(state: &mut State, message: &Message<'_>) -> Outcome {
    let fid = message::close_request(message.body).ok_or(MALFORMED)?;
    let file = message.file(fid);
    state.names.insert(message.key(Kind::File), file.to_vec());
    transfer::close(state, &file, Direction::ToServer);
    Ok(false)
}
