//! Reads and writes: of files, and of pipes.

use super::command;
use super::message::{self, Message, Octets};
use crate::app::smb::key::{Key, Kind};
use crate::app::smb::pipe::{self, Carried};
use crate::app::smb::state::{Piece, State};
use crate::app::smb::status;
use crate::app::smb::tracker::Transfer;
use crate::app::smb::transaction::Command;
use crate::packet::Direction;

/// A message of which this much is here can be taken already: it reads or writes a file.
pub fn continues_file(state: &mut State, message: &Message<'_>, direction: Direction) -> bool {
    // Of messages in a chain the end is not known by the packet's.
    if message.chained || message.is_response != (direction == Direction::ToClient) {
        return false;
    }
    let (file, data) = match (direction, message.command) {
        (Direction::ToServer, command::WRITE) => match message::write_request(message.body) {
            Some((place, octets)) => (place.file.to_vec(), octets.data),
            None => return false,
        },
        (Direction::ToClient, command::READ) => {
            if !matches!(message.status, status::SUCCESS | status::BUFFER_OVERFLOW) {
                return false;
            }
            let read = state.reads.get(&message.key(Kind::Offset).without_tree());
            match (read, message::read_response(message.body)) {
                (Some((file, _)), Some(octets)) => (file.to_vec(), octets.data),
                _ => return false,
            }
        }
        _ => return false,
    };
    state.transfer(&file, direction, true).is_some() || !state.pipe(message.key(Kind::Share), &file, data).0
}

/// A write was asked for; `to_come`: octets of the message that are not here.
pub fn written(state: &mut State, message: &Message<'_>, to_come: u32) {
    let Some((place, octets)) = message::write_request(message.body) else {
        state.queue.raise("malformed_data");
        return;
    };
    let max_write = state.queue.agreed().max_write;
    if octets.missing() > to_come || is_too_large(state, Direction::ToServer, max_write, place.len) {
        state.queue.raise("write_request_too_large");
        state.pass_over(Direction::ToServer, to_come);
        return;
    }
    state.names.insert(message.key(Kind::File), place.file.to_vec());
    let file = Target {
        file: place.file,
        offset: place.offset,
        unnamed: b"",
        shows_share: false,
    };
    let carried = Carried {
        command: Command::Smb2(command::WRITE),
        key: message.key(Kind::Header),
        status: None,
    };
    take(
        state,
        message,
        Direction::ToServer,
        &file,
        octets,
        to_come,
        &carried,
    );
}

/// A read was answered; `to_come`: octets of the message that are not here.
pub fn read_answered(state: &mut State, message: &Message<'_>, to_come: u32) {
    let Some(octets) = message::read_response(message.body) else {
        state.queue.raise("malformed_data");
        return;
    };
    if octets.missing() > to_come {
        state.queue.raise("read_response_too_large");
        state.pass_over(Direction::ToClient, to_come);
        return;
    }
    let max_read = state.queue.agreed().max_read;
    if is_too_large(state, Direction::ToClient, max_read, octets.len) {
        state.queue.raise("read_response_too_large");
        state.pass_over(Direction::ToClient, to_come);
        return;
    }
    let Some((file, offset)) = state.reads.remove(&message.key(Kind::Offset).without_tree()) else {
        state.pass_over(Direction::ToClient, to_come);
        return;
    };
    let file = Target {
        file: &file,
        offset,
        unnamed: b"<unknown>",
        shows_share: true,
    };
    let carried = Carried {
        command: Command::Smb2(command::READ),
        key: message.key(Kind::Header),
        status: Some(message.status),
    };
    take(
        state,
        message,
        Direction::ToClient,
        &file,
        octets,
        to_come,
        &carried,
    );
}

/// More octets than were agreed on, or than the configuration allows.
pub(super) fn is_too_large(state: &State, direction: Direction, agreed: u32, len: u32) -> bool {
    let allowed = state.options.transfers[direction.index()].record;
    (agreed != 0 && len > agreed) || (allowed != 0 && len > allowed)
}

/// What is read or written.
struct Target<'a> {
    file: &'a [u8],
    offset: u64,
    /// Its name, where that is not known.
    unnamed: &'static [u8],
    /// Records show the share it is on.
    shows_share: bool,
}

fn take(
    state: &mut State,
    message: &Message<'_>,
    direction: Direction,
    target: &Target<'_>,
    octets: Octets<'_>,
    to_come: u32,
    carried: &Carried,
) {
    let piece = Piece {
        offset: target.offset,
        len: octets.len,
        data: octets.data,
        to_come,
    };
    if state.piece(direction, target.file, &piece, true, None) {
        return;
    }
    let tree_key = message.key(Kind::Share);
    match state.pipe(tree_key, target.file, octets.data) {
        (true, true) if direction == Direction::ToServer => pipe::sent(state, carried, octets.data),
        (true, true) => pipe::received(state, carried, target.file, octets.data),
        (true, false) => state.pass_over(direction, to_come),
        (false, _) => {
            let name = state.files.get(&target.file.into());
            let mut transfer =
                Transfer::new(direction, target.file, name.map_or(target.unnamed, Vec::as_slice));
            if target.shows_share {
                transfer.share = state
                    .trees
                    .get(&tree_key)
                    .map(|tree| tree.name.clone())
                    .unwrap_or_default();
            }
            let key = Key::new(Kind::Header, message.session, message.tree, 0);
            let begin = Some((carried.command, key, transfer));
            state.piece(direction, target.file, &piece, true, begin);
        }
    }
}
