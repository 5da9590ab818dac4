//! NTLMSSP's AUTHENTICATE message (MS-NLMP section 2.2.1.3): who logs on.

use super::reader::{without_nuls, Reader};

const SIGNATURE: &[u8] = b"NTLMSSP\0";
const AUTHENTICATE: u32 = 3;
/// Octets before what a message's offsets are checked against: signature and type.
const START_OCTETS: usize = 12;
/// NTLMSSP_NEGOTIATE_VERSION.
const HAS_VERSION: u32 = 0x0200_0000;
const VERSION_OCTETS: usize = 8;

/// Who logs on, from where.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Logon {
    /// The domain.
    pub domain: Vec<u8>,
    /// The user.
    pub user: Vec<u8>,
    /// The client.
    pub host: Vec<u8>,
    /// Major, minor, build, revision of NTLMSSP.
    pub version: Option<(u8, u8, u16, u8)>,
    /// The fields are not in the usual order.
    pub unusual_order: bool,
}

/// Where a field is.
#[derive(Clone, Copy, Debug)]
struct Field {
    len: usize,
    offset: usize,
}

impl Field {
    /// A field's length, room and offset; each must lie within the message.
    fn read(reader: &mut Reader<'_>, message_len: usize) -> Option<Field> {
        let len = usize::from(reader.u16()?);
        reader.skip(2)?;
        let offset = usize::try_from(reader.u32()?).ok()?;
        (len < message_len && offset < message_len).then_some(Field { len, offset })
    }

    fn octets(self, body: &[u8]) -> Option<Vec<u8>> {
        let start = self.offset.checked_sub(START_OCTETS)?;
        body.get(start..start + self.len).map(without_nuls)
    }

    fn end(self) -> usize {
        self.offset + self.len
    }
}

/// The logon in a blob that has an AUTHENTICATE message somewhere.
pub fn logon(blob: &[u8]) -> Option<Logon> {
    let start = memchr::memmem::find(blob, SIGNATURE)? + SIGNATURE.len();
    let mut reader = Reader::new(&blob[start..]);
    if reader.u32()? != AUTHENTICATE {
        return None;
    }
    authenticate(reader.rest())
}

fn authenticate(body: &[u8]) -> Option<Logon> {
    let message_len = body.len() + START_OCTETS;
    let mut reader = Reader::new(body);
    let mut field = || Field::read(&mut reader, message_len);
    let fields = [field()?, field()?, field()?, field()?, field()?, field()?];
    let [_, _, domain, user, host, _] = fields;
    let flags = reader.u32()?;
    let consumed = message_len - reader.rest().len();
    let data_start = fields.iter().map(|field| field.offset).min()?;
    let version = if flags & HAS_VERSION != 0 && data_start >= consumed + VERSION_OCTETS {
        let (major, minor, build) = (reader.u8()?, reader.u8()?, reader.u16()?);
        reader.skip(3)?;
        Some((major, minor, build, reader.u8()?))
    } else {
        None
    };
    Some(Logon {
        domain: domain.octets(body)?,
        user: user.octets(body)?,
        host: host.octets(body)?,
        version,
        unusual_order: user.offset > 0 && user.offset < domain.end()
            || host.offset > 0 && host.offset < user.end(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message() -> Vec<u8> {
        let mut message = b"NTLMSSP\0\x03\0\0\0".to_vec();
        let texts: [&[u8]; 6] = [b"", b"", b"D\0O\0", b"u\0s\0e\0r\0", b"H\0", b""];
        let mut offset = 72u32;
        for text in texts {
            let len = (text.len() as u16).to_le_bytes();
            message.extend_from_slice(&len);
            message.extend_from_slice(&len);
            message.extend_from_slice(&offset.to_le_bytes());
            offset += text.len() as u32;
        }
        message.extend_from_slice(&HAS_VERSION.to_le_bytes());
        message.extend_from_slice(&[10, 0, 0x5a, 0x29, 0, 0, 0, 15]);
        message.extend_from_slice(&texts.concat());
        message.push(0);
        message
    }

    #[test]
    fn user_domain_host_and_version_are_told() {
        let logon = logon(&[b"junk".to_vec(), message()].concat()).unwrap();
        assert_eq!(
            (logon.domain, logon.user, logon.host),
            (b"DO".to_vec(), b"user".to_vec(), b"H".to_vec())
        );
        assert_eq!(logon.version, Some((10, 0, 10586, 15)));
        assert!(!logon.unusual_order);
    }

    #[test]
    fn a_field_beyond_the_message_is_refused() {
        let mut message = message();
        message[12 + 8 * 3] = 0xff;
        assert_eq!(logon(&message), None);
    }
}
