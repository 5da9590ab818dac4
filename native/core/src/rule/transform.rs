//! What is done to a buffer before it is looked at.

use md5::Md5;
use sha1::Sha1;
use sha2::{Digest, Sha256};

use super::bytes::decode_base64;

/// A transform, in Suricata's words.
#[derive(Clone, Debug)]
pub enum Transform {
    /// `to_md5`
    ToMd5,
    /// `to_sha1`
    ToSha1,
    /// `to_sha256`
    ToSha256,
    /// `dotprefix`: a dot before the buffer.
    DotPrefix,
    /// `strip_whitespace`
    StripWhitespace,
    /// `compress_whitespace`
    CompressWhitespace,
    /// `url_decode`
    UrlDecode,
    /// `xor`: with this key, over and over.
    Xor(Box<[u8]>),
    /// `pcrexform`: what the first group matches.
    Pcre(pcre2::bytes::Regex),
    /// `to_lowercase`
    ToLowercase,
    /// `to_uppercase`
    ToUppercase,
    /// `header_lowercase`: names of header lines.
    HeaderLowercase,
    /// `strip_pseudo_headers`: HTTP/2 pseudo headers.
    StripPseudoHeaders,
    /// `casefold`
    CaseFold,
    /// `from_base64`: what was decoded, or what was there where nothing can be.
    FromBase64(FromBase64),
    /// `domain`: the registered domain of a name (`example.co.uk`), by the public suffix list.
    Domain,
    /// `tld`: the public suffix of a name (`co.uk`).
    TopLevelDomain,
}

/// What `from_base64` decodes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FromBase64 {
    /// At most this many encoded octets; 0 is all.
    pub octets: u32,
    /// Where they begin.
    pub offset: u32,
    /// What octets outside of the alphabet do.
    pub mode: Base64Mode,
}

/// How strictly base64 is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Base64Mode {
    /// Decoding ends at them (RFC 4648 section 3.3).
    #[default]
    Rfc4648,
    /// They are left out (RFC 2045 section 6.8).
    Rfc2045,
    /// Nothing is decoded.
    Strict,
}

impl Transform {
    /// The keyword.
    pub fn keyword(&self) -> &'static str {
        match self {
            Transform::ToMd5 => "to_md5",
            Transform::ToSha1 => "to_sha1",
            Transform::ToSha256 => "to_sha256",
            Transform::DotPrefix => "dotprefix",
            Transform::StripWhitespace => "strip_whitespace",
            Transform::CompressWhitespace => "compress_whitespace",
            Transform::UrlDecode => "url_decode",
            Transform::Xor(_) => "xor",
            Transform::Pcre(_) => "pcrexform",
            Transform::ToLowercase => "to_lowercase",
            Transform::ToUppercase => "to_uppercase",
            Transform::HeaderLowercase => "header_lowercase",
            Transform::StripPseudoHeaders => "strip_pseudo_headers",
            Transform::CaseFold => "casefold",
            Transform::FromBase64(_) => "from_base64",
            Transform::Domain => "domain",
            Transform::TopLevelDomain => "tld",
        }
    }

    /// Put `octets`, transformed, into `out`, which is cleared first. An empty buffer stays empty.
    pub fn apply(&self, octets: &[u8], out: &mut Vec<u8>) {
        out.clear();
        if octets.is_empty() {
            return;
        }
        match self {
            Transform::ToMd5 => out.extend_from_slice(&Md5::digest(octets)),
            Transform::ToSha1 => out.extend_from_slice(&Sha1::digest(octets)),
            Transform::ToSha256 => out.extend_from_slice(&Sha256::digest(octets)),
            Transform::DotPrefix => {
                out.push(b'.');
                out.extend_from_slice(octets);
            }
            Transform::StripWhitespace => {
                out.extend(octets.iter().copied().filter(|&octet| !is_space(octet)))
            }
            Transform::CompressWhitespace => compress(octets, out),
            Transform::UrlDecode => url_decode(octets, out),
            Transform::Xor(key) => out.extend(
                octets
                    .iter()
                    .zip(key.iter().cycle())
                    .map(|(octet, key)| octet ^ key),
            ),
            Transform::Pcre(regex) => out.extend_from_slice(first_group(regex, octets).unwrap_or(octets)),
            Transform::ToLowercase | Transform::CaseFold => {
                out.extend(octets.iter().map(u8::to_ascii_lowercase))
            }
            Transform::ToUppercase => out.extend(octets.iter().map(u8::to_ascii_uppercase)),
            Transform::HeaderLowercase => header_lowercase(octets, out),
            Transform::StripPseudoHeaders => strip_pseudo_headers(octets, out),
            Transform::FromBase64(options) => {
                from_base64(*options, octets, out);
                if out.is_empty() {
                    out.extend_from_slice(octets);
                }
            }
            Transform::Domain => {
                if let Some(domain) = psl::domain(octets) {
                    out.extend_from_slice(domain.as_bytes());
                }
            }
            Transform::TopLevelDomain => {
                if let Some(domain) = psl::domain(octets) {
                    out.extend_from_slice(domain.suffix().as_bytes());
                }
            }
        }
    }

    /// Whether a content that must be there can be there after this transform.
    pub fn can_yield(&self, pattern: &[u8]) -> bool {
        match self {
            Transform::StripWhitespace => !pattern.iter().copied().any(is_space),
            Transform::CompressWhitespace => {
                !pattern.windows(2).any(|pair| pair.iter().copied().all(is_space))
            }
            Transform::ToLowercase => !pattern.iter().any(u8::is_ascii_uppercase),
            Transform::ToUppercase => !pattern.iter().any(u8::is_ascii_lowercase),
            _ => true,
        }
    }
}

