//! Messages of SMB 1: the header, and commands as far as records and rules need them (MS-CIFS, MS-SMB section 2.2).

use crate::app::smb::key::{FileId, Key, Kind};
use crate::app::smb::reader::{seconds, Reader};

/// Octets of a header: offsets in messages count from its start.
pub const HEADER_OCTETS: usize = 32;
const REPLY: u8 = 0x80;
const UNICODE: u16 = 0x8000;
const NT_STATUS: u16 = 0x4000;
/// Octets before the data of a read's answer, without its words.
const READ_RESPONSE_OCTETS: u16 = 36;
/// The data of a write do not begin before.
const LEAST_WRITE_OFFSET: u16 = 0x3c;

/// A message: its header and what follows.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// The (first) command.
    pub command: u8,
    /// How it went.
    pub status: u32,
    /// The status is a class and a code, not an NTSTATUS.
    pub classes: bool,
    /// It is an answer.
    pub is_response: bool,
    /// Text is UTF-16.
    pub unicode: bool,
    /// The tree.
    pub tree: u16,
    /// The user: what sessions are told apart by.
    pub user: u16,
    /// Which exchange.
    pub id: u16,
    /// What follows the header.
    pub body: &'a [u8],
}

impl<'a> Message<'a> {
    /// Read a message.
    pub fn read(octets: &'a [u8]) -> Option<Message<'a>> {
        let mut reader = Reader::new(octets);
        if reader.take(4)? != b"\xffSMB" {
            return None;
        }
        let command = reader.u8()?;
        let status = reader.u32()?;
        let flags = reader.u8()?;
        let flags2 = reader.u16()?;
        reader.skip(12)?;
        let tree = reader.u16()?;
        reader.skip(2)?;
        Some(Message {
            command,
            status,
            classes: flags2 & NT_STATUS == 0,
            is_response: flags & REPLY != 0,
            unicode: flags2 & UNICODE != 0,
            tree,
            user: reader.u16()?,
            id: reader.u16()?,
            body: reader.rest(),
        })
    }

    /// Its key of this kind.
    pub fn key(&self, kind: Kind) -> Key {
        Key::new(kind, self.user.into(), self.tree.into(), self.id.into())
    }

    /// A file's identifier is the user's.
    pub fn file(&self, fid: [u8; 2]) -> FileId {
        let mut file = FileId::from_slice(&fid);
        file.extend_from_slice(&u32::from(self.user).to_be_bytes());
        file
    }

    /// A command's parameters and data, from `offset` in the message.
    pub fn from(&self, offset: usize) -> &'a [u8] {
        offset
            .checked_sub(HEADER_OCTETS)
            .and_then(|offset| self.body.get(offset..))
            .unwrap_or_default()
    }

    /// Text; UTF-16 begins at an even offset in the message.
    fn text(&self, reader: &mut Reader<'_>, offset: usize) -> Option<Vec<u8>> {
        if !self.unicode {
            return reader.until_nul().map(<[u8]>::to_vec);
        }
        if offset % 2 == 1 {
            reader.skip(1)?;
        }
        reader.wide_until_nul()
    }

    /// Texts one after the other, to the end of the data; those that are missing are empty.
    fn texts<const N: usize>(&self, rest: &[u8]) -> [Vec<u8>; N] {
        let at = self.body.len() - rest.len().min(self.body.len());
        let unaligned = self.unicode && rest.len() > 1 && at % 2 == 1;
        let wide = self.unicode && rest.len() > 1;
        let mut reader = Reader::new(&rest[usize::from(unaligned)..]);
        let mut texts = std::array::from_fn(|_| Vec::new());
        for text in &mut texts {
            let read = if wide {
                reader.wide_until_nul()
            } else {
                reader.until_nul().map(<[u8]>::to_vec)
            };
            match read {
                Some(read) => *text = read,
                None => break,
            }
        }
        texts
    }
}

fn fid(reader: &mut Reader<'_>) -> Option<[u8; 2]> {
    reader.take(2)?.try_into().ok()
}

/// The next command of an AndX message: (command, its offset in the message).
pub fn next_command(block: &[u8]) -> Option<(u8, usize)> {
    let mut reader = Reader::new(block);
    reader.skip(1)?;
    let command = reader.u8()?;
    reader.skip(1)?;
    Some((command, usize::from(reader.u16()?)))
}

