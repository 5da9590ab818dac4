//! Which content encodings a message's field names: decoders for them, the outermost last as they were applied.

use super::options::HttpOptions;
use crate::app::coding::{Encoding, Layer};

/// The encoding that a whole value, or a token of one, names.
fn named(value: &[u8]) -> Option<Encoding> {
    let is = |names: [&[u8]; 2]| names.iter().any(|name| value.eq_ignore_ascii_case(name));
    if is([b"gzip", b"x-gzip"]) {
        Some(Encoding::Gzip)
    } else if is([b"deflate", b"x-deflate"]) {
        Some(Encoding::Deflate)
    } else if is([b"lzma", b"lzma"]) {
        Some(Encoding::Lzma)
    } else if is([b"br", b"br"]) {
        Some(Encoding::Brotli)
    } else {
        None
    }
}

fn layer(encoding: Encoding, options: &HttpOptions) -> Layer {
    let lzma = if options.lzma_layers > 0 {
        options.lzma_memory
    } else {
        0
    };
    Layer::new(encoding, lzma)
}

/// The decoder for a request's body: one encoding, or none.
pub fn of_request(value: &[u8], options: &HttpOptions) -> Option<Layer> {
    Some(layer(named(value)?, options))
}

/// Decoders for a response's body, and the events its field is worth.
pub fn of_response(value: &[u8], options: &HttpOptions) -> (Vec<Layer>, Vec<&'static str>) {
    let value: Vec<u8> = value.iter().copied().filter(|&octet| octet != 0).collect();
    let (mut layers, mut events) = (Vec::new(), Vec::new());
    if let Some(encoding) = named(&value) {
        layers.push(layer(encoding, options));
        if encoding == Encoding::Brotli {
            // libhtp does not know it.
            events.push("ABNORMAL_CE_HEADER");
        }
        return (layers, events);
    }
    if value.eq_ignore_ascii_case(b"inflate") {
        return (layers, events);
    }
    for (at, token) in Tokens(&value).enumerate() {
        if options.layer_limit != 0 && at >= options.layer_limit {
            events.push("TOO_MANY_ENCODING_LAYERS");
            break;
        }
        let (encoding, regular): (_, [&[u8]; 2]) = if contains_nocase(token, b"gzip") {
            (Some(Encoding::Gzip), [b"gzip", b"x-gzip"])
        } else if contains_nocase(token, b"deflate") {
            (Some(Encoding::Deflate), [b"deflate", b"x-deflate"])
        } else if token == b"lzma" {
            if at + 1 > options.lzma_layers {
                events.push("COMPRESSION_BOMB");
                break;
            }
            (Some(Encoding::Lzma), [b"lzma", b"lzma"])
        } else {
            let brotli = token == b"br";
            (brotli.then_some(Encoding::Brotli), [b"inflate", b"none"])
        };
        if !regular.contains(&token) {
            events.push("ABNORMAL_CE_HEADER");
        }
        layers.extend(encoding.map(|encoding| layer(encoding, options)));
    }
    (layers, events)
}

/// Tokens between commas and spaces, advancing by the length of each token and one, whatever was skipped before it: what
/// is left over makes tokens of its own.
struct Tokens<'a>(&'a [u8]);

impl<'a> Iterator for Tokens<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let separates = |octet: &u8| b", ".contains(octet);
        let start = self.0.iter().position(|octet| !separates(octet))?;
        let token = &self.0[start..];
        let token = &token[..token.iter().position(separates).unwrap_or(token.len())];
        self.0 = self.0.get(token.len() + 1..).unwrap_or_default();
        Some(token)
    }
}

/// Whether `wanted` is in `text`, in any case of letters.
pub fn contains_nocase(text: &[u8], wanted: &[u8]) -> bool {
    text.windows(wanted.len())
        .any(|part| part.eq_ignore_ascii_case(wanted))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(value: &str) -> (usize, Vec<&'static str>) {
        let (layers, events) = of_response(value.as_bytes(), &HttpOptions::default());
        (layers.len(), events)
    }

    #[test]
    fn a_field_names_one_encoding_or_several() {
        assert_eq!(of("gzip"), (1, vec![]));
        assert_eq!(of("GZip"), (1, vec![]));
        assert_eq!(of("inflate"), (0, vec![]));
        assert_eq!(of("deflate, gzip"), (2, vec![]));
        assert_eq!(of("gzip,bogus"), (1, vec!["ABNORMAL_CE_HEADER"]));
        assert_eq!(of("br"), (1, vec!["ABNORMAL_CE_HEADER"]));
        assert_eq!(of("gzip,gzip,gzip"), (2, vec!["TOO_MANY_ENCODING_LAYERS"]));
        assert!(of_request(b"x-gzip", &HttpOptions::default()).is_some());
        assert!(of_request(b"gzip, br", &HttpOptions::default()).is_none());
    }

    #[test]
    fn lzma_is_undone_as_often_as_the_configuration_allows() {
        assert_eq!(of("lzma, lzma"), (1, vec!["COMPRESSION_BOMB"]));
        let options = HttpOptions {
            lzma_layers: 0,
            ..HttpOptions::default()
        };
        let (layers, events) = of_response(b"gzip, lzma", &options);
        assert_eq!((layers.len(), events), (1, vec!["COMPRESSION_BOMB"]));
    }
}
