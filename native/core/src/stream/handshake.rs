//! The handshake: from the client's SYN to the ACK that completes it.

use super::opening::{Queued, MAX_SYN_QUEUED, UNKNOWN_SCALE};
use super::seq::{gt, leq};
use super::track::{Limits, Segment, Step};
use super::{Session, State};
use crate::packet::{Packet, TCP_ACK, TCP_FIN, TCP_RST, TCP_SYN};

impl Session {
    pub(super) fn in_syn_sent(
        &mut self,
        segment: &Segment<'_>,
        packet: &mut Packet<'_>,
        limits: &Limits,
    ) -> Step {
        let syn_ack = segment.flags & (TCP_SYN | TCP_ACK) == TCP_SYN | TCP_ACK;
        if syn_ack && !segment.to_server {
            return self.syn_ack_in_syn_sent(segment, packet);
        }
        if syn_ack {
            return self.four_way_syn_ack(segment, packet);
        }
        if !self.echo_is_valid(segment) {
            packet.raise("stream.pkt_invalid_timestamp");
            return Step::Refuse;
        }
        if segment.has(TCP_RST) {
            if !self.reset_is_valid(segment, packet, &limits.hosts) {
                return Step::Refuse;
            }
            let isn = self.halves[0].isn;
            let by_client = segment.seq == isn && segment.window == 0 && segment.ack == isn.wrapping_add(1);
            if !segment.to_server || by_client {
                self.halves[segment.receiver].reset_received = true;
                self.close_by_reset();
                self.queue.clear();
            }
            Step::Pass
        } else if segment.has(TCP_FIN) {
            Step::Pass
        } else if segment.has(TCP_SYN) {
            self.syn_in_syn_sent(segment, packet);
            Step::Pass
        } else if segment.has(TCP_ACK) && limits.options.async_oneside {
            self.one_sided_ack(segment, packet)
        } else {
            Step::Pass
        }
    }

    fn syn_ack_in_syn_sent(&mut self, segment: &Segment<'_>, packet: &mut Packet<'_>) -> Step {
        let after_syn = self.halves[0].isn.wrapping_add(1);
        if !(segment.fast_open || self.fast_open) {
            if segment.ack != after_syn {
                packet.raise("stream.3whs_synack_with_wrong_ack");
                return Step::Refuse;
            }
        } else {
            if segment.ack == self.halves[0].next_seq {
            } else if segment.ack == after_syn {
                self.halves[0].next_seq = self.halves[0].isn;
                packet.raise("stream.3whs_synack_tfo_data_ignored");
                self.fast_open_ignored = true;
            } else {
                packet.raise("stream.3whs_synack_with_wrong_ack");
                return Step::Refuse;
            }
            self.fast_open = true;
            self.enter(State::Established);
        }
        if !self.echo_is_valid(segment) {
            let echo = segment.timestamps.map(|(_, echo)| echo);
            let Some(syn) = self.queue.iter().find(|syn| syn.timestamp == echo).copied() else {
                packet.raise("stream.pkt_invalid_timestamp");
                return Step::Refuse;
            };
            self.apply_syn(&syn);
        }
        self.queue.clear();
        self.take_syn_ack(&Queued::syn_ack(segment));
        Step::Pass
    }

    /// The SYN+ACK echoes the SYN's timestamp.
    fn echo_is_valid(&self, segment: &Segment<'_>) -> bool {
        let (Some((_, echo)), false) = (segment.timestamps, segment.to_server) else {
            return true;
        };
        let client = &self.halves[0];
        if client.timestamp_offered {
            client.last_timestamp == 0 || echo == 0 || echo == client.last_timestamp
        } else {
            client.last_timestamp != 0 || echo == 0
        }
    }

