//! Checks of a segment against what is known of the session.

use super::policy::{Hosts, Policy};
use super::seq::{geq, gt, leq, lt};
use super::track::Segment;
use super::{Session, State};
use crate::packet::{Packet, TCP_ACK, TCP_FIN, TCP_RST, TCP_SYN};

/// An idle time after which a timestamp says nothing any more (RFC 7323 section 5.5), seconds.
const PAWS_IDLE_S: u32 = 24 * 24 * 3600;

impl Session {
    /// The acknowledgement number fits what was sent.
    pub(super) fn ack_is_valid(&self, segment: &Segment<'_>, packet: &mut Packet<'_>) -> bool {
        if !segment.has(TCP_ACK) {
            return true;
        }
        let half = &self.halves[segment.receiver];
        let ack = segment.ack;
        let valid = if gt(ack, half.last_ack) && leq(ack, half.next_win) || ack == half.last_ack {
            true
        } else if lt(ack, half.last_ack) {
            half.window == 0 || geq(ack, half.last_ack.wrapping_sub(half.window))
        } else if self.one_sided {
            true
        } else {
            self.state == State::SynSent
                && !segment.to_server
                && segment.has(TCP_RST)
                && ack == half.isn.wrapping_add(1)
        };
        if !valid {
            packet.raise("stream.pkt_invalid_ack");
        }
        valid
    }

    /// How the receiver of a segment is taken to behave.
    pub(super) fn receiver_policy(
        &mut self,
        segment: &Segment<'_>,
        packet: &Packet<'_>,
        hosts: &Hosts,
    ) -> Policy {
        *self.halves[segment.receiver]
            .policy
            .get_or_insert_with(|| hosts.policy(&packet.dst).for_tcp())
    }

    /// A reset is believed by its receiver.
    pub(super) fn reset_is_valid(
        &mut self,
        segment: &Segment<'_>,
        packet: &mut Packet<'_>,
        hosts: &Hosts,
    ) -> bool {
        if self.lossy {
            return true;
        }
        if self.timestamps && !self.timestamp_is_valid(segment, packet, hosts) {
            return false;
        }
        if segment.len > 0 {
            packet.raise("stream.rst_with_data");
        }
        let policy = self.receiver_policy(segment, packet, hosts);
        if segment.has(TCP_ACK) && segment.ack != 0 && !self.ack_is_valid(segment, packet) {
            packet.raise("stream.rst_invalid_ack");
            return false;
        }
        if segment.authenticated {
            self.halves[segment.receiver].reset_received = true;
        }
        let half = &self.halves[segment.sender];
        if self.one_sided {
            return geq(segment.seq, half.next_seq);
        }
        match policy {
            Policy::Hpux11 => geq(segment.seq, half.next_seq),
            Policy::OldLinux | Policy::Linux | Policy::Solaris => {
                geq(segment.end(), half.last_ack) && lt(segment.seq, half.next_seq.wrapping_add(half.window))
            }
            _ => segment.seq == half.next_seq,
        }
    }

    /// The timestamp is not older than what was seen (PAWS, RFC 7323 section 5).
    pub(super) fn timestamp_is_valid(
        &mut self,
        segment: &Segment<'_>,
        packet: &mut Packet<'_>,
        hosts: &Hosts,
    ) -> bool {
        let policy = self.receiver_policy(segment, packet, hosts);
        let Some((value, _)) = segment.timestamps else {
            return true;
        };
        let half = &self.halves[segment.sender];
        let in_order = half.next_seq == segment.seq;
        let mut check = true;
        if half.timestamp_zero {
            match policy {
                Policy::Linux | Policy::Windows2k3 => check = false,
                Policy::OldLinux | Policy::Windows | Policy::Vista if in_order => check = false,
                _ => {}
            }
        }
        if policy == Policy::Hpux11 && !in_order {
            check = false;
        }
        let valid = if value == 0 && !zero_is_fine(policy) {
            false
        } else {
            !check || self.timestamp_fits(segment, value).0
        };
        if !valid {
            packet.raise("stream.pkt_invalid_timestamp");
        }
        valid
    }

