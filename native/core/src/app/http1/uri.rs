//! A request's URI, taken apart and made comparable: percent and `%u` decoding, slashes, dot segments, overlong UTF-8.
//!
//! What a server would make of a broken URI differs from server to server; this follows the "IDS" view that rules are
//! written against: decode as much as any server would, keep what cannot be decoded.

use super::options::HttpOptions;

/// Shown for what has no single-octet counterpart.
const REPLACEMENT: u8 = b'?';

/// The parts of a URI as sent.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct UriParts<'a> {
    /// Before `:`.
    pub scheme: Option<&'a [u8]>,
    /// User and password, with the `@` left out.
    pub credentials: Option<&'a [u8]>,
    /// Host, brackets included.
    pub host: Option<&'a [u8]>,
    /// Port, as text.
    pub port: Option<&'a [u8]>,
    /// Path.
    pub path: Option<&'a [u8]>,
    /// After `?`.
    pub query: Option<&'a [u8]>,
    /// After `#`.
    pub fragment: Option<&'a [u8]>,
}

fn position(octets: &[u8], wanted: &[u8]) -> Option<usize> {
    octets.iter().position(|octet| wanted.contains(octet))
}

/// Take a URI apart.
pub fn split(uri: &[u8]) -> UriParts<'_> {
    let mut parts = UriParts::default();
    let end = uri
        .iter()
        .rposition(|&octet| octet != b' ')
        .map_or(0, |last| last + 1);
    let mut rest = &uri[..end];
    if rest.is_empty() {
        return parts;
    }
    if rest[0] != b'/' {
        if let Some(colon) = position(rest, b":") {
            parts.scheme = Some(&rest[..colon]);
            rest = &rest[colon + 1..];
        }
    }
    if parts.scheme.is_some() && rest.len() > 2 && rest.starts_with(b"//") && rest[2] != b'/' {
        let authority = &rest[2..];
        let len = position(authority, b"?/#").unwrap_or(authority.len());
        rest = &authority[len..];
        let mut host = &authority[..len];
        if let Some(at) = position(host, b"@") {
            parts.credentials = Some(&host[..at]);
            host = &host[at + 1..];
        }
        if host.first() == Some(&b'[') {
            if let Some(bracket) = position(host, b"]") {
                let (name, after) = host.split_at(bracket + 1);
                parts.port = position(after, b":").map(|colon| &after[colon + 1..]);
                host = name;
            }
        } else if let Some(colon) = position(host, b":") {
            parts.port = Some(&host[colon + 1..]);
            host = &host[..colon];
        }
        parts.host = Some(host);
    }
    let len = position(rest, b"?#").unwrap_or(rest.len());
    parts.path = Some(&rest[..len]);
    rest = &rest[len..];
    if rest.first() == Some(&b'?') {
        let len = position(rest, b"#").unwrap_or(rest.len());
        parts.query = Some(&rest[1..len]);
        rest = &rest[len..];
    }
    if rest.first() == Some(&b'#') {
        parts.fragment = Some(&rest[1..]);
    }
    parts
}

fn digit(octet: u8) -> u8 {
    if octet >= b'A' {
        ((octet & 0xdf).wrapping_sub(b'A')).wrapping_add(10)
    } else {
        octet.wrapping_sub(b'0')
    }
}

fn hex(high: u8, low: u8) -> u8 {
    digit(high).wrapping_mul(16).wrapping_add(digit(low))
}

/// The octet that stands for a code point where there is only one octet to stand for it ("best fit").
fn best_fit(code: u32) -> u8 {
    match code {
        0..=0xff => code as u8,
        // Latin Extended-A, without its marks.
        0x100..=0x17f => LATIN_EXTENDED_A[(code - 0x100) as usize],
        0x2010..=0x2011 => b'-',
        0x2032 | 0x2035 => b'\'',
        0x2044 | 0x2215 => b'/',
        0x2216 => b'\\',
        0x2223 => b'|',
        0x2236 => b':',
        0x223c => b'~',
        0x2303 | 0x02c4 | 0x02c6 => b'^',
        0x3000 => b' ',
        0x3008 => b'<',
        0x3009 => b'>',
        0x301a => b'[',
        0x301b => b']',
        // Full-width forms.
        0xff01..=0xff5e => (code - 0xff01 + 0x21) as u8,
        _ => REPLACEMENT,
    }
}

