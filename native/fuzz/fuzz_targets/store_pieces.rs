#![no_main]

libfuzzer_sys::fuzz_target!(|octets: &[u8]| tapwarden_fuzz::run("store_pieces", octets));
