//! A session that is ending.

use super::policy::Hosts;
use super::seq::{geq, gt, leq, lt};
use super::track::{Limits, Segment, Step};
use super::{Session, State};
use crate::packet::{Packet, TCP_ACK, TCP_FIN, TCP_RST, TCP_SYN};

/// Refuse a segment.
fn refuse(packet: &mut Packet<'_>, event: &'static str) -> Step {
    packet.raise(event);
    Step::Refuse
}

impl Session {
    /// What all closing states have in common: resets, SYN, timestamps. `None`: look at the segment itself.
    fn closing_common(
        &mut self,
        segment: &Segment<'_>,
        packet: &mut Packet<'_>,
        hosts: &Hosts,
    ) -> Option<Step> {
        if segment.has(TCP_RST) {
            if !self.reset_is_valid(segment, packet, hosts) {
                return Some(Step::Refuse);
            }
            self.close_by_reset();
            return Some(self.take_reset(segment, packet, hosts));
        }
        if segment.has(TCP_SYN) && !segment.has(TCP_FIN) {
            return Some(refuse(packet, "stream.shutdown_syn_resend"));
        }
        if !segment.has(TCP_FIN | TCP_ACK) {
            return Some(Step::Pass);
        }
        None
    }

    /// Timestamps are looked at after what a state checks first.
    fn old_timestamp(&mut self, segment: &Segment<'_>, packet: &mut Packet<'_>, hosts: &Hosts) -> bool {
        self.timestamps && !self.timestamp_is_valid(segment, packet, hosts)
    }

    /// The other side sent at least as much as was acknowledged.
    fn grow_next_seq(&mut self, at: usize, ack: u32, less: u32) {
        let half = &mut self.halves[at];
        if lt(half.next_seq.wrapping_sub(less), ack) {
            half.next_seq = ack;
        }
    }

    /// Outside of what the other side has room for.
    fn beyond_window(&self, segment: &Segment<'_>) -> bool {
        let ours = &self.halves[segment.sender];
        gt(segment.seq, ours.last_ack.wrapping_add(ours.window))
    }

    fn fits_room(&self, segment: &Segment<'_>) -> bool {
        leq(segment.end(), self.halves[segment.sender].next_win) || self.midstream || self.one_sided
    }

    pub(super) fn in_fin_wait_1(
        &mut self,
        segment: &Segment<'_>,
        packet: &mut Packet<'_>,
        limits: &Limits,
    ) -> Step {
        let hosts = &limits.hosts;
        if let Some(step) = self.closing_common(segment, packet, hosts) {
            return step;
        }
        if self.old_timestamp(segment, packet, hosts) {
            return Step::Refuse;
        }
        if segment.has(TCP_FIN) {
            self.fin_in_fin_wait_1(segment, packet, hosts)
        } else {
            self.ack_in_fin_wait_1(segment, packet, hosts)
        }
    }

    fn fin_in_fin_wait_1(&mut self, segment: &Segment<'_>, packet: &mut Packet<'_>, hosts: &Hosts) -> Step {
        let (s, r) = (segment.sender, segment.receiver);
        let with_ack = segment.has(TCP_ACK);
        let before_next = self.halves[s].next_seq.wrapping_sub(1);
        let mut again = self.is_retransmission(segment, packet);
        if !again && with_ack && !segment.to_server {
            again = segment.seq == before_next && segment.ack == self.halves[r].last_ack;
        }
        if !again && (lt(segment.seq, before_next) || self.beyond_window(segment)) {
            return refuse(packet, "stream.fin1_fin_wrong_seq");
        }
        if !self.ack_is_valid(segment, packet) {
            return refuse(packet, "stream.fin1_invalid_ack");
        }
        self.take_timestamp(segment, packet, hosts);
        if !again {
            self.enter(if with_ack { State::TimeWait } else { State::Closing });
            self.take_window(segment, r);
        }
        if again && with_ack && !segment.to_server {
            return Step::Take;
        }
        self.grow_next_seq(r, segment.ack, 1);
        let expected = if with_ack && segment.to_server {
            self.halves[s].next_seq
        } else {
            before_next
        };
        if expected == segment.seq {
            self.take_next_seq(s, segment.end());
        }
        if with_ack {
            self.take_ack(r, segment.ack);
        }
        Step::Take
    }

