//! Transforms: they stand right behind a sticky buffer and change what is looked at.

use super::pcre::{compile, limits};
use super::{Argument, Keyword, Outcome, Parse, Quotes};
use crate::rule::builder::{Builder, Fault};
use crate::rule::transform::{Base64Mode, FromBase64, Transform};

macro_rules! plain {
    ($name:literal, $doc:literal, $transform:expr) => {
        Keyword::new(
            $name,
            $doc,
            ("http", concat!("http.uri; ", $name, "; bsize:>0;")),
            (|builder: &mut Builder<'_>, _: Argument<'_>| builder.transform($transform)) as Parse,
        )
        .bare()
    };
}

/// This family's keywords.
pub const KEYWORDS: &[Keyword] = &[
    plain!("to_md5", "The MD5 of the buffer, 16 octets.", Transform::ToMd5),
    plain!(
        "to_sha1",
        "The SHA-1 of the buffer, 20 octets.",
        Transform::ToSha1
    ),
    plain!(
        "to_sha256",
        "The SHA-256 of the buffer, 32 octets.",
        Transform::ToSha256
    ),
    plain!(
        "dotprefix",
        "A dot is put before the buffer.",
        Transform::DotPrefix
    ),
    plain!(
        "strip_whitespace",
        "White space is taken out.",
        Transform::StripWhitespace
    ),
    plain!(
        "compress_whitespace",
        "Runs of white space become one.",
        Transform::CompressWhitespace
    ),
    plain!(
        "url_decode",
        "Percent and plus are decoded.",
        Transform::UrlDecode
    ),
    plain!(
        "to_lowercase",
        "ASCII letters become lower case.",
        Transform::ToLowercase
    ),
    plain!(
        "to_uppercase",
        "ASCII letters become upper case.",
        Transform::ToUppercase
    ),
    plain!(
        "header_lowercase",
        "Names of header lines become lower case.",
        Transform::HeaderLowercase
    ),
    plain!(
        "strip_pseudo_headers",
        "Pseudo headers of HTTP/2 are taken out.",
        Transform::StripPseudoHeaders
    ),
    plain!(
        "domain",
        "The registered domain of a name: example.co.uk of www.example.co.uk.",
        Transform::Domain
    ),
    plain!(
        "tld",
        "The public suffix of a name: co.uk of www.example.co.uk.",
        Transform::TopLevelDomain
    ),
    Keyword::new(
        "from_base64",
        "Base64 is decoded; mode is rfc4648 (ends at other octets), rfc2045 (leaves them out) or strict.",
        (
            "http",
            r#"http.uri; from_base64: bytes 12, offset 1, mode rfc2045; content:"a";"#,
        ),
        from_base64,
    )
    .optional(),
    Keyword::new(
        "xor",
        "Each octet is combined with a key in turn.",
        ("http", r#"http.uri; xor:"0d0ac8ff"; content:"a";"#),
        xor,
    )
    .quoted(Quotes::Yes),
    Keyword::new(
        "pcrexform",
        "The buffer becomes what the expression's first group matches.",
        ("http", r#"http.uri; pcrexform:"[a-z]+ (.*)"; content:"a";"#),
        pcrexform,
    )
    .quoted(Quotes::Yes),
];

fn xor(builder: &mut Builder<'_>, argument: Argument<'_>) -> Outcome {
    let text = argument.text;
    let bad = || Fault::hinted("the key is hexadecimal octets", r#"xor:"0d0ac8ff""#);
    if text.len() % 2 != 0 || text.is_empty() || text.len() > 510 || !text.is_ascii() {
        return Err(bad());
    }
    let key: Result<Vec<u8>, _> = (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16))
        .collect();
    builder.transform(Transform::Xor(key.map_err(|_| bad())?.into()))
}

fn from_base64(builder: &mut Builder<'_>, argument: Argument<'_>) -> Outcome {
    let mut options = FromBase64::default();
    let mut seen: Vec<&str> = Vec::new();
    for part in super::parts(argument.text).filter(|part| !part.is_empty()) {
        let (key, value) = part
            .split_once([' ', '\t'])
            .map_or((part, ""), |(key, value)| (key, value.trim()));
        if seen.contains(&key) {
            return Err(format!("{key} stands twice").into());
        }
        seen.push(key);
        let number = || {
            let number = value.parse::<u16>().map(u32::from);
            number.map_err(|_| Fault::from(format!("{value:?} is not a number from 0 to 65535")))
        };
        match (key, value) {
            ("bytes", _) => options.octets = number()?,
            ("offset", _) => options.offset = number()?,
            ("mode", "rfc4648") => options.mode = Base64Mode::Rfc4648,
            ("mode", "rfc2045") => options.mode = Base64Mode::Rfc2045,
            ("mode", "strict") => options.mode = Base64Mode::Strict,
            ("mode", _) => return Err(format!("{value:?} is neither rfc4648, rfc2045 nor strict").into()),
            _ => return Err(format!("{key:?} is neither bytes, offset nor mode").into()),
        }
    }
    builder.transform(Transform::FromBase64(options))
}

fn pcrexform(builder: &mut Builder<'_>, argument: Argument<'_>) -> Outcome {
    let regex = compile(argument.text, "", false, limits(builder))?;
    if regex.captures_len() != 2 {
        return Err("the expression has exactly one group".into());
    }
    builder.transform(Transform::Pcre(regex))
}
