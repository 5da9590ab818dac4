//! Frames in, records out.

mod due;
mod language;
mod packets;
mod reload;
mod toy;
mod turning;

use std::sync::{Arc, Mutex};

use proptest::prelude::*;
use serde_json::Value;

use super::Engine;
use crate::config::Config;
use crate::event::sink::Records;
use crate::packet::{Frame, TCP_ACK, TCP_FIN, TCP_PSH, TCP_RST, TCP_SYN};
use crate::rule::{Inspector, Scene};
use crate::time::Timestamp;
use crate::wire::build::{tcp, Tcp};

const CLIENT: [u8; 4] = [192, 0, 2, 1];
const SERVER: [u8; 4] = [192, 0, 2, 2];

/// An engine and two hosts that talk over TCP, a millisecond a packet.
struct Play {
    engine: Engine,
    now_ns: i64,
    seq: [u32; 2],
}

impl Play {
    fn new(config: Config) -> Play {
        Play {
            engine: Engine::new(config),
            now_ns: 1_000_000_000,
            seq: [1000, 2000],
        }
    }

    /// A segment from the client (0) or the server (1).
    fn raw(&mut self, sender: usize, seq: u32, ack: u32, flags: u8, payload: &[u8]) {
        let ports = if sender == 0 {
            (40_000, 4000)
        } else {
            (4000, 40_000)
        };
        let mut packet = vec![0x45, 0, 0, 0, 0, 9, 0, 0, 64, 6, 0, 0];
        let (src, dst) = if sender == 0 {
            (CLIENT, SERVER)
        } else {
            (SERVER, CLIENT)
        };
        packet.extend_from_slice(&src);
        packet.extend_from_slice(&dst);
        packet.extend_from_slice(&tcp(&Tcp {
            ports,
            seq,
            ack,
            flags,
            payload,
        }));
        let length = packet.len() as u16;
        packet[2..4].copy_from_slice(&length.to_be_bytes());
        self.now_ns += 1_000_000;
        let frame = Frame {
            ts: Timestamp(self.now_ns),
            data: &packet,
            wire_len: u32::from(length),
            linktype: 101,
        };
        self.engine.frame(&frame);
    }

    fn say(&mut self, sender: usize, flags: u8, payload: &[u8]) {
        let (seq, ack) = (
            self.seq[sender],
            if flags & TCP_ACK == 0 {
                0
            } else {
                self.seq[1 - sender]
            },
        );
        self.raw(sender, seq, ack, flags, payload);
        let counted = payload.len() as u32 + u32::from(flags & (TCP_SYN | TCP_FIN) != 0);
        self.seq[sender] = seq.wrapping_add(counted);
    }

    fn handshake(&mut self) {
        self.say(0, TCP_SYN, b"");
        self.say(1, TCP_SYN | TCP_ACK, b"");
        self.say(0, TCP_ACK, b"");
    }

    fn goodbye(&mut self) {
        self.say(0, TCP_FIN | TCP_ACK, b"");
        self.say(1, TCP_FIN | TCP_ACK, b"");
        self.say(0, TCP_ACK, b"");
    }

