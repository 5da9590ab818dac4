//! NetBIOS session packets (RFC 1002 section 4.3.1), and finding SMB in them.

use crate::app::Probe;
use crate::packet::Direction;

/// A session message: it carries SMB.
pub const MESSAGE: u8 = 0;
/// Octets of a packet's header.
pub const HEADER_OCTETS: usize = 4;
/// Octets a probe needs: a packet's header and the shortest header of SMB.
pub const PROBE_OCTETS: usize = 36;
/// A longer packet before the first message is no session request.
const MAX_REQUEST_OCTETS: usize = 256;

/// A packet's header with what there is of its content.
#[derive(Clone, Copy, Debug)]
pub struct Packet<'a> {
    /// What it is.
    pub kind: u8,
    /// Octets of content.
    pub len: usize,
    /// Everything after the header.
    pub after: &'a [u8],
}

impl<'a> Packet<'a> {
    /// Read a header; `None` when it is not all there.
    pub fn read(octets: &'a [u8]) -> Option<Packet<'a>> {
        let (header, after) = octets.split_first_chunk::<HEADER_OCTETS>()?;
        let len = u32::from_be_bytes([0, header[1], header[2], header[3]]);
        Some(Packet {
            kind: header[0],
            len: usize::try_from(len).ok()?,
            after,
        })
    }

    /// Its content and what follows, once all of it is there.
    pub fn whole(&self) -> Option<(&'a [u8], &'a [u8])> {
        self.after.split_at_checked(self.len)
    }

    fn is_known(&self) -> bool {
        matches!(self.kind, MESSAGE | 0x81..=0x85)
    }

    /// A known kind, with SMB in it.
    pub fn is_smb(&self) -> bool {
        self.is_known() && has_magic(self.after)
    }
}

/// Octets begin with the magic of SMB 1, 2 or of an encrypted message.
pub fn has_magic(octets: &[u8]) -> bool {
    matches!(octets, [0xfd..=0xff, b'S', b'M', b'B', ..])
}

/// Where a message of SMB begins, with a session packet's header before it where there is room for one.
pub fn find(octets: &[u8]) -> Option<usize> {
    memchr::memmem::find_iter(octets, b"SMB").find_map(|at| {
        let start = at.checked_sub(1)?;
        let packet = start.checked_sub(HEADER_OCTETS).and_then(|at| octets.get(at));
        let fits = has_magic(&octets[start..]) && packet.is_none_or(|&kind| kind == MESSAGE);
        fits.then_some(start)
    })
}

/// Whether a direction begins with SMB, perhaps after a session request or its answer.
pub fn probe(octets: &[u8], _direction: Direction) -> Probe {
    if octets.len() < PROBE_OCTETS {
        return Probe::Unsure;
    }
    let Some(packet) = Packet::read(octets) else {
        return Probe::Unsure;
    };
    if packet.is_smb() {
        return Probe::Certain;
    }
    if packet.kind == MESSAGE || !packet.is_known() {
        return Probe::No;
    }
    match packet.after.get(packet.len..).filter(|next| next.len() >= 8) {
        Some(next) if Packet::read(next).is_some_and(|next| next.is_smb()) => Probe::Certain,
        Some(_) => Probe::No,
        None if packet.len < MAX_REQUEST_OCTETS => Probe::Unsure,
        None => Probe::No,
    }
}

/// The same for a flow picked up midstream: the first message may begin anywhere, and its header says who sent it.
pub fn probe_midstream(octets: &[u8], direction: Direction) -> Probe {
    if octets.len() < PROBE_OCTETS {
        return Probe::Unsure;
    }
    let from_server = match find(octets).and_then(|at| octets.get(at..)) {
        Some(message @ [0xff, ..]) => message.get(9).map(|flags| flags & 0x80 != 0),
        Some(message @ [0xfe, ..]) => message.get(16).map(|flags| flags & 1 != 0),
        Some(_) => None,
        None => return probe(octets, direction),
    };
    match from_server {
        Some(from_server) if from_server != (direction == Direction::ToClient) => Probe::Reversed,
        _ => Probe::Certain,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_found_behind_octets_that_only_look_like_one() {
        let octets = b"SMB\xffSMBx\x07\x00\x00\x00\x04\xfeSMB";
        assert_eq!(find(octets), Some(3));
        assert_eq!(find(b"\x07\x00\x00\x04\xfeSMB"), None);
        assert_eq!(find(b"junk\x00\x00\x00\x04\xfeSMB"), Some(8));
    }

    #[test]
    fn midstream_a_message_tells_who_sent_it() {
        let mut octets = b"rest of one\x00\x00\x00\x40\xfeSMB".to_vec();
        octets.resize(80, 0);
        assert_eq!(probe(&octets, Direction::ToServer), Probe::No);
        assert_eq!(probe_midstream(&octets, Direction::ToServer), Probe::Certain);
        octets[15 + 16] = 1;
        assert_eq!(probe_midstream(&octets, Direction::ToServer), Probe::Reversed);
        assert_eq!(probe_midstream(&octets, Direction::ToClient), Probe::Certain);
        assert_eq!(probe_midstream(&[b'x'; 80], Direction::ToClient), Probe::No);
    }

    #[test]
    fn a_session_request_before_the_first_message_is_passed_over() {
        let mut octets = vec![0x81, 0, 0, 28];
        octets.extend_from_slice(&[b'A'; 28]);
        assert_eq!(probe(&octets, Direction::ToServer), Probe::Unsure);
        octets.extend_from_slice(b"\x00\x00\x00\x20\xffSMB");
        assert_eq!(probe(&octets, Direction::ToServer), Probe::Certain);
        octets[36] = 0;
        assert_eq!(probe(&octets, Direction::ToServer), Probe::No);
    }
}
