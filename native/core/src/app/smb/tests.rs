use proptest::prelude::*;

use super::*;
use crate::app::Transaction;
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

fn wide(text: &str) -> Vec<u8> {
    text.bytes().flat_map(|octet| [octet, 0]).collect()
}

fn packet(content: &[u8]) -> Vec<u8> {
    let mut out = (content.len() as u32).to_be_bytes().to_vec();
    out.extend_from_slice(content);
    out
}

/// A message of SMB 2: (command, identifier, tree), answered or not, with its status.
fn smb2_message((command, id, tree): (u16, u64, u32), answer: Option<u32>, body: &[u8]) -> Vec<u8> {
    let mut out = b"\xfeSMB\x40\0\0\0".to_vec();
    out.extend_from_slice(&answer.unwrap_or(0).to_le_bytes());
    out.extend_from_slice(&command.to_le_bytes());
    out.extend_from_slice(&[0; 2]);
    out.extend_from_slice(&u32::from(answer.is_some()).to_le_bytes());
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&id.to_le_bytes());
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&tree.to_le_bytes());
    out.extend_from_slice(&9u64.to_le_bytes());
    out.extend_from_slice(&[0; 16]);
    out.extend_from_slice(body);
    packet(&out)
}

fn tree_connect(share: &str, share_type: u8) -> [Vec<u8>; 2] {
    let asked = [vec![9, 0, 0, 0, 72, 0], wide(share)].concat();
    let mut answered = vec![16, 0, share_type];
    answered.resize(16, 0);
    [
        smb2_message((3, 1, 0), None, &asked),
        smb2_message((3, 1, 5), Some(0), &answered),
    ]
}

const FILE: [u8; 16] = *b"0123456789abcdef";

fn create(name: &str) -> [Vec<u8>; 2] {
    let name = wide(name);
    let mut asked = vec![0; 36];
    asked.extend_from_slice(&1u32.to_le_bytes());
    asked.extend_from_slice(&[0; 6]);
    asked.extend_from_slice(&(name.len() as u16).to_le_bytes());
    asked.extend_from_slice(&[0; 8]);
    asked.extend_from_slice(&name);
    let mut answered = vec![0; 64];
    answered[48..56].copy_from_slice(&4000u64.to_le_bytes());
    answered.extend_from_slice(&FILE);
    answered.extend_from_slice(&[0; 8]);
    [
        smb2_message((5, 2, 5), None, &asked),
        smb2_message((5, 2, 5), Some(0), &answered),
    ]
}

fn read(id: u64, offset: u64, octets: &[u8]) -> [Vec<u8>; 2] {
    let mut asked = vec![0; 4];
    asked.extend_from_slice(&(octets.len() as u32).to_le_bytes());
    asked.extend_from_slice(&offset.to_le_bytes());
    asked.extend_from_slice(&FILE);
    asked.extend_from_slice(&[0; 16]);
    let mut answered = vec![17, 0, 80, 0];
    answered.extend_from_slice(&(octets.len() as u32).to_le_bytes());
    answered.extend_from_slice(&[0; 8]);
    answered.extend_from_slice(octets);
    [
        smb2_message((8, id, 5), None, &asked),
        smb2_message((8, id, 5), Some(0), &answered),
    ]
}

fn close() -> [Vec<u8>; 2] {
    let asked = [vec![0; 8], FILE.to_vec()].concat();
    [
        smb2_message((6, 9, 5), None, &asked),
        smb2_message((6, 9, 5), Some(0), &[0; 60]),
    ]
}

/// What a client and a server say, in turn.
struct Play {
    parser: Box<dyn Parser>,
    held: [Vec<u8>; 2],
}

impl Play {
    fn new() -> Play {
        Play {
            parser: start(&AppProtocol::default(), Carrier::Tcp),
            held: Default::default(),
        }
    }

    fn say(&mut self, direction: Direction, octets: &[u8]) -> Parsed {
        let held = &mut self.held[direction.index()];
        held.extend_from_slice(octets);
        let parsed = self
            .parser
            .parse(direction, &input(held), &mut Requests::default());
        if let Parsed::Used(used) = parsed {
            held.drain(..used);
        }
        parsed
    }

    fn exchange(&mut self, [asked, answered]: [Vec<u8>; 2]) {
        assert_eq!(self.say(TS, &asked), Parsed::Used(asked.len()));
        assert_eq!(self.say(TC, &answered), Parsed::Used(answered.len()));
    }

    fn lose(&mut self, direction: Direction, octets: u64, then: &[u8]) -> Parsed {
        let mut input = input(then);
        input.gap = octets;
        self.held[direction.index()].clear();
        self.parser.parse(direction, &input, &mut Requests::default())
    }

    fn tx(&self, id: u64) -> &dyn Transaction {
        self.parser.transactions().get(id).unwrap()
    }

