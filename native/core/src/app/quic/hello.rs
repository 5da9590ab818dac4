//! Client and Server Hello as QUIC's records show them: every extension, GREASE and all (RFC 8446 section 4.1).
//!
//! Unlike for TLS over TCP, JA3 strings keep GREASE and a malformed extension silently ends the list: that is what
//! Suricata makes of them here, and what published fingerprints are compared with.

use crate::app::octets::{pairs, Reader};
use crate::app::tls::hello::Ja4;

/// Octets of a handshake message's header.
const MESSAGE_HEADER_OCTETS: usize = 4;
/// All GREASE extensions are shown as this one.
const GREASE_EXTENSION: u16 = 0xfafa;

/// An extension.
#[derive(Debug, PartialEq, Eq)]
pub struct Extension {
    /// Type.
    pub kind: u16,
    /// What it says, where it is a list of names or numbers.
    pub values: Vec<Vec<u8>>,
}

/// What a hello said.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Hello {
    /// Extensions in order.
    pub extensions: Vec<Extension>,
    /// JA3 of a client, JA3S of a server.
    pub ja3: String,
    /// JA4 of a client.
    pub ja4: Option<String>,
}

/// What the beginning of a side's handshake is.
#[derive(Debug, PartialEq, Eq)]
pub enum Start {
    /// A hello.
    Hello(Hello),
    /// More octets are needed.
    Short,
    /// Something else.
    Other,
}

/// Read the message that `octets` begin with.
pub fn read(octets: &[u8]) -> Start {
    let Some((header, rest)) = octets.split_at_checked(MESSAGE_HEADER_OCTETS) else {
        return Start::Short;
    };
    let len = usize::from(header[1]) << 16 | usize::from(header[2]) << 8 | usize::from(header[3]);
    let Some(body) = rest.get(..len) else {
        return Start::Short;
    };
    let hello = match header[0] {
        1 => read_client(body),
        2 => read_server(body),
        _ => None,
    };
    hello.map_or(Start::Other, Start::Hello)
}

/// Version, random and session identifier, which both hellos begin with; the version is told.
fn opening(reader: &mut Reader<'_>) -> Option<u16> {
    let version = reader.u16()?;
    reader.take(32)?;
    let session = reader.u8().filter(|&len| len <= 32)?;
    reader.take(usize::from(session))?;
    Some(version)
}

/// The octets behind a length of two.
fn list<'a>(reader: &mut Reader<'a>) -> Option<&'a [u8]> {
    let len = reader.u16()?;
    reader.take(usize::from(len))
}

fn read_client(body: &[u8]) -> Option<Hello> {
    let mut reader = Reader::new(body);
    let version = opening(&mut reader)?;
    let ciphers = list(&mut reader).filter(|list| list.len() % 2 == 0)?;
    let compressions = reader.u8()?;
    reader.take(usize::from(compressions))?;
    let mut ja4 = Ja4::quic();
    ja4.ciphers(pairs(ciphers));
    let mut hello = Hello {
        ja3: format!("{version},{},", dashed(pairs(ciphers))),
        ..Hello::default()
    };
    if let Some(extensions) = list(&mut reader) {
        let mut lists = Lists::default();
        read_extensions(extensions, &mut hello, &mut lists, Some(&mut ja4));
        hello.ja3 = format!(
            "{}{},{},{}",
            hello.ja3,
            dashed(hello.extensions.iter().map(|extension| extension.kind)),
            dashed(lists.groups.into_iter()),
            dashed(lists.formats.into_iter())
        );
    }
    hello.ja4 = Some(ja4.text());
    Some(hello)
}

fn read_server(body: &[u8]) -> Option<Hello> {
    let mut reader = Reader::new(body);
    let version = opening(&mut reader).filter(|version| (0x0301..=0x0303).contains(version))?;
    let cipher = reader.u16()?;
    reader.u8()?;
    let mut hello = Hello::default();
    if let Some(extensions) = list(&mut reader) {
        read_extensions(extensions, &mut hello, &mut Lists::default(), None);
    }
    let extensions = dashed(hello.extensions.iter().map(|extension| extension.kind));
    hello.ja3 = format!("{version},{cipher},{extensions}");
    Some(hello)
}

fn dashed(numbers: impl Iterator<Item = u16>) -> String {
    let mut text = String::new();
    for number in numbers {
        if !text.is_empty() {
            text.push('-');
        }
        text.push_str(&number.to_string());
    }
    text
}

#[derive(Default)]
struct Lists {
    groups: Vec<u16>,
    formats: Vec<u16>,
}

