//! SMTP (RFC 5321), its pipelining, STARTTLS and BDAT; `mime` is the mail itself.

mod mime;

use std::collections::VecDeque;

use mime::Mime;

use super::{
    Buffer, BufferSpec, Carrier, Input, Parsed, Parser, Pattern, Protocol, Requests, Transaction,
    Transactions, TxMeta, TxQueue, TO_SERVER,
};
use crate::config::AppProtocol;
use crate::event::json::Json;
use crate::file::Files;
use crate::packet::Direction;

/// Octets of a command or reply line that are kept.
const MAX_LINE_OCTETS: usize = 4096;
/// Mails of a connection the engine has not dealt with yet, at most.
const MAX_TRANSACTIONS: usize = 256;
/// Recipients of a mail that are kept.
const MAX_RECIPIENTS: usize = 1024;
/// Commands that wait for their reply, at most.
const MAX_COMMANDS: usize = 65_535;

static BUFFERS: &[BufferSpec] = &[
    BufferSpec::new("file.data", TO_SERVER, 0).multi().streaming(),
    BufferSpec::new("file.name", TO_SERVER, 0).multi(),
    BufferSpec::new("file.magic", TO_SERVER, 0).multi(),
];

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

/// Reply codes a server may give (RFC 5321 section 4.2, RFC 4954, RFC 3207).
const REPLIES: &[&[u8; 3]] = &[
    b"211", b"214", b"220", b"221", b"235", b"250", b"251", b"252", b"334", b"354", b"421", b"435", b"450",
    b"451", b"452", b"454", b"455", b"500", b"501", b"502", b"503", b"504", b"534", b"535", b"550", b"551",
    b"552", b"553", b"554", b"555",
];

fn start(_options: &AppProtocol, _carrier: Carrier) -> Box<dyn Parser> {
    Box::new(SmtpParser {
        transactions: TxQueue::new(MAX_TRANSACTIONS),
        commands: VecDeque::new(),
        command: Command::Other,
        data_mode: false,
        welcomed: false,
        multiline: false,
        pipelining: false,
        helo: Vec::new(),
        chunk_left: 0,
        discarding: [false; 2],
        mid_line: false,
    })
}

/// A mail.
#[derive(Debug, Default)]
struct SmtpTx {
    meta: TxMeta,
    helo: Vec<u8>,
    from: Option<Vec<u8>>,
    recipients: Vec<Vec<u8>>,
    mail: Option<Mime>,
    files: Files,
    is_data: bool,
    done: bool,
}

impl Transaction for SmtpTx {
    fn meta(&self) -> &TxMeta {
        &self.meta
    }

    fn meta_mut(&mut self) -> &mut TxMeta {
        &mut self.meta
    }

    fn progress(&self, _direction: Direction) -> u8 {
        u8::from(self.done)
    }

    fn complete(&self, _direction: Direction) -> bool {
        self.done
    }

    fn buffer(&self, slot: usize, direction: Direction, index: usize) -> Option<Buffer<'_>> {
        let file = self.files.of(direction).nth(index)?;
        match BUFFERS.get(slot)?.name {
            "file.data" => file.buffer(),
            "file.magic" => file.magic().map(|magic| Buffer::whole(magic.as_bytes())),
            _ => (!file.name.is_empty()).then(|| Buffer::whole(&file.name)),
        }
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
        usize::from(self.done || ended)
    }

    fn record_type(&self, _index: usize) -> &'static str {
        "smtp"
    }

    fn write_record(&self, _index: usize, json: &mut Json<'_>) {
        json.open_object("smtp");
        if !self.helo.is_empty() {
            json.str("helo", &self.helo);
        }
        if let Some(from) = &self.from {
            json.str("mail_from", from);
        }
        write_list("rcpt_to", self.recipients.iter().map(Vec::as_slice), json);
        json.close_object();
        if let Some(mail) = &self.mail {
            write_mail(mail, json);
        }
    }
}

fn write_list<'a>(key: &str, items: impl Iterator<Item = &'a [u8]>, json: &mut Json<'_>) {
    let mut items = items.peekable();
    if items.peek().is_some() {
        json.open_array(key);
        for item in items {
            json.str_element(item);
        }
        json.close_array();
    }
}

/// Addresses between commas that are not within quotes.
fn addresses(value: &[u8]) -> Vec<&[u8]> {
    let mut quoted = false;
    value
        .split(|&octet| {
            quoted ^= octet == b'"';
            octet == b',' && !quoted
        })
        .map(<[u8]>::trim_ascii)
        .filter(|address| !address.is_empty())
        .collect()
}

