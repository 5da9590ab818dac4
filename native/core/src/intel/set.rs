//! A million indicators and more in one table: keys in an arena, four octets an entry beside them, no allocation a look-up.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::Arc;

use hashbrown::HashTable;

/// Longest key that is kept; a longer one is no indicator.
const MAX_KEY: usize = 2048;

/// What an indicator names. The number is the alert's `signature_id`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum IndicatorKind {
    /// An address.
    Ip = 1,
    /// An address with a port.
    IpPort = 2,
    /// A network.
    Network = 3,
    /// A domain name with all names below it.
    Domain = 4,
    /// A URL, without its scheme.
    Url = 5,
    /// MD5, SHA-1 or SHA-256 of a file.
    FileHash = 6,
    /// JA3 or JA3S.
    Ja3 = 7,
    /// JA4.
    Ja4 = 8,
    /// SHA-1 of a certificate.
    CertSha1 = 9,
}

impl IndicatorKind {
    /// As feeds and records name it.
    pub fn name(self) -> &'static str {
        match self {
            IndicatorKind::Ip => "ip",
            IndicatorKind::IpPort => "ip_port",
            IndicatorKind::Network => "network",
            IndicatorKind::Domain => "domain",
            IndicatorKind::Url => "url",
            IndicatorKind::FileHash => "file_hash",
            IndicatorKind::Ja3 => "ja3",
            IndicatorKind::Ja4 => "ja4",
            IndicatorKind::CertSha1 => "cert_sha1",
        }
    }

    /// The kind of this name.
    pub fn named(name: &str) -> Option<IndicatorKind> {
        use IndicatorKind::{CertSha1, Domain, FileHash, Ip, IpPort, Ja3, Ja4, Network, Url};
        [Ip, IpPort, Network, Domain, Url, FileHash, Ja3, Ja4, CertSha1]
            .into_iter()
            .find(|kind| kind.name() == name)
    }
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    kind: IndicatorKind,
    source: u16,
    length: u16,
    info: u32,
    at: u32,
}

/// What a look-up found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Indicator<'a> {
    /// Kind.
    pub kind: IndicatorKind,
    /// The key: text for names, URLs and fingerprints, octets for addresses.
    pub key: &'a [u8],
    /// The feed.
    pub source: &'a str,
    /// What the feed says of it; may be "".
    pub info: &'a str,
}

/// Immutable, shared between engines.
#[derive(Debug, Default)]
pub struct IndicatorSet {
    table: HashTable<u32>,
    hasher: RandomState,
    entries: Vec<Entry>,
    arena: Vec<u8>,
    texts: Vec<Arc<str>>,
    /// Prefix lengths of the networks there are: IPv4, IPv6.
    prefixes: [Vec<u8>; 2],
    /// Items that are not what they say they are.
    pub refused: usize,
}

/// The key of an address: 4 or 16 octets.
fn address_key(address: IpAddr, room: &mut [u8; 19]) -> usize {
    match address.to_canonical() {
        IpAddr::V4(address) => {
            room[..4].copy_from_slice(&address.octets());
            4
        }
        IpAddr::V6(address) => {
            room[..16].copy_from_slice(&address.octets());
            16
        }
    }
}

/// Keep the first `length` bits of an address.
fn mask(octets: &mut [u8], length: u8) {
    for (at, octet) in octets.iter_mut().enumerate() {
        let bits = usize::from(length).saturating_sub(8 * at).min(8);
        *octet &= (0xff00u16 >> bits) as u8;
    }
}

/// A URL without scheme and fragment, its host in lower case.
fn url_key(text: &str) -> String {
    let rest = text.split_once("://").map_or(text, |(_, rest)| rest);
    let rest = rest.split('#').next().unwrap_or(rest);
    let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let host = host.rsplit('@').next().unwrap_or(host).to_ascii_lowercase();
    let host = host
        .strip_suffix(":80")
        .or_else(|| host.strip_suffix(":443"))
        .unwrap_or(&host);
    format!("{host}{}", if path.is_empty() { "/" } else { path })
}

