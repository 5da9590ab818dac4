//! SMB 1: what messages do to the connection's state. A message may carry several commands, one behind the other (AndX).

mod message;
mod request;
mod response;
mod trans;
mod transfer;

pub use message::{Message, HEADER_OCTETS};
pub use transfer::{continues_file, read_answered, written};

use super::state::State;

/// Commands (MS-CIFS section 2.2.2.1).
pub mod command {
    /// CLOSE
    pub const CLOSE: u8 = 0x04;
    /// RENAME
    pub const RENAME: u8 = 0x07;
    /// WRITE
    pub const WRITE: u8 = 0x0b;
    /// LOCKING_ANDX
    pub const LOCKING_ANDX: u8 = 0x24;
    /// TRANSACTION
    pub const TRANS: u8 = 0x25;
    /// WRITE_AND_CLOSE
    pub const WRITE_AND_CLOSE: u8 = 0x2c;
    /// OPEN_ANDX
    pub const OPEN_ANDX: u8 = 0x2d;
    /// READ_ANDX
    pub const READ_ANDX: u8 = 0x2e;
    /// WRITE_ANDX
    pub const WRITE_ANDX: u8 = 0x2f;
    /// TRANSACTION2
    pub const TRANS2: u8 = 0x32;
    /// TRANSACTION2_SECONDARY
    pub const TRANS2_SECONDARY: u8 = 0x33;
    /// TREE_DISCONNECT
    pub const TREE_DISCONNECT: u8 = 0x71;
    /// NEGOTIATE
    pub const NEGOTIATE: u8 = 0x72;
    /// SESSION_SETUP_ANDX
    pub const SESSION_SETUP: u8 = 0x73;
    /// LOGOFF_ANDX
    pub const LOGOFF: u8 = 0x74;
    /// TREE_CONNECT_ANDX
    pub const TREE_CONNECT: u8 = 0x75;
    /// NT_CREATE_ANDX
    pub const NT_CREATE: u8 = 0xa2;
    /// NT_CANCEL
    pub const NT_CANCEL: u8 = 0xa4;
    /// No command follows.
    pub const NONE: u8 = 0xff;
}

/// Names of commands, by number, as records have them.
const COMMANDS: &[(u8, &str)] = &[
    (0x00, "SMB1_COMMAND_CREATE_DIRECTORY"),
    (0x01, "SMB1_COMMAND_DELETE_DIRECTORY"),
    (0x02, "SMB1_COMMAND_OPEN"),
    (0x03, "SMB1_COMMAND_CREATE"),
    (0x04, "SMB1_COMMAND_CLOSE"),
    (0x05, "SMB1_COMMAND_FLUSH"),
    (0x06, "SMB1_COMMAND_DELETE"),
    (0x07, "SMB1_COMMAND_RENAME"),
    (0x08, "SMB1_COMMAND_QUERY_INFORMATION"),
    (0x09, "SMB1_COMMAND_SET_INFORMATION"),
    (0x0a, "SMB1_COMMAND_READ"),
    (0x0b, "SMB1_COMMAND_WRITE"),
    (0x0c, "SMB1_COMMAND_LOCK_BYTE_RANGE"),
    (0x0d, "SMB1_COMMAND_UNLOCK_BYTE_RANGE"),
    (0x0e, "SMB1_COMMAND_CREATE_TEMPORARY"),
    (0x0f, "SMB1_COMMAND_CREATE_NEW"),
    (0x10, "SMB1_COMMAND_CHECK_DIRECTORY"),
    (0x11, "SMB1_COMMAND_PROCESS_EXIT"),
    (0x12, "SMB1_COMMAND_SEEK"),
    (0x13, "SMB1_COMMAND_LOCK_AND_READ"),
    (0x14, "SMB1_COMMAND_WRITE_AND_UNLOCK"),
    (0x24, "SMB1_COMMAND_LOCKING_ANDX"),
    (0x25, "SMB1_COMMAND_TRANS"),
    (0x2b, "SMB1_COMMAND_ECHO"),
    (0x2c, "SMB1_COMMAND_WRITE_AND_CLOSE"),
    (0x2d, "SMB1_COMMAND_OPEN_ANDX"),
    (0x2e, "SMB1_COMMAND_READ_ANDX"),
    (0x2f, "SMB1_COMMAND_WRITE_ANDX"),
    (0x32, "SMB1_COMMAND_TRANS2"),
    (0x33, "SMB1_COMMAND_TRANS2_SECONDARY"),
    (0x34, "SMB1_COMMAND_FIND_CLOSE2"),
    (0x71, "SMB1_COMMAND_TREE_DISCONNECT"),
    (0x72, "SMB1_COMMAND_NEGOTIATE_PROTOCOL"),
    (0x73, "SMB1_COMMAND_SESSION_SETUP_ANDX"),
    (0x74, "SMB1_COMMAND_LOGOFF_ANDX"),
    (0x75, "SMB1_COMMAND_TREE_CONNECT_ANDX"),
    (0x80, "SMB1_COMMAND_QUERY_INFO_DISK"),
    (0xa0, "SMB1_COMMAND_NT_TRANS"),
    (0xa1, "SMB1_COMMAND_NT_TRANS_SECONDARY"),
    (0xa2, "SMB1_COMMAND_NT_CREATE_ANDX"),
    (0xa4, "SMB1_COMMAND_NT_CANCEL"),
];

/// The name of a command, if it has one.
pub fn command_name(command: u8) -> Option<&'static str> {
    COMMANDS
        .binary_search_by_key(&command, |(known, _)| *known)
        .ok()
        .and_then(|at| COMMANDS.get(at))
        .map(|(_, name)| *name)
}

/// Another command may follow in the message.
fn is_andx(command: u8) -> bool {
    matches!(
        command,
        command::LOCKING_ANDX
            | command::OPEN_ANDX
            | command::READ_ANDX
            | command::WRITE_ANDX
            | command::SESSION_SETUP
            | command::LOGOFF
            | command::TREE_CONNECT
            | command::NT_CREATE
    )
}

/// The commands of a message with the offsets of their blocks, which only grow.
fn commands<'a>(message: &Message<'a>) -> impl Iterator<Item = (u8, usize)> + 'a {
    let message = *message;
    std::iter::successors(Some((message.command, HEADER_OCTETS)), move |&(command, at)| {
        if !is_andx(command) {
            return None;
        }
        let (next, next_at) = message::next_command(message.from(at))?;
        let is_there = next_at > at && next_at - HEADER_OCTETS < message.body.len();
        (next != command::NONE && is_there).then_some((next, next_at))
    })
}

/// Take a request.
pub fn request(state: &mut State, message: &Message<'_>) {
    for (command, at) in commands(message) {
        request::one(state, message, command, at);
    }
}

/// Take an answer.
pub fn response(state: &mut State, message: &Message<'_>) {
    for (command, at) in commands(message) {
        response::one(state, message, command, at);
    }
}

#[cfg(test)]
mod tests;
