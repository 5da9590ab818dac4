//! Values as they are looked for: octets that are equal, or begin alike, when the values do.

use std::net::{Ipv4Addr, Ipv6Addr};

/// Characters kept of a searched text; the record itself is kept whole.
const WORD_MAX: usize = 1024;

/// What a [`print`](fn@print) is of. The numbers are kept in files: never change them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Print {
    /// Any hash of a file.
    File = 3,
    /// JA3, JA3S, JA4.
    Ja = 4,
    /// A certificate's fingerprint.
    Certificate = 5,
    /// `flow_id`.
    Flow = 6,
    /// `community_id`.
    Community = 7,
    /// Either port; only in a block's filter, never in its prints.
    Port = 8,
}

/// The text, bounded.
pub fn word(text: &str) -> &str {
    match text.char_indices().nth(WORD_MAX) {
        Some((end, _)) => &text[..end],
        None => text,
    }
}

/// An address as octets that sort by family and number; any other text as itself, after all addresses.
pub fn address(text: &str, out: &mut Vec<u8>) {
    if let Ok(address) = text.parse::<Ipv4Addr>() {
        out.push(b'4');
        out.extend(address.octets());
    } else if let Ok(address) = text.parse::<Ipv6Addr>() {
        out.push(b'6');
        out.extend(address.octets());
    } else {
        out.push(b't');
        out.extend(word(text).as_bytes());
    }
}

/// First and last address key of a network; None for what is none.
pub fn network(address: &str, bits: u8) -> Option<(Vec<u8>, Vec<u8>)> {
    let mut first = Vec::new();
    self::address(address, &mut first);
    let family = *first.first()?;
    if family == b't' || usize::from(bits) > 8 * (first.len() - 1) {
        return None;
    }
    let mut last = first.clone();
    for (place, (low, high)) in first.iter_mut().zip(&mut last).skip(1).enumerate() {
        let kept = usize::from(bits).saturating_sub(8 * place).min(8);
        let mask = !(0xffu16 >> kept) as u8;
        *low &= mask;
        *high |= !mask;
    }
    Some((first, last))
}

/// The inverse of [`address`], an address in canonical form.
pub fn address_text(key: &[u8]) -> String {
    match key.split_first() {
        Some((b'4', rest)) if rest.len() == 4 => {
            Ipv4Addr::new(rest[0], rest[1], rest[2], rest[3]).to_string()
        }
        Some((b'6', rest)) => match <[u8; 16]>::try_from(rest) {
            Ok(octets) => Ipv6Addr::from(octets).to_string(),
            Err(_) => String::new(),
        },
        Some((_, rest)) => String::from_utf8_lossy(rest).into_owned(),
        None => String::new(),
    }
}

/// The name with its labels reversed, lower case, each followed by a dot: `com.example.www.`.
///
/// A domain and all names below it are those whose keys begin with the domain's key. A port is cut off, an IPv6 address
/// in brackets stays as it is. Nothing for a name without labels.
pub fn domain(name: &str, out: &mut Vec<u8>) {
    let lower = lower(word(name));
    let mut name: &str = &lower;
    if !name.starts_with('[') {
        name = name.split(':').next().unwrap_or(name);
    }
    let name = name.trim_end_matches('.');
    if name.is_empty() {
        return;
    }
    for label in name.rsplit('.') {
        out.extend(label.as_bytes());
        out.push(b'.');
    }
}

/// The inverse of [`domain`].
pub fn domain_text(key: &[u8]) -> String {
    let text = String::from_utf8_lossy(key);
    let labels: Vec<&str> = text.strip_suffix('.').unwrap_or(&text).rsplit('.').collect();
    labels.join(".")
}

/// A URL as it is searched: without scheme, lower case.
pub fn url(text: &str, out: &mut Vec<u8>) {
    let rest = match text.split_once("://") {
        Some((scheme, rest)) if scheme.chars().count() < 10 => rest,
        _ => text,
    };
    out.extend(lower(word(rest)).as_bytes());
}

/// A whole number as octets that sort like it.
pub fn whole(number: i64) -> [u8; 8] {
    ((number as u64) ^ (1 << 63)).to_be_bytes()
}

/// The inverse of [`whole`].
pub fn whole_of(key: &[u8]) -> Option<i64> {
    let octets = <[u8; 8]>::try_from(key).ok()?;
    Some((u64::from_be_bytes(octets) ^ (1 << 63)) as i64)
}

/// Signature id and text of an alert, either of which may be missing.
pub fn rule(sid: Option<i64>, signature: Option<&str>, out: &mut Vec<u8>) {
    out.push(u8::from(sid.is_some()) | u8::from(signature.is_some()) << 1);
    out.extend(whole(sid.unwrap_or(0)));
    out.extend(word(signature.unwrap_or("")).as_bytes());
}

/// The signature id of a [`rule`].
pub fn rule_sid(key: &[u8]) -> Option<i64> {
    let (flags, rest) = key.split_first()?;
    (flags & 1 != 0).then(|| whole_of(rest.get(..8)?))?
}

/// The signature's text of a [`rule`].
pub fn rule_text(key: &[u8]) -> Option<&[u8]> {
    let (flags, rest) = key.split_first()?;
    (flags & 2 != 0).then(|| rest.get(8..))?
}

/// A hash, fingerprint or the like as a number of 64 bits, which stands for it.
pub fn print(of: Print, text: &[u8]) -> u64 {
    mixed(hash(text) ^ (of as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

/// A number of 64 bits of these octets, the same on every machine (FNV-1a, then mixed).
///
/// Not secret: whoever makes texts of one number makes blocks looked into in vain, or finds both where one was asked for.
pub fn hash(octets: &[u8]) -> u64 {
    let mut state = 0xcbf2_9ce4_8422_2325u64;
    for &octet in octets {
        state = (state ^ u64::from(octet)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    mixed(state)
}

/// Every bit of the number in every bit of the result (the finalizer of MurmurHash3).
fn mixed(mut state: u64) -> u64 {
    state ^= state >> 33;
    state = state.wrapping_mul(0xff51_afd7_ed55_8ccd);
    state ^= state >> 33;
    state = state.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    state ^ (state >> 33)
}

/// Lower case; most text is ASCII and much of it is in lower case.
pub fn lower(text: &str) -> std::borrow::Cow<'_, str> {
    if text.is_ascii() {
        if text.bytes().any(|octet| octet.is_ascii_uppercase()) {
            text.to_ascii_lowercase().into()
        } else {
            text.into()
        }
    } else {
        text.to_lowercase().into()
    }
}

/// A certificate's fingerprint: lower case, no colons.
pub fn fingerprint(text: &str) -> Vec<u8> {
    let lower = lower(word(text));
    lower.bytes().filter(|&octet| octet != b':').collect()
}
