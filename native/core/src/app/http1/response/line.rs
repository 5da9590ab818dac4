//! Status lines, or what is in their place.

use super::{State, SIDE};
use crate::app::http1::header::is_space;
use crate::app::http1::transaction::{progress, HttpTx, Version};
use crate::app::http1::{chomp, is_blank, HttpParser, Step};
use crate::app::Requests;

impl HttpParser {
    pub(super) fn response_line(
        &mut self,
        id: u64,
        rest: &[u8],
        pos: &mut usize,
        requests: &mut Requests,
    ) -> Step {
        let closed = self.outbound.closed;
        // A line ends with LF, or with a CR that no LF follows.
        let end = match memchr::memchr2(b'\r', b'\n', rest) {
            Some(at) if rest[at] == b'\n' => at + 1,
            Some(at) => match rest[at + 1..].iter().position(|&octet| octet != b'\r') {
                Some(0) if rest[at + 1] == b'\n' => at + 2,
                Some(_) => at + 1,
                None if closed => rest.len(),
                None => return Step::Need,
            },
            None if closed => rest.len(),
            None if self.too_long(id, SIDE, rest.len()) => return Step::Error,
            None => return Step::Need,
        };
        let line = &rest[..end];
        if line.is_empty() || is_blank(line, false) {
            *pos += end;
            if closed {
                self.outbound.state = State::Finalize;
            }
            return Step::Go;
        }
        let (text, _) = chomp(line);
        *pos += end;
        if is_body(text) {
            let follows = rest.get(end..).unwrap_or_default();
            if follows.len() > 1 && (follows[0] == b'H' || text.len() <= 2) {
                return Step::Go;
            }
            self.layers[1].clear();
            if !self.body(id, SIDE, line, requests) {
                return Step::Error;
            }
            if follows.is_empty() {
                if let Some(tx) = self.transactions.item_mut(id) {
                    tx.messages[1].progress = progress::BODY;
                }
                self.outbound.state = State::Finalize;
            }
            return Step::Go;
        }
        let Some(tx) = self.transactions.item_mut(id) else {
            return Step::Error;
        };
        parse_status_line(tx, text);
        tx.messages[1].progress = progress::HEADERS;
        self.outbound.state = State::Headers;
        Step::Go
    }
}

/// Whether a line where a status line should be is a body without one.
pub fn is_body(line: &[u8]) -> bool {
    let start = line
        .iter()
        .position(|&octet| !is_space(octet) && octet != 0)
        .unwrap_or(line.len());
    !line
        .get(start..start + 4)
        .is_some_and(|word| word.eq_ignore_ascii_case(b"HTTP"))
}

fn parse_status_line(tx: &mut HttpTx, line: &[u8]) {
    tx.messages[1].line = Some(line.to_vec());
    tx.messages[1].version = Version::Invalid;
    tx.messages[1].protocol = None;
    tx.response.status = None;
    tx.response.number = 0;
    tx.response.message = None;
    let mut rest = line;
    let mut word = || {
        let start = rest
            .iter()
            .position(|&octet| !is_space(octet))
            .unwrap_or(rest.len());
        let after = &rest[start..];
        let len = after
            .iter()
            .position(|&octet| is_space(octet))
            .unwrap_or(after.len());
        rest = &after[len..];
        &after[..len]
    };
    let protocol = word();
    let status = word();
    let reason = rest.trim_ascii_start();
    if !protocol.is_empty() {
        tx.messages[1].version = Version::parse(protocol);
        tx.messages[1].protocol = Some(protocol.to_vec());
    }
    if tx.messages[1].version == Version::Invalid {
        tx.meta.raise("RESPONSE_INVALID_PROTOCOL");
    }
    if !status.is_empty() {
        let number = std::str::from_utf8(status)
            .ok()
            .and_then(|text| text.parse::<u16>().ok());
        tx.response.number = number.filter(|number| (100..1000).contains(number)).unwrap_or(0);
        tx.response.status = Some(status.to_vec());
    }
    if tx.response.number == 0 {
        tx.meta.raise("RESPONSE_INVALID_STATUS");
    }
    if !reason.is_empty() {
        tx.response.message = Some(reason.to_vec());
    }
}
