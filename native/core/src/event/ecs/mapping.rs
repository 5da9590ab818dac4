//! Which ECS fields each part of a record gives.
//!
//! [`PARTS`] names the function of each member of the record; what only changes its name stands in tables of (member
//! of the record, ECS field, type). A value of another type gives nothing: records are hostile, any part of one may be
//! anything. Names are those of the Elastic Common Schema 8.17, or of Elastic's Suricata integration where it has none.

use std::borrow::Cow;

use super::found::{lower, name_of, Found};
use super::value::{get, set, within, Members, Value};

/// Names, hashes, files or answers taken of one record; the record itself is kept whole.
pub const ITEMS_MAX: usize = 64;

/// A document in the making: `event`, `tapwarden`, and all other members.
#[derive(Debug, Default)]
pub struct Document<'r> {
    /// `event.*`
    pub about: Members<'r>,
    /// `event.category`
    pub categories: Vec<&'static str>,
    /// `tapwarden.*`
    pub own: Members<'r>,
    /// All else by the name at the top.
    pub fields: Members<'r>,
}

/// Takes a member of the record into the document.
pub type Part = for<'r> fn(&'r Value<'r>, &mut Document<'r>, &mut Found<'r>);

/// By the member of the record; a new part is a function and a line here.
pub const PARTS: &[(&str, Part)] = &[
    ("alert", alert),
    ("dns", dns),
    ("tls", tls),
    ("quic", tls),
    ("http", http),
    ("fileinfo", files),
    ("files", files),
    ("flow", flow),
    ("email", email),
    ("tapwarden", own),
];

/// `event.type` by `event_type`; all others are [`PROTOCOL`].
pub const TYPES: &[(&str, &[&str])] = &[
    ("flow", &["connection", "end"]),
    ("netflow", &["connection"]),
    ("stats", &["info"]),
];

/// `event.type` of whatever [`TYPES`] does not name.
pub const PROTOCOL: &[&str] = &["protocol"];

const RULE: Fields = &[("signature", "name", Text), ("category", "category", Text)];
const TACTIC: Fields = &[
    ("mitre_tactic_id", "id", List),
    ("mitre_tactic_name", "name", List),
];
const TECHNIQUE: Fields = &[
    ("mitre_technique_id", "id", List),
    ("mitre_technique_name", "name", List),
];
const INDICATOR: Fields = &[
    ("value", "name", Text),
    ("source", "provider", Text),
    ("info", "description", Text),
];
const DNS: Fields = &[("type", "type", Text), ("rcode", "response_code", Text)];
const DNS_QUESTION: Fields = &[("rrtype", "type", Text)];
const DNS_ANSWER: Fields = &[
    ("rrname", "name", Text),
    ("rrtype", "type", Text),
    ("rdata", "data", Text),
    ("ttl", "ttl", Whole),
];
const TLS_SERVER: Fields = &[
    ("subject", "subject", Text),
    ("issuerdn", "issuer", Text),
    ("notbefore", "not_before", Text),
    ("notafter", "not_after", Text),
];
const HTTP_REQUEST: Fields = &[("http_method", "method", Text), ("http_refer", "referrer", Text)];
const HTTP_RESPONSE: Fields = &[
    ("status", "status_code", Whole),
    ("http_content_type", "mime_type", Text),
];
const HTTP_BODY: Fields = &[("length", "bytes", Whole)];
const USER_AGENT: Fields = &[("http_user_agent", "original", Text)];
const FILE: Fields = &[
    ("filename", "path", Text),
    ("size", "size", Whole),
    ("mimetype", "mime_type", Text),
];
const FLOW_TIMES: Fields = &[("start", "start", Text), ("end", "end", Text)];
const EMAIL: Fields = &[("subject", "subject", Text)];

/// ECS `threat.indicator.type` by ours; others stay as they are.
const INDICATOR_TYPES: &[(&str, &str)] = &[
    ("ip", "ipv4-addr"),
    ("ip_port", "ipv4-addr"),
    ("network", "ipv4-addr"),
    ("domain", "domain-name"),
    ("url", "url"),
    ("file_hash", "file"),
    ("cert_sha1", "x509-certificate"),
];

type Fields = &'static [(&'static str, &'static str, Kind)];

#[derive(Clone, Copy)]
enum Kind {
    Text,
    Whole,
    List,
}
use Kind::{List, Text, Whole};

/// Members of these names that have these types, under their other names.
fn copy<'r>(record: &'r Members<'r>, fields: Fields, into: &mut Members<'r>) {
    for &(theirs, ours, kind) in fields {
        let Some(value) = get(record, theirs) else {
            continue;
        };
        match (kind, value) {
            (Text, Value::Text(text)) => set(into, ours, Value::Text(Cow::Borrowed(text))),
            (Whole, Value::Whole(_)) | (List, Value::List(_)) => set(into, ours, value.clone()),
            _ => {}
        }
    }
}

