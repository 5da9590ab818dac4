//! What was looked at, or will not be, is let go.

use crate::packet::{Direction, Packet};
use crate::rule::FlowScene;
use crate::stream::Session;

/// Nothing of the flow is looked at: what waits for a look is let go.
pub(super) fn give_up(about: &mut FlowScene<'_>, packet: &Packet<'_>) {
    let Some(direction) = packet.direction else { return };
    if let Some(session) = about.tcp.as_deref_mut() {
        let windows = session.raw_windows(direction);
        let upto = windows.fold(0, |_, (offset, octets)| offset + octets.len() as u64);
        session.raw_done(direction, upto);
    }
    if let Some(parser) = about.app.parser.as_mut() {
        let transactions = parser.transactions_mut();
        let mut next = 0;
        while let Some(id) = transactions.next_from(next) {
            next = id + 1;
            if let Some(transaction) = transactions.get_mut(id) {
                transaction.meta_mut().detect[direction.index()].done = true;
                transaction.inspected(direction);
            }
        }
    }
}

/// What was looked at is let go; without a rule on the stream all is.
pub(super) fn done_with_stream(session: Option<&mut Session>, direction: Direction, looked: bool) {
    let Some(session) = session else { return };
    let upto = if looked {
        let mut windows = session.raw_windows(direction);
        windows.by_ref().for_each(drop);
        windows.progress()
    } else {
        0
    };
    session.raw_done(direction, upto);
}
