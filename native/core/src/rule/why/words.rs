//! Conditions in the words of the rule language, and what octets said to them.

use std::fmt::Write;

use crate::rule::bytes;
use crate::rule::chain::{ByteCompare, Condition, Content, DatasetOperation, Operand};
use crate::rule::inspect::Subject;
use crate::rule::lexer;
use crate::rule::set::RuleSet;
use crate::rule::signature::{NumberTest, Signature};
use crate::rule::state::{IntegerCompare, IntegerValue, Memory, StateTest};

/// Octets as a rule writes them: printable ones as they are, others in hexadecimal between bars.
pub(super) fn pattern(octets: &[u8]) -> String {
    let mut text = String::new();
    let mut in_hex = false;
    for &octet in octets {
        let plain = (octet.is_ascii_graphic() || octet == b' ') && !b"|\";\\:".contains(&octet);
        if plain == in_hex {
            text.push('|');
            in_hex = !in_hex;
        } else if !plain {
            text.push(' ');
        }
        if plain {
            text.push(char::from(octet));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(text, "{octet:02x}");
        }
    }
    if in_hex {
        text.push('|');
    }
    text
}

fn operand(operand: Operand) -> String {
    match operand {
        Operand::Number(number) => number.to_string(),
        Operand::Variable(variable) => format!("(variable {variable})"),
    }
}

fn not(negated: bool) -> &'static str {
    if negated {
        "!"
    } else {
        ""
    }
}

fn content(content: &Content) -> String {
    let mut text = format!(
        "content:{}\"{}\"",
        not(content.negated),
        pattern(&content.pattern)
    );
    for (name, holds) in [
        ("nocase", content.nocase),
        ("startswith", content.starts_with),
        ("endswith", content.ends_with),
        ("rawbytes", content.raw_bytes),
    ] {
        if holds {
            let _ = write!(text, "; {name}");
        }
    }
    for (name, value) in [
        ("offset", content.offset),
        ("depth", content.depth),
        ("distance", content.distance),
        ("within", content.within),
    ] {
        // `startswith` is offset 0 and depth of its length by itself.
        let implied = content.starts_with && matches!(name, "offset" | "depth");
        if let Some(value) = value.filter(|_| !implied) {
            let _ = write!(text, "; {name}:{}", operand(value));
        }
    }
    text
}

fn comparison(compare: ByteCompare) -> &'static str {
    match compare {
        ByteCompare::Less => "<",
        ByteCompare::LessOrEqual => "<=",
        ByteCompare::Equal => "=",
        ByteCompare::Greater => ">",
        ByteCompare::GreaterOrEqual => ">=",
        ByteCompare::And => "&",
        ByteCompare::Or => "^",
    }
}

/// A comparison as integer keywords write it.
pub(super) fn number(test: NumberTest) -> String {
    match test {
        NumberTest::Equal(n) => n.to_string(),
        NumberTest::NotEqual(n) => format!("!{n}"),
        NumberTest::Less(n) => format!("<{n}"),
        NumberTest::LessOrEqual(n) => format!("<={n}"),
        NumberTest::Greater(n) => format!(">{n}"),
        NumberTest::GreaterOrEqual(n) => format!(">={n}"),
        NumberTest::Between(low, high) => format!("{low}-{high}"),
        NumberTest::Outside(low, high) => format!("!{low}-{high}"),
        NumberTest::AnyBit(bits) => format!("&{bits}"),
        NumberTest::NoBit(bits) => format!("!&{bits}"),
    }
}

fn relative(relative: bool) -> &'static str {
    if relative {
        ",relative"
    } else {
        ""
    }
}

