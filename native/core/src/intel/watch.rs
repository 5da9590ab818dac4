//! Looks traffic up in an indicator set and alerts on what is listed.

use std::fmt::Display;
use std::net::IpAddr;
use std::sync::Arc;

use super::set::{Indicator, IndicatorKind, IndicatorSet};
use crate::app::{BufferSpec, Protocol, Transaction, PROTOCOLS};
use crate::config::Config;
use crate::event::alert::{write_with, Alert};
use crate::event::json::Json;
use crate::event::sink::Records;
use crate::file::hex;
use crate::packet::Direction;
use crate::rule::{Inspector, Scene};

/// Generator id of alerts on indicators.
pub const GID: u32 = 1000;

/// Severity of alerts on indicators (EVE: 1 is highest).
const SEVERITY: u8 = 2;

/// Buffers whose content is looked up, and as what.
const LOOKED_UP: &[(&str, IndicatorKind)] = &[
    ("dns.query", IndicatorKind::Domain),
    ("http.host", IndicatorKind::Domain),
    ("http.uri.raw", IndicatorKind::Url),
    ("tls.sni", IndicatorKind::Domain),
    ("quic.sni", IndicatorKind::Domain),
    ("ja3.hash", IndicatorKind::Ja3),
    ("ja3s.hash", IndicatorKind::Ja3),
    ("ja4.hash", IndicatorKind::Ja4),
    ("tls.cert_fingerprint", IndicatorKind::CertSha1),
];

/// Bit of [`crate::app::TxMeta::watched`] for files.
const FILES: u32 = 1 << 31;

/// A buffer of a protocol that is looked up.
#[derive(Debug)]
struct Look {
    /// Index in the protocol's buffers.
    slot: usize,
    spec: &'static BufferSpec,
    kind: IndicatorKind,
    /// Its bit of [`crate::app::TxMeta::watched`].
    bit: u32,
}

/// What of one protocol's transactions is looked up.
#[derive(Debug)]
struct Looks {
    protocol: &'static Protocol,
    looks: Box<[Look]>,
    /// Where the host is that URLs are put together with.
    host: Option<usize>,
}

impl Looks {
    /// Those of every protocol that has any.
    fn of_all() -> Box<[Looks]> {
        let all = PROTOCOLS.iter().map(|protocol| Looks::of(protocol));
        all.filter(|looks| !looks.looks.is_empty()).collect()
    }

    fn of(protocol: &'static Protocol) -> Looks {
        let looks = protocol.buffers.iter().enumerate().filter_map(|(slot, spec)| {
            let at = LOOKED_UP.iter().position(|(name, _)| *name == spec.name)?;
            let (kind, bit) = (LOOKED_UP[at].1, 1 << at);
            Some(Look {
                slot,
                spec,
                kind,
                bit,
            })
        });
        Looks {
            protocol,
            looks: looks.collect(),
            host: protocol.buffers.iter().position(|spec| spec.name == "http.host"),
        }
    }
}

/// Looks up; one for each engine.
#[derive(Debug)]
pub struct Watch {
    /// By protocol; few have any, so names are compared once and not with every packet.
    looks: Arc<[Looks]>,
    set: Arc<IndicatorSet>,
    config: Arc<Config>,
    room: Vec<u8>,
    hits: u64,
}

impl Watch {
    /// A watch over a set.
    pub fn new(set: Arc<IndicatorSet>, config: Arc<Config>) -> Watch {
        Watch {
            looks: Looks::of_all().into(),
            set,
            config,
            room: Vec::new(),
            hits: 0,
        }
    }

