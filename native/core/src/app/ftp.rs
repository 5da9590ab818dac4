//! FTP (RFC 959, RFC 2428, RFC 4217): commands with their replies; `data` is what they transfer.

pub mod data;

use super::{
    Buffer, Carrier, Expectation, Input, Parsed, Parser, Pattern, Protocol, Requests, Transaction,
    Transactions, TxMeta, TxQueue, ValueSpec, TO_SERVER,
};
use crate::config::AppProtocol;
use crate::event::json::Json;
use crate::packet::Direction;

/// Octets of a line that are kept.
const MAX_LINE_OCTETS: usize = 4096;
/// Commands of a connection the engine has not dealt with yet, at most.
const MAX_TRANSACTIONS: usize = 1024;
/// Replies of a command that are kept.
const MAX_REPLIES: usize = 64;

/// Commands that make a transaction.
const COMMANDS: &[&str] = &[
    "PORT", "EPRT", "AUTH TLS", "PASV", "RETR", "EPSV", "STOR", "ABOR", "ACCT", "ALLO", "APPE", "CDUP",
    "CHMOD", "CWD", "DELE", "HELP", "IDLE", "LIST", "MAIL", "MDTM", "MKD", "MLFL", "MODE", "MRCP", "MRSQ",
    "MSAM", "MSND", "MSOM", "NLST", "NOOP", "PASS", "PWD", "QUIT", "REIN", "REST", "RMD", "RNFR", "RNTO",
    "SITE", "SIZE", "SMNT", "STAT", "STOU", "STRU", "SYST", "TYPE", "UMASK", "USER",
];

/// FTP's control connection.
pub static PROTOCOL: Protocol = Protocol {
    name: "ftp",
    patterns: &[
        Pattern::tcp(Direction::ToClient, b"220 (").nocase(),
        Pattern::tcp(Direction::ToServer, b"FEAT").nocase(),
        Pattern::tcp(Direction::ToServer, b"USER ").nocase(),
        Pattern::tcp(Direction::ToServer, b"PASS ").nocase(),
        Pattern::tcp(Direction::ToServer, b"PORT ").nocase(),
    ],
    start: Some(start),
    values: &[ValueSpec {
        name: "ftpbounce",
        directions: TO_SERVER,
        progress: 0,
    }],
    events: &["request_command_too_long", "response_command_too_long"],
    ..Protocol::DETECTED
};

fn start(_options: &AppProtocol, _carrier: Carrier) -> Box<dyn Parser> {
    Box::new(FtpParser {
        transactions: TxQueue::new(MAX_TRANSACTIONS),
        command: None,
        oldest: 0,
        port_line: Vec::new(),
        port: 0,
        active: false,
        discarding: [false; 2],
    })
}

/// A command with its replies.
#[derive(Debug, Default)]
struct FtpTx {
    meta: TxMeta,
    command: Option<&'static str>,
    request: Vec<u8>,
    request_cut: bool,
    replies: Vec<Vec<u8>>,
    reply_cut: bool,
    port: u16,
    active: bool,
    done: bool,
}

impl Transaction for FtpTx {
    fn meta(&self) -> &TxMeta {
        &self.meta
    }

    fn meta_mut(&mut self) -> &mut TxMeta {
        &mut self.meta
    }

    fn progress(&self, direction: Direction) -> u8 {
        match self.done {
            true => 2,
            false => u8::from(direction == Direction::ToServer && self.command == Some("PORT")),
        }
    }

    fn begun(&self, direction: Direction) -> bool {
        direction == Direction::ToServer || !self.replies.is_empty()
    }

    fn complete(&self, _direction: Direction) -> bool {
        self.done
    }

