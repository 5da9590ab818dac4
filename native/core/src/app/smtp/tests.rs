//! Dialogues.

use super::*;
use crate::event::json::Json;
use crate::time::Timestamp;

fn input(data: &[u8]) -> Input<'_> {
    Input {
        data,
        gap: 0,
        eof: false,
        now: Timestamp(0),
        packet: 1,
    }
}

const TS: Direction = Direction::ToServer;
const TC: Direction = Direction::ToClient;

#[test]
fn a_mail_with_an_attachment_is_one_transaction_with_its_record_and_file() {
    let mut parser = start(&AppProtocol::default(), Carrier::Tcp);
    let mut requests = Requests::default();
    for (direction, text) in [
        (TC, "220 mx\r\n"),
        (TS, "EHLO client\r\n"),
        (TC, "250-mx\r\n250 PIPELINING\r\n"),
        (TS, "MAIL FROM:<a@example>\r\nRCPT TO:<b@example>\r\nDATA\r\n"),
        (TC, "250 ok\r\n250 ok\r\n354 go\r\n"),
        (TS, "From: A <a@example>\r\nTo: b@example, c@example\r\nSubject: hi\r\nContent-Disposition: attachment; filename=\"f.bin\"\r\n\r\nline\r\n.\r\n"),
        (TC, "250 queued\r\n"),
    ] {
        let parsed = parser.parse(direction, &input(text.as_bytes()), &mut requests);
        assert_eq!(parsed, Parsed::Used(text.len()));
    }
    let tx = parser.transactions().get(0).unwrap();
    assert!(tx.complete(TS) && tx.meta().events.is_empty());
    assert_eq!(tx.files().unwrap().files[0].size, 4);
    let mut out = Vec::new();
    let mut json = Json::new(&mut out);
    json.open();
    tx.write_record(0, &mut json);
    json.close_object();
    let record: serde_json::Value = serde_json::from_slice(&out).unwrap();
    assert_eq!(record["smtp"]["helo"], "client");
    assert_eq!(record["smtp"]["rcpt_to"][0], "<b@example>");
    assert_eq!(record["email"]["to"][1], "c@example");
    assert_eq!(record["email"]["attachment"][0], "f.bin");
}

#[test]
fn starttls_asks_for_tls() {
    let mut parser = start(&AppProtocol::default(), Carrier::Tcp);
    let mut requests = Requests::default();
    parser.parse(TC, &input(b"220 mx\r\n"), &mut requests);
    parser.parse(TS, &input(b"STARTTLS\r\n"), &mut requests);
    parser.parse(TC, &input(b"220 go\r\n"), &mut requests);
    assert_eq!(requests.change_protocol, Some("tls"));
}

proptest::proptest! {
    #[test]
    fn any_dialogue_does_not_panic(lines in proptest::collection::vec(("(DATA|BDAT [0-9]{1,3}|EHLO x|RSET|\\.|[ -~]{0,30})\r?\n", "(220|250|354|9)[- ]?[ -~]{0,10}\n"), 0..20)) {
        let mut parser = start(&AppProtocol::default(), Carrier::Tcp);
        for (request, reply) in &lines {
            parser.parse(TC, &input(reply.as_bytes()), &mut Requests::default());
            parser.parse(TS, &input(request.as_bytes()), &mut Requests::default());
        }
    }
}
