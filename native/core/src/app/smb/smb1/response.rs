//! What a server answers.

use super::message::{self, Message};
use super::{command, trans, transfer};
use crate::app::smb::key::{FileId, Key, Kind};
use crate::app::smb::pipe::{self, Carried};
use crate::app::smb::reader::without_nuls;
use crate::app::smb::state::{State, Tree};
use crate::app::smb::status;
use crate::app::smb::transaction::{Command, Detail, SmbTx};
use crate::packet::Direction;

const MALFORMED: &str = "malformed_data";
/// The service of pipes.
const PIPES: &[u8] = b"IPC";

/// Whether the exchange that is answered was seen to; otherwise it is looked for by its command.
type Outcome = Result<bool, &'static str>;

/// Take one command of a message, whose block begins at `at`.
pub(super) fn one(state: &mut State, message: &Message<'_>, command: u8, at: usize) {
    let block = message.from(at);
    let outcome = match command {
        command::READ_ANDX => {
            transfer::read_answered(state, message, at, 0);
            Ok(true)
        }
        command::NEGOTIATE => negotiate(state, message),
        command::TREE_CONNECT => tree_connect(state, message, block),
        command::TREE_DISCONNECT => {
            state.trees.remove(&message.key(Kind::Share));
            Ok(false)
        }
        command::NT_CREATE if message.status == status::SUCCESS => create(state, message, command, block),
        command::CLOSE => {
            if let Some(file) = state.names.remove(&message.key(Kind::File)) {
                transfer::close(state, &file, Direction::ToClient);
            }
            Ok(false)
        }
        command::TRANS => {
            call(state, message);
            Ok(true)
        }
        command::SESSION_SETUP => Ok(session_setup(state, message, block)),
        _ => Ok(false),
    };
    if outcome == Ok(true) {
        return;
    }
    let wanted = Command::Smb1(command);
    let found = match command {
        // The user may be gone: it is the newest or none.
        command::LOGOFF => state.queue.last_mut().filter(|tx| tx.command == wanted),
        command::READ_ANDX | command::WRITE_ANDX | command::TRANS => None,
        _ => state.exchange(wanted, &message.key(Kind::Generic)),
    };
    if let Some(tx) = found {
        tx.done[Direction::ToServer.index()] = true;
        answer(tx, message);
        if let Err(event) = outcome {
            tx.meta.raise(event);
        }
    }
}

fn answer(tx: &mut SmbTx, message: &Message<'_>) {
    tx.set_status(message.status, message.classes);
    tx.answered();
}

/// The exchange told by its message's first command is answered; it is made when something is wrong with the answer.
pub(super) fn answer_generic(state: &mut State, message: &Message<'_>, event: Option<&'static str>) {
    let command = Command::Smb1(message.command);
    let key = message.key(Kind::Generic);
    let tx = match state.queue.find(|tx| tx.command == command && tx.key.fits(&key)) {
        Some(tx) => tx,
        None if event.is_some() => {
            let tx = state.queue.ask(Detail::None);
            tx.command = command;
            tx.key = key;
            tx
        }
        None => return,
    };
    tx.finish();
    answer(tx, message);
    tx.raise_all(event.as_slice());
}

fn negotiate(state: &mut State, message: &Message<'_>) -> Outcome {
    let (index, guid) = message::negotiate_response(message.body).ok_or(MALFORMED)?;
    let Some(tx) = state.negotiation(1) else {
        return Ok(false);
    };
    answer(tx, message);
    let mut dialect = None;
    if let Detail::Negotiate(negotiate) = &mut tx.detail {
        negotiate.server_guid = guid.to_vec();
        dialect = negotiate.dialects.get(usize::from(index)).cloned();
    }
    match dialect {
        Some(dialect) => state.queue.agree(|agreed| agreed.dialect_name = Some(dialect)),
        None => tx.meta.raise("negotiate_malformed_dialects"),
    }
    Ok(true)
}

fn tree_connect(state: &mut State, message: &Message<'_>, block: &[u8]) -> Outcome {
    let succeeded = message.status == status::SUCCESS;
    let service = match succeeded {
        true => message::tree_response(block).ok_or(MALFORMED)?,
        false => b"",
    };
    let wanted = message.key(Kind::Tree);
    let found = state
        .queue
        .find(|tx| matches!(tx.detail, Detail::TreeConnect(_)) && tx.key.fits(&wanted));
    let Some(tx) = found else {
        return Ok(!succeeded);
    };
    answer(tx, message);
    if !succeeded {
        return Ok(true);
    }
    tx.key = message.key(Kind::Header);
    if let Detail::TreeConnect(connect) = &mut tx.detail {
        connect.is_pipe = service == PIPES;
        connect.service = Some(service.to_vec());
        let tree = Tree {
            name: connect.share.clone(),
            is_pipe: connect.is_pipe,
        };
        state.trees.insert(message.key(Kind::Share), tree);
    }
    Ok(true)
}

fn create(state: &mut State, message: &Message<'_>, command: u8, block: &[u8]) -> Outcome {
    let response = message::create_response(block).ok_or(MALFORMED)?;
    if let Some(name) = state.names.remove(&message.key(Kind::Name)) {
        state
            .files
            .insert(message.file(response.fid), without_nuls(&name));
    }
    if let Some(tx) = state.exchange(Command::Smb1(command), &message.key(Kind::Generic)) {
        tx.set_status(message.status, false);
        tx.answered();
        if let Detail::Create(create) = &mut tx.detail {
            create.times = response.times;
            create.size = response.size;
            create.id = FileId::from_slice(&response.fid);
        }
    }
    Ok(true)
}

/// TRANSACTION: a call's answer, when it is about a pipe that carries DCERPC.
fn call(state: &mut State, message: &Message<'_>) {
    let Some(data) = trans::response(message.body) else {
        answer_generic(state, message, Some(MALFORMED));
        return;
    };
    let fid = state.names.remove(&message.key(Kind::File)).unwrap_or_default();
    let mut file = FileId::from_slice(&fid);
    file.extend_from_slice(&u32::from(message.user).to_be_bytes());
    if message.status == status::BUFFER_OVERFLOW {
        // The rest is to be read.
        let key = (message.key(Kind::Fragment), FileId::from_slice(&fid));
        pipe::remember_part(state, key, data);
    } else if state.carries_dcerpc(&file) {
        let carried = Carried {
            command: Command::Smb1(message.command),
            key: message.key(Kind::Header),
            status: Some(message.status),
        };
        pipe::received(state, &carried, &fid, data);
    }
    answer_generic(state, message, None);
}

fn session_setup(state: &mut State, message: &Message<'_>, block: &[u8]) -> bool {
    let (user, id) = (u64::from(message.user), u64::from(message.id));
    // A session's first request has no user yet.
    let keys = [Some(user).filter(|&user| user != 0), Some(0)];
    for user in keys.into_iter().flatten() {
        let wanted = Key::new(Kind::Header, user, 0, id);
        let found = state
            .queue
            .find(|tx| matches!(tx.detail, Detail::SessionSetup(_)) && tx.key.fits(&wanted));
        let Some(tx) = found else { continue };
        match (message::setup_response(message, block), &mut tx.detail) {
            (Some(host), Detail::SessionSetup(setup)) => setup.server = Some(host),
            _ => tx.meta.raise(MALFORMED),
        }
        tx.key = message.key(Kind::Header);
        answer(tx, message);
        break;
    }
    true
}