    fn buffer(&self, _slot: usize, _direction: Direction, _index: usize) -> Option<Buffer<'_>> {
        None
    }

    /// The host a PORT command names, for `ftpbounce`.
    fn value(&self, _slot: usize, _direction: Direction, index: usize) -> Option<i64> {
        if index > 0 || self.command != Some("PORT") {
            return None;
        }
        port_host(&self.request).map(i64::from)
    }

    fn records(&self, ended: bool) -> usize {
        usize::from(self.done || ended)
    }

    fn record_type(&self, _index: usize) -> &'static str {
        "ftp"
    }

    fn write_record(&self, _index: usize, json: &mut Json<'_>) {
        json.open_object("ftp");
        if let Some(command) = self.command {
            json.str("command", command);
            if let Some(data) = self
                .request
                .get(command.len() + 1..)
                .filter(|data| !data.is_empty())
            {
                json.str("command_data", data);
                json.bool("command_truncated", self.request_cut);
            }
        }
        self.write_replies(json);
        if self.port != 0 {
            json.num("dynamic_port", self.port);
        }
        if matches!(self.command, Some("PORT" | "EPRT")) {
            json.str("mode", if self.active { "active" } else { "passive" });
        }
        json.str("reply_received", if self.done { "yes" } else { "no" });
        json.bool("reply_truncated", self.reply_cut);
        json.close_object();
    }
}

/// The three digits a reply begins with.
fn code(reply: &[u8]) -> Option<&[u8]> {
    reply.get(..3).filter(|code| code.iter().all(u8::is_ascii_digit))
}

impl FtpTx {
    fn write_replies(&self, json: &mut Json<'_>) {
        if self.replies.iter().any(|reply| code(reply).is_some()) {
            json.open_array("completion_code");
            for code in self.replies.iter().filter_map(|reply| code(reply)) {
                json.str_element(code);
            }
            json.close_array();
        }
        if !self.replies.is_empty() {
            json.open_array("reply");
            for reply in &self.replies {
                let skip = if code(reply).is_some() { 4 } else { 0 };
                json.str_element(reply.get(skip..).unwrap_or_default());
            }
            json.close_array();
        }
    }
}

struct FtpParser {
    transactions: TxQueue<FtpTx>,
    /// The command that came last.
    command: Option<&'static str>,
    /// No transaction before it awaits a reply.
    oldest: u64,
    /// Line of the last PORT or EPRT.
    port_line: Vec<u8>,
    /// Port of the transfer that was agreed on; 0 is none.
    port: u16,
    active: bool,
    /// A line was longer than kept: its rest is dropped.
    discarding: [bool; 2],
}

/// Numbers between commas, at the end of an address: the port of `h1,h2,h3,h4,p1,p2`.
fn comma_port(text: &[u8]) -> Option<u16> {
    let text = std::str::from_utf8(text).ok()?;
    let start = text.find(|c: char| c.is_ascii_digit())?;
    let end = text[start..]
        .find(|c: char| !c.is_ascii_digit() && c != ',')
        .map_or(text.len(), |len| start + len);
    let numbers: Vec<u8> = text[start..end]
        .split(',')
        .map(str::parse)
        .collect::<Result<_, _>>()
        .ok()?;
    let [_, _, _, _, high, low] = numbers[..] else {
        return None;
    };
    Some(u16::from_be_bytes([high, low]))
}

/// The host of `PORT h1,h2,h3,h4,p1,p2`: numbers of at most three digits, blanks before a comma allowed, as Suricata reads
/// it.
fn port_host(line: &[u8]) -> Option<u32> {
    /// Octets of the command's name and a blank.
    const NAME_OCTETS: usize = 5;
    if line.len() <= NAME_OCTETS + 7 {
        return None;
    }
    let mut rest = line[NAME_OCTETS..]
        .iter()
        .copied()
        .skip_while(|octet| !octet.is_ascii_digit());
    let (mut host, mut count) = (0u32, 0);
    let (mut number, mut digits) = (0u32, 0);
    while count < 4 && digits < 4 {
        let octet = rest.next()?;
        if octet.is_ascii_digit() {
            number = number * 10 + u32::from(octet - b'0');
            digits += 1;
            continue;
        }
        let after = if octet.is_ascii_whitespace() {
            rest.by_ref().find(|octet| !octet.is_ascii_whitespace())?
        } else {
            octet
        };
        if number > 256 || after != b',' {
            return None;
        }
        host = (host << 8).wrapping_add(number);
        (number, digits, count) = (0, 0, count + 1);
    }
    (count == 4).then_some(host)
}

