//! Records on their way into blocks: what is searched is read out of each, once.

use std::ops::Range;

use blake2::digest::consts::U10;
use blake2::{Blake2b, Digest};
use hashbrown::HashMap;

use super::key::{self, Print};
use super::record::{Eve, File, Session};
use super::{time, Column};

/// Columns in which a row has one value or none, in the order in which [`Row`] has them.
pub(super) const SINGLE: [Column; 8] = [
    Column::Kind,
    Column::Source,
    Column::Destination,
    Column::SourcePort,
    Column::DestinationPort,
    Column::Rule,
    Column::App,
    Column::Sensor,
];

#[derive(Clone, Copy, Default)]
pub(super) struct Span {
    begin: usize,
    len: usize,
}

/// What is known of a record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum State {
    Read,
    /// Somebody more patient has to read it, or its time.
    Doubtful,
    /// Not to be stored.
    Rejected,
}

pub(super) struct Row {
    pub(super) raw: Span,
    pub(super) origin: Span,
    pub(super) state: State,
    pub(super) micros: i64,
    pub(super) digest: u64,
    pub(super) values: [Option<Span>; 8],
    pub(super) terms: Range<usize>,
    pub(super) prints: Range<usize>,
}

/// Records, and what is searched of them.
#[derive(Default)]
pub struct Records {
    texts: Vec<u8>,
    keys: Vec<u8>,
    pub(super) rows: Vec<Row>,
    pub(super) terms: Vec<(Column, Span)>,
    pub(super) prints: Vec<u64>,
}

impl Records {
    /// Add a record.
    pub fn push(&mut self, raw: &[u8], origin: &[u8]) {
        let mut digest = Blake2b::<U10>::new();
        digest.update(origin);
        digest.update([0]);
        digest.update(raw);
        let low = digest
            .finalize()
            .iter()
            .fold(0u64, |all, &octet| all << 8 | u64::from(octet));
        let row = Row {
            raw: append(&mut self.texts, raw),
            origin: append(&mut self.texts, origin),
            state: State::Doubtful,
            micros: 0,
            digest: low,
            values: [None; 8],
            terms: 0..0,
            prints: 0..0,
        };
        self.rows.push(row);
        if let Some(eve) = Eve::read(raw) {
            let micros = eve.timestamp.get().and_then(time::micros);
            self.note(self.rows.len() - 1, &eve, micros);
        }
    }

