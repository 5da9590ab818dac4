//! How sessions begin: at a SYN, picked up without a handshake, or in the place of an old one.

use super::track::{check_broken_ack, Limits, Segment, Step};
use super::{Session, State};
use crate::counters::Counters;
use crate::packet::{Direction, Packet, TCP_ACK, TCP_FIN, TCP_RST, TCP_SYN};

/// Window scale taken when the handshake that would tell it was not seen (RFC 7323: at most).
pub(super) const UNKNOWN_SCALE: u8 = 14;
/// SYN segments remembered (Suricata's `max-syn-queued`).
pub(super) const MAX_SYN_QUEUED: usize = 10;

/// A SYN or SYN+ACK that another one may replace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Queued {
    pub(super) seq: u32,
    pub(super) ack: u32,
    pub(super) window: u32,
    pub(super) window_scale: Option<u8>,
    pub(super) timestamp: Option<u32>,
    pub(super) sack: bool,
    pub(super) at_s: u32,
}

impl Queued {
    pub(super) fn syn_ack(segment: &Segment<'_>) -> Queued {
        Queued {
            seq: segment.seq,
            ack: segment.ack,
            window: segment.window,
            window_scale: segment.window_scale,
            timestamp: segment.timestamps.map(|(value, _)| value),
            sack: segment.sack_permitted,
            at_s: segment.now_s,
        }
    }

    /// A SYN: its sequence number is the session's, whatever it says.
    pub(super) fn syn(segment: &Segment<'_>) -> Queued {
        Queued {
            seq: 0,
            ack: 0,
            ..Queued::syn_ack(segment)
        }
    }
}

impl Session {
    /// The session that a packet without one begins, if it does. `true`: client and server must change places first,
    /// the packet is the server's.
    pub fn begin(
        packet: &mut Packet<'_>,
        limits: &Limits,
        raw: bool,
        counters: &mut Counters,
    ) -> Option<(Session, Step, bool)> {
        check_broken_ack(packet);
        let segment = Segment::of(packet)?;
        let options = &limits.options;
        let midstream = options.midstream;
        if segment.has(TCP_RST) {
            packet.raise("stream.rst_but_no_session");
            return None;
        }
        if segment.has(TCP_FIN) && (!midstream || segment.len == 0) {
            packet.raise("stream.fin_but_no_session");
            return None;
        }
        let mut session = Session::default();
        session.flags[segment.sender] = segment.flags;
        session.halves.iter_mut().for_each(|half| half.raw_over = !raw);
        session.one_sided = options.async_oneside;
        let syn_ack = segment.flags & (TCP_SYN | TCP_ACK) == TCP_SYN | TCP_ACK;
        let (step, swap) = if segment.has(TCP_FIN) {
            session.pick_up(&segment, State::FinWait1);
            (Step::Take, false)
        } else if syn_ack {
            if !midstream && !options.async_oneside {
                return None;
            }
            let swap = packet.direction == Some(Direction::ToServer);
            if swap {
                session.swap();
            }
            session.pick_up_at_syn_ack(&segment);
            (Step::Pass, swap)
        } else if segment.has(TCP_SYN) {
            (session.take_first_syn(&segment), false)
        } else if segment.has(TCP_ACK) && midstream {
            session.pick_up(&segment, State::Established);
            (Step::Take, false)
        } else {
            return None;
        };
        counters.tcp_sessions += 1;
        counters.tcp_active_sessions += 1;
        counters.tcp_midstream_pickups += u64::from(session.midstream);
        Some((session, step, swap))
    }

