//! Calls over pipes (MS-RPCE section 2.1.1.2): DCERPC in writes, reads, transactions and control requests.

use super::key::{FileId, Key, Kind};
use super::state::State;
use super::status;
use super::transaction::{Command, Detail, SmbTx, Status};
use crate::app::dcerpc::pdu::{self, kind, Header};
use crate::packet::Direction;

/// Octets of a call's arguments, or results, that are kept.
const MAX_STUB_OCTETS: usize = 1 << 20;
/// Octets of an answer that comes in parts that are kept: a fragment and what may be read beyond it.
const MAX_PART_OCTETS: usize = 128 * 1024;

/// A call.
#[derive(Debug, Default)]
pub struct Call {
    /// Kind of the request; `None` when it was not seen.
    pub request: Option<u8>,
    /// Kind of the answer.
    pub response: Option<u8>,
    /// Which call.
    pub id: u32,
    /// Operation.
    pub operation: u16,
    /// Presentation context.
    pub context: u16,
    /// Fragments by direction.
    pub fragments: [u16; 2],
    /// Octets of arguments and results, kept or not.
    pub stub_octets: [u64; 2],
    stub: [Vec<u8>; 2],
}

impl Call {
    /// Arguments or results.
    pub fn stub(&self, direction: Direction) -> Option<&[u8]> {
        Some(self.stub[direction.index()].as_slice()).filter(|stub| !stub.is_empty())
    }

    /// It is a call, not a bind or something else; one whose request was not seen counts as one.
    pub fn is_call(&self) -> bool {
        self.request.unwrap_or(kind::REQUEST) == kind::REQUEST
    }

    /// The operation, of a call.
    pub fn called(&self) -> Option<u16> {
        self.is_call().then_some(self.operation)
    }

    fn add(&mut self, direction: Direction, octets: &[u8]) {
        let at = direction.index();
        self.fragments[at] = self.fragments[at].saturating_add(1);
        self.stub_octets[at] += octets.len() as u64;
        let room = MAX_STUB_OCTETS.saturating_sub(self.stub[at].len());
        self.stub[at].extend_from_slice(&octets[..octets.len().min(room)]);
    }
}

/// The message that carries a PDU.
#[derive(Clone, Copy, Debug)]
pub struct Carried {
    /// Its command.
    pub command: Command,
    /// Its identifiers.
    pub key: Key,
    /// How the command went; `None` in a request.
    pub status: Option<u32>,
}

impl Carried {
    /// A call's parts and its answer may come by different commands: only control requests name the exchange.
    fn call_key(&self, key: &Key) -> Key {
        let by_message = !matches!(self.command, Command::Smb1(_) | Command::Smb2(8 | 9));
        Key {
            kind: Kind::Call,
            message: if by_message { key.message } else { 0 },
            ..*key
        }
    }

    fn status(&self) -> u32 {
        self.status.unwrap_or(status::SUCCESS)
    }
}

fn find<'a>(state: &'a mut State, carried: &Carried, call: u32) -> Option<&'a mut SmbTx> {
    let wanted = carried.call_key(&carried.key);
    state.queue.find(|tx| match &tx.detail {
        Detail::Call(found) => found.id == call && wanted.fits(&carried.call_key(&tx.key)),
        _ => false,
    })
}

fn begin<'a>(state: &'a mut State, carried: &Carried, call: Call) -> &'a mut SmbTx {
    let tx = state.queue.begin(Detail::Call(Box::new(call)));
    tx.key = carried.key;
    tx.command = carried.command;
    tx.status = carried.status.map(Status::Nt);
    tx
}

fn call_of(tx: &mut SmbTx) -> Option<&mut Call> {
    match &mut tx.detail {
        Detail::Call(call) => Some(call),
        _ => None,
    }
}

/// A PDU: its header and what follows.
#[derive(Clone, Copy, Debug)]
struct Pdu<'a> {
    header: Header,
    body: &'a [u8],
}

