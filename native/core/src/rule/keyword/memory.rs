//! What is remembered of flows, hosts and host pairs: `flowbits`, `flowint`, `xbits`, `hostbits`, `flowvar`, `iprep`.

use super::{parts, Argument, Keyword, Outcome};
use crate::rule::builder::{Builder, Fault};
use crate::rule::lexer::pattern;
use crate::rule::signature::NumberTest;
use crate::rule::state::{
    BitChange, Effect, IntegerChange, IntegerCompare, IntegerValue, Memory, NameKind, ReputationSide,
    StateTest,
};

/// This family's keywords.
pub const KEYWORDS: &[Keyword] = &[
    Keyword::new(
        "flowbits",
        "Set or ask a bit of the flow.",
        ("tcp", "flowbits:set,a.bit;"),
        flowbits,
    ),
    Keyword::new(
        "flowint",
        "Set or compare a number of the flow.",
        ("tcp", "flowint:count,+,1;"),
        flowint,
    ),
    Keyword::new(
        "xbits",
        "Set or ask a bit of a host or pair, for a time.",
        ("tcp", "xbits:set,bad,track ip_src,expire 60;"),
        xbits,
    ),
    Keyword::new(
        "hostbits",
        "Set or ask a bit of a host.",
        ("tcp", "hostbits:set,bad,src;"),
        hostbits,
    ),
    Keyword::new(
        "flowvar",
        "A variable of the flow, captured by pcre (flow:NAME, or a group called flow_NAME), contains this.",
        ("tcp", r#"flowvar:user,"admin";"#),
        |builder, argument| {
            let (name, content) = variable(argument)?;
            let name = builder.context.names.number(NameKind::FlowVariable, name);
            builder.state.push(StateTest::Variable { name, content });
            builder.last_keyword = "flowvar";
            Ok(())
        },
    ),
    Keyword::new(
        "pktvar",
        "A variable of the packet, captured by pcre (pkt:NAME, or a group called pkt_NAME), contains this.",
        ("tcp", r#"pktvar:user,"admin";"#),
        |builder, argument| {
            let (name, content) = variable(argument)?;
            let name = builder.context.names.number(NameKind::PacketVariable, name);
            builder.state.push(StateTest::PacketVariable { name, content });
            builder.last_keyword = "pktvar";
            Ok(())
        },
    ),
    Keyword::new(
        "iprep",
        "Reputation of an address.",
        ("ip", "iprep:any,CnC,>,10;"),
        iprep,
    ),
];

/// `NAME,"content"`, the quotes may be left out.
fn variable<'t>(argument: Argument<'t>) -> Result<(&'t str, Box<[u8]>), Fault> {
    let usage = || Fault::hinted("takes a name and a content", r#"user,"admin""#);
    let (name, content) = argument.text.rsplit_once(',').ok_or_else(usage)?;
    let content = content.trim();
    if content.starts_with('!') {
        return Err("the content is not negated".into());
    }
    let unquoted = content
        .strip_prefix('"')
        .and_then(|content| content.strip_suffix('"'));
    let octets = pattern(unquoted.unwrap_or(content)).map_err(|(_, reason)| Fault::from(reason))?;
    if name.is_empty() || octets.is_empty() {
        return Err(usage());
    }
    Ok((name, octets.into()))
}

fn name_of(text: &str) -> Result<&str, Fault> {
    let name = text.trim();
    if name.is_empty() || name.contains(char::is_whitespace) {
        return Err(format!("{name:?} is not a name").into());
    }
    Ok(name)
}

fn flowbits(builder: &mut Builder<'_>, argument: Argument<'_>) -> Outcome {
    let (command, rest) = argument
        .text
        .split_once(',')
        .map_or((argument.text, ""), |(a, b)| (a.trim(), b.trim()));
    if command == "noalert" {
        if !rest.is_empty() {
            return Err("flowbits:noalert takes no name".into());
        }
        builder.noalert = true;
        return Ok(());
    }
    let mut names = Vec::new();
    for name in rest.split('|') {
        names.push(builder.context.names.number(NameKind::FlowBit, name_of(name)?));
    }
    bits(builder, "flowbits", Memory::Flow, command, names, 0)
}

fn bits(
    builder: &mut Builder<'_>,
    keyword: &'static str,
    memory: Memory,
    command: &str,
    names: Vec<u32>,
    expire_s: u32,
) -> Outcome {
    builder.last_keyword = keyword;
    let change = match command {
        "isset" | "isnotset" => {
            builder.state.push(StateTest::Bits {
                keyword,
                memory,
                names,
                wanted: command == "isset",
            });
            return Ok(());
        }
        "set" => BitChange::Set,
        "unset" => BitChange::Unset,
        "toggle" => BitChange::Toggle,
        other => return Err(format!("{other:?} is not a command of {keyword}").into()),
    };
    let [name] = names[..] else {
        return Err(format!("{command} takes one name").into());
    };
    builder.effects.push(Effect::Bit {
        memory,
        name,
        change,
        expire_s,
    });
    Ok(())
}

fn flowint(builder: &mut Builder<'_>, argument: Argument<'_>) -> Outcome {
    let mut words = parts(argument.text);
    let (Some(name), Some(modifier)) = (words.next(), words.next()) else {
        return Err(Fault::hinted(
            "flowint takes name, modifier and value",
            "flowint:count,>,5",
        ));
    };
    let value = words.next();
    let name = builder
        .context
        .names
        .number(NameKind::FlowInt, flowint_name(name)?);
    match modifier {
        "isset" | "notset" | "isnotset" => {
            builder.state.push(StateTest::IntegerSet {
                name,
                wanted: modifier == "isset",
            });
            return Ok(());
        }
        _ => {}
    }
    let value = value
        .filter(|value| !value.is_empty())
        .ok_or_else(|| Fault::from("a value is missing"))?;
    let value = if value.starts_with(|first: char| first.is_ascii_digit()) {
        IntegerValue::Number(
            value
                .parse()
                .map_err(|_| format!("{value:?} is not a number of 32 bits"))?,
        )
    } else {
        IntegerValue::Name(
            builder
                .context
                .names
                .number(NameKind::FlowInt, flowint_name(value)?),
        )
    };
    let compare = match modifier {
        "<" => IntegerCompare::Less,
        "<=" => IntegerCompare::LessOrEqual,
        "==" => IntegerCompare::Equal,
        "!=" => IntegerCompare::NotEqual,
        ">=" => IntegerCompare::GreaterOrEqual,
        ">" => IntegerCompare::Greater,
        "=" | "+" | "-" => {
            let change = match modifier {
                "=" => IntegerChange::Set,
                "+" => IntegerChange::Add,
                _ => IntegerChange::Subtract,
            };
            builder.effects.push(Effect::Integer { name, change, value });
            return Ok(());
        }
        other => return Err(format!("{other:?} is not a modifier of flowint").into()),
    };
    builder.state.push(StateTest::Integer { name, compare, value });
    Ok(())
}

/// A flowint's name: a letter, then at least one letter, digit, `_`, `.` or `/`, as Suricata has it.
fn flowint_name(text: &str) -> Result<&str, Fault> {
    let name = name_of(text)?;
    let goes_on = |octet: u8| octet.is_ascii_alphanumeric() || b"_./".contains(&octet);
    match name.as_bytes() {
        [first, rest @ ..]
            if first.is_ascii_alphabetic() && !rest.is_empty() && rest.iter().copied().all(goes_on) =>
        {
            Ok(name)
        }
        _ => Err(Fault::from(format!(
            "{name:?} is no name for a flowint: a letter, then one or more letters, digits, _ . /"
        ))),
    }
}

/// xbits without an expiry last that long, seconds.
const XBITS_EXPIRE_S: u32 = 30;

fn xbits(builder: &mut Builder<'_>, argument: Argument<'_>) -> Outcome {
    let mut words = parts(argument.text);
    let command = words.next().unwrap_or("");
    let name = builder
        .context
        .names
        .number(NameKind::XBit, name_of(words.next().unwrap_or(""))?);
    let (mut memory, mut expire_s) = (None, XBITS_EXPIRE_S);
    for word in words {
        let (key, value) = word
            .split_once([' ', '\t'])
            .map_or((word, ""), |(key, value)| (key, value.trim()));
        match (key, value) {
            ("track", "ip_src") => memory = Some(Memory::Source),
            ("track", "ip_dst") => memory = Some(Memory::Destination),
            ("track", "ip_pair") => memory = Some(Memory::Pair),
            ("expire", seconds) if memory.is_some() => {
                expire_s = seconds
                    .parse()
                    .ok()
                    .filter(|s| *s > 0)
                    .ok_or("expire takes seconds above 0")?;
            }
            _ => return Err(format!("{word:?} is not an option of xbits").into()),
        }
    }
    let memory =
        memory.ok_or_else(|| Fault::hinted("xbits needs a track", "track ip_src, ip_dst or ip_pair"))?;
    bits(builder, "xbits", memory, command, vec![name], expire_s)
}

/// hostbits last as long as the host is remembered unless they say otherwise, seconds.
const HOSTBITS_EXPIRE_S: u32 = 300;

fn hostbits(builder: &mut Builder<'_>, argument: Argument<'_>) -> Outcome {
    let mut words = parts(argument.text);
    let command = words.next().unwrap_or("");
    if command == "noalert" {
        builder.noalert = true;
        return Ok(());
    }
    let name = builder
        .context
        .names
        .number(NameKind::HostBit, name_of(words.next().unwrap_or(""))?);
    let memory = match (words.next(), words.next()) {
        (None | Some("src"), None) => Memory::Source,
        (Some("dst"), None) => Memory::Destination,
        (Some("both"), None) => return Err("hostbits of both hosts are not supported".into()),
        _ => return Err("hostbits takes a command, a name, and src or dst".into()),
    };
    bits(
        builder,
        "hostbits",
        memory,
        command,
        vec![name],
        HOSTBITS_EXPIRE_S,
    )
}

fn iprep(builder: &mut Builder<'_>, argument: Argument<'_>) -> Outcome {
    let words: Vec<&str> = parts(argument.text).collect();
    let (side, category) = match words[..] {
        [side, category, _] | [side, category, _, _] => (side, category),
        _ => {
            return Err(Fault::hinted(
                "iprep takes side, category, operator, value",
                "iprep:any,CnC,>,10",
            ))
        }
    };
    let side = match side {
        "any" => ReputationSide::Any,
        "src" => ReputationSide::Source,
        "dst" => ReputationSide::Destination,
        "both" => ReputationSide::Both,
        other => return Err(format!("{other:?} is neither any, src, dst nor both").into()),
    };
    let number = builder.context.reputation_categories.get(category).copied();
    let category = number
        .ok_or_else(|| format!("the reputation category {category:?} is not in the categories file"))?;
    let (test, set) = match words[..] {
        [_, _, "isset"] => (NumberTest::GreaterOrEqual(0), Some(true)),
        [_, _, "isnotset"] => (NumberTest::GreaterOrEqual(0), Some(false)),
        [_, _, operator, value] => {
            let value: i64 = value
                .parse()
                .ok()
                .filter(|value| (0..=127).contains(value))
                .ok_or("a reputation is 0 to 127")?;
            let test = match operator {
                "<" => NumberTest::Less(value),
                "<=" => NumberTest::LessOrEqual(value),
                ">" => NumberTest::Greater(value),
                ">=" => NumberTest::GreaterOrEqual(value),
                "=" => NumberTest::Equal(value),
                "!=" => NumberTest::NotEqual(value),
                other => return Err(format!("{other:?} is not an operator of iprep").into()),
            };
            (test, None)
        }
        _ => return Err("iprep takes side, category, operator, value".into()),
    };
    builder.state.push(StateTest::Reputation {
        side,
        category,
        test,
        set,
    });
    Ok(())
}