/// U+0100 to U+017F without their marks.
const LATIN_EXTENDED_A: &[u8; 128] = b"AaAaAaCcCcCcCcDd\xd0dEeEeEeEeEeGgGgGgGgHhHhIiIiIiIiIi??JjKk?LlLlLl??LlNnNnNn???OoOoOo\x8c\x9cRrRrRrSsSsSs\x8a\x9aTtTtTtUuUuUuUuUuUuWwYy\x9fZzZz\x8e\x9e?";

/// Decode a path: escapes, backslashes, doubled slashes.
fn decode_path(path: &[u8], options: &HttpOptions, out: &mut Vec<u8>) {
    let mut at = 0;
    let mut slash = false;
    while let Some(&octet) = path.get(at) {
        let mut c = octet;
        let mut step = 1;
        if octet == b'%' && at + 2 < path.len() {
            let (first, second) = (path[at + 1], path[at + 2]);
            if options.decode_u && first.eq_ignore_ascii_case(&b'u') {
                if let Some(digits) = path.get(at + 2..at + 6) {
                    if digits.iter().all(u8::is_ascii_hexdigit) {
                        let code = u16::from_be_bytes([hex(digits[0], digits[1]), hex(digits[2], digits[3])]);
                        c = best_fit(u32::from(code));
                        step = 6;
                    }
                }
            } else if first.is_ascii_hexdigit() && second.is_ascii_hexdigit() {
                c = hex(first, second);
                step = 3;
                if (c == b'/' || (options.backslash_is_slash && c == b'\\')) && !options.decode_slashes {
                    c = b'%';
                    step = 1;
                }
            }
        }
        at += step;
        if c == b'\\' && options.backslash_is_slash {
            c = b'/';
        }
        if options.lowercase {
            c = c.to_ascii_lowercase();
        }
        if options.compress_slashes && c == b'/' && slash {
            continue;
        }
        slash = c == b'/';
        out.push(c);
    }
}

/// UTF-8 (overlong forms too) becomes one octet a character; octets that are not UTF-8 become the replacement.
fn decode_utf8(path: &mut Vec<u8>) {
    if path.is_ascii() {
        return;
    }
    let (mut read, mut write) = (0, 0);
    while let Some(&lead) = path.get(read) {
        let (more, mut code) = match lead {
            0..=0x7f => (0, u32::from(lead)),
            0xc0..=0xdf => (1, u32::from(lead & 0x1f)),
            0xe0..=0xef => (2, u32::from(lead & 0x0f)),
            0xf0..=0xf4 => (3, u32::from(lead & 0x07)),
            _ => {
                path[write] = REPLACEMENT;
                write += 1;
                read += 1;
                continue;
            }
        };
        let mut at = read + 1;
        let mut valid = true;
        for turn in 0..more {
            let Some(&next) = path.get(at) else {
                // A character that ends with the path leaves nothing.
                path.truncate(write);
                return;
            };
            let refused = next & 0xc0 != 0x80
                || (turn == 0 && ((lead == 0xed && next > 0x9f) || (lead == 0xf4 && next > 0x8f)));
            if refused {
                valid = false;
                break;
            }
            code = code << 6 | u32::from(next & 0x3f);
            at += 1;
        }
        path[write] = if valid { best_fit(code) } else { REPLACEMENT };
        write += 1;
        read = at;
    }
    path.truncate(write);
}