impl<'a> Pdu<'a> {
    fn read(octets: &'a [u8]) -> Option<Pdu<'a>> {
        let header = Header::parse(octets).ok()?;
        Some(Pdu {
            header,
            body: octets.get(pdu::HEADER_OCTETS..)?,
        })
    }
}

/// Octets of which nothing is known look like DCERPC.
pub fn is_likely(octets: &[u8]) -> bool {
    Header::parse(octets).is_ok_and(|header| {
        header.version == 5
            && header.version_minor < 3
            && header.fragment_len > 0
            && header.kind <= kind::LAST
    })
}

/// What the client sent over a pipe.
pub fn sent(state: &mut State, carried: &Carried, data: &[u8]) {
    let Some(Pdu { header, body }) = Pdu::read(data) else {
        state.queue.raise("malformed_data");
        return;
    };
    let to_server = Direction::ToServer;
    let request = (header.kind == kind::REQUEST).then(|| pdu::Request::parse(&header, body));
    if request.is_some() && !header.first_fragment() {
        match request {
            Some(Ok(request)) => {
                let Some(tx) = find(state, carried, header.call_id) else {
                    return;
                };
                if let Some(call) = call_of(tx) {
                    call.add(to_server, request.stub);
                }
                tx.done[to_server.index()] |= header.last_fragment();
            }
            _ => state.queue.raise("malformed_data"),
        }
        return;
    }
    let call = Call {
        request: Some(header.kind),
        id: header.call_id,
        ..Call::default()
    };
    let tx = begin(state, carried, call);
    let mut complete = true;
    let mut interfaces = None;
    match (request, header.kind) {
        (Some(Ok(request)), _) => {
            if let Some(call) = call_of(tx) {
                call.add(to_server, request.stub);
                call.operation = request.opnum;
                call.context = request.context_id;
            }
            complete = header.last_fragment();
        }
        (Some(Err(_)), _) => tx.meta.raise("malformed_data"),
        (None, kind::BIND) => match pdu::bind(&header, body) {
            Ok(asked) => interfaces = Some(asked),
            Err(_) => tx.meta.raise("malformed_data"),
        },
        (None, other) if other > kind::LAST => tx.meta.raise("malformed_data"),
        _ => {}
    }
    tx.done[to_server.index()] = complete;
    if let Some(asked) = interfaces {
        let interfaces = Some(asked).filter(|interfaces| !interfaces.is_empty());
        state.queue.agree(|agreed| agreed.interfaces = interfaces);
    }
}

/// What the server sent over a pipe: `file` is the pipe as far as it is known.
pub fn received(state: &mut State, carried: &Carried, file: &[u8], data: &[u8]) {
    let status = carried.status();
    if status != status::SUCCESS && status != status::BUFFER_OVERFLOW {
        if let Some(tx) = state.exchange(carried.command, &carried.key) {
            tx.set_status(status, false);
            tx.answered();
        }
        return;
    }
    let Key { session, tree, .. } = carried.key;
    let part_key = (
        Key::new(Kind::Fragment, session, tree, 0),
        FileId::from_slice(file),
    );
    let before = state.fragments.remove(&part_key);
    let joined;
    let whole = match before {
        Some(mut before) => {
            before.extend_from_slice(data);
            joined = before;
            joined.as_slice()
        }
        None => data,
    };
    if whole.is_empty() {
        return;
    }
    let Some(pdu) = Pdu::read(whole) else {
        state.queue.raise("malformed_data");
        return;
    };
    if status == status::BUFFER_OVERFLOW && whole.len() < usize::from(pdu.header.fragment_len) {
        remember_part(state, part_key, whole);
    } else if pdu.header.kind == kind::BIND_ACK {
        bound(state, carried, &pdu);
    } else {
        answered(state, carried, &pdu);
    }
}

/// Keep a part of an answer until the rest is read.
pub fn remember_part(state: &mut State, key: (Key, FileId), part: &[u8]) {
    if part.len() <= MAX_PART_OCTETS {
        state.fragments.insert(key, part.to_vec());
    }
}

fn bound(state: &mut State, carried: &Carried, pdu: &Pdu<'_>) {
    let Ok(results) = pdu::bind_ack(&pdu.header, pdu.body) else {
        state.queue.raise("malformed_data");
        return;
    };
    let Some(tx) = find(state, carried, pdu.header.call_id) else {
        return;
    };
    if let Some(call) = call_of(tx) {
        call.response = Some(kind::BIND_ACK);
    }
    tx.set_status(carried.status(), false);
    tx.answered();
    state.queue.agree(|agreed| {
        if let Some(interfaces) = &mut agreed.interfaces {
            pdu::answer(interfaces, &results);
        }
    });
}

fn answered(state: &mut State, carried: &Carried, pdu: &Pdu<'_>) {
    let Pdu { header, body } = *pdu;
    if find(state, carried, header.call_id).is_none() {
        // Its request was not seen.
        let call = Call {
            id: header.call_id,
            ..Call::default()
        };
        begin(state, carried, call);
    }
    let Some(tx) = find(state, carried, header.call_id) else {
        return;
    };
    let mut complete = true;
    let response = (header.kind == kind::RESPONSE).then(|| pdu::response_stub(&header, body));
    match response {
        Some(Ok(stub)) => {
            if let Some(call) = call_of(tx) {
                call.response = Some(kind::RESPONSE);
                call.add(Direction::ToClient, stub);
            }
            complete = header.last_fragment();
        }
        Some(Err(_)) => {
            tx.meta.raise("malformed_data");
            return;
        }
        None => {
            if let Some(call) = call_of(tx) {
                call.response = Some(header.kind);
            }
            if header.kind > kind::LAST {
                tx.meta.raise("malformed_data");
            }
        }
    }
    tx.set_status(carried.status(), false);
    tx.done[Direction::ToClient.index()] = complete;
}