/// NEGOTIATE, asked: dialects, each with its format's octet.
pub fn negotiate_request(body: &[u8]) -> Option<Vec<&[u8]>> {
    let mut reader = Reader::new(body);
    reader.skip(3)?;
    let mut dialects = Vec::new();
    while let Some(dialect) = reader.until_nul() {
        dialects.push(dialect);
    }
    (!dialects.is_empty()).then_some(dialects)
}

/// NEGOTIATE, answered: (the dialect's index, the server's GUID).
pub fn negotiate_response(body: &[u8]) -> Option<(u16, &[u8])> {
    let mut reader = Reader::new(body);
    if reader.u8()? == 0 {
        reader.skip(2)?;
        return Some((0, &[]));
    }
    let dialect = reader.u16()?;
    reader.skip(32)?;
    let count = reader.u16()?;
    let guid = if count >= 16 { reader.take(16)? } else { &[] };
    Some((dialect, guid))
}

/// SESSION_SETUP, asked.
#[derive(Clone, Debug)]
pub struct SetupRequest<'a> {
    /// The security blob.
    pub blob: &'a [u8],
    /// Operating system and LAN manager.
    pub host: [Vec<u8>; 2],
}

/// See there.
pub fn setup_request<'a>(message: &Message<'a>, block: &'a [u8]) -> Option<SetupRequest<'a>> {
    let mut reader = Reader::new(block);
    reader.skip(15)?;
    let len = usize::from(reader.u16()?);
    reader.skip(10)?;
    let blob = reader.take(len)?;
    Some(SetupRequest {
        blob,
        host: message.texts(reader.rest()),
    })
}

/// SESSION_SETUP, answered: operating system and LAN manager.
pub fn setup_response(message: &Message<'_>, block: &[u8]) -> Option<[Vec<u8>; 2]> {
    let mut reader = Reader::new(block);
    match *block.first()? {
        0 => reader.skip(3)?,
        3 => reader.skip(9)?,
        _ => {
            reader.skip(7)?;
            let len = usize::from(reader.u16()?);
            reader.skip(2 + len)?;
        }
    }
    Some(message.texts(reader.rest()))
}

/// TREE_CONNECT, asked: (share, service).
pub fn tree_request<'a>(message: &Message<'a>, block: &'a [u8]) -> Option<(Vec<u8>, &'a [u8])> {
    let mut reader = Reader::new(block);
    reader.skip(7)?;
    let password_len = usize::from(reader.u16()?);
    reader.skip(2 + password_len)?;
    let share = message.text(&mut reader, 11 + password_len)?;
    Some((share, reader.until_nul()?))
}

/// TREE_CONNECT, answered: the service.
pub fn tree_response(block: &[u8]) -> Option<&[u8]> {
    let mut reader = Reader::new(block);
    let words = reader.u8()?;
    reader.skip(4)?;
    if words >= 3 {
        reader.skip(2)?;
    }
    if words == 7 {
        reader.skip(8)?;
    }
    reader.skip(2)?;
    let service = reader.until_nul()?;
    reader.until_nul()?;
    Some(service)
}

/// NT_CREATE, asked.
#[derive(Clone, Debug)]
pub struct CreateRequest {
    /// Disposition.
    pub disposition: u32,
    /// Options.
    pub options: u32,
    /// The name.
    pub name: Vec<u8>,
}

/// See there.
pub fn create_request(message: &Message<'_>, block: &[u8]) -> Option<CreateRequest> {
    let mut reader = Reader::new(block);
    reader.skip(6)?;
    let name_len = reader.u16()?;
    reader.skip(28)?;
    let disposition = reader.u32()?;
    let options = reader.u32()?;
    reader.skip(5)?;
    let count = reader.u16()?;
    let name = match count.checked_sub(name_len) {
        // What the count has more than the name is its padding.
        Some(padding) => message.text(&mut reader, usize::from(padding))?,
        None => Vec::new(),
    };
    Some(CreateRequest {
        disposition,
        options,
        name,
    })
}

/// NT_CREATE, answered.
#[derive(Clone, Copy, Debug)]
pub struct CreateResponse {
    /// The file.
    pub fid: [u8; 2],
    /// Created, accessed, written, changed: seconds since 1970.
    pub times: [u32; 4],
    /// Octets.
    pub size: u64,
}

