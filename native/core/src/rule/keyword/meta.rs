//! What a rule says about itself.

use super::{Argument, Keyword, Outcome, Quotes};
use crate::rule::builder::{Builder, Fault};
use crate::rule::signature::{Reference, Target};

/// This family's keywords.
pub const KEYWORDS: &[Keyword] = &[
    Keyword::new("msg", "What the alert says.", ("ip", r#"msg:"a text";"#), msg).quoted(Quotes::Yes),
    Keyword::new(
        "sid",
        "Signature id: names the rule.",
        ("ip", "sid:1000001;"),
        sid,
    ),
    Keyword::new("rev", "Revision of the rule.", ("ip", "rev:2;"), rev),
    Keyword::new("gid", "Generator id; 1 when left out.", ("ip", "gid:1;"), gid),
    Keyword::new(
        "classtype",
        "Classification, by its short name.",
        ("ip", "classtype:trojan-activity;"),
        classtype,
    ),
    Keyword::new(
        "priority",
        "1 (highest) to 255; overrides the classification's.",
        ("ip", "priority:2;"),
        priority,
    ),
    Keyword::new(
        "reference",
        "Where to read more: key,value.",
        ("ip", "reference:url,example.org;"),
        reference,
    ),
    Keyword::new(
        "metadata",
        "Key and value pairs, shown with the alert.",
        ("ip", "metadata:owner soc;"),
        metadata,
    ),
    Keyword::new(
        "target",
        "Which side is attacked.",
        ("ip", "target:dest_ip;"),
        target,
    ),
    Keyword::new(
        "noalert",
        "Match without raising an alert.",
        ("ip", "noalert;"),
        |builder, _| {
            builder.noalert = true;
            Ok(())
        },
    )
    .bare(),
    Keyword::new(
        "alert",
        "Raise an alert: the default, but for pass rules.",
        ("ip", "alert;"),
        |builder, _| {
            builder.noalert = false;
            builder.also_alerts = true;
            Ok(())
        },
    )
    .bare(),
    Keyword::new(
        "requires",
        "Load the rule only where the engine has what it names.",
        ("ip", "requires:version >= 7.0.0;"),
        |_, _| Ok(()), // looked at before all else, see parse
    ),
    Keyword::new(
        "nfq_set_mark",
        "The mark an inline engine would give the packet, and its mask; nothing is marked here.",
        ("tcp", "nfq_set_mark:0x1/0xff;"),
        |_, argument| {
            let number = |text: &str| {
                let text = text.trim();
                match text.strip_prefix("0x") {
                    Some(digits) => u32::from_str_radix(digits, 16).is_ok(),
                    None => text.parse::<u32>().is_ok(),
                }
            };
            match argument.text.split_once('/') {
                Some((mark, mask)) if number(mark) && number(mask) => Ok(()),
                _ => Err(Fault::hinted("takes a mark and a mask", "0x1/0xff")),
            }
        },
    ),
    Keyword::new(
        "prefilter",
        "Use the condition before as the prefilter.",
        ("tcp", "ttl:5; prefilter;"),
        prefilter,
    )
    .bare(),
];

fn number<T: std::str::FromStr>(text: &str, what: &str) -> Result<T, Fault> {
    text.parse()
        .map_err(|_| format!("{text:?} is not a {what}").into())
}

fn once(builder: &mut Builder<'_>, keyword: &'static str) -> Outcome {
    let count = builder.seen.entry(keyword).or_default();
    *count += 1;
    if *count > 1 {
        return Err(format!("{keyword} stands twice").into());
    }
    Ok(())
}

fn msg(builder: &mut Builder<'_>, argument: Argument<'_>) -> Outcome {
    once(builder, "msg")?;
    let mut text = String::with_capacity(argument.text.len());
    let mut escaped = false;
    for char in argument.text.chars() {
        // Suricata keeps a backslash before anything but these.
        if char == '\\' && !escaped {
            escaped = true;
            continue;
        }
        if escaped && !matches!(char, '"' | ';' | ':' | '\\') {
            text.push('\\');
        }
        escaped = false;
        text.push(char);
    }
    builder.msg = text;
    Ok(())
}

fn sid(builder: &mut Builder<'_>, argument: Argument<'_>) -> Outcome {
    once(builder, "sid")?;
    builder.sid = number(argument.text, "signature id (1 to 4294967295)")?;
    if builder.sid == 0 {
        return Err("a signature id is 1 or more".into());
    }
    Ok(())
}

fn rev(builder: &mut Builder<'_>, argument: Argument<'_>) -> Outcome {
    once(builder, "rev")?;
    builder.rev = number(argument.text, "revision (1 to 4294967295)")?;
    if builder.rev == 0 {
        return Err("a revision is 1 or more".into());
    }
    Ok(())
}

fn gid(builder: &mut Builder<'_>, argument: Argument<'_>) -> Outcome {
    builder.gid = number(argument.text, "generator id (0 to 4294967295)")?;
    Ok(())
}

fn classtype(builder: &mut Builder<'_>, argument: Argument<'_>) -> Outcome {
    let name = argument.text;
    let valid = name.starts_with(|first: char| first.is_ascii_alphabetic())
        && name
            .chars()
            .all(|char| char.is_ascii_alphanumeric() || matches!(char, '-' | '_'));
    if !valid {
        return Err(format!("{name:?} is not a classification's short name").into());
    }
    builder.classtype = name.into();
    if let Some(class) = builder.context.classifications.get(&name.to_ascii_lowercase()) {
        builder.category = class.description.clone();
        builder.class_priority = Some(class.priority);
    }
    Ok(())
}

fn priority(builder: &mut Builder<'_>, argument: Argument<'_>) -> Outcome {
    let value: i64 = number(argument.text, "priority (1 to 255)")?;
    builder.priority = Some(u8::try_from(value.clamp(1, 255)).unwrap_or(255));
    Ok(())
}

fn reference(builder: &mut Builder<'_>, argument: Argument<'_>) -> Outcome {
    let (key, value) = argument
        .text
        .split_once(',')
        .ok_or_else(|| Fault::hinted("a reference is key,value", "reference:url,example.org"))?;
    let (key, value) = (key.trim(), value.trim());
    if key.is_empty() || value.is_empty() {
        return Err("a reference is key,value".into());
    }
    let prefix = builder
        .context
        .references
        .get(&key.to_ascii_lowercase())
        .cloned()
        .unwrap_or_else(|| "".into());
    builder.references.push(Reference {
        key: key.into(),
        prefix,
        value: value.into(),
    });
    Ok(())
}

fn metadata(builder: &mut Builder<'_>, argument: Argument<'_>) -> Outcome {
    for pair in super::parts(argument.text) {
        let (key, value) = pair.split_once([' ', '\t']).unwrap_or((pair, ""));
        if !key.is_empty() && !value.trim().is_empty() {
            builder.metadata.push((key.into(), value.trim().into()));
        }
    }
    Ok(())
}

fn target(builder: &mut Builder<'_>, argument: Argument<'_>) -> Outcome {
    let target = match argument.text {
        "src_ip" => Target::Source,
        "dest_ip" => Target::Destination,
        _ => return Err("target is src_ip or dest_ip".into()),
    };
    if builder
        .target
        .replace(target)
        .is_some_and(|earlier| earlier != target)
    {
        return Err("target says both".into());
    }
    Ok(())
}

/// Keywords that `prefilter` may stand after, contents apart.
const CAN_BE_PREFILTER: &[&str] = &[
    "dsize",
    "flow.age",
    "flags",
    "fragbits",
    "fragoffset",
    "icmp_id",
    "icmp_seq",
    "icmpv6.mtu",
    "icode",
    "id",
    "itype",
    "seq",
    "ack",
    "stream_size",
    "tcp.mss",
    "ttl",
    "app-layer-protocol",
];

fn prefilter(builder: &mut Builder<'_>, _: Argument<'_>) -> Outcome {
    match builder.last_keyword {
        "" => Err("prefilter stands right after the condition it is about".into()),
        "content" => {
            let content = builder.content("prefilter")?;
            content.fast_pattern = Some(None);
            Ok(())
        }
        keyword if !CAN_BE_PREFILTER.contains(&keyword) => {
            Err(format!("{keyword} cannot be a prefilter").into())
        }
        _ if builder.prefilter_keyword.is_some() => Err("a rule has one prefilter".into()),
        keyword => {
            builder.prefilter_keyword = Some(keyword);
            Ok(())
        }
    }
}
