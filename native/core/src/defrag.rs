//! IP fragments wait here for the rest of their datagram.

use crate::config::Config;
use crate::counters::Counters;
use crate::packet::Packet;

/// A fragment.
#[derive(Clone, Copy, Debug)]
pub struct Piece<'a> {
    /// Protocol (IPv4) or next header (IPv6) of the datagram.
    pub proto: u8,
    /// Identification.
    pub id: u32,
    /// Offset in octets.
    pub offset: u32,
    /// More fragments follow.
    pub more: bool,
    /// What precedes the fragmentable part: the IPv4 header, or the IPv6 header with the extension headers before the
    /// fragment header.
    pub header: &'a [u8],
    /// IPv6: where in `header` the next-header octet that names the fragment header is.
    pub link: Option<usize>,
    /// This fragment's part.
    pub payload: &'a [u8],
}

/// Datagrams in reassembly.
#[derive(Debug)]
pub struct Defrag {}

impl Defrag {
    /// No fragments yet.
    pub fn new(_config: &Config) -> Defrag {
        Defrag {}
    }

    /// Take a fragment; the datagram, from its IP header on, when it is whole now.
    pub fn add(
        &mut self,
        _packet: &mut Packet<'_>,
        _piece: &Piece<'_>,
        _counters: &mut Counters,
    ) -> Option<Vec<u8>> {
        None
    }

    /// Take back a datagram's buffer.
    pub fn give_back(&mut self, _datagram: Vec<u8>) {}
}