/// Apply several, one after the other. What comes out is in `out`; `spare` is worked with.
pub fn apply_all(transforms: &[Transform], octets: &[u8], out: &mut Vec<u8>, spare: &mut Vec<u8>) {
    out.clear();
    let mut transforms = transforms.iter();
    match transforms.next() {
        Some(first) => first.apply(octets, out),
        None => out.extend_from_slice(octets),
    }
    for transform in transforms {
        std::mem::swap(out, spare);
        transform.apply(spare, out);
    }
}

/// What C's `isspace` takes for a blank.
fn is_space(octet: u8) -> bool {
    matches!(octet, b' ' | b'\t' | b'\n' | 0x0b | 0x0c | b'\r')
}

fn compress(octets: &[u8], out: &mut Vec<u8>) {
    let mut blank_before = false;
    for &octet in octets {
        if !(blank_before && is_space(octet)) {
            out.push(octet);
        }
        blank_before = is_space(octet);
    }
}

/// `%41` and `+`; what is no such sequence stays, and so does one that ends the buffer.
fn url_decode(octets: &[u8], out: &mut Vec<u8>) {
    let digit = |octet: u8| char::from(octet).to_digit(16);
    let mut at = 0;
    while let Some(&octet) = octets.get(at) {
        at += 1;
        match (octet, octets.get(at..at + 2)) {
            (b'%', Some(&[high, low])) => match (digit(high), digit(low)) {
                (Some(high), Some(low)) => {
                    out.push((high << 4 | low) as u8);
                    at += 2;
                }
                _ => out.push(octet),
            },
            (b'+', _) => out.push(b' '),
            _ => out.push(octet),
        }
    }
}

fn first_group<'o>(regex: &pcre2::bytes::Regex, octets: &'o [u8]) -> Option<&'o [u8]> {
    let mut locations = regex.capture_locations();
    regex.captures_read(&mut locations, octets).ok()??;
    let (from, to) = locations.get(1)?;
    octets.get(from..to)
}

fn header_lowercase(octets: &[u8], out: &mut Vec<u8>) {
    let mut in_value = false;
    for &octet in octets {
        out.push(if in_value {
            octet
        } else {
            octet.to_ascii_lowercase()
        });
        in_value = if in_value { octet != b'\n' } else { octet == b':' };
    }
}

fn from_base64(options: FromBase64, octets: &[u8], out: &mut Vec<u8>) {
    let Some(octets) = octets.get(options.offset as usize..) else {
        return;
    };
    let most = match options.octets {
        0 => octets.len(),
        most => octets.len().min(most as usize),
    };
    let octets = &octets[..most];
    let in_alphabet = |octet: &u8| octet.is_ascii_alphanumeric() || b"+/=".contains(octet);
    match options.mode {
        Base64Mode::Rfc4648 => decode_base64(octets, out),
        Base64Mode::Rfc2045 => {
            let clean: Vec<u8> = octets.iter().copied().filter(in_alphabet).collect();
            decode_base64(&clean, out);
        }
        Base64Mode::Strict if octets.len() % 4 == 0 && octets.iter().all(in_alphabet) => {
            decode_base64(octets, out);
        }
        Base64Mode::Strict => {}
    }
}

