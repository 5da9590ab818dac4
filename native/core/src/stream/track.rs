//! One segment against the state machine.

use super::policy::Hosts;
use super::seq::gt;
use super::{HalfStream, Session, State};
use crate::config::Stream as Options;
use crate::counters::Counters;
use crate::packet::{Direction, Packet, TCP_ACK};

/// What the state machine is told.
#[derive(Clone, Debug)]
pub struct Limits {
    /// `stream.*` of the configuration.
    pub options: Options,
    /// Operating systems by network.
    pub hosts: Hosts,
}

/// What a segment looks like.
#[derive(Clone, Copy, Debug)]
pub(super) struct Segment<'a> {
    pub seq: u32,
    pub ack: u32,
    pub flags: u8,
    /// Not scaled.
    pub window: u32,
    /// Octets of payload.
    pub len: u32,
    pub timestamps: Option<(u32, u32)>,
    pub window_scale: Option<u8>,
    pub sack_permitted: bool,
    pub sack: &'a [u8],
    pub fast_open: bool,
    pub authenticated: bool,
    pub to_server: bool,
    /// Index of the half-stream of who sent it.
    pub sender: usize,
    /// Index of the half-stream whose octets it acknowledges.
    pub receiver: usize,
    /// Seconds since 1970, modulo 2^32.
    pub now_s: u32,
}

impl<'a> Segment<'a> {
    pub(super) fn of(packet: &Packet<'a>) -> Option<Segment<'a>> {
        let tcp = packet.tcp()?;
        let direction = packet.direction.unwrap_or(Direction::ToServer);
        Some(Segment {
            seq: tcp.seq,
            ack: tcp.ack,
            flags: tcp.flags,
            window: u32::from(tcp.window),
            len: packet.payload.len() as u32,
            timestamps: tcp.timestamps,
            window_scale: tcp.window_scale,
            sack_permitted: tcp.sack_permitted,
            sack: tcp.sack,
            fast_open: tcp.fast_open,
            authenticated: tcp.authenticated,
            to_server: direction == Direction::ToServer,
            sender: direction.index(),
            receiver: direction.opposite().index(),
            now_s: packet.ts.seconds() as u32,
        })
    }

    /// Any of these flags is set.
    pub(super) fn has(&self, flags: u8) -> bool {
        self.flags & flags != 0
    }

    /// Sequence number after its last octet.
    pub(super) fn end(&self) -> u32 {
        self.seq.wrapping_add(self.len)
    }

    pub(super) fn window_scaled(&self, scale: u8) -> u32 {
        self.window << scale
    }
}

/// What becomes of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// It is taken in: reassembly goes on with its octets and its acknowledgement.
    Take,
    /// Nothing follows from it.
    Pass,
    /// It does not belong here.
    Refuse,
}

impl Session {
    /// Follow a segment of an existing session. Events are raised on the packet.
    pub fn track(&mut self, packet: &mut Packet<'_>, limits: &Limits, counters: &mut Counters) -> Step {
        let Some(segment) = Segment::of(packet) else {
            return Step::Pass;
        };
        self.flags[segment.sender] |= segment.flags;
        if self.one_sided && self.flags[0] != 0 && self.flags[1] != 0 {
            self.one_sided = false;
        }
        if packet.pseudo {
            return Step::Take;
        }
        check_broken_ack(packet);
        let step = self.judge(&segment, packet, limits, counters);
        if step != Step::Refuse {
            self.check_after_reset(&segment, packet);
        }
        step
    }

    fn judge(
        &mut self,
        segment: &Segment<'_>,
        packet: &mut Packet<'_>,
        limits: &Limits,
        counters: &mut Counters,
    ) -> Step {
        if self.is_keepalive(segment) {
            return Step::Pass;
        }
        let answer = self.is_keepalive_ack(segment);
        self.halves[segment.sender].keepalive = false;
        if answer {
            return Step::Pass;
        }
        let probe_answer = self.is_zero_window_probe_ack(segment);
        self.halves[segment.receiver].zero_window_probe = false;
        if probe_answer {
            return Step::Pass;
        }
        if !self.is_final_ack(segment)
            && !self.is_window_update(segment)
            && (self.is_bad_window_update(segment, packet) || self.is_outdated_ack(segment))
        {
            return Step::Pass;
        }
        if let Some(not_kept) = self.spurious(segment) {
            packet.raise("stream.pkt_spurious_retransmission");
            if not_kept {
                return Step::Pass;
            }
        }
        self.dispatch(self.state, segment, packet, limits, counters)
    }

