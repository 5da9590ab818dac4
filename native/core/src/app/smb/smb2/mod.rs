//! SMB 2 and 3: what messages do to the connection's state.

mod message;
mod request;
mod response;
mod transfer;

pub use message::{dialect_name, Message};
pub use request::request;
pub use response::response;
pub use transfer::{continues_file, read_answered, written};

/// Commands (MS-SMB2 section 2.2.1.2).
pub mod command {
    /// NEGOTIATE
    pub const NEGOTIATE: u16 = 0;
    /// SESSION_SETUP
    pub const SESSION_SETUP: u16 = 1;
    /// TREE_CONNECT
    pub const TREE_CONNECT: u16 = 3;
    /// TREE_DISCONNECT
    pub const TREE_DISCONNECT: u16 = 4;
    /// CREATE
    pub const CREATE: u16 = 5;
    /// CLOSE
    pub const CLOSE: u16 = 6;
    /// READ
    pub const READ: u16 = 8;
    /// WRITE
    pub const WRITE: u16 = 9;
    /// IOCTL
    pub const IOCTL: u16 = 11;
    /// QUERY_INFO
    pub const GET_INFO: u16 = 16;
    /// SET_INFO
    pub const SET_INFO: u16 = 17;
}

/// Names of commands, by number, as records have them.
const COMMANDS: [&str; 19] = [
    "SMB2_COMMAND_NEGOTIATE_PROTOCOL",
    "SMB2_COMMAND_SESSION_SETUP",
    "SMB2_COMMAND_SESSION_LOGOFF",
    "SMB2_COMMAND_TREE_CONNECT",
    "SMB2_COMMAND_TREE_DISCONNECT",
    "SMB2_COMMAND_CREATE",
    "SMB2_COMMAND_CLOSE",
    "SMB2_COMMAND_FLUSH",
    "SMB2_COMMAND_READ",
    "SMB2_COMMAND_WRITE",
    "SMB2_COMMAND_LOCK",
    "SMB2_COMMAND_IOCTL",
    "SMB2_COMMAND_CANCEL",
    "SMB2_COMMAND_KEEPALIVE",
    "SMB2_COMMAND_FIND",
    "SMB2_COMMAND_CHANGE_NOTIFY",
    "SMB2_COMMAND_GET_INFO",
    "SMB2_COMMAND_SET_INFO",
    "SMB2_COMMAND_OPLOCK_BREAK",
];

/// The name of a command, if it has one.
pub fn command_name(command: u16) -> Option<&'static str> {
    COMMANDS.get(usize::from(command)).copied()
}

/// Exchanges of these commands are told only when something special is in them.
fn is_told(command: u16) -> bool {
    !matches!(
        command,
        command::READ | command::WRITE | command::GET_INFO | command::SET_INFO
    )
}

/// Octets of an encrypted message (MS-SMB2 section 2.2.41): what follows it. `None` when it is malformed.
pub fn encrypted(octets: &[u8]) -> Option<&[u8]> {
    let header = octets.get(..52)?;
    if !header.starts_with(b"\xfdSMB") {
        return None;
    }
    let len = u32::from_le_bytes(header.get(36..40)?.try_into().ok()?);
    octets.get(52..)?.get(usize::try_from(len).ok()?..)
}
