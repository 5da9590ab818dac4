//! SMB 1, 2 and 3 over NetBIOS sessions or TCP (MS-CIFS, MS-SMB, MS-SMB2): commands with their answers, files that are
//! read and written, calls over pipes.
//!
//! A session packet carries one message or several. `smb1` and `smb2` read messages and change the connection's `state`,
//! which holds the exchanges (`queue`, `transaction`) and what has to be remembered between messages. A packet is taken when
//! it is all there, but for reads and writes of files, whose octets are passed on as they come (`tracker`).

mod control;
mod key;
mod limits;
mod memory;
mod nbss;
mod ntlmssp;
mod pipe;
mod queue;
mod reader;
mod record;
mod smb1;
mod smb2;
mod spnego;
mod state;
mod status;
mod tracker;
mod transaction;

use limits::Options;
use nbss::{probe, probe_midstream, Packet, PROBE_OCTETS};
use state::State;

use super::{
    BufferSpec, Carrier, Input, Parsed, Parser, Pattern, Probing, Protocol, Requests, Transactions,
    ValueSpec, BOTH, TO_SERVER,
};
use crate::config::AppProtocol;
use crate::packet::Direction;

const TS: Direction = Direction::ToServer;
const TC: Direction = Direction::ToClient;
/// Octets of a longer packet that are waited for before it is looked at.
const LOOK_OCTETS: usize = 512;

static BUFFERS: &[BufferSpec] = &[
    BufferSpec::new("file.data", BOTH, 0).multi().streaming(),
    BufferSpec::new("file.name", BOTH, 0).multi(),
    BufferSpec::new("file.magic", BOTH, 0).multi(),
    BufferSpec::new("smb.named_pipe", TO_SERVER, 1),
    BufferSpec::new("smb.share", TO_SERVER, 1),
    BufferSpec::new("smb.ntlmssp_user", TO_SERVER, 1),
    BufferSpec::new("smb.ntlmssp_domain", TO_SERVER, 1),
    BufferSpec::new("dcerpc.stub_data", BOTH, 0).streaming(),
];

/// The octets a message begins with, behind the packet's length.
const fn signature(direction: Direction, octets: &'static [u8; 4]) -> Pattern {
    Pattern::tcp(direction, octets)
        .at(4)
        .confirmed(probe, PROBE_OCTETS, PROBE_OCTETS)
}

/// SMB.
pub static PROTOCOL: Protocol = Protocol {
    name: "smb",
    patterns: &[
        signature(TS, b"\xffSMB"),
        signature(TC, b"\xffSMB"),
        signature(TS, b"\xfeSMB"),
        signature(TC, b"\xfeSMB"),
        signature(TS, b"\xfdSMB"),
        signature(TC, b"\xfdSMB"),
    ],
    probing: &[Probing {
        carrier: Carrier::Tcp,
        ports: &[139, 445],
        client_ports: &[],
        min: PROBE_OCTETS,
        max: PROBE_OCTETS,
        to_server: Some(probe),
        to_client: Some(probe),
    }],
    midstream: Some(probe_midstream),
    accepts_gaps: true,
    // Files are followed to their ends.
    stream_depth: Some(0),
    start: Some(start),
    buffers: BUFFERS,
    values: &[ValueSpec {
        name: "dcerpc.opnum",
        directions: BOTH,
        progress: 0,
    }],
    events: &[
        "internal_error",
        "malformed_data",
        "record_overflow",
        "malformed_ntlmssp_request",
        "malformed_ntlmssp_response",
        "duplicate_negotiate",
        "negotiate_malformed_dialects",
        "file_overlap",
        "request_to_client",
        "response_to_server",
        "negotiate_max_read_size_too_large",
        "negotiate_max_write_size_too_large",
        "read_request_too_large",
        "read_response_too_large",
        "read_queue_size_exceeded",
        "read_queue_cnt_exceeded",
        "write_request_too_large",
        "write_queue_size_exceeded",
        "write_queue_cnt_exceeded",
        "unusual_ntlmssp_order",
        "too_many_transactions",
    ],
    ..Protocol::DETECTED
};

fn start(config: &AppProtocol, _carrier: Carrier) -> Box<dyn Parser> {
    Box::new(SmbParser {
        state: State::new(Options::new(config)),
    })
}

struct SmbParser {
    state: State,
}

/// A packet's content could not be read: nothing after it can be trusted.
struct Malformed;

/// What became of a packet.
enum Step {
    /// It was taken; so many octets were used.
    Used(usize),
    /// More has to come.
    Wait,
}

impl SmbParser {
    /// One packet.
    fn step(&mut self, direction: Direction, data: &[u8]) -> Result<Step, Malformed> {
        let Some(packet) = Packet::read(data) else {
            return Ok(Step::Wait);
        };
        if let Some((content, rest)) = packet.whole() {
            if packet.kind == nbss::MESSAGE {
                self.messages(direction, content)?;
            }
            return Ok(Step::Used(data.len() - rest.len()));
        }
        if data.len() >= LOOK_OCTETS {
            if self.begins_file(direction, &packet) {
                return Ok(Step::Used(data.len()));
            }
        } else if packet.len + nbss::HEADER_OCTETS < LOOK_OCTETS && packet.after.len() > 4 && !packet.is_smb()
        {
            // A short packet of something else: the stream is not read any more.
            self.state.give_up(direction);
        }
        Ok(Step::Wait)
    }

