//! What was counted, by the names Suricata's statistics have.

use std::collections::BTreeMap;

macro_rules! counters {
    ($($field:ident $name:literal),* $(,)?) => {
        /// One number each; all but `events` cost one addition.
        #[derive(Clone, Debug, Default)]
        pub struct Counters {
            $(#[doc = concat!("`", $name, "`")] pub $field: u64,)*
            /// Packet events by name (`decoder.event.NAME`, `stream.NAME`).
            pub events: BTreeMap<&'static str, u64>,
            /// Flows by application protocol, and transactions: `app_layer.flow.http`.
            pub app: BTreeMap<(&'static str, &'static str, &'static str), u64>,
        }

        impl Counters {
            /// Names and numbers, in a fixed order.
            pub fn list(&self) -> Vec<(String, u64)> {
                let mut list = vec![$(($name.to_string(), self.$field),)*];
                list.extend(self.events.iter().map(|(&name, &count)| {
                    let name = if name.starts_with("stream.") { name.into() } else { format!("decoder.event.{name}") };
                    (name, count)
                }));
                list.extend(self.app.iter().map(|(&(kind, name, suffix), &count)| {
                    (format!("app_layer.{kind}.{name}{suffix}"), count)
                }));
                list
            }
        }
    };
}

counters! {
    pkts "decoder.pkts",
    bytes "decoder.bytes",
    invalid "decoder.invalid",
    ipv4 "decoder.ipv4",
    ipv6 "decoder.ipv6",
    ethernet "decoder.ethernet",
    arp "decoder.arp",
    unknown_ethertype "decoder.unknown_ethertype",
    unknown_linktype "decoder.unknown_linktype",
    chdlc "decoder.chdlc",
    raw "decoder.raw",
    null "decoder.null",
    sll "decoder.sll",
    sll2 "decoder.sll2",
    tcp "decoder.tcp",
    tcp_syn "tcp.syn",
    tcp_synack "tcp.synack",
    tcp_rst "tcp.rst",
    tcp_urg "tcp.urg",
    udp "decoder.udp",
    sctp "decoder.sctp",
    esp "decoder.esp",
    icmpv4 "decoder.icmpv4",
    icmpv6 "decoder.icmpv6",
    ppp "decoder.ppp",
    pppoe "decoder.pppoe",
    geneve "decoder.geneve",
    gre "decoder.gre",
    vlan "decoder.vlan",
    vlan_qinq "decoder.vlan_qinq",
    vlan_qinqinq "decoder.vlan_qinqinq",
    vxlan "decoder.vxlan",
    vntag "decoder.vntag",
    ieee8021ah "decoder.ieee8021ah",
    teredo "decoder.teredo",
    ipv4_in_ipv6 "decoder.ipv4_in_ipv6",
    ipv6_in_ipv6 "decoder.ipv6_in_ipv6",
    mpls "decoder.mpls",
    erspan "decoder.erspan",
    nsh "decoder.nsh",
    max_pkt_size "decoder.max_pkt_size",
    truncated "decoder.truncated",
    defrag_ipv4_fragments "defrag.ipv4.fragments",
    defrag_ipv4_reassembled "defrag.ipv4.reassembled",
    defrag_ipv6_fragments "defrag.ipv6.fragments",
    defrag_ipv6_reassembled "defrag.ipv6.reassembled",
    defrag_timeouts "defrag.tracker_timeout",
    defrag_max_frag_hits "defrag.max_frag_hits",
    defrag_memcap "defrag.memcap",
    flow_total "flow.total",
    flow_active "flow.active",
    flow_tcp "flow.tcp",
    flow_udp "flow.udp",
    flow_icmpv4 "flow.icmpv4",
    flow_icmpv6 "flow.icmpv6",
    flow_tcp_reuse "flow.tcp_reuse",
    flow_get_used "flow.get_used",
    flow_end_new "flow.end.state.new",
    flow_end_established "flow.end.state.established",
    flow_end_closed "flow.end.state.closed",
    flow_timeout "flow.end.timeout",
    tcp_sessions "tcp.sessions",
    tcp_active_sessions "tcp.active_sessions",
    tcp_pseudo "tcp.pseudo",
    tcp_invalid_checksum "tcp.invalid_checksum",
    tcp_midstream_pickups "tcp.midstream_pickups",
    tcp_pkt_on_wrong_thread "tcp.pkt_on_wrong_thread",
    tcp_segment_memcap_drop "tcp.segment_memcap_drop",
    tcp_ssn_memcap_drop "tcp.ssn_memcap_drop",
    tcp_stream_depth_reached "tcp.stream_depth_reached",
    tcp_reassembly_gap "tcp.reassembly_gap",
    tcp_overlap "tcp.overlap",
    tcp_overlap_diff_data "tcp.overlap_diff_data",
    tcp_insert_data_normal_fail "tcp.insert_data_normal_fail",
    tcp_insert_data_overlap_fail "tcp.insert_data_overlap_fail",
    tcp_memuse "tcp.memuse",
    tcp_ack_unseen_data "tcp.ack_unseen_data",
    tcp_urgent_oob "tcp.urgent_oob_data",
}

impl Counters {
    /// Count a flow that begins.
    pub fn flow_begins(&mut self, proto: u8) {
        self.flow_total += 1;
        self.flow_active += 1;
        match proto {
            6 => self.flow_tcp += 1,
            17 => self.flow_udp += 1,
            1 => self.flow_icmpv4 += 1,
            58 => self.flow_icmpv6 += 1,
            _ => {}
        }
    }

    /// Count the events of a packet.
    pub fn packet_events(&mut self, events: &[&'static str]) {
        for &event in events {
            *self.events.entry(event).or_default() += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique() {
        let mut counters = Counters::default();
        counters.packet_events(&["ipv4.trunc_pkt", "stream.pkt_invalid_ack", "ipv4.trunc_pkt"]);
        let list = counters.list();
        let names: std::collections::BTreeSet<_> = list.iter().map(|(name, _)| name).collect();
        assert_eq!(names.len(), list.len());
        assert!(list.contains(&("decoder.event.ipv4.trunc_pkt".into(), 2)));
        assert!(list.contains(&("stream.pkt_invalid_ack".into(), 1)));
    }
}
