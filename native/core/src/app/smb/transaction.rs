//! An exchange over SMB: a command with its answer, a file that is transferred, a call over a pipe.

use std::sync::Arc;

use super::key::{FileId, Key};
use super::ntlmssp::Logon;
use super::pipe::Call;
use super::record;
use super::spnego::Ticket;
use super::tracker::Transfer;
use super::BUFFERS;
use crate::app::dcerpc::{self, Interface};
use crate::app::{Buffer, Transaction, TxMeta};
use crate::event::json::Json;
use crate::file::Files;
use crate::packet::Direction;

/// A command by its version's number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Command {
    /// Not said.
    #[default]
    None,
    /// SMB 1.
    Smb1(u8),
    /// SMB 2 and 3.
    Smb2(u16),
}

/// How a command went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// NTSTATUS.
    Nt(u32),
    /// An error of DOS (class 1), of a server (class 2) or of something else.
    Class(u8, u16),
}

/// What the two sides agreed on, as far as records show it.
#[derive(Clone, Debug, Default)]
pub struct Agreed {
    /// SMB 2's dialect; 0 is none.
    pub dialect: u16,
    /// SMB 1's dialect.
    pub dialect_name: Option<Vec<u8>>,
    /// Octets of a read at most; 0 is not said.
    pub max_read: u32,
    /// Octets of a write at most; 0 is not said.
    pub max_write: u32,
    /// Interfaces of the last bind over a pipe.
    pub interfaces: Option<Vec<Interface>>,
}

/// A negotiation.
#[derive(Debug, Default)]
pub struct Negotiate {
    /// SMB's version: 1 or 2.
    pub version: u8,
    /// Dialects the client offers.
    pub dialects: Vec<Vec<u8>>,
    /// SMB 1 has none.
    pub client_guid: Option<Vec<u8>>,
    /// The server's.
    pub server_guid: Vec<u8>,
}

/// A connection to a share.
#[derive(Debug, Default)]
pub struct TreeConnect {
    /// The share, with the server's name.
    pub share: Vec<u8>,
    /// It is the one of pipes.
    pub is_pipe: bool,
    /// SMB 2: 1 is a disk, 2 a pipe, 3 a printer.
    pub share_type: u8,
    /// SMB 1: the service asked for.
    pub requested_service: Option<Vec<u8>>,
    /// SMB 1: the service there is.
    pub service: Option<Vec<u8>>,
}

/// A file opened or made.
#[derive(Debug, Default)]
pub struct Create {
    /// What to do whether it is there or not (MS-SMB2 section 2.2.13).
    pub disposition: u32,
    /// It goes when closed.
    pub delete_on_close: bool,
    /// It is a directory.
    pub directory: bool,
    /// As sent: UTF-16 in SMB 2.
    pub name: Vec<u8>,
    /// Its identifier, once the server said it.
    pub id: FileId,
    /// Created, accessed, written, changed: seconds since 1970.
    pub times: [u32; 4],
    /// Octets.
    pub size: u64,
}

/// A session's start.
#[derive(Debug, Default)]
pub struct SessionSetup {
    /// SMB 1: operating system and LAN manager of the client.
    pub client: Option<[Vec<u8>; 2]>,
    /// The same of the server.
    pub server: Option<[Vec<u8>; 2]>,
    /// Who logs on by NTLM.
    pub logon: Option<Logon>,
    /// The ticket of Kerberos.
    pub ticket: Option<Ticket>,
}

/// A file renamed.
#[derive(Debug, Default)]
pub struct Rename {
    /// The file, where it was named by its identifier.
    pub id: FileId,
    /// Its name before.
    pub from: Vec<u8>,
    /// Its name after.
    pub to: Vec<u8>,
}

/// A file that is to go, or not.
#[derive(Debug, Default)]
pub struct SetInfo {
    /// Subcommand of SMB 1's TRANSACTION2; SMB 2's class.
    pub subcommand: u16,
    /// Level of information.
    pub level: u16,
    /// It goes when closed.
    pub delete_on_close: bool,
    /// Its name.
    pub name: Vec<u8>,
    /// Its identifier, where it was named by it.
    pub id: FileId,
}

/// What is special about an exchange.
#[derive(Debug, Default)]
pub enum Detail {
    /// Nothing.
    #[default]
    None,
    /// A file is read or written.
    File(Box<Transfer>),
    /// See there.
    TreeConnect(Box<TreeConnect>),
    /// See there.
    Negotiate(Box<Negotiate>),
    /// A call over a pipe.
    Call(Box<Call>),
    /// See there.
    Create(Box<Create>),
    /// See there.
    SessionSetup(Box<SessionSetup>),
    /// A control code.
    Control(u32),
    /// See there.
    Rename(Box<Rename>),
    /// See there.
    SetInfo(Box<SetInfo>),
}

