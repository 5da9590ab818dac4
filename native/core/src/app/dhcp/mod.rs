//! DHCP (RFC 2131): each message is a transaction of its own. `message` octets as a message <- `record` as EVE shows it.

mod message;
mod record;

use message::{code, Message, ACK};

use super::{
    Carrier, Input, Parsed, Parser, Probe, Probing, Protocol, Requests, Transaction, Transactions, TxMeta,
    TxQueue, ValueSpec, BOTH,
};
use crate::config::AppProtocol;
use crate::event::json::Json;
use crate::packet::Direction;

/// Messages of a flow the engine has not dealt with yet, at most.
const MAX_TRANSACTIONS: usize = 512;

/// Times that rules compare, with the options that hold them.
const TIMES: [u8; 3] = [code::LEASE_TIME, code::REBINDING_TIME, code::RENEWAL_TIME];

const fn time(name: &'static str) -> ValueSpec {
    ValueSpec {
        name,
        directions: BOTH,
        progress: 0,
    }
}

/// DHCP.
pub static PROTOCOL: Protocol = Protocol {
    name: "dhcp",
    carriers: &[Carrier::Udp],
    probing: &[Probing {
        carrier: Carrier::Udp,
        ports: &[67, 68],
        client_ports: &[],
        min: 0,
        max: 16,
        to_server: Some(probe),
        to_client: Some(probe),
    }],
    start: Some(start),
    values: &[
        time("dhcp.leasetime"),
        time("dhcp.rebinding_time"),
        time("dhcp.renewal_time"),
    ],
    events: &["truncated_options", "malformed_options"],
    ..Protocol::DETECTED
};

fn start(options: &AppProtocol, _carrier: Carrier) -> Box<dyn Parser> {
    let extended = options
        .options
        .get("extended")
        .is_none_or(|text| matches!(text.to_ascii_lowercase().as_str(), "yes" | "true" | "on" | "1"));
    Box::new(DhcpParser {
        extended,
        transactions: TxQueue::new(MAX_TRANSACTIONS),
    })
}

fn probe(octets: &[u8], _direction: Direction) -> Probe {
    if octets.len() >= message::HEADER_OCTETS {
        Probe::Certain
    } else {
        Probe::Unsure
    }
}

struct DhcpParser {
    extended: bool,
    transactions: TxQueue<DhcpTx>,
}

impl Parser for DhcpParser {
    fn parse(&mut self, _direction: Direction, input: &Input<'_>, _requests: &mut Requests) -> Parsed {
        if let Some(message) = Message::parse(input.data) {
            let mut meta = TxMeta::default();
            if message.truncated {
                meta.raise("truncated_options");
            }
            self.transactions.push(DhcpTx {
                meta,
                message,
                extended: self.extended,
            });
        }
        // What is not DHCP in a datagram says nothing about the next one.
        Parsed::Used(input.data.len())
    }

    fn transactions(&self) -> &dyn Transactions {
        &self.transactions
    }

    fn transactions_mut(&mut self) -> &mut dyn Transactions {
        &mut self.transactions
    }
}

/// A message.
struct DhcpTx {
    meta: TxMeta,
    message: Message,
    /// Its record tells all there is, and every message has one.
    extended: bool,
}

impl Transaction for DhcpTx {
    fn meta(&self) -> &TxMeta {
        &self.meta
    }

    fn meta_mut(&mut self) -> &mut TxMeta {
        &mut self.meta
    }

    fn value(&self, slot: usize, _direction: Direction, index: usize) -> Option<i64> {
        if index > 0 {
            return None;
        }
        self.message.time(*TIMES.get(slot)?).map(i64::from)
    }

    fn records(&self, _ended: bool) -> usize {
        usize::from(self.extended || self.message.kind() == Some(ACK))
    }

    fn record_type(&self, _index: usize) -> &'static str {
        "dhcp"
    }

    fn write_record(&self, _index: usize, json: &mut Json<'_>) {
        record::write(&self.message, self.extended, json);
    }

    /// An alert shows nothing of a message, as Suricata's.
    fn write_context(&self, _json: &mut Json<'_>) {}
}

#[cfg(test)]
mod tests;
