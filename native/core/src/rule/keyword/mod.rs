//! Rule keywords. To add one: an entry in the table of its family (or a new family file), and, for a new family, a line
//! in [`FAMILIES`]. `docs/keywords.md` is generated from these tables; a test loads every example.

pub mod app;
pub mod buffers;
pub mod bytes;
pub mod checksum;
pub mod content;
pub mod dataset;
pub mod dcerpc;
pub mod document;
pub mod file;
pub mod flow;
pub mod geoip;
pub mod http2;
pub mod limits;
pub mod memory;
pub mod meta;
pub mod network;
pub mod number;
pub mod own;
pub mod pcre;
pub mod sunrpc;
pub mod transform;

use std::collections::HashMap;
use std::sync::OnceLock;

use super::builder::{Builder, Fault};

/// What comes of an option.
pub type Outcome = Result<(), Fault>;

/// A keyword's argument, quotes and negation taken off where the keyword allows them.
#[derive(Clone, Copy, Debug, Default)]
pub struct Argument<'t> {
    /// The text, without blanks around it.
    pub text: &'t str,
    /// A `!` stood before it.
    pub negated: bool,
}

/// Whether a keyword takes an argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takes {
    /// None.
    Nothing,
    /// It may.
    Optional,
    /// It must.
    Required,
}

/// Whether its argument is in double quotes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quotes {
    /// Never.
    No,
    /// It may be.
    Optional,
    /// Always.
    Yes,
}

/// A keyword: what it is called, what it takes, what it does to a rule.
#[derive(Debug)]
pub struct Keyword {
    /// Name.
    pub name: &'static str,
    /// Other names for the same.
    pub aliases: &'static [&'static str],
    /// What it asks, in a sentence.
    pub doc: &'static str,
    /// A rule's header protocol and options that use it.
    pub example: (&'static str, &'static str),
    /// Its argument.
    pub takes: Takes,
    /// Quotes.
    pub quotes: Quotes,
    /// A `!` before the argument negates.
    pub negatable: bool,
    /// Do it.
    pub parse: Parse,
}

/// Does to a rule what a keyword says.
pub type Parse = fn(&mut Builder<'_>, Argument<'_>) -> Outcome;

impl Keyword {
    /// A keyword with an unquoted argument.
    pub const fn new(
        name: &'static str,
        doc: &'static str,
        example: (&'static str, &'static str),
        parse: Parse,
    ) -> Keyword {
        Keyword {
            name,
            aliases: &[],
            doc,
            example,
            takes: Takes::Required,
            quotes: Quotes::No,
            negatable: false,
            parse,
        }
    }

    /// The same, also called so.
    pub const fn alias(mut self, aliases: &'static [&'static str]) -> Keyword {
        self.aliases = aliases;
        self
    }

    /// The same without an argument.
    pub const fn bare(mut self) -> Keyword {
        self.takes = Takes::Nothing;
        self
    }

    /// The same with an argument that may be left out.
    pub const fn optional(mut self) -> Keyword {
        self.takes = Takes::Optional;
        self
    }

    /// The same with quotes.
    pub const fn quoted(mut self, quotes: Quotes) -> Keyword {
        self.quotes = quotes;
        self
    }

    /// The same with `!` before the argument.
    pub const fn negatable(mut self) -> Keyword {
        self.negatable = true;
        self
    }
}

/// All families with what they are about, a line each.
pub static FAMILIES: &[(&str, &[Keyword])] = &[
    ("About the rule", meta::KEYWORDS),
    ("Contents", content::KEYWORDS),
    ("Regular expressions", pcre::KEYWORDS),
    ("Numbers in octets", bytes::KEYWORDS),
    ("Buffers", buffers::KEYWORDS),
    ("Transforms", transform::KEYWORDS),
    ("Flows", flow::KEYWORDS),
    ("Memory: bits and numbers", memory::KEYWORDS),
    ("Limits and effects", limits::KEYWORDS),
    ("Headers of packets", network::KEYWORDS),
    ("Countries", geoip::KEYWORDS),
    ("Checksums", checksum::KEYWORDS),
    ("ONC RPC", sunrpc::KEYWORDS),
    ("Values and events of protocols", app::KEYWORDS),
    ("Remote procedure calls", dcerpc::KEYWORDS),
    ("HTTP/2", http2::KEYWORDS),
    ("Files", file::KEYWORDS),
    ("Datasets", dataset::KEYWORDS),
];

/// The keyword called `name`, in any case of letters.
pub fn find(name: &str) -> Option<&'static Keyword> {
    static BY_NAME: OnceLock<HashMap<&'static str, &'static Keyword>> = OnceLock::new();
    let by_name = BY_NAME.get_or_init(|| {
        let all = FAMILIES.iter().flat_map(|(_, family)| family.iter());
        all.flat_map(|keyword| {
            std::iter::once(keyword.name)
                .chain(keyword.aliases.iter().copied())
                .map(move |name| (name, keyword))
        })
        .collect()
    });
    by_name
        .get(name)
        .or_else(|| by_name.get(name.to_ascii_lowercase().as_str()))
        .copied()
}

/// A keyword that is spelled much like `name`, for the hint.
pub fn similar(name: &str) -> Option<&'static str> {
    let all = FAMILIES.iter().flat_map(|(_, family)| family.iter());
    all.map(|keyword| (distance(name, keyword.name), keyword.name))
        .filter(|(distance, _)| *distance <= 2)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// Levenshtein's distance.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut before = row[0];
        row[0] = i + 1;
        for (j, &y) in b.iter().enumerate() {
            let next = (before + usize::from(x != y)).min(row[j] + 1).min(row[j + 1] + 1);
            before = std::mem::replace(&mut row[j + 1], next);
        }
    }
    row[b.len()]
}

/// Comma-separated parts without blanks around them.
pub(super) fn parts(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim)
}
