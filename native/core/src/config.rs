//! What an engine is told. JSON text from the outside; unknown keys are errors.
//!
//! Defaults are Suricata 7's, so that the same rules behave the same.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::time::Timestamp;

/// Everything an engine and its rule set can be told.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Address variables (`HOME_NET`: `"[10.0.0.0/8]"`), without the dollar sign.
    pub address_vars: BTreeMap<String, String>,
    /// Port variables (`HTTP_PORTS`: `"80"`).
    pub port_vars: BTreeMap<String, String>,
    /// Packets with a wrong checksum are ignored above decoding (Suricata's `-k all`); false is `-k none`.
    pub checksum_validation: bool,
    /// TCP.
    pub stream: Stream,
    /// Flow table.
    pub flow: FlowLimits,
    /// IP fragments.
    pub defrag: Defrag,
    /// Tunnels and link layers.
    pub decoder: Decoder,
    /// Application protocols by name: `"http"`, `"dns"`.
    pub app_layer: BTreeMap<String, AppProtocol>,
    /// Target operating systems by network, for overlapping fragments and segments: `"windows": ["0.0.0.0/0"]`.
    pub host_os_policy: BTreeMap<String, Vec<String>>,
    /// Detection.
    pub detect: Detect,
    /// Which records are written.
    pub output: Output,
    /// Which packets are kept for alerts.
    pub evidence: Evidence,
}

/// TCP reassembly, as `stream.*` of suricata.yaml. Sizes in octets.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Stream {
    /// Pick up sessions whose handshake was not seen.
    pub midstream: bool,
    /// Accept sessions of which only one side is seen.
    pub async_oneside: bool,
    /// Octets of each direction that are reassembled; 0 is no limit.
    pub depth: u64,
    /// Raw stream inspection to the server happens in chunks of this size.
    pub toserver_chunk_size: u32,
    /// The same, to the client.
    pub toclient_chunk_size: u32,
    /// All buffered segments together.
    pub memcap: u64,
    /// Stateful inspection happens on packets as they come, not when acknowledged.
    pub inline: bool,
    /// What a suspicious segment overlap does: see `stream.reassembly.check-overlap-different-data`.
    pub check_overlap_different_data: bool,
    /// Raw (not app-layer) reassembly is on.
    pub raw: bool,
    /// Bypass flows once the depth is reached or they are encrypted.
    pub bypass: bool,
    /// SYN+ACK queue length.
    pub max_synack_queued: u32,
}

impl Default for Stream {
    fn default() -> Stream {
        Stream {
            midstream: false,
            async_oneside: false,
            depth: 1 << 20,
            toserver_chunk_size: 2560,
            toclient_chunk_size: 2560,
            memcap: 256 << 20,
            inline: false,
            check_overlap_different_data: false,
            raw: true,
            bypass: false,
            max_synack_queued: 5,
        }
    }
}

/// Limits of the flow table. Timeouts in seconds by (tcp, udp, icmp, default).
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FlowLimits {
    /// Flows kept at once; over it the longest idle ones are ended early and counted.
    pub max_flows: usize,
    /// Timeout of flows not (yet) answered: tcp, udp, icmp, other.
    pub new_s: [u32; 4],
    /// Timeout of answered flows.
    pub established_s: [u32; 4],
    /// Timeout of closed TCP sessions.
    pub closed_s: u32,
    /// VLAN identifiers tell flows apart.
    pub vlan_tracking: bool,
    /// Keys the table's hash; give a random one where the traffic may be hostile.
    pub hash_seed: u64,
}

impl Default for FlowLimits {
    fn default() -> FlowLimits {
        FlowLimits {
            max_flows: 262_144,
            new_s: [60, 30, 30, 30],
            established_s: [600, 300, 300, 300],
            closed_s: 60,
            vlan_tracking: true,
            hash_seed: 0x5bd1_e995_9bd1_e995,
        }
    }
}

/// IP fragment reassembly.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Defrag {
    /// Datagrams in reassembly at once.
    pub max_trackers: usize,
    /// Octets held at once.
    pub memcap: u64,
    /// Seconds a datagram may take.
    pub timeout_s: u32,
}

impl Default for Defrag {
    fn default() -> Defrag {
        Defrag {
            max_trackers: 65_535,
            memcap: 32 << 20,
            timeout_s: 60,
        }
    }
}

/// Tunnels found by port, and how deep to look.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Decoder {
    /// UDP ports tried as Teredo; empty is off. Teredo on any port when it holds port 0.
    pub teredo_ports: Vec<u16>,
    /// UDP ports of VXLAN.
    pub vxlan_ports: Vec<u16>,
    /// UDP ports of Geneve.
    pub geneve_ports: Vec<u16>,
    /// Tunnels inside tunnels.
    pub max_recursion: u8,
}

impl Default for Decoder {
    fn default() -> Decoder {
        Decoder {
            teredo_ports: vec![3544],
            vxlan_ports: vec![4789],
            geneve_ports: vec![6081],
            max_recursion: 16,
        }
    }
}

