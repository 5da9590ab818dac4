//! Connectionless calls: each datagram a PDU, the fragments of a request and of its response put together.

use super::pdu::{kind, Datagram};
use super::transaction::{push, DcerpcTx, Id};
use crate::app::{Input, Parsed, Parser, Requests, Transactions, TxQueue};
use crate::packet::Direction;

/// The calls of a flow.
pub(super) struct DatagramParser {
    calls: TxQueue<DcerpcTx>,
    limit: usize,
    /// Something came that is no request and no response: calls tell what they have, as in Suricata.
    disturbed: bool,
}

impl DatagramParser {
    pub fn new(limit: usize) -> DatagramParser {
        DatagramParser {
            calls: TxQueue::new(limit.saturating_mul(2).max(2)),
            limit,
            disturbed: false,
        }
    }

    fn call_of(&mut self, pdu: &Datagram<'_>, at: usize) -> u64 {
        let found = self.calls.iter_mut().find(|(_, call)| {
            let same = matches!(call.id, Id::Activity { uuid, sequence }
                if uuid == pdu.activity && sequence == pdu.sequence);
            same && !call.sides[at].done
        });
        if let Some((id, _)) = found {
            return id;
        }
        let id = Id::Activity {
            uuid: pdu.activity,
            sequence: pdu.sequence,
        };
        push(&mut self.calls, self.limit, DcerpcTx::new(id, pdu.little_endian))
    }

    fn take(&mut self, octets: &[u8]) -> bool {
        let Ok(pdu) = Datagram::parse(octets) else {
            return false;
        };
        let at = match pdu.kind {
            kind::REQUEST => 0,
            kind::RESPONSE => 1,
            _ => return false,
        };
        let id = self.call_of(&pdu, at);
        if let Some(call) = self.calls.item_mut(id) {
            let side = &mut call.sides[at];
            side.extend(pdu.stub);
            side.fragments = side.fragments.saturating_add(1);
            side.done |= pdu.last_fragment();
        }
        true
    }
}

impl Parser for DatagramParser {
    fn parse(&mut self, _direction: Direction, input: &Input<'_>, _requests: &mut Requests) -> Parsed {
        self.disturbed |= !self.take(input.data);
        if self.disturbed {
            self.calls.iter_mut().for_each(|(_, call)| call.cut = true);
        }
        Parsed::Used(input.data.len())
    }

    fn transactions(&self) -> &dyn Transactions {
        &self.calls
    }

    fn transactions_mut(&mut self) -> &mut dyn Transactions {
        &mut self.calls
    }
}
