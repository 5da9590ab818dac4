//! Octets read front to back, little endian as all of SMB is; `None` where they end too early.

/// What is left to read.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// Read `octets` from their start.
    pub fn new(octets: &'a [u8]) -> Reader<'a> {
        Reader(octets)
    }

    /// What was not read yet.
    pub fn rest(&self) -> &'a [u8] {
        self.0
    }

    /// The next `len` octets.
    pub fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    /// Pass over `len` octets.
    pub fn skip(&mut self, len: usize) -> Option<()> {
        self.take(len).map(|_| ())
    }

    fn chunk<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (chunk, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*chunk)
    }

    /// An octet.
    pub fn u8(&mut self) -> Option<u8> {
        self.chunk::<1>().map(|[octet]| octet)
    }

    /// A 16-bit number.
    pub fn u16(&mut self) -> Option<u16> {
        self.chunk().map(u16::from_le_bytes)
    }

    /// A 32-bit number.
    pub fn u32(&mut self) -> Option<u32> {
        self.chunk().map(u32::from_le_bytes)
    }

    /// A 64-bit number.
    pub fn u64(&mut self) -> Option<u64> {
        self.chunk().map(u64::from_le_bytes)
    }

    /// Octets up to a NUL, which is passed over.
    pub fn until_nul(&mut self) -> Option<&'a [u8]> {
        let end = memchr::memchr(0, self.0)?;
        let text = self.take(end)?;
        self.skip(1)?;
        Some(text)
    }

    /// UTF-16 up to a NUL, of which the low octets are kept (names are compared as rules write them: in ASCII). At the
    /// end of the data one octet of NUL is enough.
    pub fn wide_until_nul(&mut self) -> Option<Vec<u8>> {
        let mut text = Vec::new();
        loop {
            match *self.0 {
                [] => return None,
                [0] | [0, 0, ..] => {
                    self.0 = self.0.get(2..).unwrap_or_default();
                    return Some(text);
                }
                [_] => return None,
                [low, _, ref rest @ ..] => {
                    text.push(low);
                    self.0 = rest;
                }
            }
        }
    }
}

/// A name as records and rules have it: without NULs, so UTF-16 of ASCII reads as ASCII.
pub fn without_nuls(name: &[u8]) -> Vec<u8> {
    name.iter().copied().filter(|&octet| octet != 0).collect()
}

/// Seconds since 1970 of a FILETIME (MS-DTYP section 2.3.3); 0 for times before.
pub fn seconds(filetime: u64) -> u32 {
    const UNIX_EPOCH: u64 = 116_444_736_000_000_000;
    // The field of the record has 32 bits: later times wrap.
    (filetime.saturating_sub(UNIX_EPOCH) / 10_000_000) as u32
}
