//! Messages of SMB 2 and 3, as far as records and rules need them (MS-SMB2 section 2.2).

use crate::app::smb::key::{Key, Kind};
use crate::app::smb::reader::{seconds, Reader};

/// Octets of a header.
const HEADER_OCTETS: u32 = 64;
const FROM_SERVER: u32 = 1;
const ASYNC: u32 = 2;
/// The control code by which a pipe is written to and read from at once.
const PIPE_TRANSCEIVE: u32 = 0x0011_c017;

/// A message: its header and what follows.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// It is an answer.
    pub is_response: bool,
    /// The command.
    pub command: u16,
    /// How it went, in an answer.
    pub status: u32,
    /// Which exchange.
    pub id: u64,
    /// The tree; 0 in answers that come later.
    pub tree: u32,
    /// The session.
    pub session: u64,
    /// Another message follows in the same packet.
    pub chained: bool,
    /// What follows the header.
    pub body: &'a [u8],
}

impl<'a> Message<'a> {
    /// Read a message, and what follows it; `answer`: it comes from the server, whose headers may leave out the tree.
    pub fn read(octets: &'a [u8], answer: bool) -> Option<(Message<'a>, &'a [u8])> {
        let mut reader = Reader::new(octets);
        if reader.take(4)? != b"\xfeSMB" {
            return None;
        }
        let header_len = u32::from(reader.u16()?);
        reader.skip(2)?;
        let status = reader.u32()?;
        let command = reader.u16()?;
        reader.skip(2)?;
        let flags = reader.u32()?;
        let next = reader.u32()?;
        let id = reader.u64()?;
        reader.skip(4)?;
        let tree = reader.u32()?;
        let session = reader.u64()?;
        reader.skip(16)?;
        let body = match next.checked_sub(header_len).filter(|&len| len > 0) {
            Some(len) => reader.take(usize::try_from(len).ok()?)?,
            None => reader.take(reader.rest().len())?,
        };
        let message = Message {
            is_response: flags & FROM_SERVER != 0,
            command,
            status: if answer { status } else { 0 },
            id,
            tree: if answer && flags & ASYNC != 0 { 0 } else { tree },
            session,
            chained: next > HEADER_OCTETS,
            body,
        };
        Some((message, reader.rest()))
    }

    /// Its key of this kind.
    pub fn key(&self, kind: Kind) -> Key {
        Key::new(kind, self.session, self.tree, self.id)
    }
}

/// The dialect's name.
pub fn dialect_name(dialect: u16) -> Option<&'static str> {
    Some(match dialect {
        0x0202 => "2.02",
        0x0210 => "2.10",
        0x0222 => "2.22",
        0x0224 => "2.24",
        0x02ff => "2.??",
        0x0300 => "3.00",
        0x0302 => "3.02",
        0x0310 => "3.10",
        0x0311 => "3.11",
        _ => return None,
    })
}

/// NEGOTIATE, asked: (the client's GUID, dialects).
pub fn negotiate_request(body: &[u8]) -> Option<(&[u8], Vec<u16>)> {
    let mut reader = Reader::new(body);
    reader.skip(2)?;
    let count = reader.u16()?;
    reader.skip(8)?;
    let guid = reader.take(16)?;
    reader.skip(8)?;
    let dialects = (0..count).map(|_| reader.u16()).collect::<Option<_>>()?;
    Some((guid, dialects))
}

/// NEGOTIATE, answered.
#[derive(Clone, Copy, Debug, Default)]
pub struct Negotiated<'a> {
    /// The dialect.
    pub dialect: u16,
    /// The server's GUID.
    pub guid: &'a [u8],
    /// Octets of a read.
    pub max_read: u32,
    /// Octets of a write.
    pub max_write: u32,
}

/// See there.
pub fn negotiate_response(body: &[u8]) -> Option<Negotiated<'_>> {
    let mut reader = Reader::new(body);
    reader.skip(4)?;
    let dialect = reader.u16()?;
    reader.skip(2)?;
    let guid = reader.take(16)?;
    reader.skip(8)?;
    Some(Negotiated {
        dialect,
        guid,
        max_read: reader.u32()?,
        max_write: reader.u32()?,
    })
}

