//! Shannon's entropy of octets, compared.

use super::chain::ByteCompare;

/// `entropy`
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Entropy {
    /// Of this many octets; 0 is all.
    pub octets: u32,
    /// Where they begin.
    pub offset: u32,
    /// The comparison: `Less` to `GreaterOrEqual`.
    pub compare: ByteCompare,
    /// It must not hold.
    pub negated: bool,
    /// Bits an octet, 0 to 8.
    pub value: f64,
}

impl Entropy {
    /// Shannon's entropy of the octets asked for, in bits an octet; `None` when there are too few.
    pub fn of(&self, octets: &[u8]) -> Option<f64> {
        let octets = octets.get(self.offset as usize..)?;
        let octets = match self.octets {
            0 => octets,
            octets_asked => octets.get(..octets_asked as usize)?,
        };
        let mut counts = [0u32; 256];
        for &octet in octets {
            counts[usize::from(octet)] += 1;
        }
        let of_one = |count: u32| {
            let share = f64::from(count) / octets.len() as f64;
            share * share.log2()
        };
        Some(
            -counts
                .into_iter()
                .filter(|&count| count > 0)
                .map(of_one)
                .sum::<f64>(),
        )
    }

    /// Whether it holds.
    pub fn matches(&self, octets: &[u8]) -> bool {
        let Some(found) = self.of(octets) else {
            return false;
        };
        let holds = match self.compare {
            ByteCompare::Less => found < self.value,
            ByteCompare::LessOrEqual => found <= self.value,
            ByteCompare::Greater => found > self.value,
            ByteCompare::GreaterOrEqual => found >= self.value,
            // What was calculated is hardly ever exactly what was written.
            _ => (found - self.value).abs() < 1e-9,
        };
        holds != self.negated
    }
}
