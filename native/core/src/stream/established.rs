//! An established session, and how it begins to end.

use super::policy::Hosts;
use super::seq::{geq, gt, leq, lt};
use super::track::{Limits, Segment, Step};
use super::{Session, State};
use crate::counters::Counters;
use crate::packet::{Packet, TCP_ACK, TCP_FIN, TCP_RST, TCP_SYN};

impl Session {
    pub(super) fn in_established(
        &mut self,
        segment: &Segment<'_>,
        packet: &mut Packet<'_>,
        limits: &Limits,
        counters: &mut Counters,
    ) -> Step {
        let hosts = &limits.hosts;
        if segment.has(TCP_RST) {
            if !self.reset_is_valid(segment, packet, hosts) {
                return Step::Refuse;
            }
            self.close_by_reset();
            let client_sent = u32::from(!segment.to_server);
            self.halves[segment.receiver].next_seq = segment.ack;
            self.halves[segment.sender].next_seq = segment.end().wrapping_add(client_sent);
            self.take_window(segment, segment.sender);
            return self.take_reset(segment, packet, hosts);
        }
        if segment.has(TCP_FIN) {
            if self.timestamps && !self.timestamp_is_valid(segment, packet, hosts) {
                return Step::Refuse;
            }
            return self.take_fin(segment, packet, hosts);
        }
        if segment.has(TCP_SYN) {
            let wrong = match (segment.has(TCP_ACK), segment.to_server) {
                (true, true) => "stream.est_synack_toserver",
                (true, false) if segment.ack != self.halves[0].last_ack => {
                    "stream.est_synack_resend_with_diff_ack"
                }
                (true, false) if segment.seq != self.halves[1].isn => {
                    "stream.est_synack_resend_with_diff_seq"
                }
                (true, false) if self.confirmed => "stream.est_synack_resend",
                (true, false) => return Step::Pass,
                (false, false) => "stream.est_syn_toclient",
                (false, true) if segment.seq != self.halves[0].isn => "stream.est_syn_resend_diff_seq",
                (false, true) => "stream.est_syn_resend",
            };
            packet.raise(wrong);
            return Step::Refuse;
        }
        if segment.has(TCP_ACK) {
            if self.timestamps && !self.timestamp_is_valid(segment, packet, hosts) {
                return Step::Refuse;
            }
            self.confirmed |= !segment.to_server;
            return self.ack_in_established(segment, packet, limits, counters);
        }
        Step::Pass
    }

    /// What a reset says besides.
    pub(super) fn take_reset(
        &mut self,
        segment: &Segment<'_>,
        packet: &mut Packet<'_>,
        hosts: &Hosts,
    ) -> Step {
        if segment.has(TCP_ACK) && self.ack_is_valid(segment, packet) {
            self.take_ack(segment.receiver, segment.ack);
        }
        self.take_ack(segment.sender, segment.seq);
        self.take_timestamp(segment, packet, hosts);
        Step::Take
    }

    fn ack_in_established(
        &mut self,
        segment: &Segment<'_>,
        packet: &mut Packet<'_>,
        limits: &Limits,
        counters: &mut Counters,
    ) -> Step {
        let (s, r) = (segment.sender, segment.receiver);
        let theirs = &self.halves[r];
        if theirs.zero_window_probe && segment.ack == theirs.next_seq.wrapping_add(1) {
            packet.raise("stream.est_ack_zwp_data");
        } else if !self.ack_is_valid(segment, packet) {
            packet.raise("stream.est_invalid_ack");
            return Step::Pass;
        }
        if !segment.to_server && self.midstream && self.midstream_established {
            self.take_window(segment, s);
            self.halves[s].room_from_last_ack();
            self.midstream_established = false;
        }
        if !self.is_before_next(segment) && !geq(segment.end(), self.halves[s].last_ack) {
            let ours = &self.halves[s];
            let picked_up = segment.to_server && limits.options.async_oneside && self.midstream;
            if self.one_sided && !segment.to_server {
                self.halves[s].last_ack = segment.seq;
            } else if self.one_sided {
                self.take_ack(s, segment.seq);
            } else if picked_up && (ours.next_seq == segment.seq || ours.last_ack == ours.isn.wrapping_add(1))
            {
                self.take_ack(s, segment.seq);
                self.one_sided = true;
            } else if gt(ours.last_ack, ours.next_seq) && gt(segment.end(), ours.next_seq) {
                // Acknowledged before it was seen.
            } else {
                packet.raise("stream.est_pkt_before_last_ack");
                return Step::Pass;
            }
        }
        let ours = &self.halves[s];
        if segment.len == 1 && segment.seq == ours.next_seq && ours.window == 0 {
            self.halves[s].zero_window_probe = true;
            return Step::Take;
        }
        if geq(segment.end(), ours.next_seq) {
            self.take_next_seq(s, segment.end());
        }
        if !leq(segment.end(), self.halves[s].next_win) && !self.midstream && !self.one_sided {
            packet.raise("stream.est_packet_out_of_window");
            return Step::Pass;
        }
        self.take_window(segment, r);
        self.take_ack(r, segment.ack);
        if !self.one_sided && gt(self.halves[r].last_ack, self.halves[r].next_seq) {
            counters.tcp_ack_unseen_data += 1;
        }
        self.take_timestamp(segment, packet, &limits.hosts);
        self.take_sack(segment);
        self.take_next_win(r);
        Step::Take
    }

    /// At most one octet, right before the next one expected: a keep-alive.
    fn is_before_next(&self, segment: &Segment<'_>) -> bool {
        segment.len <= 1 && segment.seq == self.halves[segment.sender].next_seq.wrapping_sub(1)
    }

    pub(super) fn take_fin(&mut self, segment: &Segment<'_>, packet: &mut Packet<'_>, hosts: &Hosts) -> Step {
        let (s, r) = (segment.sender, segment.receiver);
        let ours = &self.halves[s];
        let wrong = if !self.ack_is_valid(segment, packet) {
            Some("stream.fin_invalid_ack")
        } else if !(geq(segment.seq, ours.last_ack) && leq(segment.end(), ours.next_win)) {
            Some("stream.fin_out_of_window")
        } else if segment.to_server && segment.has(TCP_SYN) {
            Some("stream.fin_syn")
        } else {
            None
        };
        if let Some(event) = wrong {
            packet.raise(event);
            return Step::Refuse;
        }
        self.enter(if segment.to_server {
            State::CloseWait
        } else {
            State::FinWait1
        });
        // The FIN's own sequence number is counted for the server only.
        self.halves[s].next_seq = segment.end().wrapping_add(u32::from(!segment.to_server));
        self.take_window(segment, r);
        self.take_timestamp(segment, packet, hosts);
        if lt(self.halves[r].next_seq, segment.ack) {
            self.halves[r].next_seq = segment.ack;
        }
        if segment.has(TCP_ACK) {
            self.take_ack(r, segment.ack);
        }
        Step::Take
    }
}
