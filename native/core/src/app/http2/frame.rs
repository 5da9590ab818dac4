//! Frames: their header and what their payload says (RFC 9113 sections 4 and 6).

use smallvec::SmallVec;

/// Octets of a frame's header.
pub const HEADER_OCTETS: usize = 9;

/// Types of frames.
pub mod kind {
    #![allow(missing_docs)]
    pub const DATA: u8 = 0;
    pub const HEADERS: u8 = 1;
    pub const PRIORITY: u8 = 2;
    pub const RST_STREAM: u8 = 3;
    pub const SETTINGS: u8 = 4;
    pub const PUSH_PROMISE: u8 = 5;
    pub const GOAWAY: u8 = 7;
    pub const WINDOW_UPDATE: u8 = 8;
    pub const CONTINUATION: u8 = 9;
}

/// Flags of frames.
pub mod flag {
    #![allow(missing_docs)]
    pub const END_STREAM: u8 = 1;
    pub const END_HEADERS: u8 = 4;
    pub const PADDED: u8 = 8;
    pub const PRIORITY: u8 = 0x20;
}

/// A frame's header.
#[derive(Clone, Copy, Debug)]
pub struct Header {
    /// Octets of the payload.
    pub len: usize,
    /// See [`kind`].
    pub kind: u8,
    /// See [`flag`].
    pub flags: u8,
    /// The reserved bit.
    pub reserved: bool,
    /// Stream; 0 is the connection.
    pub stream: u32,
}

impl Header {
    /// Read one; `None` when there is too little.
    pub fn read(octets: &[u8]) -> Option<Header> {
        let &[a, b, c, kind, flags, d, e, f, g] = octets.first_chunk::<HEADER_OCTETS>()?;
        let stream = u32::from_be_bytes([d, e, f, g]);
        Some(Header {
            len: u32::from_be_bytes([0, a, b, c]) as usize,
            kind,
            flags,
            reserved: stream >> 31 != 0,
            stream: stream & 0x7fff_ffff,
        })
    }

    /// Whether a flag is set.
    pub fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }
}

/// What a frame says.
#[derive(Debug)]
pub enum Payload<'a> {
    /// DATA, without padding.
    Data(&'a [u8]),
    /// HEADERS: the weight it gives the stream, and (the beginning of) a header block.
    Headers(Option<u8>, &'a [u8]),
    /// PRIORITY: the weight.
    Priority(u8),
    /// RST_STREAM: the error code.
    Reset(u32),
    /// SETTINGS: those that RFC 9113 knows.
    Settings(SmallVec<[(u16, u32); 8]>),
    /// PUSH_PROMISE: the stream promised, and (the beginning of) a header block.
    Promise(u32, &'a [u8]),
    /// GOAWAY: the error code.
    GoAway(u32),
    /// WINDOW_UPDATE: the increment.
    WindowUpdate(u32),
    /// CONTINUATION of a header block.
    Continuation(&'a [u8]),
    /// PING, or a type that is not known.
    Other,
    /// Not what its type should be; with the event that says so.
    Malformed(&'static str),
}

/// Read a payload; `complete` is false when only its beginning is there.
pub fn read<'a>(header: &Header, octets: &'a [u8], complete: bool) -> Payload<'a> {
    const LENGTH: Payload<'static> = Payload::Malformed("invalid_frame_length");
    const CONTENT: Payload<'static> = Payload::Malformed("invalid_frame_data");
    match header.kind {
        kind::DATA => Payload::Data(unpadded(header, octets, complete).unwrap_or(octets)),
        kind::HEADERS => headers(header, octets, complete).unwrap_or(CONTENT),
        kind::PRIORITY => match *octets {
            [_, _, _, _, weight] => Payload::Priority(weight),
            _ => LENGTH,
        },
        kind::RST_STREAM => match *octets {
            [a, b, c, d] => Payload::Reset(u32::from_be_bytes([a, b, c, d])),
            _ => LENGTH,
        },
        kind::SETTINGS => Payload::Settings(settings(octets)),
        kind::PUSH_PROMISE => promise(header, octets, complete).unwrap_or(CONTENT),
        // The last stream, then the code. (Suricata 7 shows the former as the code.)
        kind::GOAWAY => match octets.get(4..).and_then(<[u8]>::first_chunk::<4>) {
            Some(&code) => Payload::GoAway(u32::from_be_bytes(code)),
            None => LENGTH,
        },
        kind::WINDOW_UPDATE => match *octets {
            [a, b, c, d] => Payload::WindowUpdate(u32::from_be_bytes([a & 0x7f, b, c, d])),
            _ => LENGTH,
        },
        kind::CONTINUATION => Payload::Continuation(octets),
        _ => Payload::Other,
    }
}

/// A payload without its padding; `None` when it says that there is more padding than payload.
fn unpadded<'a>(header: &Header, octets: &'a [u8], complete: bool) -> Option<&'a [u8]> {
    if !header.has(flag::PADDED) {
        return Some(octets);
    }
    let (&padding, rest) = octets.split_first()?;
    // What is there of an incomplete one ends before its padding.
    let padding = if complete { usize::from(padding) } else { 0 };
    rest.get(..rest.len().checked_sub(padding)?)
}