/// SESSION_SETUP, asked: the security blob.
pub fn session_setup_request(body: &[u8]) -> Option<&[u8]> {
    body.get(24..)
}

/// TREE_CONNECT, asked: the share, in UTF-16.
pub fn tree_connect_request(body: &[u8]) -> Option<&[u8]> {
    body.get(6..)
}

/// TREE_CONNECT, answered: the share's type.
pub fn tree_connect_response(body: &[u8]) -> Option<u8> {
    body.get(..15).map(|body| body[2])
}

/// CREATE, asked.
#[derive(Clone, Copy, Debug)]
pub struct CreateRequest<'a> {
    /// Disposition.
    pub disposition: u32,
    /// Options.
    pub options: u32,
    /// The name, in UTF-16.
    pub name: &'a [u8],
}

/// See there.
pub fn create_request(body: &[u8]) -> Option<CreateRequest<'_>> {
    let mut reader = Reader::new(body);
    reader.skip(36)?;
    let disposition = reader.u32()?;
    let options = reader.u32()?;
    reader.skip(2)?;
    let name_len = usize::from(reader.u16()?);
    reader.skip(8)?;
    Some(CreateRequest {
        disposition,
        options,
        name: reader.take(name_len)?,
    })
}

/// CREATE, answered.
#[derive(Clone, Copy, Debug)]
pub struct CreateResponse<'a> {
    /// The file.
    pub file: &'a [u8],
    /// Created, accessed, written, changed: seconds since 1970.
    pub times: [u32; 4],
    /// Octets.
    pub size: u64,
}

/// See there.
pub fn create_response(body: &[u8]) -> Option<CreateResponse<'_>> {
    let mut reader = Reader::new(body);
    reader.skip(8)?;
    let mut time = || reader.u64().map(seconds);
    let times = [time()?, time()?, time()?, time()?];
    reader.skip(8)?;
    let size = reader.u64()?;
    reader.skip(8)?;
    let file = reader.take(16)?;
    reader.skip(8)?;
    Some(CreateResponse { file, times, size })
}

/// CLOSE, asked: the file.
pub fn close_request(body: &[u8]) -> Option<&[u8]> {
    body.get(8..24)
}

/// IOCTL: a control request, or its answer.
#[derive(Clone, Copy, Debug)]
pub struct Control<'a> {
    /// The control code.
    pub code: u32,
    /// The file.
    pub file: &'a [u8],
    /// What is sent with it, or comes back.
    pub data: &'a [u8],
}

impl Control<'_> {
    /// It writes to a pipe and reads from it.
    pub fn is_pipe(&self) -> bool {
        self.code == PIPE_TRANSCEIVE
    }
}

/// IOCTL, asked.
pub fn control_request(body: &[u8]) -> Option<Control<'_>> {
    let mut reader = Reader::new(body);
    reader.skip(4)?;
    let code = reader.u32()?;
    let file = reader.take(16)?;
    reader.skip(4)?;
    let len = reader.u32()?;
    reader.skip(24)?;
    let data = reader.take(usize::try_from(len).ok()?)?;
    Some(Control { code, file, data })
}

/// IOCTL, answered.
pub fn control_response(body: &[u8]) -> Option<Control<'_>> {
    let mut reader = Reader::new(body);
    reader.skip(4)?;
    let code = reader.u32()?;
    let file = reader.take(16)?;
    reader.skip(4)?;
    let input_len = reader.u32()?;
    reader.skip(4)?;
    let output_len = reader.u32()?;
    reader.skip(8)?;
    reader.skip(usize::try_from(input_len).ok()?)?;
    let data = reader.take(usize::try_from(output_len).ok()?)?;
    Some(Control { code, file, data })
}

/// What SET_INFO sets.
#[derive(Clone, Copy, Debug)]
pub enum Setting<'a> {
    /// The name, in UTF-16.
    Name(&'a [u8]),
    /// Whether the file goes when closed.
    Disposition(bool),
    /// Something else.
    Other,
}

/// SET_INFO, asked.
#[derive(Clone, Copy, Debug)]
pub struct SetInfoRequest<'a> {
    /// Class of the information.
    pub class: u8,
    /// Its level.
    pub level: u8,
    /// The file.
    pub file: &'a [u8],
    /// What is set.
    pub setting: Setting<'a>,
}