/// A condition on octets.
pub(super) fn condition(condition: &Condition) -> String {
    match condition {
        Condition::Content(inner) => content(inner),
        Condition::Pcre(pcre) => {
            let flag = if pcre.relative { "R" } else { "" };
            // The limits put before it are ours.
            let mut written = pcre.regex.as_str();
            while let Some((_, rest)) = written
                .strip_prefix("(*LIMIT")
                .and_then(|rest| rest.split_once(')'))
            {
                written = rest;
            }
            format!("pcre:{}\"/{written}/{flag}\"", not(pcre.negated))
        }
        Condition::IsDataAt(test) => {
            format!(
                "isdataat:{}{}{}",
                not(test.negated),
                operand(test.at),
                relative(test.relative)
            )
        }
        Condition::ByteTest(test) => format!(
            "byte_test:{},{}{},{},{}{}",
            operand(test.count),
            not(test.negated),
            comparison(test.compare),
            operand(test.value),
            operand(test.offset),
            relative(test.relative)
        ),
        Condition::ByteJump(jump) => {
            format!(
                "byte_jump:{},{}{}",
                operand(jump.count),
                operand(jump.offset),
                relative(jump.relative)
            )
        }
        Condition::ByteExtract(extract) => format!(
            "byte_extract:{},{},(variable {}){}",
            extract.count,
            extract.offset,
            extract.variable,
            relative(extract.relative)
        ),
        Condition::ByteMath(math) => format!(
            "byte_math:bytes {},offset {},result (variable {}){}",
            operand(math.count),
            math.offset,
            math.variable,
            relative(math.relative)
        ),
        Condition::Size(test) => format!("bsize:{}", number(*test)),
        Condition::Base64(base64) => {
            format!(
                "base64_decode:offset {}{}",
                base64.offset,
                relative(base64.relative)
            )
        }
        Condition::Dataset(test) => match test.operation {
            DatasetOperation::IsSet => "dataset:isset".into(),
            DatasetOperation::IsNotSet => "dataset:isnotset".into(),
            DatasetOperation::Set => "dataset:set".into(),
            DatasetOperation::Unset => "dataset:unset".into(),
        },
        Condition::Datarep(test) => format!("datarep:{}{}", comparison(test.compare), test.value),
        Condition::Asn1(_) => "asn1".into(),
        Condition::Entropy(test) => format!(
            "entropy:bytes {},offset {},value {}{}{}",
            test.octets,
            test.offset,
            not(test.negated),
            comparison(test.compare),
            test.value
        ),
        Condition::Absent { or_else: true } => "absent:or_else".into(),
        Condition::Absent { or_else: false } => "absent".into(),
    }
}

/// Why a condition failed that was asked at `position` of `octets`.
pub(super) fn failure(condition: &Condition, octets: &[u8], position: usize, variables: &[u64]) -> String {
    let subject = Subject::whole(octets);
    let length = octets.len();
    match condition {
        Condition::Content(content) if content.negated => match content.find(octets) {
            Some(at) => format!("it is there, at octet {at}"),
            None => "it is there".into(),
        },
        Condition::Content(content) => match content.find(octets) {
            None => format!("it is nowhere in the {length} octets"),
            Some(at) if content.is_relative() => format!(
                "it is at octet {at} of {length}, but not where it is asked for from octet {position} on"
            ),
            Some(at) => format!("it is at octet {at} of {length}, but not where it is asked for"),
        },
        Condition::Pcre(pcre) if pcre.negated => "it matches".into(),
        Condition::Pcre(pcre) if pcre.relative => format!("it does not match from octet {position} on"),
        Condition::Pcre(_) => format!("it does not match the {length} octets"),
        Condition::IsDataAt(_) => format!("there are {length} octets, asked from octet {position} on"),
        Condition::ByteTest(test) => match bytes::tested(test, &subject, position, variables) {
            Some((number, at)) => format!(
                "at octet {at} is {number} (0x{number:x}), compared with {}",
                bytes::value(test.value, variables)
            ),
            None => format!("there is no number in the {length} octets, asked from octet {position} on"),
        },
        Condition::ByteJump(_) => format!("it leads out of the {length} octets, from octet {position}"),
        Condition::ByteExtract(_) | Condition::ByteMath(_) => {
            format!("there is no number in the {length} octets, asked from octet {position} on")
        }
        Condition::Size(_) => format!("there are {length} octets"),
        Condition::Base64(_) => format!("nothing is decoded from octet {position} on"),
        Condition::Dataset(test) => match test.operation {
            DatasetOperation::IsSet | DatasetOperation::Unset => "it is not listed".into(),
            DatasetOperation::IsNotSet => "it is listed".into(),
            DatasetOperation::Set => "it was listed before, or the set is full".into(),
        },
        Condition::Datarep(_) => "it has no reputation that passes".into(),
        Condition::Entropy(test) => match test.of(octets) {
            Some(entropy) => format!("the entropy is {entropy:.3}"),
            None => format!("there are {length} octets"),
        },
        Condition::Absent { .. } => format!("it is there, with {length} octets"),
        Condition::Asn1(_) => "nothing of what it asks for is there".into(),
    }
}

