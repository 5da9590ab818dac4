//! Octets of columns: whole numbers of variable length, and compression with a checksum.

use std::cell::RefCell;

use zstd::bulk::{Compressor, Decompressor};

use super::Damaged;

/// Of 40,000 records in blocks of 2,048: 73.5 octets each with level 1, 76.5 with 3, 72.3 with 6 at four times the time.
const LEVEL: i32 = 1;

/// No piece is expanded to more than this, whatever it says of itself.
const EXPANDED_MAX: u64 = 256 << 20;

/// No column has more values than this.
const COUNT_MAX: u64 = 1 << 20;

/// Compresses pieces, one after the other.
pub struct Squeezer(Option<Compressor<'static>>);

impl Default for Squeezer {
    fn default() -> Squeezer {
        let made = Compressor::new(LEVEL).ok().and_then(|mut compressor| {
            compressor.include_checksum(true).ok()?;
            Some(compressor)
        });
        Squeezer(made)
    }
}

impl Squeezer {
    /// The compressed piece, which says how large it was and has a checksum.
    ///
    /// # Errors
    /// When there is no memory for it.
    pub fn squeeze(&mut self, plain: &[u8]) -> Result<Vec<u8>, std::io::Error> {
        match &mut self.0 {
            Some(compressor) => compressor.compress(plain),
            None => Err(std::io::Error::other("no memory to compress with")),
        }
    }
}

thread_local! {
    /// Scratch memory of zstd's, 150 KB that take longer to have than most pieces take to expand. Nothing outlives a piece.
    static EXPANDER: RefCell<Option<Decompressor<'static>>> = const { RefCell::new(None) };
}

/// The plain piece; an empty one for none.
///
/// # Errors
/// When the checksum or anything else does not fit.
pub fn expand(squeezed: &[u8]) -> Result<Vec<u8>, Damaged> {
    if squeezed.is_empty() {
        return Ok(Vec::new());
    }
    let size = zstd::zstd_safe::get_frame_content_size(squeezed)
        .ok()
        .flatten()
        .filter(|&size| size <= EXPANDED_MAX)
        .ok_or(Damaged)?;
    let plain = EXPANDER.with_borrow_mut(|kept| {
        if kept.is_none() {
            *kept = Decompressor::new().ok();
        }
        let expander = kept.as_mut().ok_or(Damaged)?;
        expander.decompress(squeezed, size as usize).map_err(|_| Damaged)
    })?;
    (plain.len() as u64 == size).then_some(plain).ok_or(Damaged)
}

/// Append a number in groups of seven bits, lowest first (LEB128).
pub fn put(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Append codes as planes: all low octets, then the next, in as many as the largest needs. Begins with how many.
pub fn put_planes(out: &mut Vec<u8>, codes: &[u32]) {
    let most = codes.iter().copied().max().unwrap_or(0);
    let planes = (4 - most.leading_zeros() / 8) as u8;
    out.push(planes);
    for plane in 0..planes {
        out.extend(codes.iter().map(|code| (code >> (8 * plane)) as u8));
    }
}

/// Reads what was put, in order.
pub struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// From the beginning.
    pub fn new(octets: &'a [u8]) -> Reader<'a> {
        Reader(octets)
    }

    /// The next number.
    ///
    /// # Errors
    /// At the end, and when it is too large.
    #[inline]
    pub fn number(&mut self) -> Result<u64, Damaged> {
        let mut number = 0u64;
        for (place, &octet) in self.0.iter().enumerate().take(10) {
            number |= u64::from(octet & 0x7f) << (7 * place);
            if octet < 0x80 {
                self.0 = &self.0[place + 1..];
                return Ok(number);
            }
        }
        Err(Damaged)
    }

    /// A number of things that follow, each of at least one octet.
    ///
    /// # Errors
    /// When there cannot be so many.
    pub fn count(&mut self) -> Result<usize, Damaged> {
        let count = self.number()?;
        (count <= self.0.len() as u64)
            .then_some(count as usize)
            .ok_or(Damaged)
    }

    /// A number of rows; none at the end.
    ///
    /// # Errors
    /// When it is more than a block can have.
    pub fn count_or_zero(&mut self) -> Result<usize, Damaged> {
        if self.0.is_empty() {
            return Ok(0);
        }
        let count = self.number()?;
        (count <= COUNT_MAX).then_some(count as usize).ok_or(Damaged)
    }

    /// How many octets there are still.
    pub fn rest(&self) -> usize {
        self.0.len()
    }

    /// So many octets.
    ///
    /// # Errors
    /// When there are fewer.
    #[inline]
    pub fn take(&mut self, len: usize) -> Result<&'a [u8], Damaged> {
        if len > self.0.len() {
            return Err(Damaged);
        }
        let (taken, rest) = self.0.split_at(len);
        self.0 = rest;
        Ok(taken)
    }

    /// So many codes that were put as planes.
    ///
    /// # Errors
    /// When there are fewer.
    pub fn planes(&mut self, count: usize) -> Result<Vec<u32>, Damaged> {
        let planes = self.take(1)?[0];
        if planes > 4 {
            return Err(Damaged);
        }
        let mut codes = vec![0u32; count];
        for plane in 0..planes {
            let octets = self.take(count)?;
            for (code, &octet) in codes.iter_mut().zip(octets) {
                *code |= u32::from(octet) << (8 * plane);
            }
        }
        Ok(codes)
    }
}
