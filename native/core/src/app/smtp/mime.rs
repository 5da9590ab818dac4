//! A mail's MIME structure (RFC 2045, RFC 2046, RFC 2183), read line by line: header fields, attachments, URLs.

use memchr::memmem;

use crate::app::http1::parameter;
use crate::file::{Files, State};
use crate::packet::Direction;

/// Parts within parts.
const MAX_DEPTH: usize = 32;
/// Octets of a header field that are kept.
const MAX_FIELD_OCTETS: usize = 16 * 1024;
/// Fields of the mail's own header that are kept.
const MAX_FIELDS: usize = 256;
/// URLs that are kept.
const MAX_URLS: usize = 64;
/// Octets of a URL that are kept.
const MAX_URL_OCTETS: usize = 1024;
/// Octets of a file's name that are kept.
const MAX_NAME_OCTETS: usize = 4096;

/// How a part's body is encoded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Encoding {
    #[default]
    Plain,
    Base64,
    QuotedPrintable,
}

#[derive(Debug, Default)]
struct Part {
    /// Boundary of the parts within, with its `--`.
    boundary: Option<Vec<u8>>,
    encoding: Encoding,
    /// It is a file.
    attachment: bool,
    /// It is a mail within the mail.
    message: bool,
}

/// A mail under way.
#[derive(Debug, Default)]
pub struct Mime {
    /// Fields of the mail's own header.
    pub fields: Vec<(Vec<u8>, Vec<u8>)>,
    /// URLs without their scheme, lower case.
    pub urls: Vec<Vec<u8>>,
    /// Names of attachments.
    pub attachments: Vec<Vec<u8>>,
    /// It is complete.
    pub done: bool,
    stack: Vec<Part>,
    in_body: bool,
    /// The header field that may go on with the next line.
    field: Vec<u8>,
    /// File name found in the header of the part under way.
    name: Option<Vec<u8>>,
    /// Line end that belongs to the body only if more body follows.
    line_end: Vec<u8>,
    /// Base64 digits that make no whole group yet.
    digits: Vec<u8>,
}

impl Mime {
    /// A mail that begins.
    pub fn new() -> Mime {
        Mime {
            stack: vec![Part::default()],
            ..Mime::default()
        }
    }

