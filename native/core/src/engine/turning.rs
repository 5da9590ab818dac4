//! Where a conversation turns: it becomes another protocol (STARTTLS, CONNECT, Upgrade), or encrypted.
//!
//! What the protocol so far left unseen is looked at and told before anything of what follows is: rules on the stream see
//! the two apart. While it is not known yet what the conversation turns into, that is so at every packet.

use super::path::Path;
use super::pseudo;
use crate::counters::Counters;
use crate::packet::{Origin, Packet};

impl Path {
    /// Let packets that were never received carry what waits through rules and records, if the conversation turns.
    pub(super) fn turn(&mut self, at: u32, packet: &Packet<'_>, counters: &mut Counters) {
        let (Some(slot), Some(direction)) = (self.flows.get_mut(at), packet.direction) else {
            return;
        };
        let (flow, app) = (&mut slot.flow, &mut slot.data.app);
        let finished = app.finished && !flow.payload_inspection_off;
        let Some(session) = slot
            .data
            .tcp
            .as_deref_mut()
            .filter(|_| finished || app.is_changing())
        else {
            // Payload that follows is encrypted: what waits of the stream goes with this packet.
            flow.payload_inspection_off |= app.opaque_payload;
            return;
        };
        let [mut there, mut back] = [direction.opposite(), direction].map(|direction| {
            session.half_mut(direction).trigger_raw();
            let mut pseudo = pseudo::packet(flow, session, direction, packet.ts);
            pseudo.origin = Origin::StreamFlush;
            pseudo
        });
        flow.payload_inspection_off |= finished || app.opaque_payload;
        app.ended = [true; 2];
        for pseudo in [&mut there, &mut back] {
            counters.tcp_pseudo += 1;
            self.finish(Some(at), pseudo, false, counters);
        }
    }
}
