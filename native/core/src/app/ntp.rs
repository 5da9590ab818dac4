//! NTP versions 3 and 4 (RFC 1305, RFC 5905): what asks is a transaction; there are no records, only events.

use super::{
    Carrier, Input, Parsed, Parser, Probe, Probing, Protocol, Requests, Transaction, Transactions, TxMeta,
    TxQueue,
};
use crate::config::AppProtocol;
use crate::event::json::Json;
use crate::packet::Direction;

/// Messages of a flow the engine has not dealt with yet, at most.
const MAX_TRANSACTIONS: usize = 512;
/// Octets of the fixed fields (RFC 5905 section 7.3).
const HEADER_OCTETS: usize = 48;
/// Octets of a message authentication code with its key identifier.
const MAC_OCTETS: usize = 20;

/// NTP.
pub static PROTOCOL: Protocol = Protocol {
    name: "ntp",
    carriers: &[Carrier::Udp],
    probing: &[Probing {
        carrier: Carrier::Udp,
        ports: &[123],
        client_ports: &[],
        min: 0,
        max: 16,
        to_server: Some(probe),
        to_client: Some(probe),
    }],
    start: Some(start),
    events: &[
        "unsolicited_response",
        "malformed_data",
        "not_request",
        "not_response",
    ],
    ..Protocol::DETECTED
};

fn start(_options: &AppProtocol, _carrier: Carrier) -> Box<dyn Parser> {
    Box::new(NtpParser {
        transactions: TxQueue::new(MAX_TRANSACTIONS),
    })
}

/// Why octets are no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bad {
    Short,
    Wrong,
}

/// The message's mode (RFC 5905 figure 10).
fn mode(octets: &[u8]) -> Result<u8, Bad> {
    let first = octets.first().ok_or(Bad::Short)?;
    let version = first >> 3 & 7;
    if !matches!(version, 3 | 4) {
        return Err(Bad::Wrong);
    }
    let rest = octets.get(HEADER_OCTETS..).ok_or(Bad::Short)?;
    // Version 4: nothing, an authentication code, or extensions before one.
    if version == 4 && !matches!(rest.len(), 0 | MAC_OCTETS) {
        let extensions = rest.len().checked_sub(MAC_OCTETS).map(|len| &rest[..len]);
        let fits = match extensions {
            Some(&[_, _, high, low, ref value @ ..]) => {
                usize::from(u16::from_be_bytes([high, low])) <= value.len()
            }
            _ => false,
        };
        if !fits {
            return Err(Bad::Wrong);
        }
    }
    Ok(first & 7)
}

fn probe(octets: &[u8], _direction: Direction) -> Probe {
    match mode(octets) {
        Ok(_) => Probe::Certain,
        Err(Bad::Short) => Probe::Unsure,
        Err(Bad::Wrong) => Probe::No,
    }
}

struct NtpParser {
    transactions: TxQueue<NtpTx>,
}

impl Parser for NtpParser {
    fn parse(&mut self, direction: Direction, input: &Input<'_>, _requests: &mut Requests) -> Parsed {
        match mode(input.data) {
            // Symmetric active, client.
            Ok(1 | 3) => {
                self.transactions.push(NtpTx {
                    meta: TxMeta::default(),
                    direction,
                });
            }
            Ok(_) => {}
            Err(_) => {
                // Without a transaction there is nothing to raise it on.
                if let Some(tx) = self.transactions.last_mut() {
                    tx.meta.raise("malformed_data");
                }
            }
        }
        // What is not NTP in a datagram says nothing about the next one.
        Parsed::Used(input.data.len())
    }

    fn transactions(&self) -> &dyn Transactions {
        &self.transactions
    }

    fn transactions_mut(&mut self) -> &mut dyn Transactions {
        &mut self.transactions
    }
}

/// A message that asks.
struct NtpTx {
    meta: TxMeta,
    direction: Direction,
}

impl Transaction for NtpTx {
    fn meta(&self) -> &TxMeta {
        &self.meta
    }

    fn meta_mut(&mut self) -> &mut TxMeta {
        &mut self.meta
    }

    fn only(&self) -> Option<Direction> {
        Some(self.direction)
    }

    fn records(&self, _ended: bool) -> usize {
        0
    }

    fn record_type(&self, _index: usize) -> &'static str {
        "ntp"
    }

    fn write_record(&self, _index: usize, _json: &mut Json<'_>) {}
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::time::Timestamp;

    fn input(data: &[u8]) -> Input<'_> {
        Input {
            data,
            gap: 0,
            eof: false,
            now: Timestamp(0),
            packet: 1,
        }
    }

    fn message(first: u8, len: usize) -> Vec<u8> {
        let mut octets = vec![0; len];
        octets[0] = first;
        octets
    }

    #[test]
    fn versions_three_and_four_are_ntp_with_what_may_follow() {
        for (first, len, expected) in [
            (0x23, 48, Probe::Certain),
            (0x23, 68, Probe::Certain),
            (0x23, 72, Probe::Certain),
            (0x23, 52, Probe::No),
            (0x23, 70, Probe::No),
            (0x1b, 52, Probe::Certain),
            (0x1b, 47, Probe::Unsure),
            (0x13, 48, Probe::No),
        ] {
            assert_eq!(
                probe(&message(first, len), Direction::ToServer),
                expected,
                "{first:#x} {len}"
            );
        }
    }

    #[test]
    fn what_asks_is_a_transaction_and_what_is_broken_after_it_an_event() {
        let mut parser = start(&AppProtocol::default(), Carrier::Udp);
        let mut feed = |octets: &[u8]| {
            parser.parse(Direction::ToServer, &input(octets), &mut Requests::default());
        };
        feed(&message(0x24, 48));
        feed(&message(0x23, 48));
        feed(&message(0x23, 50));
        let transactions = parser.transactions();
        assert_eq!((transactions.first(), transactions.end()), (0, 1));
        assert_eq!(transactions.get(0).unwrap().meta().events[..], ["malformed_data"]);
    }

    proptest! {
        #[test]
        fn any_octets_do_not_panic(data in proptest::collection::vec(any::<u8>(), 0..120)) {
            let mut parser = start(&AppProtocol::default(), Carrier::Udp);
            parser.parse(Direction::ToServer, &input(&data), &mut Requests::default());
            probe(&data, Direction::ToClient);
        }
    }
}
