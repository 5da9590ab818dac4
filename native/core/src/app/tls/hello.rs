//! Client and Server Hello, and the fingerprints made of them: JA3, JA3S, JA4.

use md5::{Digest, Md5};
use sha2::Sha256;

use super::version::{is_grease, is_valid, TLS12, TLS13, TLS13_BEFORE_DRAFT16};
use crate::app::octets::{pairs, Reader};
use crate::file::hex;

/// Octets of a random.
pub const RANDOM_OCTETS: usize = 32;

/// What a hello said.
#[derive(Debug, Default)]
pub struct Hello {
    /// Version, that of the supported-versions extension where there is one.
    pub version: u16,
    /// Random.
    pub random: Option<[u8; RANDOM_OCTETS]>,
    /// Session identifier.
    pub session_id: Vec<u8>,
    /// Server name.
    pub sni: Option<Vec<u8>>,
    /// First of the offered application protocols.
    pub alpn: Option<Vec<u8>>,
    /// JA3 or JA3S string.
    pub ja3: Option<String>,
    /// A session ticket came.
    pub ticket: bool,
    /// Early data will come.
    pub early_data: bool,
    /// Supported versions came.
    pub has_versions: bool,
    /// The server's version is one whose certificate is not seen.
    pub without_certificate: bool,
    /// Events.
    pub events: Vec<&'static str>,
}

/// What JA4 is made of; a second hello adds to the first.
#[derive(Debug, Default)]
pub struct Ja4 {
    quic: bool,
    version: u16,
    ciphers: Vec<u16>,
    extensions: Vec<u16>,
    algorithms: Vec<u16>,
    server_name: bool,
    extension_count: usize,
    alpn: Option<[char; 2]>,
}

impl Ja4 {
    /// For hellos over QUIC.
    pub fn quic() -> Ja4 {
        Ja4 {
            quic: true,
            ..Ja4::default()
        }
    }

    /// A version that is offered.
    pub fn version(&mut self, version: u16) {
        if !is_grease(version) {
            self.version = self.version.max(version);
        }
    }

    /// An extension by its type; GREASE does not count.
    pub fn extension(&mut self, kind: u16) {
        if is_grease(kind) {
            return;
        }
        match kind {
            extension::SERVER_NAME => self.server_name = true,
            extension::ALPN => {}
            _ => self.extensions.push(kind),
        }
        self.extension_count += 1;
    }

    /// Cipher suites that are offered.
    pub fn ciphers(&mut self, ciphers: impl Iterator<Item = u16>) {
        self.ciphers.extend(ciphers.filter(|&cipher| !is_grease(cipher)));
    }

    /// Signature algorithms that are offered.
    pub fn algorithms(&mut self, algorithms: impl Iterator<Item = u16>) {
        self.algorithms
            .extend(algorithms.filter(|&algorithm| !is_grease(algorithm)));
    }

    /// The first application protocol that is offered.
    pub fn set_alpn(&mut self, name: &[u8]) {
        let (Some(&first), Some(&last)) = (name.first(), name.last()) else {
            return;
        };
        if name.len() == 2 && is_grease(u16::from_be_bytes([first, last])) {
            return;
        }
        self.alpn = Some(if first.is_ascii_alphanumeric() && last.is_ascii_alphanumeric() {
            [char::from(first), char::from(last)]
        } else {
            let digit = |value: u8| char::from_digit(u32::from(value), 16).unwrap_or('0');
            [digit(first >> 4), digit(last & 15)]
        });
    }

    /// The fingerprint.
    pub fn text(&self) -> String {
        let version = match self.version {
            0x0304 => "13",
            0x0303 => "12",
            0x0302 => "11",
            0x0301 => "10",
            0x0300 => "s3",
            _ => "00",
        };
        let alpn = self.alpn.unwrap_or(['0', '0']);
        let list = |values: &[u16]| {
            values
                .iter()
                .map(|value| format!("{value:04x}"))
                .collect::<Vec<_>>()
                .join(",")
        };
        let sorted = |values: &[u16]| {
            let mut values = values.to_vec();
            values.sort_unstable();
            list(&values)
        };
        let short = |text: String| hex(&Sha256::digest(text)[..6]);
        format!(
            "{}{version}{}{:02}{:02}{}{}_{}_{}",
            if self.quic { 'q' } else { 't' },
            if self.server_name { 'd' } else { 'i' },
            self.ciphers.len().min(99),
            self.extension_count.min(99),
            alpn[0],
            alpn[1],
            short(sorted(&self.ciphers)),
            short(format!("{}_{}", sorted(&self.extensions), list(&self.algorithms))),
        )
    }
}

