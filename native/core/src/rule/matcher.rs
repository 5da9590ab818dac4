//! Many patterns, one pass: which of them occur in a buffer.
//!
//! libhs (Hyperscan, Vectorscan) where it was compiled in, an Aho-Corasick automaton otherwise; the results are the same.

use std::fmt;

/// A pattern to look for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Needle<'a> {
    /// Its octets; not empty.
    pub octets: &'a [u8],
    /// ASCII case does not matter.
    pub nocase: bool,
}

/// Immutable, shared between engines.
pub struct Matcher {
    kind: Kind,
    count: usize,
}

enum Kind {
    Empty,
    Automaton(automaton::Automaton),
    #[cfg(feature = "hyperscan")]
    Hyperscan(hyperscan_database::Compiled),
}

impl fmt::Debug for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Matcher")
            .field("needles", &self.count)
            .finish_non_exhaustive()
    }
}

/// What a scan works with; one for each engine, for all its matchers.
#[derive(Default)]
pub struct Space {
    seen: Vec<u64>,
    #[cfg(feature = "hyperscan")]
    scratch: Option<hyperscan::Scratch>,
}

impl fmt::Debug for Space {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Space").finish_non_exhaustive()
    }
}

impl Matcher {
    /// A matcher for these; needle `i` is reported as `i`. Empty ones are never reported.
    pub fn new(needles: &[Needle<'_>]) -> Matcher {
        let count = needles.len();
        let kind = if needles.iter().all(|needle| needle.octets.is_empty()) {
            Kind::Empty
        } else {
            Matcher::compile(needles)
        };
        Matcher { kind, count }
    }

    #[cfg(feature = "hyperscan")]
    fn compile(needles: &[Needle<'_>]) -> Kind {
        match hyperscan_database::Compiled::new(needles) {
            Some(compiled) => Kind::Hyperscan(compiled),
            None => Kind::Automaton(automaton::Automaton::new(needles)),
        }
    }

    #[cfg(not(feature = "hyperscan"))]
    fn compile(needles: &[Needle<'_>]) -> Kind {
        Kind::Automaton(automaton::Automaton::new(needles))
    }

    /// A matcher that uses no library, whatever was compiled in.
    #[cfg(test)]
    fn portable(needles: &[Needle<'_>]) -> Matcher {
        Matcher {
            kind: Kind::Automaton(automaton::Automaton::new(needles)),
            count: needles.len(),
        }
    }

    /// How many needles it was made for.
    pub fn len(&self) -> usize {
        self.count
    }

    /// It looks for nothing.
    pub fn is_empty(&self) -> bool {
        matches!(self.kind, Kind::Empty)
    }

    /// Add the numbers of the needles that occur in `octets` to `found`, each once, in no particular order.
    pub fn scan(&self, octets: &[u8], space: &mut Space, found: &mut Vec<u32>) {
        if octets.is_empty() {
            return;
        }
        match &self.kind {
            Kind::Empty => {}
            Kind::Automaton(automaton) => {
                space
                    .seen
                    .resize(self.count.div_ceil(64).max(space.seen.len()), 0);
                automaton.scan(octets, &mut space.seen, found);
            }
            #[cfg(feature = "hyperscan")]
            Kind::Hyperscan(compiled) => compiled.scan(octets, &mut space.scratch, found),
        }
    }
}

mod automaton {
    use std::collections::HashMap;

    use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};

    use super::Needle;

    /// A full table for sets up to this many octets: twice as fast, but 256 entries an octet.
    const DENSE_OCTETS: usize = 16 << 10;

    /// A needle's number, and its octets where case matters.
    type Exact = (u32, Option<Box<[u8]>>);

    /// Finds lower-case words in any case, and asks for the case of those where it matters.
    pub(super) struct Automaton {
        words: Option<AhoCorasick>,
        /// For each word the needles it stands for.
        needles: Vec<Vec<Exact>>,
    }

    impl Automaton {
        pub(super) fn new(needles: &[Needle<'_>]) -> Automaton {
            let mut words: Vec<Vec<u8>> = Vec::new();
            let mut of_word: Vec<Vec<Exact>> = Vec::new();
            let mut known: HashMap<Vec<u8>, usize> = HashMap::new();
            for (number, needle) in (0u32..).zip(needles) {
                if needle.octets.is_empty() {
                    continue;
                }
                let word = needle.octets.to_ascii_lowercase();
                let at = *known.entry(word).or_insert_with_key(|word| {
                    words.push(word.clone());
                    of_word.push(Vec::new());
                    words.len() - 1
                });
                let has_case = needle.octets.iter().any(u8::is_ascii_alphabetic);
                let exact = (has_case && !needle.nocase).then(|| needle.octets.into());
                of_word[at].push((number, exact));
            }
            let octets: usize = words.iter().map(Vec::len).sum();
            let kind = if octets <= DENSE_OCTETS {
                AhoCorasickKind::DFA
            } else {
                AhoCorasickKind::ContiguousNFA
            };
            let words = AhoCorasick::builder()
                .match_kind(MatchKind::Standard)
                .ascii_case_insensitive(true)
                .kind(Some(kind))
                .build(&words)
                .ok();
            Automaton {
                words,
                needles: of_word,
            }
        }

        /// `seen` has a bit for each needle, all clear before and after.
        pub(super) fn scan(&self, octets: &[u8], seen: &mut [u64], found: &mut Vec<u32>) {
            let first = found.len();
            for word in self
                .words
                .iter()
                .flat_map(|words| words.find_overlapping_iter(octets))
            {
                for (number, exact) in &self.needles[word.pattern().as_usize()] {
                    let (cell, bit) = ((number / 64) as usize, 1u64 << (number % 64));
                    if seen[cell] & bit != 0 {
                        continue;
                    }
                    if exact.as_ref().is_none_or(|exact| **exact == octets[word.range()]) {
                        seen[cell] |= bit;
                        found.push(*number);
                    }
                }
            }
            for number in &found[first..] {
                seen[(number / 64) as usize] = 0;
            }
        }
    }
}

#[cfg(feature = "hyperscan")]
mod hyperscan_database {
    use std::fmt::Write;

    use hyperscan::{BlockDatabase, Builder, Matching, Pattern, PatternFlags, Patterns, Scratch};

    use super::Needle;

    pub(super) struct Compiled(BlockDatabase);

    impl Compiled {
        /// `None` when the library refuses.
        pub(super) fn new(needles: &[Needle<'_>]) -> Option<Compiled> {
            let mut patterns = Patterns(Vec::with_capacity(needles.len()));
            for (number, needle) in needles.iter().enumerate() {
                if needle.octets.is_empty() {
                    continue;
                }
                let mut expression = String::with_capacity(needle.octets.len() * 4);
                for octet in needle.octets {
                    write!(expression, "\\x{octet:02x}").ok()?;
                }
                let mut pattern = Pattern::with_flags(expression, PatternFlags::SINGLEMATCH).ok()?;
                if needle.nocase {
                    pattern = pattern.caseless();
                }
                pattern.id = Some(number);
                patterns.0.push(pattern);
            }
            patterns.build().ok().map(Compiled)
        }

        pub(super) fn scan(&self, octets: &[u8], scratch: &mut Option<Scratch>, found: &mut Vec<u32>) {
            let first = found.len();
            if let Some(space) = scratch {
                if self.scan_with(octets, space, found) {
                    return;
                }
                found.truncate(first);
            }
            // There is none yet, or it was made for a smaller database.
            let ready = match scratch {
                Some(space) => self.0.realloc_scratch(space).is_ok(),
                None => {
                    *scratch = self.0.alloc_scratch().ok();
                    scratch.is_some()
                }
            };
            if let (true, Some(space)) = (ready, scratch) {
                self.scan_with(octets, space, found);
            }
        }

        fn scan_with(&self, octets: &[u8], space: &Scratch, found: &mut Vec<u32>) -> bool {
            let report = |number: u32, _: u64, _: u64, _: u32| {
                found.push(number);
                Matching::Continue
            };
            self.0.scan(octets, space, report).is_ok()
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn found(matcher: &Matcher, octets: &[u8], space: &mut Space) -> Vec<u32> {
        let mut found = Vec::new();
        matcher.scan(octets, space, &mut found);
        found.sort_unstable();
        found
    }

    fn searched(needles: &[Needle<'_>], octets: &[u8]) -> Vec<u32> {
        let occurs = |needle: &Needle<'_>| {
            !needle.octets.is_empty()
                && octets.windows(needle.octets.len()).any(|window| {
                    if needle.nocase {
                        window.eq_ignore_ascii_case(needle.octets)
                    } else {
                        window == needle.octets
                    }
                })
        };
        (0u32..)
            .zip(needles)
            .filter(|(_, needle)| occurs(needle))
            .map(|(number, _)| number)
            .collect()
    }

    #[test]
    fn case_is_asked_for_where_it_matters_and_each_needle_is_reported_once() {
        let needle = |octets, nocase| Needle { octets, nocase };
        let needles = [
            needle(b"GET ", false),
            needle(b"get ", true),
            needle(b"et", true),
            needle(b"\0\0", false),
            needle(b"", true),
        ];
        let mut space = Space::default();
        for matcher in [Matcher::new(&needles), Matcher::portable(&needles)] {
            assert_eq!(found(&matcher, b"GeT GET ", &mut space), [0, 1, 2]);
            assert_eq!(found(&matcher, b"get", &mut space), [2]);
            assert_eq!(found(&matcher, &[0; 9000], &mut space), [3]);
            assert!(found(&matcher, b"", &mut space).is_empty());
        }
        assert!(Matcher::new(&[]).is_empty());
    }

    proptest! {
        #[test]
        fn all_matchers_find_what_a_search_finds(
            needles in prop::collection::vec(("[aAb\\\\x00-\\\\x02]{1,4}", any::<bool>()), 0..80),
            texts in prop::collection::vec("[aAbB\\\\x00-\\\\x03]{0,60}", 1..4),
        ) {
            let needles: Vec<Needle<'_>> = needles
                .iter()
                .map(|(text, nocase)| Needle { octets: text.as_bytes(), nocase: *nocase })
                .collect();
            let mut space = Space::default();
            let matchers = [Matcher::new(&needles), Matcher::portable(&needles)];
            for text in &texts {
                for matcher in &matchers {
                    let expected = searched(&needles, text.as_bytes());
                    prop_assert_eq!(found(matcher, text.as_bytes(), &mut space), expected);
                }
            }
        }
    }
}