    /// Value of a field of the mail's own header.
    pub fn field(&self, name: &str) -> Option<&[u8]> {
        self.fields
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name.as_bytes()))
            .map(|(_, value)| value.as_slice())
    }

    /// Take a line and its end, or its first piece without an end; whether a file is complete with it.
    pub fn line(&mut self, line: &[u8], end: &[u8], files: &mut Files) -> bool {
        if let Some(closed) = self.at_boundary(line, files) {
            return closed;
        }
        if self.in_body {
            self.body_line(line, end, files);
        } else {
            self.header_line(line);
        }
        false
    }

    /// Take what follows a piece of a line; as [`Mime::line`].
    pub fn rest_of_line(&mut self, line: &[u8], end: &[u8], files: &mut Files) -> bool {
        if self.in_body {
            self.body_line(line, end, files);
        } else {
            self.header_line(line);
        }
        false
    }

    /// Whether pieces of a line can be taken: they are of a file, and what they are decoded to needs no whole line.
    pub fn takes_pieces(&self) -> bool {
        self.in_body
            && self
                .stack
                .last()
                .is_some_and(|part| part.attachment && part.encoding != Encoding::QuotedPrintable)
    }

    /// There are no more lines; whether a file is complete with that.
    pub fn finish(&mut self, files: &mut Files) -> bool {
        self.done = true;
        self.end_body(files)
    }

    /// If a line is a boundary, whether a file is complete with it; the innermost part it belongs to is gone back to.
    fn at_boundary(&mut self, line: &[u8], files: &mut Files) -> Option<bool> {
        if !line.starts_with(b"--") {
            return None;
        }
        let found = self.stack.iter().enumerate().rev().find_map(|(at, part)| {
            let rest = line.strip_prefix(part.boundary.as_deref()?)?;
            Some((at, rest.starts_with(b"--")))
        });
        let (at, is_last) = found?;
        let closed = self.end_body(files);
        self.stack.truncate(at + 1);
        if is_last {
            // What follows the last part says nothing.
            if let Some(part) = self.stack.last_mut() {
                part.boundary = None;
            }
            self.in_body = true;
        } else {
            if self.stack.len() < MAX_DEPTH {
                self.stack.push(Part::default());
            }
            self.in_body = false;
            self.field.clear();
            self.name = None;
        }
        Some(closed)
    }

    fn header_line(&mut self, line: &[u8]) {
        if line.is_empty() {
            self.end_field();
            self.in_body = true;
            self.line_end.clear();
            self.begin_body();
            return;
        }
        if line[0] == b' ' || line[0] == b'\t' {
            if self.field.len() < MAX_FIELD_OCTETS {
                self.field.extend_from_slice(line);
            }
            return;
        }
        self.end_field();
        self.field
            .extend_from_slice(&line[..line.len().min(MAX_FIELD_OCTETS)]);
    }

    fn end_field(&mut self) {
        let field = std::mem::take(&mut self.field);
        let Some(colon) = field.iter().position(|&octet| octet == b':') else {
            return;
        };
        let name = field[..colon].trim_ascii();
        let value = field[colon + 1..].trim_ascii();
        let depth = self.stack.len();
        let Some(part) = self.stack.last_mut() else { return };
        if name.eq_ignore_ascii_case(b"content-transfer-encoding") {
            part.encoding = if value.eq_ignore_ascii_case(b"base64") {
                Encoding::Base64
            } else if value.eq_ignore_ascii_case(b"quoted-printable") {
                Encoding::QuotedPrintable
            } else {
                Encoding::Plain
            };
        } else if name.eq_ignore_ascii_case(b"content-disposition") {
            if let Some(name) = parameter(value, b"filename=") {
                self.name = Some(name.to_vec());
            }
        } else if name.eq_ignore_ascii_case(b"content-type") {
            let begins =
                |kind: &[u8]| value.len() >= kind.len() && value[..kind.len()].eq_ignore_ascii_case(kind);
            if begins(b"multipart/") {
                part.boundary = parameter(value, b"boundary=").map(|boundary| [b"--", boundary].concat());
            }
            part.message = begins(b"message/rfc822");
            if self.name.is_none() {
                self.name = parameter(value, b"name=").map(<[u8]>::to_vec);
            }
        }
        if depth == 1 && self.fields.len() < MAX_FIELDS {
            self.fields.push((name.to_vec(), value.to_vec()));
        }
    }

    /// The header is over: what is the body?
    fn begin_body(&mut self) {
        self.digits.clear();
        let Some(part) = self.stack.last() else { return };
        // A mail within the mail is read as one, whatever its disposition.
        let nested = part.message && self.stack_has_room();
        let Some(part) = self.stack.last_mut() else { return };
        part.attachment = self.name.is_some() && part.boundary.is_none() && !nested;
        if nested {
            self.name = None;
            self.stack.push(Part::default());
            self.in_body = false;
        }
    }

    fn stack_has_room(&self) -> bool {
        self.stack.len() < MAX_DEPTH
    }

    fn body_line(&mut self, line: &[u8], end: &[u8], files: &mut Files) {
        let Some(part) = self.stack.last() else { return };
        let (encoding, attachment) = (part.encoding, part.attachment);
        if part.boundary.is_some() {
            return;
        }
        let mut decoded = Vec::new();
        match encoding {
            Encoding::Plain => {
                decoded.append(&mut self.line_end);
                decoded.extend_from_slice(line);
                self.line_end.extend_from_slice(end);
            }
            Encoding::Base64 => self.decode_base64(line, &mut decoded),
            Encoding::QuotedPrintable => decode_quoted(line, end, &mut decoded),
        }
        if !attachment {
            self.find_urls(&decoded);
            return;
        }
        if let Some(name) = self.name.take() {
            let name = &name[..name.len().min(MAX_NAME_OCTETS)];
            self.attachments.push(name.to_vec());
            files.open(name, Direction::ToServer);
        }
        files.append(Direction::ToServer, &decoded);
    }

    /// A part is over; whether a file is complete with it.
    fn end_body(&mut self, files: &mut Files) -> bool {
        if !self.in_body {
            self.end_field();
            return false;
        }
        self.line_end.clear();
        let attachment = self.stack.last().is_some_and(|part| part.attachment);
        let open = attachment && files.open_file(Direction::ToServer).is_some();
        if open {
            files.close(Direction::ToServer, State::Closed);
        }
        open
    }

    fn decode_base64(&mut self, line: &[u8], out: &mut Vec<u8>) {
        for &octet in line {
            let digit = match octet {
                b'A'..=b'Z' => octet - b'A',
                b'a'..=b'z' => octet - b'a' + 26,
                b'0'..=b'9' => octet - b'0' + 52,
                b'+' => 62,
                b'/' => 63,
                b'=' => {
                    // The end of a group that is not whole.
                    let group: Vec<u8> = self.digits.drain(..).collect();
                    match group[..] {
                        [a, b] => out.push(a << 2 | b >> 4),
                        [a, b, c] => out.extend([a << 2 | b >> 4, b << 4 | c >> 2]),
                        _ => {}
                    }
                    continue;
                }
                _ => continue,
            };
            self.digits.push(digit);
            if let [a, b, c, d] = self.digits[..] {
                out.extend([a << 2 | b >> 4, b << 4 | c >> 2, c << 6 | d]);
                self.digits.clear();
            }
        }
    }

    fn find_urls(&mut self, text: &[u8]) {
        const SCHEME: &[u8] = b"http://";
        if text.len() < SCHEME.len() || !text.contains(&b'/') {
            return;
        }
        let lower = text.to_ascii_lowercase();
        for at in memmem::find_iter(&lower, SCHEME) {
            let url = &lower[at + SCHEME.len()..];
            let end = url
                .iter()
                .position(|octet| !octet.is_ascii_graphic() || b"\"'<>".contains(octet))
                .unwrap_or(url.len());
            let url = &url[..end.min(MAX_URL_OCTETS)];
            if !url.is_empty() && self.urls.len() < MAX_URLS && !self.urls.iter().any(|known| known == url) {
                self.urls.push(url.to_vec());
            }
        }
    }
}

