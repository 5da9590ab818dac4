//! `content` and what modifies it, `isdataat`, `dsize`, `bsize`.

use super::buffers::Where;
use super::number::number_test;
use super::{Argument, Keyword, Outcome, Quotes};
use crate::rule::builder::{Builder, Fault, List};
use crate::rule::chain::{ByteCompare, Condition, Content, IsDataAt, Operand};
use crate::rule::entropy::Entropy;
use crate::rule::lexer::pattern;
use crate::rule::signature::{NumberTest, PacketCondition, View};

/// This family's keywords.
pub const KEYWORDS: &[Keyword] = &[
    Keyword::new(
        "content",
        "Octets that must be there; !\"...\" must not.",
        ("tcp", r#"content:"a|0d 0a|";"#),
        content,
    )
    .quoted(Quotes::Yes)
    .negatable(),
    Keyword::new(
        "uricontent",
        "Octets of the URI: an older way to write content in http.uri.",
        ("http", r#"uricontent:"a";"#),
        uricontent,
    )
    .quoted(Quotes::Yes)
    .negatable(),
    Keyword::new(
        "nocase",
        "The case of the content's letters does not matter.",
        ("tcp", r#"content:"a"; nocase;"#),
        nocase,
    )
    .bare(),
    Keyword::new(
        "offset",
        "The content starts here or later.",
        ("tcp", r#"content:"a"; offset:4;"#),
        offset,
    ),
    Keyword::new(
        "depth",
        "The content ends within so many octets from offset.",
        ("tcp", r#"content:"a"; depth:4;"#),
        depth,
    ),
    Keyword::new(
        "distance",
        "The content starts so far behind the condition before.",
        ("tcp", r#"content:"a"; content:"b"; distance:1;"#),
        distance,
    ),
    Keyword::new(
        "within",
        "The content ends within so many octets behind the condition before.",
        ("tcp", r#"content:"a"; content:"b"; within:5;"#),
        within,
    ),
    Keyword::new(
        "startswith",
        "The content is at the start.",
        ("tcp", r#"content:"a"; startswith;"#),
        startswith,
    )
    .bare(),
    Keyword::new(
        "endswith",
        "The content is at the end.",
        ("tcp", r#"content:"a"; endswith;"#),
        endswith,
    )
    .bare(),
    Keyword::new(
        "rawbytes",
        "Kept for old rules: the payload is never changed.",
        ("tcp", r#"content:"a"; rawbytes;"#),
        rawbytes,
    )
    .bare(),
    Keyword::new(
        "fast_pattern",
        "The prefilter looks for this content, or for length octets from offset of it.",
        ("tcp", r#"content:"abcdef"; fast_pattern:1,3;"#),
        fast_pattern,
    )
    .optional(),
    Keyword::new(
        "isdataat",
        "There are more octets than so many; ! there are not.",
        ("tcp", "isdataat:10;"),
        isdataat,
    ),
    Keyword::new(
        "dsize",
        "Size of the packet's payload.",
        ("tcp", "dsize:>10;"),
        dsize,
    ),
    Keyword::new(
        "bsize",
        "Size of the buffer.",
        ("http", "http.uri; bsize:>10;"),
        bsize,
    ),
    Keyword::new(
        "absent",
        "The buffer is not there; with or_else: or the other conditions hold on it.",
        ("http", "http.referer; absent;"),
        absent,
    )
    .optional(),
    Keyword::new(
        "entropy",
        "Shannon's entropy of the octets, 0 to 8 bits an octet.",
        ("http", "file.data; entropy: bytes 512, offset 0, value >= 7.5;"),
        entropy,
    ),
    Keyword::new(
        "replace",
        "What an inline engine would put in the content's place; nothing is changed here.",
        ("tcp", r#"content:"abc"; replace:"xyz";"#),
        |_, argument| match argument.negated {
            true => Err("a replacement is not negated".into()),
            false => Ok(()),
        },
    )
    .quoted(Quotes::Yes)
    .negatable(),
    Keyword::new(
        "urilen",
        "Size of the URI: normalised, or raw.",
        ("http", "urilen:>10,raw;"),
        urilen,
    ),
];

fn content(builder: &mut Builder<'_>, argument: Argument<'_>) -> Outcome {
    let octets = pattern(argument.text).map_err(|(at, reason)| Fault {
        at: Some(at),
        ..Fault::from(reason)
    })?;
    if octets.is_empty() {
        return Err("the content is empty".into());
    }
    let mut content = Content::new(octets);
    content.negated = argument.negated;
    if let List::Group(at) = builder.list {
        let group = &builder.groups[at];
        for transform in &group.transforms {
            if !content.negated && !transform.can_yield(&content.pattern) {
                return Err(format!("the content cannot be there after {}", transform.keyword()).into());
            }
        }
    }
    builder.push_content(content)
}

fn uricontent(builder: &mut Builder<'_>, argument: Argument<'_>) -> Outcome {
    if builder.list != List::Payload {
        return Err("uricontent cannot be used in a sticky buffer".into());
    }
    content(builder, argument)?;
    let sticky = super::buffers::sticky("http.uri").ok_or("the URI is not there")?;
    builder.move_content(sticky, "uricontent")
}

fn nocase(builder: &mut Builder<'_>, _: Argument<'_>) -> Outcome {
    let content = builder.content("nocase")?;
    if content.nocase {
        return Err("nocase stands twice for this content".into());
    }
    content.set_nocase();
    Ok(())
}

const ABSOLUTE_AND_RELATIVE: &str = "offset and depth exclude distance and within on the same content";

fn offset(builder: &mut Builder<'_>, argument: Argument<'_>) -> Outcome {
    let value = builder.operand(argument.text, 0, 65_535)?;
    let content = builder.content("offset")?;
    positioned(content)?;
    if content.starts_with {
        return Err("offset and startswith exclude each other".into());
    }
    if content.offset.is_some() {
        return Err("offset stands twice for this content".into());
    }
    if content.distance.is_some() || content.within.is_some() {
        return Err(ABSOLUTE_AND_RELATIVE.into());
    }
    if content.negated && content.fast_pattern.is_some() {
        return Err("a negated fast_pattern has no position".into());
    }
    content.offset = Some(value);
    Ok(())
}

fn depth(builder: &mut Builder<'_>, argument: Argument<'_>) -> Outcome {
    let value = builder.operand(argument.text, 0, 65_535)?;
    let content = builder.content("depth")?;
    positioned(content)?;
    if content.depth.is_some() {
        return Err("depth stands twice for this content".into());
    }
    if content.distance.is_some() || content.within.is_some() {
        return Err(ABSOLUTE_AND_RELATIVE.into());
    }
    if content.negated && content.fast_pattern.is_some() {
        return Err("a negated fast_pattern has no position".into());
    }
    if let Operand::Number(depth) = value {
        let length = content.pattern.len() as i64;
        if depth < length {
            return Err(format!("depth {depth} is less than the content's {length} octets").into());
        }
    }
    content.depth = Some(value);
    Ok(())
}

fn distance(builder: &mut Builder<'_>, argument: Argument<'_>) -> Outcome {
    let value = builder.operand(argument.text, -1_048_576, 1_048_576)?;
    let content = builder.content("distance")?;
    if content.distance.is_some() {
        return Err("distance stands twice for this content".into());
    }
    relative(content)?;
    content.distance = Some(value);
    only_fast_pattern(builder, "distance")
}

fn within(builder: &mut Builder<'_>, argument: Argument<'_>) -> Outcome {
    let value = builder.operand(argument.text, -1_048_576, 1_048_576)?;
    let content = builder.content("within")?;
    if content.within.is_some() {
        return Err("within stands twice for this content".into());
    }
    relative(content)?;
    if let Operand::Number(within) = value {
        let length = content.pattern.len() as i64;
        if within < length {
            return Err(format!("within {within} is less than the content's {length} octets").into());
        }
    }
    content.within = Some(value);
    only_fast_pattern(builder, "within")
}

/// A content that only the prefilter looks for may be anywhere.
fn positioned(content: &Content) -> Outcome {
    match content.fast_pattern_only {
        true => Err("fast_pattern:only excludes offset, depth, distance, within and startswith".into()),
        false => Ok(()),
    }
}

fn relative(content: &Content) -> Outcome {
    positioned(content)?;
    if content.offset.is_some() || content.depth.is_some() {
        return Err(ABSOLUTE_AND_RELATIVE.into());
    }
    if content.negated && content.fast_pattern.is_some() {
        return Err("a negated fast_pattern has no position".into());
    }
    Ok(())
}

/// A content that only the prefilter looks for has no position that others could be relative to.
fn only_fast_pattern(builder: &mut Builder<'_>, modifier: &str) -> Outcome {
    match builder.before_content() {
        Some(Condition::Content(before)) if before.fast_pattern_only => {
            Err(format!("{modifier} cannot count from a content that is fast_pattern:only").into())
        }
        _ => Ok(()),
    }
}

fn startswith(builder: &mut Builder<'_>, _: Argument<'_>) -> Outcome {
    let content = builder.content("startswith")?;
    positioned(content)?;
    if content.depth.is_some() || content.offset.is_some() {
        return Err("startswith excludes offset and depth on the same content".into());
    }
    if content.distance.is_some() || content.within.is_some() {
        return Err("startswith excludes distance and within on the same content".into());
    }
    if content.negated && content.fast_pattern.is_some() {
        return Err("a negated fast_pattern has no position".into());
    }
    content.starts_with = true;
    content.offset = Some(Operand::Number(0));
    content.depth = Some(Operand::Number(content.pattern.len() as i64));
    Ok(())
}

fn endswith(builder: &mut Builder<'_>, _: Argument<'_>) -> Outcome {
    let content = builder.content("endswith")?;
    content.ends_with = true;
    Ok(())
}

fn rawbytes(builder: &mut Builder<'_>, _: Argument<'_>) -> Outcome {
    if builder.list != List::Payload {
        return Err("rawbytes is about the payload only".into());
    }
    let content = builder.content("rawbytes")?;
    if content.raw_bytes {
        return Err("rawbytes stands twice for this content".into());
    }
    content.raw_bytes = true;
    Ok(())
}

fn fast_pattern(builder: &mut Builder<'_>, argument: Argument<'_>) -> Outcome {
    let lists = (0..builder.groups.len()).map(List::Group).chain([List::Payload]);
    for list in lists.collect::<Vec<_>>() {
        let taken = builder.conditions(list).iter().any(
            |condition| matches!(condition, Condition::Content(content) if content.fast_pattern.is_some()),
        );
        if taken {
            return Err("a rule has one fast_pattern".into());
        }
    }
    let content = builder.content("fast_pattern")?;
    let positioned = content.is_positioned();
    if content.negated && positioned {
        return Err("a negated fast_pattern has no position".into());
    }
    match argument.text {
        "" => content.fast_pattern = Some(None),
        "only" => {
            if content.negated || positioned {
                return Err("fast_pattern:only excludes negation, offset, depth, distance and within".into());
            }
            content.fast_pattern = Some(None);
            content.fast_pattern_only = true;
        }
        text => {
            let mut numbers = super::parts(text).map(str::parse::<u16>);
            let (Some(Ok(start)), Some(Ok(length)), None) = (numbers.next(), numbers.next(), numbers.next())
            else {
                return Err("fast_pattern takes nothing, only, or offset,length".into());
            };
            if length == 0 || usize::from(start) + usize::from(length) > content.pattern.len() {
                return Err(format!("{start},{length} is not inside the content").into());
            }
            content.fast_pattern = Some(Some((start, length)));
        }
    }
    Ok(())
}

fn absent(builder: &mut Builder<'_>, argument: Argument<'_>) -> Outcome {
    let or_else = match argument.text {
        "" => false,
        "or_else" => true,
        other => return Err(format!("{other:?} is not or_else").into()),
    };
    let buffer = match builder.list {
        List::Group(at) if builder.base64.is_none() => builder.groups.get(at),
        _ => None,
    };
    if !buffer.is_some_and(|group| group.sticky.place == Where::Transaction) {
        return Err(Fault::hinted(
            "absent stands after a sticky buffer",
            "http.referer; absent",
        ));
    }
    builder.push(Condition::Absent { or_else })
}

fn entropy(builder: &mut Builder<'_>, argument: Argument<'_>) -> Outcome {
    let (mut octets, mut offset, mut value) = (None, None, None);
    for part in super::parts(argument.text) {
        let (key, rest) = part
            .split_once([' ', '\t'])
            .map_or((part, ""), |(key, rest)| (key, rest.trim()));
        let slot = match key {
            "bytes" => &mut octets,
            "offset" => &mut offset,
            "value" => &mut value,
            other => return Err(format!("{other:?} is neither bytes, offset nor value").into()),
        };
        if rest.is_empty() || slot.replace(rest).is_some() {
            return Err(format!("{key} takes one value, once").into());
        }
    }
    let number = |text: Option<&str>| {
        let text = text.unwrap_or("0");
        let number = text.parse::<u16>().map(u32::from);
        number.map_err(|_| Fault::from(format!("{text:?} is not a number from 0 to 65535")))
    };
    let value = value.ok_or_else(|| Fault::hinted("the value is missing", "entropy:value >= 7.5"))?;
    let operators = [
        ("<=", ByteCompare::LessOrEqual, false),
        (">=", ByteCompare::GreaterOrEqual, false),
        ("!=", ByteCompare::Equal, true),
        ("<", ByteCompare::Less, false),
        (">", ByteCompare::Greater, false),
        ("!", ByteCompare::Equal, true),
        ("=", ByteCompare::Equal, false),
        ("", ByteCompare::Equal, false),
    ];
    let found = operators
        .iter()
        .find_map(|(sign, compare, negated)| Some((value.strip_prefix(sign)?.trim(), *compare, *negated)));
    let (digits, compare, negated) = found.ok_or("the value is missing")?;
    let test = Entropy {
        octets: number(octets)?,
        offset: number(offset)?,
        compare,
        negated,
        value: digits
            .parse()
            .ok()
            .filter(|value| (0.0..=8.0).contains(value))
            .ok_or_else(|| format!("{digits:?} is not a number of bits from 0 to 8"))?,
    };
    builder.push(Condition::Entropy(test))
}

fn isdataat(builder: &mut Builder<'_>, argument: Argument<'_>) -> Outcome {
    let (text, negated) = match argument.text.strip_prefix('!') {
        Some(text) => (text, true),
        None => (argument.text, false),
    };
    let mut parts = super::parts(text);
    let at = builder.operand(parts.next().unwrap_or(""), 0, 65_535)?;
    let mut relative = false;
    for part in parts {
        match part {
            "relative" => relative = true,
            "rawbytes" if !relative => return Err("rawbytes stands after relative".into()),
            // Says nothing any more: buffers are what they are.
            "rawbytes" => {}
            _ => return Err(format!("{part:?} is neither relative nor rawbytes").into()),
        }
    }
    // `isdataat:!1,relative` behind a content says that the content is at the end: as endswith.
    if relative && negated && at == Operand::Number(1) && builder.base64.is_none() {
        let list = builder.list;
        if let Some(Condition::Content(last)) = builder.conditions(list).last_mut() {
            last.ends_with = true;
            return Ok(());
        }
    }
    builder.push(Condition::IsDataAt(IsDataAt {
        at,
        relative,
        negated,
    }))
}

/// Size of the payload.
#[derive(Debug)]
struct PayloadSize(NumberTest);

impl PacketCondition for PayloadSize {
    fn matches(&self, view: &View<'_, '_>) -> bool {
        !view.packet.pseudo && self.0.matches(view.packet.payload.len() as i64)
    }

    fn keyword(&self) -> &'static str {
        "dsize"
    }
}

fn dsize(builder: &mut Builder<'_>, argument: Argument<'_>) -> Outcome {
    if builder.dsize.is_some() {
        return Err("dsize stands twice".into());
    }
    let test = number_test(argument.text, 0, 65_535)?;
    builder.dsize = Some(match test {
        NumberTest::Equal(n) => (n as u64, n as u64),
        NumberTest::Less(n) => (0, (n - 1).max(0) as u64),
        NumberTest::LessOrEqual(n) => (0, n as u64),
        NumberTest::Between(low, high) => (low as u64 + 1, high as u64 - 1),
        _ => (0, u64::MAX),
    });
    builder.payload_need = match test {
        NumberTest::Equal(n) => Some(n > 0),
        NumberTest::Less(_) | NumberTest::LessOrEqual(_) => None,
        _ => Some(true),
    };
    builder.requires_packet = true;
    builder.packet.push(Box::new(PayloadSize(test)));
    builder.last_keyword = "dsize";
    Ok(())
}

fn bsize(builder: &mut Builder<'_>, argument: Argument<'_>) -> Outcome {
    if builder.list == List::Payload {
        return Err("bsize stands after a sticky buffer".into());
    }
    let test = number_test(argument.text, 0, i64::MAX)?;
    builder.push(Condition::Size(test))?;
    builder.last_keyword = "bsize";
    Ok(())
}

fn urilen(builder: &mut Builder<'_>, argument: Argument<'_>) -> Outcome {
    let mut parts = super::parts(argument.text);
    let test = number_test(parts.next().unwrap_or(""), 0, 65_535)?;
    let raw = match parts.next() {
        None | Some("norm") => false,
        Some("raw") => true,
        Some(other) => return Err(format!("{other:?} is neither raw nor norm").into()),
    };
    let name = if raw { "http.uri.raw" } else { "http.uri" };
    let sticky = super::buffers::sticky(name).ok_or("the URI is not there")?;
    // It adds to the buffer without moving there: what follows stays where the rule is.
    let (list, last, open, base64) = (
        builder.list,
        builder.last_content,
        builder.open_buffer,
        builder.base64,
    );
    builder.open_buffer = None;
    builder.enter(sticky)?;
    builder.push(Condition::Size(test))?;
    (
        builder.list,
        builder.last_content,
        builder.open_buffer,
        builder.base64,
    ) = (list, last, open, base64);
    Ok(())
}