fn copied<'r>(record: &'r Members<'r>, fields: Fields) -> Members<'r> {
    let mut members = Members::new();
    copy(record, fields, &mut members);
    members
}

/// Who talked with whom, over what, seen by whom: what every record has at its top.
pub fn ends<'r>(record: &'r Members<'r>, doc: &mut Document<'r>, found: &mut Found<'r>) {
    let ends = [
        ("source", "src_ip", "src_port"),
        ("destination", "dest_ip", "dest_port"),
    ];
    for (side, address, port) in ends {
        if let Some(address) = text_of(record, address) {
            let mut end = Members::new();
            set(&mut end, "ip", Value::Text(Cow::Borrowed(address)));
            if let Some(port) = get(record, port).and_then(Value::whole) {
                set(&mut end, "port", Value::Whole(port));
            }
            set(&mut doc.fields, side, Value::Object(end));
            found.addresses.push(address);
        }
    }
    let mut network = copied(
        record,
        &[
            ("community_id", "community_id", Text),
            ("app_proto", "protocol", Text),
        ],
    );
    if let Some(transport) = text_of(record, "proto") {
        set(&mut network, "transport", Value::Text(lower(transport)));
    }
    put(&mut doc.fields, "network", network);
    let mut observer = vec![
        (Cow::Borrowed("product"), text("Tapwarden")),
        (Cow::Borrowed("type"), text("ids")),
    ];
    copy(record, &[("host", "name", Text)], &mut observer);
    if let Some(interface) = text_of(record, "in_iface") {
        within(&mut observer, "ingress", |ingress| {
            within(ingress, "interface", |inner| set(inner, "name", text(interface)));
        });
    }
    put(&mut doc.fields, "observer", observer);
}

fn alert<'r>(value: &'r Value<'r>, doc: &mut Document<'r>, _: &mut Found<'r>) {
    let Value::Object(record) = value else {
        return;
    };
    doc.categories = vec!["network", "intrusion_detection"];
    let blocked = text_of(record, "action") == Some("blocked");
    set(&mut doc.about, "kind", text("alert"));
    set(
        &mut doc.about,
        "type",
        texts(&[if blocked { "denied" } else { "allowed" }]),
    );
    copy(record, &[("severity", "severity", Whole)], &mut doc.about);
    let mut rule = copied(record, RULE);
    if let Some(sid) = get(record, "signature_id").and_then(Value::whole) {
        set(&mut rule, "id", Value::Text(sid.to_string().into()));
        let group = format!(
            "{sid} {} {}",
            address_of(doc, "source"),
            address_of(doc, "destination")
        );
        set(&mut doc.own, "group", Value::Text(group.into()));
    }
    if let Some(revision) = get(record, "rev").and_then(Value::whole) {
        set(&mut rule, "version", Value::Text(revision.to_string().into()));
    }
    put(&mut doc.fields, "rule", rule);
    if let Some(metadata) = get(record, "metadata").and_then(Value::members) {
        threat(metadata, doc);
    }
}

fn address_of<'d>(doc: &'d Document<'_>, side: &str) -> &'d str {
    let end = get(&doc.fields, side).and_then(Value::members);
    end.and_then(|end| get(end, "ip"))
        .and_then(Value::text)
        .unwrap_or("")
}

/// Emerging Threats' rules name MITRE ATT&CK tactics and techniques in their metadata.
fn threat<'r>(metadata: &'r Members<'r>, doc: &mut Document<'r>) {
    let (tactic, technique) = (copied(metadata, TACTIC), copied(metadata, TECHNIQUE));
    if tactic.is_empty() && technique.is_empty() {
        return;
    }
    within(&mut doc.fields, "threat", |threat| {
        set(threat, "framework", text("MITRE ATT&CK"));
        put(threat, "tactic", tactic);
        put(threat, "technique", technique);
    });
}

/// Our own part of a record: the indicators that matched.
fn own<'r>(value: &'r Value<'r>, doc: &mut Document<'r>, _: &mut Found<'r>) {
    let Value::Object(record) = value else {
        return;
    };
    let mut indicators = Vec::new();
    for record in records(get(record, "indicator")) {
        let mut indicator = copied(record, INDICATOR);
        if let Some(kind) = text_of(record, "type") {
            let known = INDICATOR_TYPES.iter().find(|(ours, _)| *ours == kind);
            set(
                &mut indicator,
                "type",
                text(known.map_or(kind, |(_, theirs)| theirs)),
            );
        }
        if !indicator.is_empty() {
            indicators.push(Value::Object(indicator));
        }
    }
    if !indicators.is_empty() {
        within(&mut doc.fields, "threat", |threat| {
            set(threat, "indicator", one_or_all(indicators))
        });
    }
}

