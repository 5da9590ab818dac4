//! Sequence numbers compare modulo 2^32 (RFC 9293 section 3.4).

/// `a` is before `b`.
#[inline]
pub fn lt(a: u32, b: u32) -> bool {
    (a.wrapping_sub(b) as i32) < 0
}

/// `a` is before or at `b`.
#[inline]
pub fn leq(a: u32, b: u32) -> bool {
    (a.wrapping_sub(b) as i32) <= 0
}

/// `a` is after `b`.
#[inline]
pub fn gt(a: u32, b: u32) -> bool {
    (a.wrapping_sub(b) as i32) > 0
}

/// `a` is after or at `b`.
#[inline]
pub fn geq(a: u32, b: u32) -> bool {
    (a.wrapping_sub(b) as i32) >= 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comparison_wraps() {
        assert!(lt(u32::MAX, 0) && gt(0, u32::MAX) && leq(5, 5) && geq(5, 5));
        assert!(!lt(0, u32::MAX));
    }
}