/// An exchange.
#[derive(Debug, Default)]
pub struct SmbTx {
    /// The engine's part.
    pub meta: TxMeta,
    /// Number in records, from 1.
    pub number: u64,
    /// The command.
    pub command: Command,
    /// How it went, once that was said.
    pub status: Option<Status>,
    /// What its answer is found by.
    pub key: Key,
    /// By direction: nothing will be added.
    pub done: [bool; 2],
    /// What is special.
    pub detail: Detail,
    /// The file of a transfer.
    pub files: Files,
    /// What was agreed on when it was last touched.
    pub agreed: Arc<Agreed>,
}

impl SmbTx {
    /// Set how it went by a header's 32 bits; `classes`: they are a class and a code, not an NTSTATUS.
    pub fn set_status(&mut self, status: u32, classes: bool) {
        self.status = Some(if classes {
            Status::Class((status & 0xff) as u8, (status >> 16) as u16)
        } else {
            Status::Nt(status)
        });
    }

    /// Raise events.
    pub fn raise_all(&mut self, events: &[&'static str]) {
        for event in events {
            self.meta.raise(event);
        }
    }

    /// The answer is complete.
    pub fn answered(&mut self) {
        self.done[Direction::ToClient.index()] = true;
    }

    /// Nothing will be added.
    pub fn finish(&mut self) {
        self.done = [true; 2];
    }

    /// The transfer it is, if it is one.
    pub fn transfer(&mut self) -> Option<(&mut Transfer, &mut Files)> {
        match &mut self.detail {
            Detail::File(transfer) => Some((transfer, &mut self.files)),
            _ => None,
        }
    }

    fn named(&self, name: &str, direction: Direction) -> Option<&[u8]> {
        match (&self.detail, name) {
            (Detail::TreeConnect(tree), "smb.named_pipe") if tree.is_pipe => Some(&tree.share),
            (Detail::TreeConnect(tree), "smb.share") if !tree.is_pipe => Some(&tree.share),
            (Detail::SessionSetup(setup), "smb.ntlmssp_user") => Some(&setup.logon.as_ref()?.user),
            (Detail::SessionSetup(setup), "smb.ntlmssp_domain") => Some(&setup.logon.as_ref()?.domain),
            (Detail::Call(call), "dcerpc.stub_data") => call.stub(direction),
            _ => None,
        }
    }
}

impl Transaction for SmbTx {
    fn meta(&self) -> &TxMeta {
        &self.meta
    }

    fn meta_mut(&mut self) -> &mut TxMeta {
        &mut self.meta
    }

    fn progress(&self, direction: Direction) -> u8 {
        u8::from(self.done[direction.index()])
    }

    fn complete(&self, direction: Direction) -> bool {
        self.done[direction.index()]
    }

    fn buffer(&self, slot: usize, direction: Direction, index: usize) -> Option<Buffer<'_>> {
        let name = BUFFERS.get(slot)?.name;
        if !name.starts_with("file.") {
            let octets = self.named(name, direction).filter(|_| index == 0)?;
            return Some(Buffer::whole(octets));
        }
        let file = self.files.of(direction).nth(index)?;
        match name {
            "file.data" => file.buffer(),
            "file.magic" => file.magic().map(|magic| Buffer::whole(magic.as_bytes())),
            _ => (!file.name.is_empty()).then(|| Buffer::whole(&file.name)),
        }
    }

    fn value(&self, _slot: usize, _direction: Direction, index: usize) -> Option<i64> {
        match &self.detail {
            Detail::Call(call) if index == 0 => call.called().map(i64::from),
            _ => None,
        }
    }

    fn inspected(&mut self, direction: Direction) {
        self.files.inspected(direction);
    }

    fn files(&self) -> Option<&Files> {
        matches!(self.detail, Detail::File(_)).then_some(&self.files)
    }

    fn files_mut(&mut self) -> Option<&mut Files> {
        matches!(self.detail, Detail::File(_)).then_some(&mut self.files)
    }

    /// Which context an interface was bound to is not followed: a call may be of any.
    fn call(&self) -> Option<dcerpc::Call<'_>> {
        let interfaces = self.agreed.interfaces.as_deref()?;
        matches!(&self.detail, Detail::Call(call) if call.is_call()).then_some(dcerpc::Call {
            interfaces,
            context_id: None,
        })
    }

    fn records(&self, ended: bool) -> usize {
        usize::from(ended || self.done == [true; 2])
    }

    fn record_type(&self, _index: usize) -> &'static str {
        "smb"
    }

    fn write_record(&self, _index: usize, json: &mut Json<'_>) {
        record::write(self, json);
    }
}
