//! TLS versions as they are sent, and what they are called.

/// SSL 2.0, as records of that time are marked internally.
pub const SSL2: u16 = 0x0200;
/// TLS 1.0.
pub const TLS10: u16 = 0x0301;
/// TLS 1.1.
pub const TLS11: u16 = 0x0302;
/// TLS 1.2.
pub const TLS12: u16 = 0x0303;
/// TLS 1.3.
pub const TLS13: u16 = 0x0304;
/// TLS 1.3 before draft 16.
pub const TLS13_BEFORE_DRAFT16: u16 = 0x7f01;

/// Whether a record or hello may carry it.
pub fn is_valid(version: u16) -> bool {
    matches!(version, 0x0300..=0x0304 | 0x7f01 | 0x7f10..=0x7f1c | 0xfb14..=0xfb17 | 0xfb1a)
}

/// Its name in records.
pub fn name(version: u16) -> String {
    match version {
        0 => "UNDETERMINED".into(),
        SSL2 => "SSLv2".into(),
        0x0300 => "SSLv3".into(),
        TLS10 => "TLSv1".into(),
        TLS11 => "TLS 1.1".into(),
        TLS12 => "TLS 1.2".into(),
        TLS13 => "TLS 1.3".into(),
        TLS13_BEFORE_DRAFT16 => "TLS 1.3 draft-<16".into(),
        0x7f10..=0x7f1c => format!("TLS 1.3 draft-{}", version & 0xff),
        0xfb14..=0xfb17 | 0xfb1a => format!("TLS 1.3 draft-{}-fb", version & 0xff),
        other => format!("0x{other:04x}"),
    }
}

/// GREASE (RFC 8701): values that mean nothing.
pub fn is_grease(value: u16) -> bool {
    value & 0x0f0f == 0x0a0a && value >> 8 == value & 0xff
}