fn write_mail(mail: &Mime, json: &mut Json<'_>) {
    json.open_object("email");
    json.str("status", if mail.done { "PARSE_DONE" } else { "BODY_STARTED" });
    if let Some(from) = mail.field("from") {
        json.str("from", from);
    }
    for key in ["to", "cc"] {
        if let Some(value) = mail.field(key) {
            write_list(key, addresses(value).into_iter(), json);
        }
    }
    write_list("attachment", mail.attachments.iter().map(Vec::as_slice), json);
    write_list("url", mail.urls.iter().map(Vec::as_slice), json);
    if let Some(value) = mail.field("bcc") {
        write_list("bcc", addresses(value).into_iter(), json);
    }
    for (key, field) in [
        ("message_id", "message-id"),
        ("subject", "subject"),
        ("x_mailer", "x-mailer"),
        ("user_agent", "user-agent"),
    ] {
        if let Some(value) = mail.field(field) {
            json.str(key, value);
        }
    }
    json.close_object();
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
    helo: Vec<u8>,
    /// Octets of a BDAT chunk that still come.
    chunk_left: u64,
    /// A line was longer than kept: its rest is dropped.
    discarding: [bool; 2],
    /// What comes goes on with a line of the mail of which a piece was taken.
    mid_line: bool,
}

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
    fn raise(&mut self, event: &'static str) {
        if let Some(tx) = self.transactions.last_mut() {
            tx.meta.raise(event);
        }
    }

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

    fn request(&mut self, line: &[u8], end: &[u8], requests: &mut Requests) -> Result<(), ()> {
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
            if !self.helo.is_empty() {
                tx.meta.raise("DUPLICATE_FIELDS");
            } else {
                self.helo = argument(line, 4).to_vec();
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

    fn reply(&mut self, line: &[u8], requests: &mut Requests) -> Result<(), ()> {
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
mod tests {
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

    const TS: Direction = Direction::ToServer;
    const TC: Direction = Direction::ToClient;

    #[test]
    fn a_mail_with_an_attachment_is_one_transaction_with_its_record_and_file() {
        let mut parser = start(&AppProtocol::default(), Carrier::Tcp);
        let mut requests = Requests::default();
        for (direction, text) in [
            (TC, "220 mx\r\n"),
            (TS, "EHLO client\r\n"),
            (TC, "250-mx\r\n250 PIPELINING\r\n"),
            (TS, "MAIL FROM:<a@example>\r\nRCPT TO:<b@example>\r\nDATA\r\n"),
            (TC, "250 ok\r\n250 ok\r\n354 go\r\n"),
            (TS, "From: A <a@example>\r\nTo: b@example, c@example\r\nSubject: hi\r\nContent-Disposition: attachment; filename=\"f.bin\"\r\n\r\nline\r\n.\r\n"),
            (TC, "250 queued\r\n"),
        ] {
            let parsed = parser.parse(direction, &input(text.as_bytes()), &mut requests);
            assert_eq!(parsed, Parsed::Used(text.len()));
        }
        let tx = parser.transactions().get(0).unwrap();
        assert!(tx.complete(TS) && tx.meta().events.is_empty());
        assert_eq!(tx.files().unwrap().files[0].size, 4);
        let mut out = Vec::new();
        let mut json = Json::new(&mut out);
        json.open();
        tx.write_record(0, &mut json);
        json.close_object();
        let record: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(record["smtp"]["helo"], "client");
        assert_eq!(record["smtp"]["rcpt_to"][0], "<b@example>");
        assert_eq!(record["email"]["to"][1], "c@example");
        assert_eq!(record["email"]["attachment"][0], "f.bin");
    }

    #[test]
    fn starttls_asks_for_tls() {
        let mut parser = start(&AppProtocol::default(), Carrier::Tcp);
        let mut requests = Requests::default();
        parser.parse(TC, &input(b"220 mx\r\n"), &mut requests);
        parser.parse(TS, &input(b"STARTTLS\r\n"), &mut requests);
        parser.parse(TC, &input(b"220 go\r\n"), &mut requests);
        assert_eq!(requests.change_protocol, Some("tls"));
    }

    proptest::proptest! {
        #[test]
        fn any_dialogue_does_not_panic(lines in proptest::collection::vec(("(DATA|BDAT [0-9]{1,3}|EHLO x|RSET|\\.|[ -~]{0,30})\r?\n", "(220|250|354|9)[- ]?[ -~]{0,10}\n"), 0..20)) {
            let mut parser = start(&AppProtocol::default(), Carrier::Tcp);
            for (request, reply) in &lines {
                parser.parse(TC, &input(reply.as_bytes()), &mut Requests::default());
                parser.parse(TS, &input(request.as_bytes()), &mut Requests::default());
            }
        }
    }
}
