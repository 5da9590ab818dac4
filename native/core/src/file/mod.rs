//! Files carried by transactions: names, sizes, hashes, magic, and a window of content for rules.

/// Files of one transaction.
#[derive(Debug, Default)]
pub struct Files {
    /// In the order they began.
    pub files: Vec<File>,
}

/// One file.
#[derive(Debug, Default)]
pub struct File {
    /// Name as the protocol gave it; octets an attacker chose.
    pub name: Vec<u8>,
    /// Octets so far.
    pub size: u64,
}
