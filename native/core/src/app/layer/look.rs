//! What the octets of one direction look like: patterns first, then probes by port, then what another flow announced.

use super::{AppLayer, FlowFacts, Found};
use crate::app::table::{protocol_at, AppTable, Port};
use crate::app::{Carrier, Probe, Protocol};
use crate::packet::Direction;

/// How far detection of a direction got.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Look {
    pub(super) patterns_done: bool,
    pub(super) probes_done: bool,
    pub(super) announced_done: bool,
    /// Protocols whose probes said no.
    pub(super) refused: u64,
    /// Octets were used or lost: what comes is not the start.
    pub(super) started: bool,
}

impl Look {
    pub(super) fn done(self) -> bool {
        self.patterns_done && self.probes_done
    }
}

impl AppLayer {
    /// What `data` is, and whether it shows the flow the wrong way round.
    pub(super) fn look_at(
        &mut self,
        table: &AppTable,
        flow: &FlowFacts,
        carrier: Carrier,
        direction: Direction,
        data: &[u8],
    ) -> (Found, bool) {
        let at = direction.index();
        let mut by_pattern = None;
        if !self.look[at].patterns_done {
            if let Some((protocol, reversed)) = self.by_patterns(table, carrier, direction, data) {
                let other = 1 - at;
                if self.look[other].probes_done && self.by_direction[other].is_unknown() {
                    self.look[other].probes_done = false;
                    self.look[other].refused = 0;
                }
                // DCERPC's two octets over UDP are weak: a probe may know better.
                if !(carrier == Carrier::Udp && protocol.name == "dcerpc") {
                    return (Found::Is(protocol), reversed);
                }
                by_pattern = Some((protocol, reversed));
            }
        }
        if !self.look[at].probes_done {
            if let Some((protocol, reversed)) = self.by_probes(table, flow, carrier, direction, data) {
                return (Found::Is(protocol), reversed);
            }
        }
        if let Some((protocol, reversed)) = by_pattern {
            return (Found::Is(protocol), reversed);
        }
        if !self.look[at].announced_done {
            self.look[at].announced_done = true;
            if let Some(announced) = &self.announced {
                if announced.direction == direction {
                    self.announced_by = Some(announced.parent);
                    self.by_direction = [Found::Is(announced.protocol); 2];
                    return (Found::Is(announced.protocol), false);
                }
            }
        }
        (Found::Unknown, false)
    }

    pub(super) fn by_patterns(
        &mut self,
        table: &AppTable,
        carrier: Carrier,
        direction: Direction,
        data: &[u8],
    ) -> Option<(&'static Protocol, bool)> {
        let at = direction.index();
        let hit = match_patterns(table, carrier, direction, direction, data, self.midstream);
        let verdict = match hit {
            Hit::Is(protocol, reversed) => {
                self.look[at].patterns_done = true;
                return Some((protocol, reversed));
            }
            Hit::Never => true,
            Hit::NotYet => false,
        };
        if !table.midstream {
            self.look[at].patterns_done = verdict;
            return None;
        }
        match match_patterns(
            table,
            carrier,
            direction,
            direction.opposite(),
            data,
            self.midstream,
        ) {
            Hit::Is(protocol, reversed) => {
                self.look[at].patterns_done = true;
                Some((protocol, reversed))
            }
            Hit::Never => {
                self.look[at].patterns_done = verdict;
                None
            }
            Hit::NotYet => None,
        }
    }

