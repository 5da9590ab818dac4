//! Header lines of requests, and what they say of what follows.

use super::{State, SIDE};
use crate::app::http1::header::content_length;
use crate::app::http1::transaction::{progress, HttpTx, Version};
use crate::app::http1::{chomp, encodings, is_blank, is_folding, uri, HttpParser, Step, MAX_FOLDED_OCTETS};

impl HttpParser {
    pub(super) fn request_headers(&mut self, id: u64, rest: &[u8], pos: &mut usize) -> Step {
        let Some(end) = memchr::memchr(b'\n', rest) else {
            if self.inbound.closed {
                if !self.pending_field(id, SIDE) {
                    return Step::Error;
                }
                *pos += rest.len();
                if let Some(tx) = self.transactions.item_mut(id) {
                    tx.messages[0].progress = progress::TRAILER;
                    tx.messages[0].headers_done = true;
                }
                self.inbound.state = State::Finalize;
                return Step::Go;
            }
            return if self.too_long(id, SIDE, rest.len()) {
                Step::Error
            } else {
                Step::Need
            };
        };
        let line = &rest[..=end];
        *pos += line.len();
        let Some(tx) = self.transactions.item_mut(id) else {
            return Step::Error;
        };
        tx.messages[0].raw.extend_from_slice(line);
        if is_blank(line, false) {
            if !self.pending_field(id, SIDE) {
                return Step::Error;
            }
            return self.request_headers_done(id);
        }
        let (line, _) = chomp(line);
        let folded = line.first().is_none_or(|&first| is_folding(first));
        if !folded {
            if !self.pending_field(id, SIDE) {
                return Step::Error;
            }
            match rest.get(end + 1) {
                Some(&next) if !is_folding(next) => {
                    if !self.field(id, SIDE, line) {
                        return Step::Error;
                    }
                }
                _ => self.pending[0] = Some(line.to_vec()),
            }
            return Step::Go;
        }
        match &mut self.pending[0] {
            Some(field) if field.len() < MAX_FOLDED_OCTETS => field.extend_from_slice(line),
            Some(_) => {}
            None => {
                self.once(id, SIDE, 2, "INVALID_REQUEST_FIELD_FOLDING");
                let skip = line.iter().take_while(|&&octet| is_folding(octet)).count();
                self.pending[0] = Some(line[skip..].to_vec());
            }
        }
        Step::Go
    }

    pub(super) fn request_headers_done(&mut self, id: u64) -> Step {
        let Some(tx) = self.transactions.item_mut(id) else {
            return Step::Error;
        };
        if tx.messages[0].progress > progress::HEADERS {
            tx.messages[0].trailer = true;
            self.inbound.state = State::Finalize;
            return Step::Go;
        }
        tx.messages[0].headers_done = true;
        set_host(tx);
        look_at_authorization(tx);
        let headers = &tx.messages[0].headers;
        let is_connect = tx.request.method.as_deref() == Some(b"CONNECT");
        let mut next = State::Finalize;
        let mut failed = false;
        if let Some(coding) = headers.get("transfer-encoding") {
            let chunked = coding
                .split(|&octet| octet == b',')
                .any(|token| token.trim_ascii().eq_ignore_ascii_case(b"chunked"));
            if chunked {
                next = State::ChunkLength;
                if tx.messages[0].version < Version::V11 {
                    tx.meta.raise("INVALID_TRANSFER_ENCODING_VALUE_IN_REQUEST");
                }
            } else {
                tx.meta.raise("INVALID_TRANSFER_ENCODING_VALUE_IN_REQUEST");
                failed = true;
            }
        } else if let Some(value) = headers.get("content-length") {
            let length = content_length(value);
            match length.length {
                Some(length) => {
                    self.inbound.announced = length;
                    self.inbound.left = Some(length);
                    if length > 0 {
                        next = State::Body;
                    }
                }
                None => {
                    tx.meta.raise("INVALID_CONTENT_LENGTH_FIELD_IN_REQUEST");
                    failed = true;
                }
            }
        }
        if is_connect {
            self.inbound.state = State::ConnectWait;
            return Step::Go;
        }
        if failed {
            return Step::Error;
        }
        if next != State::Finalize {
            tx.messages[0].progress = progress::BODY;
            self.inbound.has_body = true;
            self.layers[0].clear();
            let value = tx.messages[0].headers.get("content-encoding");
            let layer = value.and_then(|value| encodings::of_request(value, &self.options));
            self.layers[0].extend(layer);
        } else {
            self.inbound.left = None;
        }
        self.inbound.state = next;
        Step::Go
    }
}

/// A scheme of authorization that is not known is an event.
fn look_at_authorization(tx: &mut HttpTx) {
    let Some(value) = tx.messages[0].headers.get("authorization") else {
        return;
    };
    let known = [&b"basic"[..], b"digest", b"bearer"]
        .iter()
        .any(|kind| value.len() >= kind.len() && value[..kind.len()].eq_ignore_ascii_case(kind));
    if !known {
        tx.meta.raise("REQUEST_AUTH_UNRECOGNIZED");
    }
}

/// The request's host: that of the URI, else that of the `Host` field.
fn set_host(tx: &mut HttpTx) {
    tx.request.host = tx.request.uri_host.clone();
    let Some(value) = tx.messages[0].headers.get("host") else {
        if tx.messages[0].version >= Version::V11 {
            tx.meta.raise("MISSING_HOST_HEADER");
        }
        return;
    };
    let (host, port, valid) = uri::host_port(value);
    if !valid {
        tx.meta.raise("REQUEST_HEADER_HOST_INVALID");
    }
    let ambiguous = match (&host, &tx.request.host) {
        (Some(host), Some(known)) => {
            let other_port = matches!((port, tx.request.port), (Some(a), Some(b)) if a != b);
            !host.eq_ignore_ascii_case(known) || other_port
        }
        (None, Some(_)) => true,
        _ => false,
    };
    if ambiguous {
        tx.meta.raise("HOST_HEADER_AMBIGUOUS");
    }
    if tx.request.host.is_none() && host.is_some() {
        tx.request.host = host;
        tx.request.port = port;
    }
}
