//! What is done to a buffer before it is looked at.

/// A transform, in Suricata's words.
#[derive(Clone, Debug)]
pub enum Transform {
    /// `to_md5`
    ToMd5,
    /// `to_sha1`
    ToSha1,
    /// `to_sha256`
    ToSha256,
    /// `dotprefix`: a dot before the buffer.
    DotPrefix,
    /// `strip_whitespace`
    StripWhitespace,
    /// `compress_whitespace`
    CompressWhitespace,
    /// `url_decode`
    UrlDecode,
    /// `xor`: with this key, over and over.
    Xor(Box<[u8]>),
    /// `pcrexform`: what the first group matches.
    Pcre(pcre2::bytes::Regex),
    /// `to_lowercase`
    ToLowercase,
    /// `to_uppercase`
    ToUppercase,
    /// `header_lowercase`: names of header lines.
    HeaderLowercase,
    /// `strip_pseudo_headers`: HTTP/2 pseudo headers.
    StripPseudoHeaders,
    /// `casefold`
    CaseFold,
}
