//! pcapng (<https://www.ietf.org/archive/id/draft-ietf-opsawg-pcapng-02.html>): blocks of packets and of what they need.

use crate::file::{Meta, Stop, MAX_FRAME_OCTETS};
use crate::window::{Order, Window};

const SECTION_HEADER: u32 = 0x0a0d_0d0a;
const INTERFACE: u32 = 1;
const OBSOLETE_PACKET: u32 = 2;
const SIMPLE_PACKET: u32 = 3;
const ENHANCED_PACKET: u32 = 6;

/// Interfaces of one section that are remembered.
const MAX_INTERFACES: usize = 4096;

/// A header or interface block is not longer than this.
const MAX_SMALL_BLOCK: usize = 1 << 20;

#[derive(Clone, Copy, Debug)]
struct Interface {
    linktype: u32,
    snaplen: u32,
    /// Time units in a second.
    units: u64,
    /// Seconds added to every time stamp.
    offset_s: i64,
}

/// State of the section being read.
#[derive(Debug)]
pub(crate) struct Pcapng {
    order: Order,
    interfaces: Vec<Interface>,
}

impl Pcapng {
    /// The section header at the start of the window, if it is one (it is not stepped over).
    pub(crate) fn open(window: &Window) -> Option<Pcapng> {
        let octets = window.octets();
        if octets.len() < 12 || octets[..4] != SECTION_HEADER.to_be_bytes() {
            return None;
        }
        Some(Pcapng {
            order: byte_order(octets)?,
            interfaces: Vec::new(),
        })
    }

    /// Link type of the first interface known.
    pub(crate) fn linktype(&self) -> Option<u32> {
        self.interfaces.first().map(|i| i.linktype)
    }

    /// Step to the next packet; its octets are then the first of the window.
    pub(crate) fn next(&mut self, window: &mut Window) -> Result<Meta, Stop> {
        loop {
            let have = window.fill(12)?;
            if have == 0 {
                return Err(Stop::End);
            }
            if have < 12 {
                return Err(Stop::Truncated);
            }
            let octets = window.octets();
            if octets[..4] == SECTION_HEADER.to_be_bytes() {
                self.order = byte_order(octets).ok_or(Stop::Corrupt("a section of unknown byte order"))?;
                self.interfaces.clear();
            }
            let kind = self.order.u32(octets, 0);
            let length = self.order.u32(octets, 4) as usize;
            if length < 12 || length % 4 != 0 {
                return Err(Stop::Corrupt("a block of impossible length"));
            }
            match kind {
                INTERFACE => self.add_interface(window, length)?,
                ENHANCED_PACKET => {
                    // id, time high, time low, captured length, length on the wire
                    let meta = self.packet(window, length, 20, |order, body| {
                        (
                            order.u32(body, 0),
                            stamp(order, body, 4),
                            order.u32(body, 12),
                            order.u32(body, 16),
                        )
                    })?;
                    return Ok(meta);
                }
                OBSOLETE_PACKET => {
                    let meta = self.packet(window, length, 20, |order, body| {
                        let id = u32::from(order.u16(body, 0));
                        (
                            id,
                            stamp(order, body, 4),
                            order.u32(body, 12),
                            order.u32(body, 16),
                        )
                    })?;
                    return Ok(meta);
                }
                SIMPLE_PACKET => {
                    let snaplen = self.interfaces.first().map_or(0, |i| i.snaplen);
                    let most = (length - 12).saturating_sub(4) as u32;
                    let meta = self.packet(window, length, 4, |order, body| {
                        let wire_len = order.u32(body, 0);
                        let captured = if snaplen == 0 {
                            wire_len
                        } else {
                            wire_len.min(snaplen)
                        };
                        (0, 0, captured.min(most), wire_len)
                    })?;
                    return Ok(meta);
                }
                _ => {
                    if !window.skip(length as u64)? {
                        return Err(Stop::Truncated);
                    }
                }
            }
        }
    }

