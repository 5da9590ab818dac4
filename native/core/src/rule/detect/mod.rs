//! Rules run on a packet and what is known of its conversation.
//!
//! Addresses alone, once a flow and direction; then rules on the packet and the stream; then rules on transactions. What
//! matched is ordered, thinned (pass rules, thresholds, the limit a packet) and written.

mod buffers;
mod fits;
mod outcome;
mod packets;
mod release;

use std::sync::Arc;

pub(super) use buffers::{chain_fits, group_fits, packet_buffer};
pub(super) use fits::{flow_fits, header_fits, packet_fits};
use packets::{address_rules, packet_rules};
pub(super) use packets::{matched, scan};
use release::{done_with_stream, give_up};

use super::dataset_store::DatasetStore;
use super::inspect::Inspector as Machine;
use super::matcher::Space;
use super::memory::{Hosts, Variables};
use super::reputation::Reputation;
use super::set::RuleSet;
use super::signature::View;
use super::threshold::Thresholds;
use super::why::{self, Trace};
use super::{Inspector, Scene};
use crate::config::Config;
use crate::event::sink::Records;
use crate::packet::{Direction, Transport};

/// A rule that matched.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hit {
    pub(super) rule: u32,
    pub(super) transaction: Option<u64>,
    pub(super) stream: bool,
}

impl Hit {
    /// A rule on packets or the stream.
    fn of_packet(rule: u32, stream: bool) -> Hit {
        Hit {
            rule,
            transaction: None,
            stream,
        }
    }
}

/// What is worked with, kept so that nothing is allocated.
#[derive(Debug)]
pub(super) struct Work {
    pub(super) machine: Machine,
    pub(super) space: Space,
    pub(super) found: Vec<u32>,
    pub(super) candidates: Vec<u32>,
    /// Rules on transactions whose fast pattern is in the payload of the packet at hand.
    pub(super) carried: Vec<u32>,
    pub(super) transformed: Vec<u8>,
    pub(super) spare: Vec<u8>,
    pub(super) hosts: Hosts,
    pub(super) datasets: DatasetStore,
    pub(super) reputation: Arc<Reputation>,
    /// Variables captured on the packet at hand.
    pub(super) variables: Variables,
    pub(super) hits: Vec<Hit>,
    /// Rules whose every look is written down, when somebody asks why.
    pub(super) trace: Option<Box<Trace>>,
}

/// Runs a rule set. One for each engine.
#[derive(Debug)]
pub struct Detector {
    set: Arc<RuleSet>,
    generation: u32,
    config: Arc<Config>,
    work: Work,
    thresholds: Thresholds,
    alerts: u64,
    suppressed: u64,
    overflow: u64,
}

impl Detector {
    /// A detector that remembers nothing yet; `generation` tells its rule set from the one before.
    pub fn new(set: Arc<RuleSet>, config: Arc<Config>, generation: u32) -> Detector {
        Detector {
            work: Work {
                machine: Machine::new(config.detect.inspection_recursion_limit),
                space: Space::default(),
                found: Vec::new(),
                candidates: Vec::new(),
                carried: Vec::new(),
                transformed: Vec::new(),
                spare: Vec::new(),
                hosts: Hosts::default(),
                datasets: DatasetStore::new(&set.datasets),
                reputation: Arc::clone(&set.reputation),
                variables: Vec::new(),
                hits: Vec::new(),
                trace: None,
            },
            thresholds: Thresholds::new(Arc::clone(&set.plan)),
            alerts: 0,
            suppressed: 0,
            overflow: 0,
            generation,
            set,
            config,
        }
    }
}

impl Inspector for Detector {
    fn inspect(&mut self, scene: &mut Scene<'_, '_>, records: &mut Records) {
        let packet = scene.packet;
        let Detector {
            set, config, work, ..
        } = self;
        work.variables.clear();
        match &mut scene.flow {
            None => {
                let view = View {
                    packet,
                    flow: None,
                    tcp: None,
                    app: None,
                };
                address_rules(set, &view, None, work);
                packet_rules(set, &view, None, work, false);
            }
            Some(about) => {
                about.detect.belong_to(self.generation);
                if about.flow.inspection_off || about.detect.passed {
                    if let Some(trace) = &mut work.trace {
                        trace.passed(set, about, packet);
                    }
                    give_up(about, packet);
                    return;
                }
                let direction = packet.direction.unwrap_or(Direction::ToServer);
                let first = !std::mem::replace(&mut about.detect.addresses_done[direction.index()], true);
                let established = !matches!(packet.transport, Transport::Tcp(_)) || packet.established;
                let ready = established
                    && set.streams_wanted[direction.index()]
                    && about
                        .tcp
                        .as_deref()
                        .is_some_and(|session| session.raw_ready(direction, &config.stream));
                {
                    let view = View {
                        packet,
                        flow: Some(about.flow),
                        tcp: about.tcp.as_deref(),
                        app: Some(about.app),
                    };
                    if first {
                        address_rules(set, &view, Some(about.detect), work);
                    }
                    packet_rules(set, &view, Some(about.detect), work, ready);
                }
                super::transaction::run(set, about, packet, direction, work);
                if std::mem::take(&mut about.detect.changed) {
                    about
                        .detect
                        .show(&set.names, &work.variables, &mut about.flow.remembered);
                    // Those of the packet are gone with it.
                    about.detect.changed = !work.variables.is_empty();
                }
                if work.trace.is_some() {
                    why::flow_is_looked_at(set, about, packet, work);
                }
                if !work.hits.is_empty() {
                    self.finish(scene, records);
                }
                if let Some(about) = &mut scene.flow {
                    let unwanted =
                        packet.payload_inspected_elsewhere || !self.set.streams_wanted[direction.index()];
                    if ready || established && unwanted {
                        done_with_stream(about.tcp.as_deref_mut(), direction, ready);
                    }
                }
                return;
            }
        }
        if !self.work.hits.is_empty() {
            self.finish(scene, records);
        }
    }

    fn explain(&mut self, sids: &[u32]) {
        self.work.trace = Some(Box::new(Trace::new(&self.set, sids)));
    }

    fn explanations(&mut self, all: bool) -> Records {
        let trace = self.work.trace.as_mut();
        trace.map_or_else(Records::default, |trace| trace.take(&self.set, all))
    }

    fn counters(&self) -> Vec<(String, u64)> {
        vec![
            ("detect.alert".into(), self.alerts),
            ("detect.alert_queue_overflow".into(), self.overflow),
            ("detect.alerts_suppressed".into(), self.suppressed),
            ("detect.dataset_drops".into(), self.work.datasets.dropped),
            ("detect.hostbits_drops".into(), self.work.hosts.dropped),
            ("detect.threshold_drops".into(), self.thresholds.dropped),
        ]
    }
}