fn dns<'r>(value: &'r Value<'r>, doc: &mut Document<'r>, found: &mut Found<'r>) {
    for record in records(Some(value)) {
        let mut dns = Members::new();
        let mut questions = Vec::new();
        // version 3 of the format has the questions in a list, alerts the whole message in one
        let asked = records(get(record, "query")).chain(records(get(record, "queries")));
        for asked in asked.chain([record]) {
            copy(asked, DNS, &mut dns);
            if let Some(id) = get(asked, "id").and_then(Value::whole) {
                set(&mut dns, "id", Value::Text(id.to_string().into()));
            }
            if let Some(name) = named(asked, "rrname", found) {
                let mut question = vec![(Cow::Borrowed("name"), Value::Text(name))];
                copy(asked, DNS_QUESTION, &mut question);
                questions.push(Value::Object(question));
            }
        }
        if !questions.is_empty() {
            set(&mut dns, "question", one_or_all(questions));
        }
        let mut answers = Vec::new();
        let mut resolved = Vec::new();
        for answer in records(get(record, "answers")) {
            answers.push(Value::Object(copied(answer, DNS_ANSWER)));
            if let (Some("A" | "AAAA"), Some(address)) = (text_of(answer, "rrtype"), text_of(answer, "rdata"))
            {
                resolved.push(text(address));
                found.addresses.push(address);
            }
        }
        if !resolved.is_empty() {
            set(&mut dns, "resolved_ip", Value::List(resolved));
        }
        if !answers.is_empty() {
            set(&mut dns, "answers", Value::List(answers));
        }
        set(&mut doc.fields, "dns", Value::Object(dns));
    }
}

fn tls<'r>(value: &'r Value<'r>, doc: &mut Document<'r>, found: &mut Found<'r>) {
    for record in records(Some(value)) {
        let mut server = copied(record, TLS_SERVER);
        let mut client = Members::new();
        if let Some(name) = named(record, "sni", found) {
            set(&mut client, "server_name", Value::Text(name));
        }
        for (print, side) in [("ja3", &mut client), ("ja3s", &mut server)] {
            if let Some(hash) = print_of(record, print) {
                set(side, print, Value::Text(lower(hash)));
            }
        }
        if let Some(hash) = print_of(record, "ja4") {
            set(&mut client, "ja4", Value::Text(lower(hash)));
        }
        if let Some(fingerprint) = text_of(record, "fingerprint") {
            // ECS: upper case, without colons
            let sha1 = fingerprint.replace(':', "").to_uppercase();
            found.hashes.push(Cow::Owned(sha1.clone()));
            within(&mut server, "hash", |hash| {
                set(hash, "sha1", Value::Text(sha1.into()))
            });
        }
        let mut tls = Members::new();
        if let Some(version) = text_of(record, "version") {
            let (protocol, number) = version.rsplit_once(' ').unwrap_or(("", version));
            set(
                &mut tls,
                "version",
                text(number.strip_prefix('v').unwrap_or(number)),
            );
            let protocol = if protocol.is_empty() { "tls" } else { protocol };
            set(&mut tls, "version_protocol", Value::Text(lower(protocol)));
        }
        put(&mut tls, "client", client);
        put(&mut tls, "server", server);
        set(&mut doc.fields, "tls", Value::Object(tls));
    }
}

/// A fingerprint of a session: a text, or the hash of an object.
fn print_of<'r>(record: &'r Members<'r>, name: &str) -> Option<&'r str> {
    match get(record, name)? {
        Value::Object(print) => text_of(print, "hash"),
        other => other.text(),
    }
}

fn http<'r>(value: &'r Value<'r>, doc: &mut Document<'r>, found: &mut Found<'r>) {
    for record in records(Some(value)) {
        let mut http = Members::new();
        let host = named(record, "hostname", found);
        let mut response = copied(record, HTTP_RESPONSE);
        put(&mut response, "body", copied(record, HTTP_BODY));
        if let Some(version) = text_of(record, "protocol") {
            set(
                &mut http,
                "version",
                text(version.strip_prefix("HTTP/").unwrap_or(version)),
            );
        }
        put(&mut http, "request", copied(record, HTTP_REQUEST));
        put(&mut http, "response", response);
        let mut url = Members::new();
        if let Some(path) = text_of(record, "url").filter(|path| !path.is_empty()) {
            set(&mut url, "original", text(path));
            let beginning: String = path.chars().take(10).collect();
            let full = if beginning.contains("://") {
                Cow::Borrowed(path)
            } else {
                format!("http://{}{path}", host.as_deref().unwrap_or("")).into()
            };
            set(&mut url, "full", Value::Text(full));
        }
        if let Some(host) = host {
            set(&mut url, "domain", Value::Text(host));
        }
        put(&mut doc.fields, "url", url);
        put(&mut doc.fields, "user_agent", copied(record, USER_AGENT));
        set(&mut doc.fields, "http", Value::Object(http));
        doc.categories.push("web");
    }
}

