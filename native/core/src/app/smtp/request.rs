//! What the client says: commands, and between them the mail.

use super::mime::Mime;
use super::transaction::SmtpTx;
use super::{Command, SmtpParser};
use crate::app::Requests;
use crate::packet::Direction;

/// Recipients of a mail that are kept.
const MAX_RECIPIENTS: usize = 1024;
/// Commands that wait for their reply, at most.
const MAX_COMMANDS: usize = 65_535;

fn begins(line: &[u8], word: &[u8]) -> bool {
    line.len() >= word.len() && line[..word.len()].eq_ignore_ascii_case(word)
}

/// What follows a command of `len` octets, up to the next space.
fn argument(line: &[u8], len: usize) -> &[u8] {
    let rest = line.get(len + 1..).unwrap_or_default();
    let start = rest.iter().position(|&octet| octet != b' ').unwrap_or(rest.len());
    let rest = &rest[start..];
    &rest[..rest.iter().position(|&octet| octet == b' ').unwrap_or(rest.len())]
}

impl SmtpParser {
    fn begin(&mut self, line: &[u8]) {
        let goes_on = !self.data_mode && (begins(line, b"rset") || begins(line, b"quit"));
        let current = self.transactions.next_id().checked_sub(1);
        let done = current
            .and_then(|id| self.transactions.item(id))
            .map(|tx| tx.done);
        match done {
            Some(false) => return,
            Some(true) if goes_on => return,
            _ => {}
        }
        self.transactions.push(SmtpTx {
            helo: self.helo.clone(),
            ..SmtpTx::default()
        });
    }

    /// A line of commands or of mail, with its end.
    pub(super) fn request(&mut self, line: &[u8], end: &[u8], requests: &mut Requests) -> Result<(), ()> {
        self.begin(line);
        if !self.welcomed {
            self.raise("NO_SERVER_WELCOME_MESSAGE");
        }
        if !self.data_mode {
            return self.command(line);
        }
        match self.command {
            Command::Data => self.mail_line(line, end, requests),
            Command::Bdat => {
                let octets = (line.len() + end.len()) as u64;
                if octets > self.chunk_left {
                    self.raise("BDAT_CHUNK_LEN_EXCEEDED");
                    return Err(());
                }
                self.chunk_left -= octets;
                self.data_mode = self.chunk_left > 0;
            }
            _ => {}
        }
        Ok(())
    }

    fn command(&mut self, line: &[u8]) -> Result<(), ()> {
        let pipelining = self.pipelining;
        let Some(tx) = self.transactions.last_mut() else {
            return Err(());
        };
        self.command = Command::Other;
        if begins(line, b"starttls") {
            self.command = Command::StartTls;
        } else if begins(line, b"data") {
            self.command = Command::Data;
            if tx.is_data {
                // DATA again, and the first one was not answered.
                tx.meta.raise("UNPARSABLE_CONTENT");
                return Ok(());
            }
            tx.is_data = true;
            tx.mail = Some(Mime::new());
            self.data_mode = pipelining;
        } else if begins(line, b"bdat") {
            let size = std::str::from_utf8(argument(line, 4))
                .ok()
                .and_then(|text| text.parse().ok());
            self.chunk_left = size.ok_or(())?;
            self.command = Command::Bdat;
            self.data_mode = true;
        } else if begins(line, b"helo") || begins(line, b"ehlo") {
            if self.helo.as_ref().is_some_and(|helo| !helo.is_empty()) {
                tx.meta.raise("DUPLICATE_FIELDS");
            } else {
                self.helo = Some(argument(line, 4).to_vec());
                tx.helo.clone_from(&self.helo);
            }
        } else if begins(line, b"mail from") {
            if tx.from.is_some() {
                tx.meta.raise("DUPLICATE_FIELDS");
            } else {
                tx.from = Some(argument(line, 9).to_vec());
            }
        } else if begins(line, b"rcpt to") {
            if tx.recipients.len() < MAX_RECIPIENTS {
                tx.recipients.push(argument(line, 7).to_vec());
            }
        } else if begins(line, b"rset") {
            self.command = Command::Reset;
        }
        if self.commands.len() >= MAX_COMMANDS {
            return Err(());
        }
        self.commands.push_back(self.command);
        Ok(())
    }

    fn mail_line(&mut self, line: &[u8], end: &[u8], requests: &mut Requests) {
        let Some(tx) = self.transactions.last_mut() else {
            return;
        };
        let goes_on = std::mem::replace(&mut self.mid_line, end.is_empty());
        if line != b"." || goes_on || end.is_empty() {
            if let Some(mail) = &mut tx.mail {
                let closed = if goes_on {
                    mail.rest_of_line(line, end, &mut tx.files)
                } else {
                    mail.line(line, end, &mut tx.files)
                };
                requests.trigger_raw[Direction::ToServer.index()] |= closed;
            }
            return;
        }
        self.data_mode = false;
        self.commands.push_back(Command::Mail);
        if let Some(mail) = &mut tx.mail {
            // The stream is looked at with a file that is complete.
            requests.trigger_raw[Direction::ToServer.index()] |= mail.finish(&mut tx.files);
        }
        tx.done = true;
    }
}
