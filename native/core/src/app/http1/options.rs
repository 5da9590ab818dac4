//! What the configuration says about HTTP/1: `app-layer.protocols.http.libhtp.default-config`.

use crate::config::AppProtocol;

/// Limits of one direction's bodies, octets.
#[derive(Clone, Copy, Debug)]
pub struct BodyOptions {
    /// Octets of a body that are kept and inspected; 0 is all.
    pub limit: u64,
    /// Inspection waits for that much, or the body's end.
    pub inspect_min_size: u64,
    /// Octets inspected before are shown again up to this window.
    pub inspect_window: u64,
}

/// Everything that can be set.
#[derive(Clone, Debug)]
pub struct HttpOptions {
    /// Request and response bodies.
    pub bodies: [BodyOptions; 2],
    /// Content encodings of a response that are undone; 0 is any number.
    pub layer_limit: usize,
    /// Memory an LZMA decoder may take; 0 turns it off.
    pub lzma_memory: usize,
    /// LZMA layers.
    pub lzma_layers: usize,
    /// Octets a body may grow to before its ratio to what was sent is looked at.
    pub bomb_limit: u64,
    /// Path is decoded twice.
    pub double_decode_path: bool,
    /// Query is decoded twice.
    pub double_decode_query: bool,
    /// `http.uri` holds scheme, user and host too.
    pub uri_include_all: bool,
    /// `\` in a path is `/`.
    pub backslash_is_slash: bool,
    /// `//` in a path is `/`.
    pub compress_slashes: bool,
    /// `%2f` in a path is decoded.
    pub decode_slashes: bool,
    /// `%uXXXX` in a path is decoded.
    pub decode_u: bool,
    /// A path is lower-cased.
    pub lowercase: bool,
    /// `+` in a query is a space.
    pub plus_is_space: bool,
    /// Header lines and request lines longer than this that come in pieces are refused.
    pub field_limit: usize,
}

impl Default for HttpOptions {
    /// Suricata 7's `personality: IDS`.
    fn default() -> HttpOptions {
        HttpOptions {
            bodies: [
                BodyOptions {
                    limit: 100 * 1024,
                    inspect_min_size: 32 * 1024,
                    inspect_window: 4096,
                },
                BodyOptions {
                    limit: 100 * 1024,
                    inspect_min_size: 40 * 1024,
                    inspect_window: 16 * 1024,
                },
            ],
            layer_limit: 2,
            lzma_memory: 1 << 20,
            lzma_layers: 1,
            bomb_limit: 1 << 20,
            double_decode_path: false,
            double_decode_query: false,
            uri_include_all: false,
            backslash_is_slash: true,
            compress_slashes: true,
            decode_slashes: true,
            decode_u: true,
            lowercase: false,
            plus_is_space: false,
            field_limit: 18_000,
        }
    }
}

/// A size as configurations write it: `100kb`, `1mb`, `4096`.
pub fn size(text: &str) -> Option<u64> {
    let text = text.trim().to_ascii_lowercase();
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic() || c == ' ');
    let unit = match text[digits.len()..].trim() {
        "" | "b" => 1,
        "kb" | "kib" => 1 << 10,
        "mb" | "mib" => 1 << 20,
        "gb" | "gib" => 1 << 30,
        _ => return None,
    };
    digits.trim().parse::<u64>().ok()?.checked_mul(unit)
}

impl HttpOptions {
    /// From a protocol's configuration; what cannot be read keeps its default.
    pub fn new(config: &AppProtocol) -> HttpOptions {
        let mut options = HttpOptions::default();
        let text = |key: &str| {
            config
                .options
                .get(&format!("libhtp.default-config.{key}"))
                .or_else(|| config.options.get(key))
        };
        let octets = |key: &str, value: &mut u64| {
            if let Some(read) = text(key).and_then(|text| size(text)) {
                *value = read;
            }
        };
        for (body, side) in options.bodies.iter_mut().zip(["request", "response"]) {
            octets(&format!("{side}-body-limit"), &mut body.limit);
            octets(
                &format!("{side}-body-minimal-inspect-size"),
                &mut body.inspect_min_size,
            );
            octets(&format!("{side}-body-inspect-window"), &mut body.inspect_window);
        }
        octets("compression-bomb-limit", &mut options.bomb_limit);
        if let Some(layers) = text("response-body-decompress-layer-limit").and_then(|text| text.parse().ok())
        {
            options.layer_limit = layers;
        }
        if let Some(memory) = text("lzma-memlimit").and_then(|text| size(text)) {
            options.lzma_memory = usize::try_from(memory).unwrap_or(usize::MAX);
        }
        match text("lzma-enabled").map(String::as_str) {
            Some("yes" | "true") => options.lzma_layers = 1,
            Some("no" | "false") => options.lzma_layers = 0,
            Some(layers) => options.lzma_layers = layers.parse().unwrap_or(1),
            None => {}
        }
        for (key, flag) in [
            ("double-decode-path", &mut options.double_decode_path),
            ("double-decode-query", &mut options.double_decode_query),
            ("uri-include-all", &mut options.uri_include_all),
            ("backslash-convert-slashes", &mut options.backslash_is_slash),
            ("path-separators-compress", &mut options.compress_slashes),
            ("path-separators-decode", &mut options.decode_slashes),
            ("u-encoding-decode", &mut options.decode_u),
            ("path-convert-lowercase", &mut options.lowercase),
            ("query-plusspace-decode", &mut options.plus_is_space),
        ] {
            match text(key).map(String::as_str) {
                Some("yes" | "true" | "on" | "1") => *flag = true,
                Some("no" | "false" | "off" | "0") => *flag = false,
                _ => {}
            }
        }
        options
    }
}
