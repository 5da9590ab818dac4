//! Capture files as they come: every byte order and packing, cut short, corrupt, hostile.
#![allow(clippy::unwrap_used, missing_docs)]

use std::io::Write;

use proptest::prelude::*;
use tapwarden_capture::file::{CaptureFile, OpenError};

type Frames = Vec<(i64, Vec<u8>, u32, u32)>;

fn write_file(octets: &[u8]) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(octets).unwrap();
    file
}

fn read(octets: &[u8]) -> (Frames, String) {
    let file = write_file(octets);
    let mut capture = CaptureFile::open(file.path()).unwrap();
    let mut frames = Vec::new();
    while let Some(frame) = capture.next_frame() {
        frames.push((frame.ts.0, frame.data.to_vec(), frame.wire_len, frame.linktype));
    }
    (frames, capture.problem().to_string())
}

fn pcap(packets: &[(u32, u32, &[u8])], big: bool, nanoseconds: bool) -> Vec<u8> {
    let word = |value: u32| {
        if big {
            value.to_be_bytes()
        } else {
            value.to_le_bytes()
        }
    };
    let half = |value: u16| {
        if big {
            value.to_be_bytes()
        } else {
            value.to_le_bytes()
        }
    };
    let mut out = Vec::new();
    out.extend(word(if nanoseconds { 0xa1b2_3c4d } else { 0xa1b2_c3d4 }));
    out.extend(half(2));
    out.extend(half(4));
    for value in [0, 0, 65535, 1] {
        out.extend(word(value));
    }
    for (seconds, fraction, data) in packets {
        for value in [*seconds, *fraction, data.len() as u32, data.len() as u32 + 7] {
            out.extend(word(value));
        }
        out.extend(*data);
    }
    out
}

fn pcapng_block(kind: u32, body: &[u8]) -> Vec<u8> {
    let padded = body.len().next_multiple_of(4);
    let mut out = Vec::new();
    out.extend(kind.to_le_bytes());
    out.extend((padded as u32 + 12).to_le_bytes());
    out.extend(body);
    out.resize(8 + padded, 0);
    out.extend((padded as u32 + 12).to_le_bytes());
    out
}

fn pcapng(data: &[u8], resolution: u8, ticks: u64) -> Vec<u8> {
    let mut section = Vec::new();
    section.extend(0x1a2b_3c4du32.to_le_bytes());
    section.extend([1, 0, 0, 0]);
    section.extend(u64::MAX.to_le_bytes());
    let mut out = pcapng_block(0x0a0d_0d0a, &section);
    out.extend(pcapng_block(
        1,
        &[
            101, 0, 0, 0, 0, 0, 4, 0, 9, 0, 1, 0, resolution, 0, 0, 0, 0, 0, 0, 0,
        ],
    ));
    out.extend(pcapng_block(0xbad, b"a block nobody knows"));
    let mut packet = Vec::new();
    for value in [
        0,
        (ticks >> 32) as u32,
        ticks as u32,
        data.len() as u32,
        data.len() as u32,
    ] {
        packet.extend(value.to_le_bytes());
    }
    packet.extend(data);
    out.extend(pcapng_block(6, &packet));
    out
}

#[test]
fn pcap_of_either_byte_order_and_resolution_gives_the_same_frames() {
    for big in [false, true] {
        for (nanoseconds, fraction) in [(false, 250_000), (true, 250_000_000)] {
            let (frames, problem) = read(&pcap(&[(5, fraction, b"one"), (6, 0, b"")], big, nanoseconds));
            assert_eq!(problem, "");
            assert_eq!(frames[0], (5_250_000_000, b"one".to_vec(), 10, 1));
            assert_eq!(frames[1], (6_000_000_000, Vec::new(), 7, 1));
        }
    }
}

#[test]
fn gzip_and_zstd_are_unpacked() {
    // Octets that do not pack, so that half of the packed file holds some packets.
    let noise: Vec<u8> = (0u32..40_000)
        .map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect();
    let packets: Vec<(u32, u32, &[u8])> = noise.chunks(1000).map(|chunk| (1, 0, chunk)).collect();
    let plain = pcap(&packets, false, false);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(&plain).unwrap();
    let gzip = gzip.finish().unwrap();
    let mut zstd = Vec::new();
    for piece in plain.chunks(4000) {
        zstd.extend(zstd::encode_all(piece, 1).unwrap());
    }
    for packed in [gzip.as_slice(), zstd.as_slice()] {
        assert_eq!(read(packed), read(&plain));
        let (frames, problem) = read(&packed[..packed.len() / 2 + 3]);
        assert!(!frames.is_empty() && frames.len() < 40);
        assert!(
            problem.contains("cut short") || problem.contains("cannot be read"),
            "{problem}"
        );
    }
}

#[test]
fn pcapng_knows_its_interfaces_link_type_and_time_resolution() {
    let (frames, problem) = read(&pcapng(b"12345", 9, 7_000_000_123));
    assert_eq!(
        (frames, problem),
        (vec![(7_000_000_123, b"12345".to_vec(), 5, 101)], String::new())
    );
    // 2^-10 seconds
    assert_eq!(read(&pcapng(b"x", 0x8a, 1536)).0[0].0, 1_500_000_000);
}

#[test]
fn a_truncated_capture_gives_what_is_whole_and_says_where_it_is_cut() {
    let whole = pcap(&[(1, 0, b"first"), (2, 0, b"second")], false, false);
    let (frames, problem) = read(&whole[..whole.len() - 1]);
    assert_eq!(frames.len(), 1);
    assert_eq!(problem, "the capture is cut short at octet 61 after 1 packets");
}

#[test]
fn a_record_of_impossible_length_ends_the_capture_with_a_reason() {
    let mut octets = pcap(&[(1, 0, b"good"), (2, 0, b"bad!")], false, false);
    let at = 24 + 16 + 4 + 8;
    octets[at..at + 4].copy_from_slice(&0xffff_fff0u32.to_le_bytes());
    let (frames, problem) = read(&octets);
    assert_eq!(frames.len(), 1);
    assert!(
        problem.contains("corrupt at octet 44 after 1 packets"),
        "{problem}"
    );
}

#[test]
fn what_is_no_capture_is_refused_with_a_reason() {
    for octets in [
        &b""[..],
        b"hello, this is certainly not a capture file",
        b"\xd4\xc3\xb2\xa1short",
    ] {
        let file = write_file(octets);
        assert!(matches!(
            CaptureFile::open(file.path()),
            Err(OpenError::NotACapture(_))
        ));
    }
    assert!(matches!(
        CaptureFile::open(std::path::Path::new("/nonexistent")),
        Err(OpenError::Io(_))
    ));
}

proptest! {
    #[test]
    fn any_octets_after_a_header_end_without_a_panic(tail in proptest::collection::vec(any::<u8>(), 0..400), ng in any::<bool>()) {
        let mut octets = if ng { pcapng(b"12345", 6, 1) } else { pcap(&[], false, false) };
        octets.extend(tail);
        read(&octets);
    }
}
