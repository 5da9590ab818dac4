//! Text to rules, rules to header fields and options. Positions are octets of the rule's text.

use super::signature::{Problem, ProblemKind};

/// Longest rule, octets; Suricata's own limit.
pub const MAX_RULE_OCTETS: usize = 8192;

/// A rule's text as a file has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// 1-based line in which it begins.
    pub number: u32,
    /// Without line continuations, blanks at the ends trimmed.
    pub text: String,
    /// For each file line it was put together from: (offset in `text`, line number, octets trimmed before it).
    pub pieces: Vec<(usize, u32, usize)>,
}

impl Line {
    /// Line and column (1-based) of an octet of `text`.
    pub fn place(&self, at: usize) -> (u32, u32) {
        let piece = self.pieces.iter().rev().find(|piece| piece.0 <= at);
        let &(start, line, indent) = piece.unwrap_or(&(0, self.number, 0));
        (line, (at - start + indent + 1) as u32)
    }
}

/// The rules of a file: comments and empty lines are left out, a backslash at the end of a line goes on in the next.
pub fn lines(text: &str) -> Vec<Line> {
    let mut found = Vec::new();
    let mut open: Option<Line> = None;
    for (number, raw) in (1u32..).zip(text.lines()) {
        let trimmed = raw.trim_start();
        let indent = raw.len() - trimmed.len();
        let (part, goes_on) = match trimmed.strip_suffix('\\') {
            Some(part) => (part, true),
            None => (trimmed.trim_end(), false),
        };
        if open.is_none() && (trimmed.is_empty() || trimmed.starts_with('#')) {
            continue;
        }
        let line = open.get_or_insert_with(|| Line {
            number,
            text: String::new(),
            pieces: Vec::new(),
        });
        line.pieces.push((line.text.len(), number, indent));
        line.text.push_str(part);
        if !goes_on || line.text.len() > MAX_RULE_OCTETS * 2 {
            found.extend(open.take());
        }
    }
    found.extend(open);
    found
}

/// A piece of a rule's text and where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece<'t> {
    /// The text.
    pub text: &'t str,
    /// Its octet offset.
    pub at: usize,
}

/// A rule's fields, not looked into yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fields<'t> {
    /// Action, protocol, source, source port, direction, destination, destination port.
    pub header: [Piece<'t>; 7],
    /// Keywords with what follows the colon, in order.
    pub options: Vec<Choice<'t>>,
}

/// A keyword with its argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choice<'t> {
    /// The keyword.
    pub name: Piece<'t>,
    /// What follows the colon, blanks trimmed at its end; `None` without a colon.
    pub value: Option<Piece<'t>>,
}

/// A problem of an invalid rule.
pub fn invalid(at: usize, keyword: &str, reason: impl Into<String>) -> Problem {
    Problem {
        kind: ProblemKind::Invalid,
        at,
        keyword: keyword.into(),
        reason: reason.into(),
        hint: String::new(),
    }
}

const HEADER_FIELDS: [&str; 7] = [
    "action",
    "protocol",
    "source address",
    "source port",
    "direction",
    "destination address",
    "destination port",
];

/// Split a rule.
///
/// # Errors
/// What is missing, and where.
pub fn fields(text: &str) -> Result<Fields<'_>, Problem> {
    if text.len() > MAX_RULE_OCTETS {
        return Err(invalid(
            MAX_RULE_OCTETS,
            "",
            format!("the rule is longer than {MAX_RULE_OCTETS} octets"),
        ));
    }
    let mut at = 0;
    let mut header = [Piece { text: "", at: 0 }; 7];
    for (field, name) in header.iter_mut().zip(HEADER_FIELDS) {
        at += blanks(&text[at..]);
        let length = field_length(&text[at..]);
        if length == 0 || text[at..].starts_with('(') {
            return Err(invalid(at, "", format!("the {name} is missing")));
        }
        *field = Piece {
            text: &text[at..at + length],
            at,
        };
        at += length;
    }
    at += text[at..].len() - text[at..].trim_start_matches([' ', '\t', '(']).len();
    if !text[header[6].at..at].contains('(') {
        return Err(invalid(
            at,
            "",
            "the rule has no options: write them in parentheses",
        ));
    }
    let body = text[at..].trim_end_matches([' ', '\t', ')']);
    let mut options = Vec::new();
    let end = at + body.len();
    while at < end {
        at += blanks(&text[at..end]);
        if at >= end {
            break;
        }
        let length = option_length(&text[at..end])
            .ok_or_else(|| invalid(at, "", "the option does not end: a semicolon is missing"))?;
        options.push(option(&text[at..at + length], at));
        at += length + 1;
    }
    Ok(Fields { header, options })
}

fn blanks(text: &str) -> usize {
    text.len() - text.trim_start_matches([' ', '\t']).len()
}

