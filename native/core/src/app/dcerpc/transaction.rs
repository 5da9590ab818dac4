//! A PDU that asks with the one that answers: one fragment of each, as Suricata has it, over UDP all of them.

use std::sync::Arc;

use super::pdu::{kind, Interface};
use super::{record, Call};
use crate::app::{Buffer, Transaction, Transactions, TxMeta, TxQueue};
use crate::event::json::Json;
use crate::packet::Direction;

/// Octets of stub data that are kept of a call in a direction; those of one fragment over TCP always are.
const MAX_STUB_OCTETS: usize = 1 << 20;

/// One side of a call.
#[derive(Debug)]
pub(super) struct Side {
    /// What the PDU is, see [`kind`].
    pub kind: u8,
    /// It came, all of it.
    pub done: bool,
    /// It is lost, and done in that sense.
    pub lost: bool,
    /// Fragments that came.
    pub fragments: u16,
    /// Stub data.
    pub stub: Vec<u8>,
}

impl Side {
    fn new(kind: u8) -> Side {
        Side {
            kind,
            done: false,
            lost: false,
            fragments: 0,
            stub: Vec::new(),
        }
    }

    /// Add stub data, as far as it is kept.
    pub fn extend(&mut self, stub: &[u8]) {
        let room = MAX_STUB_OCTETS - self.stub.len().min(MAX_STUB_OCTETS);
        self.stub.extend_from_slice(&stub[..stub.len().min(room)]);
    }
}

/// What names a call in records.
#[derive(Clone, Copy, Debug)]
pub(super) enum Id {
    /// Over TCP.
    Call {
        /// Identifier, chosen by the client.
        id: u32,
        /// Versions of the PDU.
        version: (u8, u8),
    },
    /// Over UDP.
    Activity {
        /// The client's activity.
        uuid: [u8; 16],
        /// Number of the call in it.
        sequence: u32,
    },
}

/// A call.
#[derive(Debug)]
pub(super) struct DcerpcTx {
    meta: TxMeta,
    pub id: Id,
    pub little_endian: bool,
    /// To the server and to the client.
    pub sides: [Side; 2],
    /// (context, operation) of a request that was seen.
    pub operation: Option<(u16, u16)>,
    /// Operation, in records.
    pub opnum: u16,
    /// A bind's interfaces; those a request may be about.
    pub interfaces: Option<Arc<[Interface]>>,
    /// What follows does not complete it: it tells what it has.
    pub cut: bool,
}

impl DcerpcTx {
    pub fn new(id: Id, little_endian: bool) -> DcerpcTx {
        DcerpcTx {
            meta: TxMeta::default(),
            id,
            little_endian,
            sides: [Side::new(kind::REQUEST), Side::new(kind::RESPONSE)],
            operation: None,
            opnum: 0,
            interfaces: None,
            cut: false,
        }
    }

    pub fn request(&self) -> &Side {
        &self.sides[0]
    }

    pub fn response(&self) -> &Side {
        &self.sides[1]
    }

    fn done(&self) -> bool {
        self.sides.iter().all(|side| side.done)
    }
}

/// Add a call; where there are too many, the oldest one that waits for something waits no longer.
pub(super) fn push(calls: &mut TxQueue<DcerpcTx>, limit: usize, call: DcerpcTx) -> u64 {
    if calls.next_id() - calls.first() > limit as u64 {
        if let Some((_, oldest)) = calls.iter_mut().find(|(_, call)| !call.done()) {
            oldest.sides.iter_mut().for_each(|side| side.done = true);
        }
    }
    calls.push(call)
}

impl Transaction for DcerpcTx {
    fn meta(&self) -> &TxMeta {
        &self.meta
    }

    fn meta_mut(&mut self) -> &mut TxMeta {
        &mut self.meta
    }

    fn progress(&self, direction: Direction) -> u8 {
        u8::from(self.sides[direction.index()].done)
    }

    fn complete(&self, direction: Direction) -> bool {
        self.sides[direction.index()].done
    }

    fn buffer(&self, _slot: usize, direction: Direction, _index: usize) -> Option<Buffer<'_>> {
        let stub = &self.sides[direction.index()].stub;
        (!stub.is_empty()).then(|| Buffer::whole(stub))
    }

    fn value(&self, _slot: usize, _direction: Direction, index: usize) -> Option<i64> {
        let (_, opnum) = self.operation.filter(|_| index == 0)?;
        Some(i64::from(opnum))
    }

    fn call(&self) -> Option<Call<'_>> {
        let (context_id, _) = self.operation?;
        Some(Call {
            interfaces: self.interfaces.as_deref()?,
            context_id: Some(context_id),
        })
    }

    fn little_endian(&self) -> bool {
        self.little_endian
    }

    fn records(&self, ended: bool) -> usize {
        usize::from(self.done() || self.cut || ended)
    }

    fn record_type(&self, _index: usize) -> &'static str {
        "dcerpc"
    }

    fn write_record(&self, _index: usize, json: &mut Json<'_>) {
        record::write(self, json);
    }

    /// An alert shows nothing of a call, as Suricata's.
    fn write_context(&self, _json: &mut Json<'_>) {}
}
