//! What is searched of EVE records. The records are hostile: any value may have any type and any size.
#![allow(missing_docs, reason = "members are named and described as in EVE")]

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::Deserialize as Derived;

/// Items looked at of one list (a DNS message can carry hundreds of questions).
const ITEMS_MAX: usize = 64;

/// Brackets in a record from which on somebody else has to look how deep it is.
const BRACKETS_MAX: usize = 400;

/// A text, or nothing where there is none or something else.
#[derive(Default)]
pub struct Text<'a>(pub Option<Cow<'a, str>>);

impl Text<'_> {
    /// The text, unless it is empty.
    pub fn get(&self) -> Option<&str> {
        self.0.as_deref().filter(|text| !text.is_empty())
    }
}

/// A whole number of 64 bits, signed (larger ones wrap), or nothing.
#[derive(Default, Clone, Copy)]
pub struct Whole(pub Option<i64>);

/// An object, or nothing.
#[derive(Default)]
pub struct One<T>(pub Option<T>);

/// An object, or the objects of a list.
pub struct Many<T>(pub Vec<T>);

impl<T> Default for Many<T> {
    fn default() -> Many<T> {
        Many(Vec::new())
    }
}

/// A text, or the one named `hash` in an object.
#[derive(Default)]
pub struct Hash<'a>(pub Text<'a>);

/// What is searched of a record.
#[derive(Derived, Default)]
#[serde(default)]
pub struct Eve<'a> {
    #[serde(borrow)]
    pub timestamp: Text<'a>,
    #[serde(borrow)]
    pub event_type: Text<'a>,
    #[serde(borrow)]
    pub src_ip: Text<'a>,
    #[serde(borrow)]
    pub dest_ip: Text<'a>,
    pub src_port: Whole,
    pub dest_port: Whole,
    #[serde(borrow)]
    pub app_proto: Text<'a>,
    #[serde(borrow)]
    pub host: Text<'a>,
    pub flow_id: Whole,
    #[serde(borrow)]
    pub community_id: Text<'a>,
    #[serde(borrow)]
    pub alert: One<Alert<'a>>,
    #[serde(borrow)]
    pub dns: Many<Dns<'a>>,
    #[serde(borrow)]
    pub tls: Many<Session<'a>>,
    #[serde(borrow)]
    pub quic: Many<Session<'a>>,
    #[serde(borrow)]
    pub http: Many<Http<'a>>,
    #[serde(borrow)]
    pub fileinfo: Many<File<'a>>,
    #[serde(borrow)]
    pub files: Many<File<'a>>,
}

/// `alert`.
#[derive(Derived, Default)]
#[serde(default)]
pub struct Alert<'a> {
    pub signature_id: Whole,
    #[serde(borrow)]
    pub signature: Text<'a>,
}

/// `dns`, of version 2 and 3.
#[derive(Derived, Default)]
#[serde(default)]
pub struct Dns<'a> {
    #[serde(borrow)]
    pub rrname: Text<'a>,
    #[serde(borrow)]
    pub queries: Many<Question<'a>>,
    #[serde(borrow)]
    pub query: Many<Question<'a>>,
}

/// A question of a DNS message.
#[derive(Derived, Default)]
#[serde(default)]
pub struct Question<'a> {
    #[serde(borrow)]
    pub rrname: Text<'a>,
}

/// `tls`, `quic`.
#[derive(Derived, Default)]
#[serde(default)]
pub struct Session<'a> {
    #[serde(borrow)]
    pub sni: Text<'a>,
    #[serde(borrow)]
    pub ja3: Hash<'a>,
    #[serde(borrow)]
    pub ja3s: Hash<'a>,
    #[serde(borrow)]
    pub ja4: Hash<'a>,
    #[serde(borrow)]
    pub fingerprint: Text<'a>,
}

/// `http`.
#[derive(Derived, Default)]
#[serde(default)]
pub struct Http<'a> {
    #[serde(borrow)]
    pub hostname: Text<'a>,
    #[serde(borrow)]
    pub url: Text<'a>,
}

