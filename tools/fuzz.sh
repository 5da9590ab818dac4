#!/bin/sh
# Run every fuzz target by libFuzzer for SECONDS_EACH seconds (60), from the kept corpus; what it finds new grows in
# native/fuzz/grown, which git does not see. TARGETS="app_http mime" runs these alone. Instrumentation needs a nightly
# compiler, or a stable one told to take it for one (RUSTC_BOOTSTRAP).
# Without libFuzzer, the test suite runs the same targets: cargo test -p tapwarden-fuzz (see native/fuzz/tests/corpus.rs).
set -eu
cd "$(dirname "$0")/../native"
command -v cargo-fuzz >/dev/null || cargo install --locked cargo-fuzz
fuzz() { RUSTC_BOOTSTRAP=1 cargo fuzz "$@"; }
for target in ${TARGETS:-$(fuzz list --fuzz-dir fuzz)}; do
    echo "fuzz: $target"
    mkdir -p "fuzz/grown/$target"
    fuzz run --fuzz-dir fuzz --features libfuzzer --sanitizer none "$target" "fuzz/grown/$target" "fuzz/corpus/$target" -- \
        -max_total_time="${SECONDS_EACH:-60}" -timeout=10 -rss_limit_mb=2048 -max_len=8192
done