    /// The first packet of a flow: both its addresses.
    fn addresses(&mut self, scene: &Scene<'_, '_>, records: &mut Records) {
        let Some(about) = &scene.flow else { return };
        if about.flow.packets[0] + about.flow.packets[1] != 1 || scene.packet.pseudo {
            return;
        }
        let packet = scene.packet;
        let ports = matches!(packet.ip.proto, 6 | 17 | 132);
        for (address, port) in [(packet.dst, packet.dport), (packet.src, packet.sport)] {
            if let Some(found) = self.set.address(address, ports.then_some(port)) {
                self.hits += 1;
                alert(&self.config, scene, None, &found, &address, records);
                return;
            }
        }
    }

    fn transactions(&mut self, scene: &mut Scene<'_, '_>, records: &mut Records) {
        let Some(direction) = scene.packet.direction else {
            return;
        };
        let Some(about) = &scene.flow else { return };
        let Some(protocol) = about.app.protocol() else {
            return;
        };
        let Some(parser) = &about.app.parser else { return };
        let mut next = parser.transactions().next_from(0);
        let all = Arc::clone(&self.looks);
        let looks = all.iter().find(|looks| std::ptr::eq(looks.protocol, protocol));
        while let Some(id) = next {
            let following = |about: &crate::rule::FlowScene<'_>| {
                about.app.parser.as_ref()?.transactions().next_from(id + 1)
            };
            next = scene.flow.as_ref().and_then(following);
            let done = {
                let Some(about) = &scene.flow else { return };
                let Some(transaction) = about
                    .app
                    .parser
                    .as_ref()
                    .and_then(|parser| parser.transactions().get(id))
                else {
                    continue;
                };
                let done = transaction.meta().watched;
                self.transaction(scene, looks, direction, (id, transaction), done, records)
            };
            let transactions = scene.flow.as_mut().and_then(|about| about.app.parser.as_mut());
            if let Some(transaction) = transactions.and_then(|parser| parser.transactions_mut().get_mut(id)) {
                transaction.meta_mut().watched = done;
            }
        }
    }

    /// Look up what is new of a transaction; returns the bits of what was looked up.
    fn transaction(
        &mut self,
        scene: &Scene<'_, '_>,
        looks: Option<&Looks>,
        direction: Direction,
        (id, transaction): (u64, &dyn Transaction),
        mut done: u32,
        records: &mut Records,
    ) -> u32 {
        let progress = transaction.progress(direction);
        for Look {
            slot,
            spec,
            kind,
            bit,
        } in looks.iter().flat_map(|looks| &looks.looks)
        {
            let ready = progress >= spec.progress || transaction.complete(direction);
            if done & bit != 0 || !ready || !spec.directions.contains(&direction) {
                continue;
            }
            for index in 0.. {
                let Some(buffer) = transaction.buffer(*slot, direction, index) else {
                    break;
                };
                done |= bit;
                let found = match kind {
                    IndicatorKind::Domain => self.set.domain(without_port(buffer.data)),
                    IndicatorKind::Url => {
                        let host = looks.and_then(|looks| looks.host);
                        let host = host.and_then(|slot| transaction.buffer(slot, direction, 0));
                        let host = host.map_or(&[][..], |host| host.data);
                        self.set.url(host, buffer.data, &mut self.room)
                    }
                    kind => self.set.text(*kind, buffer.data),
                };
                if let Some(found) = found {
                    self.hits += 1;
                    let matched = String::from_utf8_lossy(buffer.data);
                    alert(
                        &self.config,
                        scene,
                        Some((id, transaction)),
                        &found,
                        &matched,
                        records,
                    );
                }
                if !spec.multi {
                    break;
                }
            }
        }
        if done & FILES == 0 {
            if let Some(files) = transaction.files() {
                let ended = files
                    .files
                    .iter()
                    .all(|file| file.state != crate::file::State::Open);
                if ended && !files.files.is_empty() {
                    done |= FILES;
                    self.files(scene, (id, transaction), records);
                }
            }
        }
        done
    }

    fn files(
        &mut self,
        scene: &Scene<'_, '_>,
        (id, transaction): (u64, &dyn Transaction),
        records: &mut Records,
    ) {
        let digests = transaction
            .files()
            .into_iter()
            .flat_map(|files| &files.files)
            .filter_map(|file| file.digests());
        for digests in digests {
            for text in [hex(&digests.md5), hex(&digests.sha1), hex(&digests.sha256)] {
                if let Some(found) = self.set.text(IndicatorKind::FileHash, text.as_bytes()) {
                    self.hits += 1;
                    alert(
                        &self.config,
                        scene,
                        Some((id, transaction)),
                        &found,
                        &text,
                        records,
                    );
                }
            }
        }
    }
}