fn headers<'a>(header: &Header, octets: &'a [u8], complete: bool) -> Option<Payload<'a>> {
    let block = unpadded(header, octets, complete)?;
    if !header.has(flag::PRIORITY) {
        return Some(Payload::Headers(None, block));
    }
    let ([_, _, _, _, weight], block) = block.split_first_chunk::<5>()?;
    Some(Payload::Headers(Some(*weight), block))
}

fn promise<'a>(header: &Header, octets: &'a [u8], complete: bool) -> Option<Payload<'a>> {
    let (&[a, b, c, d], block) = unpadded(header, octets, complete)?.split_first_chunk::<4>()?;
    Some(Payload::Promise(u32::from_be_bytes([a & 0x7f, b, c, d]), block))
}

fn settings(octets: &[u8]) -> SmallVec<[(u16, u32); 8]> {
    octets
        .chunks_exact(6)
        .filter_map(|setting| match *setting {
            [a, b, c, d, e, f] => Some((u16::from_be_bytes([a, b]), u32::from_be_bytes([c, d, e, f]))),
            _ => None,
        })
        .filter(|(id, _)| (1..=6).contains(id))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, len: usize) -> Header {
        Header {
            len,
            kind,
            flags,
            reserved: false,
            stream: 1,
        }
    }

    #[test]
    fn a_header_is_read_from_nine_octets() {
        let header = Header::read(&[0, 1, 2, 3, 4, 0x80, 0, 0, 7]).unwrap();
        assert_eq!(
            (header.len, header.kind, header.flags, header.stream),
            (258, 3, 4, 7)
        );
        assert!(header.reserved && header.has(flag::END_HEADERS));
        assert!(Header::read(&[0; 8]).is_none());
    }

    #[test]
    fn padding_and_priority_are_no_part_of_a_header_block() {
        let octets = [2, 0, 0, 0, 0, 9, 0x82, 0, 0];
        let header = frame(kind::HEADERS, flag::PADDED | flag::PRIORITY, octets.len());
        assert!(matches!(
            read(&header, &octets, true),
            Payload::Headers(Some(9), [0x82])
        ));
        let header = frame(kind::DATA, flag::PADDED, 3);
        assert!(matches!(read(&header, &[1, b'a', 0], true), Payload::Data(b"a")));
        assert!(matches!(
            read(&header, &[9, b'a', 0], true),
            Payload::Data([9, b'a', 0])
        ));
        let header = frame(kind::HEADERS, flag::PADDED, 2);
        assert!(matches!(
            read(&header, &[9, 0x82], true),
            Payload::Malformed("invalid_frame_data")
        ));
    }

    #[test]
    fn a_goaway_names_its_error_behind_the_last_stream() {
        let header = frame(kind::GOAWAY, 0, 8);
        assert!(matches!(
            read(&header, &[0, 0, 0, 13, 0, 0, 0, 1], true),
            Payload::GoAway(1)
        ));
        assert!(matches!(
            read(&header, &[0; 7], true),
            Payload::Malformed("invalid_frame_length")
        ));
    }

    #[test]
    fn settings_that_are_not_known_are_passed_over() {
        let octets = [0, 4, 0, 0, 1, 0, 0x1a, 0x1a, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 3];
        let Payload::Settings(settings) = read(&frame(kind::SETTINGS, 0, octets.len()), &octets, true) else {
            panic!("settings");
        };
        assert_eq!(settings[..], [(4, 256), (1, 0)]);
    }
}