    fn take_syn_ack(&mut self, syn_ack: &Queued) {
        self.enter(State::SynRecv);
        let [client, server] = &mut self.halves;
        server.begin(syn_ack.seq);
        server.next_seq = syn_ack.seq.wrapping_add(1);
        client.window = syn_ack.window;
        match syn_ack.timestamp {
            Some(value) if client.timestamp_offered => {
                server.last_timestamp = value;
                self.timestamps = true;
                server.last_packet_s = syn_ack.at_s;
                server.timestamp_zero |= value == 0;
            }
            _ => {
                client.last_timestamp = 0;
                server.last_timestamp = 0;
                client.timestamp_zero = false;
            }
        }
        client.last_ack = syn_ack.ack;
        server.last_ack = server.isn.wrapping_add(1);
        client.window_scale = match syn_ack.window_scale {
            Some(scale) if self.scaling_offered => scale,
            _ => 0,
        };
        self.sack_agreed = self.sack_offered && syn_ack.sack;
        server.room_from_last_ack();
        client.room_from_last_ack();
        self.four_way = false;
    }

    fn four_way_syn_ack(&mut self, segment: &Segment<'_>, packet: &mut Packet<'_>) -> Step {
        let wrong = if !self.four_way {
            Some("stream.3whs_synack_in_wrong_direction")
        } else if segment.ack != self.halves[1].isn.wrapping_add(1) {
            Some("stream.4whs_synack_with_wrong_ack")
        } else if segment.seq != self.halves[0].isn {
            Some("stream.4whs_synack_with_wrong_syn")
        } else {
            None
        };
        if let Some(event) = wrong {
            packet.raise(event);
            return Step::Refuse;
        }
        self.enter(State::SynRecv);
        let [client, server] = &mut self.halves;
        client.begin(segment.seq);
        client.next_seq = segment.seq.wrapping_add(1);
        server.window = segment.window;
        match segment.timestamps {
            Some((value, _)) if server.timestamp_offered => {
                client.last_timestamp = value;
                self.timestamps = true;
                client.last_packet_s = segment.now_s;
                client.timestamp_zero |= value == 0;
            }
            _ => {
                server.last_timestamp = 0;
                client.last_timestamp = 0;
                server.timestamp_zero = false;
            }
        }
        server.last_ack = segment.ack;
        client.last_ack = client.isn.wrapping_add(1);
        server.window_scale = match segment.window_scale {
            Some(scale) if self.scaling_offered => scale,
            _ => 0,
        };
        self.sack_agreed |= self.sack_offered && segment.sack_permitted;
        client.room_from_last_ack();
        server.room_from_last_ack();
        Step::Pass
    }

    fn syn_in_syn_sent(&mut self, segment: &Segment<'_>, packet: &mut Packet<'_>) {
        if segment.to_server {
            let now = Queued::syn(segment);
            let before = Queued {
                window: self.halves[1].window,
                window_scale: self.scaling_offered.then_some(self.halves[1].window_scale),
                timestamp: self.halves[0]
                    .timestamp_offered
                    .then_some(self.halves[0].last_timestamp),
                sack: self.sack_offered,
                at_s: self.halves[0].last_packet_s,
                ..Queued::default()
            };
            if now != before && !self.queue.iter().any(|syn| syn.timestamp == before.timestamp) {
                if self.queue.len() >= MAX_SYN_QUEUED {
                    packet.raise("stream.3whs_syn_flood");
                } else {
                    self.queue.insert(0, before);
                }
            }
            self.apply_syn(&now);
            return;
        }
        self.four_way = true;
        let server = &mut self.halves[1];
        server.begin(segment.seq);
        server.next_seq = segment.seq.wrapping_add(1);
        if let Some((value, _)) = segment.timestamps {
            server.last_timestamp = value;
            server.timestamp_zero |= value == 0;
            server.last_packet_s = segment.now_s;
            server.timestamp_offered = true;
        }
        server.window = segment.window;
        self.scaling_offered = segment.window_scale.is_some();
        server.window_scale = segment.window_scale.unwrap_or(0);
        self.sack_offered = segment.sack_permitted;
    }

    fn apply_syn(&mut self, syn: &Queued) {
        let [client, server] = &mut self.halves;
        if let Some(value) = syn.timestamp {
            client.last_packet_s = syn.at_s;
            client.last_timestamp = value;
            client.timestamp_offered = true;
        }
        if let Some(scale) = syn.window_scale {
            self.scaling_offered = true;
            server.window_scale = scale;
        } else {
            server.window_scale = 0;
        }
        server.window = syn.window;
        self.sack_offered = syn.sack;
    }

