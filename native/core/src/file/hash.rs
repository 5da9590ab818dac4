//! Hashes of a file, computed as its octets come.

use md5::{Digest, Md5};
use sha1::Sha1;
use sha2::Sha256;

/// Digests of a complete file.
#[derive(Clone, Debug)]
pub struct Digests {
    /// MD5 (RFC 1321).
    pub md5: [u8; 16],
    /// SHA-1 (FIPS 180-4).
    pub sha1: [u8; 20],
    /// SHA-256 (FIPS 180-4).
    pub sha256: [u8; 32],
}

/// Hashes under way, then the digests.
#[derive(Debug, Default)]
pub struct Hashes {
    running: Option<Box<Running>>,
    digests: Option<Box<Digests>>,
    /// SHA-256 of what there is of a file that was cut short.
    cut: Option<Box<[u8; 32]>>,
}

#[derive(Debug, Default)]
struct Running {
    md5: Md5,
    sha1: Sha1,
    sha256: Sha256,
}

impl Hashes {
    /// Take octets.
    pub fn update(&mut self, octets: &[u8]) {
        let running = self.running.get_or_insert_with(Box::default);
        running.md5.update(octets);
        running.sha1.update(octets);
        running.sha256.update(octets);
    }

    /// There are no more.
    pub fn finish(&mut self) {
        let running = self.running.take().unwrap_or_default();
        self.digests = Some(Box::new(Digests {
            md5: running.md5.finalize().into(),
            sha1: running.sha1.finalize().into(),
            sha256: running.sha256.finalize().into(),
        }));
    }

    /// There are no more, but there should be.
    pub fn finish_cut(&mut self) {
        let running = self.running.take().unwrap_or_default();
        self.cut = Some(Box::new(running.sha256.finalize().into()));
    }

    /// SHA-256 of a file that was cut short.
    pub fn cut(&self) -> Option<&[u8; 32]> {
        self.cut.as_deref()
    }

    /// The digests, once finished.
    pub fn digests(&self) -> Option<&Digests> {
        self.digests.as_deref()
    }
}
