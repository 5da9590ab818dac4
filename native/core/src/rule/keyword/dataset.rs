//! Datasets and their reputations: large sets of strings, hashes or addresses, asked and changed by rules.

use base64::Engine as _;

use super::file::hexadecimal;
use super::{parts, Argument, Keyword, Outcome};
use crate::rule::builder::{Builder, Fault, List};
use crate::rule::chain::{ByteCompare, Condition, DatarepTest, DatasetOperation, DatasetTest};
use crate::rule::context::{Context, Dataset, DatasetKind};

/// This family's keywords.
pub const KEYWORDS: &[Keyword] = &[
    Keyword::new(
        "dataset",
        "The buffer is in a set: isset, isnotset; or put it there: set, unset.",
        ("dns", "dns.query; dataset:set,seen,type string;"),
        dataset,
    ),
    Keyword::new(
        "datarep",
        "The reputation of the buffer in a set.",
        ("dns", "dns.query; datarep:names,>,10,type string,load names.rep;"),
        datarep,
    ),
];

/// Above this a hash size is refused, as Suricata does.
const MAX_HASH_SIZE: u64 = 262_144;

/// Longest name, octets.
const MAX_NAME: usize = 63;

#[derive(Default)]
struct Options {
    kind: Option<DatasetKind>,
    load: String,
    save: String,
    memcap: u64,
    hash_size: u64,
}

fn kind_of(text: &str) -> Option<DatasetKind> {
    Some(match text {
        "string" => DatasetKind::String,
        "md5" => DatasetKind::Md5,
        "sha256" => DatasetKind::Sha256,
        "ipv4" => DatasetKind::Ipv4,
        "ip" | "ipv6" => DatasetKind::Ip,
        _ => return None,
    })
}

fn size(text: &str) -> Option<u64> {
    let text = text.trim().to_ascii_lowercase();
    let units = [
        ("kib", 10),
        ("mib", 20),
        ("gib", 30),
        ("kb", 10),
        ("mb", 20),
        ("gb", 30),
    ];
    let (digits, shift) = units
        .iter()
        .find_map(|(unit, shift)| Some((text.strip_suffix(unit)?, *shift)))
        .unwrap_or((&text, 0));
    digits.trim().parse::<u64>().ok()?.checked_shl(shift)
}

fn options<'t>(words: impl Iterator<Item = &'t str>) -> Result<Options, Fault> {
    let mut found = Options::default();
    for word in words {
        let (key, value) = word
            .split_once([' ', '\t'])
            .map_or((word, ""), |(key, value)| (key, value.trim()));
        if value.is_empty() {
            return Err(format!("{key:?} needs a value").into());
        }
        match key {
            "type" => {
                found.kind =
                    Some(kind_of(value).ok_or_else(|| format!("{value:?} is not a type of dataset"))?)
            }
            "load" => found.load = value.into(),
            "save" => found.save = value.into(),
            "state" => {
                found.load = value.into();
                found.save = value.into();
            }
            "memcap" => found.memcap = size(value).ok_or_else(|| format!("{value:?} is not a size"))?,
            "hashsize" => {
                let number = size(value).filter(|n| *n <= MAX_HASH_SIZE);
                found.hash_size =
                    number.ok_or_else(|| format!("hashsize is a number up to {MAX_HASH_SIZE}"))?;
            }
            // Options of later versions have no effect, as in Suricata 7.
            _ => {}
        }
    }
    Ok(found)
}