    /// The server's side is not seen: the client's ACK completes the handshake.
    fn one_sided_ack(&mut self, segment: &Segment<'_>, packet: &mut Packet<'_>) -> Step {
        if segment.seq != self.halves[0].next_seq {
            packet.raise("stream.3whs_async_wrong_seq");
            return Step::Refuse;
        }
        self.one_sided = true;
        self.enter(State::Established);
        self.queue.clear();
        let [client, server] = &mut self.halves;
        client.window = segment.window;
        client.last_ack = segment.seq;
        client.room_from_last_ack();
        server.begin(segment.ack.wrapping_sub(1));
        server.next_seq = segment.ack;
        server.last_ack = segment.ack;
        server.next_win = segment.ack;
        if self.scaling_offered {
            client.window_scale = UNKNOWN_SCALE;
        }
        if segment.timestamps.is_some() && client.timestamp_offered {
            self.timestamps = true;
            client.timestamp_offered = false;
            client.last_packet_s = segment.now_s;
        } else {
            client.last_timestamp = 0;
            client.timestamp_zero = false;
        }
        self.sack_agreed |= self.sack_offered;
        Step::Take
    }

    pub(super) fn in_syn_recv(
        &mut self,
        segment: &Segment<'_>,
        packet: &mut Packet<'_>,
        limits: &Limits,
    ) -> Step {
        let hosts = &limits.hosts;
        if segment.has(TCP_RST) {
            if !self.reset_is_valid(segment, packet, hosts) {
                return Step::Refuse;
            }
            use super::policy::Policy::{Linux, OldLinux, Solaris};
            let keeps = matches!(
                self.halves[segment.receiver].policy,
                Some(Linux | OldLinux | Solaris)
            );
            if !(self.evasion && keeps) {
                self.close_by_reset();
                self.take_timestamp(segment, packet, hosts);
            }
            return Step::Pass;
        }
        if segment.has(TCP_FIN) {
            if self.timestamps && !self.timestamp_is_valid(segment, packet, hosts) {
                return Step::Refuse;
            }
            return self.take_fin(segment, packet, hosts);
        }
        if segment.flags & (TCP_SYN | TCP_ACK) == TCP_SYN | TCP_ACK {
            let wrong = if segment.to_server {
                Some("stream.3whs_synack_toserver_on_syn_recv")
            } else if segment.ack != self.halves[0].last_ack {
                Some("stream.3whs_synack_resend_with_diff_ack")
            } else if segment.seq != self.halves[1].isn && !self.queue_syn_ack(segment, limits) {
                Some("stream.3whs_synack_flood")
            } else {
                None
            };
            return refuse(packet, wrong);
        }
        if segment.has(TCP_SYN) {
            let wrong = if !segment.to_server {
                Some("stream.3whs_syn_toclient_on_syn_recv")
            } else if segment.seq != self.halves[0].isn {
                Some("stream.3whs_syn_resend_diff_seq_on_syn_recv")
            } else {
                None
            };
            return refuse(packet, wrong);
        }
        if segment.has(TCP_ACK) {
            return self.ack_in_syn_recv(segment, packet, limits);
        }
        Step::Pass
    }

    fn queue_syn_ack(&mut self, segment: &Segment<'_>, limits: &Limits) -> bool {
        let new = Queued::syn_ack(segment);
        if self.queue.iter().any(|old| {
            Queued {
                at_s: new.at_s,
                ..*old
            } == new
        }) {
            return true;
        }
        if self.queue.len() >= limits.options.max_synack_queued as usize {
            return false;
        }
        self.queue.insert(0, new);
        true
    }

