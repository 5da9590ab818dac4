//! Files: name, extension, magic, size, hashes.

use std::sync::Arc;

use super::number::number_test_by;
use super::{Argument, Keyword, Outcome, Quotes};
use crate::rule::builder::{Builder, Fault};
use crate::rule::signature::{FileTest, TxCondition};

/// This family's keywords.
pub const KEYWORDS: &[Keyword] = &[
    Keyword::new(
        "filename",
        "Part of a file's name, in any case.",
        ("http", r#"filename:"secret";"#),
        |b, a| test(b, FileTest::Name(lower(a.text), a.negated)),
    )
    .quoted(Quotes::Optional)
    .negatable(),
    Keyword::new(
        "fileext",
        "A file's extension, in any case.",
        ("http", r#"fileext:"exe";"#),
        |b, a| test(b, FileTest::Extension(lower(a.text), a.negated)),
    )
    .quoted(Quotes::Optional)
    .negatable(),
    Keyword::new(
        "filemagic",
        "Part of what libmagic calls a file.",
        ("http", r#"filemagic:"executable";"#),
        |b, a| test(b, FileTest::Magic(lower(a.text), a.negated)),
    )
    .quoted(Quotes::Yes)
    .negatable(),
    Keyword::new(
        "filesize",
        "Size of a file: 100, >1mb, 1kb<>2kb.",
        ("http", "filesize:>100kb;"),
        filesize,
    ),
    Keyword::new(
        "filemd5",
        "A file's MD5 is in a list.",
        ("http", "filemd5:md5.list;"),
        |b, a| {
            let (list, negated) = hashes::<16>(b, a)?;
            test(b, FileTest::Md5(list, negated))
        },
    ),
    Keyword::new(
        "filesha1",
        "A file's SHA-1 is in a list.",
        ("http", "filesha1:sha1.list;"),
        |b, a| {
            let (list, negated) = hashes::<20>(b, a)?;
            test(b, FileTest::Sha1(list, negated))
        },
    ),
    Keyword::new(
        "filesha256",
        "A file's SHA-256 is in a list.",
        ("http", "filesha256:sha256.list;"),
        |b, a| {
            let (list, negated) = hashes::<32>(b, a)?;
            test(b, FileTest::Sha256(list, negated))
        },
    ),
];

fn lower(text: &str) -> Box<[u8]> {
    text.to_ascii_lowercase().into_bytes().into()
}

/// All file conditions of a rule are about the same file.
pub(super) fn test(builder: &mut Builder<'_>, test: FileTest) -> Outcome {
    builder.file = true;
    let tests = builder
        .transaction
        .iter_mut()
        .find_map(|condition| match condition {
            TxCondition::File(tests) => Some(tests),
            _ => None,
        });
    match tests {
        Some(tests) => tests.push(test),
        None => builder.transaction.push(TxCondition::File(vec![test])),
    }
    Ok(())
}

fn filesize(builder: &mut Builder<'_>, argument: Argument<'_>) -> Outcome {
    let size = number_test_by(argument.text, |text| {
        let text = text.trim().to_ascii_lowercase();
        let units = [
            ("kib", 1 << 10),
            ("mib", 1 << 20),
            ("gib", 1 << 30),
            ("kb", 1 << 10),
            ("mb", 1 << 20),
            ("gb", 1 << 30),
        ];
        let (digits, factor) = units
            .iter()
            .find_map(|(unit, factor)| Some((text.strip_suffix(unit)?, *factor)))
            .unwrap_or((text.as_str(), 1i64));
        let number: i64 = digits
            .trim()
            .parse()
            .map_err(|_| format!("{text:?} is not a size"))?;
        number
            .checked_mul(factor)
            .filter(|n| *n >= 0)
            .ok_or_else(|| format!("{text:?} is not a size"))
    })?;
    test(builder, FileTest::Size(size))
}

/// Hashes, and whether they are negated.
type Hashes<const N: usize> = (Arc<[[u8; N]]>, bool);

/// The hashes of a list file, sorted: one a line, hexadecimal, what follows is not looked at.
fn hashes<const N: usize>(builder: &mut Builder<'_>, argument: Argument<'_>) -> Result<Hashes<N>, Fault> {
    let (name, negated) = match argument.text.strip_prefix('!') {
        Some(name) => (name.trim(), true),
        None => (argument.text, false),
    };
    let text = builder
        .context
        .text(name)
        .map_err(|reason| format!("{name}: {reason}"))?;
    let mut list = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let hash = line.get(..2 * N).and_then(hexadecimal::<N>);
        list.push(hash.ok_or_else(|| format!("{name}:{number}: not a hash of {N} octets"))?);
    }
    list.sort_unstable();
    list.dedup();
    Ok((list.into(), negated))
}

/// N octets written in hexadecimal.
pub fn hexadecimal<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut out = [0; N];
    if text.len() != 2 * N || !text.is_ascii() {
        return None;
    }
    for (at, octet) in out.iter_mut().enumerate() {
        *octet = u8::from_str_radix(&text[2 * at..2 * at + 2], 16).ok()?;
    }
    Some(out)
}