    /// Take the beginning of a packet, if a file is read or written by it.
    fn begins_file(&mut self, direction: Direction, packet: &Packet<'_>) -> bool {
        if packet.kind != nbss::MESSAGE {
            return false;
        }
        let Ok(to_come) = u32::try_from(packet.len - packet.after.len()) else {
            return false;
        };
        let state = &mut self.state;
        if let Some(message) = smb1::Message::read(packet.after) {
            let fits = smb1::continues_file(state, &message, direction);
            match direction {
                _ if !fits => {}
                TS => smb1::written(state, &message, message.command, smb1::HEADER_OCTETS, to_come),
                TC => smb1::read_answered(state, &message, smb1::HEADER_OCTETS, to_come),
            }
            return fits;
        }
        let Some((message, _)) = smb2::Message::read(packet.after, direction == TC) else {
            return false;
        };
        let fits = smb2::continues_file(state, &message, direction);
        match direction {
            _ if !fits => {}
            TS => smb2::written(state, &message, to_come),
            TC => smb2::read_answered(state, &message, to_come),
        }
        fits
    }

    /// The messages of a packet that is all there.
    fn messages(&mut self, direction: Direction, content: &[u8]) -> Result<(), Malformed> {
        let outcome = match content {
            [0xff, b'S', b'M', b'B', ..] => self.smb1(direction, content),
            [0xfe, b'S', b'M', b'B', ..] => self.smb2(direction, content),
            [0xfd, b'S', b'M', b'B', ..] => encrypted(content),
            [_, b'S', b'M', b'B', ..] => Some(()),
            // Servers send empty ones.
            short if direction == TC && b"SMB".starts_with(short.get(1..).unwrap_or_default()) => Some(()),
            _ => None,
        };
        outcome.ok_or_else(|| {
            self.state.queue.raise("malformed_data");
            Malformed
        })
    }

    fn smb1(&mut self, direction: Direction, content: &[u8]) -> Option<()> {
        let message = smb1::Message::read(content)?;
        match (direction, message.is_response) {
            (TS, false) => smb1::request(&mut self.state, &message),
            (TC, true) => smb1::response(&mut self.state, &message),
            _ => {}
        }
        Some(())
    }

    fn smb2(&mut self, direction: Direction, mut content: &[u8]) -> Option<()> {
        while !content.is_empty() {
            let (message, rest) = smb2::Message::read(content, direction == TC)?;
            match (direction, message.is_response) {
                (TS, false) => smb2::request(&mut self.state, &message),
                (TC, true) => smb2::response(&mut self.state, &message),
                _ => {}
            }
            content = rest;
        }
        Some(())
    }

    /// After octets were lost: find the next message. Octets before it; `None` when there is none yet.
    fn find(&mut self, direction: Direction, data: &[u8]) -> Option<usize> {
        let mut from = 0;
        loop {
            let start = from + nbss::find(data.get(from..)?)?;
            match start.checked_sub(nbss::HEADER_OCTETS).filter(|&at| at >= from) {
                Some(at) => {
                    self.state.sides[direction.index()].lost_track = false;
                    return Some(at);
                }
                // The packet's header is lost.
                None => from = start + 4,
            }
        }
    }
}

fn encrypted(mut content: &[u8]) -> Option<()> {
    while !content.is_empty() {
        content = smb2::encrypted(content)?;
    }
    Some(())
}

impl Parser for SmbParser {
    fn parse(&mut self, direction: Direction, input: &Input<'_>, _requests: &mut Requests) -> Parsed {
        self.state.now_s = input.now.seconds();
        if input.gap > 0 {
            self.state.lose(direction, input.gap);
        }
        let data = input.data;
        let mut used = self.state.continue_message(direction, data);
        if self.state.sides[direction.index()].lost_track && used < data.len() {
            match self.find(direction, &data[used..]) {
                Some(before) => used += before,
                // A header may be split.
                None => return Parsed::Used(used.max(data.len().saturating_sub(7))),
            }
        }
        while used < data.len() {
            match self.step(direction, &data[used..]) {
                Ok(Step::Used(len)) => used += len,
                Ok(Step::Wait) => return Parsed::Used(used),
                Err(Malformed) => return Parsed::Failed,
            }
        }
        self.state.keep_house(direction);
        Parsed::Used(used)
    }

    fn midstream(&mut self) {
        for side in &mut self.state.sides {
            side.lost_track = true;
        }
    }

    fn transactions(&self) -> &dyn Transactions {
        &self.state.queue
    }

    fn transactions_mut(&mut self) -> &mut dyn Transactions {
        &mut self.state.queue
    }
}

#[cfg(test)]
mod tests;
