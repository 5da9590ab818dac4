//! What the server answers.

use super::{Command, SmtpParser};
use crate::app::Requests;

/// Reply codes a server may give (RFC 5321 section 4.2, RFC 4954, RFC 3207).
const REPLIES: &[&[u8; 3]] = &[
    b"211", b"214", b"220", b"221", b"235", b"250", b"251", b"252", b"334", b"354", b"421", b"435", b"450",
    b"451", b"452", b"454", b"455", b"500", b"501", b"502", b"503", b"504", b"534", b"535", b"550", b"551",
    b"552", b"553", b"554", b"555",
];

impl SmtpParser {
    /// A line of a reply.
    pub(super) fn reply(&mut self, line: &[u8], requests: &mut Requests) -> Result<(), ()> {
        if line.is_empty() {
            return Ok(());
        }
        let Some(code) = line.get(..3) else {
            self.raise("INVALID_REPLY");
            return Err(());
        };
        self.multiline = line.get(3) == Some(&b'-');
        if !REPLIES.iter().any(|known| known.as_slice() == code) {
            self.raise("INVALID_REPLY");
            return Err(());
        }
        let Some(&command) = self.commands.front() else {
            if !self.welcomed {
                self.welcomed = !self.multiline;
                if code != b"220" {
                    self.raise("INVALID_REPLY");
                }
            }
            return Ok(());
        };
        match command {
            Command::StartTls if code == b"220" => {
                self.data_mode = true;
                requests.change_protocol = Some("tls");
                self.complete();
            }
            Command::StartTls => self.raise("TLS_REJECTED"),
            Command::Data if code == b"354" => self.data_mode = true,
            Command::Data => {
                if self.pipelining {
                    self.data_mode = false;
                }
                self.raise("DATA_COMMAND_REJECTED");
            }
            Command::Reset if code == b"250" && !self.multiline => self.complete(),
            _ => {}
        }
        if !self.multiline {
            self.commands.pop_front();
        } else if self.welcomed
            && code == b"250"
            && line
                .get(4..)
                .is_some_and(|word| word.eq_ignore_ascii_case(b"pipelining"))
        {
            self.pipelining = true;
        }
        Ok(())
    }
}