/// A host without its port.
fn without_port(host: &[u8]) -> &[u8] {
    match memchr::memrchr(b':', host) {
        Some(at) if host[at + 1..].iter().all(u8::is_ascii_digit) => &host[..at],
        _ => host,
    }
}

impl Inspector for Watch {
    fn inspect(&mut self, scene: &mut Scene<'_, '_>, records: &mut Records) {
        let before = self.hits;
        self.addresses(scene, records);
        self.transactions(scene, records);
        if let (true, Some(about)) = (self.hits > before, &mut scene.flow) {
            about.flow.alerted = true;
        }
    }

    fn counters(&self) -> Vec<(String, u64)> {
        vec![
            ("intel.hits".into(), self.hits),
            ("intel.indicators".into(), self.set.len() as u64),
        ]
    }
}

fn alert(
    config: &Config,
    scene: &Scene<'_, '_>,
    transaction: Option<(u64, &dyn Transaction)>,
    found: &Indicator<'_>,
    matched: &dyn Display,
    records: &mut Records,
) {
    if config.output.disabled.iter().any(|kind| kind == "alert") {
        return;
    }
    let about = scene.flow.as_ref();
    let shown = Alert {
        packet: scene.packet,
        flow: about.map(|about| &*about.flow),
        app: about.map(|about| &*about.app),
        transaction,
        payload: scene.packet.payload,
        stream: false,
        blocked: false,
    };
    let value = value_of(found);
    write_with(&shown, &config.output, records, |json: &mut Json<'_>| {
        json.open_object("alert");
        json.str("action", "allowed");
        json.num("gid", GID);
        json.num("signature_id", found.kind as u8);
        json.num("rev", 1);
        let what = if found.info.is_empty() {
            found.source
        } else {
            found.info
        };
        json.str(
            "signature",
            format!("Indicator: {} {value} ({what})", found.kind.name()),
        );
        json.str("category", "Threat intelligence");
        json.num("severity", SEVERITY);
        json.close_object();
        json.open_object("tapwarden");
        json.open_object("indicator");
        json.str("type", found.kind.name());
        json.str("value", &value);
        json.str("source", found.source);
        if !found.info.is_empty() {
            json.str("info", found.info);
        }
        json.str("matched", matched.to_string());
        json.close_object();
        json.close_object();
    });
}

/// The indicator as text.
fn value_of(found: &Indicator<'_>) -> String {
    let address = |octets: &[u8]| -> Option<IpAddr> {
        match octets.len() {
            4 => Some(IpAddr::from(<[u8; 4]>::try_from(octets).ok()?)),
            _ => Some(IpAddr::from(<[u8; 16]>::try_from(octets).ok()?)),
        }
    };
    let text = match found.kind {
        IndicatorKind::Ip => address(found.key).map(|address| address.to_string()),
        IndicatorKind::IpPort => found.key.split_last_chunk::<2>().and_then(|(octets, port)| {
            Some(std::net::SocketAddr::new(address(octets)?, u16::from_be_bytes(*port)).to_string())
        }),
        IndicatorKind::Network => found
            .key
            .split_last()
            .and_then(|(prefix, octets)| Some(format!("{}/{prefix}", address(octets)?))),
        _ => None,
    };
    text.unwrap_or_else(|| String::from_utf8_lossy(found.key).into_owned())
}