    fn ack_in_fin_wait_1(&mut self, segment: &Segment<'_>, packet: &mut Packet<'_>, hosts: &Hosts) -> Step {
        let (s, r) = (segment.sender, segment.receiver);
        let again = self.is_retransmission(segment, packet);
        if !self.ack_is_valid(segment, packet) {
            return refuse(packet, "stream.fin1_invalid_ack");
        }
        // The server's FIN has its sequence number counted, the client's has not.
        let expected = self.halves[s]
            .next_seq
            .wrapping_sub(u32::from(!segment.to_server));
        let considered = !again && (!segment.to_server || segment.ack == self.halves[r].next_seq);
        if considered {
            if !self.fits_room(segment) {
                return refuse(packet, "stream.fin1_ack_wrong_seq");
            }
            if segment.seq == expected {
                self.enter(State::FinWait2);
            }
            self.take_window(segment, r);
        }
        self.take_timestamp(segment, packet, hosts);
        self.grow_next_seq(r, segment.ack, 1);
        if expected == segment.seq {
            self.take_next_seq(s, segment.end());
        }
        self.take_ack(r, segment.ack);
        self.take_sack(segment);
        self.take_next_win(r);
        Step::Take
    }

    pub(super) fn in_fin_wait_2(
        &mut self,
        segment: &Segment<'_>,
        packet: &mut Packet<'_>,
        limits: &Limits,
    ) -> Step {
        let hosts = &limits.hosts;
        if let Some(step) = self.closing_common(segment, packet, hosts) {
            return step;
        }
        if self.old_timestamp(segment, packet, hosts) {
            return Step::Refuse;
        }
        let (s, r) = (segment.sender, segment.receiver);
        let next = self.halves[s].next_seq;
        if segment.has(TCP_FIN) {
            let same = segment.seq == next.wrapping_sub(1) && segment.ack == self.halves[r].last_ack;
            let again = same || self.is_retransmission(segment, packet);
            if !again && (lt(segment.seq, next) || self.beyond_window(segment)) {
                return refuse(packet, "stream.fin2_fin_wrong_seq");
            }
            if !self.ack_is_valid(segment, packet) {
                return refuse(packet, "stream.fin2_invalid_ack");
            }
            if !again {
                self.enter(State::TimeWait);
                if segment.to_server && next == segment.seq {
                    self.take_next_seq(s, segment.end());
                }
                self.take_window(segment, r);
            }
            self.take_timestamp(segment, packet, hosts);
            self.grow_next_seq(r, segment.ack, 0);
            if segment.has(TCP_ACK) {
                self.take_ack(r, segment.ack);
            }
            return Step::Take;
        }
        let again = self.is_retransmission(segment, packet);
        if !self.ack_is_valid(segment, packet) {
            return refuse(packet, "stream.fin2_invalid_ack");
        }
        if !again {
            if !self.fits_room(segment) {
                return refuse(packet, "stream.fin2_ack_wrong_seq");
            }
            self.take_window(segment, r);
        }
        self.take_timestamp(segment, packet, hosts);
        if next == segment.seq {
            self.take_next_seq(s, segment.end());
        }
        self.take_ack(r, segment.ack);
        self.take_sack(segment);
        self.take_next_win(r);
        Step::Take
    }

    pub(super) fn in_closing(
        &mut self,
        segment: &Segment<'_>,
        packet: &mut Packet<'_>,
        limits: &Limits,
    ) -> Step {
        let hosts = &limits.hosts;
        if let Some(step) = self.closing_common(segment, packet, hosts) {
            return step;
        }
        if !segment.has(TCP_ACK) {
            return Step::Pass;
        }
        if self.old_timestamp(segment, packet, hosts) {
            return Step::Refuse;
        }
        let again = self.is_retransmission(segment, packet);
        if segment.seq != self.halves[segment.sender].next_seq {
            return refuse(packet, "stream.closing_ack_wrong_seq");
        }
        if !self.ack_is_valid(segment, packet) {
            return refuse(packet, "stream.closing_invalid_ack");
        }
        if !again {
            self.enter(State::TimeWait);
            self.take_window(segment, 0);
        }
        self.finish_ack(segment, packet, hosts)
    }

    /// Timestamp, next sequence number of the other side, acknowledgement.
    fn finish_ack(&mut self, segment: &Segment<'_>, packet: &mut Packet<'_>, hosts: &Hosts) -> Step {
        self.take_timestamp(segment, packet, hosts);
        self.grow_next_seq(segment.receiver, segment.ack, 0);
        if segment.has(TCP_ACK) {
            self.take_ack(segment.receiver, segment.ack);
        }
        Step::Take
    }

