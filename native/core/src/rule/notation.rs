//! How some buffers are written: hashes in lower case, serial numbers in upper case, the host in lower case.
//!
//! Contents are brought to that case where Suricata does so, and refused where they can never match. Transforms change
//! what a buffer is, so that nothing is known of one with any.

use super::builder::Fault;
use super::chain::{Condition, Content};
use super::signature::BufferGroup;

/// Octets of an MD5 in hexadecimal.
const MD5_OCTETS: usize = 32;
/// Octets of a SHA-1 in hexadecimal with a colon between each two digits.
const FINGERPRINT_OCTETS: usize = 59;

/// How a buffer is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Notation {
    /// An MD5 in lower case; the first content must be a whole one.
    Md5,
    /// The same, every content, digits only.
    Md5Digits,
    /// The same, but contents stay as they are.
    Md5AsIs,
    /// `4a:a3:...`, lower case.
    Fingerprint,
    /// `4A:A3:...`, upper case.
    Serial,
    /// A host name in lower case.
    Host,
    /// An HTTP method, without blanks around it.
    Method,
}

impl Notation {
    fn of(buffer: &str) -> Option<Notation> {
        match buffer {
            "ja3.hash" | "ja3s.hash" => Some(Notation::Md5),
            "ssh.hassh" | "ssh.hassh.server" => Some(Notation::Md5Digits),
            "quic.cyu.hash" => Some(Notation::Md5AsIs),
            "tls.cert_fingerprint" => Some(Notation::Fingerprint),
            "tls.cert_serial" => Some(Notation::Serial),
            "http.host" => Some(Notation::Host),
            "http.method" => Some(Notation::Method),
            _ => None,
        }
    }

    /// Bring a content to the case of the buffer.
    fn fold(self, content: &mut Content) {
        match self {
            Notation::Md5 | Notation::Md5Digits | Notation::Fingerprint => {
                content.change(<[u8]>::make_ascii_lowercase);
            }
            // Where case does not matter the pattern is lower case already, and compared as such.
            Notation::Serial if !content.nocase => content.change(<[u8]>::make_ascii_uppercase),
            _ => {}
        }
    }

    /// Whether a content can match; `first`: it is the first of the buffer.
    fn check(self, content: &Content, first: bool) -> Result<(), Fault> {
        let pattern = &*content.pattern;
        let md5 = |what: &str| {
            if pattern.len() == MD5_OCTETS {
                return Ok(());
            }
            Err(Fault::hinted(
                format!(
                    "{what} has {MD5_OCTETS} digits, the content has {}",
                    pattern.len()
                ),
                "write the whole hash",
            ))
        };
        match self {
            Notation::Md5 if first => md5("a JA3 hash"),
            Notation::Md5Digits | Notation::Md5AsIs => {
                md5("the hash")?;
                if !pattern.iter().all(u8::is_ascii_hexdigit) {
                    return Err("the hash is of hexadecimal digits, the content is not".into());
                }
                Ok(())
            }
            Notation::Fingerprint if pattern.len() != FINGERPRINT_OCTETS || !pattern.contains(&b':') => {
                Err(Fault::hinted(
                    format!("a fingerprint has {FINGERPRINT_OCTETS} characters, the content has none such"),
                    "write all 20 octets with colons between them: 4a:a3:...",
                ))
            }
            Notation::Serial if first && pattern.len() > 2 && !pattern.contains(&b':') => Err(Fault::hinted(
                "a serial number has colons between its octets, the content has none",
                "write it as 4A:A3:...",
            )),
            Notation::Host if content.nocase => Err(Fault::hinted(
                "the host is in lower case already",
                "leave nocase out",
            )),
            Notation::Host if pattern.iter().any(u8::is_ascii_uppercase) => Err(Fault::hinted(
                "the host is in lower case, the content is not",
                "write it in lower case",
            )),
            Notation::Method => {
                let blank = |octet: Option<&u8>| matches!(octet, Some(b' ' | b'\t'));
                if blank(pattern.first()) || blank(pattern.last()) {
                    return Err("a method has no blanks before or behind it".into());
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

/// Bring the contents of a buffer to its notation.
///
/// # Errors
/// A content that can never match.
pub fn apply(group: &mut BufferGroup) -> Result<(), Fault> {
    let Some(notation) = Notation::of(group.name).filter(|_| group.transforms.is_empty()) else {
        return Ok(());
    };
    let contents = group
        .chain
        .conditions
        .iter_mut()
        .filter_map(|condition| match condition {
            Condition::Content(content) => Some(content),
            _ => None,
        });
    for (at, content) in contents.enumerate() {
        notation.fold(content);
        notation.check(content, at == 0)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::config::Config;
    use crate::rule::context::NoFiles;
    use crate::rule::load::load;

    fn loads(protocol: &str, options: &str) -> bool {
        let rule = format!("alert {protocol} any any -> any any ({options} sid:1;)");
        let loaded = load(
            &Config::default(),
            &[("r.rules".into(), rule)],
            Box::new(NoFiles),
            ".",
        );
        loaded.errors.is_empty()
    }

    #[test]
    fn contents_that_can_never_match_are_refused() {
        let md5 = "E7D705A3286E19EA42F587B344EE6865";
        let sha1 = "90:86:A4:3B:f5:cf:1b:2e:4e:f7:97:96:f9:de:ba:b9:66:35:86:3F";
        for (protocol, options, wanted) in [
            ("tls", r#"ja3.hash; content:"a";"#.to_string(), false),
            ("tls", format!(r#"ja3.hash; content:"{md5}"; content:"a";"#), true),
            ("ssh", format!(r#"ssh.hassh; content:"{md5}";"#), true),
            ("ssh", format!(r#"ssh.hassh; content:"z{}";"#, &md5[1..]), false),
            ("quic", r#"quic.cyu.hash; content:"a";"#.into(), false),
            (
                "tls",
                format!(r#"tls.cert_fingerprint; content:"{sha1}"; nocase;"#),
                true,
            ),
            ("tls", r#"tls.fingerprint:"90:86";"#.into(), false),
            (
                "tls",
                r#"tls.cert_fingerprint; to_sha1; content:"90:86";"#.into(),
                true,
            ),
            ("tls", r#"tls.cert_serial; content:"ab";"#.into(), true),
            ("tls", r#"tls.cert_serial; content:"abcd";"#.into(), false),
            ("http", r#"http.host; content:"Abc";"#.into(), false),
            ("http", r#"http.method; content:"GET ";"#.into(), false),
            ("http", r#"http.header.raw; content:"a";"#.into(), false),
            (
                "http",
                r#"flow:to_server; http.header.raw; content:"a";"#.into(),
                true,
            ),
        ] {
            assert_eq!(loads(protocol, &options), wanted, "{options}");
        }
    }
}
