//! A protocol of the tests' own: proof that a protocol is this file and one line in `PROTOCOLS`, and
//! a small one to learn from (ARCHITECTURE.md walks through it).
//!
//! ```text
//! client: TOY <word> LF        server: <number> LF
//! ```
//! Rules see `toy.word`, `toy.answer` and `toy.number` because the tables below name them; nothing else does.

use super::{
    Buffer, BufferSpec, Carrier, Input, Parsed, Parser, Pattern, Protocol, Requests, Transaction,
    Transactions, TxMeta, TxQueue, ValueSpec, TO_CLIENT, TO_SERVER,
};
use crate::config::AppProtocol;
use crate::event::json::Json;
use crate::packet::Direction;

/// Octets of a line; what is longer is not this protocol's.
const MAX_LINE: usize = 64;

/// Transactions held at once.
const MAX_TRANSACTIONS: usize = 16;

/// What it is called, how it is found, what rules can look at.
pub static PROTOCOL: Protocol = Protocol {
    name: "toy",
    carriers: &[Carrier::Tcp],
    patterns: &[Pattern::tcp(Direction::ToServer, b"TOY ")],
    start: Some(start),
    buffers: &[
        BufferSpec::new("toy.word", TO_SERVER, DONE),
        BufferSpec::new("toy.answer", TO_CLIENT, DONE),
    ],
    values: &[ValueSpec {
        name: "toy.number",
        directions: TO_CLIENT,
        progress: DONE,
    }],
    events: &["not_a_number"],
    ..Protocol::DETECTED
};

/// Progress of a direction whose line is there.
const DONE: u8 = 1;

fn start(_options: &AppProtocol, _carrier: Carrier) -> Box<dyn Parser> {
    Box::new(Toy {
        transactions: TxQueue::new(MAX_TRANSACTIONS),
        answered: 0,
    })
}

struct Toy {
    transactions: TxQueue<Exchange>,
    /// Answers so far: the next one belongs to the transaction of this id.
    answered: u64,
}

/// A word and its answer.
#[derive(Default)]
struct Exchange {
    meta: TxMeta,
    word: Vec<u8>,
    answer: Option<Vec<u8>>,
}

impl Parser for Toy {
    fn parse(&mut self, direction: Direction, input: &Input<'_>, _requests: &mut Requests) -> Parsed {
        let mut used = 0;
        while let Some(end) = memchr::memchr(b'\n', &input.data[used..]) {
            let line = &input.data[used..used + end];
            used += end + 1;
            if line.len() > MAX_LINE || !self.line(direction, line) {
                return Parsed::Failed;
            }
        }
        if input.data.len() - used > MAX_LINE {
            return Parsed::Failed;
        }
        Parsed::Used(used)
    }

    fn transactions(&self) -> &dyn Transactions {
        &self.transactions
    }

    fn transactions_mut(&mut self) -> &mut dyn Transactions {
        &mut self.transactions
    }
}

impl Toy {
    /// Take a line; whether it can be one.
    fn line(&mut self, direction: Direction, line: &[u8]) -> bool {
        match direction {
            Direction::ToServer => {
                let Some(word) = line.strip_prefix(b"TOY ") else {
                    return false;
                };
                self.transactions.push(Exchange {
                    word: word.to_vec(),
                    ..Exchange::default()
                });
            }
            Direction::ToClient => {
                if let Some(exchange) = self.transactions.item_mut(self.answered) {
                    if number(line).is_none() {
                        exchange.meta.raise("not_a_number");
                    }
                    exchange.answer = Some(line.to_vec());
                }
                self.answered += 1;
            }
        }
        true
    }
}

fn number(line: &[u8]) -> Option<i64> {
    std::str::from_utf8(line).ok()?.parse().ok()
}

impl Transaction for Exchange {
    fn meta(&self) -> &TxMeta {
        &self.meta
    }

    fn meta_mut(&mut self) -> &mut TxMeta {
        &mut self.meta
    }

    fn progress(&self, direction: Direction) -> u8 {
        match direction {
            Direction::ToServer => DONE,
            Direction::ToClient => u8::from(self.answer.is_some()),
        }
    }

    fn complete(&self, direction: Direction) -> bool {
        self.progress(direction) == DONE
    }

    fn buffer(&self, slot: usize, _direction: Direction, index: usize) -> Option<Buffer<'_>> {
        match (slot, index) {
            (0, 0) => Some(Buffer::whole(&self.word)),
            (1, 0) => self.answer.as_deref().map(Buffer::whole),
            _ => None,
        }
    }

    fn value(&self, slot: usize, _direction: Direction, index: usize) -> Option<i64> {
        match (slot, index) {
            (0, 0) => number(self.answer.as_deref()?),
            _ => None,
        }
    }

    fn records(&self, ended: bool) -> usize {
        usize::from(ended || self.answer.is_some())
    }

    fn record_type(&self, _index: usize) -> &'static str {
        "toy"
    }

    fn write_record(&self, _index: usize, json: &mut Json<'_>) {
        json.open_object("toy");
        json.str("word", &self.word);
        if let Some(answer) = &self.answer {
            json.str("answer", answer);
        }
        json.close_object();
    }
}
