//! Datagrams: each is recognised, and taken, by itself.

use super::{AppLayer, Fed, FlowFacts, Found};
use crate::app::table::AppTable;
use crate::app::{Carrier, Input};
use crate::packet::Direction;

impl AppLayer {
    /// Take one datagram.
    pub fn feed_datagram(
        &mut self,
        table: &AppTable,
        flow: &FlowFacts,
        direction: Direction,
        input: &Input<'_>,
    ) -> Fed {
        let mut fed = Fed::default();
        let at = direction.index();
        if self.by_direction == [Found::Failed, Found::Failed] {
            fed.over = true;
            return fed;
        }
        let mut direction = direction;
        if self.by_direction[at].is_unknown() {
            let (found, reversed) = self.look_at(table, flow, Carrier::Udp, direction, input.data);
            let other = self.by_direction[1 - at];
            match found {
                Found::Is(_) => {
                    self.by_direction[at] = found;
                    match other {
                        Found::Is(_) if other != found => {
                            self.events
                                .push(("applayer_mismatch_protocol_both_directions", direction));
                        }
                        Found::Is(_) => {}
                        _ => self.found = found,
                    }
                }
                _ if other.is_unknown() => self.by_direction[at] = Found::Failed,
                _ => {
                    self.found = other;
                    self.by_direction[at] = other;
                }
            }
            if other.is_unknown() && self.found.is_unknown() {
                self.found = Found::Failed;
            }
            // Known to rules on this datagram, and once more at the next one of each direction.
            self.detection_done = [true; 2];
            self.settled = [true; 2];
            fed.settled = true;
            if reversed && self.protocol().is_some() {
                self.swap();
                fed.reversed = true;
                direction = direction.opposite();
            }
        }
        if self.protocol().is_some() && !self.over {
            self.parse(table, Carrier::Udp, direction, input, at, &mut fed);
        }
        fed.over = self.over;
        fed
    }
}
