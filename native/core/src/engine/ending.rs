//! What a flow goes through when it is over: what was not looked at yet is, then it is told.

use super::path::Path;
use super::pseudo;
use crate::app::AppLayer;
use crate::counters::Counters;
use crate::event::flow as record;
use crate::flow::{Reason, State};
use crate::packet::{Direction, Origin};
use crate::stream::{self, Session};

impl Path {
    /// End all flows, in the order of their beginning.
    pub(super) fn end_all(&mut self, reason: Reason, counters: &mut Counters) {
        for at in self.flows.all() {
            self.end(at, reason, counters);
        }
    }

    /// End a flow.
    pub(super) fn end(&mut self, at: u32, reason: Reason, counters: &mut Counters) {
        self.look_at_rest(at, counters);
        let Some(slot) = self.flows.remove(at) else { return };
        self.announcements.forget(&slot.flow);
        self.recorder.end(slot.flow.id);
        counters.flow_active -= 1;
        match slot.flow.state {
            State::New => counters.flow_end_new += 1,
            State::Established => counters.flow_end_established += 1,
            State::Closed => counters.flow_end_closed += 1,
        }
        counters.flow_timeout += u64::from(reason == Reason::Timeout);
        if let Some(session) = &slot.data.tcp {
            counters.tcp_active_sessions -= 1;
            counters.tcp_memuse = counters.tcp_memuse.saturating_sub(session.buffered());
        }
        if self.wants.flow {
            let (app, tcp) = (&slot.data.app, slot.data.tcp.as_deref());
            record::write(
                &slot.flow,
                app,
                tcp,
                reason,
                self.now,
                &self.config.output,
                &mut self.records,
            );
        }
    }

    /// Let a packet that was never received carry what waits in a TCP session through the layers.
    fn look_at_rest(&mut self, at: u32, counters: &mut Counters) {
        let inspecting = self.inspector.is_some();
        // Decided for both before either is looked at: the first look may tell what the second was to see.
        let pending = {
            let Some(slot) = self.flows.get_mut(at) else {
                return;
            };
            let Some(session) = slot.data.tcp.as_deref() else {
                return;
            };
            let app = &slot.data.app;
            [Direction::ToServer, Direction::ToClient]
                .map(|direction| waits(session, direction) || transactions_wait(app, direction, inspecting))
        };
        for direction in [Direction::ToServer, Direction::ToClient] {
            if !pending[direction.index()] {
                continue;
            }
            let now = self.now;
            let Some(slot) = self.flows.get_mut(at) else {
                return;
            };
            let Some(session) = slot.data.tcp.as_deref_mut() else {
                return;
            };
            let last = direction == Direction::ToClient || !pending[Direction::ToClient.index()];
            session.end_direction(direction, true);
            let mut packet = pseudo::packet(&slot.flow, session, direction, now);
            packet.stream_ended = true;
            packet.origin = Origin::FlowTimeout;
            counters.tcp_pseudo += 1;
            self.stream(at, &mut packet, counters);
            self.finish(Some(at), &mut packet, last, counters);
        }
    }
}

/// Transactions that rules did not look at to the end in a direction, or that were not told since more was to come.
fn transactions_wait(app: &AppLayer, direction: Direction, inspecting: bool) -> bool {
    let Some(parser) = &app.parser else { return false };
    if inspecting && app.left_open[direction.index()] {
        return true;
    }
    let transactions = parser.transactions();
    transactions
        .ids()
        .filter_map(|id| transactions.get(id))
        .any(|transaction| {
            let told = transaction.meta().logged != 0
                || transaction.complete(Direction::ToServer) && transaction.complete(Direction::ToClient);
            let files_told = transaction
                .files()
                .is_none_or(|files| files.files.iter().all(|file| file.logged));
            !told || !files_told || inspecting && !transaction.meta().detect[direction.index()].done
        })
}

/// Something of a direction was not looked at by all layers, or may not have been.
fn waits(session: &Session, direction: Direction) -> bool {
    session.unseen(direction) || session.established && session.state != stream::State::Closed
}