/// The port of `|||port|` or `|af|address|port|`.
fn bar_port(text: &[u8]) -> Option<u16> {
    let text = std::str::from_utf8(text).ok()?;
    let start = text.find('|')?;
    text[start + 1..].split('|').nth(2)?.parse().ok()
}

impl FtpParser {
    /// The next line: (its octets, octets used, cut). `None` waits for more.
    fn line<'a>(&mut self, direction: Direction, data: &'a [u8]) -> Option<(&'a [u8], usize, bool)> {
        let at = direction.index();
        let end = memchr::memchr(b'\n', data);
        if self.discarding[at] {
            let used = end.map_or(data.len(), |end| end + 1);
            self.discarding[at] = end.is_none();
            return Some((&[], used, false));
        }
        match end {
            None if data.len() < MAX_LINE_OCTETS => None,
            None => {
                self.discarding[at] = true;
                Some((&data[..MAX_LINE_OCTETS], data.len(), true))
            }
            Some(end) if end >= MAX_LINE_OCTETS => Some((&data[..MAX_LINE_OCTETS], end + 1, true)),
            Some(end) => {
                let line = &data[..end];
                Some((line.strip_suffix(b"\r").unwrap_or(line), end + 1, false))
            }
        }
    }

    fn request(&mut self, line: &[u8], cut: bool, requests: &mut Requests) -> Result<(), ()> {
        let command = COMMANDS.iter().find(|name| {
            line.len() >= name.len() && line[..name.len()].eq_ignore_ascii_case(name.as_bytes())
        });
        self.command = command.copied();
        let Some(&command) = command else { return Ok(()) };
        let mut tx = FtpTx {
            command: Some(command),
            request: line.trim_ascii_end().to_vec(),
            request_cut: cut,
            ..FtpTx::default()
        };
        if cut {
            tx.meta.raise("request_command_too_long");
        }
        self.transactions.push(tx);
        match command {
            "PORT" | "EPRT" => self.port_line = line.to_vec(),
            "RETR" | "STOR" => {
                if self.port == 0 || line.len() < 6 {
                    return Err(());
                }
                // In active mode the server opens the connection: its client is this one's server.
                let to_client = (self.active && command == "STOR") || (!self.active && command == "RETR");
                let mut note = vec![u8::from(command == "STOR"), u8::from(to_client)];
                note.extend_from_slice(&line[5..]);
                requests.expect = Some(Expectation {
                    protocol: "ftp-data",
                    dport: self.port,
                    direction: if to_client {
                        Direction::ToClient
                    } else {
                        Direction::ToServer
                    },
                    note,
                });
                self.port = 0;
                self.active = false;
            }
            _ => {}
        }
        Ok(())
    }

    fn reply(&mut self, line: &[u8], cut: bool, requests: &mut Requests) {
        let end = self.transactions.next_id();
        while self.oldest < end && self.transactions.item(self.oldest).is_none_or(|tx| tx.done) {
            self.oldest += 1;
        }
        let mut id = self.oldest;
        if id >= end {
            id = match end
                .checked_sub(1)
                .filter(|&last| self.transactions.item(last).is_some())
            {
                Some(last) => last,
                None => self.transactions.push(FtpTx::default()),
            };
        }
        let starts = |text: &[u8]| line.starts_with(text);
        let mut port = None;
        match self.command {
            Some("AUTH TLS") if starts(b"234 ") => requests.change_protocol = Some("tls"),
            Some("EPRT") => port = bar_port(&self.port_line).map(|port| (port, true)),
            Some("PORT") => port = comma_port(&self.port_line).map(|port| (port, true)),
            Some("PASV") if starts(b"227 ") => port = comma_port(&line[4..]).map(|port| (port, false)),
            Some("EPSV") if starts(b"229 ") => port = bar_port(&line[4..]).map(|port| (port, false)),
            _ => {}
        }
        if let Some((port, active)) = port {
            self.port = port;
            self.active = active;
        }
        let Some(tx) = self.transactions.item_mut(id) else {
            return;
        };
        if let Some((port, active)) = port {
            tx.port = port;
            tx.active = active;
        }
        if !line.is_empty() && tx.replies.len() < MAX_REPLIES {
            tx.replies.push(line.trim_ascii_end().to_vec());
            if cut {
                tx.reply_cut = true;
                tx.meta.raise("response_command_too_long");
            }
        }
        let preliminary =
            line.len() >= 4 && line[0] == b'1' && code(line).is_some() && line[3].is_ascii_whitespace();
        if !preliminary {
            tx.done = true;
        }
    }
}