impl IndicatorSet {
    /// A set of (kind, value, source, info); what is not of its kind is counted in `refused`. Of two equal ones the first
    /// stays.
    pub fn new<'i>(items: impl IntoIterator<Item = (&'i str, &'i str, &'i str, &'i str)>) -> IndicatorSet {
        let mut set = IndicatorSet::default();
        let mut known: HashMap<Arc<str>, u32> = HashMap::new();
        let mut text = |set: &mut IndicatorSet, text: &str| match known.get(text) {
            Some(&at) => at,
            None => {
                let shared: Arc<str> = text.into();
                set.texts.push(Arc::clone(&shared));
                known.insert(shared, set.texts.len() as u32 - 1);
                set.texts.len() as u32 - 1
            }
        };
        for (kind, value, source, info) in items {
            let Some((kind, key)) =
                IndicatorKind::named(kind).and_then(|kind| Some((kind, set.key(kind, value)?)))
            else {
                set.refused += 1;
                continue;
            };
            let (source, info) = (text(&mut set, source), text(&mut set, info));
            match u16::try_from(source) {
                Ok(source) => set.add(kind, &key, source, info),
                Err(_) => set.refused += 1,
            }
        }
        set.entries.shrink_to_fit();
        set.arena.shrink_to_fit();
        set
    }

    fn key(&mut self, kind: IndicatorKind, value: &str) -> Option<Vec<u8>> {
        let value = value.trim();
        let mut room = [0; 19];
        let key = match kind {
            IndicatorKind::Ip => {
                let length = address_key(value.parse().ok()?, &mut room);
                room[..length].to_vec()
            }
            IndicatorKind::IpPort => {
                let (host, port) = value.rsplit_once(':')?;
                let length = address_key(host.trim_matches(['[', ']']).parse().ok()?, &mut room);
                let mut key = room[..length].to_vec();
                key.extend(port.parse::<u16>().ok()?.to_be_bytes());
                key
            }
            IndicatorKind::Network => {
                let (address, prefix) = value.split_once('/')?;
                let length = address_key(address.parse().ok()?, &mut room);
                let prefix: u8 = prefix
                    .parse()
                    .ok()
                    .filter(|prefix| usize::from(*prefix) <= 8 * length)?;
                mask(&mut room[..length], prefix);
                let prefixes = &mut self.prefixes[usize::from(length == 16)];
                if !prefixes.contains(&prefix) {
                    prefixes.push(prefix);
                    // The narrowest network is found first.
                    prefixes.sort_unstable_by(|a, b| b.cmp(a));
                }
                let mut key = room[..length].to_vec();
                key.push(prefix);
                key
            }
            IndicatorKind::Domain => {
                let name = value
                    .trim_end_matches('.')
                    .trim_start_matches("*.")
                    .to_ascii_lowercase();
                if name.is_empty() || name.len() > 253 {
                    return None;
                }
                name.into_bytes()
            }
            IndicatorKind::Url => url_key(value).into_bytes(),
            _ => value.to_ascii_lowercase().into_bytes(),
        };
        (!key.is_empty() && key.len() <= MAX_KEY).then_some(key)
    }

    fn hash(&self, kind: IndicatorKind, key: &[u8]) -> u64 {
        self.hasher.hash_one((kind as u8, key))
    }

    fn add(&mut self, kind: IndicatorKind, key: &[u8], source: u16, info: u32) {
        if self.find(kind, key).is_some() {
            return;
        }
        let (Ok(at), Ok(length), Ok(index)) = (
            u32::try_from(self.arena.len()),
            u16::try_from(key.len()),
            u32::try_from(self.entries.len()),
        ) else {
            self.refused += 1;
            return;
        };
        self.arena.extend_from_slice(key);
        self.entries.push(Entry {
            kind,
            source,
            length,
            info,
            at,
        });
        let hash = self.hash(kind, key);
        let IndicatorSet {
            table,
            hasher,
            entries,
            arena,
            ..
        } = self;
        table.insert_unique(hash, index, |&other| {
            let entry = &entries[other as usize];
            hasher.hash_one((entry.kind as u8, key_of(entry, arena)))
        });
    }

    fn find(&self, kind: IndicatorKind, key: &[u8]) -> Option<Indicator<'_>> {
        let hash = self.hash(kind, key);
        let at = self.table.find(hash, |&at| {
            let entry = &self.entries[at as usize];
            entry.kind == kind && key_of(entry, &self.arena) == key
        })?;
        let entry = &self.entries[*at as usize];
        Some(Indicator {
            kind,
            key: key_of(entry, &self.arena),
            source: &self.texts[usize::from(entry.source)],
            info: &self.texts[entry.info as usize],
        })
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// There is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// An address, with its port where it has one: by itself, then with the port, then by network, narrowest first.
    pub fn address(&self, address: IpAddr, port: Option<u16>) -> Option<Indicator<'_>> {
        let mut room = [0; 19];
        let length = address_key(address, &mut room);
        if let Some(found) = self.find(IndicatorKind::Ip, &room[..length]) {
            return Some(found);
        }
        if let Some(port) = port {
            room[length..length + 2].copy_from_slice(&port.to_be_bytes());
            if let Some(found) = self.find(IndicatorKind::IpPort, &room[..length + 2]) {
                return Some(found);
            }
        }
        for &prefix in &self.prefixes[usize::from(length == 16)] {
            mask(&mut room[..length], prefix);
            room[length] = prefix;
            if let Some(found) = self.find(IndicatorKind::Network, &room[..=length]) {
                return Some(found);
            }
        }
        None
    }

    /// A domain name, or the nearest name above it that is listed.
    pub fn domain(&self, name: &[u8]) -> Option<Indicator<'_>> {
        let name = name.strip_suffix(b".").unwrap_or(name);
        let mut room = [0; 256];
        let lower = room.get_mut(..name.len())?;
        lower.copy_from_slice(name);
        lower.make_ascii_lowercase();
        let mut rest: &[u8] = lower;
        loop {
            if let Some(found) = self.find(IndicatorKind::Domain, rest) {
                return Some(found);
            }
            rest = rest.get(memchr::memchr(b'.', rest)? + 1..)?;
        }
    }

    /// A URL: host as it was sent, and path with query.
    pub fn url(&self, host: &[u8], path: &[u8], room: &mut Vec<u8>) -> Option<Indicator<'_>> {
        room.clear();
        let host = host.strip_suffix(b":80").unwrap_or(host);
        room.extend(host.iter().map(u8::to_ascii_lowercase));
        // An absolute URI brings its own host.
        if path.starts_with(b"/") {
            room.extend_from_slice(path);
        } else {
            room.push(b'/');
        }
        room.truncate(MAX_KEY);
        if let Some(found) = self.find(IndicatorKind::Url, room) {
            return Some(found);
        }
        let end = memchr::memchr(b'?', room)?;
        self.find(IndicatorKind::Url, &room[..end])
    }

    /// A hash or fingerprint as text, in any case.
    pub fn text(&self, kind: IndicatorKind, value: &[u8]) -> Option<Indicator<'_>> {
        let mut room = [0; 128];
        let lower = room.get_mut(..value.len())?;
        lower.copy_from_slice(value);
        lower.make_ascii_lowercase();
        self.find(kind, lower)
    }
}

