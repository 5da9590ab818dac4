//! SMTP (RFC 5321), its pipelining, STARTTLS and BDAT; `mime` is the mail itself.

mod mime;
mod record;
mod reply;
mod request;
mod transaction;

use std::collections::VecDeque;

use transaction::{SmtpTx, BUFFERS};

use super::{Carrier, Input, Parsed, Parser, Pattern, Protocol, Requests, Transactions, TxQueue};
use crate::config::AppProtocol;
use crate::packet::Direction;

/// Octets of a command or reply line that are kept.
const MAX_LINE_OCTETS: usize = 4096;
/// Mails of a connection the engine has not dealt with yet, at most.
const MAX_TRANSACTIONS: usize = 256;
/// SMTP.
pub static PROTOCOL: Protocol = Protocol {
    name: "smtp",
    patterns: &[
        Pattern::tcp(Direction::ToServer, b"EHLO").nocase(),
        Pattern::tcp(Direction::ToServer, b"HELO").nocase(),
        Pattern::tcp(Direction::ToServer, b"QUIT").nocase(),
    ],
    start: Some(start),
    buffers: BUFFERS,
    events: &[
        "INVALID_REPLY",
        "UNABLE_TO_MATCH_REPLY_WITH_REQUEST",
        "MAX_COMMAND_LINE_LEN_EXCEEDED",
        "MAX_REPLY_LINE_LEN_EXCEEDED",
        "INVALID_PIPELINED_SEQUENCE",
        "BDAT_CHUNK_LEN_EXCEEDED",
        "NO_SERVER_WELCOME_MESSAGE",
        "TLS_REJECTED",
        "DATA_COMMAND_REJECTED",
        "FAILED_PROTOCOL_CHANGE",
        "MIME_PARSE_FAILED",
        "MIME_MALFORMED_MSG",
        "MIME_INVALID_BASE64",
        "MIME_INVALID_QP",
        "MIME_LONG_LINE",
        "MIME_LONG_ENC_LINE",
        "MIME_LONG_HEADER_NAME",
        "MIME_LONG_HEADER_VALUE",
        "MIME_LONG_BOUNDARY",
        "MIME_LONG_FILENAME",
        "DUPLICATE_FIELDS",
        "UNPARSABLE_CONTENT",
        "TRUNCATED_LINE",
    ],
    ..Protocol::DETECTED
};

fn start(_options: &AppProtocol, _carrier: Carrier) -> Box<dyn Parser> {
    Box::new(SmtpParser {
        transactions: TxQueue::new(MAX_TRANSACTIONS),
        commands: VecDeque::new(),
        command: Command::Other,
        data_mode: false,
        welcomed: false,
        multiline: false,
        pipelining: false,
        helo: None,
        chunk_left: 0,
        discarding: [false; 2],
        mid_line: false,
    })
}

/// Commands whose replies change something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Command {
    StartTls,
    Data,
    /// The mail after DATA: it is answered once more.
    Mail,
    Bdat,
    Reset,
    Other,
}

struct SmtpParser {
    transactions: TxQueue<SmtpTx>,
    /// Commands not answered yet.
    commands: VecDeque<Command>,
    /// The command that came last.
    command: Command,
    /// What the client sends is mail (or TLS), not commands.
    data_mode: bool,
    /// The server greeted.
    welcomed: bool,
    /// Within a reply of several lines.
    multiline: bool,
    /// The server takes commands before it answered the ones before.
    pipelining: bool,
    helo: Option<Vec<u8>>,
    /// Octets of a BDAT chunk that still come.
    chunk_left: u64,
    /// A line was longer than kept: its rest is dropped.
    discarding: [bool; 2],
    /// What comes goes on with a line of the mail of which a piece was taken.
    mid_line: bool,
}

impl SmtpParser {
    fn raise(&mut self, event: &'static str) {
        if let Some(tx) = self.transactions.last_mut() {
            tx.meta.raise(event);
        }
    }

    fn complete(&mut self) {
        if let Some(tx) = self.transactions.last_mut() {
            tx.done = true;
        }
    }

    /// How much of a line of the mail that is not all there can be taken already: what is known to be of a file.
    fn piece(&self, data: &[u8]) -> usize {
        let mail = match self.transactions.next_id().checked_sub(1) {
            Some(id) => self.transactions.item(id).and_then(|tx| tx.mail.as_ref()),
            None => None,
        };
        // It may be a boundary, or the end of the mail.
        let may_end = !self.mid_line && matches!(data.first(), Some(b'-' | b'.'));
        match mail {
            Some(mail) if !may_end && mail.takes_pieces() => {
                data.strip_suffix(b"\r").map_or(data.len(), <[u8]>::len)
            }
            _ => 0,
        }
    }

    /// One line. Returns octets used, `None` to wait.
    fn step(
        &mut self,
        direction: Direction,
        data: &[u8],
        requests: &mut Requests,
    ) -> Result<Option<usize>, ()> {
        let at = direction.index();
        let in_mail = direction == Direction::ToServer && self.data_mode;
        let newline = memchr::memchr(b'\n', data);
        if self.discarding[at] {
            self.discarding[at] = newline.is_none();
            return Ok(Some(newline.map_or(data.len(), |end| end + 1)));
        }
        let Some(newline) = newline else {
            if in_mail && self.command == Command::Data {
                let piece = self.piece(data);
                if piece > 0 {
                    self.take(direction, &data[..piece], &[], requests)?;
                    return Ok(Some(piece));
                }
            }
            if data.len() < MAX_LINE_OCTETS {
                return Ok(None);
            }
            let line = if in_mail { data } else { &data[..MAX_LINE_OCTETS] };
            self.take(direction, line, &[], requests)?;
            if !in_mail {
                self.discarding[at] = true;
                self.raise("TRUNCATED_LINE");
            }
            return Ok(Some(data.len()));
        };
        let line = &data[..newline];
        let (line, end) = match line {
            [before @ .., b'\r'] => (before, &b"\r\n"[..]),
            _ => (line, &b"\n"[..]),
        };
        if !in_mail && line.len() + end.len() >= MAX_LINE_OCTETS {
            self.take(direction, &line[..line.len().min(MAX_LINE_OCTETS)], &[], requests)?;
            self.raise("TRUNCATED_LINE");
        } else {
            self.take(direction, line, end, requests)?;
        }
        Ok(Some(newline + 1))
    }

    fn take(
        &mut self,
        direction: Direction,
        line: &[u8],
        end: &[u8],
        requests: &mut Requests,
    ) -> Result<(), ()> {
        match direction {
            Direction::ToServer => self.request(line, end, requests),
            Direction::ToClient => self.reply(line, requests),
        }
    }
}

impl Parser for SmtpParser {
    fn parse(&mut self, direction: Direction, input: &Input<'_>, requests: &mut Requests) -> Parsed {
        let mut used = 0;
        while used < input.data.len() {
            match self.step(direction, &input.data[used..], requests) {
                Ok(Some(len)) => used += len,
                Ok(None) => break,
                Err(()) => return Parsed::Failed,
            }
            if requests.change_protocol.is_some() {
                break;
            }
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

#[cfg(test)]
mod tests;