impl Parser for FtpParser {
    fn parse(&mut self, direction: Direction, input: &Input<'_>, requests: &mut Requests) -> Parsed {
        let mut used = 0;
        while used < input.data.len() {
            let Some((line, len, cut)) = self.line(direction, &input.data[used..]) else {
                break;
            };
            used += len;
            match direction {
                Direction::ToServer if self.request(line, cut, requests).is_err() => return Parsed::Failed,
                Direction::ToServer => {}
                Direction::ToClient => self.reply(line, cut, requests),
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

    #[test]
    fn a_passive_download_announces_its_data_connection() {
        let mut parser = start(&AppProtocol::default(), Carrier::Tcp);
        let mut requests = Requests::default();
        for (direction, text) in [
            (Direction::ToClient, &b"220 (vsFTPd 3)\r\n"[..]),
            (Direction::ToServer, b"USER anonymous\r\n"),
            (Direction::ToClient, b"331 Please\r\n"),
            (Direction::ToServer, b"PASV\r\n"),
            (
                Direction::ToClient,
                b"227 Entering Passive Mode (192,0,2,1,200,10).\r\n",
            ),
            (Direction::ToServer, b"RETR file.bin\r\n"),
        ] {
            assert_eq!(
                parser.parse(direction, &input(text), &mut requests),
                Parsed::Used(text.len())
            );
        }
        let expected = requests.expect.unwrap();
        assert_eq!((expected.protocol, expected.dport), ("ftp-data", 200 * 256 + 10));
        assert_eq!(&expected.note[2..], b"file.bin");
        let mut out = Vec::new();
        let mut json = Json::new(&mut out);
        json.open();
        parser.transactions().get(1).unwrap().write_record(0, &mut json);
        json.close_object();
        let record: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(record["ftp"]["command"], "USER");
        assert_eq!(record["ftp"]["command_data"], "anonymous");
        assert_eq!(record["ftp"]["completion_code"][0], "331");
    }

    #[test]
    fn a_port_command_names_a_host() {
        for (line, host) in [
            (&b"PORT 192,0,2,1,4,5"[..], Some(0xc000_0201)),
            (b"PORT  (192 ,0,2,1,4,5)", Some(0xc000_0201)),
            (b"PORT 1,2,3,4", None),
            (b"PORT 192,0,2,300,4,5", None),
            (b"PORT 1000,0,2,1,4,5", None),
            (b"PORT 192.0.2.1.4.5", None),
        ] {
            assert_eq!(port_host(line), host, "{}", line.escape_ascii());
        }
    }

    proptest::proptest! {
        #[test]
        fn any_octets_do_not_panic(data in "[A-Z0-9 ,|()\r\n\\PC]{0,200}") {
            let mut parser = start(&AppProtocol::default(), Carrier::Tcp);
            for direction in [Direction::ToServer, Direction::ToClient, Direction::ToServer] {
                parser.parse(direction, &input(data.as_bytes()), &mut Requests::default());
            }
        }
    }
}
