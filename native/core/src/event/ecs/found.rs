//! What is seen anywhere in a record, for the fields that hold everything of one kind: `related.*`, the names above a
//! name, and the words that free text is looked for in.

use std::borrow::Cow;

use super::mapping::ITEMS_MAX;
use super::value::{set, Members, Value};

/// Characters of a domain name that are looked at; a name of the DNS has at most 253.
const NAME_CHARACTERS_MAX: usize = 1024;

/// Names above one name; a name of the DNS has at most 127 labels.
const SUFFIXES_MAX: usize = 128;

/// What free-text search sees of one record.
const TEXT_CHARACTERS_MAX: usize = 8192;

/// Objects and lists within each other that texts are taken from.
const TEXT_DEPTH_MAX: usize = 6;

/// Members of the record whose texts nobody searches for.
const NO_TEXT: &[&str] = &[
    "flow",
    "stats",
    "netflow",
    "packet_info",
    "metadata",
    "ether",
    "vlan",
    "tcp",
    "verdict",
];

/// Further down: octets in another writing, and what stands in a field of its own.
const NO_TEXT_WITHIN: &[&str] = &[
    "payload", "packet", "rule", "metadata", "string", "ja3", "ja3s", "ja4",
];

/// What was seen.
#[derive(Debug, Default)]
pub struct Found<'r> {
    /// Domain names, as they are searched.
    pub names: Vec<Cow<'r, str>>,
    /// Hashes of files and certificates.
    pub hashes: Vec<Cow<'r, str>>,
    /// Addresses, as they are in the record.
    pub addresses: Vec<&'r str>,
    texts: Vec<&'r str>,
    characters: usize,
}

impl<'r> Found<'r> {
    /// Take the texts of a member of the record.
    pub fn collect(&mut self, name: &str, value: &'r Value<'r>) {
        if !NO_TEXT.contains(&name) {
            self.collect_within(value, 0);
        }
    }

    fn collect_within(&mut self, value: &'r Value<'r>, depth: usize) {
        if self.characters > TEXT_CHARACTERS_MAX {
            return;
        }
        match value {
            Value::Text(text) if text.chars().nth(1).is_some() => {
                self.characters += text.chars().count() + 1;
                self.texts.push(text);
            }
            Value::Object(members) if depth < TEXT_DEPTH_MAX => {
                for (name, inner) in members {
                    if !NO_TEXT_WITHIN.contains(&name.as_ref()) {
                        self.collect_within(inner, depth + 1);
                    }
                }
            }
            Value::List(values) if depth < TEXT_DEPTH_MAX => {
                for inner in values.iter().take(ITEMS_MAX) {
                    self.collect_within(inner, depth + 1);
                }
            }
            _ => {}
        }
    }

    /// Write it all down: `related.ip`, `related.hosts`, `related.hash`, `tapwarden.domain`, `tapwarden.text`.
    pub fn write(self, fields: &mut Members<'r>, own: &mut Members<'r>) {
        let mut related = Members::new();
        if !self.addresses.is_empty() {
            let addresses = self
                .addresses
                .into_iter()
                .map(|address| Value::Text(address.into()));
            set(&mut related, "ip", Value::List(addresses.collect()));
        }
        if !self.names.is_empty() {
            let mut names: Vec<Cow<'r, str>> = Vec::with_capacity(self.names.len());
            for name in self.names {
                if !names.contains(&name) {
                    names.push(name);
                }
            }
            let above = names.iter().flat_map(suffixes).map(Value::Text).collect();
            set(own, "domain", Value::List(above));
            set(
                &mut related,
                "hosts",
                Value::List(names.into_iter().map(Value::Text).collect()),
            );
        }
        if !self.hashes.is_empty() {
            set(
                &mut related,
                "hash",
                Value::List(self.hashes.into_iter().map(Value::Text).collect()),
            );
        }
        if !related.is_empty() {
            set(fields, "related", Value::Object(related));
        }
        if !self.texts.is_empty() {
            let mut text = self.texts.join("\n");
            if let Some((end, _)) = text.char_indices().nth(TEXT_CHARACTERS_MAX) {
                text.truncate(end);
            }
            set(own, "text", Value::Text(text.into()));
        }
    }
}

/// The name and every name above it, so that a domain and all below it are found by one term.
fn suffixes<'r>(name: &Cow<'r, str>) -> Vec<Cow<'r, str>> {
    let starts = std::iter::once(0).chain(name.match_indices('.').map(|(dot, _)| dot + 1));
    starts
        .take(SUFFIXES_MAX)
        .map(|start| match name {
            Cow::Borrowed(name) => Cow::Borrowed(&name[start..]),
            Cow::Owned(name) => Cow::Owned(name[start..].to_owned()),
        })
        .collect()
}

/// A domain name as it is searched: lower case, no port, no dot at its end.
pub fn name_of(text: &str) -> Cow<'_, str> {
    let text = match text.char_indices().nth(NAME_CHARACTERS_MAX) {
        Some((end, _)) => &text[..end],
        None => text,
    };
    let cut = |name: &str| {
        let port = if name.starts_with('[') {
            None
        } else {
            name.find(':')
        };
        name[..port.unwrap_or(name.len())].trim_end_matches('.').len()
    };
    match lower(text) {
        Cow::Borrowed(name) => Cow::Borrowed(&name[..cut(name)]),
        Cow::Owned(mut name) => {
            name.truncate(cut(&name));
            Cow::Owned(name)
        }
    }
}

/// In lower case.
pub fn lower(text: &str) -> Cow<'_, str> {
    if text
        .bytes()
        .all(|octet| octet.is_ascii() && !octet.is_ascii_uppercase())
    {
        Cow::Borrowed(text)
    } else {
        Cow::Owned(text.to_lowercase())
    }
}