    /// Whether a timestamp value fits, and whether it does without the sender having been idle too long.
    fn timestamp_fits(&self, segment: &Segment<'_>, value: u32) -> (bool, bool) {
        let half = &self.halves[segment.sender];
        let ahead = value.wrapping_sub(half.last_timestamp) as i32;
        // Linux takes a timestamp that is one too old; as Suricata by default, so is everyone taken to.
        let ahead = ahead.wrapping_add(1);
        let last_s = if half.last_packet_s == 0 && self.midstream {
            segment.now_s
        } else {
            half.last_packet_s
        };
        let idle = segment.now_s > last_s.saturating_add(PAWS_IDLE_S);
        let plain = ahead >= 0 && !(half.last_timestamp != 0 && idle);
        (plain || half.next_seq == segment.seq && idle, plain)
    }

    /// Remember the timestamp.
    pub(super) fn take_timestamp(&mut self, segment: &Segment<'_>, packet: &mut Packet<'_>, hosts: &Hosts) {
        if !self.timestamps {
            return;
        }
        let policy = self.receiver_policy(segment, packet, hosts);
        let Some((value, _)) = segment.timestamps else {
            if policy == Policy::Solaris {
                self.timestamps = false;
            }
            return;
        };
        let in_order = self.halves[segment.sender].next_seq == segment.seq;
        let mut check = true;
        if self.halves[segment.sender].timestamp_zero {
            match policy {
                Policy::Linux | Policy::Windows2k3 => {
                    self.timestamps = false;
                    check = false;
                }
                Policy::OldLinux | Policy::Windows | Policy::Vista => {
                    let half = &mut self.halves[segment.sender];
                    half.timestamp_zero = false;
                    if in_order {
                        half.last_timestamp = value;
                        check = false;
                    }
                }
                _ => {}
            }
        }
        if policy == Policy::Hpux11 && !in_order {
            check = false;
        }
        if value == 0 && !zero_is_fine(policy) {
            packet.raise("stream.pkt_invalid_timestamp");
            return;
        }
        if !check {
            return;
        }
        let (fits, plain) = self.timestamp_fits(segment, value);
        let half = &mut self.halves[segment.sender];
        if plain {
            if in_order {
                half.last_timestamp = value;
            }
            half.last_packet_s = segment.now_s;
        } else if fits {
            half.last_timestamp = value;
            half.last_packet_s = segment.now_s;
        } else {
            packet.raise("stream.pkt_invalid_timestamp");
        }
    }

    /// The octets were sent before; says so.
    pub(super) fn is_retransmission(&self, segment: &Segment<'_>, packet: &mut Packet<'_>) -> bool {
        let half = &self.halves[segment.sender];
        let again = segment.len > 0
            && (lt(segment.seq, half.last_ack) && gt(segment.end(), half.last_ack)
                || leq(segment.end(), half.last_ack)
                || leq(segment.end(), half.next_seq));
        if again {
            packet.raise("stream.pkt_retransmission");
        }
        again
    }

    /// All its octets were acknowledged: `Some(true)` when they are not even kept any more.
    pub(super) fn spurious(&self, segment: &Segment<'_>) -> Option<bool> {
        let half = &self.halves[segment.sender];
        if segment.len == 0 {
            None
        } else if !half.over && leq(segment.end(), half.base_seq()) {
            Some(true)
        } else {
            leq(segment.end(), half.last_ack).then_some(false)
        }
    }

    /// A keep-alive probe.
    pub(super) fn is_keepalive(&mut self, segment: &Segment<'_>) -> bool {
        if segment.len > 1 || segment.has(TCP_SYN | TCP_FIN | TCP_RST) {
            return false;
        }
        let is = segment.ack == self.halves[segment.receiver].last_ack
            && segment.seq == self.halves[segment.sender].next_seq.wrapping_sub(1);
        if is {
            self.halves[segment.sender].keepalive = true;
        }
        is
    }