fn strip_pseudo_headers(octets: &[u8], out: &mut Vec<u8>) {
    for line in octets.split_inclusive(|&octet| octet == b'\n') {
        if !line.starts_with(b":") {
            out.extend_from_slice(line);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied(transform: Transform, octets: &str) -> String {
        let mut out = Vec::new();
        transform.apply(octets.as_bytes(), &mut out);
        String::from_utf8_lossy(&out).into_owned()
    }

    #[test]
    fn each_transform_does_what_its_name_says() {
        let pcre = Transform::Pcre(pcre2::bytes::Regex::new("b(.)d").unwrap());
        for (transform, octets, expected) in [
            (Transform::DotPrefix, "example.org", ".example.org"),
            (Transform::StripWhitespace, " a \t\r\nb ", "ab"),
            (Transform::CompressWhitespace, "a \t b  ", "a b "),
            (Transform::UrlDecode, "a%41+%4", "aA %4"),
            (Transform::UrlDecode, "%zz%41", "%zzA"),
            (Transform::Xor(b"\x20\x00".as_slice().into()), "abAB", "AbaB"),
            (pcre.clone(), "abcd", "c"),
            (pcre, "abc", "abc"),
            (Transform::ToLowercase, "AbC1", "abc1"),
            (Transform::ToUppercase, "AbC1", "ABC1"),
            (Transform::HeaderLowercase, "Ab: Cd\r\nEf: Gh", "ab: Cd\r\nef: Gh"),
            (
                Transform::StripPseudoHeaders,
                ":method: GET\r\nhost: a\r\n:x: y\r\n",
                "host: a\r\n",
            ),
            (Transform::DotPrefix, "", ""),
            (Transform::Domain, "www.example.co.uk", "example.co.uk"),
            (Transform::Domain, "com", ""),
            (Transform::TopLevelDomain, "www.example.co.uk", "co.uk"),
            (Transform::TopLevelDomain, "localhost", ""),
        ] {
            assert_eq!(applied(transform.clone(), octets), expected, "{transform:?}");
        }
        let mut out = Vec::new();
        Transform::ToMd5.apply(b"abc", &mut out);
        assert_eq!(out[..4], [0x90, 0x01, 0x50, 0x98]);
    }

    #[test]
    fn base64_is_decoded_as_strictly_as_the_rule_says() {
        use Base64Mode::{Rfc2045, Rfc4648, Strict};
        for (octets, offset, mode, text, expected) in [
            (0, 0, Rfc4648, "Zm9vYmFy", "foobar"),
            (0, 0, Rfc4648, "Zm9v\r\nYmFy", "foo"),
            (0, 0, Rfc2045, "Zm9v\r\nYmFy", "foobar"),
            (0, 0, Strict, "Zm9v\r\nYmFy", "Zm9v\r\nYmFy"),
            (4, 0, Strict, "Zm9v\r\nYmFy", "foo"),
            (4, 4, Rfc4648, "Zm9vYmFy", "bar"),
            (0, 99, Rfc4648, "Zm9v", "Zm9v"),
        ] {
            let options = FromBase64 { octets, offset, mode };
            let found = applied(Transform::FromBase64(options), text);
            assert_eq!(found, expected, "{text:?} {options:?}");
        }
    }

    #[test]
    fn several_are_applied_in_order() {
        let (mut out, mut spare) = (Vec::new(), Vec::new());
        apply_all(
            &[Transform::UrlDecode, Transform::StripWhitespace],
            b"a+b%20c",
            &mut out,
            &mut spare,
        );
        assert_eq!(out, b"abc");
    }

    #[test]
    fn contents_that_cannot_be_there_are_told() {
        assert!(!Transform::StripWhitespace.can_yield(b"a b"));
        assert!(!Transform::ToLowercase.can_yield(b"A"));
        assert!(!Transform::CompressWhitespace.can_yield(b"a  b"));
        assert!(Transform::CompressWhitespace.can_yield(b"a b"));
    }
}
