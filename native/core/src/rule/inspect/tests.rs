//! What conditions ask of octets, by example.

mod properties;

use super::*;
use crate::rule::chain::*;
use crate::rule::entropy::Entropy;
use crate::rule::signature::NumberTest;

struct NoDatasets;

impl DatasetAccess for NoDatasets {
    fn dataset(&mut self, _test: DatasetTest, value: &[u8]) -> bool {
        value == b"listed"
    }
    fn datarep(&mut self, _dataset: u32, _value: &[u8]) -> Option<u16> {
        None
    }
}

fn content(pattern: &str, change: impl FnOnce(&mut Content)) -> Condition {
    let mut content = Content::new(pattern.as_bytes().to_vec());
    change(&mut content);
    Condition::Content(Box::new(content))
}

fn number(number: i64) -> Option<Operand> {
    Some(Operand::Number(number))
}

fn pcre(pattern: &str, relative: bool, negated: bool) -> Condition {
    Condition::Pcre(Box::new(Pcre {
        regex: pcre2::bytes::Regex::new(pattern).unwrap(),
        negated,
        relative,
        relative_next: false,
        captures: Vec::new(),
    }))
}

fn holds(conditions: Vec<Condition>, data: &[u8]) -> bool {
    holds_in(conditions, &Subject::whole(data))
}

fn holds_in(conditions: Vec<Condition>, subject: &Subject<'_>) -> bool {
    let mut chain = Chain { conditions };
    chain.finish();
    Inspector::new(3000).inspect(&chain, subject, &mut NoDatasets)
}

#[test]
fn depth_counts_from_offset_and_contents_end_within_it() {
    let limited = |offset, depth| {
        content("abc", |content| {
            content.offset = number(offset);
            content.depth = number(depth);
        })
    };
    assert!(holds(vec![limited(2, 3)], b"xxabc"));
    assert!(!holds(vec![limited(1, 3)], b"xxabc"));
    assert!(!holds(vec![limited(3, 9)], b"xxabc"));
    let starts = || vec![content("ab", |content| content.starts_with = true)];
    assert!(holds(starts(), b"abab"));
    assert!(!holds(starts(), b"xab"));
}

#[test]
fn another_occurrence_is_tried_when_what_follows_is_too_far() {
    let follows = |distance, within| {
        vec![
            content("a", |_| ()),
            content("b", |content| {
                content.distance = distance;
                content.within = within;
            }),
        ]
    };
    assert!(holds(follows(None, number(1)), b"a...ab"));
    assert!(!holds(follows(None, number(1)), b"a...a.b"));
    assert!(holds(follows(number(1), number(1)), b"ab.ax.axb"));
    assert!(holds(follows(number(-2), None), b"ba"));
    assert!(!holds(follows(number(0), None), b"ba"));
}

#[test]
fn negated_contents_must_be_absent_where_they_are_looked_for() {
    let absent = |change: fn(&mut Content)| {
        content("b", |content| {
            content.negated = true;
            change(content);
        })
    };
    assert!(holds(vec![content("a", |_| ()), absent(|_| ())], b"aaa"));
    assert!(!holds(vec![content("a", |_| ()), absent(|_| ())], b"baa"));
    let close = |content: &mut Content| content.within = Some(Operand::Number(1));
    assert!(!holds(vec![content("a", |_| ()), absent(close)], b"ab"));
    assert!(holds(vec![content("a", |_| ()), absent(close)], b"ab ac"));
    assert!(holds(
        vec![absent(|content| content.offset = Some(Operand::Number(9)))],
        b"b"
    ));
}

#[test]
fn endswith_is_the_end_of_the_buffer_only() {
    let ends = || vec![content("ab", |content| content.ends_with = true)];
    assert!(holds(ends(), b"abxab"));
    assert!(!holds(ends(), b"abx"));
    let ends_early = content("ab", |content| {
        content.ends_with = true;
        content.depth = number(2);
    });
    assert!(!holds(vec![ends_early], b"abab"));
}

#[test]
fn expressions_are_relative_negated_and_tried_again() {
    assert!(holds(
        vec![content("a", |_| ()), pcre("^b", true, false)],
        b"a1ab"
    ));
    assert!(!holds(
        vec![content("a", |_| ()), pcre("^b", true, false)],
        b"a1a1"
    ));
    assert!(holds(vec![pcre("x[0-9]", false, true)], b"xx"));
    assert!(!holds(vec![pcre("x[0-9]", false, true)], b"x1"));
    let close = content("z", |content| content.within = number(1));
    assert!(holds(vec![pcre("a.", false, false), close], b"a1 a2z"));
}