    fn dispatch(
        &mut self,
        state: State,
        segment: &Segment<'_>,
        packet: &mut Packet<'_>,
        limits: &Limits,
        counters: &mut Counters,
    ) -> Step {
        match state {
            State::None => Step::Pass,
            State::SynSent => self.in_syn_sent(segment, packet, limits),
            State::SynRecv => self.in_syn_recv(segment, packet, limits),
            State::Established => self.in_established(segment, packet, limits, counters),
            State::FinWait1 => self.in_fin_wait_1(segment, packet, limits),
            State::FinWait2 => self.in_fin_wait_2(segment, packet, limits),
            State::Closing => self.in_closing(segment, packet, limits),
            State::CloseWait => self.in_close_wait(segment, packet, limits),
            State::LastAck => self.in_last_ack(segment, packet, limits),
            State::TimeWait => self.in_time_wait(segment, packet, limits),
            State::Closed => {
                let (ours, theirs) = (&self.halves[segment.sender], &self.halves[segment.receiver]);
                if segment.has(crate::packet::TCP_RST) || ours.reset_received || !theirs.reset_received {
                    return Step::Pass;
                }
                // The reset that closed it may have been injected: go on as if it had not come.
                if self.previous == State::Closed {
                    return Step::Pass;
                }
                let step = self.dispatch(self.previous, segment, packet, limits, counters);
                if step != Step::Refuse && self.state == State::Closed {
                    self.state = self.previous;
                }
                step
            }
        }
    }

    /// The receiver of a reset goes on sending: the reset was not the sender's.
    fn check_after_reset(&mut self, segment: &Segment<'_>, packet: &mut Packet<'_>) {
        let theirs = &mut self.halves[segment.receiver];
        if !segment.has(crate::packet::TCP_RST) && theirs.reset_received {
            theirs.reset_received = false;
            self.closed_by_reset = false;
            packet.raise("stream.suspected_rst_inject");
        }
    }

    pub(super) fn enter(&mut self, state: State) {
        if state != self.state {
            self.previous = self.state;
            self.state = state;
            self.established = state >= State::Established;
        }
    }

    pub(super) fn close_by_reset(&mut self) {
        self.closed_by_reset = true;
        self.enter(State::Closed);
    }

    /// The acknowledgement counts for the half-stream at `at`.
    pub(super) fn take_ack(&mut self, at: usize, ack: u32) {
        let half = &mut self.halves[at];
        if gt(ack, half.last_ack) {
            half.last_ack = ack;
            half.sack.prune(ack);
        }
    }

    /// The next sequence number of the half-stream at `at`. What a one-sided session sent counts as acknowledged.
    pub(super) fn take_next_seq(&mut self, at: usize, seq: u32) {
        let one_sided = self.one_sided;
        let half = &mut self.halves[at];
        half.next_seq = seq;
        if one_sided && gt(half.next_seq, half.last_ack) {
            half.last_ack = half.next_seq;
        }
    }

    pub(super) fn take_sack(&mut self, segment: &Segment<'_>) {
        if !segment.sack.is_empty() {
            let half = &mut self.halves[segment.receiver];
            half.sack.take(segment.sack, half.last_ack, half.window);
        }
    }

    /// Room grows, it does not shrink.
    pub(super) fn take_next_win(&mut self, at: usize) {
        let half = &mut self.halves[at];
        let win = half
            .last_ack
            .wrapping_add(half.window)
            .wrapping_add(half.sack.size());
        if gt(win, half.next_win) {
            half.next_win = win;
        }
    }

    pub(super) fn take_window(&mut self, segment: &Segment<'_>, at: usize) {
        let half = &mut self.halves[at];
        half.window = segment.window_scaled(half.window_scale);
    }
}

impl HalfStream {
    pub(super) fn room_from_last_ack(&mut self) {
        self.next_win = self.last_ack.wrapping_add(self.window);
    }
}

/// An acknowledgement number without the flag.
pub(super) fn check_broken_ack(packet: &mut Packet<'_>) {
    if packet
        .tcp()
        .is_some_and(|tcp| tcp.flags & TCP_ACK == 0 && tcp.ack != 0)
    {
        packet.raise("stream.pkt_broken_ack");
    }
}