/// See there.
pub fn set_info_request(body: &[u8]) -> Option<SetInfoRequest<'_>> {
    const FILE: u8 = 1;
    const RENAME: u8 = 10;
    const DISPOSITION: u8 = 13;
    let mut reader = Reader::new(body);
    reader.skip(2)?;
    let (class, level) = (reader.u8()?, reader.u8()?);
    let len = reader.u32()?;
    reader.skip(8)?;
    let file = reader.take(16)?;
    let mut data = Reader::new(reader.take(usize::try_from(len).ok()?)?);
    let setting = match (class, level) {
        (FILE, RENAME) => {
            data.skip(16)?;
            let len = data.u32()?;
            Setting::Name(data.take(usize::try_from(len).ok()?)?)
        }
        (FILE, DISPOSITION) => Setting::Disposition(data.u8()? & 1 != 0),
        _ => Setting::Other,
    };
    Some(SetInfoRequest {
        class,
        level,
        file,
        setting,
    })
}

/// A file's octets, written or read, as far as they are here.
#[derive(Clone, Copy, Debug)]
pub struct Octets<'a> {
    /// How many there are to be.
    pub len: u32,
    /// Those here.
    pub data: &'a [u8],
}

impl<'a> Octets<'a> {
    fn new(len: u32, rest: &'a [u8]) -> Octets<'a> {
        let here = usize::try_from(len).unwrap_or(usize::MAX).min(rest.len());
        Octets {
            len,
            data: &rest[..here],
        }
    }

    /// How many are not here.
    pub fn missing(&self) -> u32 {
        self.len - self.data.len() as u32
    }
}

/// READ or WRITE, asked: where.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// How many octets.
    pub len: u32,
    /// From where in the file.
    pub offset: u64,
    /// The file.
    pub file: &'a [u8],
}

fn place<'a>(reader: &mut Reader<'a>) -> Option<Place<'a>> {
    reader.skip(4)?;
    let place = Place {
        len: reader.u32()?,
        offset: reader.u64()?,
        file: reader.take(16)?,
    };
    reader.skip(16)?;
    Some(place)
}

/// READ, asked.
pub fn read_request(body: &[u8]) -> Option<Place<'_>> {
    place(&mut Reader::new(body))
}

/// WRITE, asked; it may not be all there.
pub fn write_request(body: &[u8]) -> Option<(Place<'_>, Octets<'_>)> {
    let mut reader = Reader::new(body);
    let place = place(&mut reader)?;
    Some((place, Octets::new(place.len, reader.rest())))
}

/// READ, answered; it may not be all there.
pub fn read_response(body: &[u8]) -> Option<Octets<'_>> {
    let mut reader = Reader::new(body);
    reader.skip(4)?;
    let len = reader.u32()?;
    reader.skip(8)?;
    Some(Octets::new(len, reader.rest()))
}

/// WRITE, answered: it is well-formed.
pub fn write_response(body: &[u8]) -> Option<()> {
    body.get(..14).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chained_messages_are_read_one_after_the_other() {
        let mut first = b"\xfeSMB\x40\0".to_vec();
        first.resize(64, 0);
        first[12] = 5;
        first[20] = 72;
        let second = first.clone();
        first.extend_from_slice(b"12345678");
        let octets = [first, second].concat();
        let (message, rest) = Message::read(&octets, false).unwrap();
        assert_eq!(
            (message.command, message.body, message.chained),
            (5, &b"12345678"[..], true)
        );
        assert!(
            Message::read(rest, false).is_none(),
            "it claims to have eight octets more than there are"
        );
    }

    #[test]
    fn answers_that_come_later_have_no_tree() {
        let mut octets = b"\xfeSMB\x40\0".to_vec();
        octets.resize(64, 7);
        octets[16..24].fill(0);
        octets[16] = 3;
        let (message, _) = Message::read(&octets, true).unwrap();
        assert_eq!(
            (message.is_response, message.tree, message.session),
            (true, 0, 0x0707_0707_0707_0707)
        );
    }
}
