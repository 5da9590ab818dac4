//! Which keys may be in a block: a Bloom filter, so that most blocks need not be looked into.

use super::codec::{expand, Squeezer};
use super::Damaged;

/// Fewer than one in a hundred of keys that are not there are taken for one that is (10 bits a key, 7 of them looked at).
const BITS_PER_KEY: usize = 10;
const LOOKS: u32 = 7;

/// The filter of these keys, which are hashes; none for no keys.
///
/// # Errors
/// When there is no memory for it.
pub fn made(keys: &[u64], squeezer: &mut Squeezer) -> Result<Vec<u8>, std::io::Error> {
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    let mut bits = vec![0u8; (keys.len() * BITS_PER_KEY).div_ceil(8)];
    let size = bits.len() as u64 * 8;
    for &key in keys {
        for place in places(key, size) {
            bits[(place / 8) as usize] |= 1 << (place % 8);
        }
    }
    squeezer.squeeze(&bits) // which adds a checksum; there is nothing to gain
}

/// Whether each of these keys may be in a kept filter.
///
/// # Errors
/// When it is damaged.
pub fn may_have(kept: &[u8], keys: impl Iterator<Item = u64>) -> Result<Vec<bool>, Damaged> {
    let bits = expand(kept)?;
    let size = bits.len() as u64 * 8;
    let there = |place: u64| {
        bits.get((place / 8) as usize)
            .is_some_and(|octet| octet & (1 << (place % 8)) != 0)
    };
    Ok(keys.map(|key| size > 0 && places(key, size).all(there)).collect())
}

/// Which bits are a key's (Kirsch and Mitzenmacher: two hashes do for any number of looks).
fn places(key: u64, size: u64) -> impl Iterator<Item = u64> {
    let (first, step) = (key, key.rotate_left(32) | 1);
    (0..LOOKS).map(move |look| {
        let hash = first.wrapping_add(step.wrapping_mul(u64::from(look)));
        ((u128::from(hash) * u128::from(size)) >> 64) as u64
    })
}