    /// The records that have to be read by somebody else.
    pub fn doubtful(&self) -> impl Iterator<Item = usize> + '_ {
        let numbered = self.rows.iter().enumerate();
        numbered
            .filter(|(_, row)| row.state == State::Doubtful)
            .map(|(at, _)| at)
    }

    /// What somebody else read: the record as plain JSON, and its time; None: it is no record.
    pub fn settle(&mut self, at: usize, found: Option<(&[u8], i64)>) {
        let read = found.and_then(|(plain, micros)| Some((Eve::read(plain)?, micros)));
        match read {
            Some((eve, micros)) => self.note(at, &eve, Some(micros)),
            None if found.is_some() => self.note(at, &Eve::default(), found.map(|(_, micros)| micros)),
            None => {
                if let Some(row) = self.rows.get_mut(at) {
                    row.state = State::Rejected;
                }
            }
        }
    }

    /// How many records there are of each day since 1970 and type.
    pub fn places(&self) -> HashMap<(i64, &[u8]), usize> {
        let mut places = HashMap::new();
        for row in self.rows.iter().filter(|row| row.state == State::Read) {
            *places.entry((row.day(), self.kind(row))).or_insert(0) += 1;
        }
        places
    }

    pub(super) fn kind(&self, row: &Row) -> &[u8] {
        row.values[0].map_or(&[], |span| self.key(span))
    }

    pub(super) fn key(&self, span: Span) -> &[u8] {
        &self.keys[span.begin..span.begin + span.len]
    }

    pub(super) fn text(&self, span: Span) -> &[u8] {
        &self.texts[span.begin..span.begin + span.len]
    }

    pub(super) fn same(&self, one: u32, other: u32) -> bool {
        let (one, other) = (&self.rows[one as usize], &self.rows[other as usize]);
        self.text(one.raw) == self.text(other.raw) && self.text(one.origin) == self.text(other.origin)
    }

    fn note(&mut self, at: usize, eve: &Eve<'_>, micros: Option<i64>) {
        let keys = &mut self.keys;
        let mut keyed = |write: &dyn Fn(&mut Vec<u8>)| {
            let begin = keys.len();
            write(keys);
            Span {
                begin,
                len: keys.len() - begin,
            }
        };
        let port = |port: i64| move |out: &mut Vec<u8>| out.extend(key::whole(port));
        let kind = eve.event_type.get().unwrap_or("");
        let alert = eve.alert.0.as_ref();
        let sid = alert.and_then(|alert| alert.signature_id.0);
        let signature = alert.and_then(|alert| alert.signature.get());
        let values = [
            Some(keyed(&|out| out.extend(key::word(kind).as_bytes()))),
            eve.src_ip.get().map(|text| keyed(&|out| key::address(text, out))),
            eve.dest_ip
                .get()
                .map(|text| keyed(&|out| key::address(text, out))),
            eve.src_port.0.map(|number| keyed(&port(number))),
            eve.dest_port.0.map(|number| keyed(&port(number))),
            (sid.is_some() || signature.is_some()).then(|| keyed(&|out| key::rule(sid, signature, out))),
            eve.app_proto
                .get()
                .map(|text| keyed(&|out| out.extend(key::word(text).as_bytes()))),
            eve.host
                .get()
                .map(|text| keyed(&|out| out.extend(key::word(text).as_bytes()))),
        ];
        let (terms, prints) = (self.terms.len(), self.prints.len());
        self.note_terms(eve, terms);
        self.note_prints(eve);
        self.prints[prints..].sort_unstable();
        let mut kept = prints;
        for place in prints..self.prints.len() {
            if place == prints || self.prints[place] != self.prints[kept - 1] {
                self.prints[kept] = self.prints[place];
                kept += 1;
            }
        }
        self.prints.truncate(kept);
        let (terms, prints) = (terms..self.terms.len(), prints..self.prints.len());
        if let Some(row) = self.rows.get_mut(at) {
            row.values = values;
            row.terms = terms;
            row.prints = prints;
            if let Some(micros) = micros {
                row.micros = micros;
                row.state = State::Read;
            }
        }
    }

    fn note_terms(&mut self, eve: &Eve<'_>, since: usize) {
        for dns in &eve.dns.0 {
            let questions = dns
                .queries
                .0
                .iter()
                .chain(&dns.query.0)
                .map(|question| &question.rrname);
            for name in std::iter::once(&dns.rrname).chain(questions) {
                self.term(Column::Domain, since, |out| {
                    key::domain(name.get().unwrap_or(""), out)
                });
            }
        }
        for session in eve.tls.0.iter().chain(&eve.quic.0) {
            self.term(Column::Domain, since, |out| {
                key::domain(session.sni.get().unwrap_or(""), out)
            });
        }
        for http in &eve.http.0 {
            let (host, path) = (http.hostname.get().unwrap_or(""), http.url.get());
            self.term(Column::Domain, since, |out| key::domain(host, out));
            let Some(path) = path else { continue };
            let begin = &path.as_bytes()[..path.len().min(12)];
            if begin.windows(3).any(|three| three == b"://") {
                self.term(Column::Url, since, |out| key::url(path, out));
            } else {
                let whole = format!("{}{}", key::word(host), key::word(path));
                self.term(Column::Url, since, |out| key::url(&whole, out));
            }
        }
    }

    /// A term of the record whose first is ``since``, unless it is empty or there already.
    fn term(&mut self, column: Column, since: usize, write: impl Fn(&mut Vec<u8>)) {
        let begin = self.keys.len();
        write(&mut self.keys);
        let span = Span {
            begin,
            len: self.keys.len() - begin,
        };
        let known = self.terms[since..]
            .iter()
            .any(|&(other, term)| other == column && self.key(term) == self.key(span));
        if span.len == 0 || known {
            self.keys.truncate(begin);
        } else {
            self.terms.push((column, span));
        }
    }

    fn note_prints(&mut self, eve: &Eve<'_>) {
        let prints = &mut self.prints;
        if let Some(flow) = eve.flow_id.0 {
            prints.push(key::print(Print::Flow, &key::whole(flow)));
        }
        if let Some(text) = eve.community_id.get() {
            prints.push(key::print(Print::Community, text.as_bytes()));
        }
        for session in eve.tls.0.iter().chain(&eve.quic.0) {
            note_session(session, prints);
        }
        for file in eve.fileinfo.0.iter().chain(&eve.files.0) {
            note_file(file, prints);
        }
    }
}

fn note_session(session: &Session<'_>, prints: &mut Vec<u64>) {
    for hash in [&session.ja3, &session.ja3s, &session.ja4] {
        if let Some(text) = hash.0.get() {
            prints.push(key::print(Print::Ja, key::lower(key::word(text)).as_bytes()));
        }
    }
    if let Some(text) = session.fingerprint.get() {
        prints.push(key::print(Print::Certificate, &key::fingerprint(text)));
    }
}

fn note_file(file: &File<'_>, prints: &mut Vec<u64>) {
    for hash in [&file.md5, &file.sha1, &file.sha256] {
        if let Some(text) = hash.get() {
            prints.push(key::print(Print::File, key::lower(key::word(text)).as_bytes()));
        }
    }
}

fn append(texts: &mut Vec<u8>, octets: &[u8]) -> Span {
    let begin = texts.len();
    texts.extend_from_slice(octets);
    Span {
        begin,
        len: octets.len(),
    }
}

impl Row {
    pub(super) fn day(&self) -> i64 {
        self.micros.div_euclid(86_400_000_000)
    }
}
