//! Header lines of responses, and what they say of what follows.

use super::{State, SIDE};
use crate::app::http1::encodings::{self, contains_nocase};
use crate::app::http1::header::content_length;
use crate::app::http1::transaction::{progress, HttpTx, Version};
use crate::app::http1::{chomp, is_blank, is_folding, request, upgrade, HttpParser, Step, MAX_FOLDED_OCTETS};
use crate::app::Requests;

impl HttpParser {
    pub(super) fn response_headers(
        &mut self,
        id: u64,
        rest: &[u8],
        pos: &mut usize,
        requests: &mut Requests,
    ) -> Step {
        if self.outbound.closed {
            let tail = rest.to_vec();
            *pos += tail.len();
            if let Some(tx) = self.transactions.item_mut(id) {
                tx.messages[1].raw.extend_from_slice(&tail);
                tx.messages[1].trailer = true;
                tx.messages[1].headers_done = true;
            }
            self.outbound.state = State::Finalize;
            return Step::Go;
        }
        let Some((from, len)) = header_line(rest, self.outbound.after_lf_cr) else {
            return if self.too_long(id, SIDE, rest.len()) {
                Step::Error
            } else {
                Step::Need
            };
        };
        let line = &rest[from..len];
        self.outbound.after_lf_cr = line.ends_with(b"\n\r");
        let more = rest.get(len).is_some_and(|&octet| octet != b'\n');
        *pos += len;
        let Some(tx) = self.transactions.item_mut(id) else {
            return Step::Error;
        };
        tx.messages[1].raw.extend_from_slice(&rest[..len]);
        let in_header = tx.messages[1].progress == progress::HEADERS;
        let version = tx.messages[1].version;
        if is_blank(line, more) {
            if !self.pending_field(id, SIDE) {
                return Step::Error;
            }
            if in_header {
                return self.response_headers_done(id, requests);
            }
            if let Some(tx) = self.transactions.item_mut(id) {
                tx.messages[1].trailer = true;
            }
            self.outbound.state = State::Finalize;
            return Step::Go;
        }
        let (text, _) = chomp(line);
        if text.first().is_some_and(|&first| !is_folding(first)) {
            if !self.pending_field(id, SIDE) {
                return Step::Error;
            }
            if rest.get(len).is_some_and(|&next| is_folding(next)) {
                self.pending[1] = Some(text.to_vec());
            } else if !self.field(id, SIDE, text) {
                return Step::Error;
            }
            return Step::Go;
        }
        match self.pending[1].take() {
            None => {
                self.once(id, SIDE, 2, "INVALID_RESPONSE_FIELD_FOLDING");
                let skip = text.iter().take_while(|&&octet| is_folding(octet)).count();
                self.pending[1] = Some(text[skip..].to_vec());
            }
            Some(field) if text.contains(&b':') && field.contains(&b':') && version == Version::V11 => {
                // Two fields, not one that goes on.
                self.once(id, SIDE, 2, "INVALID_RESPONSE_FIELD_FOLDING");
                if !self.field(id, SIDE, &field) {
                    return Step::Error;
                }
                self.pending[1] = Some(text.get(1..).unwrap_or_default().to_vec());
            }
            Some(mut field) => {
                if field.len() < MAX_FOLDED_OCTETS {
                    field.extend_from_slice(text);
                }
                self.pending[1] = Some(field);
            }
        }
        Step::Go
    }

