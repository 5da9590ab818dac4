//! Header fields of a message: one buffer, repeated fields joined.

use crate::packet::Direction;

/// Repetitions of fields that are kept.
const MAX_REPETITIONS: u32 = 64;

#[derive(Clone, Copy, Debug)]
struct Field {
    name: (u32, u32),
    value: (u32, u32),
    repeated: bool,
}

/// The fields of a message, in the order they first came.
#[derive(Debug, Default)]
pub struct Headers {
    text: Vec<u8>,
    fields: Vec<Field>,
    repetitions: u32,
}

/// What adding a field did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Added {
    /// A new field.
    New,
    /// It came before.
    Repeated,
    /// It came before, and its length disagrees.
    Ambiguous,
}

impl Headers {
    fn span(&self, (start, len): (u32, u32)) -> &[u8] {
        self.text
            .get(start as usize..(start + len) as usize)
            .unwrap_or_default()
    }

    /// How many fields there are.
    pub fn len(&self) -> usize {
        self.fields.len()
    }

    /// Forget them all.
    pub fn clear(&mut self) {
        self.text.clear();
        self.fields.clear();
    }

    /// Names and values.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.fields
            .iter()
            .map(|field| (self.span(field.name), self.span(field.value)))
    }

    /// Value of the field `name`, in any case of letters; NUL octets in its name as sent do not count.
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        let same = |sent: &[u8]| {
            let mut octets = sent.iter().filter(|&&octet| octet != 0);
            sent.len() >= name.len()
                && name.bytes().all(|octet| {
                    octets
                        .next()
                        .is_some_and(|sent| sent.eq_ignore_ascii_case(&octet))
                })
                && octets.next().is_none()
        };
        let field = self.fields.iter().find(|field| same(self.span(field.name)))?;
        Some(self.span(field.value))
    }

    fn find(&self, name: &[u8]) -> Option<usize> {
        self.fields
            .iter()
            .position(|field| self.span(field.name).eq_ignore_ascii_case(name))
    }

    fn keep(&mut self, octets: &[u8]) -> (u32, u32) {
        let start = self.text.len() as u32;
        self.text.extend_from_slice(octets);
        (start, octets.len() as u32)
    }

    /// Add a field. A repeated one is joined by `", "`; `Content-Length` keeps its first value.
    pub fn add(&mut self, name: &[u8], value: &[u8]) -> Added {
        let Some(at) = self.find(name) else {
            let name = self.keep(name);
            let value = self.keep(value);
            self.fields.push(Field {
                name,
                value,
                repeated: false,
            });
            return Added::New;
        };
        let field = self.fields[at];
        if field.repeated {
            self.repetitions += 1;
            if self.repetitions > MAX_REPETITIONS {
                return Added::Repeated;
            }
        }
        self.fields[at].repeated = true;
        if name.eq_ignore_ascii_case(b"content-length") {
            let (first, second) = (content_length(self.span(field.value)), content_length(value));
            return match (first.length, second.length) {
                (Some(first), Some(second)) if first == second => Added::Repeated,
                _ => Added::Ambiguous,
            };
        }
        let start = self.text.len() as u32;
        let (from, len) = field.value;
        self.text.extend_from_within(from as usize..(from + len) as usize);
        self.text.extend_from_slice(b", ");
        self.text.extend_from_slice(value);
        self.fields[at].value = (start, self.text.len() as u32 - start);
        if field.repeated {
            Added::New
        } else {
            Added::Repeated
        }
    }
}

/// A header line, taken apart.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Line<'a> {
    /// Before the colon.
    pub name: &'a [u8],
    /// After it, without white space around.
    pub value: &'a [u8],
    /// There is no colon.
    pub no_colon: bool,
    /// The name is not a token.
    pub invalid: bool,
}

fn is_lws(octet: u8) -> bool {
    octet == b' ' || octet == b'\t'
}

/// White space as HTTP parsers see it.
pub fn is_space(octet: u8) -> bool {
    matches!(octet, b' ' | b'\t' | b'\r' | b'\n' | 0x0b | 0x0c)
}

fn is_token(octet: u8) -> bool {
    (0x21..0x7f).contains(&octet) && !b"()<>@,;:\\\"/[]?={} \t".contains(&octet)
}

fn trim(mut octets: &[u8]) -> &[u8] {
    while let [first, rest @ ..] = octets {
        if !is_lws(*first) {
            break;
        }
        octets = rest;
    }
    // The first octet stays, whatever it is.
    while let [_, .., last] = octets {
        if !is_lws(*last) {
            break;
        }
        octets = &octets[..octets.len() - 1];
    }
    octets
}

/// Take a header line (without its line end) apart.
pub fn parse_line(line: &[u8], direction: Direction) -> Line<'_> {
    let request = direction == Direction::ToServer;
    let stop = line
        .iter()
        .position(|&octet| octet == b':' || (request && octet == 0));
    let Some(colon) = stop.filter(|&at| line[at] == b':') else {
        return Line {
            value: if request { line } else { trim(line) },
            no_colon: true,
            ..Line::default()
        };
    };
    let mut name = &line[..colon];
    let mut invalid = name.is_empty();
    while let [rest @ .., last] = name {
        if !(is_lws(*last) || (!request && is_space(*last))) {
            break;
        }
        name = rest;
        invalid = true;
    }
    invalid |= !name.iter().all(|&octet| is_token(octet));
    let value = trim(&line[colon + 1..]);
    Line {
        name,
        value,
        no_colon: false,
        invalid,
    }
}

