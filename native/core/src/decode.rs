//! A frame's layers: from the link up to the transport, through tunnels and fragments.
//!
//! A tunnel's inner packet goes to the [`Sink`] before the packet it was in, so does a reassembled datagram before its
//! last fragment. Malformed input is an event on the packet, never a failure.

mod internet;
mod link;
#[cfg(test)]
mod tests;
mod transport;

use crate::config::{Config, Decoder as Options};
use crate::counters::Counters;
use crate::defrag::Defrag;
use crate::packet::{Frame, Packet};
use crate::wire::Malformed;

/// Whether frames of a link type (<https://www.tcpdump.org/linktypes.html>) can be decoded.
pub fn link_type_known(linktype: u32) -> bool {
    matches!(
        linktype,
        0 | 1 | 9 | 12 | 14 | 50 | 101 | 104 | 108 | 113 | 228 | 229 | 276
    )
}

/// Takes the packets of a frame, innermost first.
pub trait Sink {
    /// Take one.
    fn packet(&mut self, packet: &mut Packet<'_>, counters: &mut Counters);
}

/// Decodes frames. Owns the fragments that wait for the rest of their datagram.
#[derive(Debug)]
pub struct Decoder {
    options: Options,
    checksum_validation: bool,
    defrag: Defrag,
    frames: u64,
}

/// What a tunnel's payload is decoded as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Inner {
    Ipv4,
    Ipv6,
    Teredo,
    Vlan,
    Ethernet,
    Ppp,
    ErspanI,
    ErspanII,
}

impl Decoder {
    /// A decoder without state.
    pub fn new(config: &Config) -> Decoder {
        Decoder {
            options: config.decoder.clone(),
            checksum_validation: config.checksum_validation,
            defrag: Defrag::new(config),
            frames: 0,
        }
    }

    /// Decode a frame.
    pub fn frame(&mut self, frame: &Frame<'_>, counters: &mut Counters, sink: &mut impl Sink) {
        self.frames += 1;
        counters.pkts += 1;
        counters.bytes += frame.data.len() as u64;
        counters.max_pkt_size = counters.max_pkt_size.max(frame.data.len() as u64);
        if (frame.wire_len as usize) > frame.data.len() {
            counters.truncated += 1;
        }
        let mut packet = Packet::new(frame, self.frames);
        let mut walk = Walk {
            decoder: self,
            counters,
            sink,
        };
        walk.link(&mut packet, frame.linktype);
        walk.emit(&mut packet);
    }
}

/// One frame being decoded. Functions return whether the layer could be read.
struct Walk<'w, S> {
    decoder: &'w mut Decoder,
    counters: &'w mut Counters,
    sink: &'w mut S,
}

impl<S: Sink> Walk<'_, S> {
    fn emit(&mut self, packet: &mut Packet<'_>) {
        if packet.invalid {
            self.counters.invalid += 1;
        }
        self.sink.packet(packet, self.counters);
    }

    /// Count a layer; false when there are too many.
    fn deeper(&mut self, packet: &mut Packet<'_>) -> bool {
        packet.layers += 1;
        if packet.layers >= self.decoder.options.max_recursion {
            packet.malformed("too_many_layers");
            return false;
        }
        true
    }
}

fn fail(packet: &mut Packet<'_>, Malformed(event): Malformed) -> bool {
    packet.malformed(event);
    false
}
