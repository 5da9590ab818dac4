//! Flows that other flows announced (FTP's data connections): by the two hosts, for a short time, bounded.
//!
//! An announced flow may have begun before it was announced (a passive transfer is connected to first and asked for
//! then), so it is told when its first octets are looked at, not when it begins.

use std::collections::VecDeque;
use std::net::IpAddr;

use crate::app::{self, Announced, AppLayer, Expectation};
use crate::flow::Flow;

/// Announcements kept at most; the oldest goes first.
const MAX_EXPECTED: usize = 4096;
/// Announcements kept for two hosts at most (Suricata's `EXPECTATION_MAX_LEVEL`).
const MAX_FOR_HOSTS: usize = 10;
/// Seconds an announcement counts (Suricata's `EXPECTATION_TIMEOUT`).
const TIMEOUT_S: i64 = 30;

#[derive(Debug)]
struct Expected {
    hosts: (IpAddr, IpAddr),
    what: Expectation,
    parent: u64,
    until_s: i64,
}

/// Announcements that wait for their flow, oldest first.
#[derive(Debug, Default)]
pub(super) struct Announcements {
    waiting: VecDeque<Expected>,
}

fn hosts(flow: &Flow) -> (IpAddr, IpAddr) {
    (flow.src.min(flow.dst), flow.src.max(flow.dst))
}

impl Announcements {
    /// Take what a flow announced.
    pub(super) fn take(&mut self, flow: &Flow, app: &mut AppLayer) {
        for what in app.expectations.drain(..) {
            let pair = hosts(flow);
            let of_pair = |expected: &Expected| expected.hosts == pair;
            if self.waiting.iter().filter(|&expected| of_pair(expected)).count() >= MAX_FOR_HOSTS {
                let oldest = self.waiting.iter().position(of_pair);
                oldest.and_then(|at| self.waiting.remove(at));
            }
            if self.waiting.len() >= MAX_EXPECTED {
                self.waiting.pop_front();
            }
            let until_s = flow.last.seconds() + TIMEOUT_S;
            self.waiting.push_back(Expected {
                hosts: pair,
                what,
                parent: flow.id,
                until_s,
            });
        }
    }

    /// Before a flow's first octets are looked at: tell it what was announced for it, the newest if there are several.
    pub(super) fn tell(&mut self, flow: &Flow, app: &mut AppLayer) {
        if self.waiting.is_empty() || app.protocol().is_some() || app.failed() {
            return;
        }
        let now_s = flow.last.seconds();
        self.waiting.retain(|expected| expected.until_s >= now_s);
        let newest = self.waiting.iter().rev().find(|expected| expected.fits(flow));
        app.announced = newest.and_then(|expected| {
            Some(Announced {
                protocol: app::protocol(expected.what.protocol)?,
                direction: expected.what.direction,
                note: expected.what.note.clone(),
                parent: expected.parent,
            })
        });
    }

    /// After a flow's octets were looked at: what was announced for it is told to no other once it was found to be that.
    pub(super) fn settle(&mut self, flow: &mut Flow, app: &AppLayer) {
        let Some(parent) = app.announced_by else { return };
        if flow.parent != parent {
            flow.parent = parent;
            self.waiting.retain(|expected| !expected.fits(flow));
        }
    }

    /// A flow is over: nobody waits for what it announced.
    pub(super) fn forget(&mut self, flow: &Flow) {
        self.waiting.retain(|expected| expected.parent != flow.id);
    }
}

impl Expected {
    fn fits(&self, flow: &Flow) -> bool {
        self.hosts == hosts(flow) && (self.what.dport == 0 || self.what.dport == flow.dport)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::tests::flow;
    use crate::packet::Direction;

    fn announce(announcements: &mut Announcements, dport: u16, note: &[u8]) -> Flow {
        let control = flow("192.0.2.1", 40000, "192.0.2.2", 21, 6);
        let mut app = AppLayer::default();
        app.expectations.push(Expectation {
            protocol: "ftp-data",
            dport,
            direction: Direction::ToClient,
            note: note.to_vec(),
        });
        announcements.take(&control, &mut app);
        control
    }

    fn told(announcements: &mut Announcements, dport: u16) -> Option<Vec<u8>> {
        let mut app = AppLayer::default();
        let data = flow("192.0.2.1", 40002, "192.0.2.2", dport, 6);
        announcements.tell(&data, &mut app);
        app.announced.map(|announced| announced.note)
    }

    #[test]
    fn a_flow_is_told_the_newest_announcement_that_fits() {
        let mut announcements = Announcements::default();
        announce(&mut announcements, 2000, b"old");
        announce(&mut announcements, 2000, b"new");
        assert_eq!(told(&mut announcements, 2000), Some(b"new".to_vec()));
        assert_eq!(told(&mut announcements, 2001), None);
    }

    #[test]
    fn what_was_found_to_be_announced_is_told_to_no_other() {
        let mut announcements = Announcements::default();
        let control = announce(&mut announcements, 2000, b"");
        let mut data = flow("192.0.2.1", 40002, "192.0.2.2", 2000, 6);
        let mut app = AppLayer::default();
        app.announced_by = Some(control.id);
        announcements.settle(&mut data, &app);
        assert_eq!(data.parent, control.id);
        assert_eq!(told(&mut announcements, 2000), None);
    }

    #[test]
    fn two_hosts_keep_few_announcements_and_none_of_a_flow_that_is_over() {
        let mut announcements = Announcements::default();
        for port in 2000..2020 {
            announce(&mut announcements, port, b"");
        }
        assert_eq!(told(&mut announcements, 2009), None);
        assert!(told(&mut announcements, 2010).is_some());
        let control = flow("192.0.2.1", 40000, "192.0.2.2", 21, 6);
        announcements.forget(&control);
        assert_eq!(told(&mut announcements, 2019), None);
    }
}