    fn take_first_syn(&mut self, segment: &Segment<'_>) -> Step {
        self.enter(State::SynSent);
        let client = &mut self.halves[0];
        client.begin(segment.seq);
        client.next_seq = segment.seq.wrapping_add(1);
        if let Some((value, _)) = segment.timestamps {
            client.last_timestamp = value;
            client.timestamp_zero |= value == 0;
            client.last_packet_s = segment.now_s;
            client.timestamp_offered = true;
        }
        self.halves[1].window = segment.window;
        if let Some(scale) = segment.window_scale {
            self.scaling_offered = true;
            self.halves[1].window_scale = scale;
        }
        self.sack_offered = segment.sack_permitted;
        if segment.fast_open {
            self.fast_open = true;
            if segment.len > 0 {
                let next = self.halves[0].next_seq.wrapping_add(segment.len);
                self.take_next_seq(0, next);
                return Step::Take;
            }
        }
        Step::Pass
    }

    /// Pick up a session in its middle. Who sent the segment is taken for the client.
    fn pick_up(&mut self, segment: &Segment<'_>, state: State) {
        self.enter(state);
        self.midstream = true;
        self.midstream_established = true;
        let [client, server] = &mut self.halves;
        client.window_scale = UNKNOWN_SCALE;
        server.window_scale = UNKNOWN_SCALE;
        client.begin(segment.seq.wrapping_sub(1));
        client.next_seq = segment.end().wrapping_add(u32::from(state == State::FinWait1));
        client.window = segment.window_scaled(UNKNOWN_SCALE);
        client.last_ack = segment.seq;
        client.room_from_last_ack();
        server.begin(segment.ack.wrapping_sub(1));
        server.next_seq = segment.ack;
        server.last_ack = segment.ack;
        server.next_win = segment.ack;
        self.take_picked_up_timestamps(segment, 0);
        self.sack_agreed = true;
    }

    fn pick_up_at_syn_ack(&mut self, segment: &Segment<'_>) {
        self.enter(State::SynRecv);
        self.midstream = true;
        self.midstream_synack = true;
        let [client, server] = &mut self.halves;
        server.begin(segment.seq);
        server.next_seq = segment.seq.wrapping_add(1);
        server.window = segment.window;
        client.begin(segment.ack.wrapping_sub(1));
        client.next_seq = segment.ack;
        client.last_ack = segment.ack;
        server.last_ack = segment.seq;
        server.room_from_last_ack();
        if let Some(scale) = segment.window_scale {
            client.window_scale = scale;
            server.window_scale = UNKNOWN_SCALE;
        }
        self.take_picked_up_timestamps(segment, 1);
        self.sack_agreed = segment.sack_permitted;
    }

    fn take_picked_up_timestamps(&mut self, segment: &Segment<'_>, sender: usize) {
        if let Some((value, echo)) = segment.timestamps {
            self.timestamps = true;
            self.halves[sender].last_timestamp = value;
            self.halves[sender].last_packet_s = segment.now_s;
            self.halves[1 - sender].last_timestamp = echo;
            for half in &mut self.halves {
                half.timestamp_zero |= half.last_timestamp == 0;
            }
        }
    }

    /// Whether a new session may take the place of this one: `packet` is a SYN (or SYN+ACK, where sessions are picked
    /// up) that does not belong to it.
    pub fn gives_way_to(
        session: Option<&Session>,
        packet: &Packet<'_>,
        to_server: bool,
        limits: &Limits,
    ) -> bool {
        let Some(tcp) = packet.tcp() else { return false };
        let picks_up = limits.options.midstream || limits.options.async_oneside;
        let is_syn = tcp.flags & (TCP_SYN | TCP_ACK) == TCP_SYN;
        let is_syn_ack = tcp.flags & (TCP_SYN | TCP_ACK) == TCP_SYN | TCP_ACK;
        if tcp.flags & (TCP_RST | TCP_FIN) != 0 || !(is_syn || is_syn_ack && picks_up) {
            return false;
        }
        let Some(session) = session else {
            return is_syn || to_server;
        };
        let over = session.state >= State::LastAck || session.state == State::None;
        if is_syn && to_server {
            session.fast_open_ignored || session.halves[0].isn != tcp.seq && over
        } else if is_syn_ack && !to_server {
            session.halves[1].isn != tcp.seq && over
        } else {
            over
        }
    }
}