    fn records(mut self) -> Vec<Value> {
        self.engine.drain();
        let records = self.engine.take_records();
        let text = String::from_utf8(records.text).unwrap();
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    fn flow_among_others(self) -> Value {
        let records = self.records();
        let flow = records.iter().find(|record| record["event_type"] == "flow");
        flow.unwrap()["flow"].clone()
    }

    fn flow(self) -> Value {
        let mut flows: Vec<Value> = self
            .records()
            .into_iter()
            .filter(|record| record["event_type"] == "flow")
            .collect();
        assert_eq!(flows.len(), 1);
        flows.remove(0)
    }
}

fn told(events: &[&str]) -> Config {
    let mut config = Config::default();
    config.output.anomaly = events.iter().map(|event| event.to_string()).collect();
    config
}

#[test]
fn a_whole_session_is_one_closed_flow() {
    let mut play = Play::new(Config::default());
    play.handshake();
    play.say(0, TCP_PSH | TCP_ACK, b"hello");
    play.say(1, TCP_PSH | TCP_ACK, b"hello back");
    play.goodbye();
    let flow = play.flow();
    assert_eq!(flow["src_ip"], "192.0.2.1");
    assert_eq!(flow["dest_port"], 4000);
    assert_eq!(flow["flow"]["state"], "closed");
    assert_eq!(flow["flow"]["reason"], "shutdown");
    assert_eq!(
        (&flow["flow"]["pkts_toserver"], &flow["flow"]["pkts_toclient"]),
        (&5.into(), &3.into())
    );
    assert_eq!(flow["tcp"]["state"], "closed");
    assert_eq!(
        (&flow["tcp"]["tcp_flags_ts"], &flow["tcp"]["tcp_flags_tc"]),
        (&"1b".into(), &"1b".into())
    );
}

#[test]
fn a_reset_closes_and_a_new_syn_begins_another_flow() {
    let mut play = Play::new(Config::default());
    play.handshake();
    play.say(1, TCP_RST | TCP_ACK, b"");
    play.seq = [50_000, 60_000];
    play.handshake();
    let records = play.records();
    let states: Vec<&str> = records
        .iter()
        .filter_map(|record| record["tcp"]["state"].as_str())
        .collect();
    assert_eq!(states, ["closed", "established"]);
}

#[test]
fn a_segment_out_of_window_is_an_anomaly_and_not_taken() {
    let mut play = Play::new(told(&["stream"]));
    play.handshake();
    let (seq, ack) = (play.seq[0].wrapping_add(1 << 20), play.seq[1]);
    play.raw(0, seq, ack, TCP_ACK, b"far away");
    let records = play.records();
    let events: Vec<&str> = records
        .iter()
        .filter_map(|record| record["anomaly"]["event"].as_str())
        .collect();
    assert_eq!(events, ["stream.est_packet_out_of_window"]);
}

#[test]
fn without_its_handshake_a_session_is_only_picked_up_when_told_to() {
    for midstream in [false, true] {
        let mut config = Config::default();
        config.stream.midstream = midstream;
        let mut play = Play::new(config);
        play.say(0, TCP_PSH | TCP_ACK, b"hello");
        play.say(1, TCP_ACK, b"");
        let flow = play.flow();
        assert_eq!(flow["tcp"]["state"].as_str(), midstream.then_some("established"));
    }
}

/// What an inspector saw of the raw stream, by direction.
#[derive(Clone, Debug, Default)]
struct Saw {
    stream: [Vec<u8>; 2],
    looks: usize,
}

#[derive(Debug, Default)]
struct Looker(Arc<Mutex<Saw>>);

impl Inspector for Looker {
    fn inspect(&mut self, scene: &mut Scene<'_, '_>, _records: &mut Records) {
        let (Some(flow), Some(direction)) = (&mut scene.flow, scene.packet.direction) else {
            return;
        };
        let Some(session) = flow.tcp.as_deref_mut() else {
            return;
        };
        if !session.raw_ready(direction, &Config::default().stream) {
            return;
        }
        let mut saw = self.0.lock().unwrap();
        saw.looks += 1;
        let mut windows = session.raw_windows(direction);
        for (offset, octets) in windows.by_ref() {
            let stream = &mut saw.stream[direction.index()];
            // What is missing is skipped; nothing is shown twice.
            assert!(offset >= stream.len() as u64);
            stream.resize(offset as usize, 0);
            stream.extend_from_slice(octets);
        }
        let upto = windows.progress();
        session.raw_done(direction, upto);
    }
}

/// Looks at everything and remembers nothing: sessions come and go, and may change sides.
#[derive(Debug)]
struct Drain;

impl Inspector for Drain {
    fn inspect(&mut self, scene: &mut Scene<'_, '_>, _records: &mut Records) {
        let (Some(flow), Some(direction)) = (&mut scene.flow, scene.packet.direction) else {
            return;
        };
        let Some(session) = flow.tcp.as_deref_mut() else {
            return;
        };
        let mut windows = session.raw_windows(direction);
        assert!(windows.by_ref().all(|(_, octets)| !octets.is_empty()));
        let upto = windows.progress();
        session.raw_done(direction, upto);
    }
}

fn watched(play: &mut Play) -> Arc<Mutex<Saw>> {
    let saw = Arc::new(Mutex::new(Saw::default()));
    play.engine.set_inspector(Some(Box::new(Looker(saw.clone()))));
    saw
}

#[test]
fn the_raw_stream_is_looked_at_in_chunks_and_at_the_end() {
    let mut play = Play::new(Config::default());
    let saw = watched(&mut play);
    play.handshake();
    for _ in 0..3 {
        play.say(0, TCP_PSH | TCP_ACK, &[b'x'; 1000]);
        play.say(1, TCP_ACK, b"");
    }
    assert_eq!(saw.lock().unwrap().looks, 0);
    play.say(0, TCP_ACK, b"y");
    assert_eq!(saw.lock().unwrap().stream[0].len(), 3000);
    play.records();
    assert_eq!(saw.lock().unwrap().stream[0].len(), 3001);
}

proptest! {
    #[test]
    fn wherever_a_stream_is_cut_and_however_it_is_ordered_it_is_the_same(
        data in proptest::collection::vec(any::<u8>(), 1..3000),
        cuts in proptest::collection::vec(any::<u16>(), 0..12),
        order in proptest::collection::vec(any::<u32>(), 16),
        again in any::<bool>(),
        isn in prop_oneof![Just(1000u32), Just(u32::MAX - 500), any::<u32>()],
    ) {
        let mut play = Play::new(Config::default());
        let saw = watched(&mut play);
        play.seq[0] = isn;
        play.handshake();
        let mut edges: Vec<usize> = cuts.iter().map(|&cut| usize::from(cut) % data.len()).collect();
        edges.extend([0, data.len()]);
        edges.sort_unstable();
        edges.dedup();
        let mut segments: Vec<_> = edges
            .windows(2)
            .enumerate()
            .map(|(at, edge)| (order[at % 16], edge[0], edge[1]))
            .collect();
        segments.sort_unstable();
        let (first, ack) = (play.seq[0], play.seq[1]);
        for &(_, from, to) in &segments {
            play.raw(0, first.wrapping_add(from as u32), ack, TCP_ACK, &data[from..to]);
            if again {
                play.raw(0, first.wrapping_add(from as u32), ack, TCP_ACK, &data[from..to]);
            }
        }
        play.seq[0] = first.wrapping_add(data.len() as u32);
        play.say(1, TCP_ACK, b"");
        play.goodbye();
        let flow = play.flow();
        prop_assert_eq!(&saw.lock().unwrap().stream[0], &data);
        prop_assert_eq!(flow["tcp"]["state"].as_str(), Some("closed"));
    }

    #[test]
    fn any_segments_never_panic_and_leave_nothing_behind(
        segments in proptest::collection::vec(
            (0usize..2, 0u32..6000, 0u32..6000, any::<u8>(), 0usize..80), 1..60
        ),
        midstream in any::<bool>(),
        oneside in any::<bool>(),
        compare in any::<bool>(),
    ) {
        let mut config = Config::default();
        config.stream.midstream = midstream;
        config.stream.async_oneside = oneside;
        config.stream.check_overlap_different_data = compare;
        config.stream.depth = 3000;
        let mut play = Play::new(config);
        play.engine.set_inspector(Some(Box::new(Drain)));
        for (sender, seq, ack, flags, length) in segments {
            play.raw(sender, seq, ack, flags, &vec![flags; length]);
        }
        play.engine.drain();
        let counters = play.engine.counters();
        let count = |name: &str| counters.iter().find(|(other, _)| other == name).map(|(_, count)| *count);
        prop_assert_eq!(count("tcp.memuse"), Some(0));
        prop_assert_eq!(count("flow.active"), Some(0));
        prop_assert_eq!(count("tcp.active_sessions"), Some(0));
    }
}

struct NoFiles;

impl crate::rule::context::Files for NoFiles {
    fn read(&self, path: &str) -> Result<Vec<u8>, String> {
        Err(format!("{path}: no such file"))
    }
}

/// How often each of the rules 1.. alerted.
fn alerts(play: Play, rules: u64) -> Vec<usize> {
    let records = play.records();
    let of = |sid: u64| {
        let is = |record: &&Value| record["alert"]["signature_id"] == sid;
        records.iter().filter(is).count()
    };
    (1..=rules).map(of).collect()
}

/// As in the cases bug-6617, filestore-v2.7-stream-depth and engine-state--detect-engine-state-05.
#[test]
fn rules_on_files_alert_once_a_file_and_never_without_one() {
    let rules = concat!(
        "alert http any any -> any any (filestore; sid:1;)\n",
        "alert http any any -> any any (http.method; content:\"POST\"; filename:\"picture\"; sid:2;)\n",
        "alert http any any -> any any (http.method; content:\"POST\"; sid:3;)\n",
    );
    let config = Config::default();
    let sources = [("test.rules".to_owned(), rules.to_owned())];
    let loaded = crate::rule::load::load(&config, &sources, Box::new(NoFiles), ".");
    let set = Arc::new(crate::rule::RuleSet::new(loaded));
    assert_eq!(set.loaded(), 3);
    let play = |requests: &[&[u8]]| {
        let mut play = Play::new(Config::default());
        play.engine.set_rules(set.clone());
        play.handshake();
        for request in requests {
            play.say(0, TCP_PSH | TCP_ACK, request);
            play.say(1, TCP_ACK, b"");
        }
        play.goodbye();
        alerts(play, 3)
    };
    assert_eq!(play(&[b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"]), [0, 0, 0]);
    let head = b"POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: 208\r\nContent-Type: multipart/form-data; boundary=xyz\r\n\r\n";
    let one = b"--xyz\r\nContent-Disposition: form-data; name=\"f\"; filename=\"picture1.jpg\"\r\n\r\nfirst file\r\n";
    let two =
        b"--xyz\r\nContent-Disposition: form-data; name=\"g\"; filename=\"picture2.jpg\"\r\n\r\nsecond file\r\n--xyz--\r\n--xyz--\r\n";
    assert_eq!(play(&[head, one, two]), [2, 2, 1]);
}