/// One application protocol.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AppProtocol {
    /// Parse it, or only detect it, or neither.
    pub enabled: Enabled,
    /// Ports on which it is probed for (`detection-ports.dp`); empty is the protocol's own list. Ranges are expanded.
    pub ports: Vec<u16>,
    /// Anything else the protocol knows, by its name in suricata.yaml, dotted: `"libhtp.default-config.request-body-limit"`.
    pub options: BTreeMap<String, String>,
}

impl Default for AppProtocol {
    fn default() -> AppProtocol {
        AppProtocol {
            enabled: Enabled::Yes,
            ports: Vec::new(),
            options: BTreeMap::new(),
        }
    }
}

/// Whether a protocol is parsed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Enabled {
    /// Detect and parse.
    #[default]
    Yes,
    /// Neither.
    No,
    /// Detect but do not parse.
    DetectionOnly,
}

/// Detection engine.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Detect {
    /// Alerts of one packet that are kept; the rest is counted.
    pub packet_alert_max: u16,
    /// Recursion limit of content inspection.
    pub inspection_recursion_limit: u32,
    /// PCRE limits.
    pub pcre_match_limit: u32,
    /// PCRE depth limit.
    pub pcre_match_limit_recursion: u32,
    /// `classification.config`.
    pub classification_file: String,
    /// `reference.config`.
    pub reference_file: String,
    /// `threshold.config`.
    pub threshold_file: String,
    /// IP reputation categories file.
    pub reputation_categories_file: String,
    /// IP reputation files.
    pub reputation_files: Vec<String>,
    /// Directory that reputation files are relative to.
    pub reputation_path: String,
    /// GeoIP database (MaxMind).
    pub geoip_database: String,
    /// Datasets of the configuration: name to {type, load, state, ...} as in suricata.yaml.
    pub datasets: BTreeMap<String, BTreeMap<String, String>>,
    /// `ignore-unknown-requirements`.
    pub ignore_unknown_requirements: bool,
    /// Rules may load and save data files given by absolute path.
    pub allow_absolute_filenames: bool,
}

impl Default for Detect {
    fn default() -> Detect {
        Detect {
            packet_alert_max: 15,
            inspection_recursion_limit: 3000,
            pcre_match_limit: 3500,
            pcre_match_limit_recursion: 1500,
            classification_file: String::new(),
            reference_file: String::new(),
            threshold_file: String::new(),
            reputation_categories_file: String::new(),
            reputation_files: Vec::new(),
            reputation_path: String::new(),
            geoip_database: String::new(),
            datasets: BTreeMap::new(),
            ignore_unknown_requirements: false,
            allow_absolute_filenames: false,
        }
    }
}

/// Which EVE records are written, and how full.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Output {
    /// Event types not written: `["flow", "stats"]`.
    pub disabled: Vec<String>,
    /// Payload and packet of an alert (base64).
    pub alert_payload: bool,
    /// Printable payload of an alert.
    pub alert_payload_printable: bool,
    /// The rule's text in an alert.
    pub alert_rule: bool,
    /// Seconds between `stats` records; 0 is none but one at the end.
    pub stats_interval_s: u32,
    /// Hashes computed for each file, besides those rules ask for: md5, sha1, sha256.
    pub file_hashes: Vec<String>,
    /// Name of the sensor in `host`; empty leaves it out.
    pub sensor: String,
    /// `in_iface` of live records; empty leaves it out.
    pub in_iface: String,
    /// `community_id` in records of flows.
    pub community_id: bool,
    /// Seed of the Community ID.
    pub community_id_seed: u16,
    /// `pcap_cnt` (the packet's number in its capture) in records.
    pub packet_number: bool,
    /// Kinds of `anomaly` records: decode, stream, applayer.
    pub anomaly: Vec<String>,
}

/// The packets around alerts. Sizes in octets.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Evidence {
    /// Latest packets remembered, all flows together; 0 keeps none for any alert.
    pub ring: u64,
    /// Kept of the alert's flow up to the alert.
    pub before: u32,
    /// Kept of it after the alert.
    pub after: u32,
    /// Seconds after the alert in which they come.
    pub after_s: u32,
}

impl Default for Evidence {
    fn default() -> Evidence {
        Evidence {
            ring: 0,
            before: 65_536,
            after: 65_536,
            after_s: 10,
        }
    }
}

impl Evidence {
    /// When what began now is over.
    pub fn end_after(&self, now: Timestamp) -> Timestamp {
        Timestamp(now.0.saturating_add(i64::from(self.after_s) * 1_000_000_000))
    }
}

impl Default for Output {
    fn default() -> Output {
        Output {
            disabled: Vec::new(),
            alert_payload: true,
            alert_payload_printable: true,
            alert_rule: false,
            stats_interval_s: 0,
            file_hashes: vec!["md5".into(), "sha1".into(), "sha256".into()],
            sensor: String::new(),
            in_iface: String::new(),
            community_id: true,
            community_id_seed: 0,
            packet_number: true,
            anomaly: vec!["applayer".into()],
        }
    }
}
