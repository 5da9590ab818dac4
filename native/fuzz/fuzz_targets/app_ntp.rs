#![no_main]

use libfuzzer_sys::fuzz_target;
use tapwarden_core::app::Carrier;

fuzz_target!(|octets: &[u8]| tapwarden_fuzz::parse("ntp", Carrier::Udp, octets));
