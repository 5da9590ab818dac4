//! Reads and writes: of files, and of pipes.

use super::message::{self, Message, HEADER_OCTETS};
use super::{command, request, response};
use crate::app::smb::key::{Key, Kind};
use crate::app::smb::pipe::{self, Carried};
use crate::app::smb::state::{Piece, State};
use crate::app::smb::status;
use crate::app::smb::tracker::Transfer;
use crate::app::smb::transaction::Command;
use crate::packet::Direction;

const UNKNOWN: &[u8] = b"<unknown>";

/// A message of which this much is here can be taken already: it reads or writes a file.
pub fn continues_file(state: &State, message: &Message<'_>, direction: Direction) -> bool {
    let is_there = match (direction, message.command) {
        (Direction::ToServer, command::WRITE_ANDX) if !message.is_response => {
            message::write_andx_request(message.from(HEADER_OCTETS), HEADER_OCTETS).is_some()
        }
        (Direction::ToClient, command::READ_ANDX) if message.is_response => {
            message.status == status::SUCCESS && message::read_response(message.from(HEADER_OCTETS)).is_some()
        }
        _ => false,
    };
    let tree = state.trees.get(&message.key(Kind::Share));
    is_there && !tree.is_some_and(|tree| tree.is_pipe)
}

/// A write was asked for; `at`: where its block begins, `to_come`: octets of the message that are not here.
pub fn written(state: &mut State, message: &Message<'_>, command: u8, at: usize, to_come: u32) {
    let request = match command {
        command::WRITE_ANDX => message::write_andx_request(message.from(at), at),
        command::WRITE => message::write_request(message.body),
        _ => message::write_and_close_request(message.body),
    };
    let Some(request) = request else {
        request::ask_generic(state, message, Some("malformed_data"));
        return;
    };
    if u64::from(request.len) > request.data.len() as u64 + u64::from(to_come) {
        state.queue.raise("write_request_too_large");
        state.pass_over(Direction::ToServer, to_come);
        return;
    }
    let file = message.file(request.fid);
    let piece = Piece {
        offset: request.offset,
        len: request.len,
        data: request.data,
        to_come,
    };
    if !state.piece(Direction::ToServer, &file, &piece, false, None) {
        let tree = state
            .trees
            .get(&message.key(Kind::Share))
            .cloned()
            .unwrap_or_default();
        if tree.is_pipe {
            let carried = Carried {
                command: Command::Smb1(command),
                key: message.key(Kind::Header),
                status: Some(message.status),
            };
            pipe::sent(state, &carried, request.data);
        } else {
            let name = state.files.get(&file);
            let mut transfer = Transfer::new(Direction::ToServer, &file, name.map_or(UNKNOWN, Vec::as_slice));
            transfer.share = tree.name;
            let begin = Some((Command::Smb1(command::WRITE_ANDX), Key::default(), transfer));
            state.piece(Direction::ToServer, &file, &piece, false, begin);
        }
    }
    if command == command::WRITE_AND_CLOSE {
        close(state, &file, Direction::ToServer);
    }
    request::ask_generic(state, message, None);
}

/// A read was answered; `at`: where its block begins, `to_come`: octets of the message that are not here.
pub fn read_answered(state: &mut State, message: &Message<'_>, at: usize, to_come: u32) {
    let event = match message.status {
        status::SUCCESS => match read(state, message, at, to_come) {
            Ok(true) => None,
            Ok(false) => return,
            Err(event) => Some(event),
        },
        _ => None,
    };
    response::answer_generic(state, message, event);
}

/// Whether the answer was of use.
fn read(state: &mut State, message: &Message<'_>, at: usize, to_come: u32) -> Result<bool, &'static str> {
    let (len, data) = message::read_response(message.from(at)).ok_or("malformed_data")?;
    if u64::from(len) > data.len() as u64 + u64::from(to_come) {
        state.queue.raise("read_response_too_large");
        state.pass_over(Direction::ToClient, to_come);
        return Ok(false);
    }
    let Some((file, offset)) = state.reads.remove(&message.key(Kind::Offset)) else {
        state.pass_over(Direction::ToClient, to_come);
        return Ok(false);
    };
    let tree = state
        .trees
        .get(&message.key(Kind::Share))
        .cloned()
        .unwrap_or_default();
    if tree.is_pipe {
        let carried = Carried {
            command: Command::Smb1(command::READ_ANDX),
            key: message.key(Kind::Header),
            status: None,
        };
        // Parts of answers are remembered by the identifier as the server knows it.
        pipe::received(state, &carried, file.get(..2).unwrap_or_default(), data);
        return Ok(true);
    }
    let piece = Piece {
        offset,
        len,
        data,
        to_come,
    };
    if !state.piece(Direction::ToClient, &file, &piece, false, None) {
        let name = state.files.get(&file);
        let mut transfer = Transfer::new(Direction::ToClient, &file, name.map_or(b"", Vec::as_slice));
        transfer.share = tree.name;
        let begin = Some((Command::Smb1(command::READ_ANDX), Key::default(), transfer));
        state.piece(Direction::ToClient, &file, &piece, false, begin);
    }
    Ok(true)
}

/// A file was closed: its transfer in this direction is complete.
pub(super) fn close(state: &mut State, file: &[u8], direction: Direction) {
    let Some(tx) = state.transfer(file, direction, false) else {
        return;
    };
    if tx.done[Direction::ToServer.index()] {
        return;
    }
    if let Some((transfer, files)) = tx.transfer() {
        transfer.close(files);
    }
    tx.finish();
}
