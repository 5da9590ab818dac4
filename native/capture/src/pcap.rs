//! Classic pcap (<https://www.ietf.org/archive/id/draft-ietf-opsawg-pcap-04.html>): a header, then records.

use crate::file::{Meta, Stop, MAX_FRAME_OCTETS};
use crate::window::{Order, Window};

/// What the file header said.
#[derive(Debug)]
pub(crate) struct Pcap {
    order: Order,
    nanoseconds: bool,
    record_header: usize,
    linktype: u32,
}

/// Length of the file header.
const HEADER: usize = 24;

impl Pcap {
    /// The header at the start of the window, if it is one.
    pub(crate) fn open(window: &mut Window) -> Option<Pcap> {
        let octets = window.octets();
        let magic = <[u8; 4]>::try_from(octets.get(..4)?).ok()?;
        // The last two are the "modified" format of patched libpcaps: 8 more octets with each record.
        let (order, nanoseconds, record_header) = match magic {
            [0xd4, 0xc3, 0xb2, 0xa1] => (Order::Little, false, 16),
            [0xa1, 0xb2, 0xc3, 0xd4] => (Order::Big, false, 16),
            [0x4d, 0x3c, 0xb2, 0xa1] => (Order::Little, true, 16),
            [0xa1, 0xb2, 0x3c, 0x4d] => (Order::Big, true, 16),
            [0x34, 0xcd, 0xb2, 0xa1] => (Order::Little, false, 24),
            [0xa1, 0xb2, 0xcd, 0x34] => (Order::Big, false, 24),
            _ => return None,
        };
        if octets.len() < HEADER {
            return None;
        }
        // The upper bits say whether and how long a frame check sequence follows.
        let linktype = order.u32(octets, 20) & 0xffff;
        window.step(HEADER);
        Some(Pcap {
            order,
            nanoseconds,
            record_header,
            linktype,
        })
    }

    /// Step to the next record; its octets are then the first of the window.
    pub(crate) fn next(&mut self, window: &mut Window) -> Result<Meta, Stop> {
        let have = window.fill(self.record_header)?;
        if have == 0 {
            return Err(Stop::End);
        }
        if have < self.record_header {
            return Err(Stop::Truncated);
        }
        let header = window.octets();
        let seconds = i64::from(self.order.u32(header, 0));
        let fraction = i64::from(self.order.u32(header, 4));
        let captured = self.order.u32(header, 8) as usize;
        let wire_len = self.order.u32(header, 12);
        if captured > MAX_FRAME_OCTETS {
            return Err(Stop::Corrupt("a record longer than any packet"));
        }
        window.step(self.record_header);
        if window.fill(captured)? < captured {
            return Err(Stop::Truncated);
        }
        let nanos = if self.nanoseconds {
            fraction
        } else {
            fraction * 1000
        };
        Ok(Meta {
            ts_ns: seconds * 1_000_000_000 + nanos,
            captured,
            padding: 0,
            wire_len: wire_len.max(captured as u32),
            linktype: self.linktype,
        })
    }

    /// Link type of all frames.
    pub(crate) fn linktype(&self) -> u32 {
        self.linktype
    }
}
