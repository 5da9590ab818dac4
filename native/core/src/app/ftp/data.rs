//! A transfer of FTP: one file, whose name the control connection gave.

use crate::app::{
    Buffer, BufferSpec, Carrier, Input, Parsed, Parser, Protocol, Requests, Transaction, Transactions,
    TxMeta, TxQueue, ValueSpec, BOTH,
};
use crate::config::AppProtocol;
use crate::event::json::Json;
use crate::file::{Files, State};
use crate::packet::Direction;

/// FTP's data connection. It is never found by looking, only announced.
pub static PROTOCOL: Protocol = Protocol {
    name: "ftp-data",
    start: Some(start),
    buffers: &[
        BufferSpec::new("file.data", BOTH, 0).multi().streaming(),
        BufferSpec::new("file.name", BOTH, 0).multi(),
        BufferSpec::new("file.magic", BOTH, 0).multi(),
    ],
    values: &[ValueSpec {
        name: "ftpdata_command",
        directions: BOTH,
        progress: 0,
    }],
    ..Protocol::DETECTED
};

/// Octets of a file's name that are kept.
const MAX_NAME_OCTETS: usize = 4095;

fn start(_options: &AppProtocol, _carrier: Carrier) -> Box<dyn Parser> {
    let mut transactions = TxQueue::new(1);
    transactions.push(TransferTx::default());
    Box::new(TransferParser { transactions })
}

/// A transfer.
#[derive(Debug, Default)]
struct TransferTx {
    meta: TxMeta,
    files: Files,
    name: Vec<u8>,
    /// It goes to the server (STOR).
    store: bool,
    direction: Option<Direction>,
    begun: bool,
    finished: bool,
}

impl Transaction for TransferTx {
    fn meta(&self) -> &TxMeta {
        &self.meta
    }

    fn meta_mut(&mut self) -> &mut TxMeta {
        &mut self.meta
    }

    fn progress(&self, direction: Direction) -> u8 {
        u8::from(self.finished || self.direction != Some(direction))
    }

    fn complete(&self, direction: Direction) -> bool {
        self.progress(direction) > 0
    }

    fn buffer(&self, slot: usize, direction: Direction, index: usize) -> Option<Buffer<'_>> {
        let file = self.files.of(direction).nth(index)?;
        match slot {
            0 => file.buffer(),
            2 => file.magic().map(|magic| Buffer::whole(magic.as_bytes())),
            _ => Some(Buffer::whole(&file.name)),
        }
    }

    /// 1 is RETR, 2 is STOR; each only in the direction a passive transfer has.
    fn value(&self, _slot: usize, direction: Direction, index: usize) -> Option<i64> {
        let (towards, command) = if self.store {
            (Direction::ToServer, 2)
        } else {
            (Direction::ToClient, 1)
        };
        (index == 0 && self.begun && direction == towards).then_some(command)
    }

    fn inspected(&mut self, direction: Direction) {
        self.files.inspected(direction);
    }

    fn files(&self) -> Option<&Files> {
        Some(&self.files)
    }

    fn files_mut(&mut self) -> Option<&mut Files> {
        Some(&mut self.files)
    }

    fn records(&self, ended: bool) -> usize {
        usize::from(self.begun && (self.finished || ended))
    }

    fn record_type(&self, _index: usize) -> &'static str {
        "ftp_data"
    }

    fn write_record(&self, _index: usize, json: &mut Json<'_>) {
        json.open_object("ftp_data");
        if !self.name.is_empty() {
            json.str("filename", &self.name);
        }
        json.str("command", if self.store { "STOR" } else { "RETR" });
        json.close_object();
    }
}

struct TransferParser {
    transactions: TxQueue<TransferTx>,
}

impl Parser for TransferParser {
    fn parse(&mut self, direction: Direction, input: &Input<'_>, requests: &mut Requests) -> Parsed {
        let Some(tx) = self.transactions.last_mut() else {
            return Parsed::Failed;
        };
        if tx.direction != Some(direction) {
            return Parsed::Used(input.data.len());
        }
        if !tx.begun && !input.data.is_empty() {
            tx.begun = true;
            let name = tx.name.clone();
            tx.files.open(&name, direction);
        }
        tx.files.append(direction, input.data);
        if input.eof && tx.begun {
            tx.files.close(direction, State::Closed);
            tx.finished = true;
            requests.trigger_raw[direction.index()] = true;
        }
        Parsed::Used(input.data.len())
    }

    fn transactions(&self) -> &dyn Transactions {
        &self.transactions
    }

    fn transactions_mut(&mut self) -> &mut dyn Transactions {
        &mut self.transactions
    }

    fn announced(&mut self, note: &[u8]) {
        let Some(tx) = self.transactions.last_mut() else {
            return;
        };
        let to_client = note.get(1) == Some(&1);
        tx.store = note.first() == Some(&1);
        tx.direction = Some(if to_client {
            Direction::ToClient
        } else {
            Direction::ToServer
        });
        let name = note.get(2..).unwrap_or_default();
        tx.name = name[..name.len().min(MAX_NAME_OCTETS)].to_vec();
    }
}