/// The set of this name: known already, from the configuration, or made now.
fn find_or_make(
    context: &mut Context,
    name: &str,
    options: Options,
    with_reputation: bool,
) -> Result<u32, Fault> {
    if name.is_empty() || name.len() > MAX_NAME {
        return Err(format!("a dataset's name has 1 to {MAX_NAME} octets").into());
    }
    if let Some(at) = context.datasets.iter().position(|known| &*known.name == name) {
        let known = &context.datasets[at];
        if options.kind.is_some_and(|kind| kind != known.kind) {
            return Err(format!("the dataset {name} has another type already").into());
        }
        if !options.save.is_empty() && !known.save.is_empty() && options.save != *known.save {
            return Err(format!("the dataset {name} is saved to another file already").into());
        }
        return Ok(at as u32);
    }
    let mut options = options;
    if let Some(configured) = context.config.detect.datasets.get(name) {
        let get = |key: &str| configured.get(key).cloned().unwrap_or_default();
        options.kind = options.kind.or_else(|| kind_of(&get("type")));
        for (slot, keys) in [
            (&mut options.load, ["load", "state"]),
            (&mut options.save, ["save", "state"]),
        ] {
            if slot.is_empty() {
                *slot = keys
                    .iter()
                    .map(|key| get(key))
                    .find(|value| !value.is_empty())
                    .unwrap_or_default();
            }
        }
    }
    let kind = options
        .kind
        .ok_or_else(|| Fault::hinted("the dataset has no type", "type string, md5, sha256, ipv4 or ip"))?;
    for path in [&options.load, &options.save] {
        if path.starts_with('/') && !context.config.detect.allow_absolute_filenames {
            return Err(format!("{path}: absolute paths are not allowed by the configuration").into());
        }
        if path.split('/').any(|part| part == "..") {
            return Err(format!("{path}: leaves the directory").into());
        }
    }
    let initial = if options.load.is_empty() {
        Vec::new()
    } else {
        match context.text(&options.load) {
            Ok(text) => entries(&text, kind, with_reputation)
                .map_err(|reason| format!("{}: {reason}", options.load))?,
            // What a run saves need not be there before the first.
            Err(_) if options.load == options.save => Vec::new(),
            Err(reason) => return Err(format!("{}: {reason}", options.load).into()),
        }
    };
    context.datasets.push(Dataset {
        name: name.into(),
        kind,
        initial,
        save: options.save.into(),
        memcap: options.memcap,
        hash_size: options.hash_size,
    });
    Ok((context.datasets.len() - 1) as u32)
}

type Entries = Vec<(Box<[u8]>, Option<u16>)>;

fn entries(text: &str, kind: DatasetKind, with_reputation: bool) -> Result<Entries, String> {
    let mut found = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (value, reputation) = line.split_once(',').map_or((line, None), |(value, reputation)| {
            (value.trim(), Some(reputation))
        });
        let reputation = match reputation {
            Some(text) => Some(
                text.trim()
                    .parse()
                    .map_err(|_| format!("{number}: {text:?} is not a reputation"))?,
            ),
            None if with_reputation => return Err(format!("{number}: the reputation is missing")),
            None => None,
        };
        let octets =
            entry(value, kind).ok_or_else(|| format!("{number}: {value:?} is not of the set's type"))?;
        found.push((octets, reputation));
    }
    Ok(found)
}

/// An entry as files have it: base64 for strings, hexadecimal for hashes, text for addresses.
fn entry(value: &str, kind: DatasetKind) -> Option<Box<[u8]>> {
    Some(match kind {
        DatasetKind::String => base64::engine::general_purpose::STANDARD
            .decode(value)
            .ok()?
            .into(),
        DatasetKind::Md5 => Box::new(hexadecimal::<16>(value)?),
        DatasetKind::Sha256 => Box::new(hexadecimal::<32>(value)?),
        DatasetKind::Ipv4 => Box::new(value.parse::<std::net::Ipv4Addr>().ok()?.octets()),
        DatasetKind::Ip => match value.parse::<std::net::IpAddr>().ok()? {
            std::net::IpAddr::V4(address) => Box::new(address.to_ipv6_mapped().octets()),
            std::net::IpAddr::V6(address) => Box::new(address.octets()),
        },
    })
}

fn dataset(builder: &mut Builder<'_>, argument: Argument<'_>) -> Outcome {
    if builder.list == List::Payload {
        return Err("dataset stands after a sticky buffer".into());
    }
    let mut words = parts(argument.text);
    let operation = match words.next().unwrap_or("") {
        "isset" => DatasetOperation::IsSet,
        "isnotset" => DatasetOperation::IsNotSet,
        "set" => DatasetOperation::Set,
        "unset" => DatasetOperation::Unset,
        other => return Err(format!("{other:?} is not a command of dataset").into()),
    };
    let name = words.next().unwrap_or("").to_string();
    let options = options(words)?;
    let dataset = find_or_make(builder.context, &name, options, false)?;
    builder.push(Condition::Dataset(DatasetTest { dataset, operation }))
}

fn datarep(builder: &mut Builder<'_>, argument: Argument<'_>) -> Outcome {
    if builder.list == List::Payload {
        return Err("datarep stands after a sticky buffer".into());
    }
    let mut words = parts(argument.text);
    let name = words.next().unwrap_or("").to_string();
    let compare = match words.next().unwrap_or("") {
        ">" => ByteCompare::Greater,
        "<" => ByteCompare::Less,
        "==" | "=" => ByteCompare::Equal,
        other => return Err(format!("{other:?} is not an operator of datarep").into()),
    };
    let value = words.next().unwrap_or("");
    let value = value
        .parse()
        .map_err(|_| format!("{value:?} is not a reputation"))?;
    let options = options(words)?;
    let dataset = find_or_make(builder.context, &name, options, true)?;
    builder.push(Condition::Datarep(DatarepTest {
        dataset,
        compare,
        value,
    }))
}
