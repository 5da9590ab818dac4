//! Flows that other flows announced (FTP's data connections): by the two hosts, for a short time, bounded.

use std::collections::VecDeque;
use std::net::IpAddr;

use crate::app::{self, AppLayer, Expectation};
use crate::flow::Flow;

/// Announcements kept at most; the oldest goes first.
const MAX_EXPECTED: usize = 4096;
/// Seconds an announcement counts (Suricata's `EXPECTATION_TIMEOUT`).
const TIMEOUT_S: i64 = 30;

#[derive(Debug)]
struct Expected {
    hosts: (IpAddr, IpAddr),
    what: Expectation,
    parent: u64,
    until_s: i64,
}

/// Announcements that wait for their flow.
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
            if self.waiting.len() >= MAX_EXPECTED {
                self.waiting.pop_front();
            }
            let until_s = flow.last.seconds() + TIMEOUT_S;
            self.waiting.push_back(Expected {
                hosts: hosts(flow),
                what,
                parent: flow.id,
                until_s,
            });
        }
    }

    /// Tell a new flow that it was announced.
    pub(super) fn tell(&mut self, flow: &mut Flow, app: &mut AppLayer) {
        if self.waiting.is_empty() {
            return;
        }
        let now_s = flow.start.seconds();
        self.waiting.retain(|expected| expected.until_s >= now_s);
        let pair = hosts(flow);
        let fits = |expected: &Expected| {
            expected.hosts == pair && (expected.what.dport == 0 || expected.what.dport == flow.dport)
        };
        if let Some(expected) = self
            .waiting
            .iter()
            .position(fits)
            .and_then(|at| self.waiting.remove(at))
        {
            flow.parent = expected.parent;
            app.announced =
                app::protocol(expected.what.protocol).map(|protocol| (protocol, expected.what.note));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::tests::flow;

    #[test]
    fn an_announced_flow_knows_its_parent_and_others_do_not() {
        let mut announcements = Announcements::default();
        let control = flow("192.0.2.1", 40000, "192.0.2.2", 21, 6);
        let mut app = AppLayer::default();
        app.expectations.push(Expectation {
            protocol: "ftp-data",
            dport: 2000,
            reversed: false,
            note: vec![],
        });
        announcements.take(&control, &mut app);
        let mut other = flow("192.0.2.1", 40001, "192.0.2.2", 2001, 6);
        announcements.tell(&mut other, &mut AppLayer::default());
        assert_eq!(other.parent, 0);
        let mut data = flow("192.0.2.1", 40002, "192.0.2.2", 2000, 6);
        announcements.tell(&mut data, &mut AppLayer::default());
        assert_eq!(data.parent, control.id);
    }
}