    fn record(&self, id: u64) -> serde_json::Value {
        let mut out = Vec::new();
        let mut json = Json::new(&mut out);
        json.open();
        self.tx(id).write_record(0, &mut json);
        json.close_object();
        serde_json::from_slice::<serde_json::Value>(&out).unwrap()["smb"].take()
    }

    fn records(&self) -> Vec<serde_json::Value> {
        let transactions = self.parser.transactions();
        (transactions.first()..transactions.end())
            .map(|id| self.record(id))
            .collect()
    }
}

fn file_of_4000() -> Vec<u8> {
    (0..4000u32).map(|number| (number % 251) as u8).collect()
}

fn download() -> Play {
    let mut play = Play::new();
    play.exchange(tree_connect("\\\\srv\\share", 1));
    play.exchange(create("a.exe"));
    let file = file_of_4000();
    play.exchange(read(3, 0, &file[..1500]));
    play.exchange(read(4, 1500, &file[1500..]));
    play.exchange(close());
    play
}

#[test]
fn a_file_that_is_read_is_told_with_its_share_and_its_octets() {
    let play = download();
    let tree = play.record(0);
    assert_eq!(
        (&tree["share"], &tree["share_type"]),
        (&"\\srv\\share".into(), &"FILE".into())
    );
    let create = play.record(1);
    assert_eq!(
        (&create["filename"], &create["size"]),
        (&"a.exe".into(), &4000.into())
    );
    assert_eq!(create["disposition"], "FILE_OPEN");
    assert_eq!(create["fuid"], "33323130-3534-3736-3938-626166656463");
    let read = play.record(2);
    assert_eq!(read["command"], "SMB2_COMMAND_READ");
    assert_eq!(
        (&read["filename"], &read["share"]),
        (&"a.exe".into(), &"\\srv\\share".into())
    );
    let tx = play.tx(2);
    let buffer = tx.buffer(0, TC, 0).unwrap();
    assert!(buffer.complete && buffer.data == file_of_4000());
    assert_eq!(tx.buffer(1, TC, 0).unwrap().data, b"a.exe");
    assert!(tx.buffer(0, TS, 0).is_none());
    assert_eq!(play.tx(0).buffer(4, TS, 0).unwrap().data, b"\\srv\\share");
    assert!(play.tx(0).buffer(3, TS, 0).is_none(), "it is no pipe");
}

#[test]
fn a_call_over_a_pipe_is_told_with_its_interface() {
    let mut play = Play::new();
    play.exchange(tree_connect("\\\\srv\\IPC$", 2));
    play.exchange(create("svcctl"));
    let write = |id: u64, octets: &[u8]| {
        let mut body = vec![49, 0, 112, 0];
        body.extend_from_slice(&(octets.len() as u32).to_le_bytes());
        body.extend_from_slice(&[0; 8]);
        body.extend_from_slice(&FILE);
        body.extend_from_slice(&[0; 16]);
        body.extend_from_slice(octets);
        [
            smb2_message((9, id, 5), None, &body),
            smb2_message((9, id, 5), Some(0), &[0; 16]),
        ]
    };
    let pdu = |kind: u8, call: u8, body: &[u8]| {
        let mut out = vec![5, 0, kind, 3, 16, 0, 0, 0];
        out.extend_from_slice(&(body.len() as u16 + 16).to_le_bytes());
        out.extend_from_slice(&[0, 0, call, 0, 0, 0]);
        out.extend_from_slice(body);
        out
    };
    let mut bind = vec![0; 8];
    bind.extend_from_slice(&[1, 0, 0, 0, 0, 0, 1, 0]);
    bind.extend_from_slice(&[
        1, 0xbb, 0x7a, 0x36, 0x44, 0x98, 0xf1, 0x35, 0xad, 0x32, 0x98, 0xf0, 0x38, 0, 0x10, 3,
    ]);
    bind.extend_from_slice(&[2, 0, 0, 0]);
    bind.extend_from_slice(&[0; 20]);
    let mut ack = vec![0; 8];
    ack.extend_from_slice(&[0, 0, 0, 0, 1, 0, 0, 0]);
    ack.extend_from_slice(&[0; 24]);
    play.exchange(write(3, &pdu(11, 1, &bind)));
    play.exchange(read(4, 0, &pdu(12, 1, &ack)));
    play.exchange(write(5, &pdu(0, 7, b"\0\0\0\0\0\0\x0f\0ARGS")));
    play.exchange(read(6, 0, &pdu(2, 7, b"\0\0\0\0\0\0\0\0RES")));
    let bind = &play.record(2)["dcerpc"];
    assert_eq!(
        (&bind["request"], &bind["response"]),
        (&"BIND".into(), &"BINDACK".into())
    );
    assert_eq!(
        bind["interfaces"][0]["uuid"],
        "367abb01-9844-35f1-ad32-98f038001003"
    );
    assert_eq!(bind["interfaces"][0]["ack_result"], 0);
    let call = &play.record(3)["dcerpc"];
    assert_eq!((&call["opnum"], &call["call_id"]), (&15.into(), &7.into()));
    assert_eq!(call["res"]["stub_data_size"], 3);
    assert_eq!(call["interfaces"][0]["version"], "2.0");
    let tx = play.tx(3);
    assert_eq!(tx.buffer(7, TS, 0).unwrap().data, b"ARGS");
    assert_eq!(tx.buffer(7, TC, 0).unwrap().data, b"RES");
    assert_eq!(tx.value(0, TS, 0), Some(15));
    assert_eq!(play.tx(0).buffer(3, TS, 0).unwrap().data, b"\\srv\\IPC$");
}

