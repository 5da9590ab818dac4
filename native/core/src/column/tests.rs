//! What goes into a block comes out of it, and is found there.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use proptest::prelude::*;

use super::codec::Squeezer;
use super::filter::{Condition, Filter, Test};
use super::key::{self, Print};
use super::part::{numbers, Packed, Part, PartClock};
use super::records::Records;
use super::summary::{Counted, Field, Summary};
use super::tally::Tally;
use super::{bloom, source, time, Column, Damaged, Pieces};

const CLOCK: PartClock = PartClock {
    since_us: 0,
    unit_us: 1,
};

fn block(lines: &[String]) -> Packed {
    let mut records = Records::default();
    for (number, line) in lines.iter().enumerate() {
        records.push(line.as_bytes(), format!("eve:{number}").as_bytes());
    }
    assert_eq!(records.doubtful().count(), 0);
    let mut part = Part::new(Arc::new(records), |_, _| true, CLOCK, None);
    part.tell_apart();
    part.packed().unwrap().pop().unwrap()
}

fn flow(second: u32, source: &str, more: &str) -> String {
    let head =
        format!(r#"{{"timestamp":"1970-01-01T00:00:{second:02}Z","event_type":"flow","src_ip":"{source}""#);
    format!("{head}{more}}}")
}

fn all(block: &Packed) -> Vec<(Column, &[u8])> {
    let piece = |column| block.pieces.iter().find(|(of, _)| *of == column);
    let pieces = Column::ALL.into_iter();
    pieces
        .map(|column| (column, piece(column).map_or(&[][..], |(_, octets)| octets)))
        .collect()
}

fn rows(block: &Packed, condition: Condition) -> Vec<usize> {
    let mut filter = Filter::default();
    filter.add(condition);
    let pieces = all(block);
    let matching = filter.rows(Pieces(&pieces), block.rows, None).unwrap();
    let found: Vec<usize> = (0..block.rows).filter(|&row| matching[row]).collect();
    let possible = filter.possible(Pieces(&pieces)).unwrap();
    assert!(possible || found.is_empty(), "what is there is possible");
    found
}

#[test]
fn rows_are_found_by_what_they_have() {
    let block = block(&[
        flow(
            1,
            "192.0.2.1",
            r#","dest_ip":"2001:db8::1","dest_port":443,"flow_id":7"#,
        ),
        flow(
            2,
            "192.0.2.2",
            r#","tls":{"sni":"www.Example.com","ja3":{"hash":"AB"}}"#,
        ),
        flow(
            3,
            "192.0.3.1",
            r#","http":{"hostname":"example.com:80","url":"/a/B?c"},"alert":{"signature_id":9,"signature":"ET Beacon"}"#,
        ),
    ]);
    let sides = || vec![Column::Source, Column::Destination];
    let address = |text: &str| {
        let mut out = Vec::new();
        key::address(text, &mut out);
        out
    };
    assert_eq!(
        rows(
            &block,
            Condition::Value(sides(), Test::OneOf(vec![address("2001:db8:0::1")]))
        ),
        [0]
    );
    let (first, last) = key::network("192.0.2.77", 24).unwrap();
    assert_eq!(
        rows(&block, Condition::Value(sides(), Test::Within(first, last))),
        [0, 1]
    );
    let domain = Test::Begins(b"com.example.".to_vec());
    assert_eq!(
        rows(&block, Condition::Value(vec![Column::Domain], domain)),
        [1, 2]
    );
    let url = Test::Contains(b"example.com:80/a/b".to_vec());
    assert_eq!(rows(&block, Condition::Value(vec![Column::Url], url)), [2]);
    assert_eq!(
        rows(&block, Condition::Value(vec![Column::Rule], Test::Sid(9))),
        [2]
    );
    let signature = Test::Signature(b"beac".to_vec());
    assert_eq!(rows(&block, Condition::Value(vec![Column::Rule], signature)), [2]);
    assert_eq!(rows(&block, Condition::Print(key::print(Print::Ja, b"ab"))), [1]);
    assert_eq!(
        rows(&block, Condition::Print(key::print(Print::Flow, &key::whole(7)))),
        [0]
    );
    assert!(rows(&block, Condition::Print(key::print(Print::Flow, &key::whole(8)))).is_empty());
    assert_eq!(rows(&block, Condition::Text(b"www.example".to_vec())), [1]);
}

#[test]
fn a_tally_counts_what_its_blocks_count() {
    let lines = |from: u32| -> Vec<String> {
        (from..from + 20)
            .map(|n| flow(n, &format!("192.0.2.{}", n % 7), r#","tls":{"sni":"a.b"}"#))
            .collect()
    };
    let blocks = [block(&lines(0)), block(&lines(25))];
    for field in [
        Field::Column(Column::Source),
        Field::Column(Column::Domain),
        Field::Column(Column::Kind),
    ] {
        let mut by_block = Summary::new(Counted::Values(field), false);
        let mut tally = Tally::new(field.column());
        for block in &blocks {
            let pieces = all(block);
            by_block
                .add(&Filter::default(), Pieces(&pieces), block.rows, None, CLOCK)
                .unwrap();
            tally.add(Pieces(&pieces)).unwrap();
        }
        let mut by_tally = Summary::new(Counted::Values(field), false);
        by_tally
            .add_tally(&tally.packed().unwrap(), &[b"flow".to_vec()])
            .unwrap();
        by_tally
            .add_tally(&tally.packed().unwrap(), &[b"dns".to_vec()])
            .unwrap();
        assert_eq!(by_tally.values(99), by_block.values(99));
        assert!(!by_block.values(99).is_empty());
    }
}

#[test]
fn a_flipped_bit_in_any_piece_is_damage() {
    let block = block(&[flow(
        1,
        "192.0.2.1",
        r#","dest_port":443,"flow_id":7,"tls":{"sni":"a.b"}"#,
    )]);
    for (column, octets) in &block.pieces {
        let mut octets = octets.clone();
        let last = octets.len() - 6;
        octets[last] ^= 1;
        let read = match column {
            Column::Record => source::read(&octets, &[0]).map(|_| ()),
            _ => super::codec::expand(&octets).map(|_| ()),
        };
        assert_eq!(read, Err(Damaged), "{column:?}");
    }
}

#[test]
fn times_are_read_as_they_are_written_or_left_to_others() {
    assert_eq!(time::micros("1970-01-01T00:00:01.000002+0000"), Some(1_000_002));
    assert_eq!(
        time::micros("2026-11-24T12:00:00+02:00"),
        Some(1_795_514_400_000_000)
    );
    assert_eq!(time::micros("2000-02-29T00:00:00.5Z"), None);
    assert_eq!(
        time::micros("2000-02-29T00:00:00.500Z"),
        Some(951_782_400_500_000)
    );
    for odd in [
        "",
        "2026-02-29T00:00:00Z",
        "2026-11-24 12:00:00",
        "2026-11-24T24:00:00Z",
        "2026-11-24T12:00:00+2",
    ] {
        assert_eq!(time::micros(odd), None, "{odd}");
    }
}

proptest! {
    #[test]
    fn domains_and_addresses_come_back(name in "[a-z0-9-]{1,9}(\\.[a-z0-9-]{1,9}){0,4}", v4: [u8; 4], v6: [u8; 16]) {
        let mut domain = Vec::new();
        key::domain(&name, &mut domain);
        prop_assert_eq!(key::domain_text(&domain), name);
        for text in [std::net::Ipv4Addr::from(v4).to_string(), std::net::Ipv6Addr::from(v6).to_string()] {
            let mut address = Vec::new();
            key::address(&text, &mut address);
            prop_assert_eq!(key::address_text(&address), text);
        }
    }

    #[test]
    fn a_filter_has_whatever_was_put_into_it(keys in proptest::collection::vec(any::<u64>(), 1..300)) {
        let made = bloom::made(&keys, &mut Squeezer::default()).unwrap();
        prop_assert!(bloom::may_have(&made, keys.into_iter()).unwrap().into_iter().all(|has| has));
    }

    #[test]
    fn records_come_back_in_the_order_of_their_numbers(seconds in proptest::collection::vec(0u32..50, 1..600)) {
        let lines: Vec<String> = seconds.iter().map(|&second| flow(second, "192.0.2.1", "")).collect();
        let block = block(&lines);
        let pieces = all(&block);
        let kept = numbers(Pieces(&pieces).get(Column::Number).unwrap()).unwrap();
        prop_assert_eq!(kept.len(), lines.len());
        let every: Vec<u32> = (0..block.rows as u32).collect();
        let read = source::read(Pieces(&pieces).get(Column::Record).unwrap(), &every).unwrap();
        let mut sorted = lines.clone();
        sorted.sort();
        let read: Vec<String> = read.into_iter().map(|(raw, _)| String::from_utf8(raw).unwrap()).collect();
        prop_assert_eq!(read, sorted);
    }
}