/// See there.
pub fn create_response(block: &[u8]) -> Option<CreateResponse> {
    let mut reader = Reader::new(block);
    let words = reader.u8()?;
    reader.skip(5)?;
    let fid = fid(&mut reader)?;
    reader.skip(4)?;
    let mut time = || reader.u64().map(seconds);
    let times = [time()?, time()?, time()?, time()?];
    reader.skip(4)?;
    let size = reader.u64()?;
    reader.skip(if words == 42 { 47 } else { 15 })?;
    Some(CreateResponse { fid, times, size })
}

/// CLOSE, asked: the file.
pub fn close_request(body: &[u8]) -> Option<[u8; 2]> {
    body.get(1..3)?.try_into().ok()
}

/// RENAME, asked: (from, to).
pub fn rename_request(body: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let mut reader = Reader::new(body);
    reader.skip(6)?;
    let from = reader.wide_until_nul()?;
    // Its format's octet, and one for the alignment.
    reader.skip(2)?;
    Some((from, reader.wide_until_nul()?))
}

/// READ_ANDX, asked: (file, offset).
pub fn read_request(block: &[u8]) -> Option<([u8; 2], u64)> {
    let mut reader = Reader::new(block);
    let words = reader.u8()?;
    reader.skip(4)?;
    let fid = fid(&mut reader)?;
    let low = reader.u32()?;
    reader.skip(10)?;
    let offset = match words {
        12 => u64::from(reader.u32()?) << 32 | u64::from(low),
        _ => 0,
    };
    Some((fid, offset))
}

/// READ_ANDX, answered: (octets there are to be, those here, with what follows them).
pub fn read_response(block: &[u8]) -> Option<(u32, &[u8])> {
    let mut reader = Reader::new(block);
    let words = u16::from(reader.u8()?);
    reader.skip(10)?;
    let low = reader.u16()?;
    let offset = reader.u16()?;
    let high = reader.u32()?;
    reader.skip(6)?;
    let count = reader.u16()?;
    reader.skip(count.saturating_sub(low).into())?;
    reader.skip(offset.saturating_sub(READ_RESPONSE_OCTETS + 2 * words).into())?;
    Some((high << 16 | u32::from(low), reader.rest()))
}

/// A write, asked.
#[derive(Clone, Copy, Debug)]
pub struct WriteRequest<'a> {
    /// The file.
    pub fid: [u8; 2],
    /// Where.
    pub offset: u64,
    /// Octets there are to be.
    pub len: u32,
    /// Those here.
    pub data: &'a [u8],
}

/// WRITE, asked.
pub fn write_request(body: &[u8]) -> Option<WriteRequest<'_>> {
    let mut reader = Reader::new(body);
    reader.skip(1)?;
    let fid = fid(&mut reader)?;
    reader.skip(2)?;
    let offset = reader.u32()?;
    reader.skip(5)?;
    let len = reader.u16()?;
    Some(WriteRequest {
        fid,
        offset: offset.into(),
        len: len.into(),
        data: reader.take(len.into())?,
    })
}

/// WRITE_AND_CLOSE, asked.
pub fn write_and_close_request(body: &[u8]) -> Option<WriteRequest<'_>> {
    let mut reader = Reader::new(body);
    reader.skip(1)?;
    let fid = fid(&mut reader)?;
    let len = reader.u16()?;
    let offset = reader.u32()?;
    reader.skip(4)?;
    let count = reader.u16()?;
    reader.skip(count.saturating_sub(len).into())?;
    Some(WriteRequest {
        fid,
        offset: offset.into(),
        len: len.into(),
        data: reader.take(len.into())?,
    })
}

/// WRITE_ANDX, asked; it may not be all there. `at`: where the block begins in the message.
pub fn write_andx_request(block: &[u8], at: usize) -> Option<WriteRequest<'_>> {
    let mut reader = Reader::new(block);
    let words = reader.u8()?;
    reader.skip(4)?;
    let fid = fid(&mut reader)?;
    let low = reader.u32()?;
    reader.skip(8)?;
    let len = u32::from(reader.u16()?) << 16 | u32::from(reader.u16()?);
    let data_offset = reader.u16()?;
    if data_offset < LEAST_WRITE_OFFSET {
        return None;
    }
    let start = usize::from(data_offset).checked_sub(at)?;
    let high = if words == 14 { reader.u32()? } else { 0 };
    reader.skip(2)?;
    let rest = block.get(start..)?;
    let here = rest.len().min(usize::try_from(len).unwrap_or(usize::MAX));
    Some(WriteRequest {
        fid,
        offset: u64::from(high) << 32 | u64::from(low),
        len,
        data: &rest[..here],
    })
}
