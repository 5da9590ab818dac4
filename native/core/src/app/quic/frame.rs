//! Frames of Initial packets (RFC 9000 section 19; "QUIC Wire Layout Specification" for Google's).

use super::chlo;
use super::header::variable;
use crate::app::octets::Reader;

/// What is of interest in a packet.
#[derive(Debug, PartialEq, Eq)]
pub enum Frame<'a> {
    /// A piece of the handshake: where it belongs, and what it is.
    Crypto {
        /// Octets before it.
        offset: u64,
        /// The piece.
        data: &'a [u8],
    },
    /// A message of Google's handshake; `None` for what is none.
    Stream(Option<chlo::Tags<'a>>),
}

/// The frames of a packet; `None` when it is not made of frames.
pub fn read(octets: &[u8]) -> Option<Vec<Frame<'_>>> {
    let mut reader = Reader::new(octets);
    let mut frames = Vec::new();
    while let Some(kind) = reader.u8() {
        match kind {
            0x80.. => frames.push(stream(&mut reader, kind)?),
            // PADDING, PING.
            0x00 | 0x01 => {}
            0x02 | 0x03 => acknowledgement(&mut reader, kind == 0x03)?,
            0x06 => {
                let offset = variable(&mut reader)?;
                let data = counted(&mut reader)?;
                frames.push(Frame::Crypto { offset, data });
            }
            // Q050's CRYPTO.
            0x08 => {
                variable(&mut reader)?;
                frames.push(Frame::Stream(chlo::read(counted(&mut reader)?)));
            }
            // How long others are is not known here; nothing that matters follows them.
            _ => break,
        }
    }
    Some(frames)
}

fn counted<'a>(reader: &mut Reader<'a>) -> Option<&'a [u8]> {
    let len = variable(reader)?;
    reader.take(usize::try_from(len).ok()?)
}

fn acknowledgement(reader: &mut Reader<'_>, with_ecn: bool) -> Option<()> {
    variable(reader)?;
    variable(reader)?;
    let ranges = variable(reader)?;
    variable(reader)?;
    // Each takes two octets at least, so that octets end before ranges do.
    for _ in 0..ranges {
        variable(reader)?;
        variable(reader)?;
    }
    if with_ecn {
        for _ in 0..3 {
            variable(reader)?;
        }
    }
    Some(())
}

/// Google's STREAM: `1FDOOOSS`, the lengths of its parts by its type.
fn stream<'a>(reader: &mut Reader<'a>, kind: u8) -> Option<Frame<'a>> {
    reader.take(1 + usize::from(kind & 3))?;
    let offset = usize::from(kind >> 2 & 7);
    reader.take(if offset == 0 { 0 } else { offset + 1 })?;
    let len = if kind & 0x20 == 0 {
        reader.rest().len()
    } else {
        usize::from(reader.u16()?)
    };
    Some(Frame::Stream(chlo::read(reader.take(len)?)))
}
