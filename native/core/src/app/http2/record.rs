//! EVE's `http` record with what is HTTP/2's own in its `http2`.

use super::hpack::Item;
use super::side::{Mark, Side};
use super::transaction::Http2Tx;
use crate::event::json::Json;

const ERRORS: [&str; 14] = [
    "NoError",
    "ProtocolError",
    "InternalError",
    "FlowControlError",
    "SettingsTimeout",
    "StreamClosed",
    "FrameSizeError",
    "RefusedStream",
    "Cancel",
    "CompressionError",
    "ConnectError",
    "EnhanceYourCalm",
    "InadequateSecurity",
    "Http11Required",
];

const SETTINGS: [&str; 7] = [
    "",
    "SETTINGSHEADERTABLESIZE",
    "SETTINGSENABLEPUSH",
    "SETTINGSMAXCONCURRENTSTREAMS",
    "SETTINGSINITIALWINDOWSIZE",
    "SETTINGSMAXFRAMESIZE",
    "SETTINGSMAXHEADERLISTSIZE",
];

/// Fields that have a member of their own.
#[derive(Default)]
struct Known<'a> {
    method: Option<&'a [u8]>,
    path: Option<&'a [u8]>,
    host: Option<&'a [u8]>,
    agent: Option<&'a [u8]>,
    status: Option<&'a [u8]>,
    length: Option<&'a [u8]>,
}

impl<'a> Known<'a> {
    fn note(&mut self, name: &[u8], value: &'a [u8]) {
        let member = match name.to_ascii_lowercase().as_slice() {
            b":method" => &mut self.method,
            b":path" => &mut self.path,
            b":status" => &mut self.status,
            b"user-agent" => &mut self.agent,
            b"host" => &mut self.host,
            b"content-length" => &mut self.length,
            _ => return,
        };
        *member = Some(value);
    }
}

/// A record would say something.
pub fn says_something(tx: &Http2Tx) -> bool {
    tx.sides
        .iter()
        .any(|side| side.has_headers || side.settings.is_some() || !side.marks.is_empty())
}

/// Write the record.
pub fn write(tx: &Http2Tx, json: &mut Json<'_>) {
    json.open_object("http");
    json.str("version", "2");
    let mut known = Known::default();
    for (side, key) in tx.sides.iter().zip(["request_headers", "response_headers"]) {
        if side.has_headers {
            json.open_array(key);
            headers(side, &mut known, json);
            json.close_array();
        }
    }
    for (key, value) in [
        ("http_method", known.method),
        ("url", known.path),
        ("hostname", known.host),
        ("http_user_agent", known.agent),
    ] {
        if let Some(value) = value {
            json.str(key, value);
        }
    }
    for (key, value) in [("length", known.length), ("status", known.status)] {
        let number = value
            .and_then(|value| std::str::from_utf8(value).ok())
            .and_then(|text| text.parse::<u64>().ok());
        if let Some(number) = number {
            json.num(key, number);
        }
    }
    json.open_object("http2");
    json.num("stream_id", tx.stream);
    for (side, key) in tx.sides.iter().zip(["request", "response"]) {
        json.open_object(key);
        frames(side, json);
        json.close_object();
    }
    json.close_object();
    json.close_object();
}

fn headers<'a>(side: &'a Side, known: &mut Known<'a>, json: &mut Json<'_>) {
    for item in side.told() {
        json.open();
        match item {
            Item::Field { name, value } => {
                json.str("name", name.octets());
                json.str("value", value.octets());
                known.note(name.octets(), value.octets());
            }
            Item::SizeUpdate(octets) => json.num("table_size_update", *octets),
            Item::Wrong(error) => json.str("error", error),
        }
        json.close_object();
    }
}

fn frames(side: &Side, json: &mut Json<'_>) {
    if let Some(settings) = &side.settings {
        json.open_array("settings");
        for (id, value) in settings {
            json.open();
            json.str("settings_id", SETTINGS.get(usize::from(*id)).unwrap_or(&""));
            json.num("settings_value", *value);
            json.close_object();
        }
        json.close_array();
    }
    let (mut has_error, mut has_weight, mut multiple) = (false, false, None);
    for mark in &side.marks {
        let (seen, key) = match mark {
            Mark::Weight(_) => (&mut has_weight, "priority"),
            Mark::GoAway(_) | Mark::Reset(_) => (&mut has_error, "error_code"),
        };
        if std::mem::replace(seen, true) {
            multiple = multiple.or(Some(key));
            continue;
        }
        match *mark {
            Mark::Weight(weight) => json.num(key, weight),
            Mark::GoAway(code) => json.str(key, error(code).to_uppercase()),
            Mark::Reset(code) => json.str(key, error(code)),
        }
    }
    if let Some(key) = multiple {
        json.str("has_multiple", key);
    }
}

fn error(code: u32) -> String {
    let known = usize::try_from(code).ok().and_then(|code| ERRORS.get(code));
    known.map_or_else(|| code.to_string(), |name| (*name).to_owned())
}