    pub(super) fn in_close_wait(
        &mut self,
        segment: &Segment<'_>,
        packet: &mut Packet<'_>,
        limits: &Limits,
    ) -> Step {
        let hosts = &limits.hosts;
        if let Some(step) = self.closing_common(segment, packet, hosts) {
            return step;
        }
        if self.old_timestamp(segment, packet, hosts) {
            return Step::Refuse;
        }
        let (s, r) = (segment.sender, segment.receiver);
        let again = self.is_retransmission(segment, packet);
        if segment.has(TCP_FIN) {
            if !again && (lt(segment.seq, self.halves[s].next_seq) || self.beyond_window(segment)) {
                return refuse(packet, "stream.closewait_fin_out_of_window");
            }
            if !self.ack_is_valid(segment, packet) {
                return refuse(packet, "stream.closewait_invalid_ack");
            }
            if !again {
                if !segment.to_server {
                    self.enter(State::LastAck);
                }
                self.take_window(segment, r);
            }
            return self.finish_ack(segment, packet, hosts);
        }
        if segment.len > 0 && leq(segment.end(), self.halves[s].last_ack) {
            return refuse(packet, "stream.closewait_pkt_before_last_ack");
        }
        if self.beyond_window(segment) {
            return refuse(packet, "stream.closewait_ack_out_of_window");
        }
        if !self.ack_is_valid(segment, packet) {
            return refuse(packet, "stream.closewait_invalid_ack");
        }
        if !again {
            self.take_window(segment, r);
        }
        self.take_timestamp(segment, packet, hosts);
        self.grow_next_seq(r, segment.ack, 0);
        if segment.seq == self.halves[s].next_seq {
            self.take_next_seq(s, segment.end());
        }
        self.take_ack(r, segment.ack);
        Step::Take
    }

    pub(super) fn in_last_ack(
        &mut self,
        segment: &Segment<'_>,
        packet: &mut Packet<'_>,
        limits: &Limits,
    ) -> Step {
        let hosts = &limits.hosts;
        if let Some(step) = self.closing_common(segment, packet, hosts) {
            return step;
        }
        if segment.has(TCP_FIN) {
            return Step::Pass;
        }
        if self.old_timestamp(segment, packet, hosts) {
            return Step::Refuse;
        }
        if !segment.to_server {
            return Step::Pass;
        }
        let again = self.is_retransmission(segment, packet);
        if !self.ack_is_valid(segment, packet) {
            return refuse(packet, "stream.lastack_invalid_ack");
        }
        if !again {
            let next = self.halves[segment.sender].next_seq;
            if geq(segment.seq, next) {
                if segment.seq != next && segment.seq != next.wrapping_add(1) {
                    return refuse(packet, "stream.lastack_ack_wrong_seq");
                }
                self.enter(State::Closed);
            }
            self.take_window(segment, segment.receiver);
        }
        self.finish_ack(segment, packet, hosts)
    }

    pub(super) fn in_time_wait(
        &mut self,
        segment: &Segment<'_>,
        packet: &mut Packet<'_>,
        limits: &Limits,
    ) -> Step {
        let hosts = &limits.hosts;
        if let Some(step) = self.closing_common(segment, packet, hosts) {
            return step;
        }
        if segment.has(TCP_FIN) {
            return Step::Pass;
        }
        if self.old_timestamp(segment, packet, hosts) {
            return Step::Refuse;
        }
        let ours = &self.halves[segment.sender];
        let next = ours.next_seq;
        // The client's FIN has no sequence number counted, the server's has.
        let expected = if segment.to_server {
            [next, next.wrapping_add(1)]
        } else {
            [next.wrapping_sub(1), next]
        };
        let late = !segment.to_server && segment.len > 0 && segment.seq == ours.last_ack;
        let again = self.is_retransmission(segment, packet);
        if !again && !expected.contains(&segment.seq) {
            if late {
                return Step::Pass;
            }
            return refuse(packet, "stream.timewait_ack_wrong_seq");
        }
        if !self.ack_is_valid(segment, packet) {
            return refuse(packet, "stream.timewait_invalid_ack");
        }
        if !again {
            self.enter(State::Closed);
            self.take_window(segment, segment.receiver);
        }
        self.finish_ack(segment, packet, hosts)
    }
}
