//! A JSON text as a tree that borrows from it: what a record is read into and a document is built of.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// Members of an object in the order of their first appearance, each name once.
pub type Members<'a> = Vec<(Cow<'a, str>, Value<'a>)>;

/// One JSON value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value<'a> {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number written without fraction or exponent, of at most 64 bits where it was read.
    Whole(i128),
    /// Any other number.
    Float(f64),
    /// A text.
    Text(Cow<'a, str>),
    /// An array.
    List(Vec<Value<'a>>),
    /// An object.
    Object(Members<'a>),
}

/// Objects of so many members are searched member by member for names that occur twice.
const FEW_MEMBERS: usize = 24;

impl<'a> Value<'a> {
    /// Read a JSON text (RFC 8259, UTF-8, nested 127 deep at most). Of a name that occurs twice the last value counts.
    ///
    /// # Errors
    /// The text is no JSON, or holds what this tree cannot: lone surrogates, numbers beyond a double.
    pub fn read(text: &'a [u8]) -> Result<Value<'a>, serde_json::Error> {
        serde_json::from_slice(text)
    }

    /// The text, if it is one.
    pub fn text(&self) -> Option<&str> {
        match self {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The whole number, if it is one.
    pub fn whole(&self) -> Option<i128> {
        match self {
            Value::Whole(number) => Some(*number),
            _ => None,
        }
    }

    /// The members, if it is an object.
    pub fn members(&self) -> Option<&Members<'a>> {
        match self {
            Value::Object(members) => Some(members),
            _ => None,
        }
    }

    /// Append it as JSON without white space: `orjson`'s and `serde_json`'s way of writing.
    pub fn write(&self, out: &mut Vec<u8>) {
        match self {
            Value::Null => out.extend_from_slice(b"null"),
            Value::Bool(value) => out.extend_from_slice(if *value { b"true" } else { b"false" }),
            Value::Whole(number) => plain(out, number),
            Value::Float(number) => plain(out, number),
            Value::Text(text) => plain(out, text.as_ref()),
            Value::List(values) => {
                out.push(b'[');
                for (place, value) in values.iter().enumerate() {
                    if place > 0 {
                        out.push(b',');
                    }
                    value.write(out);
                }
                out.push(b']');
            }
            Value::Object(members) => {
                out.push(b'{');
                for (place, (name, value)) in members.iter().enumerate() {
                    if place > 0 {
                        out.push(b',');
                    }
                    plain(out, name.as_ref());
                    out.push(b':');
                    value.write(out);
                }
                out.push(b'}');
            }
        }
    }
}

fn plain<T: serde::Serialize + ?Sized>(out: &mut Vec<u8>, value: &T) {
    // Writing a scalar to a Vec cannot fail.
    let _ = serde_json::to_writer(out, value);
}

/// The value of a member.
pub fn get<'r, 'a>(members: &'r Members<'a>, name: &str) -> Option<&'r Value<'a>> {
    members
        .iter()
        .find(|(known, _)| known == name)
        .map(|(_, value)| value)
}

/// Give a member this value, in its place if it is there.
pub fn set<'a>(members: &mut Members<'a>, name: &'static str, value: Value<'a>) {
    match members.iter_mut().find(|(known, _)| known == name) {
        Some((_, known)) => *known = value,
        None => members.push((Cow::Borrowed(name), value)),
    }
}

/// Change the members of an object within, which is made if it is not there.
pub fn within<'a>(members: &mut Members<'a>, name: &'static str, change: impl FnOnce(&mut Members<'a>)) {
    let place = members
        .iter()
        .position(|(known, _)| known == name)
        .unwrap_or_else(|| {
            members.push((Cow::Borrowed(name), Value::Null));
            members.len() - 1
        });
    let mut inner = match std::mem::replace(&mut members[place].1, Value::Null) {
        Value::Object(inner) => inner,
        _ => Members::new(),
    };
    change(&mut inner);
    members[place].1 = Value::Object(inner);
}

impl<'de: 'a, 'a> Deserialize<'de> for Value<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Value<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<Value<'de>, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value<'de>, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value<'de>, E> {
        Ok(Value::Whole(value.into()))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value<'de>, E> {
        Ok(Value::Whole(value.into()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value<'de>, E> {
        Ok(Value::Float(value))
    }

    fn visit_borrowed_str<E: Error>(self, value: &'de str) -> Result<Value<'de>, E> {
        Ok(Value::Text(Cow::Borrowed(value)))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value<'de>, E> {
        Ok(Value::Text(Cow::Owned(value.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value<'de>, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = access.next_element()? {
            values.push(value);
        }
        Ok(Value::List(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value<'de>, A::Error> {
        let mut members = Members::new();
        while let Some((Name(name), value)) = access.next_entry()? {
            members.push((name, value));
        }
        Ok(Value::Object(each_once(members)))
    }
}

/// Each name once, where it was first, with the value it had last. A record may have any number of names.
fn each_once(members: Members<'_>) -> Members<'_> {
    let distinct = if members.len() <= FEW_MEMBERS {
        let repeats = |place: usize| members[..place].iter().any(|(name, _)| *name == members[place].0);
        !(1..members.len()).any(repeats)
    } else {
        false
    };
    if distinct {
        return members;
    }
    let mut places: HashMap<Cow<'_, str>, usize> = HashMap::with_capacity(members.len());
    let mut kept: Members<'_> = Vec::with_capacity(members.len());
    for (name, value) in members {
        match places.get(&name) {
            Some(&place) => kept[place].1 = value,
            None => {
                places.insert(name.clone(), kept.len());
                kept.push((name, value));
            }
        }
    }
    kept
}

struct Name<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Name<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(NameReader)
    }
}

struct NameReader;

impl<'de> Visitor<'de> for NameReader {
    type Value = Name<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a name")
    }

    fn visit_borrowed_str<E: Error>(self, value: &'de str) -> Result<Name<'de>, E> {
        Ok(Name(Cow::Borrowed(value)))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Name<'de>, E> {
        Ok(Name(Cow::Owned(value.to_owned())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(text: &str) -> String {
        let mut out = Vec::new();
        Value::read(text.as_bytes()).unwrap().write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn what_is_written_plainly_is_written_back_the_same() {
        for text in [
            r#"{"a":[1,-2,1.5,1e-7,true,false,null,"é\n\\\""],"b":{},"c":[]}"#,
            "18446744073709551615",
            "-9223372036854775808",
            "0.1",
            "\"\u{7f}\\u0001\"",
        ] {
            assert_eq!(written(text), text);
        }
        assert_eq!(written("\"\\u0041\\/\""), "\"A/\"");
        assert_eq!(written(" [ 1.0e2 ] "), "[100.0]");
        assert_eq!(written("18446744073709551616"), "1.8446744073709552e+19");
    }

    #[test]
    fn of_a_name_that_occurs_twice_the_last_value_counts_in_the_first_place() {
        assert_eq!(written(r#"{"a":1,"b":2,"a":3}"#), r#"{"a":3,"b":2}"#);
        let many: Vec<String> = (0..30_000).map(|n| format!(r#""k{}":{n}"#, n % 15_000)).collect();
        let text = written(&format!("{{{}}}", many.join(",")));
        assert!(text.starts_with(r#"{"k0":15000,"k1":15001,"#));
    }

    #[test]
    fn what_the_tree_cannot_hold_is_refused() {
        let deep = format!("{}{}", "[".repeat(5000), "]".repeat(5000));
        for text in [r#""\ud800""#, "1e400", "NaN", "", "{", deep.as_str()] {
            assert!(Value::read(text.as_bytes()).is_err(), "{text:.20}");
        }
        assert!(Value::read(b"\"\xed\xa0\x80\"").is_err());
    }
}
