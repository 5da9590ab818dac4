//! An event as an Elasticsearch document: ECS fields, with the EVE record itself under `suricata.eve`.
//!
//! [`mapping`] says which field comes from where; this module puts a document together. It is on the path of every event
//! that a cluster stores: a record is read once, into a tree that borrows from it.

mod found;
pub mod mapping;
pub mod moment;
pub mod value;

use base64::engine::general_purpose::STANDARD;
use base64::Engine;
use blake2::digest::consts::U10;
use blake2::{Blake2b, Digest};

use self::found::Found;
use self::mapping::{text, text_of, texts, Document, PARTS, PROTOCOL, TYPES};
use self::value::{get, set, Members, Value};

/// An event's id: 32 hexadecimal digits.
pub type Id = [u8; 32];

/// One event, and how much of its record a document shall hold.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    /// The record as it was written, in any encoding.
    pub raw: &'a [u8],
    /// Where it came from.
    pub origin: &'a [u8],
    /// Whether `suricata.eve` holds the record, or only its type and flow: for what a server cannot take as it is.
    pub whole: bool,
}

/// What a document was made of that whoever stores it has to know.
#[derive(Clone, Debug)]
pub struct Made {
    /// The event's id.
    pub id: Id,
    /// When it was observed, in microseconds since 1970.
    pub moment_us: i64,
    /// `event_type`, "" where it is no text.
    pub kind: String,
}

/// A record that is not written as the engine and Suricata write theirs: its time or its text needs a reader that takes
/// more. Nothing was appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Odd;

/// What such a reader made of a record.
#[derive(Clone, Debug)]
pub struct Reading {
    /// The event's id.
    pub id: Id,
    /// When it was observed, in microseconds since 1970.
    pub moment_us: i64,
    /// The record as JSON text without what cannot be read here.
    pub text: Vec<u8>,
}

/// Append the document of a record that is written plainly.
///
/// # Errors
/// [`Odd`]: see there.
pub fn append(source: Source<'_>, out: &mut Vec<u8>) -> Result<Made, Odd> {
    let read = Value::read(source.raw).map_err(|_| Odd)?;
    let record = read.members().ok_or(Odd)?;
    let moment_us = text_of(record, "timestamp").and_then(moment::read).ok_or(Odd)?;
    let id = id_of(source, moment_us);
    let mut eve = Vec::new();
    if source.whole {
        eve.reserve(source.raw.len());
        read.write(&mut eve);
    }
    write(source, record, id, moment_us, source.whole.then_some(&eve), out);
    Ok(made(record, id, moment_us))
}

/// Append the document of a record that was read by other means. Where the record itself cannot be read here, it is kept
/// as text, not under `suricata.eve`.
///
/// # Errors
/// [`Odd`]: what was read is no JSON object either.
pub fn append_reading(source: Source<'_>, reading: &Reading, out: &mut Vec<u8>) -> Result<Made, Odd> {
    let own = Value::read(source.raw)
        .ok()
        .filter(|read| read.members().is_some());
    let whole = source.whole && own.is_some();
    let read = match own {
        Some(read) => read,
        None => Value::read(&reading.text).map_err(|_| Odd)?,
    };
    let record = read.members().ok_or(Odd)?;
    let mut eve = Vec::new();
    if whole {
        read.write(&mut eve);
    }
    write(
        source,
        record,
        reading.id,
        reading.moment_us,
        whole.then_some(&eve),
        out,
    );
    Ok(made(record, reading.id, reading.moment_us))
}

fn made(record: &Members<'_>, id: Id, moment_us: i64) -> Made {
    let kind = get(record, "event_type")
        .and_then(Value::text)
        .unwrap_or("")
        .to_owned();
    Made { id, moment_us, kind }
}

/// 12 digits of the milliseconds since 1970, so that ids sort by time, and 20 of BLAKE2b(origin, NUL, record): that of
/// `tapwarden.model.event.Event`, which a test holds it against.
fn id_of(source: Source<'_>, moment_us: i64) -> Id {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut hash = Blake2b::<U10>::new();
    hash.update(source.origin);
    hash.update(b"\0");
    hash.update(source.raw);
    // The definition divides in doubles; so it is done here.
    let milliseconds = ((moment_us as f64 / 1e6) * 1000.0) as u64;
    let mut id = [b'0'; 32];
    let octets = milliseconds
        .to_be_bytes()
        .into_iter()
        .skip(2)
        .chain(hash.finalize());
    for (pair, octet) in id.chunks_exact_mut(2).zip(octets) {
        pair[0] = DIGITS[usize::from(octet >> 4)];
        pair[1] = DIGITS[usize::from(octet & 15)];
    }
    id
}