    /// The answer to a keep-alive probe.
    pub(super) fn is_keepalive_ack(&mut self, segment: &Segment<'_>) -> bool {
        let receiver = &self.halves[segment.receiver];
        let is = segment.len == 0
            && !segment.has(TCP_SYN | TCP_FIN | TCP_RST)
            && segment.window != 0
            && segment.window_scaled(receiver.window_scale) == receiver.window
            && receiver.keepalive
            && segment.ack == receiver.last_ack
            && segment.seq == self.halves[segment.sender].next_seq;
        if is {
            self.halves[segment.receiver].keepalive = false;
        }
        is
    }

    /// The answer to a zero window probe.
    pub(super) fn is_zero_window_probe_ack(&self, segment: &Segment<'_>) -> bool {
        let (sender, receiver) = (&self.halves[segment.sender], &self.halves[segment.receiver]);
        self.state >= State::Established
            && segment.len == 0
            && segment.flags & (TCP_ACK | TCP_SYN | TCP_FIN | TCP_RST) == TCP_ACK
            && receiver.zero_window_probe
            && segment.window == 0
            && receiver.window == 0
            && segment.seq == sender.next_seq
            && segment.ack == receiver.last_ack
    }

    /// The last acknowledgement of a session that both sides closed.
    pub(super) fn is_final_ack(&self, segment: &Segment<'_>) -> bool {
        matches!(self.state, State::TimeWait | State::CloseWait | State::LastAck)
            && segment.flags == TCP_ACK
            && segment.len == 0
            && self.halves[segment.sender].next_seq.wrapping_add(1) == segment.seq
            && segment.ack == self.halves[segment.receiver].next_seq.wrapping_add(1)
    }

    /// Nothing but a new window.
    pub(super) fn is_window_update(&self, segment: &Segment<'_>) -> bool {
        let receiver = &self.halves[segment.receiver];
        self.state >= State::Established
            && segment.len == 0
            && !segment.has(TCP_SYN | TCP_FIN | TCP_RST)
            && segment.window != 0
            && segment.window_scaled(receiver.window_scale) != receiver.window
            && segment.ack == receiver.last_ack
            && segment.seq == self.halves[segment.sender].next_seq
    }

    /// A window that shrinks more than what is acknowledged explains; says so.
    pub(super) fn is_bad_window_update(&self, segment: &Segment<'_>, packet: &mut Packet<'_>) -> bool {
        if self.state < State::Established
            || self.state == State::Closed
            || segment.has(TCP_SYN | TCP_FIN | TCP_RST)
        {
            return false;
        }
        let (sender, receiver) = (&self.halves[segment.sender], &self.halves[segment.receiver]);
        let window = segment.window_scaled(receiver.window_scale);
        if window >= receiver.window {
            return false;
        }
        let shrunk = receiver.window - window;
        let acked = segment.ack.wrapping_sub(receiver.last_ack);
        let bad = shrunk > segment.len
            && gt(segment.ack, receiver.next_seq)
            && gt(segment.seq, sender.next_seq)
            && (window > 1024 && shrunk > acked.saturating_add(32) || window <= 1024 && shrunk > acked);
        if bad {
            packet.raise("stream.pkt_bad_window_update");
        }
        bad
    }

    /// An acknowledgement that came late.
    pub(super) fn is_outdated_ack(&self, segment: &Segment<'_>) -> bool {
        let (sender, receiver) = (&self.halves[segment.sender], &self.halves[segment.receiver]);
        self.state >= State::Established
            && segment.len == 0
            && segment.flags & (TCP_ACK | TCP_SYN | TCP_FIN | TCP_RST) == TCP_ACK
            && segment.seq == sender.next_seq
            && lt(segment.ack, receiver.last_ack)
            && (segment.sack.is_empty() || receiver.sack.knows(segment.sack))
    }
}

fn zero_is_fine(policy: Policy) -> bool {
    matches!(
        policy,
        Policy::OldLinux | Policy::Windows | Policy::Windows2k3 | Policy::Vista | Policy::Solaris
    )
}