/// MD5 of a JA3 string, in hexadecimal.
pub fn ja3_hash(text: &str) -> String {
    hex(&Md5::digest(text))
}

mod extension {
    pub const SERVER_NAME: u16 = 0;
    pub const GROUPS: u16 = 10;
    pub const POINT_FORMATS: u16 = 11;
    pub const SIGNATURE_ALGORITHMS: u16 = 13;
    pub const ALPN: u16 = 16;
    pub const SESSION_TICKET: u16 = 35;
    pub const EARLY_DATA: u16 = 42;
    pub const SUPPORTED_VERSIONS: u16 = 43;
}

/// Numbers with `-` between them, GREASE left out.
fn dashed(numbers: impl Iterator<Item = u16>) -> String {
    let mut text = String::new();
    for number in numbers.filter(|&number| !is_grease(number)) {
        if !text.is_empty() {
            text.push('-');
        }
        text.push_str(&number.to_string());
    }
    text
}

const INVALID_LENGTH: &str = "HANDSHAKE_INVALID_LENGTH";

/// Read a hello's body. `versions_seen`: the client sent supported versions (for a Server Hello). `ja4` is added to for
/// a Client Hello.
pub fn parse(octets: &[u8], client: bool, versions_seen: bool, ja4: Option<&mut Ja4>) -> Hello {
    let mut hello = Hello::default();
    if read(octets, client, versions_seen, ja4, &mut hello).is_none() {
        hello.events.push(INVALID_LENGTH);
    }
    hello
}

fn read(
    octets: &[u8],
    client: bool,
    versions_seen: bool,
    mut ja4: Option<&mut Ja4>,
    hello: &mut Hello,
) -> Option<()> {
    let mut reader = Reader::new(octets);
    let version = reader.u16()?;
    hello.version = version;
    if let Some(ja4) = &mut ja4 {
        ja4.version(version);
    }
    if !client && (version == TLS13 || version >> 8 == 0x7f) {
        hello.without_certificate = true;
    } else if version == TLS13 {
        hello.version = TLS13_BEFORE_DRAFT16;
    }
    hello.random = reader.take(RANDOM_OCTETS)?.try_into().ok();
    let has_session = client || !hello.without_certificate;
    if has_session {
        let len = reader.u8()?;
        hello.session_id = reader.take(usize::from(len))?.to_vec();
    }
    let len = if client { usize::from(reader.u16()?) } else { 2 };
    let ciphers = reader.take(len)?;
    if len % 2 != 0 {
        return None;
    }
    if let Some(ja4) = &mut ja4 {
        ja4.ciphers(pairs(ciphers));
    }
    if has_session {
        let len = if client { reader.u8()? } else { 1 };
        reader.take(usize::from(len))?;
    }
    let mut lists = Lists::default();
    if let Some(len) = reader.u16() {
        let extensions = reader.take(usize::from(len))?;
        read_extensions(extensions, client, versions_seen, ja4, hello, &mut lists)?;
    }
    let extensions = dashed(lists.extensions.iter().copied());
    let ciphers = dashed(pairs(ciphers));
    hello.ja3 = Some(if client {
        format!(
            "{version},{ciphers},{extensions},{},{}",
            lists.groups, lists.formats
        )
    } else {
        format!("{version},{ciphers},{extensions}")
    });
    Some(())
}

#[derive(Default)]
struct Lists {
    extensions: Vec<u16>,
    groups: String,
    formats: String,
}