/// Remove dot segments (RFC 3986 section 5.2.4).
fn remove_dots(path: &mut Vec<u8>) {
    let len = path.len();
    let (mut read, mut write) = (0, 0);
    let mut held: Option<u8> = None;
    while read < len && write < len {
        let c = match held {
            Some(c) => c,
            None => {
                read += 1;
                path[read - 1]
            }
        };
        held = None;
        let rest = &path[read..];
        if c == b'.' {
            if rest.starts_with(b"./") {
                read += 2;
                continue;
            }
            if rest.first() == Some(&b'/') {
                read += 1;
                continue;
            }
            if rest.is_empty() || rest == b"." {
                break;
            }
        }
        if c == b'/' {
            let skip = if rest.starts_with(b"./") {
                Some((2, false))
            } else if rest == b"." {
                Some((1, false))
            } else if rest.starts_with(b"../") {
                Some((3, true))
            } else if rest == b".." {
                Some((2, true))
            } else {
                None
            };
            if let Some((skip, up)) = skip {
                read += skip;
                held = Some(b'/');
                if up {
                    while write > 0 && path[write - 1] != b'/' {
                        write -= 1;
                    }
                    write = write.saturating_sub(1);
                }
                if read >= len {
                    // The loop ends here; what is held is not lost.
                    path[write] = b'/';
                    write += 1;
                    break;
                }
                continue;
            }
        }
        path[write] = c;
        write += 1;
        while read < len && path[read] != b'/' && write < len {
            path[write] = path[read];
            write += 1;
            read += 1;
        }
    }
    path.truncate(write);
}

/// Decode escapes of a query or fragment. Returns whether anything became shorter.
pub fn unescape(text: &[u8], decode_u: bool, plus_is_space: bool, out: &mut Vec<u8>) -> bool {
    let before = out.len();
    let mut at = 0;
    while let Some(&octet) = text.get(at) {
        let mut c = octet;
        let mut step = 1;
        if octet == b'%' && at + 2 < text.len() {
            let (first, second) = (text[at + 1], text[at + 2]);
            if decode_u && first.eq_ignore_ascii_case(&b'u') {
                if let Some(digits) = text.get(at + 2..at + 6) {
                    if digits.iter().all(u8::is_ascii_hexdigit) {
                        let code = u16::from_be_bytes([hex(digits[0], digits[1]), hex(digits[2], digits[3])]);
                        c = best_fit(u32::from(code));
                        step = 6;
                    }
                }
            } else if first.is_ascii_hexdigit() && second.is_ascii_hexdigit() {
                c = hex(first, second);
                step = 3;
            }
        } else if octet == b'+' && plus_is_space {
            c = b' ';
        }
        out.push(c);
        at += step;
    }
    out.len() - before < text.len()
}

/// A URI made comparable.
#[derive(Debug, Default)]
pub struct Normalized {
    /// What `http.uri` shows.
    pub uri: Vec<u8>,
    /// The path, as a file name.
    pub path: Vec<u8>,
    /// Host of an absolute URI.
    pub host: Option<Vec<u8>>,
    /// Decoding twice changed it.
    pub double_encoded: bool,
}

/// Make the parts of a URI comparable.
pub fn normalize(parts: &UriParts<'_>, options: &HttpOptions) -> Normalized {
    let mut normalized = Normalized::default();
    if let Some(path) = parts.path {
        let out = &mut normalized.path;
        out.reserve(path.len());
        decode_path(path, options, out);
        decode_utf8(out);
        remove_dots(out);
        if options.double_decode_path {
            let once = std::mem::take(out);
            normalized.double_encoded |= unescape(&once, false, options.plus_is_space, out);
        }
    }
    if let Some(host) = parts.host {
        let mut name = Vec::with_capacity(host.len());
        unescape(host, options.decode_u, false, &mut name);
        name.make_ascii_lowercase();
        while name.last() == Some(&b'.') {
            name.pop();
        }
        normalized.host = Some(name);
    }
    let uri = &mut normalized.uri;
    uri.reserve(normalized.path.len() + parts.query.map_or(0, |query| query.len() + 1));
    if options.uri_include_all {
        if let Some(scheme) = parts.scheme {
            uri.extend(scheme.iter().map(u8::to_ascii_lowercase));
            uri.extend_from_slice(b"://");
        }
        if let Some(credentials) = parts.credentials {
            uri.extend_from_slice(credentials);
            uri.push(b'@');
        }
        uri.extend_from_slice(normalized.host.as_deref().unwrap_or_default());
        if let Some(port) = parts.port {
            uri.push(b':');
            uri.extend_from_slice(port);
        }
    }
    uri.extend_from_slice(&normalized.path);
    if let Some(query) = parts.query {
        uri.push(b'?');
        if options.double_decode_query {
            let mut once = Vec::with_capacity(query.len());
            normalized.double_encoded |= unescape(query, false, options.plus_is_space, &mut once);
            unescape(&once, false, options.plus_is_space, uri);
        } else {
            unescape(query, false, options.plus_is_space, uri);
        }
    }
    if let Some(fragment) = parts.fragment {
        uri.push(b'#');
        unescape(fragment, options.decode_u, false, uri);
    }
    normalized
}

