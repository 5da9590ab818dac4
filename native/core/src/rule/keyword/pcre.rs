//! `pcre`: regular expressions, with buffer flags and captures.

use super::buffers::sticky;
use super::{Argument, Keyword, Outcome, Quotes};
use crate::rule::builder::{Builder, Fault, List};
use crate::rule::chain::{Capture, Condition, Pcre};
use crate::rule::state::NameKind;

/// This family's keywords.
pub const KEYWORDS: &[Keyword] = &[Keyword::new(
    "pcre",
    "A regular expression (PCRE2): /expression/flags; i s m x A E G as in PCRE, R relative, U I P Q H D M C S Y V W Z choose \
     a buffer of HTTP.",
    ("tcp", r#"content:"User"; pcre:"/^[a-z]+[0-9]{3}/Ri";"#),
    pcre,
)
.quoted(Quotes::Optional)
.negatable()];

/// Captures of one expression at most.
const MAX_CAPTURES: usize = 8;

pub(super) fn pcre(builder: &mut Builder<'_>, argument: Argument<'_>) -> Outcome {
    let (text, captures) = split_captures(argument.text);
    let first = (0..text.len())
        .find(|&at| text.as_bytes()[at] == b'/' && (at == 0 || text.as_bytes()[at - 1] != b'\\'))
        .ok_or_else(|| Fault::hinted("an expression is /.../", "pcre:\"/a.c/i\""))?;
    let body = &text[first + 1..];
    let end = body
        .rfind('/')
        .ok_or_else(|| Fault::hinted("an expression is /.../", "the last / is missing"))?;
    let (expression, flags) = (&body[..end], &body[end + 1..]);
    let mut options = String::new();
    let (mut relative, mut raw, mut buffer, mut anchored) = (false, false, "", false);
    for flag in flags.chars() {
        let chosen = match flag {
            'i' | 's' | 'm' | 'x' => {
                options.push(flag);
                continue;
            }
            'A' => {
                anchored = true;
                continue;
            }
            // Dollar at the very end only; ungreedy; the limit of the configuration is not lifted.
            'E' | 'G' | 'O' => {
                options.push(flag);
                continue;
            }
            'R' => {
                relative = true;
                continue;
            }
            'B' => {
                raw = true;
                continue;
            }
            'U' => "http.uri",
            'I' => "http.uri.raw",
            'P' => "http.request_body",
            'Q' => "file.data",
            'H' => "http.header",
            'D' => "http.header.raw",
            'M' => "http.method",
            'C' => "http.cookie",
            'S' => "http.stat_code",
            'Y' => "http.stat_msg",
            'V' => "http.user_agent",
            'W' => "http.host",
            'Z' => "http.host.raw",
            other => return Err(format!("{other:?} is not a flag of pcre").into()),
        };
        if !buffer.is_empty() && buffer != chosen {
            return Err("the flags choose two buffers".into());
        }
        buffer = chosen;
    }
    if raw && !buffer.is_empty() {
        return Err("flag B excludes the flags that choose a buffer".into());
    }
    if buffer == "http.host" && !options.contains('i') && has_upper_case(expression) {
        return Err(Fault::hinted(
            "the host is in lower case, the expression is not",
            "write it in lower case",
        ));
    }
    if relative && buffer.is_empty() && builder.list == List::Payload && builder.base64.is_none() {
        follows(&builder.payload)?;
    }
    let names = captures
        .map(|names| capture_names(builder, names))
        .transpose()?
        .unwrap_or_default();
    let regex = compile(expression, &options, anchored, limits(builder))?;
    if names.len() >= regex.captures_len() {
        return Err("there are more names than groups".into());
    }
    let names = match names.is_empty() {
        true => group_names(builder, &regex),
        false => names.into_iter().map(Some).collect(),
    };
    builder.captures |= !names.is_empty();
    let condition = Condition::Pcre(Box::new(Pcre {
        regex,
        negated: argument.negated,
        relative,
        relative_next: false,
        captures: names,
    }));
    if buffer.is_empty() {
        builder.push(condition)?;
    } else {
        in_buffer(builder, buffer, condition)?;
    }
    builder.last_keyword = "pcre";
    Ok(())
}

/// An expression with R counts from a content or an expression before it.
fn follows(conditions: &[Condition]) -> Outcome {
    let base = |condition: &Condition| matches!(condition, Condition::Content(_) | Condition::Pcre(_));
    match conditions.iter().any(base) {
        true => Ok(()),
        false => Err("flag R needs a content or pcre before it in the same buffer".into()),
    }
}

/// Add to a buffer chosen by a flag; the rule stays where it is.
fn in_buffer(builder: &mut Builder<'_>, buffer: &str, condition: Condition) -> Outcome {
    let chosen = sticky(buffer)
        .ok_or_else(|| Fault::not_there_yet(format!("the buffer {buffer} is not there yet")))?;
    // In a sticky buffer the flag may only say the same.
    if let List::Group(at) = builder.list {
        if builder
            .groups
            .get(at)
            .is_some_and(|group| same_octets(group.sticky.name, buffer))
        {
            return builder.push(condition);
        }
        return Err(Fault::hinted(
            format!("the flag chooses {buffer}, but the rule is in another sticky buffer"),
            "leave the flag out, or name the buffer before the expression",
        ));
    }
    if builder.base64.is_some() {
        return Err("after base64_data a flag cannot choose a buffer".into());
    }
    if matches!(&condition, Condition::Pcre(pcre) if pcre.relative) {
        let group = builder
            .groups
            .iter()
            .find(|group| same_octets(group.sticky.name, buffer));
        follows(group.map_or(&[], |group| &group.conditions))?;
    }
    // These flags are older than HTTP/2: the arbiter keeps them to HTTP/1.
    builder.ask_for("http1")?;
    let (list, last, open, base64) = (
        builder.list,
        builder.last_content,
        builder.open_buffer,
        builder.base64,
    );
    builder.open_buffer = None;
    builder.enter(chosen)?;
    builder.push(condition)?;
    (
        builder.list,
        builder.last_content,
        builder.open_buffer,
        builder.base64,
    ) = (list, last, open, base64);
    Ok(())
}

/// Whether two names are of one buffer: the response body is inspected as a file.
fn same_octets(name: &str, other: &str) -> bool {
    name == other || name == "http.response_body" && other == "file.data"
}

/// `/expression/flags, flow:NAME, pkt:NAME`: the part before and the part after.
fn split_captures(text: &str) -> (&str, Option<&str>) {
    let found = ["flow:", "pkt:"].iter().filter_map(|key| text.find(key)).min();
    match found {
        Some(at) if text[..at].ends_with([',', ' ']) => {
            (text[..at].trim_end_matches([',', ' ']), Some(&text[at..]))
        }
        _ => (text, None),
    }
}

fn capture_names(builder: &mut Builder<'_>, text: &str) -> Result<Vec<Capture>, Fault> {
    let mut captures = Vec::new();
    for part in super::parts(text) {
        let (kind, name) = part.split_once(':').ok_or("a capture is flow:NAME or pkt:NAME")?;
        if captures.len() >= MAX_CAPTURES {
            return Err(format!("an expression has at most {MAX_CAPTURES} captures").into());
        }
        let capture = capture(builder, kind.trim(), name.trim());
        captures.push(capture.ok_or_else(|| format!("{kind:?} is neither flow nor pkt"))?);
    }
    Ok(captures)
}

fn capture(builder: &mut Builder<'_>, kind: &str, name: &str) -> Option<Capture> {
    let names = &mut builder.context.names;
    match kind {
        "flow" => Some(Capture::Flow(names.number(NameKind::FlowVariable, name))),
        "pkt" => Some(Capture::Packet(names.number(NameKind::PacketVariable, name))),
        _ => None,
    }
}

/// Groups named `flow_NAME` and `pkt_NAME` are captured; empty when there is none.
fn group_names(builder: &mut Builder<'_>, regex: &pcre2::bytes::Regex) -> Vec<Option<Capture>> {
    let groups = regex.capture_names().iter().skip(1).take(MAX_CAPTURES);
    let captures: Vec<Option<Capture>> = groups
        .map(|name| {
            let (kind, name) = name.as_deref()?.split_once('_')?;
            capture(builder, kind, name)
        })
        .collect();
    match captures.iter().any(Option::is_some) {
        true => captures,
        false => Vec::new(),
    }
}

/// Steps and depth that matching may take, as the configuration says.
pub fn limits(builder: &Builder<'_>) -> (u32, u32) {
    let detect = &builder.context.config.detect;
    (detect.pcre_match_limit, detect.pcre_match_limit_recursion)
}

/// Compile, so that matching ends at `limits`: text an attacker chose must not hold up the engine.
pub fn compile(
    expression: &str,
    options: &str,
    anchored: bool,
    limits: (u32, u32),
) -> Result<pcre2::bytes::Regex, Fault> {
    let build = |text: &str| {
        let mut builder = pcre2::bytes::RegexBuilder::new();
        builder
            .caseless(options.contains('i'))
            .dotall(options.contains('s'))
            .multi_line(options.contains('m'))
            .extended(options.contains('x'))
            .utf(false)
            .ucp(false)
            .jit_if_available(true);
        builder.build(text)
    };
    // What the builder has no switch for is said in the expression's own words.
    let mut prefix = format!("(*LIMIT_MATCH={})(*LIMIT_DEPTH={})", limits.0, limits.1);
    if options.contains('G') {
        prefix.push_str("(?U)");
    }
    let mut text = expression.to_string();
    if anchored {
        text = format!("\\G(?:{text})");
    }
    build(&format!("{prefix}{text}")).map_err(|error| {
        let at = error.offset().map(|at| at.saturating_sub(prefix.len()) + 1);
        Fault {
            at,
            ..Fault::from(format!("the expression cannot be compiled: {error}"))
        }
    })
}

/// Upper-case letters that are not part of an escape.
fn has_upper_case(expression: &str) -> bool {
    let mut escaped = false;
    expression.chars().any(|char| {
        let counts = !escaped && char.is_ascii_uppercase();
        escaped = char == '\\' && !escaped;
        counts
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expression_that_explodes_ends_at_the_limit() {
        let regex = compile("^(a|aa)+$", "", false, (3500, 1500)).unwrap();
        let hostile = [&[b'a'; 60][..], b"!"].concat();
        let started = std::time::Instant::now();
        assert!(!regex.is_match(&hostile).unwrap_or(false));
        assert!(started.elapsed().as_secs() < 1);
        assert!(regex.is_match(b"aaaa").unwrap());
    }

    #[test]
    fn where_an_expression_is_wrong_is_counted_from_its_start() {
        let fault = compile("ab(c", "i", false, (3500, 1500)).unwrap_err();
        assert_eq!(fault.at, Some("ab(c".len() + 1));
    }
}