/// Length of a header field: to the next blank that is not inside brackets.
fn field_length(text: &str) -> usize {
    let mut depth = 0usize;
    for (at, octet) in text.bytes().enumerate() {
        match octet {
            b'[' => depth += 1,
            b']' => depth = depth.saturating_sub(1),
            b' ' | b'\t' if depth == 0 => return at,
            b'(' => return at,
            _ => {}
        }
    }
    text.len()
}

/// Length up to the semicolon that ends an option: one after a backslash does not.
fn option_length(text: &str) -> Option<usize> {
    let octets = text.as_bytes();
    memchr::memchr_iter(b';', octets).find(|&at| at == 0 || octets[at - 1] != b'\\')
}

fn option(text: &str, at: usize) -> Choice<'_> {
    let (name, value) = match text.split_once(':') {
        Some((name, value)) => (
            name,
            Some(Piece {
                text: value.trim_end_matches([' ', '\t']),
                at: at + name.len() + 1,
            }),
        ),
        None => (text, None),
    };
    Choice {
        name: Piece {
            text: name.trim_end_matches([' ', '\t']),
            at,
        },
        value,
    }
}

/// Octets of a `content` argument: `|41 42|` is hexadecimal, a backslash keeps `"`, `;`, `:` and `\`.
///
/// # Errors
/// (offset in `text`, reason).
pub fn pattern(text: &str) -> Result<Vec<u8>, (usize, String)> {
    let mut out = Vec::with_capacity(text.len());
    let mut hex: Option<Option<u8>> = None;
    let mut escaped = false;
    for (at, octet) in text.bytes().enumerate() {
        match (&mut hex, octet) {
            (Some(None), b'|') => hex = None,
            (Some(Some(_)), b'|') => return Err((at, "a hexadecimal octet has one digit only".into())),
            (Some(_), b' ' | b'\t') => {}
            (Some(half), digit) => {
                let Some(value) = char::from(digit).to_digit(16) else {
                    return Err((at, format!("{:?} is not a hexadecimal digit", char::from(digit))));
                };
                match half.take() {
                    Some(high) => out.push(high << 4 | value as u8),
                    None => *half = Some(value as u8),
                }
            }
            (None, _) if escaped => {
                if !matches!(octet, b'"' | b';' | b':' | b'\\') {
                    return Err((
                        at,
                        format!("{:?} cannot be escaped: only \" ; : and \\", char::from(octet)),
                    ));
                }
                out.push(octet);
                escaped = false;
            }
            (None, b'\\') => escaped = true,
            (None, b'|') => hex = Some(None),
            (None, b'"') => return Err((at, "a quote inside has to be written \\\" or |22|".into())),
            (None, b';') => {
                return Err((
                    at,
                    format!("{:?} has to be escaped by a backslash", char::from(octet)),
                ))
            }
            (None, octet) => out.push(octet),
        }
    }
    if hex.is_some() {
        return Err((
            text.len(),
            "the hexadecimal part does not end: a | is missing".into(),
        ));
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_over_several_lines_knows_where_its_octets_were() {
        let found = lines("# c\n\nalert tcp any any -> any any \\\n   (msg:\"x\"; \\\n sid:1;)\nalert ip a b -> c d (sid:2;)\n");
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].number, 3);
        assert_eq!(found[0].text, "alert tcp any any -> any any (msg:\"x\"; sid:1;)");
        assert_eq!(found[0].place(found[0].text.find("msg").unwrap()), (4, 5));
        assert_eq!(found[0].place(found[0].text.find("sid").unwrap()), (5, 2));
        assert_eq!(found[1].number, 6);
    }

    #[test]
    fn header_fields_and_options_are_split_where_suricata_splits_them() {
        let fields =
            fields(r#"alert http [1.1.1.1, !2.2.2.2] any -> any [80, 81](content:"a\;b"; nocase; sid:1;)"#)
                .unwrap();
        assert_eq!(fields.header[2].text, "[1.1.1.1, !2.2.2.2]");
        assert_eq!(fields.header[6].text, "[80, 81]");
        let names: Vec<_> = fields
            .options
            .iter()
            .map(|o| (o.name.text, o.value.map(|v| v.text)))
            .collect();
        assert_eq!(
            names,
            [
                ("content", Some(r#""a\;b""#)),
                ("nocase", None),
                ("sid", Some("1"))
            ]
        );
    }

    #[test]
    fn patterns_hold_hexadecimal_and_escaped_octets() {
        assert_eq!(pattern(r#"a|0d 0A|\;\"b"#).unwrap(), b"a\r\n;\"b");
        for bad in ["a|0", "a|0|", "a|0g|", "\\x", "a\"b"] {
            assert!(pattern(bad).is_err(), "{bad}");
        }
    }
}
