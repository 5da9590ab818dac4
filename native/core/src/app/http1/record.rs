//! EVE's `http` record, extended.

use super::transaction::HttpTx;
use crate::event::json::Json;

/// `Content-Range: bytes first-last/size` as [first, last, size]; size 0 when it is not known.
pub fn content_range(value: &[u8]) -> Option<[u64; 3]> {
    let text = std::str::from_utf8(value).ok()?.trim();
    let text = text
        .strip_prefix("bytes")
        .or_else(|| text.split_once(' ').map(|(_, rest)| rest))?
        .trim();
    let (range, size) = text.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    Some([
        first.trim().parse().ok()?,
        last.trim().parse().ok()?,
        size.trim().parse().unwrap_or(0),
    ])
}

/// Leading digits of a status.
fn leading_number(text: &[u8]) -> u64 {
    text.trim_ascii_start()
        .iter()
        .take_while(|octet| octet.is_ascii_digit())
        .take(18)
        .fold(0, |number, &digit| number * 10 + u64::from(digit - b'0'))
}

/// Write the record.
pub fn write(tx: &HttpTx, json: &mut Json<'_>) {
    let [request, response] = &tx.messages;
    json.open_object("http");
    if let Some(host) = &tx.request.host {
        json.str("hostname", host);
    }
    if let Some(port) = tx.request.port {
        json.num("http_port", port);
    }
    if let Some(uri) = &tx.request.uri {
        json.str("url", uri);
    }
    if let Some(agent) = request.headers.get("user-agent") {
        json.str("http_user_agent", agent);
    }
    if let Some(forwarded) = request.headers.get("x-forwarded-for") {
        json.str("xff", forwarded);
    }
    if let Some(kind) = response.headers.get("content-type") {
        let end = kind.iter().position(|&octet| octet == b';').unwrap_or(kind.len());
        json.str("http_content_type", &kind[..end]);
    }
    if let Some(range) = response.headers.get("content-range") {
        json.open_object("content_range");
        json.str("raw", range);
        if let Some([start, end, size]) = content_range(range) {
            json.num("start", start);
            json.num("end", end);
            if size > 0 {
                json.num("size", size);
            }
        }
        json.close_object();
    }
    if let Some(referer) = request.headers.get("referer") {
        json.str("http_refer", referer);
    }
    if let Some(method) = &tx.request.method {
        json.str("http_method", method);
    }
    if let Some(protocol) = &request.protocol {
        json.str("protocol", protocol);
    }
    if let Some(status) = &tx.response.status {
        json.num("status", leading_number(status));
        if let Some(location) = response.headers.get("location") {
            json.str("redirect", location);
        }
    }
    json.num("length", response.message_len);
    json.close_object();
}
