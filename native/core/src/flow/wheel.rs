//! When flows are due: a timing wheel of whole seconds, driven by packet time.
//!
//! A flow's packets do not touch the wheel. When a flow's slot comes up, the table looks whether it is really due and
//! puts it back if not; so an entry costs once a timeout, not once a packet.

/// One turn, seconds. What is due later is looked at again after a turn.
const SLOTS: i64 = 1024;

/// Entries by the second they are due in.
#[derive(Debug)]
pub struct Wheel {
    slots: Vec<Vec<(u32, u32)>>,
    /// The next second to expire; `None` before the first packet.
    next: Option<i64>,
}

impl Wheel {
    /// Nothing is due.
    pub fn new() -> Wheel {
        Wheel {
            slots: (0..SLOTS).map(|_| Vec::new()).collect(),
            next: None,
        }
    }

    /// Put `(index, generation)` where it is looked at in second `due` at the earliest.
    pub fn put(&mut self, entry: (u32, u32), due: i64, now: i64) {
        let next = *self.next.get_or_insert(now);
        let at = due.clamp(next, next + SLOTS - 1);
        if let Some(slot) = self.slots.get_mut(at.rem_euclid(SLOTS) as usize) {
            slot.push(entry);
        }
    }

    /// Whether [`Wheel::take`] would look at anything at `now`.
    #[inline]
    pub fn is_due(&self, now: i64) -> bool {
        self.next.is_some_and(|next| next <= now)
    }

    /// Take the entries of the seconds up to and including `now` into `due`.
    pub fn take(&mut self, now: i64, due: &mut Vec<(u32, u32)>) {
        let Some(next) = self.next else { return };
        for second in next..=now.min(next + SLOTS - 1) {
            if let Some(slot) = self.slots.get_mut(second.rem_euclid(SLOTS) as usize) {
                due.append(slot);
            }
        }
        self.next = Some(now.max(next - 1) + 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_come_up_in_their_second_and_not_before() {
        let mut wheel = Wheel::new();
        wheel.put((1, 0), 10, 0);
        wheel.put((2, 0), 5000, 0);
        let mut due = Vec::new();
        wheel.take(9, &mut due);
        assert!(due.is_empty());
        wheel.take(10, &mut due);
        assert_eq!(due, [(1, 0)]);
        wheel.take(100_000, &mut due);
        assert_eq!(due, [(1, 0), (2, 0)]);
    }

    #[test]
    fn time_that_goes_back_loses_nothing() {
        let mut wheel = Wheel::new();
        wheel.put((1, 0), 100, 90);
        let mut due = Vec::new();
        wheel.take(50, &mut due);
        wheel.put((2, 0), 10, 50);
        wheel.take(100, &mut due);
        due.sort_unstable();
        assert_eq!(due, [(1, 0), (2, 0)]);
    }
}