#[test]
fn after_lost_octets_the_next_message_is_found_and_the_file_has_a_gap() {
    let mut play = Play::new();
    play.exchange(tree_connect("\\\\srv\\share", 1));
    play.exchange(create("a.exe"));
    let file = file_of_4000();
    let [asked, answered] = read(3, 0, &file);
    play.say(TS, &asked);
    play.say(TC, &answered[..2000]);
    let lost = 500;
    play.lose(TC, lost, &answered[2500..]);
    play.exchange(close());
    let files = play.tx(2).files().unwrap();
    assert_eq!((files.files[0].size, files.files[0].gaps), (4000, true));
    // Octets of a message that is lost in part are not taken for one.
    let [_, next] = tree_connect("\\\\srv\\other", 1);
    let parsed = play.lose(TC, 77, &[&b"rest of a message"[..], &next].concat());
    assert_eq!(parsed, Parsed::Used(17 + next.len()));
}

#[test]
fn a_packet_that_is_no_smb_ends_the_parsing_with_an_event() {
    let mut play = Play::new();
    play.exchange(tree_connect("\\\\srv\\share", 1));
    assert_eq!(play.say(TS, &packet(b"\xffXMB\0\0\0\0")), Parsed::Failed);
    assert_eq!(play.tx(0).meta().events.as_slice(), ["malformed_data"]);
}

#[test]
fn empty_messages_of_servers_are_nothing_special() {
    let mut play = Play::new();
    assert_eq!(play.say(TC, &packet(b"")), Parsed::Used(4));
    assert_eq!(play.say(TS, &packet(b"")), Parsed::Failed);
}

fn dialogue() -> Vec<(Direction, Vec<u8>)> {
    let file = file_of_4000();
    [
        tree_connect("\\\\srv\\share", 1),
        create("a.exe"),
        read(3, 0, &file[..1500]),
        read(4, 1500, &file[1500..]),
        close(),
    ]
    .into_iter()
    .flat_map(|[asked, answered]| [(TS, asked), (TC, answered)])
    .collect()
}

proptest! {
    #[test]
    fn a_dialogue_cut_anywhere_gives_the_same_records_and_file(cuts in proptest::collection::vec(1usize..900, 40)) {
        let whole = download();
        let mut play = Play::new();
        let mut cuts = cuts.into_iter().cycle();
        for (direction, octets) in dialogue() {
            let mut rest = octets.as_slice();
            while !rest.is_empty() {
                let (part, after) = rest.split_at(cuts.next().unwrap().min(rest.len()));
                prop_assert_ne!(play.say(direction, part), Parsed::Failed);
                rest = after;
            }
        }
        prop_assert_eq!(play.records(), whole.records());
        prop_assert_eq!(play.tx(2).buffer(0, TC, 0).unwrap().data, whole.tx(2).buffer(0, TC, 0).unwrap().data);
    }

    #[test]
    fn any_octets_do_not_panic(data in proptest::collection::vec(any::<u8>(), 0..700), second: bool) {
        let mut play = Play::new();
        play.say(TS, &data);
        let magic: &[u8] = if second { b"\xfeSMB\x40\0" } else { b"\xffSMB" };
        for direction in [TS, TC, TS, TC] {
            play.say(direction, &packet(&[magic, &data].concat()));
        }
        play.lose(TC, 100, &data);
        play.records();
    }

    #[test]
    fn any_body_of_any_command_does_not_panic(
        messages in proptest::collection::vec((any::<bool>(), any::<bool>(), any::<u8>(), proptest::collection::vec(any::<u8>(), 0..200)), 1..12)
    ) {
        let mut play = Play::new();
        for (answer, second, command, body) in messages {
            let octets = if second {
                smb2_message((u16::from(command % 20), u64::from(command / 20), 5), answer.then_some(0), &body)
            } else {
                let mut out = b"\xffSMB".to_vec();
                out.extend_from_slice(&[command, 0, 0, 0, 0, if answer { 0x80 } else { 0 }, 0, 0xc0]);
                out.resize(32, 0);
                out.extend_from_slice(&body);
                packet(&out)
            };
            play.say(if answer { TC } else { TS }, &octets);
        }
        play.records();
    }
}
