//! DNS over UDP and TCP (RFC 1035): each message is a transaction of its own.
//!
//! `message` octets as a message <- here: framing, detection, events <- `record` as EVE's version 2 shows them.

mod message;
mod record;

use message::{Bad, Message, Name};

use super::{
    Buffer, BufferSpec, Carrier, Input, Parsed, Parser, Probe, Probing, Protocol, Requests, Transaction,
    Transactions, TxMeta, TxQueue, ValueSpec, BOTH, TO_SERVER,
};
use crate::config::AppProtocol;
use crate::event::json::Json;
use crate::packet::Direction;

/// Messages of a flow the engine has not dealt with yet, at most.
const MAX_TRANSACTIONS: usize = 512;
/// Octets of the header (RFC 1035 section 4.1.1).
const HEADER_OCTETS: usize = 12;

/// DNS.
pub static PROTOCOL: Protocol = Protocol {
    name: "dns",
    carriers: &[Carrier::Udp, Carrier::Tcp],
    probing: &[
        Probing {
            carrier: Carrier::Udp,
            ports: &[53],
            client_ports: &[],
            min: 0,
            max: HEADER_OCTETS,
            to_server: Some(probe_datagram),
            to_client: Some(probe_datagram),
        },
        Probing {
            carrier: Carrier::Tcp,
            ports: &[53],
            client_ports: &[],
            min: 0,
            max: HEADER_OCTETS + 2,
            to_server: Some(probe_stream),
            to_client: Some(probe_stream),
        },
    ],
    accepts_gaps: true,
    start: Some(start),
    buffers: &[BufferSpec::new("dns.query", TO_SERVER, 1).multi()],
    values: &[ValueSpec {
        name: "dns.opcode",
        directions: BOTH,
        progress: 1,
    }],
    events: &[
        "malformed_data",
        "not_request",
        "not_response",
        "z_flag_set",
        "invalid_opcode",
        "name_too_long",
        "infinite_loop",
        "too_many_labels",
    ],
    ..Protocol::DETECTED
};

fn start(_options: &AppProtocol, carrier: Carrier) -> Box<dyn Parser> {
    Box::new(DnsParser {
        carrier,
        gap: false,
        transactions: TxQueue::new(MAX_TRANSACTIONS),
    })
}

/// Whether a message of `len` octets can hold what its header announces.
fn plausible(message: &[u8], len: usize) -> Option<Direction> {
    let counts = message.get(4..HEADER_OCTETS)?;
    let records: usize = counts
        .chunks_exact(2)
        .map(|pair| usize::from(u16::from_be_bytes([pair[0], pair[1]])))
        .sum();
    if 2 * records + HEADER_OCTETS > len {
        return None;
    }
    Some(if message[2] & 0x80 == 0 {
        Direction::ToServer
    } else {
        Direction::ToClient
    })
}

fn probe(octets: &[u8], len: usize, direction: Direction) -> Probe {
    let octets = &octets[..octets.len().min(len)];
    let sender = if octets.len() < len {
        plausible(octets, len)
    } else {
        match Message::parse_questions(octets) {
            Ok(_) | Err(Bad::Short) => plausible(octets, len),
            Err(Bad::Wrong) => None,
        }
    };
    match sender {
        Some(sender) if sender == direction => Probe::Certain,
        Some(_) => Probe::Reversed,
        None => Probe::Unsure,
    }
}

fn probe_datagram(octets: &[u8], direction: Direction) -> Probe {
    if octets.len() < HEADER_OCTETS {
        return Probe::Unsure;
    }
    probe(octets, octets.len(), direction)
}

fn probe_stream(octets: &[u8], direction: Direction) -> Probe {
    match octets {
        [high, low, message @ ..] if message.len() >= HEADER_OCTETS => {
            probe(message, usize::from(u16::from_be_bytes([*high, *low])), direction)
        }
        _ => Probe::Unsure,
    }
}

struct DnsParser {
    carrier: Carrier,
    /// Octets were lost: look for a message before going on.
    gap: bool,
    transactions: TxQueue<DnsTx>,
}

impl DnsParser {
    /// Raise an event on the newest message; without one there is nothing to raise it on.
    fn raise(&mut self, event: &'static str) {
        if let Some(tx) = self.transactions.last_mut() {
            tx.meta.raise(event);
        }
    }