#[test]
fn numbers_are_extracted_compared_and_jumped_over() {
    let extract = Condition::ByteExtract(Box::new(ByteExtract {
        count: 1,
        offset: 0,
        variable: 0,
        relative: false,
        encoding: Encoding::Big,
        multiplier: 1,
        align: 0,
    }));
    let at = content("x", |content| {
        content.distance = Some(Operand::Variable(0));
        content.within = number(1);
    });
    assert!(holds(vec![extract, at], b"\x02..x"));
    let jump = Condition::ByteJump(Box::new(ByteJump {
        count: Operand::Number(2),
        offset: Operand::Number(0),
        relative: false,
        encoding: Encoding::Little,
        multiplier: 2,
        align: false,
        from_beginning: false,
        from_end: false,
        post_offset: Operand::Number(-1),
        bitmask: 0,
    }));
    let test = Condition::ByteTest(Box::new(ByteTest {
        count: Operand::Number(3),
        compare: ByteCompare::Greater,
        negated: false,
        value: Operand::Number(122),
        offset: Operand::Number(0),
        relative: true,
        encoding: Encoding::Text(10),
        bitmask: 0,
    }));
    assert!(holds(vec![jump, test], b"\x02\x00...123"));
}

#[test]
fn what_is_decoded_is_looked_at_and_nothing_else() {
    let decode = |inner: &str| {
        let data = Chain {
            conditions: vec![content(inner, |_| ())],
        };
        Condition::Base64(Box::new(Base64 {
            octets: 0,
            offset: 0,
            relative: true,
            data,
        }))
    };
    assert!(holds(vec![content("=", |_| ()), decode("foo")], b"x=Zm9v"));
    assert!(!holds(vec![content("=", |_| ()), decode("fob")], b"x=Zm9v"));
}

#[test]
fn the_depth_of_a_stream_counts_from_its_start() {
    let within_ten = || {
        vec![content("ab", |content| {
            content.depth = number(10);
        })]
    };
    let later = |offset| Subject {
        offset,
        ..Subject::whole(b"..ab")
    };
    assert!(holds_in(within_ten(), &later(4)));
    assert!(!holds_in(within_ten(), &later(8)));
    assert!(!holds_in(within_ten(), &later(20)));
    assert!(holds_in(vec![Condition::Size(NumberTest::Equal(8))], &later(4)));
}

#[test]
fn captures_are_kept_and_datasets_asked() {
    let captured = Condition::Pcre(Box::new(Pcre {
        regex: pcre2::bytes::Regex::new("id=([0-9]+)").unwrap(),
        negated: false,
        relative: false,
        relative_next: false,
        captures: vec![Some(Capture::Flow(7))],
    }));
    let chain = Chain {
        conditions: vec![captured],
    };
    let mut inspector = Inspector::new(0);
    assert!(inspector.inspect(&chain, &Subject::whole(b"x id=42;"), &mut NoDatasets));
    assert_eq!(inspector.captured()[0], (Capture::Flow(7), b"42"[..].into()));
    inspector.begin(0);
    assert!(inspector.captured().is_empty());
    let listed = || {
        vec![Condition::Dataset(DatasetTest {
            dataset: 0,
            operation: DatasetOperation::IsSet,
        })]
    };
    assert!(holds(listed(), b"listed"));
    assert!(!holds(listed(), b"not"));
}

#[test]
fn entropy_is_that_of_the_octets_asked_for() {
    let entropy = |octets, offset, compare, value| {
        vec![Condition::Entropy(Entropy {
            octets,
            offset,
            compare,
            negated: false,
            value,
        })]
    };
    assert!(holds(entropy(0, 0, ByteCompare::Equal, 2.0), b"abcdabcd"));
    assert!(holds(entropy(0, 0, ByteCompare::Less, 0.1), b"aaaa"));
    assert!(!holds(entropy(0, 0, ByteCompare::Greater, 2.0), b"abcdabcd"));
    assert!(holds(entropy(4, 4, ByteCompare::Equal, 2.0), b"aaaaabcd"));
    assert!(!holds(entropy(5, 4, ByteCompare::Greater, 0.0), b"aaaaabcd"));
}

#[test]
fn a_buffer_that_is_there_is_not_absent_but_its_other_conditions_are_asked() {
    assert!(!holds(vec![Condition::Absent { or_else: false }], b"x"));
    let or = |pattern| vec![Condition::Absent { or_else: true }, content(pattern, |_| ())];
    assert!(holds(or("x"), b"x"));
    assert!(!holds(or("y"), b"x"));
}

#[test]
fn hostile_repetition_ends_at_the_limit() {
    let mut conditions = vec![content("a", |_| ())];
    for _ in 0..60 {
        conditions.push(content("a", |content| content.within = number(40)));
    }
    conditions.push(content("b", |content| content.within = number(1)));
    assert!(!holds(conditions, &[b'a'; 4096]));
}