/// A `Content-Length`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ContentLength {
    /// The first number in it; `None` when there is none or it is too large.
    pub length: Option<u64>,
}

/// Read a `Content-Length`: the first digits in it, whatever is around them.
pub fn content_length(value: &[u8]) -> ContentLength {
    let Some(start) = value.iter().position(u8::is_ascii_digit) else {
        return ContentLength::default();
    };
    let digits = &value[start..];
    let len = digits
        .iter()
        .position(|octet| !octet.is_ascii_digit())
        .unwrap_or(digits.len());
    let length = digits[..len].iter().try_fold(0u64, |number, &digit| {
        number.checked_mul(10)?.checked_add(u64::from(digit - b'0'))
    });
    ContentLength {
        length: length.filter(|&length| i64::try_from(length).is_ok()),
    }
}

/// Length of a chunk (RFC 9112 section 7.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChunkLength {
    /// That many octets; whether an extension follows.
    Is(u64, bool),
    /// Nothing but white space: look further.
    Blank,
    /// Not a number, or too large.
    Invalid,
}

/// Read a chunk length line.
pub fn chunk_length(line: &[u8]) -> ChunkLength {
    let Some(start) = line.iter().position(|&octet| !is_space(octet)) else {
        return ChunkLength::Blank;
    };
    let line = &line[start..];
    let len = line
        .iter()
        .position(|octet| !octet.is_ascii_hexdigit())
        .unwrap_or(line.len());
    if len == 0 {
        return ChunkLength::Invalid;
    }
    let number = line[..len].iter().try_fold(0u64, |number, &octet| {
        let digit = (octet as char).to_digit(16)?;
        number.checked_mul(16)?.checked_add(u64::from(digit))
    });
    match number {
        Some(number) if number <= i32::MAX as u64 => ChunkLength::Is(number, line[len..].contains(&b';')),
        _ => ChunkLength::Invalid,
    }
}

/// A parameter of a field like `form-data; name="x"; filename="y"`: `key` with its `=`, lower case.
pub fn parameter<'a>(value: &'a [u8], key: &[u8]) -> Option<&'a [u8]> {
    let mut quoted = false;
    let mut start = 0;
    for at in 1..value.len() {
        let escaped = value[at - 1] == b'\\';
        if !escaped && value[at] == b'"' {
            quoted = !quoted;
        }
        let last = at + 1 == value.len();
        if !((!escaped && value[at] == b';') || last) || quoted {
            continue;
        }
        let token = &value[start.min(at)..if last { at + 1 } else { at }];
        start = at + 1;
        while start < value.len() && value[start].is_ascii_whitespace() {
            start += 1;
        }
        if token.len() > key.len() && token[..key.len()].eq_ignore_ascii_case(key) {
            let text = &token[key.len()..];
            let text = text.strip_prefix(b"\"").unwrap_or(text);
            return Some(text.strip_suffix(b"\"").unwrap_or(text));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeated_fields_are_joined_and_lengths_compared() {
        let mut headers = Headers::default();
        assert_eq!(headers.add(b"Accept", b"a"), Added::New);
        assert_eq!(headers.add(b"accept", b"b"), Added::Repeated);
        assert_eq!(headers.get("ACCEPT"), Some(&b"a, b"[..]));
        headers.add(b"Content-Length", b"5");
        assert_eq!(headers.add(b"content-length", b"6"), Added::Ambiguous);
        assert_eq!(headers.get("content-length"), Some(&b"5"[..]));
    }

    #[test]
    fn broken_lines_are_read_as_far_as_they_go() {
        assert!(parse_line(b"no colon", Direction::ToServer).no_colon);
        let line = parse_line(b"Name : value \t", Direction::ToServer);
        assert_eq!(
            (line.name, line.value, line.invalid),
            (&b"Name"[..], &b"value"[..], true)
        );
        assert_eq!(content_length(b"x12y").length, Some(12));
        assert_eq!(chunk_length(b"1a;x\r\n"), ChunkLength::Is(26, true));
        assert_eq!(chunk_length(b"zz\r\n"), ChunkLength::Invalid);
        assert_eq!(chunk_length(b"\r\n"), ChunkLength::Blank);
    }

    #[test]
    fn parameters_are_found_quoted_or_not() {
        let value = b"form-data; name=\"a;b\"; filename=\"x.exe\"";
        assert_eq!(parameter(value, b"filename="), Some(&b"x.exe"[..]));
        assert_eq!(
            parameter(b"multipart/form-data; boundary=xyz", b"boundary="),
            Some(&b"xyz"[..])
        );
        assert_eq!(parameter(b"text/plain", b"boundary="), None);
    }
}