fn read_extensions(octets: &[u8], hello: &mut Hello, lists: &mut Lists, mut ja4: Option<&mut Ja4>) {
    let mut reader = Reader::new(octets);
    while let Some((kind, body)) = reader.u16().zip(list(&mut reader)) {
        let mut extension = Extension {
            kind: if kind & 0x0f0f == 0x0a0a {
                GREASE_EXTENSION
            } else {
                kind
            },
            values: Vec::new(),
        };
        if extension.kind == kind
            && read_extension(kind, body, &mut extension.values, lists, ja4.as_deref_mut()).is_none()
        {
            return;
        }
        if let Some(ja4) = &mut ja4 {
            ja4.extension(extension.kind);
        }
        hello.extensions.push(extension);
    }
}

/// Read what an extension says; `None` when it is not what its type asks for.
fn read_extension(
    kind: u16,
    body: &[u8],
    values: &mut Vec<Vec<u8>>,
    lists: &mut Lists,
    ja4: Option<&mut Ja4>,
) -> Option<()> {
    let mut reader = Reader::new(body);
    match kind {
        // server_name: entries of a type and a name; a server's is empty.
        0 if body.is_empty() => {}
        0 => {
            let mut names = Reader::new(list(&mut reader)?);
            while let Some((_, name)) = names.u8().zip(list(&mut names)) {
                values.push(name.to_vec());
            }
        }
        // supported_groups
        10 => {
            let groups = list(&mut reader).filter(|list| list.len() % 2 == 0)?;
            lists.groups.extend(pairs(groups));
        }
        // ec_point_formats
        11 => {
            let len = reader.u8()?;
            let formats = reader.take(usize::from(len))?;
            lists
                .formats
                .extend(formats.iter().map(|&format| u16::from(format)));
        }
        // signature_algorithms
        13 => {
            let algorithms = list(&mut reader)?;
            values.extend(pairs(algorithms).map(|algorithm| algorithm.to_string().into_bytes()));
            if let Some(ja4) = ja4 {
                ja4.algorithms(pairs(algorithms));
            }
        }
        // application_layer_protocol_negotiation
        16 => {
            let mut names = Reader::new(list(&mut reader)?);
            while let Some(name) = names.u8().and_then(|len| names.take(usize::from(len))) {
                values.push(name.to_vec());
            }
            if let (Some(ja4), Some(first)) = (ja4, values.first()) {
                ja4.set_alpn(first);
            }
        }
        // supported_versions: a server's is one version, without a length.
        43 => {
            let versions = if body.len() == 2 { body } else { body.get(1..)? };
            if versions.len() % 2 != 0 {
                return None;
            }
            values.extend(pairs(versions).map(|version| version_name(version).into_bytes()));
            if let Some(ja4) = ja4 {
                pairs(versions).for_each(|version| ja4.version(version));
            }
        }
        _ => return well_formed(kind, body),
    }
    Some(())
}

/// Whether an extension that is not shown in full has the form of its type.
fn well_formed(kind: u16, body: &[u8]) -> Option<()> {
    let mut reader = Reader::new(body);
    let fits = match kind {
        // max_fragment_length, heartbeat
        1 | 15 => !body.is_empty(),
        // encrypt_then_mac, extended_master_secret, post_handshake_auth, next_protocol_negotiation
        22 | 23 | 49 | 13_172 => body.is_empty(),
        // record_size_limit
        28 => body.len() >= 2,
        // early_data
        42 => body.is_empty() || body.len() >= 4,
        // psk_key_exchange_modes, renegotiation_info
        45 | 0xff01 => usize::from(reader.u8()?) < body.len(),
        // oid_filters
        48 => list(&mut reader).is_some(),
        // encrypted_server_name
        0xffce => {
            reader.take(4)?;
            (0..3).all(|_| list(&mut reader).is_some())
        }
        _ => true,
    };
    fits.then_some(())
}

/// A TLS version as records of QUIC name it.
fn version_name(version: u16) -> String {
    match version {
        0x0300 => "Ssl30".into(),
        0x0301 => "Tls10".into(),
        0x0302 => "Tls11".into(),
        0x0303 => "Tls12".into(),
        0x0304 => "Tls13".into(),
        0x7f12..=0x7f17 => format!("Tls13Draft{}", version & 0xff),
        0xfeff => "DTls10".into(),
        0xfefe => "DTls11".into(),
        0xfefd => "DTls12".into(),
        other => format!("TlsVersion({other} / 0x{other:x})"),
    }
}