/// A host with an optional port, as `Host` and CONNECT give it: (host, port, well-formed).
pub fn host_port(text: &[u8]) -> (Option<Vec<u8>>, Option<u16>, bool) {
    let text = text.trim_ascii();
    if text.is_empty() {
        return (None, None, false);
    }
    let port = |text: &[u8]| {
        std::str::from_utf8(text.trim_ascii())
            .ok()
            .and_then(|text| text.parse::<u16>().ok())
            .filter(|&port| port > 0)
    };
    if text[0] == b'[' {
        let Some(end) = position(text, b"]") else {
            return (None, None, false);
        };
        let (host, rest) = text.split_at(end + 1);
        return match rest.first() {
            None => (Some(host.to_vec()), None, valid_host(host)),
            Some(b':') => {
                let port = port(&rest[1..]);
                (Some(host.to_vec()), port, port.is_some() && valid_host(host))
            }
            Some(_) => (Some(host.to_vec()), None, false),
        };
    }
    match position(text, b":") {
        None => {
            let host = text.to_ascii_lowercase();
            let valid = valid_host(&host);
            (Some(host), None, valid)
        }
        Some(colon) => {
            let host = text[..colon].trim_ascii_end().to_vec();
            let port = port(&text[colon + 1..]);
            let valid = port.is_some() && valid_host(&host);
            (Some(host), port, valid)
        }
    }
}

/// Whether a host is a name or a bracketed IPv6 address.
pub fn valid_host(host: &[u8]) -> bool {
    if host.is_empty() || host.len() > 255 {
        return false;
    }
    if host[0] == b'[' {
        return host
            .get(1..host.len() - 1)
            .and_then(|text| std::str::from_utf8(text).ok())
            .is_some_and(|text| text.parse::<std::net::Ipv6Addr>().is_ok());
    }
    let host = host.strip_suffix(b".").unwrap_or(host);
    host.split(|&octet| octet == b'.').all(|label| {
        (1..=63).contains(&label.len())
            && label
                .iter()
                .all(|&octet| octet.is_ascii_alphanumeric() || octet == b'-' || octet == b'_')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uri(text: &[u8]) -> Vec<u8> {
        normalize(&split(text), &HttpOptions::default()).uri
    }

    #[test]
    fn paths_are_decoded_and_their_dots_and_slashes_removed() {
        for (sent, shown) in [
            (&b"/a%41/%2e%2e/b"[..], &b"/b"[..]),
            (b"/a//b\\c", b"/a/b/c"),
            (b"/x/./y/../z", b"/x/z"),
            (b"/%u0041%u00zz", b"/A%u00zz"),
            (b"/a?b=%41%zz+c", b"/a?b=A%zz+c"),
            (b"http://Host.example:8080/p?q#f%41", b"/p?q#fA"),
            (b"/..", b"/"),
            (b"/a/b/..", b"/a/"),
            (b"/%c0%afetc", b"//etc"),
            (b"/100%", b"/100%"),
        ] {
            assert_eq!(
                String::from_utf8_lossy(&uri(sent)),
                String::from_utf8_lossy(shown)
            );
        }
    }

    #[test]
    fn hosts_with_ports_are_split_and_checked() {
        assert_eq!(
            host_port(b" Example.com "),
            (Some(b"example.com".to_vec()), None, true)
        );
        assert_eq!(
            host_port(b"example.com:8080"),
            (Some(b"example.com".to_vec()), Some(8080), true)
        );
        assert_eq!(host_port(b"[::1]:80"), (Some(b"[::1]".to_vec()), Some(80), true));
        assert!(!host_port(b"exa mple.com").2);
        assert!(!host_port(b"example.com:99999").2);
    }

    proptest::proptest! {
        #[test]
        fn any_uri_is_normalized_without_panic(text in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..80)) {
            uri(&text);
            host_port(&text);
        }
    }
}
