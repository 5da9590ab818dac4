//! A dialogue in SMB 1, from negotiation to a file that is written and closed.

use proptest::prelude::*;

use super::*;
use crate::app::smb::limits::Options;
use crate::app::Transactions;
use crate::config::AppProtocol;
use crate::event::json::Json;
use crate::packet::Direction;

const USER: u16 = 2048;

fn message(command: u8, id: u16, answered: bool, body: &[u8]) -> Vec<u8> {
    let mut out = b"\xffSMB".to_vec();
    out.push(command);
    out.extend_from_slice(&[0; 4]);
    out.push(if answered { 0x80 } else { 0 });
    // Text is ASCII, statuses are NTSTATUS.
    out.extend_from_slice(&0x4000u16.to_le_bytes());
    out.extend_from_slice(&[0; 12]);
    for number in [7, 1, USER, id] {
        out.extend_from_slice(&u16::to_le_bytes(number));
    }
    out.extend_from_slice(body);
    out
}

fn state() -> State {
    State::new(Options::new(&AppProtocol::default()))
}

fn exchange(state: &mut State, command: u8, id: u16, asked: &[u8], answered: &[u8]) {
    request(
        state,
        &Message::read(&message(command, id, false, asked)).unwrap(),
    );
    response(
        state,
        &Message::read(&message(command, id, true, answered)).unwrap(),
    );
}

fn record(state: &State, id: u64) -> serde_json::Value {
    let mut out = Vec::new();
    let mut json = Json::new(&mut out);
    json.open();
    state.queue.get(id).unwrap().write_record(0, &mut json);
    json.close_object();
    serde_json::from_slice::<serde_json::Value>(&out).unwrap()["smb"].take()
}

fn negotiate(state: &mut State) {
    let asked = b"\x00\x1c\x00\x02LANMAN1.0\x00\x02NT LM 0.12\x00";
    let mut answered = vec![17, 1, 0];
    answered.resize(35, 0);
    answered.extend_from_slice(&16u16.to_le_bytes());
    answered.extend_from_slice(&[7; 16]);
    exchange(state, command::NEGOTIATE, 1, asked, &answered);
}

/// SESSION_SETUP with TREE_CONNECT behind it in one message.
fn set_up(state: &mut State) {
    let mut asked = vec![12, command::TREE_CONNECT, 0];
    let mut block = vec![0; 10];
    block.extend_from_slice(&[0; 2]);
    block.extend_from_slice(&[0; 10]);
    block.extend_from_slice(b"Unix\0Samba\0\0");
    let next = HEADER_OCTETS + 5 + block.len();
    asked.extend_from_slice(&(next as u16).to_le_bytes());
    asked.extend_from_slice(&block);
    asked.extend_from_slice(&[4, 0xff, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0]);
    asked.extend_from_slice(b"\\\\srv\\c\0A:\0");
    let mut answered = vec![3, command::TREE_CONNECT, 0];
    let hosts = b"\0\0\0\0Windows\0LM\0";
    let next = HEADER_OCTETS + 5 + hosts.len();
    answered.extend_from_slice(&(next as u16).to_le_bytes());
    answered.extend_from_slice(hosts);
    answered.extend_from_slice(&[3, 0xff, 0, 0, 0, 0, 0, 0, 0]);
    answered.extend_from_slice(b"A:\0NTFS\0");
    exchange(state, command::SESSION_SETUP, 2, &asked, &answered);
}

fn create(state: &mut State) {
    let mut asked = vec![24, 0xff, 0, 0, 0, 0];
    asked.extend_from_slice(&5u16.to_le_bytes());
    asked.extend_from_slice(&[0; 28]);
    asked.extend_from_slice(&2u32.to_le_bytes());
    asked.extend_from_slice(&0x1000u32.to_le_bytes());
    asked.extend_from_slice(&[0; 5]);
    asked.extend_from_slice(&6u16.to_le_bytes());
    asked.extend_from_slice(b"a.txt\0");
    let mut answered = vec![34, 0xff, 0, 0, 0, 0, 0x34, 0x12];
    answered.resize(8 + 4 + 32 + 4, 0);
    answered.extend_from_slice(&11u64.to_le_bytes());
    answered.resize(answered.len() + 15, 0);
    exchange(state, command::NT_CREATE, 3, &asked, &answered);
}

