//! Numbers in the octets: `byte_test`, `byte_jump`, `byte_extract`, `byte_math`, and `base64_decode`, `asn1`.

use super::{parts, Argument, Keyword, Outcome};
use crate::rule::builder::{integer, Builder, Fault, List};
use crate::rule::chain::{
    Asn1, Base64, ByteCompare, ByteExtract, ByteJump, ByteMath, ByteTest, Chain, Condition, Encoding,
    MathOperator, Operand,
};

/// This family's keywords.
pub const KEYWORDS: &[Keyword] = &[
    Keyword::new(
        "byte_test",
        "Compare a number in the octets.",
        ("tcp", "byte_test:2,>,1000,0;"),
        byte_test,
    ),
    Keyword::new(
        "byte_jump",
        "Move by a number in the octets.",
        ("tcp", r#"byte_jump:2,0; content:"a"; within:1;"#),
        byte_jump,
    ),
    Keyword::new(
        "byte_extract",
        "Keep a number in the octets for later.",
        ("tcp", r#"byte_extract:2,0,len; content:"a"; offset:len;"#),
        byte_extract,
    ),
    Keyword::new(
        "byte_math",
        "Calculate with a number in the octets and keep it for later.",
        (
            "tcp",
            "byte_math:bytes 2, offset 0, oper +, rvalue 4, result sum; isdataat:sum;",
        ),
        byte_math,
    ),
    Keyword::new(
        "base64_decode",
        "Decode base64.",
        ("tcp", r#"base64_decode:bytes 8; base64_data; content:"a";"#),
        base64_decode,
    )
    .optional(),
    Keyword::new(
        "base64_data",
        "What follows is about what was decoded.",
        ("tcp", r#"base64_decode:bytes 8; base64_data; content:"a";"#),
        base64_data,
    )
    .bare(),
    Keyword::new(
        "asn1",
        "Malformed ASN.1.",
        ("udp", "asn1:oversize_length 1024, absolute_offset 0;"),
        asn1,
    ),
];

/// What follows the fixed arguments of the byte keywords.
#[derive(Default)]
struct Options {
    relative: bool,
    little: Option<bool>,
    dce: bool,
    text: bool,
    base: Option<u8>,
    bitmask: u32,
    align: bool,
    align_to: Option<u8>,
    multiplier: Option<u16>,
    from_beginning: bool,
    from_end: bool,
    post_offset: Option<String>,
    seen: Vec<String>,
    /// The last option that stands twice, "" for none.
    twice: String,
}

impl Options {
    fn take(&mut self, option: &str) -> Outcome {
        let kind = match option.split([' ', '\t']).next().unwrap_or("") {
            "big" | "little" | "endian" => "an endianness",
            "hex" | "dec" | "oct" => "a base",
            kind => kind,
        };
        if self.seen.iter().any(|seen| seen == kind) {
            self.twice = kind.to_string();
        }
        self.seen.push(kind.to_string());
        let (key, value) = option
            .split_once([' ', '\t'])
            .map_or((option, ""), |(key, value)| (key, value.trim()));
        let bad = || Fault::from(format!("{option:?} is not an option here"));
        match (key, value) {
            ("relative", "") => self.relative = true,
            ("big", "") | ("endian", "big") => self.little = Some(false),
            ("little", "") | ("endian", "little") => self.little = Some(true),
            ("dce", "") => self.dce = true,
            ("string", "") => self.text = true,
            ("string", base) => {
                self.text = true;
                return self.take(base);
            }
            ("hex", "") => self.base = Some(16),
            ("dec", "") => self.base = Some(10),
            ("oct", "") => self.base = Some(8),
            ("align", "") => self.align = true,
            ("align", "2") => self.align_to = Some(2),
            ("align", "4") => self.align_to = Some(4),
            ("from_beginning", "") => self.from_beginning = true,
            ("from_end", "") => self.from_end = true,
            ("multiplier", value) => {
                let number = integer(value)
                    .and_then(|n| u16::try_from(n).ok())
                    .filter(|n| *n > 0);
                self.multiplier = Some(number.ok_or_else(bad)?);
            }
            ("post_offset", value) => self.post_offset = Some(value.to_string()),
            ("bitmask", value) => {
                let digits = value.trim_start_matches("0x").trim_start_matches("0X");
                self.bitmask = u32::from_str_radix(digits, 16).map_err(|_| bad())?;
            }
            _ => return Err(bad()),
        }
        Ok(())
    }

    /// byte_extract and byte_math take each option once; of the others the last counts.
    fn once(&self) -> Outcome {
        match self.twice.as_str() {
            "" => Ok(()),
            kind => Err(format!("{kind} stands twice").into()),
        }
    }

    fn encoding(&self) -> Result<Encoding, Fault> {
        if self.dce {
            return if self.text || self.little.is_some() {
                Err("dce excludes string and an endianness".into())
            } else {
                Ok(Encoding::Dce)
            };
        }
        if self.text {
            return Ok(Encoding::Text(self.base.unwrap_or(0)));
        }
        if self.base.is_some() {
            return Err("hex, dec and oct go with string".into());
        }
        Ok(if self.little == Some(true) {
            Encoding::Little
        } else {
            Encoding::Big
        })
    }
}

/// How many octets, as far as that is known now.
fn check_count(count: Operand, encoding: Encoding, least: i64) -> Outcome {
    let most = match encoding {
        Encoding::Text(_) => 23,
        Encoding::Dce => 4,
        _ => 8,
    };
    match count {
        Operand::Number(n) if !(least..=most).contains(&n) => {
            Err(format!("the number of octets is {least} to {most}, not {n}").into())
        }
        Operand::Number(n) if encoding == Encoding::Dce && !matches!(n, 1 | 2 | 4) => {
            Err("dce reads 1, 2 or 4 octets".into())
        }
        _ => Ok(()),
    }
}

fn dce(builder: &mut Builder<'_>, encoding: Encoding) -> Outcome {
    if encoding == Encoding::Dce {
        builder.ask_for("dcerpc")?;
    }
    Ok(())
}

fn byte_test(builder: &mut Builder<'_>, argument: Argument<'_>) -> Outcome {
    let mut parts = parts(argument.text);
    let mut next = || {
        parts
            .next()
            .filter(|part| !part.is_empty())
            .ok_or("byte_test takes count, operator, value, offset")
    };
    let (count, operator, value, offset) = (next()?, next()?, next()?, next()?);
    let (operator, negated) = match operator.strip_prefix('!') {
        Some(rest) => (rest.trim(), true),
        None => (operator, false),
    };
    let compare = match operator {
        "<" => ByteCompare::Less,
        "<=" => ByteCompare::LessOrEqual,
        "=" | "" => ByteCompare::Equal,
        ">" => ByteCompare::Greater,
        ">=" => ByteCompare::GreaterOrEqual,
        "&" => ByteCompare::And,
        "^" => ByteCompare::Or,
        other => return Err(format!("{other:?} is not an operator of byte_test").into()),
    };
    if operator.is_empty() && !negated {
        return Err("the operator is missing".into());
    }
    let mut options = Options::default();
    for option in parts {
        options.take(option)?;
    }
    let encoding = options.encoding()?;
    let count = builder.operand(count, 0, 255)?;
    check_count(count, encoding, 0)?;
    let test = ByteTest {
        count,
        compare,
        negated,
        value: builder.operand(value, i64::MIN, i64::MAX)?,
        offset: builder.operand(offset, -65_535, 65_535)?,
        relative: options.relative,
        encoding,
        bitmask: options.bitmask,
    };
    dce(builder, encoding)?;
    builder.push(Condition::ByteTest(Box::new(test)))
}

fn byte_jump(builder: &mut Builder<'_>, argument: Argument<'_>) -> Outcome {
    let mut parts = parts(argument.text);
    let mut next = || {
        parts
            .next()
            .filter(|part| !part.is_empty())
            .ok_or("byte_jump takes count, offset")
    };
    let (count, offset) = (next()?, next()?);
    let mut options = Options::default();
    for option in parts {
        options.take(option)?;
    }
    let encoding = options.encoding()?;
    let count = builder.operand(count, 0, 255)?;
    check_count(count, encoding, 0)?;
    if options.bitmask != 0 {
        return Err("byte_jump has no bitmask".into());
    }
    if options.from_beginning && options.from_end {
        return Err("from_beginning and from_end exclude each other".into());
    }
    let post_offset = options.post_offset.as_deref().unwrap_or("0");
    let jump = ByteJump {
        count,
        offset: builder.operand(offset, -65_535, 65_535)?,
        relative: options.relative,
        encoding,
        multiplier: options.multiplier.unwrap_or(1),
        align: options.align,
        from_beginning: options.from_beginning,
        from_end: options.from_end,
        post_offset: builder.operand(post_offset, -65_535, 65_535)?,
        bitmask: options.bitmask,
    };
    dce(builder, encoding)?;
    builder.push(Condition::ByteJump(Box::new(jump)))
}

fn byte_extract(builder: &mut Builder<'_>, argument: Argument<'_>) -> Outcome {
    let mut parts = parts(argument.text);
    let mut next = || {
        parts
            .next()
            .filter(|part| !part.is_empty())
            .ok_or("byte_extract takes count, offset, name")
    };
    let (count, offset, name) = (next()?, next()?, next()?);
    let mut options = Options::default();
    for option in parts {
        options.take(option)?;
    }
    let encoding = options.encoding()?;
    options.once()?;
    if options.text && options.little.is_some() {
        return Err("string excludes an endianness".into());
    }
    if options.align || options.bitmask != 0 {
        return Err("byte_extract has align 2 and align 4, and no bitmask".into());
    }
    let most = match encoding {
        Encoding::Text(10) => 20,
        Encoding::Text(16) => 14,
        _ => 23,
    };
    let count = builder.operand(count, 1, most)?;
    check_count(count, encoding, 1)?;
    let (Operand::Number(count), Some(offset)) = (count, integer(offset)) else {
        return Err("count and offset are numbers".into());
    };
    let extract = ByteExtract {
        count: count as u8,
        offset: i32::try_from(offset)
            .ok()
            .filter(|offset| (-65_535..=65_535).contains(offset))
            .ok_or("the offset is a number from -65535 to 65535")?,
        variable: builder.make_variable(name)?,
        relative: options.relative,
        encoding,
        multiplier: options.multiplier.unwrap_or(1),
        align: options.align_to.unwrap_or(0),
    };
    dce(builder, encoding)?;
    builder.push(Condition::ByteExtract(Box::new(extract)))
}

fn byte_math(builder: &mut Builder<'_>, argument: Argument<'_>) -> Outcome {
    let (mut count, mut offset, mut operator, mut value, mut result) = (None, None, None, None, None);
    let mut options = Options::default();
    for part in parts(argument.text) {
        let (key, rest) = part
            .split_once([' ', '\t'])
            .map_or((part, ""), |(key, rest)| (key, rest.trim()));
        let slot = match key {
            "bytes" => &mut count,
            "offset" => &mut offset,
            "oper" => &mut operator,
            "rvalue" => &mut value,
            "result" => &mut result,
            _ => {
                options.take(part)?;
                continue;
            }
        };
        if rest.is_empty() || slot.replace(rest).is_some() {
            return Err(format!("{key} takes one value, once").into());
        }
    }
    let missing = "byte_math needs bytes, offset, oper, rvalue and result";
    let operator = match operator.ok_or(missing)? {
        "+" => MathOperator::Add,
        "-" => MathOperator::Subtract,
        "*" => MathOperator::Multiply,
        "/" => MathOperator::Divide,
        "<<" => MathOperator::ShiftLeft,
        ">>" => MathOperator::ShiftRight,
        other => return Err(format!("{other:?} is not an operator of byte_math").into()),
    };
    options.once()?;
    let encoding = options.encoding()?;
    let count = builder.operand(count.ok_or(missing)?, 1, 10)?;
    check_count(count, encoding, 1)?;
    let value = builder.operand(value.ok_or(missing)?, 0, i64::from(u32::MAX))?;
    if operator == MathOperator::Divide && value == Operand::Number(0) {
        return Err("nothing is divided by zero".into());
    }
    let offset = integer(offset.ok_or(missing)?).filter(|offset| (-65_535..=65_535).contains(offset));
    let math = ByteMath {
        count,
        offset: offset.ok_or("the offset is a number from -65535 to 65535")? as i32,
        operator,
        value,
        variable: builder.make_variable(result.ok_or(missing)?)?,
        relative: options.relative,
        encoding,
        bitmask: options.bitmask,
    };
    let list = builder.list;
    let counts_from = |condition: &Condition| matches!(condition, Condition::Content(_) | Condition::Pcre(_));
    if options.relative && list != List::Payload && !builder.conditions(list).iter().any(counts_from) {
        return Err("relative needs a content or pcre before it in the same buffer".into());
    }
    dce(builder, encoding)?;
    builder.push(Condition::ByteMath(Box::new(math)))
}

fn base64_decode(builder: &mut Builder<'_>, argument: Argument<'_>) -> Outcome {
    let mut base64 = Base64 {
        octets: 0,
        offset: 0,
        relative: false,
        data: Chain::default(),
    };
    for part in parts(argument.text).filter(|part| !part.is_empty()) {
        let (key, value) = part
            .split_once([' ', '\t'])
            .map_or((part, ""), |(key, value)| (key, value.trim()));
        let number = || {
            value
                .parse::<u32>()
                .map_err(|_| Fault::from(format!("{value:?} is not a number of octets")))
        };
        match key {
            "bytes" => base64.octets = number()?,
            "offset" => base64.offset = number()?,
            "relative" if value.is_empty() => base64.relative = true,
            other => return Err(format!("{other:?} is neither bytes, offset nor relative").into()),
        }
    }
    if base64.octets > 65_535 || base64.offset > 65_535 {
        return Err("bytes and offset are at most 65535".into());
    }
    builder.push(Condition::Base64(Box::new(base64)))
}

fn base64_data(builder: &mut Builder<'_>, _: Argument<'_>) -> Outcome {
    let lists = (0..builder.groups.len())
        .map(List::Group)
        .chain([List::Payload])
        .rev();
    for list in lists.collect::<Vec<_>>() {
        let decoded = builder
            .conditions(list)
            .iter()
            .any(|condition| matches!(condition, Condition::Base64(_)));
        if decoded {
            builder.close_buffer()?;
            builder.base64 = Some(list);
            return Ok(());
        }
    }
    Err(Fault::hinted(
        "base64_data needs base64_decode before it",
        "base64_decode:bytes 100; base64_data; ...",
    ))
}

fn asn1(builder: &mut Builder<'_>, argument: Argument<'_>) -> Outcome {
    let mut asn1 = Asn1::default();
    let mut words = argument
        .text
        .split([' ', ',', '\t'])
        .filter(|word| !word.is_empty());
    while let Some(word) = words.next() {
        let mut number = || {
            words
                .next()
                .and_then(integer)
                .ok_or_else(|| Fault::from(format!("{word} takes a number")))
        };
        match word {
            "bitstring_overflow" => asn1.bitstring_overflow = true,
            "double_overflow" => asn1.double_overflow = true,
            "oversize_length" => {
                asn1.oversize_length = Some(u32::try_from(number()?).map_err(|_| "the length is too large")?);
            }
            "absolute_offset" => {
                asn1.absolute_offset =
                    Some(u16::try_from(number()?).map_err(|_| "the offset is 0 to 65535")?);
            }
            "relative_offset" => {
                let offset = number()?;
                if !(-65_535..=65_535).contains(&offset) {
                    return Err("the offset is -65535 to 65535".into());
                }
                asn1.relative_offset = Some(offset as i32);
            }
            other => return Err(format!("{other:?} is not an option of asn1").into()),
        }
    }
    builder.push(Condition::Asn1(asn1))
}
