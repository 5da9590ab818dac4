//! How far a chain of conditions got on octets: the machine run once more, observed.

use super::words;
use crate::rule::chain::{Chain, Condition, DatasetAccess, DatasetOperation, DatasetTest};
use crate::rule::dataset_store::DatasetStore;
use crate::rule::inspect::{Inspector, Observer, Subject};

/// A condition that held, and where.
#[derive(Clone, Debug)]
pub(super) struct Place {
    /// In the rule's words.
    pub condition: String,
    /// First octet, where that is known.
    pub start: Option<usize>,
    /// Octet after the last.
    pub end: usize,
}

/// What a chain came to.
#[derive(Debug)]
pub(super) struct Story {
    /// Conditions that held before the one that failed, or all.
    pub places: Vec<Place>,
    /// The first one that failed, in the rule's words, and why; `None` when all held.
    pub failed: Option<(String, String)>,
}

#[derive(Default)]
struct Trail<'c> {
    chain: Option<&'c Chain>,
    ends: Vec<usize>,
    /// Of the failures furthest down the chain, the first.
    failed: Option<(usize, String)>,
}

impl Trail<'_> {
    fn is_news(&self, at: usize) -> bool {
        self.failed.as_ref().is_none_or(|(known, _)| at > *known)
    }
}

impl Observer for Trail<'_> {
    fn holds(&mut self, at: usize, end: usize) {
        self.ends.truncate(at);
        self.ends.resize(at, 0);
        self.ends.push(end);
    }

    fn fails(&mut self, at: usize, position: usize, octets: &[u8], variables: &[u64]) {
        if !self.is_news(at) {
            return;
        }
        if let Some(condition) = self.chain.and_then(|chain| numbered(chain, at)) {
            self.failed = Some((at, words::failure(condition, octets, position, variables)));
        }
    }

    fn gives_up(&mut self, at: usize) {
        if self.is_news(at) {
            self.failed = Some((at, "the limit on inspection steps was reached".into()));
        }
    }
}

/// Condition `at`; those on what `base64_decode` gives are numbered after it.
fn numbered(chain: &Chain, at: usize) -> Option<&Condition> {
    for (number, condition) in chain.conditions.iter().enumerate() {
        match condition {
            condition if number == at => return Some(condition),
            Condition::Base64(base64) => return numbered(&base64.data, at - number - 1),
            _ => {}
        }
    }
    None
}

/// Run `chain` on `subject` and tell what happened; `matched` when it is known that all hold. Datasets are not changed.
pub(super) fn follow(
    machine: &mut Inspector,
    chain: &Chain,
    subject: &Subject<'_>,
    datasets: &mut DatasetStore,
    matched: bool,
) -> Story {
    let mut trail = Trail {
        chain: Some(chain),
        ..Trail::default()
    };
    let mut datasets = Unchanged { datasets, matched };
    let holds = machine.inspect_observed(chain, subject, &mut datasets, &mut trail);
    let Trail { ends, failed, .. } = trail;
    let failed = failed.filter(|_| !holds);
    let upto = failed.as_ref().map_or(ends.len(), |(at, _)| *at);
    let places = ends.iter().take(upto).enumerate().filter_map(|(at, &end)| {
        let condition = numbered(chain, at)?;
        let start = match condition {
            Condition::Content(content) if !content.negated => end.checked_sub(content.pattern.len()),
            _ => None,
        };
        let condition = words::condition(condition);
        Some(Place {
            condition,
            start,
            end,
        })
    });
    Story {
        places: places.collect(),
        failed: failed.and_then(|(at, reason)| Some((words::condition(numbered(chain, at)?), reason))),
    }
}

/// Asks datasets without changing them.
struct Unchanged<'d> {
    datasets: &'d mut DatasetStore,
    /// It is known that what was done held.
    matched: bool,
}

impl DatasetAccess for Unchanged<'_> {
    fn dataset(&mut self, test: DatasetTest, value: &[u8]) -> bool {
        let operation = match test.operation {
            DatasetOperation::Set => DatasetOperation::IsNotSet,
            DatasetOperation::Unset => DatasetOperation::IsSet,
            _ => return self.matched || self.datasets.dataset(test, value),
        };
        self.matched || self.datasets.dataset(DatasetTest { operation, ..test }, value)
    }

    fn datarep(&mut self, dataset: u32, value: &[u8]) -> Option<u16> {
        self.datasets.datarep(dataset, value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rule::chain::{Content, Operand};

    fn content(pattern: &str, change: impl FnOnce(&mut Content)) -> Condition {
        let mut content = Content::new(pattern.as_bytes().to_vec());
        change(&mut content);
        Condition::Content(Box::new(content))
    }

    fn story(conditions: Vec<Condition>, octets: &[u8]) -> Story {
        let mut chain = Chain { conditions };
        chain.finish();
        let mut machine = Inspector::new(3000);
        machine.begin(4);
        follow(
            &mut machine,
            &chain,
            &Subject::whole(octets),
            &mut DatasetStore::new(&[]),
            false,
        )
    }

    #[test]
    fn the_condition_that_failed_first_is_the_one_furthest_down_that_was_reached() {
        let close = |content: &mut Content| content.within = Some(Operand::Number(1));
        let told = story(
            vec![content("a", |_| ()), content("b", close), content("zz", |_| ())],
            b"a.ab.",
        );
        assert_eq!(told.places.len(), 2);
        assert_eq!((told.places[0].start, told.places[0].end), (Some(2), 3));
        let (condition, reason) = told.failed.unwrap();
        assert_eq!(condition, "content:\"zz\"");
        assert_eq!(reason, "it is nowhere in the 5 octets");
    }

    #[test]
    fn a_content_that_is_elsewhere_is_said_to_be() {
        let early = |content: &mut Content| content.depth = Some(Operand::Number(2));
        let told = story(vec![content("b", early)], b"xxxb");
        let (condition, reason) = told.failed.unwrap();
        assert_eq!(condition, "content:\"b\"; depth:2");
        assert!(
            reason.starts_with("it is at octet 3 of 4, but not where"),
            "{reason}"
        );
    }

    #[test]
    fn all_that_hold_are_places_and_nothing_failed() {
        let told = story(vec![content("a", |_| ()), content("b", |_| ())], b"ab");
        assert!(told.failed.is_none());
        let ends: Vec<usize> = told.places.iter().map(|place| place.end).collect();
        assert_eq!(ends, [1, 2]);
    }
}