    /// The header is complete: what body follows?
    pub(super) fn response_headers_done(&mut self, id: u64, requests: &mut Requests) -> Step {
        let Some(tx) = self.transactions.item_mut(id) else {
            return Step::Error;
        };
        let number = tx.response.number;
        let headers = &tx.messages[1].headers;
        let method = tx.request.method.as_deref().unwrap_or_default();
        let length = headers.get("content-length").map(content_length);
        let coding = headers.get("transfer-encoding");
        if method == b"CONNECT" && (200..300).contains(&number) {
            tx.messages[1].headers_done = true;
            self.outbound.state = State::Finalize;
            return Step::Go;
        }
        if number == 101 && coding.is_none() && length.is_none() {
            let upgrade = headers.get("upgrade").map(<[u8]>::to_vec);
            let port = tx.request.port.unwrap_or(0);
            tx.messages[1].headers_done = true;
            if upgrade.as_deref() == Some(b"h2c") && crate::app::protocol("http2").is_some() {
                requests.change_protocol = Some("http2");
                requests.change_port = port;
                requests.note = upgrade::note(tx);
            } else {
                self.tunnel = true;
            }
            return Step::Tunnel;
        }
        if number == 100 && coding.is_none() && length.and_then(|length| length.length).unwrap_or(0) == 0 {
            if std::mem::replace(&mut tx.response.continued, true) {
                tx.meta.raise("100_CONTINUE_ALREADY_SEEN");
            }
            tx.messages[1].headers.clear();
            tx.messages[1].progress = progress::LINE;
            self.outbound.state = State::Line;
            return Step::Go;
        }
        let refused = (400..500).contains(&number)
            && self.inbound.announced > 0
            && self.inbound.left == Some(self.inbound.announced)
            && tx.messages[0]
                .headers
                .get("expect")
                .is_some_and(|value| value.eq_ignore_ascii_case(b"100-continue"));
        if refused {
            self.inbound.state = request::State::Finalize;
        }
        let silent = matches!(number, 100..=199 | 204 | 304) && coding.is_none() && length.is_none();
        let next = if method == b"HEAD" || silent {
            self.outbound.no_body = true;
            State::Finalize
        } else {
            match body_follows(tx, &mut self.outbound.left) {
                Some(next) => next,
                None => return Step::Error,
            }
        };
        if next != State::Finalize {
            tx.messages[1].progress = progress::BODY;
        }
        tx.messages[1].headers_done = true;
        self.outbound.state = next;
        self.set_layers(id);
        Step::Go
    }

    /// Decoders for the response's content encodings.
    fn set_layers(&mut self, id: u64) {
        let options = self.options.clone();
        self.layers[1].clear();
        let Some(tx) = self.transactions.item_mut(id) else {
            return;
        };
        let Some(value) = tx.messages[1].headers.get("content-encoding") else {
            return;
        };
        let (layers, events) = encodings::of_response(value, &options);
        for event in events {
            tx.meta.raise(event);
        }
        self.layers[1] = layers;
    }
}

/// How the body is told from what follows it, and its length where that is known; `None` when that cannot be said.
fn body_follows(tx: &mut HttpTx, left: &mut u64) -> Option<State> {
    let headers = &tx.messages[1].headers;
    let chunked = headers
        .get("transfer-encoding")
        .filter(|coding| contains_nocase(&without_nul(coding), b"chunked"));
    if let Some(coding) = chunked {
        if !coding.eq_ignore_ascii_case(b"chunked") {
            tx.meta.raise("RESPONSE_ABNORMAL_TRANSFER_ENCODING");
        }
        if tx.messages[1].version < Version::V11 {
            tx.meta.raise("RESPONSE_CHUNKED_OLD_PROTO");
        }
        return Some(State::ChunkLength);
    }
    if let Some(value) = headers.get("content-length") {
        let Some(length) = content_length(value).length else {
            tx.meta.raise("INVALID_CONTENT_LENGTH_FIELD_IN_RESPONSE");
            return None;
        };
        *left = length;
        return Some(if length > 0 { State::Body } else { State::Finalize });
    }
    let kind = headers.get("content-type").unwrap_or_default();
    if contains_nocase(kind, b"multipart/byteranges") {
        tx.meta.raise("RESPONSE_MULTIPART_BYTERANGES");
        return None;
    }
    Some(State::BodyToEnd)
}

fn without_nul(value: &[u8]) -> Vec<u8> {
    value.iter().copied().filter(|&octet| octet != 0).collect()
}

/// The next header line: (start, end). LF CR counts as one end; after it CR LF CR LF is an odd one.
fn header_line(rest: &[u8], mut after_lf_cr: bool) -> Option<(usize, usize)> {
    let mut from = 0;
    let mut at = 0;
    while let Some(&octet) = rest.get(at) {
        at += 1;
        match octet {
            b'\r' => {
                match rest.get(at)? {
                    b'\n' => {
                        at += 1;
                        if after_lf_cr && rest.get(at) == Some(&b'\r') {
                            at += 1;
                            from += 1;
                            if rest.get(at) == Some(&b'\n') {
                                at += 1;
                                from += 1;
                            }
                        }
                    }
                    b'\r' => continue,
                    _ => {}
                }
                if at - from < 2 {
                    after_lf_cr = false;
                    continue;
                }
                return Some((from, at));
            }
            b'\n' => {
                if rest.get(at) == Some(&b'\r') {
                    at += 1;
                }
                return Some((from, at));
            }
            _ => after_lf_cr = false,
        }
    }
    None
}
