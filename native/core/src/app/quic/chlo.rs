//! Messages of Google's handshake ("QUIC Crypto", message format), and the fingerprint of their tags: CYU.

use md5::{Digest, Md5};
use smallvec::SmallVec;

use super::version;
use crate::app::octets::Reader;
use crate::file::hex;

/// Tags that occur; a message with another is not taken for one.
const KNOWN: &[&[u8; 4]] = &[
    b"AEAD", b"CCRT", b"CCS\0", b"CETV", b"CFCW", b"CHLO", b"COPT", b"CSCT", b"CTIM", b"ICSL", b"IRTT",
    b"KEXS", b"MIDS", b"MSPC", b"NONC", b"NONP", b"PAD\0", b"PDMD", b"PUBS", b"SCID", b"SCLS", b"SFCW",
    b"SMHL", b"SNI\0", b"SNO\0", b"STK\0", b"TCID", b"UAID", b"VER\0", b"XLCT",
];
/// Server name.
pub const SNI: &[u8; 4] = b"SNI\0";
/// User agent.
pub const UAID: &[u8; 4] = b"UAID";

/// Tags with their values, in order.
pub type Tags<'a> = Vec<([u8; 4], &'a [u8])>;

fn tag(reader: &mut Reader<'_>) -> Option<[u8; 4]> {
    reader.array().filter(|tag| KNOWN.contains(&tag))
}

/// Read a message; `None` when `octets` are not exactly one.
pub fn read(octets: &[u8]) -> Option<Tags<'_>> {
    let mut reader = Reader::new(octets);
    tag(&mut reader)?;
    let count = u16::from_le_bytes(reader.array()?);
    reader.take(2)?;
    let mut ends: SmallVec<[([u8; 4], u32); 32]> = SmallVec::new();
    for _ in 0..count {
        ends.push((tag(&mut reader)?, u32::from_le_bytes(reader.array()?)));
    }
    let mut tags = Vec::with_capacity(ends.len());
    let mut start = 0;
    for (tag, end) in ends {
        tags.push((tag, reader.take(usize::try_from(end.checked_sub(start)?).ok()?)?));
        start = end;
    }
    reader.rest().is_empty().then_some(tags)
}

/// The fingerprint of a message.
#[derive(Debug, PartialEq, Eq)]
pub struct Cyu {
    /// Version and tags.
    pub string: String,
    /// Its MD5, in hexadecimal.
    pub hash: String,
}

impl Cyu {
    /// That of a message in a packet of `version`, if fingerprints are made of it ("GQUIC Protocol Analysis and
    /// Fingerprinting in Zeek", Salesforce 2019).
    pub fn new(version: u32, tags: &Tags<'_>) -> Option<Cyu> {
        let mut string = format!("{},", version::cyu_name(version)?);
        for (at, (tag, _)) in tags.iter().enumerate() {
            if at > 0 {
                string.push('-');
            }
            string.extend(tag.iter().filter(|&&octet| octet != 0).copied().map(char::from));
        }
        let hash = hex(&Md5::digest(&string));
        Some(Cyu { string, hash })
    }
}
