//! Taking octets in, and showing the layer above what is contiguous and acknowledged.

use super::policy::Policy;
use super::track::Limits;
use super::{Session, State};
use crate::app::Input;
use crate::counters::Counters;
use crate::packet::{Direction, Packet, TCP_ACK, TCP_FIN, TCP_RST, TCP_SYN};

/// The layer above.
pub trait Upper {
    /// Octets of a direction were seen, though not yet acknowledged.
    fn saw(&mut self, direction: Direction);

    /// Take what both directions hold; `direction` is the one that grew, has a gap, or ended.
    fn feed(&mut self, session: &Session, direction: Direction, inputs: &[Input<'_>; 2]) -> Fed;
}

/// What the layer above did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fed {
    /// Octets of each direction (as given) that need not be shown again.
    pub used: [usize; 2],
    /// The flow turned out the wrong way round: client and server change places.
    pub reversed: bool,
    /// Nothing needs to be shown any more, in either direction.
    pub over: bool,
    /// Raw inspection is wanted now, by direction after any reversal.
    pub trigger_raw: [bool; 2],
    /// Raw inspection ends with what is there: it is encrypted from here on.
    pub end_raw: bool,
    /// A parser holds out for more octets (not: the protocol is not known yet).
    pub parser_waits: bool,
    /// Octets of each direction that are reassembled from now on, if that is more; 0 is all. `None` changes nothing.
    pub depth: Option<u64>,
    /// Octets to keep for raw inspection beside the application layer; 0 changes nothing.
    pub keep_for_raw: u64,
}

/// Whose octets are shown to the layer above on a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shown {
    /// The other side's, which the packet acknowledges.
    Acknowledged,
    /// The packet's sender's.
    Sent,
    /// First the other side's, then the sender's.
    Both,
}

impl Session {
    /// Take in a segment that [`Session::track`] let through. Returns whether client and server changed places.
    pub fn reassemble(
        &mut self,
        packet: &mut Packet<'_>,
        limits: &Limits,
        counters: &mut Counters,
        upper: &mut impl Upper,
    ) -> bool {
        let flags = packet.tcp().map_or(0, |tcp| tcp.flags);
        let mut direction = packet.direction.unwrap_or(Direction::ToServer);
        let mut reversed = false;
        let mut shown = if packet.pseudo || flags & TCP_RST != 0 {
            Shown::Sent
        } else if flags & TCP_FIN != 0 && self.state > State::TimeWait {
            if flags & TCP_ACK != 0 {
                Shown::Both
            } else {
                Shown::Sent
            }
        } else if self.state == State::Closed {
            Shown::Both
        } else {
            Shown::Acknowledged
        };
        if shown != Shown::Sent && self.show(direction.opposite(), packet, counters, upper) {
            reversed = true;
            direction = direction.opposite();
        }
        if !packet.payload.is_empty() && flags & TCP_RST == 0 && !self.half(direction).over {
            if !self.take_octets(direction, packet, limits, counters, upper) {
                return reversed;
            }
            packet.in_stream = true;
        }
        if self.half(direction).depth_reached && !self.half(direction).over {
            shown = Shown::Sent;
        }
        if shown != Shown::Acknowledged && self.show(direction, packet, counters, upper) {
            reversed = !reversed;
        }
        reversed
    }

    /// Put a segment's octets where they belong; false when there is no memory for them.
    fn take_octets(
        &mut self,
        direction: Direction,
        packet: &mut Packet<'_>,
        limits: &Limits,
        counters: &mut Counters,
        upper: &mut impl Upper,
    ) -> bool {
        upper.saw(direction);
        let app_over = self.app_over;
        let depth = self.depth.unwrap_or(limits.options.depth);
        let Some(tcp) = packet.tcp().copied() else {
            return true;
        };
        let half = self.half_mut(direction);
        let policy: Policy = *half
            .policy
            .get_or_insert_with(|| limits.hosts.policy(&packet.dst).for_tcp());
        if app_over && half.raw_ends {
            return true;
        }
        let base = half.buffer.base();
        let mut start = base as i64 + i64::from(tcp.seq.wrapping_sub(half.base_seq()) as i32);
        let end = start + packet.payload.len() as i64;
        if depth > 0 {
            let within = !half.depth_reached && end > base as i64;
            if within && end > depth as i64 {
                half.depth_reached = true;
            }
            if half.depth_reached {
                packet.raise("stream.reassembly_depth_reached");
                counters.tcp_stream_depth_reached += 1;
            }
            if !within || half.depth_reached || start < -1 {
                return true;
            }
        }
        if counters.tcp_memuse + packet.payload.len() as u64 > limits.options.memcap {
            packet.raise("stream.reassembly_no_segment");
            counters.tcp_segment_memcap_drop += 1;
            self.lossy = true;
            return false;
        }
        if tcp.fast_open && tcp.flags & TCP_SYN != 0 {
            start += 1;
        }
        let compare = limits.options.check_overlap_different_data;
        let before = half.buffer.memory();
        let inserted = half.buffer.insert(start, packet.payload, policy, compare);
        counters.tcp_memuse = (counters.tcp_memuse + half.buffer.memory()).saturating_sub(before);
        counters.tcp_overlap += u64::from(inserted.overlap);
        if inserted.different {
            packet.raise("stream.reassembly_overlap_different_data");
            counters.tcp_overlap_diff_data += 1;
        }
        true
    }