/// Why an extension ends the reading of all.
struct Stop(&'static str);

fn read_extensions(
    octets: &[u8],
    client: bool,
    versions_seen: bool,
    mut ja4: Option<&mut Ja4>,
    hello: &mut Hello,
    lists: &mut Lists,
) -> Option<()> {
    let mut reader = Reader::new(octets);
    while !reader.rest().is_empty() {
        let kind = reader.u16()?;
        let len = reader.u16()?;
        let body = reader.take(usize::from(len))?;
        if !body.is_empty() || !matches!(kind, 0 | 10 | 11 | 13 | 16 | 43) {
            let result = read_extension(
                kind,
                body,
                client,
                versions_seen,
                ja4.as_deref_mut(),
                hello,
                lists,
            );
            if let Err(Stop(event)) = result {
                hello.events.push(event);
                return Some(());
            }
        }
        lists.extensions.push(kind);
        if let Some(ja4) = &mut ja4 {
            ja4.extension(kind);
        }
    }
    Some(())
}

/// A list with a length of two octets before it.
fn counted(body: &[u8]) -> Result<&[u8], Stop> {
    let mut reader = Reader::new(body);
    let len = reader.u16().ok_or(Stop(INVALID_LENGTH))?;
    reader.take(usize::from(len)).ok_or(Stop(INVALID_LENGTH))
}

fn read_extension(
    kind: u16,
    body: &[u8],
    client: bool,
    versions_seen: bool,
    ja4: Option<&mut Ja4>,
    hello: &mut Hello,
    lists: &mut Lists,
) -> Result<(), Stop> {
    let short = Stop(INVALID_LENGTH);
    match kind {
        extension::SERVER_NAME => {
            let mut reader = Reader::new(body);
            reader.u16().ok_or(Stop(INVALID_LENGTH))?;
            if reader.u8().ok_or(Stop(INVALID_LENGTH))? != 0 {
                return Err(Stop("INVALID_SNI_TYPE"));
            }
            let len = usize::from(reader.u16().ok_or(short)?);
            let name = reader.take(len).filter(|name| (1..=255).contains(&name.len()));
            let name = name.ok_or(Stop("INVALID_SNI_LENGTH"))?;
            if hello.sni.is_some() {
                hello.events.push("MULTIPLE_SNI_EXTENSIONS");
            } else {
                let end = name.iter().position(|&octet| octet == 0).unwrap_or(name.len());
                hello.sni = Some(name[..end].to_vec());
            }
        }
        extension::GROUPS => lists.groups = dashed(pairs(counted(body)?)),
        extension::POINT_FORMATS => {
            let mut reader = Reader::new(body);
            let len = reader.u8().ok_or(Stop(INVALID_LENGTH))?;
            let formats = reader.take(usize::from(len)).ok_or(short)?;
            lists.formats = dashed(formats.iter().map(|&format| u16::from(format)));
        }
        extension::SIGNATURE_ALGORITHMS => {
            let list = counted(body)?;
            if list.len() % 2 != 0 {
                return Err(short);
            }
            if let Some(ja4) = ja4 {
                ja4.algorithms(pairs(list));
            }
        }
        extension::ALPN => {
            let mut list = Reader::new(counted(body)?);
            if let Some(name) = list.u8().and_then(|len| list.take(usize::from(len))) {
                if let Some(ja4) = ja4 {
                    ja4.set_alpn(name);
                }
                hello.alpn = Some(name.to_vec());
            }
        }
        extension::EARLY_DATA if client => hello.early_data = true,
        extension::SESSION_TICKET if client => hello.ticket = true,
        extension::SUPPORTED_VERSIONS if client => {
            let mut reader = Reader::new(body);
            let len = usize::from(reader.u8().ok_or(Stop(INVALID_LENGTH))?);
            let list = reader.take(len).filter(|list| list.len() >= 2).ok_or(short)?;
            if let Some(version) = pairs(list).find(|&version| is_valid(version)) {
                hello.version = version;
                if let Some(ja4) = ja4 {
                    ja4.version(version);
                }
            }
            hello.has_versions = true;
        }
        extension::SUPPORTED_VERSIONS => {
            let version = Reader::new(body).u16().ok_or(short)?;
            hello.without_certificate |= versions_seen && version > TLS12;
            hello.version = version;
        }
        _ => {}
    }
    Ok(())
}