/// Quoted-printable (RFC 2045 section 6.7); a `=` at the line's end joins it with the next.
fn decode_quoted(line: &[u8], end: &[u8], out: &mut Vec<u8>) {
    let mut at = 0;
    while let Some(&octet) = line.get(at) {
        if octet != b'=' {
            out.push(octet);
            at += 1;
            continue;
        }
        let digits = line
            .get(at + 1..at + 3)
            .and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(value) => {
                out.push(value);
                at += 3;
            }
            None if at + 1 == line.len() => return,
            None => {
                out.push(octet);
                at += 1;
            }
        }
    }
    if !end.is_empty() {
        out.extend_from_slice(b"\r\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (Mime, Files) {
        let mut mime = Mime::new();
        let mut files = Files::default();
        for line in text.lines() {
            mime.line(line.as_bytes(), b"\r\n", &mut files);
        }
        mime.finish(&mut files);
        (mime, files)
    }

    #[test]
    fn attachments_are_decoded_and_named() {
        let (mime, files) = read(
            "Subject: hi\nContent-Type: multipart/mixed; boundary=\"b\"\n\n--b\nContent-Type: text/plain\n\nSee http://Evil.example/x.\n\
             --b\nContent-Disposition: attachment; filename=a.txt\nContent-Transfer-Encoding: base64\n\naGVs\nbG8=\n--b\n\
             Content-Type: text/plain; name=b.txt\n\none\ntwo\n--b--\n",
        );
        assert_eq!(mime.field("subject"), Some(&b"hi"[..]));
        assert_eq!(mime.urls, [b"evil.example/x.".to_vec()]);
        let seen: Vec<_> = files
            .files
            .iter()
            .map(|file| (file.name.as_slice(), file.size, file.state))
            .collect();
        assert_eq!(
            seen,
            [(&b"a.txt"[..], 5, State::Closed), (b"b.txt", 8, State::Closed)]
        );
    }

    #[test]
    fn a_file_grows_by_pieces_of_a_line_and_is_complete_with_its_boundary() {
        let mut mime = Mime::new();
        let mut files = Files::default();
        for line in [
            "Content-Type: multipart/mixed; boundary=b",
            "",
            "--b",
            "Content-Disposition: attachment; filename=a.txt",
            "",
        ] {
            mime.line(line.as_bytes(), b"\r\n", &mut files);
        }
        assert!(mime.takes_pieces());
        mime.line(b"on", b"", &mut files);
        assert_eq!(files.files[0].size, 2);
        mime.rest_of_line(b"e --b", b"\r\n", &mut files);
        assert_eq!((files.files[0].size, files.files[0].state), (7, State::Open));
        assert!(mime.line(b"--b--", b"\r\n", &mut files));
        assert!(!mime.finish(&mut files));
    }

    #[test]
    fn a_boundary_ends_a_field_that_changes_it() {
        // Found by `any_lines_do_not_panic`.
        read("Content-Type: multipart/x; boundary=b\nContent-Type: multipart/x; boundary=b\n a\n--b\n");
    }

    proptest::proptest! {
        #[test]
        fn any_lines_do_not_panic(text in "(Content-Type: (multipart/x; boundary=b|message/rfc822)\n|\n|--b(--)?\n|=[0-9A-G]{0,3}\n|\\PC{0,20}\n){0,40}") {
            read(&text);
        }
    }
}