/// What orders events of the same moment: 60 bits of the id.
fn tie_of(id: &Id) -> i128 {
    id[17..].iter().fold(0, |tie, &digit| {
        let value = if digit.is_ascii_digit() {
            digit - b'0'
        } else {
            (digit | 0x20) - b'a' + 10
        };
        tie << 4 | i128::from(value)
    })
}

/// `eve` is the record as it is written plainly; without it, `suricata.eve` is reduced.
fn write<'r>(
    source: Source<'r>,
    record: &'r Members<'r>,
    id: Id,
    moment_us: i64,
    eve: Option<&Vec<u8>>,
    out: &mut Vec<u8>,
) {
    let mut doc = Document {
        categories: vec!["network"],
        ..Document::default()
    };
    let mut found = Found::default();
    let kind = text_of(record, "event_type");
    set(&mut doc.about, "module", text("suricata"));
    set(&mut doc.about, "dataset", text("suricata.eve"));
    set(&mut doc.about, "kind", text("event"));
    set(&mut doc.own, "tie", Value::Whole(tie_of(&id)));
    mapping::ends(record, &mut doc, &mut found);
    if let Some(kind) = kind {
        let known = TYPES.iter().find(|(type_, _)| *type_ == kind);
        set(
            &mut doc.about,
            "type",
            texts(known.map_or(PROTOCOL, |(_, types)| types)),
        );
    }
    for (name, value) in record {
        if matches!(value, Value::Object(_) | Value::List(_)) {
            if let Some((_, part)) = PARTS.iter().find(|(member, _)| member == name) {
                part(value, &mut doc, &mut found);
            }
            found.collect(name, value);
        }
    }
    set(&mut doc.about, "category", texts(&doc.categories));
    keep_origin(source.origin, &mut doc.own);
    found.write(&mut doc.fields, &mut doc.own);
    if eve.is_none_or(|eve| eve != source.raw) {
        keep_text(source.raw, &mut doc);
    }
    out.extend_from_slice(b"{\"@timestamp\":\"");
    out.extend_from_slice(moment::written(moment_us).as_bytes());
    out.extend_from_slice(b"\",\"ecs\":{\"version\":\"8.17.0\"},\"event\":");
    Value::Object(doc.about).write(out);
    out.extend_from_slice(b",\"tapwarden\":");
    Value::Object(doc.own).write(out);
    for (name, value) in &doc.fields {
        out.extend_from_slice(b",\"");
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b"\":");
        value.write(out);
    }
    out.extend_from_slice(b",\"suricata\":{\"eve\":");
    match eve {
        Some(eve) => out.extend_from_slice(eve),
        None => reduced(record).write(out),
    }
    out.extend_from_slice(b"}}");
}

/// Of the record only its type and flow.
fn reduced<'r>(record: &'r Members<'r>) -> Value<'r> {
    let mut members = Members::new();
    if let Some(kind) = text_of(record, "event_type") {
        set(&mut members, "event_type", text(kind));
    }
    if let Some(flow_id @ Value::Whole(_)) = get(record, "flow_id") {
        set(&mut members, "flow_id", flow_id.clone());
    }
    Value::Object(members)
}

fn keep_origin<'r>(origin: &'r [u8], own: &mut Members<'r>) {
    if origin.is_empty() {
        return;
    }
    match std::str::from_utf8(origin) {
        Ok(plain) if plain.is_ascii() => set(own, "origin", text(plain)),
        // a path may have any octets
        _ => set(own, "packed_origin", Value::Text(STANDARD.encode(origin).into())),
    }
}

/// The record octet for octet, where writing it anew would not give them.
fn keep_text<'r>(raw: &'r [u8], doc: &mut Document<'r>) {
    match std::str::from_utf8(raw) {
        Ok(original) => set(&mut doc.about, "original", text(original)),
        Err(_) => set(&mut doc.own, "octets", Value::Text(STANDARD.encode(raw).into())),
    }
}

#[cfg(test)]
mod tests;