    /// Show the layer above what came of a direction. Returns whether client and server changed places.
    fn show(
        &mut self,
        mut direction: Direction,
        packet: &mut Packet<'_>,
        counters: &mut Counters,
        upper: &mut impl Upper,
    ) -> bool {
        let mut reversed = false;
        if self.app_over || self.half(direction).over {
            return false;
        }
        let closed = self.state == State::Closed;
        let eof = closed || packet.pseudo;
        let half = self.half(direction);
        if !half.buffer.seen() || half.buffer.right() <= half.app_progress {
            if self.state >= State::Closing || packet.pseudo {
                return self.feed(direction, 0, 0, eof, packet, upper).reversed;
            }
            return false;
        }
        let mut after_gap = false;
        loop {
            let half = self.half(direction);
            let progress = half.app_progress;
            let depth = half.depth_reached;
            let present = half.buffer.at(progress).is_ok_and(|octets| !octets.is_empty());
            let (length, missing) = match half.buffer.at(progress) {
                Ok(octets) => (octets.len() as u64, 0),
                Err(missing) => (0, missing),
            };
            if after_gap && length == 0 && missing == 0 {
                break;
            }
            after_gap = false;
            let all = packet.pseudo && (!closed || self.closed_by_reset);
            let acked = half.acked();
            let bound = |octets: u64| {
                if all || octets == 0 || progress > acked {
                    octets
                } else {
                    octets.min(acked - progress)
                }
            };
            let (length, missing) = (bound(length), bound(missing));
            if missing > 0 && self.gap_is_certain(direction) {
                self.tell_gap(direction, packet, counters);
                if self.app_over {
                    break;
                }
                if self.feed(direction, missing, 0, eof, packet, upper).reversed {
                    reversed = !reversed;
                    direction = direction.opposite();
                }
                if self.app_over {
                    break;
                }
                after_gap = true;
                continue;
            }
            // A gap right behind what ended the parser is still told; octets are not shown any more.
            if self.app_over {
                break;
            }
            // Nothing there, or nothing of it acknowledged.
            if (length == 0 && !depth) && (!eof || !present) {
                break;
            }
            let at = direction.index();
            let fed = self.feed(direction, 0, length, eof || depth, packet, upper);
            let used = fed.used[at];
            if fed.reversed {
                reversed = !reversed;
                direction = direction.opposite();
            }
            if depth || self.app_over && used == 0 {
                break;
            }
            if used == 0 {
                // The parser waits for what will never come: what it left goes with what is missing behind it.
                let Some(lost) = self.gap_ahead(direction).filter(|_| fed.parser_waits) else {
                    break;
                };
                self.tell_gap(direction, packet, counters);
                if self.feed(direction, lost, 0, eof, packet, upper).reversed {
                    reversed = !reversed;
                    direction = direction.opposite();
                }
                after_gap = true;
            }
        }
        reversed
    }

    fn tell_gap(&mut self, direction: Direction, packet: &mut Packet<'_>, counters: &mut Counters) {
        packet.raise("stream.reassembly_seq_gap");
        counters.tcp_reassembly_gap += 1;
        self.half_mut(direction).has_gap = true;
        self.lossy = true;
    }

    /// Octets up to the end of the gap that follows what is contiguous, if the other side acknowledged into it.
    fn gap_ahead(&self, direction: Direction) -> Option<u64> {
        let half = self.half(direction);
        let end = half.app_progress + half.buffer.at(half.app_progress).unwrap_or(&[]).len() as u64;
        let (next, _) = half.buffer.block_from(end)?;
        let acked = half.acked();
        (next > end && acked > end).then(|| next.min(acked) - half.app_progress)
    }

    /// Octets are missing that the other side has.
    fn gap_is_certain(&self, direction: Direction) -> bool {
        let half = self.half(direction);
        let fin = u64::from(self.state >= State::FinWait1);
        half.acked().saturating_sub(fin) > half.app_progress
    }

