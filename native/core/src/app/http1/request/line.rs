//! Request lines: method, URI, version, however they are kept apart.

use super::{State, MAX_JUNK_OCTETS, SIDE};
use crate::app::http1::header::is_space;
use crate::app::http1::transaction::{progress, HttpTx, Version};
use crate::app::http1::{chomp, is_blank, uri, HttpParser, Step};

impl HttpParser {
    pub(super) fn request_line(&mut self, id: u64, rest: &[u8], pos: &mut usize) -> Step {
        let end = match memchr::memchr(b'\n', rest) {
            Some(end) => end + 1,
            None if self.inbound.closed && !rest.is_empty() => rest.len(),
            None if self.too_long(id, SIDE, rest.len()) => return Step::Error,
            None => return Step::Need,
        };
        *pos += end;
        let line = &rest[..end];
        if is_blank(line, false) {
            return Step::Go;
        }
        let (line, _) = chomp(line);
        let options = self.options.clone();
        let Some(tx) = self.transactions.item_mut(id) else {
            return Step::Error;
        };
        parse_request_line(tx, line);
        let is_connect = tx.request.method.as_deref() == Some(b"CONNECT");
        if let Some(target) = tx.request.uri.clone() {
            if is_connect {
                let (host, port, valid) = uri::host_port(&target);
                tx.request.uri_host = host;
                tx.request.port = port;
                if !valid {
                    tx.meta.raise("REQUEST_URI_HOST_INVALID");
                }
                tx.request.normalized = Some(Vec::new());
            } else {
                let parts = uri::split(&target);
                let normalized = uri::normalize(&parts, &options);
                if let Some(port) = parts.port {
                    tx.request.port = std::str::from_utf8(port.trim_ascii())
                        .ok()
                        .and_then(|text| text.parse().ok())
                        .filter(|&port: &u16| port > 0);
                    if tx.request.port.is_none() {
                        tx.meta.raise("REQUEST_URI_HOST_INVALID");
                    }
                }
                if normalized
                    .host
                    .as_ref()
                    .is_some_and(|host| !uri::valid_host(host))
                {
                    tx.meta.raise("REQUEST_URI_HOST_INVALID");
                }
                if normalized.double_encoded {
                    tx.meta.raise("DOUBLE_ENCODED_URI");
                }
                tx.request.path = parts.path.is_some().then_some(normalized.path);
                tx.request.uri_host = normalized.host;
                tx.request.normalized = Some(normalized.uri);
            }
        } else {
            tx.request.normalized = Some(Vec::new());
        }
        self.inbound.state = State::Version;
        Step::Go
    }

    pub(super) fn request_version(&mut self, id: u64, rest: &[u8]) -> Step {
        let Some(tx) = self.transactions.item_mut(id) else {
            return Step::Error;
        };
        if tx.request.is_09 {
            if rest.len() <= MAX_JUNK_OCTETS && rest.iter().all(|&octet| is_space(octet)) {
                self.inbound.state = State::Finalize;
                return Step::Go;
            }
            // More than an HTTP/0.9 client would say: its version is missing.
            tx.request.is_09 = false;
        }
        tx.messages[0].progress = progress::HEADERS;
        self.inbound.state = State::Headers;
        Step::Go
    }
}

/// Method, URI and version of a request line, however they are kept apart.
fn parse_request_line(tx: &mut HttpTx, line: &[u8]) {
    tx.messages[0].line = Some(line.to_vec());
    let start = line
        .iter()
        .position(|&octet| !is_space(octet))
        .unwrap_or(line.len());
    if start > 0 {
        tx.meta.raise("REQUEST_LINE_LEADING_WHITESPACE");
    }
    let word = |from: usize| {
        line[from..]
            .iter()
            .position(|&octet| is_space(octet))
            .map_or(line.len(), |len| from + len)
    };
    let method_end = word(start);
    let method = &line[start..method_end];
    tx.request.method = Some(method.to_vec());
    let blanks = line[method_end..]
        .iter()
        .take_while(|&&octet| is_space(octet))
        .count();
    let uri_start = method_end + blanks;
    if line[method_end..uri_start].iter().any(|&octet| octet != b' ') {
        tx.meta.raise("METHOD_DELIM_NON_COMPLIANT");
    }
    if uri_start == line.len() {
        tx.request.is_09 = true;
        tx.messages[0].version = Version::V09;
        return;
    }
    let space = line[uri_start..]
        .iter()
        .position(|&octet| octet == b' ')
        .map(|len| uri_start + len);
    let odd = line[uri_start..space.unwrap_or(line.len())]
        .iter()
        .any(|&octet| is_space(octet));
    let uri_end = match space {
        Some(end) => end,
        None if odd => word(uri_start),
        None => line.len(),
    };
    if odd {
        tx.meta.raise("URI_DELIM_NON_COMPLIANT");
    }
    tx.request.uri = Some(line[uri_start..uri_end].to_vec());
    let blanks = line[uri_end..]
        .iter()
        .take_while(|&&octet| is_space(octet))
        .count();
    let protocol = &line[uri_end + blanks..];
    if protocol.is_empty() {
        tx.request.is_09 = true;
        tx.messages[0].version = Version::V09;
        return;
    }
    tx.messages[0].protocol = Some(protocol.to_vec());
    tx.messages[0].version = Version::parse(protocol);
}