fn files<'r>(value: &'r Value<'r>, doc: &mut Document<'r>, found: &mut Found<'r>) {
    let mut files = Vec::new();
    for record in records(Some(value)) {
        let mut file = copied(record, FILE);
        if let Some(path) = text_of(record, "filename") {
            set(&mut file, "name", text(path.rsplit('/').next().unwrap_or(path)));
        }
        let mut hashes = Members::new();
        for name in ["md5", "sha1", "sha256"] {
            if let Some(hash) = text_of(record, name) {
                let hash = lower(hash);
                found.hashes.push(hash.clone());
                set(&mut hashes, name, Value::Text(hash));
            }
        }
        put(&mut file, "hash", hashes);
        files.push(Value::Object(file));
    }
    if !files.is_empty() {
        set(&mut doc.fields, "file", one_or_all(files));
    }
}

fn flow<'r>(value: &'r Value<'r>, doc: &mut Document<'r>, _: &mut Found<'r>) {
    let Value::Object(record) = value else {
        return;
    };
    let (mut octets, mut packets) = (0, 0);
    let sides = [
        ("source", "bytes_toserver", "pkts_toserver"),
        ("destination", "bytes_toclient", "pkts_toclient"),
    ];
    for (side, sent, count) in sides {
        let numbers = (
            get(record, sent).and_then(Value::whole),
            get(record, count).and_then(Value::whole),
        );
        if let (true, (Some(sent), Some(count))) = (get(&doc.fields, side).is_some(), numbers) {
            within(&mut doc.fields, side, |end| {
                set(end, "bytes", Value::Whole(sent));
                set(end, "packets", Value::Whole(count));
            });
            octets += sent;
            packets += count;
        }
    }
    if packets != 0 {
        within(&mut doc.fields, "network", |network| {
            set(network, "bytes", Value::Whole(octets));
            set(network, "packets", Value::Whole(packets));
        });
    }
    copy(record, FLOW_TIMES, &mut doc.about);
    if let Some(age_s) = get(record, "age").and_then(Value::whole) {
        // at most 64 bits times 10^9: far below what 128 hold
        set(&mut doc.about, "duration", Value::Whole(age_s * 1_000_000_000));
    }
}

fn email<'r>(value: &'r Value<'r>, doc: &mut Document<'r>, _: &mut Found<'r>) {
    let Value::Object(record) = value else {
        return;
    };
    let mut email = copied(record, EMAIL);
    for side in ["from", "to", "cc"] {
        if let Some(addresses @ (Value::Text(_) | Value::List(_))) = get(record, side) {
            within(&mut email, side, |inner| set(inner, "address", addresses.clone()));
        }
    }
    put(&mut doc.fields, "email", email);
}

/// A text as a value.
pub fn text(value: &str) -> Value<'_> {
    Value::Text(Cow::Borrowed(value))
}

/// A list of texts as a value.
pub fn texts<'r>(values: &[&'r str]) -> Value<'r> {
    Value::List(values.iter().map(|value| text(value)).collect())
}

/// A member's text, if it is one.
pub fn text_of<'r>(record: &'r Members<'r>, name: &str) -> Option<&'r str> {
    get(record, name).and_then(Value::text)
}

/// Give a member these members, if there are any.
fn put<'r>(members: &mut Members<'r>, name: &'static str, inner: Members<'r>) {
    if !inner.is_empty() {
        set(members, name, Value::Object(inner));
    }
}

fn one_or_all<'r>(mut values: Vec<Value<'r>>) -> Value<'r> {
    if values.len() == 1 {
        if let Some(only) = values.pop() {
            return only;
        }
    }
    Value::List(values)
}

/// The value if it is an object, or those of its first elements that are.
fn records<'r>(value: Option<&'r Value<'r>>) -> impl Iterator<Item = &'r Members<'r>> {
    let values = match value {
        Some(Value::List(values)) => &values[..values.len().min(ITEMS_MAX)],
        Some(value @ Value::Object(_)) => std::slice::from_ref(value),
        _ => &[],
    };
    values.iter().filter_map(Value::members)
}

/// A domain name in a member, which is found by it and by those above it.
fn named<'r>(record: &'r Members<'r>, member: &str, found: &mut Found<'r>) -> Option<Cow<'r, str>> {
    let name = name_of(text_of(record, member)?);
    if name.is_empty() {
        return None;
    }
    found.names.push(name.clone());
    Some(name)
}
