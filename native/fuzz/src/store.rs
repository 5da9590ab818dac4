//! Pieces of stored blocks, and records on their way into them.

use std::sync::Arc;

use tapwarden_core::column::codec::Squeezer;
use tapwarden_core::column::filter::{Condition, Filter, Test};
use tapwarden_core::column::hunt::Hunt;
use tapwarden_core::column::part::{numbers, Part, PartClock};
use tapwarden_core::column::records::Records;
use tapwarden_core::column::summary::{Counted, Field, Summary};
use tapwarden_core::column::tally::{self, Tally};
use tapwarden_core::column::{source, Column, Pieces};

const CLOCK: PartClock = PartClock {
    since_us: 0,
    unit_us: 1,
};

/// One piece of any octets among whole ones, asked everything. The first octet chooses the column.
///
/// # Panics
/// When something that must hold does not.
pub fn pieces(octets: &[u8]) {
    let Some((&chosen, rest)) = octets.split_first() else {
        return;
    };
    let mut records = Records::default();
    records.push(br#"{"timestamp":"1970-01-01T00:00:01Z","event_type":"tls","src_ip":"192.0.2.1","src_port":1,"flow_id":7,"tls":{"sni":"a.b"}}"#, b"o:1");
    records.push(br#"{"timestamp":"1970-01-01T00:00:02Z","event_type":"alert","alert":{"signature_id":1,"signature":"x"},"http":{"url":"/abc"}}"#, b"o:2");
    let part = Part::new(Arc::new(records), |_, _| true, CLOCK, None);
    let block = part.packed().expect("memory").pop().expect("a block");
    let forged = Column::ALL[usize::from(chosen) % Column::ALL.len()];
    // The compression has a checksum: what is behind it is what has to be tried.
    let squeezed = match forged {
        Column::Record => rest.to_vec(),
        _ => Squeezer::default().squeeze(rest).expect("memory"),
    };
    let mut kept: Vec<(Column, &[u8])> = Column::ALL.iter().map(|&column| (column, &[][..])).collect();
    for (column, piece) in &mut kept {
        let whole = block.pieces.iter().find(|(of, _)| of == column);
        *piece = whole.map_or(&[], |(_, octets)| octets);
        if *column == forged {
            *piece = &squeezed;
        }
    }
    ask(Pieces(&kept), block.rows, forged, &squeezed);
}

fn ask(pieces: Pieces<'_>, rows: usize, forged: Column, piece: &[u8]) {
    let mut filter = Filter::default();
    let sides = vec![Column::Source, Column::Destination];
    let _ = filter.rows(pieces, rows, Some((0, 9)));
    for counted in [
        Counted::Rows,
        Counted::Stretches(1),
        Counted::Groups,
        Counted::Values(Field::Sid),
    ] {
        let _ = Summary::new(counted, false).add(&filter, pieces, rows, None, CLOCK);
    }
    for column in tally::TALLIED {
        let mut summary = Summary::new(Counted::Values(Field::Column(column)), true);
        let _ = summary.add(&filter, pieces, rows, None, CLOCK);
        let _ = summary.add_tally(piece, &[]);
        let _ = summary.values(3);
        let mut tally = Tally::new(column);
        let _ = tally.add(pieces);
        tally.packed().expect("memory");
    }
    let mut hunt = Hunt::default();
    hunt.network(&[b'4', 192, 0, 0, 0], 9, 0);
    hunt.endpoint(vec![b'4', 192, 0, 2, 1], 1, 1);
    hunt.domain(b"b.".to_vec(), 2);
    hunt.url(b"/abc".to_vec(), 3);
    hunt.print(1, 4);
    let _ = hunt.search(pieces, None);
    for condition in [
        Condition::Value(sides, Test::OneOf(vec![b"4....".to_vec()])),
        Condition::Value(vec![Column::Domain], Test::Begins(b"b.".to_vec())),
        Condition::Value(vec![Column::Url], Test::Contains(b"abc".to_vec())),
        Condition::Value(vec![Column::Rule], Test::Signature(b"x".to_vec())),
        Condition::Print(7),
        Condition::Text(b"tls".to_vec()),
    ] {
        filter.add(condition.clone());
        let mut alone = Filter::default();
        alone.add(condition);
        let _ = alone.possible(pieces);
        let _ = alone.rows(pieces, rows, None);
    }
    let _ = filter.rows(pieces, rows, Some((0, u64::MAX)));
    if forged == Column::Record {
        let _ = source::read(piece, &[0, 1, 300]);
    }
}

/// Records, a line each: whatever they are, what is packed is what was given.
///
/// # Panics
/// When something that must hold does not.
pub fn records(octets: &[u8]) {
    let mut records = Records::default();
    for line in octets.split(|&octet| octet == b'\n').take(64) {
        records.push(line, b"line");
    }
    let doubtful: Vec<usize> = records.doubtful().collect();
    for at in doubtful {
        let found = (at % 3 != 0).then_some((&br#"{"event_type":"odd"}"#[..], at as i64));
        records.settle(at, found);
    }
    let mut part = Part::new(Arc::new(records), |_, _| true, CLOCK, None);
    while part.tell_apart() {}
    let given: Vec<Vec<u8>> = (0..part.len())
        .filter_map(|at| Some(part.record(at)?.0.to_vec()))
        .collect();
    let mut kept = Vec::new();
    for block in part.packed().expect("memory") {
        let piece = |of: Column| {
            &block
                .pieces
                .iter()
                .find(|(column, _)| *column == of)
                .expect("a piece")
                .1
        };
        if block.rows == 0 {
            continue;
        }
        assert_eq!(numbers(piece(Column::Number)).expect("whole").len(), block.rows);
        let rows: Vec<u32> = (0..block.rows as u32).collect();
        kept.extend(
            source::read(piece(Column::Record), &rows)
                .expect("whole")
                .into_iter()
                .map(|(raw, _)| raw),
        );
    }
    assert_eq!(kept, given);
}
