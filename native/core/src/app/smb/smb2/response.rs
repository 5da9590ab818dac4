//! What a server answers.

use super::message::{self, Message};
use super::{command, transfer};
use crate::app::smb::key::{FileId, Key, Kind};
use crate::app::smb::pipe::{self, Carried};
use crate::app::smb::reader::without_nuls;
use crate::app::smb::state::{State, Tree};
use crate::app::smb::status;
use crate::app::smb::transaction::{Command, Detail, SmbTx};
use crate::packet::Direction;

/// Whether the exchange that is answered was seen to; otherwise it is looked for by its command.
type Outcome = Result<bool, &'static str>;

/// Take an answer.
pub fn response(state: &mut State, message: &Message<'_>) {
    let succeeded = message.status == status::SUCCESS;
    let outcome = match message.command {
        command::IOCTL => Ok(control(state, message)),
        command::SESSION_SETUP => Ok(session_setup(state, message)),
        command::WRITE if succeeded => write(state, message),
        command::READ => Ok(read(state, message)),
        command::CREATE if succeeded => create(state, message),
        command::TREE_DISCONNECT => {
            state.trees.remove(&message.key(Kind::Share));
            Ok(false)
        }
        command::TREE_CONNECT => tree_connect(state, message),
        command::NEGOTIATE => negotiate(state, message),
        _ => Ok(false),
    };
    if outcome == Ok(true) {
        return;
    }
    let command = Command::Smb2(message.command);
    if let Some(tx) = state.exchange(command, &message.key(Kind::Generic)) {
        answer(tx, message);
        if let Err(event) = outcome {
            tx.meta.raise(event);
        }
    }
}

/// How it went is known; unless the answer proper comes later, that is all.
fn answer(tx: &mut SmbTx, message: &Message<'_>) {
    tx.set_status(message.status, false);
    if message.status != status::PENDING {
        tx.answered();
    }
}

fn control(state: &mut State, message: &Message<'_>) -> bool {
    let key = message.key(Kind::Header);
    let command = Command::Smb2(command::IOCTL);
    let response = message::control_response(message.body);
    if let Some(response) = response.filter(|response| response.is_pipe()) {
        if state.carries_dcerpc(response.file) {
            let carried = Carried {
                command,
                key,
                status: Some(message.status),
            };
            pipe::received(state, &carried, &[], response.data);
            return true;
        }
    }
    if let Some(tx) = state.exchange(command, &key) {
        answer(tx, message);
        if response.is_none() && message.status == status::SUCCESS {
            tx.meta.raise("malformed_data");
        }
    }
    true
}

fn session_setup(state: &mut State, message: &Message<'_>) -> bool {
    let key = message.key(Kind::Header);
    // A session's first request has no session yet.
    let first = Key::new(Kind::Header, 0, 0, message.id);
    let keys = [Some(key).filter(|key| key.session != 0), Some(first)];
    for wanted in keys.into_iter().flatten() {
        let found = state
            .queue
            .find(|tx| matches!(tx.detail, Detail::SessionSetup(_)) && tx.key.fits(&wanted));
        if let Some(tx) = found {
            tx.key = key;
            tx.set_status(message.status, false);
            tx.answered();
            break;
        }
    }
    true
}

fn write(state: &mut State, message: &Message<'_>) -> Outcome {
    message::write_response(message.body).ok_or("malformed_data")?;
    state.names.remove(&message.key(Kind::File));
    Ok(false)
}

fn read(state: &mut State, message: &Message<'_>) -> bool {
    match message.status {
        status::SUCCESS | status::BUFFER_OVERFLOW => transfer::read_answered(state, message, 0),
        status::END_OF_FILE => {
            let read = state.reads.remove(&message.key(Kind::Offset).without_tree());
            let file = read.map(|(file, _)| file).unwrap_or_default();
            if let Some(tx) = state.transfer(&file, Direction::ToClient, false) {
                let is_open = !tx.done[Direction::ToServer.index()];
                if let Some((transfer, files)) = tx.transfer().filter(|_| is_open) {
                    transfer.close(files);
                }
                tx.set_status(message.status, false);
                tx.done[Direction::ToServer.index()] = true;
            }
        }
        _ => {}
    }
    false
}

fn create(state: &mut State, message: &Message<'_>) -> Outcome {
    // Malformed, the request is left without an answer.
    let Some(response) = message::create_response(message.body) else {
        return Ok(true);
    };
    if let Some(name) = state.names.remove(&message.key(Kind::Name).without_tree()) {
        state
            .files
            .insert(FileId::from_slice(response.file), without_nuls(&name));
    }
    let command = Command::Smb2(message.command);
    if let Some(tx) = state.exchange(command, &message.key(Kind::Generic)) {
        tx.set_status(message.status, false);
        tx.answered();
        if let Detail::Create(create) = &mut tx.detail {
            create.times = response.times;
            create.size = response.size;
            create.id = FileId::from_slice(response.file);
        }
    }
    Ok(true)
}

fn tree_connect(state: &mut State, message: &Message<'_>) -> Outcome {
    let wanted = message.key(Kind::Tree);
    let share_type = match message.status {
        status::SUCCESS => Some(message::tree_connect_response(message.body).ok_or("malformed_data")?),
        _ => None,
    };
    let found = state
        .queue
        .find(|tx| matches!(tx.detail, Detail::TreeConnect(_)) && tx.key.fits(&wanted));
    let Some(tx) = found else {
        return Ok(share_type.is_some());
    };
    tx.set_status(message.status, false);
    tx.answered();
    let Some(share_type) = share_type else {
        return Ok(true);
    };
    tx.key = message.key(Kind::Header);
    if let Detail::TreeConnect(connect) = &mut tx.detail {
        connect.share_type = share_type;
        connect.is_pipe = share_type == 2;
        let tree = Tree {
            name: connect.share.clone(),
            is_pipe: connect.is_pipe,
        };
        state.trees.insert(message.key(Kind::Share), tree);
    }
    Ok(true)
}

fn negotiate(state: &mut State, message: &Message<'_>) -> Outcome {
    let negotiated = match message.status {
        status::SUCCESS => message::negotiate_response(message.body),
        _ => message.body.get(..4).map(|_| message::Negotiated::default()),
    }
    .ok_or("malformed_data")?;
    for (direction, octets, event) in [
        (
            Direction::ToClient,
            negotiated.max_read,
            "negotiate_max_read_size_too_large",
        ),
        (
            Direction::ToServer,
            negotiated.max_write,
            "negotiate_max_write_size_too_large",
        ),
    ] {
        if transfer::is_too_large(state, direction, 0, octets) {
            state.queue.raise(event);
        }
    }
    state.queue.agree(|agreed| {
        agreed.dialect = negotiated.dialect;
        agreed.max_read = negotiated.max_read;
        agreed.max_write = negotiated.max_write;
    });
    // A server may answer an SMB 1 negotiation by SMB 2.
    let version = if state.negotiation(2).is_some() { 2 } else { 1 };
    let Some(tx) = state.negotiation(version) else {
        return Ok(false);
    };
    tx.set_status(message.status, false);
    tx.answered();
    if let Detail::Negotiate(negotiate) = &mut tx.detail {
        negotiate.server_guid = negotiated.guid.to_vec();
    }
    Ok(true)
}