    fn add_interface(&mut self, window: &mut Window, length: usize) -> Result<(), Stop> {
        if !(20..=MAX_SMALL_BLOCK).contains(&length) {
            return Err(Stop::Corrupt("an interface description of impossible length"));
        }
        if window.fill(length)? < length {
            return Err(Stop::Truncated);
        }
        let body = &window.octets()[8..length - 4];
        let mut interface = Interface {
            linktype: u32::from(self.order.u16(body, 0)),
            snaplen: self.order.u32(body, 4),
            units: 1_000_000,
            offset_s: 0,
        };
        let mut options = &body[8..];
        while options.len() >= 4 {
            let (code, len) = (
                self.order.u16(options, 0),
                usize::from(self.order.u16(options, 2)),
            );
            let Some(value) = options.get(4..4 + len) else {
                break;
            };
            match (code, len) {
                (0, _) => break,
                (9, 1) => interface.units = resolution(value[0]),
                (14, 8) => interface.offset_s = self.order.u64(value, 0) as i64,
                _ => {}
            }
            options = options.get(4 + len.next_multiple_of(4)..).unwrap_or(&[]);
        }
        if self.interfaces.len() >= MAX_INTERFACES {
            return Err(Stop::Corrupt("more interfaces than any host has"));
        }
        self.interfaces.push(interface);
        window.step(length);
        Ok(())
    }

    fn packet(
        &self,
        window: &mut Window,
        length: usize,
        fixed: usize,
        fields: impl Fn(Order, &[u8]) -> (u32, u64, u32, u32),
    ) -> Result<Meta, Stop> {
        if length < 12 + fixed {
            return Err(Stop::Corrupt("a packet block of impossible length"));
        }
        if window.fill(8 + fixed)? < 8 + fixed {
            return Err(Stop::Truncated);
        }
        let (id, ticks, captured, wire_len) = fields(self.order, &window.octets()[8..8 + fixed]);
        let captured = captured as usize;
        if captured > MAX_FRAME_OCTETS || captured > length - 12 - fixed {
            return Err(Stop::Corrupt("a packet longer than its block"));
        }
        let interface = *self
            .interfaces
            .get(id as usize)
            .ok_or(Stop::Corrupt("a packet of an interface that was not described"))?;
        window.step(8 + fixed);
        if window.fill(captured)? < captured {
            return Err(Stop::Truncated);
        }
        let seconds = (ticks / interface.units) as i64;
        let nanos = u128::from(ticks % interface.units) * 1_000_000_000 / u128::from(interface.units);
        Ok(Meta {
            ts_ns: seconds
                .saturating_add(interface.offset_s)
                .saturating_mul(1_000_000_000)
                .saturating_add(nanos as i64),
            captured,
            padding: length - 8 - fixed - captured,
            wire_len: wire_len.max(captured as u32),
            linktype: interface.linktype,
        })
    }
}

/// Byte order of the section whose header `octets` starts with.
fn byte_order(octets: &[u8]) -> Option<Order> {
    match octets.get(8..12)? {
        [0x4d, 0x3c, 0x2b, 0x1a] => Some(Order::Little),
        [0x1a, 0x2b, 0x3c, 0x4d] => Some(Order::Big),
        _ => None,
    }
}

fn stamp(order: Order, body: &[u8], at: usize) -> u64 {
    u64::from(order.u32(body, at)) << 32 | u64::from(order.u32(body, at + 4))
}

/// `if_tsresol`: a power of ten, or of two with the top bit set. What does not fit is read as nanoseconds.
fn resolution(value: u8) -> u64 {
    let exponent = u32::from(value & 0x7f);
    let units = if value & 0x80 == 0 {
        10u64.checked_pow(exponent)
    } else {
        2u64.checked_pow(exponent)
    };
    units.unwrap_or(1_000_000_000)
}
