//! JSON written straight into a buffer: no tree, no allocation per field.
//!
//! The caller keeps the shape right (open what it closes). Text is octets an attacker chose: valid UTF-8 stays as it
//! is; in text that is not, octets beyond ASCII become `\xXX` the way Suricata's writer shows them, so a record is always
//! valid JSON.

use std::io::Write;

/// Appends JSON to a buffer.
#[derive(Debug)]
pub struct Json<'a> {
    out: &'a mut Vec<u8>,
    /// The next member or element needs a comma before it.
    comma: bool,
}

impl<'a> Json<'a> {
    /// Start writing at the end of `out`.
    pub fn new(out: &'a mut Vec<u8>) -> Json<'a> {
        Json { out, comma: false }
    }

    fn separate(&mut self) {
        if self.comma {
            self.out.push(b',');
        }
        self.comma = true;
    }

    /// Keys are ours: they need no escaping.
    fn key(&mut self, key: &str) {
        self.separate();
        self.out.push(b'"');
        self.out.extend_from_slice(key.as_bytes());
        self.out.extend_from_slice(b"\":");
    }

    /// A key that is not ours: escaped.
    fn foreign_key(&mut self, key: &str) {
        self.separate();
        text(self.out, key.as_bytes());
        self.out.push(b':');
    }

    /// `"key":[` with a key that rules or traffic chose.
    pub fn open_array_named(&mut self, key: &str) {
        self.foreign_key(key);
        self.out.push(b'[');
        self.comma = false;
    }

    /// A number member with such a key.
    pub fn num_named(&mut self, key: &str, value: impl Into<i128>) {
        self.foreign_key(key);
        integer(self.out, value.into());
    }

    /// A text member with such a key.
    pub fn str_named(&mut self, key: &str, value: impl AsRef<[u8]>) {
        self.foreign_key(key);
        text(self.out, value.as_ref());
    }

    /// `{`, as the top value or an array element.
    pub fn open(&mut self) {
        self.separate();
        self.out.push(b'{');
        self.comma = false;
    }

    /// `"key":{`
    pub fn open_object(&mut self, key: &str) {
        self.key(key);
        self.out.push(b'{');
        self.comma = false;
    }

    /// `"key":[`
    pub fn open_array(&mut self, key: &str) {
        self.key(key);
        self.out.push(b'[');
        self.comma = false;
    }

    /// `}`
    pub fn close_object(&mut self) {
        self.out.push(b'}');
        self.comma = true;
    }

    /// `]`
    pub fn close_array(&mut self) {
        self.out.push(b']');
        self.comma = true;
    }

    /// A text member; octets that are not UTF-8 are written as `\xXX`.
    pub fn str(&mut self, key: &str, value: impl AsRef<[u8]>) {
        self.key(key);
        text(self.out, value.as_ref());
    }

    /// A number member.
    pub fn num(&mut self, key: &str, value: impl Into<i128>) {
        self.key(key);
        integer(self.out, value.into());
    }

    /// A boolean member.
    pub fn bool(&mut self, key: &str, value: bool) {
        self.key(key);
        self.out.extend_from_slice(if value { b"true" } else { b"false" });
    }

    /// A member formatted by `Display`; its text must need no escaping (addresses, times).
    pub fn display(&mut self, key: &str, value: impl std::fmt::Display) {
        self.key(key);
        self.out.push(b'"');
        // Writing to a Vec cannot fail.
        let _ = write!(self.out, "{value}");
        self.out.push(b'"');
    }

    /// A text array element.
    pub fn str_element(&mut self, value: impl AsRef<[u8]>) {
        self.separate();
        text(self.out, value.as_ref());
    }

    /// A number array element.
    pub fn num_element(&mut self, value: impl Into<i128>) {
        self.separate();
        integer(self.out, value.into());
    }

    /// A member whose value is JSON already.
    pub fn raw(&mut self, key: &str, json: &[u8]) {
        self.key(key);
        self.out.extend_from_slice(json);
    }
}

fn integer(out: &mut Vec<u8>, value: i128) {
    let Ok(mut left) = u64::try_from(value) else {
        let _ = write!(out, "{value}");
        return;
    };
    // At most 20 digits, from the last one on.
    let mut digits = [0u8; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (left % 10) as u8;
        left /= 10;
        if left == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

const HEX: &[u8; 16] = b"0123456789abcdef";

/// Printable ASCII that needs no escaping: nearly all text there is.
fn is_plain(value: &[u8]) -> bool {
    value
        .iter()
        .all(|octet| matches!(octet, 0x20..=0x7e) && !matches!(octet, b'"' | b'\\'))
}

fn text(out: &mut Vec<u8>, value: &[u8]) {
    out.push(b'"');
    if is_plain(value) {
        out.extend_from_slice(value);
        out.push(b'"');
        return;
    }
    // What is not text as a whole is shown octet by octet, however much of it might be text.
    let is_text = std::str::from_utf8(value).is_ok();
    let mut start = 0;
    for (at, &octet) in value.iter().enumerate() {
        let escape: &[u8] = match octet {
            b'"' => b"\\\"",
            b'\\' => b"\\\\",
            b'\n' => b"\\n",
            b'\r' => b"\\r",
            b'\t' => b"\\t",
            0x08 => b"\\b",
            0x0c => b"\\f",
            0..=0x1f | 0x7f => b"\\u00",
            0x80.. if !is_text => b"\\\\x",
            _ => continue,
        };
        out.extend_from_slice(&value[start..at]);
        start = at + 1;
        out.extend_from_slice(escape);
        if matches!(escape, b"\\u00" | b"\\\\x") {
            out.push(HEX[usize::from(octet >> 4)]);
            out.push(HEX[usize::from(octet & 15)]);
        }
    }
    out.extend_from_slice(&value[start..]);
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_octets_become_valid_json() {
        let octets: Vec<u8> = (0..=255).collect();
        let mut out = Vec::new();
        let mut json = Json::new(&mut out);
        json.open();
        json.str("k", &octets);
        json.num("n", -5i64);
        json.num("zero", 0u8);
        json.num("most", u64::MAX);
        json.open_array("a");
        json.str_element("x");
        json.num_element(7u32);
        json.close_array();
        json.close_object();
        let value: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(value["n"], -5);
        assert_eq!((&value["zero"], &value["most"]), (&0.into(), &u64::MAX.into()));
        assert_eq!(value["a"][1], 7);
        assert!(value["k"].as_str().unwrap().ends_with("\\xfe\\xff"));
    }

    #[test]
    fn text_stays_and_what_is_not_text_as_a_whole_is_shown_octet_by_octet() {
        let mut out = Vec::new();
        let mut json = Json::new(&mut out);
        json.open();
        json.str("text", "d\u{71e}\u{1}");
        json.str("octets", b"d\xdc\x9e\xff\x01");
        json.close_object();
        let value: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(value["text"], "d\u{71e}\u{1}");
        assert_eq!(value["octets"], "d\\xdc\\x9e\\xff\u{1}");
    }
}