fn key_of<'a>(entry: &Entry, arena: &'a [u8]) -> &'a [u8] {
    let at = entry.at as usize;
    &arena[at..at + usize::from(entry.length)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set() -> IndicatorSet {
        IndicatorSet::new([
            ("ip", "203.0.113.66", "feed", "server"),
            ("ip_port", "198.51.100.1:8080", "feed", ""),
            ("network", "192.0.2.0/25", "feed", ""),
            ("network", "2001:db8:66::/48", "feed", ""),
            ("domain", "Evil.example.", "feed", "c2"),
            ("url", "http://Bad.example:80/a?b=1", "feed", ""),
            ("url", "bad.example/only", "feed", ""),
            ("file_hash", "D41D8CD98F00B204E9800998ECF8427E", "feed", ""),
            ("ip", "not an address", "feed", ""),
            ("nonsense", "x", "feed", ""),
        ])
    }

    #[test]
    fn addresses_are_found_by_themselves_with_their_port_and_by_network() {
        let set = set();
        assert_eq!((set.len(), set.refused), (8, 2));
        let kind = |address: &str, port| {
            set.address(address.parse().unwrap(), port)
                .map(|found| found.kind)
        };
        assert_eq!(kind("203.0.113.66", None), Some(IndicatorKind::Ip));
        assert_eq!(kind("::ffff:203.0.113.66", None), Some(IndicatorKind::Ip));
        assert_eq!(kind("198.51.100.1", Some(8080)), Some(IndicatorKind::IpPort));
        assert_eq!(kind("198.51.100.1", Some(80)), None);
        assert_eq!(kind("192.0.2.127", None), Some(IndicatorKind::Network));
        assert_eq!(kind("192.0.2.128", None), None);
        assert_eq!(kind("2001:db8:66::1", None), Some(IndicatorKind::Network));
    }

    #[test]
    fn a_domain_is_found_with_all_names_below_it_and_no_other() {
        let set = set();
        assert_eq!(
            set.domain(b"www.EVIL.example")
                .map(|found| (found.source, found.info)),
            Some(("feed", "c2"))
        );
        assert!(set.domain(b"evil.example.").is_some());
        assert!(set.domain(b"notevil.example").is_none());
        assert!(set.domain(b"example").is_none());
        assert!(set.domain(&[b'a'; 300]).is_none());
    }

    #[test]
    fn urls_are_found_with_or_without_what_was_asked() {
        let set = set();
        let mut room = Vec::new();
        assert!(set.url(b"BAD.example", b"/a?b=1", &mut room).is_some());
        assert!(set.url(b"bad.example", b"/a?b=2", &mut room).is_none());
        assert!(set.url(b"bad.example:80", b"/only?x=y", &mut room).is_some());
        assert!(set
            .text(IndicatorKind::FileHash, b"d41d8cd98f00b204e9800998ecf8427e")
            .is_some());
    }
}
