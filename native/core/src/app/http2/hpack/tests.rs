use proptest::prelude::*;

use super::huffman::tests::encode;
use super::*;

fn octets(hex: &str) -> Vec<u8> {
    let hex: Vec<u8> = hex.bytes().filter(|octet| !octet.is_ascii_whitespace()).collect();
    hex.chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

fn decoded(block: &[u8], table: &mut Table) -> Vec<(String, String)> {
    let mut items = Vec::new();
    assert_eq!(decode(block, table, &mut items), Ok(false));
    let text = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
    items
        .iter()
        .map(Item::field)
        .map(|(name, value)| (text(name), text(value)))
        .collect()
}

fn check(blocks: &[(&str, &[(&str, &str)])], table: &mut Table) {
    for (block, fields) in blocks {
        let fields: Vec<_> = fields
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_string()))
            .collect();
        assert_eq!(decoded(&octets(block), table), fields);
    }
}

const FIRST: &[(&str, &str)] = &[
    (":method", "GET"),
    (":scheme", "http"),
    (":path", "/"),
    (":authority", "www.example.com"),
];
const SECOND: &[(&str, &str)] = &[
    (":method", "GET"),
    (":scheme", "http"),
    (":path", "/"),
    (":authority", "www.example.com"),
    ("cache-control", "no-cache"),
];
const THIRD: &[(&str, &str)] = &[
    (":method", "GET"),
    (":scheme", "https"),
    (":path", "/index.html"),
    (":authority", "www.example.com"),
    ("custom-key", "custom-value"),
];
const REDIRECT: &[(&str, &str)] = &[
    (":status", "302"),
    ("cache-control", "private"),
    ("date", "Mon, 21 Oct 2013 20:13:21 GMT"),
    ("location", "https://www.example.com"),
];
const REDIRECT_AGAIN: &[(&str, &str)] = &[
    (":status", "307"),
    ("cache-control", "private"),
    ("date", "Mon, 21 Oct 2013 20:13:21 GMT"),
    ("location", "https://www.example.com"),
];
const LAST: &[(&str, &str)] = &[
    (":status", "200"),
    ("cache-control", "private"),
    ("date", "Mon, 21 Oct 2013 20:13:22 GMT"),
    ("location", "https://www.example.com"),
    ("content-encoding", "gzip"),
    (
        "set-cookie",
        "foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1",
    ),
];

#[test]
fn the_representations_of_appendix_c_2_decode() {
    let blocks = [
        (
            "400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572",
            ("custom-key", "custom-header"),
        ),
        ("040c 2f73 616d 706c 652f 7061 7468", (":path", "/sample/path")),
        (
            "1008 7061 7373 776f 7264 0673 6563 7265 74",
            ("password", "secret"),
        ),
        ("82", (":method", "GET")),
    ];
    for (block, field) in blocks {
        check(&[(block, &[field])], &mut Table::new(65_536));
    }
}

#[test]
fn the_requests_of_appendix_c_3_and_c_4_decode() {
    let plain = [
        ("8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d", FIRST),
        ("8286 84be 5808 6e6f 2d63 6163 6865", SECOND),
        (
            "8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65",
            THIRD,
        ),
    ];
    let huffman = [
        ("8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff", FIRST),
        ("8286 84be 5886 a8eb 1064 9cbf", SECOND),
        (
            "8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf",
            THIRD,
        ),
    ];
    check(&plain, &mut Table::new(65_536));
    check(&huffman, &mut Table::new(65_536));
}

#[test]
fn the_responses_of_appendix_c_5_and_c_6_decode_from_a_table_of_256_octets() {
    let plain = [
        (
            "4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3120
             474d 546e 1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
            REDIRECT,
        ),
        ("4803 3330 37c1 c0bf", REDIRECT_AGAIN),
        (
            "88c1 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3220 474d 54c0 5a04 677a 6970 7738
             666f 6f3d 4153 444a 4b48 514b 425a 584f 5157 454f 5049 5541 5851 5745 4f49 553b 206d 6178 2d61 6765 3d33
             3630 303b 2076 6572 7369 6f6e 3d31",
            LAST,
        ),
    ];
    let huffman = [
        (
            "4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b ff6e 919d 29ad 1718
             63c7 8f0b 97c8 e9ae 82ae 43d3",
            REDIRECT,
        ),
        ("4883 640e ffc1 c0bf", REDIRECT_AGAIN),
        (
            "88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab 77ad 94e7 821d d7f2 e6c7
             b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed 4ee5 b106 3d50 07",
            LAST,
        ),
    ];
    for blocks in [plain, huffman] {
        let mut table = Table::new(65_536);
        table.allow(256);
        check(&blocks, &mut table);
    }
}

#[test]
fn what_stands_for_no_field_is_told() {
    let mut table = Table::new(65_536);
    let mut items = Vec::new();
    // Index 0, an index nothing is at, a size update to 100.
    decode(&[0x80, 0xbe, 0x3f, 69], &mut table, &mut items).unwrap();
    assert!(matches!(
        items[..],
        [
            Item::Wrong("HTTP2HeaderDecodeIndex0"),
            Item::Wrong("HTTP2HeaderDecodeNotIndexed"),
            Item::SizeUpdate(100)
        ]
    ));
    items.clear();
    let huge = [
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 0x82,
    ];
    assert_eq!(decode(&huge, &mut table, &mut items), Ok(true));
    assert!(matches!(
        items[..],
        [Item::Wrong("HTTP2HeaderDecodeIntegerOverflow")]
    ));
    for truncated in [&[0xff][..], &[0x40], &[0x40, 5, 1], &[0x04, 0x7f, 0x80]] {
        assert_eq!(decode(truncated, &mut table, &mut Vec::new()), Err(Truncated));
    }
}

proptest! {
    #[test]
    fn literals_decode_to_what_was_encoded(
        fields in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..300), prop::collection::vec(any::<u8>(), 0..300)), 0..5)
    ) {
        let mut block = Vec::new();
        for (name, value) in &fields {
            encode_literal(name, value, &mut block);
        }
        let mut items = Vec::new();
        prop_assert_eq!(decode(&block, &mut Table::new(65_536), &mut items), Ok(false));
        let got: Vec<_> = items.iter().map(Item::field).map(|(name, value)| (name.to_vec(), value.to_vec())).collect();
        prop_assert_eq!(got, fields);
    }

    #[test]
    fn huffman_texts_are_read_from_literals(value in prop::collection::vec(any::<u8>(), 0..60)) {
        let coded = encode(&value);
        prop_assume!(coded.len() < 127);
        let block = [&[0x04, 0x80 | coded.len() as u8], &coded[..]].concat();
        let mut items = Vec::new();
        decode(&block, &mut Table::new(65_536), &mut items).unwrap();
        prop_assert_eq!(items[0].field(), (&b":path"[..], &value[..]));
    }

    #[test]
    fn any_octets_are_read_without_panic(blocks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..4)) {
        let mut table = Table::new(500);
        for block in &blocks {
            let _ = decode(block, &mut table, &mut Vec::new());
        }
    }
}