/// What the rule says for its `nth` option called `keyword`; the keyword alone when the text has none.
pub(super) fn option(signature: &Signature, keyword: &str, nth: usize) -> String {
    let canonical = |name: &str| crate::rule::keyword::find(name).map_or("", |keyword| keyword.name);
    let fields = lexer::fields(&signature.text);
    let found = fields.ok().and_then(|fields| {
        let wanted = canonical(keyword);
        let mut named = fields.options.into_iter().filter(|option| {
            option.name.text.eq_ignore_ascii_case(keyword)
                || !wanted.is_empty() && canonical(option.name.text) == wanted
        });
        named.nth(nth)
    });
    match found.and_then(|option| option.value) {
        Some(value) => format!("{keyword}:{}", value.text.trim()),
        None => keyword.to_string(),
    }
}

/// A field of the rule's header: 1 protocol, 2 source, 3 its port, 4 direction, 5 destination, 6 its port.
pub(super) fn header(signature: &Signature, field: usize) -> String {
    let fields = lexer::fields(&signature.text);
    fields.map_or_else(|_| String::new(), |fields| fields.header[field].text.to_string())
}

/// A condition on what is remembered.
pub(super) fn state(test: &StateTest, set: &RuleSet) -> String {
    let name = |number: &u32| set.names.name(*number).map_or("?", |(_, name)| name).to_string();
    match test {
        StateTest::Bits {
            keyword,
            memory,
            names,
            wanted,
        } => {
            let what = if *wanted { "isset" } else { "isnotset" };
            let names: Vec<String> = names.iter().map(name).collect();
            let of = match memory {
                Memory::Flow => "",
                Memory::Source => " of the source",
                Memory::Destination => " of the destination",
                Memory::Pair => " of the pair of hosts",
            };
            format!("{keyword}:{what},{}{of}", names.join("|"))
        }
        StateTest::Integer {
            name: number,
            compare,
            value,
        } => {
            let sign = match compare {
                IntegerCompare::Less => "<",
                IntegerCompare::LessOrEqual => "<=",
                IntegerCompare::Equal => "==",
                IntegerCompare::NotEqual => "!=",
                IntegerCompare::GreaterOrEqual => ">=",
                IntegerCompare::Greater => ">",
            };
            let value = match value {
                IntegerValue::Number(number) => number.to_string(),
                IntegerValue::Name(number) => name(number),
            };
            format!("flowint:{},{sign},{value}", name(number))
        }
        StateTest::IntegerSet { name: number, wanted } => {
            format!(
                "flowint:{},{}",
                name(number),
                if *wanted { "isset" } else { "notset" }
            )
        }
        StateTest::Variable {
            name: number,
            content,
        } => format!("flowvar:{},\"{}\"", name(number), pattern(content)),
        StateTest::PacketVariable {
            name: number,
            content,
        } => {
            format!("pktvar:{},\"{}\"", name(number), pattern(content))
        }
        StateTest::Reputation { .. } => "iprep".into(),
    }
}