    pub(super) fn by_probes(
        &mut self,
        table: &AppTable,
        flow: &FlowFacts,
        carrier: Carrier,
        direction: Direction,
        data: &[u8],
    ) -> Option<(&'static Protocol, bool)> {
        let at = direction.index();
        let server = if self.port != 0 { self.port } else { flow.ports[1] };
        let mut ports = [server, flow.ports[0]];
        let mut asked = false;
        let passes = if table.midstream { 2 } else { 1 };
        for pass in 0..passes {
            let side = if pass == 0 {
                direction
            } else {
                direction.opposite()
            };
            if pass == 1 {
                ports.swap(0, 1);
            }
            let by_server = table.port(carrier, ports[0]);
            let by_client = table.port(carrier, ports[1]);
            let known = self.by_direction[1 - side.index()]
                .protocol()
                .and_then(|protocol| table.probe_of(carrier, protocol));
            let servers = by_server.map(|port| port.server.as_slice()).unwrap_or_default();
            let clients = by_client.map(|port| port.client.as_slice()).unwrap_or_default();
            if known.is_none() && servers.is_empty() && clients.is_empty() {
                continue;
            }
            asked = true;
            // The second pass leaves the first packet of the other direction its chance where it looks to the client.
            let remembers = if pass == 1 && side == Direction::ToClient {
                at
            } else {
                side.index()
            };
            for probe in known.iter().chain(servers).chain(clients) {
                let bit = 1u64 << (probe.slot % 64);
                if data.len() < probe.min || self.look[remembers].refused & bit != 0 {
                    continue;
                }
                let midstream = protocol_at(probe.slot).and_then(|protocol| protocol.midstream);
                let look = midstream.filter(|_| self.midstream).or(probe.look[at]);
                let answer = look.map_or(Probe::Unsure, |look| look(data, direction));
                match answer {
                    Probe::Certain | Probe::Reversed => {
                        return protocol_at(probe.slot).map(|protocol| (protocol, answer == Probe::Reversed));
                    }
                    Probe::No => self.look[remembers].refused |= bit,
                    Probe::Unsure if probe.max != 0 && data.len() > probe.max => {
                        self.look[remembers].refused |= bit;
                    }
                    Probe::Unsure => {}
                }
            }
            if pass == 0 {
                let mask = by_server.map_or(0, Port::mask) | by_client.map_or(0, Port::mask);
                if self.look[at].refused & mask == mask {
                    self.look[at].probes_done = true;
                }
            }
        }
        if !asked {
            self.look[at].probes_done = true;
        }
        None
    }
}

/// What patterns say.
enum Hit {
    Is(&'static Protocol, bool),
    NotYet,
    Never,
}

/// Try the patterns made for `side` on octets that were sent in `direction`.
fn match_patterns(
    table: &AppTable,
    carrier: Carrier,
    direction: Direction,
    side: Direction,
    data: &[u8],
    midstream: bool,
) -> Hit {
    let patterns = table.patterns(carrier, side);
    let Some(&first) = data.first() else {
        return if patterns.max_depth == 0 {
            Hit::Never
        } else {
            Hit::NotYet
        };
    };
    let mut hits = false;
    for (slot, pattern) in patterns.candidates(first) {
        let (from, to) = (usize::from(pattern.offset), usize::from(pattern.depth));
        let Some(window) = data.get(from..to) else {
            continue;
        };
        let found = if pattern.nocase {
            window
                .windows(pattern.octets.len())
                .any(|octets| octets.eq_ignore_ascii_case(pattern.octets))
        } else {
            window
                .windows(pattern.octets.len())
                .any(|octets| octets == pattern.octets)
        };
        if !found {
            continue;
        }
        hits = true;
        let Some(protocol) = protocol_at(slot) else {
            continue;
        };
        match pattern.confirm {
            None => return Hit::Is(protocol, side != direction),
            Some((_, min, _)) if data.len() < min => {}
            Some((probe, _, _)) => {
                match protocol.midstream.filter(|_| midstream).unwrap_or(probe)(data, direction) {
                    Probe::Certain => return Hit::Is(protocol, false),
                    Probe::Reversed => return Hit::Is(protocol, true),
                    Probe::Unsure | Probe::No => {}
                }
            }
        }
    }
    let enough = if hits {
        patterns.confirm_max
    } else {
        patterns.max_depth
    };
    if data.len() >= enough {
        Hit::Never
    } else {
        Hit::NotYet
    }
}