fn write(octets: &[u8], offset: u32) -> Vec<u8> {
    let mut asked = vec![12, 0xff, 0, 0, 0, 0x34, 0x12];
    asked.extend_from_slice(&offset.to_le_bytes());
    asked.extend_from_slice(&[0; 10]);
    asked.extend_from_slice(&(octets.len() as u16).to_le_bytes());
    asked.extend_from_slice(&0x3cu16.to_le_bytes());
    asked.extend_from_slice(&(octets.len() as u16).to_le_bytes());
    asked.resize(0x3c - HEADER_OCTETS, 0);
    asked.extend_from_slice(octets);
    asked
}

#[test]
fn commands_in_one_message_are_exchanges_of_their_own_and_a_written_file_is_told() {
    let mut state = state();
    negotiate(&mut state);
    set_up(&mut state);
    create(&mut state);
    exchange(&mut state, command::WRITE_ANDX, 4, &write(b"world", 6), &[0; 20]);
    exchange(&mut state, command::WRITE_ANDX, 5, &write(b"hello ", 0), &[0; 20]);
    exchange(
        &mut state,
        command::CLOSE,
        6,
        &[3, 0x34, 0x12, 0, 0, 0, 0, 0, 0],
        &[0; 3],
    );

    let negotiated = record(&state, 0);
    assert_eq!(negotiated["dialect"], "NT LM 0.12");
    assert_eq!(negotiated["client_dialects"][0], "LANMAN1.0");
    let setup = record(&state, 1);
    assert_eq!(
        (&setup["request"]["native_os"], &setup["response"]["native_lm"]),
        (&"Unix".into(), &"LM".into())
    );
    let tree = record(&state, 2);
    assert_eq!(
        (&tree["share"], &tree["service"]["response"]),
        (&"\\srv\\c".into(), &"A:".into())
    );
    let create = record(&state, 3);
    assert_eq!(
        (&create["filename"], &create["access"]),
        (&"a.txt".into(), &"delete on close".into())
    );
    assert_eq!((&create["fuid"], &create["size"]), (&"1234".into(), &11.into()));
    let written = record(&state, 4);
    assert_eq!(
        (&written["filename"], &written["share"]),
        (&"a.txt".into(), &"\\srv\\c".into())
    );
    let tx = state.queue.get(4).unwrap();
    assert_eq!(tx.buffer(0, Direction::ToServer, 0).unwrap().data, b"hello world");
    assert!((0..5).all(|id| state.queue.get(id).unwrap().complete(Direction::ToClient)));
}

#[test]
fn errors_of_dos_are_told_by_class_and_code() {
    let mut state = state();
    let asked = message(0x10, 1, false, b"\0\0\0");
    request(&mut state, &Message::read(&asked).unwrap());
    let mut answered = message(0x10, 1, true, b"\0\0\0");
    answered[5..9].copy_from_slice(&[1, 0, 2, 0]);
    answered[11] = 0;
    response(&mut state, &Message::read(&answered).unwrap());
    let told = record(&state, 0);
    assert_eq!(told["command"], "SMB1_COMMAND_CHECK_DIRECTORY");
    assert_eq!(
        (&told["status"], &told["status_code"]),
        (&"DOS_BAD_FILE".into(), &"0x0002".into())
    );
}

#[test]
fn commands_are_in_order_and_found() {
    assert!(COMMANDS.windows(2).all(|pair| pair[0].0 < pair[1].0));
    assert_eq!(
        command_name(command::NT_CREATE),
        Some("SMB1_COMMAND_NT_CREATE_ANDX")
    );
    assert_eq!(command_name(0xff), None);
}

#[test]
fn a_chain_of_commands_that_points_back_ends() {
    let mut octets = b"\xffSMB\x73".to_vec();
    octets.resize(HEADER_OCTETS, 0);
    octets.extend_from_slice(&[2, command::TREE_CONNECT, 0, 40, 0, 0, 0, 0]);
    octets.extend_from_slice(&[2, command::TREE_CONNECT, 0, 32, 0, 0, 0, 0]);
    let message = Message::read(&octets).unwrap();
    let found: Vec<_> = commands(&message).collect();
    assert_eq!(found, [(command::SESSION_SETUP, 32), (command::TREE_CONNECT, 40)]);
}

proptest! {
    #[test]
    fn any_block_of_any_command_is_read_without_a_panic(
        commands in proptest::collection::vec((any::<u8>(), any::<bool>(), proptest::collection::vec(any::<u8>(), 0..120)), 1..10)
    ) {
        let mut state = state();
        set_up(&mut state);
        create(&mut state);
        for (command, answered, body) in commands {
            let octets = message(command, 4, answered, &body);
            let message = Message::read(&octets).unwrap();
            if answered { response(&mut state, &message) } else { request(&mut state, &message) }
        }
        for id in state.queue.first()..state.queue.end() {
            record(&state, id);
        }
    }
}
