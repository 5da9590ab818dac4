//! Connection-oriented calls over TCP: PDUs one after the other in each direction.

use std::sync::Arc;

use super::pdu::{self, kind, Header, Interface, Request, HEADER_OCTETS};
use super::transaction::{push, DcerpcTx, Id};
use super::{TC, TS};
use crate::app::{Input, Parsed, Parser, Requests, Transactions, TxQueue};
use crate::packet::Direction;

/// The calls of a connection.
pub(super) struct StreamParser {
    calls: TxQueue<DcerpcTx>,
    limit: usize,
    /// Interfaces asked for last.
    bound: Option<Vec<Interface>>,
    /// Interfaces answered last.
    answered: Option<Arc<[Interface]>>,
    /// A PDU was found in a direction: the next one begins where it ends.
    aligned: [bool; 2],
}

impl StreamParser {
    pub fn new(limit: usize) -> StreamParser {
        StreamParser {
            calls: TxQueue::new(limit.saturating_mul(2).max(2)),
            limit,
            bound: None,
            answered: None,
            aligned: [false; 2],
        }
    }

    /// The call a PDU belongs to: one with its identifier that waits for such a PDU, else a new one.
    fn call_of(&mut self, header: &Header, direction: Direction) -> Option<&mut DcerpcTx> {
        let at = direction.index();
        let found = self.calls.iter_mut().find(|(_, call)| {
            let same = matches!(call.id, Id::Call { id, .. } if id == header.call_id);
            let fits = match direction {
                TS => call.response().kind == kind::response_to(header.kind),
                TC => answers(header.kind, call.request().kind),
            };
            same && fits && !call.sides[at].done && !call.sides[at].lost
        });
        let id = match found {
            Some((id, _)) => id,
            None => self.push(header),
        };
        self.calls.item_mut(id)
    }

    fn push(&mut self, header: &Header) -> u64 {
        let id = Id::Call {
            id: header.call_id,
            version: (header.version, header.version_minor),
        };
        let call = DcerpcTx::new(id, header.little_endian);
        push(&mut self.calls, self.limit, call)
    }

    fn bind(&mut self, header: &Header, body: &[u8]) -> Result<(), pdu::Bad> {
        let interfaces = pdu::bind(header, body)?;
        let id = self.push(header);
        if let Some(call) = self.calls.item_mut(id) {
            call.interfaces = Some(interfaces.as_slice().into());
            let side = &mut call.sides[TS.index()];
            (side.kind, side.done, side.fragments) = (header.kind, true, 1);
        }
        self.bound = Some(interfaces);
        Ok(())
    }

    fn bind_ack(&mut self, header: &Header, body: &[u8]) -> Result<(), pdu::Bad> {
        let results = pdu::bind_ack(header, body)?;
        let mut answered = None;
        if let Some(interfaces) = &mut self.bound {
            pdu::answer(interfaces, &results);
            answered = Some(Arc::from(interfaces.as_slice()));
            self.answered.clone_from(&answered);
        }
        if let Some(call) = self.call_of(header, TC) {
            if answered.is_some() && call.request().done {
                call.interfaces = answered;
            }
            let side = &mut call.sides[TC.index()];
            (side.kind, side.done, side.fragments) = (header.kind, true, 1);
        }
        Ok(())
    }

    fn request(&mut self, header: &Header, body: &[u8]) -> Result<(), pdu::Bad> {
        let request = Request::parse(header, body)?;
        let interfaces = self.answered.clone();
        if let Some(call) = self.call_of(header, TS) {
            call.operation = Some((request.context_id, request.opnum));
            call.opnum = request.opnum;
            call.interfaces = interfaces;
            let side = &mut call.sides[TS.index()];
            side.extend(request.stub);
            (side.kind, side.done, side.fragments) = (header.kind, true, 1);
        }
        Ok(())
    }

    /// A response, or whatever else ends a call.
    fn response(&mut self, header: &Header, body: &[u8]) {
        if let Some(call) = self.call_of(header, TC) {
            let side = &mut call.sides[TC.index()];
            if header.kind == kind::RESPONSE {
                // With allocation hint and context, as Suricata has it.
                side.extend(body);
            }
            (side.kind, side.done, side.fragments) = (header.kind, true, 1);
        }
    }

    /// One PDU, all of it. False when it is none.
    fn pdu(&mut self, header: &Header, body: &[u8], requests: &mut Requests) -> bool {
        let (taken, direction) = match header.kind {
            kind::BIND | kind::ALTER_CONTEXT => (self.bind(header, body), TS),
            kind::BIND_ACK | kind::ALTER_CONTEXT_RESPONSE => (self.bind_ack(header, body), TC),
            kind::REQUEST => (self.request(header, body), TS),
            kind::RESPONSE => {
                self.response(header, body);
                (Ok(()), TC)
            }
            // What says that a call or bind failed answers it. Suricata 7 gives the connection up here, and would see
            // nothing of what follows authentication (AUTH3).
            kind::FAULT | kind::REJECT | kind::BIND_NAK => {
                self.response(header, body);
                (Ok(()), TC)
            }
            known => return known <= kind::LAST,
        };
        requests.trigger_raw[direction.index()] = true;
        taken.is_ok()
    }
}

/// Whether a PDU of kind `answer` may answer one of kind `request`.
fn answers(answer: u8, request: u8) -> bool {
    match answer {
        kind::FAULT | kind::REJECT => request == kind::REQUEST,
        kind::BIND_NAK => request == kind::BIND,
        answer => kind::request_of(answer) == request,
    }
}

/// Octets before the first that may begin a PDU.
fn begin(data: &[u8]) -> usize {
    data.windows(2)
        .position(|pair| pair == [5, 0])
        .unwrap_or_else(|| data.len() - usize::from(data.last() == Some(&5)))
}

impl Parser for StreamParser {
    fn parse(&mut self, direction: Direction, input: &Input<'_>, requests: &mut Requests) -> Parsed {
        let aligned = &mut self.aligned[direction.index()];
        // What is picked up midstream may begin inside a PDU.
        let mut used = if *aligned { 0 } else { begin(input.data) };
        while let Ok(header) = Header::parse(&input.data[used..]) {
            let len = usize::from(header.fragment_len);
            if header.version != 5 || header.version_minor > 1 || len < HEADER_OCTETS {
                return Parsed::Failed;
            }
            let Some(body) = input.data.get(used + HEADER_OCTETS..used + len) else {
                break;
            };
            self.aligned[direction.index()] = true;
            used += len;
            if !self.pdu(&header, body, requests) {
                return Parsed::Failed;
            }
        }
        Parsed::Used(used)
    }

    fn transactions(&self) -> &dyn Transactions {
        &self.calls
    }

    fn transactions_mut(&mut self) -> &mut dyn Transactions {
        &mut self.calls
    }
}