    /// Feed the layer above `length` octets of a direction, or tell it that `gap` octets are lost.
    fn feed(
        &mut self,
        direction: Direction,
        gap: u64,
        length: u64,
        eof: bool,
        packet: &mut Packet<'_>,
        upper: &mut impl Upper,
    ) -> Fed {
        let (at, other) = (direction.index(), direction.opposite().index());
        let fed = {
            let input = |half: &super::HalfStream, wanted: Option<u64>| {
                let octets = half.buffer.at(half.app_progress).unwrap_or(&[]).len() as u64;
                let acked = half.acked().saturating_sub(half.app_progress);
                wanted.unwrap_or(octets.min(acked)) as usize
            };
            let lengths = [
                input(&self.halves[at], Some(length)),
                input(&self.halves[other], None),
            ];
            let slice = |index: usize, length: usize| {
                let half = &self.halves[index];
                half.buffer
                    .at(half.app_progress)
                    .unwrap_or(&[])
                    .get(..length)
                    .unwrap_or(&[])
            };
            let mut inputs = [Input {
                data: &[],
                gap: 0,
                eof: false,
                now: packet.ts,
                packet: packet.number,
            }; 2];
            inputs[at].data = slice(at, if gap > 0 { 0 } else { lengths[0] });
            inputs[at].gap = gap;
            inputs[at].eof = eof;
            inputs[other].data = slice(other, lengths[1]);
            upper.feed(self, direction, &inputs)
        };
        for index in [at, other] {
            self.halves[index].app_progress += fed.used[index] as u64;
        }
        self.halves[at].app_progress += gap;
        self.app_over |= fed.over;
        if let Some(depth) = fed.depth {
            self.depth = Some(depth);
        }
        if fed.reversed {
            self.swap();
        }
        for (half, wanted) in self.halves.iter_mut().zip(fed.trigger_raw) {
            half.raw_trigger |= wanted;
            half.raw_ends |= fed.end_raw;
            if fed.keep_for_raw > 0 {
                half.keep_for_raw(fed.keep_for_raw);
            }
        }
        fed
    }

    /// Let go of what was seen by all layers. `window`: keep that much for comparison with what is sent again.
    pub fn prune(&mut self, direction: Direction, limits: &Limits, counters: &mut Counters) {
        let app_over = self.app_over;
        let open = self.state < State::Closed;
        let half = self.half_mut(direction);
        if half.over {
            return;
        }
        let before = half.buffer.memory();
        if half.depth_reached || app_over && half.raw_over {
            half.over = true;
            half.buffer.clear();
        } else {
            let mut edge = half.acked();
            if !half.raw_over {
                let back = if open && !app_over { half.raw_back } else { 0 };
                edge = edge.min(half.raw_progress.saturating_sub(back));
            }
            if !app_over {
                edge = edge.min(half.app_progress);
            }
            if limits.options.check_overlap_different_data {
                let window = if half.window > 0 { half.window } else { 4096 };
                edge = edge.saturating_sub(u64::from(window));
            }
            half.buffer.slide(edge);
        }
        counters.tcp_memuse = (counters.tcp_memuse + half.buffer.memory()).saturating_sub(before);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::packet::{Frame, Tcp, Transport};
    use crate::stream::policy::Hosts;
    use crate::time::Timestamp;

    /// A layer above that takes whole lines only, and writes down what it was shown.
    #[derive(Default)]
    struct Lines {
        taken: Vec<u8>,
        gaps: Vec<u64>,
    }

    impl Upper for Lines {
        fn saw(&mut self, _direction: Direction) {}

        fn feed(&mut self, _session: &Session, direction: Direction, inputs: &[Input<'_>; 2]) -> Fed {
            let input = &inputs[direction.index()];
            if input.gap > 0 {
                self.gaps.push(input.gap);
            }
            let used = input
                .data
                .iter()
                .rposition(|&octet| octet == b'\n')
                .map_or(0, |at| at + 1);
            self.taken.extend_from_slice(&input.data[..used]);
            let mut fed = Fed {
                parser_waits: true,
                ..Fed::default()
            };
            fed.used[direction.index()] = used;
            fed
        }
    }

    fn segment<'p>(direction: Direction, seq: u32, payload: &'p [u8]) -> Packet<'p> {
        let mut packet = Packet::new(
            &Frame {
                ts: Timestamp(0),
                data: payload,
                wire_len: 0,
                linktype: 101,
            },
            1,
        );
        packet.transport = Transport::Tcp(Tcp {
            seq,
            flags: TCP_ACK,
            ..Tcp::default()
        });
        packet.payload = payload;
        packet.direction = Some(direction);
        packet
    }

    #[test]
    fn a_parser_that_waits_for_lost_octets_is_told_of_the_gap_with_what_it_left() {
        let limits = Limits {
            options: Config::default().stream,
            hosts: Hosts::default(),
        };
        let mut session = Session {
            state: State::Established,
            ..Session::default()
        };
        session.halves.iter_mut().for_each(|half| half.begin(0));
        let (mut upper, mut counters) = (Lines::default(), Counters::default());
        for (seq, payload) in [(1, &b"one\ntw"[..]), (100, b"three\n")] {
            session.reassemble(
                &mut segment(Direction::ToServer, seq, payload),
                &limits,
                &mut counters,
                &mut upper,
            );
        }
        session.halves[0].last_ack = 106;
        session.reassemble(
            &mut segment(Direction::ToClient, 1, b""),
            &limits,
            &mut counters,
            &mut upper,
        );
        assert_eq!(upper.taken, b"one\nthree\n");
        // Two octets of the second line, and the 93 that never came.
        assert_eq!(upper.gaps, [95]);
        assert_eq!(counters.tcp_reassembly_gap, 1);
    }
}
