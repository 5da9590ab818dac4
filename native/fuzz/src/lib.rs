//! Arbitrary octets for everything that reads octets, and what must hold of any: no panic, no endless work, no more used
//! than was shown, records that are JSON.
//!
//! [`TARGETS`] are run by libFuzzer (`make fuzz`; `fuzz_targets/` has a file for each) and, in the test suite, over the kept
//! corpus and mutations of it by `tests/corpus.rs`.
#![allow(
    clippy::expect_used,
    reason = "what must hold and does not is a finding: it has to panic"
)]

pub mod app;
pub mod capture;
pub mod frames;
pub mod rules;
pub mod store;

/// Something that reads octets.
#[derive(Clone, Copy)]
pub struct Target {
    /// Its name: of the file in `fuzz_targets/` and of the folder in `corpus/`.
    pub name: &'static str,
    /// Let it read.
    pub run: fn(&[u8]),
}

const fn target(name: &'static str, run: fn(&[u8])) -> Target {
    Target { name, run }
}

/// A parser of one protocol: named after it.
macro_rules! parser {
    ($name:literal, $protocol:literal, $($carrier:ident),+) => {
        target($name, |octets| {
            $(app::parse($protocol, tapwarden_core::app::Carrier::$carrier, octets);)+
        })
    };
}

/// All targets, a line each.
pub static TARGETS: &[Target] = &[
    parser!("app_dcerpc", "dcerpc", Tcp, Udp),
    parser!("app_dhcp", "dhcp", Udp),
    parser!("app_dns", "dns", Tcp, Udp),
    parser!("app_ftp", "ftp", Tcp),
    target("app_ftp_data", app::ftp_data),
    parser!("app_http", "http", Tcp),
    parser!("app_http2", "http2", Tcp),
    target("app_layer", app::layer),
    parser!("app_ntp", "ntp", Udp),
    parser!("app_quic", "quic", Udp),
    parser!("app_smb", "smb", Tcp),
    parser!("app_smtp", "smtp", Tcp),
    parser!("app_ssh", "ssh", Tcp),
    parser!("app_tls", "tls", Tcp),
    target("capture_file", capture::file),
    target("fragments", frames::fragments),
    target("frames", frames::any),
    target("mime", app::mime),
    target("probes", app::probes),
    target("rule_data", rules::data),
    target("rule_text", rules::text),
    target("rules_on_frames", frames::with_rules),
    target("segments", frames::segments),
    target("store_pieces", store::pieces),
    target("store_records", store::records),
];

/// Run the target of this name.
///
/// # Panics
/// When there is none, or something that must hold does not.
pub fn run(name: &str, octets: &[u8]) {
    let found = TARGETS.iter().find(|target| target.name == name);
    (found.expect("a target of the table").run)(octets);
}
