//! Which protocols an engine looks for, where: built once from the configuration, shared by its flows.

use std::collections::HashMap;

use super::http1::options::size;
use super::{Carrier, Pattern, ProbeFn, Protocol, PROTOCOLS};
use crate::config::{AppProtocol, Config, Enabled};
use crate::packet::Direction;

/// Index of a protocol in [`PROTOCOLS`].
type Slot = u8;

/// A probe as registered on a port.
#[derive(Clone, Copy, Debug)]
pub(super) struct Probe {
    pub slot: Slot,
    pub min: usize,
    pub max: usize,
    /// By direction of the octets shown.
    pub look: [Option<ProbeFn>; 2],
}

/// Probes of a port: asked when it is the server's, when it is the client's.
#[derive(Debug, Default)]
pub(super) struct Port {
    pub server: Vec<Probe>,
    pub client: Vec<Probe>,
}

impl Port {
    /// Bits of the protocols registered on this port.
    pub fn mask(&self) -> u64 {
        self.server
            .iter()
            .chain(&self.client)
            .fold(0, |mask, probe| mask | 1 << (probe.slot % 64))
    }
}

/// Patterns of one carrier and direction.
#[derive(Debug, Default)]
pub(super) struct Patterns {
    /// Patterns anchored at offset 0, by their first octet in lower case.
    anchored: HashMap<u8, Vec<(Slot, &'static Pattern)>>,
    /// The others.
    floating: Vec<(Slot, &'static Pattern)>,
    /// No pattern ends later.
    pub max_depth: usize,
    /// No confirmation is undecided after that many octets.
    pub confirm_max: usize,
}

impl Patterns {
    fn add(&mut self, slot: Slot, pattern: &'static Pattern) {
        self.max_depth = self.max_depth.max(usize::from(pattern.depth));
        if let Some((_, _, max)) = pattern.confirm {
            self.confirm_max = self.confirm_max.max(max);
        }
        match pattern.octets.first() {
            Some(first) if pattern.offset == 0 && usize::from(pattern.depth) == pattern.octets.len() => {
                self.anchored
                    .entry(first.to_ascii_lowercase())
                    .or_default()
                    .push((slot, pattern));
            }
            _ => self.floating.push((slot, pattern)),
        }
    }

    /// Those that could match octets beginning with `first`.
    pub fn candidates(&self, first: u8) -> impl Iterator<Item = (Slot, &'static Pattern)> + '_ {
        self.anchored
            .get(&first.to_ascii_lowercase())
            .into_iter()
            .flatten()
            .chain(&self.floating)
            .copied()
    }
}

/// What is looked for, where. Immutable; one per engine or shared.
#[derive(Debug)]
pub struct AppTable {
    patterns: [[Patterns; 2]; 2],
    ports: [HashMap<u16, Port>; 2],
    options: Vec<AppProtocol>,
    /// Sessions are picked up midstream: look at both directions' patterns and probes.
    pub(super) midstream: bool,
    /// Octets of a direction that are reassembled.
    pub(super) depth: u64,
}

fn carrier_name(carrier: Carrier) -> &'static str {
    match carrier {
        Carrier::Tcp => "tcp",
        Carrier::Udp => "udp",
    }
}

/// Detection ports a configuration gives in `options` under `key`: `"53, 5300:5310"`.
fn listed_ports(config: &AppProtocol, key: &str) -> Option<Vec<u16>> {
    let text = config.options.get(key)?;
    let mut ports = Vec::new();
    for part in text.trim_matches(['[', ']']).split(',') {
        let (low, high) = match part.split_once(':') {
            Some((low, high)) => (low.trim().parse(), high.trim().parse()),
            None => (part.trim().parse(), part.trim().parse()),
        };
        if let (Ok(low), Ok(high)) = (low, high) {
            ports.extend::<std::ops::RangeInclusive<u16>>(low..=high);
        }
    }
    Some(ports)
}

impl AppTable {
    /// What `config` asks for.
    pub fn new(config: &Config) -> AppTable {
        let mut table = AppTable {
            patterns: Default::default(),
            ports: Default::default(),
            options: Vec::with_capacity(PROTOCOLS.len()),
            midstream: config.stream.midstream,
            depth: config.stream.depth,
        };
        for (slot, protocol) in (0..).zip(PROTOCOLS) {
            let options = config.app_layer.get(protocol.name).cloned().unwrap_or_default();
            for carrier in [Carrier::Tcp, Carrier::Udp] {
                if enabled(&options, carrier) != Enabled::No {
                    table.register(slot, protocol, carrier, &options);
                }
            }
            table.options.push(options);
        }
        table
    }

    fn register(&mut self, slot: Slot, protocol: &'static Protocol, carrier: Carrier, options: &AppProtocol) {
        for pattern in protocol
            .patterns
            .iter()
            .filter(|pattern| pattern.carrier == carrier)
        {
            self.patterns[carrier as usize][pattern.direction.index()].add(slot, pattern);
        }
        let carried = format!("{}.detection-ports.dp", carrier_name(carrier));
        let own = listed_ports(options, &carried).or_else(|| listed_ports(options, "detection-ports.dp"));
        for probing in protocol
            .probing
            .iter()
            .filter(|probing| probing.carrier == carrier)
        {
            let probe = Probe {
                slot,
                min: probing.min,
                max: probing.max,
                look: [probing.to_server, probing.to_client],
            };
            let ports = match &own {
                Some(ports) => ports.as_slice(),
                None if !options.ports.is_empty() => options.ports.as_slice(),
                None => probing.ports,
            };
            let table = &mut self.ports[carrier as usize];
            for &port in ports {
                table.entry(port).or_default().server.push(probe);
            }
            for &port in probing.client_ports {
                table.entry(port).or_default().client.push(probe);
            }
        }
    }

    pub(super) fn patterns(&self, carrier: Carrier, direction: Direction) -> &Patterns {
        &self.patterns[carrier as usize][direction.index()]
    }

    /// Probes of a port; those registered for any port (0) where it has none of its own.
    pub(super) fn port(&self, carrier: Carrier, port: u16) -> Option<&Port> {
        let table = &self.ports[carrier as usize];
        table.get(&port).or_else(|| table.get(&0))
    }

    /// A probe of the protocol in `slot`, on whatever port it is registered.
    pub(super) fn probe_of(&self, carrier: Carrier, protocol: &Protocol) -> Option<Probe> {
        let slot = slot_of(protocol)?;
        let probing = protocol
            .probing
            .iter()
            .find(|probing| probing.carrier == carrier)?;
        Some(Probe {
            slot,
            min: probing.min,
            max: probing.max,
            look: [probing.to_server, probing.to_client],
        })
    }

    /// Octets of a TCP direction that are reassembled for this protocol, where it has its own limit; 0 is all.
    pub fn stream_depth(&self, protocol: &Protocol) -> Option<u64> {
        let default = protocol.stream_depth?;
        let options = &self.options.get(usize::from(slot_of(protocol)?))?.options;
        let configured = options.get("stream-depth").and_then(|text| size(text));
        Some(configured.unwrap_or(default))
    }

    /// The configuration of a protocol, if it is to be parsed over `carrier`.
    pub fn options(&self, protocol: &Protocol, carrier: Carrier) -> Option<&AppProtocol> {
        let options = self.options.get(usize::from(slot_of(protocol)?))?;
        (enabled(options, carrier) == Enabled::Yes).then_some(options)
    }
}

fn enabled(options: &AppProtocol, carrier: Carrier) -> Enabled {
    match options
        .options
        .get(&format!("{}.enabled", carrier_name(carrier)))
        .map(String::as_str)
    {
        Some("yes" | "true") => Enabled::Yes,
        Some("no" | "false") => Enabled::No,
        Some("detection-only") => Enabled::DetectionOnly,
        _ => options.enabled,
    }
}

fn slot_of(protocol: &Protocol) -> Option<Slot> {
    PROTOCOLS
        .iter()
        .position(|known| std::ptr::eq(*known, protocol))
        .and_then(|at| Slot::try_from(at).ok())
}

/// The protocol in a slot.
pub(super) fn protocol_at(slot: Slot) -> Option<&'static Protocol> {
    PROTOCOLS.get(usize::from(slot)).copied()
}