    fn ack_in_syn_recv(&mut self, segment: &Segment<'_>, packet: &mut Packet<'_>, limits: &Limits) -> Step {
        let hosts = &limits.hosts;
        let meant = self
            .queue
            .iter()
            .find(|old| segment.ack == old.seq.wrapping_add(1) && segment.seq == old.ack);
        if let Some(syn_ack) = meant.copied() {
            self.take_syn_ack(&syn_ack);
        }
        if self.timestamps && !self.timestamp_is_valid(segment, packet, hosts) {
            return Step::Refuse;
        }
        if self.four_way && !segment.to_server {
            if segment.seq != self.halves[1].next_seq {
                packet.raise("stream.4whs_wrong_seq");
                return Step::Refuse;
            }
            if !self.ack_is_valid(segment, packet) {
                packet.raise("stream.4whs_invalid_ack");
                return Step::Refuse;
            }
            self.take_timestamp(segment, packet, hosts);
            self.take_ack(0, segment.ack);
            let next = self.halves[1].next_seq.wrapping_add(segment.len);
            self.take_next_seq(1, next);
            self.take_window(segment, 0);
            self.halves[0].room_from_last_ack();
            self.enter(State::Established);
            return Step::Take;
        }
        // The client's ACK was not seen, but the server's answer to it is.
        let missed = !segment.to_server && !self.midstream_synack && !self.fast_open;
        let (client_next, server_next) = (self.halves[0].next_seq, self.halves[1].next_seq);
        if segment.seq == client_next && segment.ack == server_next {
            self.take_timestamp(segment, packet, hosts);
            self.take_ack(1, segment.ack);
            self.take_next_seq(0, client_next.wrapping_add(segment.len));
            self.take_window(segment, 1);
            self.halves[1].room_from_last_ack();
            if self.midstream {
                self.take_window(segment, 0);
                self.halves[0].room_from_last_ack();
                self.halves[1].room_from_last_ack();
                self.scale_unknown_if_not_seen();
            }
            self.enter(State::Established);
            packet.established |= segment.len > 0;
        } else if limits.options.async_oneside && segment.seq == server_next {
            self.one_sided = true;
            let [client, server] = &mut self.halves;
            server.next_seq = server.next_seq.wrapping_add(segment.len);
            server.last_ack = segment.seq;
            client.window = segment.window_scaled(client.window_scale);
            client.last_ack = segment.ack;
            self.take_timestamp(segment, packet, hosts);
            if self.midstream {
                self.halves[1].window = segment.window;
                self.halves[1].room_from_last_ack();
                self.scale_unknown();
            }
            self.enter(State::Established);
            return Step::Take;
        } else if segment.seq == client_next {
            self.evasion = true;
            packet.raise("stream.3whs_right_seq_wrong_ack_evasion");
            return Step::Refuse;
        } else if !segment.to_server
            && gt(segment.seq, client_next)
            && gt(segment.ack, self.halves[0].last_ack)
        {
            self.take_timestamp(segment, packet, hosts);
            self.take_ack(0, segment.ack);
            self.halves[1].next_seq = segment.end();
            self.take_window(segment, 0);
            self.halves[0].room_from_last_ack();
            self.halves[0].window = segment.window;
            self.halves[1].room_from_last_ack();
            self.enter(State::Established);
        } else if gt(segment.seq, client_next)
            && leq(segment.seq, self.halves[0].next_win)
            && segment.ack == server_next
        {
            self.take_timestamp(segment, packet, hosts);
            self.halves[0].next_seq = segment.end();
            self.take_ack(1, segment.ack);
            self.take_window(segment, 1);
            self.halves[1].room_from_last_ack();
            if self.midstream {
                self.halves[0].window = segment.window;
                self.halves[1].room_from_last_ack();
                self.scale_unknown();
            }
            self.enter(State::Established);
        } else if (missed || self.fast_open)
            && segment.ack == self.halves[0].last_ack
            && segment.seq == server_next
        {
            self.take_next_seq(1, segment.end());
            self.take_window(segment, 1);
            self.halves[1].room_from_last_ack();
            self.enter(State::Established);
        } else {
            packet.raise("stream.3whs_wrong_seq_wrong_ack");
            return Step::Refuse;
        }
        Step::Take
    }

    fn scale_unknown_if_not_seen(&mut self) {
        if !self.midstream_synack {
            self.scale_unknown();
        }
    }

    fn scale_unknown(&mut self) {
        self.halves
            .iter_mut()
            .for_each(|half| half.window_scale = UNKNOWN_SCALE);
        self.sack_agreed = true;
    }
}

fn refuse(packet: &mut Packet<'_>, event: Option<&'static str>) -> Step {
    match event {
        Some(event) => {
            packet.raise(event);
            Step::Refuse
        }
        None => Step::Pass,
    }
}
