//! Versions of QUIC: those that were Google's, and what they are called.

/// Version negotiation (RFC 9000 section 17.2.1).
pub const NEGOTIATION: u32 = 0;
/// Google's Q043.
pub const Q043: u32 = u32::from_be_bytes(*b"Q043");
/// Google's Q044.
pub const Q044: u32 = u32::from_be_bytes(*b"Q044");
/// Google's Q045.
pub const Q045: u32 = u32::from_be_bytes(*b"Q045");
/// Google's Q046: the first with IETF's long header.
pub const Q046: u32 = u32::from_be_bytes(*b"Q046");
/// Google's Q050: the first with protected Initial packets.
pub const Q050: u32 = u32::from_be_bytes(*b"Q050");
/// QUIC version 2 (RFC 9369).
pub const V2: u32 = 0x6b33_43cf;

/// Whether its long headers pack the lengths of both connection identifiers in one octet.
pub fn is_google(version: u32) -> bool {
    matches!(version, Q043 | Q044 | Q045 | Q046)
}

/// Its name in records.
pub fn name(version: u32) -> String {
    match version {
        Q043 | Q044 | Q045 | Q046 | 0x5130_3339 => version.to_be_bytes().map(char::from).iter().collect(),
        V2 => "v2".into(),
        other => format!("{other:x}"),
    }
}

/// What a CYU fingerprint says of it; `None`: no fingerprint is made.
pub fn cyu_name(version: u32) -> Option<&'static str> {
    match version {
        Q043 => Some("43"),
        // The fingerprint's authors did not meet Q045.
        Q044 | Q045 => Some("44"),
        Q046 => Some("46"),
        _ => None,
    }
}
