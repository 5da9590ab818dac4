//! The application layer as the stream sees it.

use crate::app::table::AppTable;
use crate::app::{AppLayer, FlowFacts, Input, Protocol};
use crate::packet::Direction;
use crate::stream::{Fed, Session, Upper};

/// A flow's application layer with what it needs to know.
pub(super) struct Applications<'a> {
    pub(super) app: &'a mut AppLayer,
    pub(super) table: &'a AppTable,
    /// Of client and server.
    pub(super) ports: [u16; 2],
}

impl Upper for Applications<'_> {
    fn saw(&mut self, direction: Direction) {
        self.app.saw(direction);
    }

    fn feed(&mut self, session: &Session, direction: Direction, inputs: &[Input<'_>; 2]) -> Fed {
        let [client, server] = &session.halves;
        let facts = FlowFacts {
            ports: self.ports,
            midstream: session.midstream && !session.midstream_synack,
            established: session.established,
            // What limits a direction is the window the other side announced.
            windows: [server.window, client.window],
        };
        let unknown = self.app.protocol().is_none();
        let fed = self.app.feed_stream(self.table, &facts, direction, inputs);
        if fed.reversed {
            self.ports.swap(0, 1);
        }
        Fed {
            used: fed.used,
            reversed: fed.reversed,
            over: fed.over,
            trigger_raw: std::mem::take(&mut self.app.trigger_raw),
            end_raw: self.app.opaque_payload || self.app.finished,
            parser_waits: self.app.parser.is_some(),
            depth: self
                .app
                .protocol()
                .filter(|_| unknown)
                .and_then(|protocol| self.table.stream_depth(protocol)),
            keep_for_raw: if unknown {
                self.app.protocol().map_or(0, kept_for_raw)
            } else {
                0
            },
        }
    }
}

/// Octets kept of the stream for rules that look at it beside the protocol's buffers: Suricata's
/// `request-body-minimal-inspect-size` and `response-body-minimal-inspect-size`.
fn kept_for_raw(protocol: &Protocol) -> u64 {
    match protocol.name {
        "http" => 32 * 1024,
        _ => 0,
    }
}
