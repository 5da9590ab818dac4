//! From transactions to records: what a transaction tells, once it is complete enough, and letting it go.

use smallvec::SmallVec;

use super::wants::Wants;
use crate::app::{AppLayer, Transaction};
use crate::config::Output;
use crate::event::anomaly;
use crate::event::header::{self, Sides};
use crate::event::json::Json;
use crate::event::sink::Records;
use crate::file;
use crate::flow::Flow;
use crate::packet::{Direction, Packet};

/// Where the records of a packet's transactions go, and what they begin with.
pub(super) struct Log<'a, 'p> {
    pub(super) packet: &'a Packet<'p>,
    pub(super) flow: &'a Flow,
    pub(super) output: &'a Output,
    pub(super) wants: &'a Wants,
    pub(super) records: &'a mut Records,
    /// Rules look at transactions: one that they did not look at stays.
    pub(super) inspecting: bool,
    /// Nothing will be added to any transaction: the flow ends.
    pub(super) last: bool,
    /// The direction's stream is not reassembled any further: its files get no more.
    pub(super) depth_reached: bool,
}

impl Log<'_, '_> {
    /// Write what the flow's transactions have to tell now; let go of those that are done with.
    pub(super) fn transactions(&mut self, app: &mut AppLayer) {
        self.detection_events(app);
        let ended = self.last || app.ended == [true, true];
        let updated = self
            .packet
            .direction
            .is_some_and(|direction| app.updated[direction.index()]);
        let news = ended || self.packet.pseudo || app.fed || updated;
        let (Some(protocol), Some(parser)) = (app.protocol(), app.parser.as_mut()) else {
            return;
        };
        let transactions = parser.transactions_mut();
        let mut next = 0;
        while let Some(id) = transactions.next_from(next) {
            next = id + 1;
            let Some(transaction) = transactions.get_mut(id) else {
                continue;
            };
            let sides = [Direction::ToServer, Direction::ToClient].map(|side| transaction.complete(side));
            let complete = sides == [true; 2];
            self.application_events(protocol.name, id, transaction);
            let told = self.tell(id, transaction, complete || ended);
            let files_told = !news || self.files(protocol.name, id, transaction, ended);
            let [there, back] = &transaction.meta().detect;
            let inspected = !self.inspecting || there.done && back.done;
            if told && files_told && (complete || ended) && (inspected || self.last) {
                transactions.release(id);
                for (open, complete) in app.left_open.iter_mut().zip(sides) {
                    *open |= !complete;
                }
            }
        }
    }

    /// Write a transaction's records, once; whether it has nothing (more) to tell.
    fn tell(&mut self, id: u64, transaction: &mut dyn Transaction, ended: bool) -> bool {
        if transaction.meta().logged != 0 {
            return true;
        }
        let count = transaction.records(ended);
        for index in 0..count {
            let kind = transaction.record_type(index);
            if !self.wants.kind(kind) {
                continue;
            }
            let (sides, with_id) = shape(kind);
            self.records.record(|text| {
                let mut json = Json::new(text);
                header::open(&mut json, kind, self.packet, Some(self.flow), sides, self.output);
                if with_id {
                    json.num("tx_id", id);
                }
                transaction.write_record(index, &mut json);
                json.close_object();
            });
        }
        if count > 0 {
            transaction.meta_mut().logged = 1;
        }
        count > 0 || ended
    }

    /// Write the records of files that are over: those of the packet's direction, and when the flow ends the others.
    /// Whether there is none left to write.
    fn files(&mut self, app_proto: &str, id: u64, transaction: &mut dyn Transaction, ended: bool) -> bool {
        let Some(files) = transaction.files_mut() else {
            return true;
        };
        let cut = ended || self.packet.stream_ended || self.depth_reached;
        let mut due: SmallVec<[usize; 4]> = SmallVec::new();
        let mut left = false;
        for (at, file) in files
            .files
            .iter_mut()
            .enumerate()
            .filter(|(_, file)| !file.logged)
        {
            let elsewhere = file.direction.is_some() && file.direction != self.packet.direction;
            if elsewhere && !ended {
                left = true;
                continue;
            }
            if cut {
                file.abandon();
            }
            if file.state == file::State::Open {
                left = true;
            } else {
                file.logged = true;
                due.push(at);
            }
        }
        if due.is_empty() || !self.wants.kind("fileinfo") {
            return !left;
        }
        for at in due {
            let Some(file) = transaction.files().and_then(|files| files.files.get(at)) else {
                continue;
            };
            let sides = file.direction.map_or(Sides::Flow, Sides::Sending);
            self.records.record(|text| {
                let mut json = Json::new(text);
                header::open(
                    &mut json,
                    "fileinfo",
                    self.packet,
                    Some(self.flow),
                    sides,
                    self.output,
                );
                transaction.write_context(&mut json);
                json.str("app_proto", app_proto);
                json.open_object("fileinfo");
                file.write_info(id, &mut json);
                json.close_object();
                json.close_object();
            });
        }
        !left
    }

    fn application_events(&mut self, app_proto: &str, id: u64, transaction: &mut dyn Transaction) {
        let meta = transaction.meta_mut();
        if meta.events_logged < meta.events.len() && self.wants.application_anomalies {
            for event in meta.events.iter().skip(meta.events_logged) {
                let what = (app_proto, *event, "proto_parser");
                anomaly::application(self.packet, self.flow, what, Some(id), self.output, self.records);
            }
        }
        meta.events_logged = meta.events.len();
    }

    fn detection_events(&mut self, app: &mut AppLayer) {
        if app.events.is_empty() {
            return;
        }
        let name = app.found.name().unwrap_or("unknown");
        for (event, _) in app.events.drain(..) {
            if self.wants.application_anomalies {
                let event = event
                    .strip_prefix("applayer_")
                    .map_or(event.to_uppercase(), |rest| {
                        format!("APPLAYER_{}", rest.to_uppercase())
                    });
                let what = (name, event.as_str(), "proto_detect");
                anomaly::application(self.packet, self.flow, what, None, self.output, self.records);
            }
        }
    }
}

/// Whose addresses a kind of record shows, and whether it names the transaction, as Suricata's records of that kind.
fn shape(kind: &str) -> (Sides, bool) {
    match kind {
        "dhcp" | "ike" | "krb5" | "nfs" | "quic" | "rdp" | "sip" | "snmp" | "tftp" => (Sides::Packet, false),
        "http" | "http2" | "smtp" | "ssh" | "ftp" | "ftp_data" => (Sides::Flow, true),
        _ => (Sides::Flow, false),
    }
}