    /// Take one message. False when it is not DNS (any more).
    fn message(&mut self, direction: Direction, octets: &[u8]) -> bool {
        if plausible(octets, octets.len()).is_none() {
            return self.carrier == Carrier::Udp;
        }
        let request = direction == Direction::ToServer;
        let parsed = if request {
            Message::parse_questions(octets)
        } else {
            Message::parse(octets)
        };
        let Ok(message) = parsed else {
            self.raise("malformed_data");
            return false;
        };
        let is_response = message.flags & 0x8000 != 0;
        if request && is_response {
            self.raise("not_request");
            return false;
        }
        if !request && !is_response {
            self.raise("not_response");
        }
        let mut meta = TxMeta::default();
        if message.flags & 0x0040 != 0 {
            meta.raise("z_flag_set");
        }
        if message.opcode() >= 7 {
            meta.raise("invalid_opcode");
        }
        if message.name_flags.truncated {
            meta.raise("name_too_long");
        }
        if message.name_flags.infinite_loop {
            meta.raise("infinite_loop");
        }
        if message.name_flags.label_limit {
            meta.raise("too_many_labels");
        }
        let id = self.transactions.next_id();
        self.transactions.push(DnsTx {
            id,
            direction,
            message,
            meta,
        });
        true
    }

    fn stream(&mut self, direction: Direction, data: &[u8], requests: &mut Requests) -> Parsed {
        if self.gap {
            if data.len() >= 2
                && probe_stream(data, direction) == Probe::Unsure
                && direction == Direction::ToClient
            {
                return Parsed::Used(data.len());
            }
            self.gap = false;
        }
        let mut used = 0;
        while let [high, low, rest @ ..] = &data[used..] {
            let size = usize::from(u16::from_be_bytes([*high, *low]));
            let Some(message) = rest.get(..size) else { break };
            if size > 0 {
                requests.trigger_raw[direction.index()] = true;
                if !self.message(direction, message) {
                    return Parsed::Failed;
                }
            }
            used += 2 + size;
        }
        Parsed::Used(used)
    }
}

impl Parser for DnsParser {
    fn parse(&mut self, direction: Direction, input: &Input<'_>, requests: &mut Requests) -> Parsed {
        if self.carrier == Carrier::Udp {
            // What is not DNS in a datagram says nothing about the next one.
            self.message(direction, input.data);
            return Parsed::Used(input.data.len());
        }
        self.gap |= input.gap > 0;
        if input.data.is_empty() {
            return Parsed::Used(0);
        }
        self.stream(direction, input.data, requests)
    }

    fn transactions(&self) -> &dyn Transactions {
        &self.transactions
    }

    fn transactions_mut(&mut self) -> &mut dyn Transactions {
        &mut self.transactions
    }
}

/// A message.
struct DnsTx {
    id: u64,
    direction: Direction,
    message: Message,
    meta: TxMeta,
}

impl DnsTx {
    fn name(&self, name: Name) -> &[u8] {
        self.message.name(name)
    }
}

impl Transaction for DnsTx {
    fn meta(&self) -> &TxMeta {
        &self.meta
    }

    fn meta_mut(&mut self) -> &mut TxMeta {
        &mut self.meta
    }

    fn only(&self) -> Option<Direction> {
        Some(self.direction)
    }

    fn buffer(&self, _slot: usize, direction: Direction, index: usize) -> Option<Buffer<'_>> {
        if direction != Direction::ToServer || self.direction != direction {
            return None;
        }
        let question = self.message.questions.get(index)?;
        let name = self.name(question.name);
        (!name.is_empty()).then(|| Buffer::whole(name))
    }

    fn value(&self, _slot: usize, direction: Direction, index: usize) -> Option<i64> {
        (index == 0 && direction == self.direction).then(|| i64::from(self.message.opcode()))
    }

    fn records(&self, _ended: bool) -> usize {
        match self.direction {
            Direction::ToServer => self.message.questions.len(),
            Direction::ToClient => usize::from(!self.message.questions.is_empty()),
        }
    }

    fn record_type(&self, _index: usize) -> &'static str {
        "dns"
    }

    fn write_record(&self, index: usize, json: &mut Json<'_>) {
        record::write(self, index, json);
    }

    fn write_context(&self, json: &mut Json<'_>) {
        record::write_context(self, json);
    }
}

#[cfg(test)]
mod tests;
