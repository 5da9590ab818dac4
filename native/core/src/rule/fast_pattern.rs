//! Which content of a rule a prefilter looks for.
//!
//! Only where it is found the rule is run, so the choice also decides which condition on a transaction is asked first
//! (see `steps`). It is Suricata's choice: rules are written with it in mind.

use smallvec::SmallVec;

use super::chain::{Chain, Condition, Content};
use super::signature::{BufferGroup, FastPattern, PatternPlace, Place};

/// How soon a place is chosen, least first (Suricata's priorities of `DetectAppLayerMpmRegister2`).
fn rank(place: PatternPlace, groups: &[BufferGroup]) -> u8 {
    let PatternPlace::Group(at) = place else { return 3 };
    match groups.get(at).map_or("", |group| group.name) {
        "http.method" | "http.stat_code" | "sip.stat_code" => 4,
        "http.stat_msg" | "sip.stat_msg" => 3,
        "rfb.name" | "mqtt.subscribe.topic" | "mqtt.unsubscribe.topic" | "ike.vendor" => 1,
        "ike.init_spi" | "ike.resp_spi" | "ike.key_exchange_payload" | "ike.nonce_payload" => 1,
        _ => 2,
    }
}

/// How good a prefilter a pattern is: distinct octets that are no letters count most, repeats little.
pub fn strength(pattern: &[u8]) -> u32 {
    let mut seen = [false; 256];
    pattern
        .iter()
        .map(|&octet| {
            if std::mem::replace(&mut seen[usize::from(octet)], true) {
                return 1;
            }
            match octet {
                b'a'..=b'z' | b'A'..=b'Z' => 3,
                b' '..=b'~' | 0 | 1 | 0xff => 4,
                _ => 6,
            }
        })
        .sum()
}

/// The content a prefilter shall look for: the one the rule names; else of those that must be there, or if there is none
/// of those that must not, one in the places that come first: the longest, the strongest, the first.
pub fn choose(payload: &Chain, groups: &[BufferGroup]) -> Option<FastPattern> {
    let lists = std::iter::once((PatternPlace::Payload, &payload.conditions)).chain(
        groups
            .iter()
            .enumerate()
            // Where the buffer may be missing nothing is found in it.
            .filter(|(_, group)| {
                matches!(group.place, Place::Transaction(_)) && !group.chain.holds_on_absence()
            })
            .map(|(at, group)| (PatternPlace::Group(at), &group.chain.conditions)),
    );
    let mut candidates: SmallVec<[(FastPattern, &Content); 8]> = SmallVec::new();
    for (place, conditions) in lists {
        for (at, condition) in conditions.iter().enumerate() {
            let Condition::Content(content) = condition else {
                continue;
            };
            let proposal = FastPattern {
                place,
                condition: at,
                chop: content.fast_pattern.flatten(),
                explicit: content.fast_pattern.is_some(),
                negated: content.negated,
            };
            if proposal.explicit {
                return Some(proposal);
            }
            if !content.pattern.is_empty() {
                candidates.push((proposal, content));
            }
        }
    }
    let negated = candidates.iter().all(|(pattern, _)| pattern.negated);
    candidates.retain(|(pattern, _)| pattern.negated == negated);
    let first = candidates
        .iter()
        .map(|(pattern, _)| rank(pattern.place, groups))
        .min()?;
    candidates.retain(|(pattern, _)| rank(pattern.place, groups) == first);
    // The first of the best: `max_by_key` would take the last.
    candidates
        .into_iter()
        .rev()
        .max_by_key(|(_, content)| (content.pattern.len(), strength(&content.pattern)))
        .map(|(pattern, _)| pattern)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chain(contents: &[(&str, bool)]) -> Chain {
        let conditions = contents.iter().map(|(text, negated)| {
            let mut content = Content::new(text.as_bytes().to_vec());
            content.negated = *negated;
            Condition::Content(content.into())
        });
        Chain {
            conditions: conditions.collect(),
        }
    }

    #[test]
    fn the_longest_content_that_must_be_there_is_chosen() {
        let found = choose(
            &chain(&[("ab", false), ("longest but not", true), ("abcd", false)]),
            &[],
        );
        let found = found.unwrap();
        assert_eq!((found.condition, found.negated), (2, false));
    }

    #[test]
    fn of_two_as_long_the_stronger_is_chosen_and_of_two_as_strong_the_first() {
        assert_eq!(
            choose(&chain(&[("aaaa", false), ("abcd", false)]), &[])
                .unwrap()
                .condition,
            1
        );
        assert_eq!(
            choose(&chain(&[("abcd", false), ("efgh", false)]), &[])
                .unwrap()
                .condition,
            0
        );
    }

    #[test]
    fn what_must_not_be_there_is_chosen_when_there_is_nothing_else() {
        assert!(choose(&chain(&[("ab", true)]), &[]).unwrap().negated);
        assert!(choose(&chain(&[]), &[]).is_none());
    }
}