/// `fileinfo`, and each of `files`.
#[derive(Derived, Default)]
#[serde(default)]
pub struct File<'a> {
    #[serde(borrow)]
    pub md5: Text<'a>,
    #[serde(borrow)]
    pub sha1: Text<'a>,
    #[serde(borrow)]
    pub sha256: Text<'a>,
}

impl<'a> Eve<'a> {
    /// Read a record; None for what is no JSON object, or one that only somebody more patient can read (a member
    /// twice, lone surrogates in what is searched, hundreds of levels).
    pub fn read(raw: &'a [u8]) -> Option<Eve<'a>> {
        let text = std::str::from_utf8(raw).ok()?;
        if !text.trim_start().starts_with('{') {
            return None;
        }
        if raw.len() > BRACKETS_MAX && memchr::memchr2_iter(b'{', b'[', raw).nth(BRACKETS_MAX).is_some() {
            return None;
        }
        serde_json::from_str(text).ok()
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyVisitor).map(|any| match any {
            Any::Text(text) => Text(Some(text)),
            _ => Text(None),
        })
    }
}

impl<'de> Deserialize<'de> for Whole {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyVisitor).map(|any| match any {
            Any::Whole(number) => Whole(Some(number)),
            _ => Whole(None),
        })
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Hash<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyVisitor).map(|any| match any {
            Any::Text(text) | Any::Hash(Text(Some(text))) => Hash(Text(Some(text))),
            _ => Hash(Text(None)),
        })
    }
}

/// Any value, of which texts, whole numbers and objects with a hash are told apart.
enum Any<'a> {
    Text(Cow<'a, str>),
    Whole(i64),
    Hash(Text<'a>),
    Other,
}

struct AnyVisitor;

#[derive(Derived, Default)]
#[serde(default)]
struct Hashed<'a> {
    #[serde(borrow)]
    hash: Text<'a>,
}

impl<'de> Visitor<'de> for AnyVisitor {
    type Value = Any<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Any<'de>, E> {
        Ok(Any::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Any<'de>, E> {
        Ok(Any::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Any<'de>, E> {
        Ok(Any::Whole(number))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Any<'de>, E> {
        Ok(Any::Whole(number as i64))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Any<'de>, E> {
        Ok(Any::Other)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Any<'de>, E> {
        Ok(Any::Other)
    }

    fn visit_unit<E>(self) -> Result<Any<'de>, E> {
        Ok(Any::Other)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Any<'de>, A::Error> {
        Hashed::deserialize(MapAccessDeserializer::new(map)).map(|found| Any::Hash(found.hash))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Any<'de>, A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Any::Other)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for One<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let visitor = ObjectVisitor {
            depth: 0,
            of: PhantomData,
        };
        deserializer
            .deserialize_any(visitor)
            .map(|mut found: Vec<T>| One(found.pop()))
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Many<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer
            .deserialize_any(ObjectVisitor {
                depth: 1,
                of: PhantomData,
            })
            .map(Many)
    }
}

/// An object, and with `depth` also the objects of a list; anything else is passed over.
struct ObjectVisitor<T> {
    depth: usize,
    of: PhantomData<T>,
}

impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_str<E>(self, _: &str) -> Result<Vec<T>, E> {
        Ok(Vec::new())
    }

    fn visit_i64<E>(self, _: i64) -> Result<Vec<T>, E> {
        Ok(Vec::new())
    }

    fn visit_u64<E>(self, _: u64) -> Result<Vec<T>, E> {
        Ok(Vec::new())
    }

    fn visit_f64<E>(self, _: f64) -> Result<Vec<T>, E> {
        Ok(Vec::new())
    }

    fn visit_bool<E>(self, _: bool) -> Result<Vec<T>, E> {
        Ok(Vec::new())
    }

    fn visit_unit<E>(self) -> Result<Vec<T>, E> {
        Ok(Vec::new())
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Vec<T>, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map)).map(|object| vec![object])
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Vec<T>, A::Error> {
        let mut found = Vec::new();
        if self.depth > 0 {
            for _ in 0..ITEMS_MAX {
                match items.next_element::<One<T>>()? {
                    Some(One(Some(object))) => found.push(object),
                    Some(One(None)) => {}
                    None => return Ok(found),
                }
            }
        }
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(found)
    }
}
