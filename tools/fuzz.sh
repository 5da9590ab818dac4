#!/bin/sh
# Run every fuzz target for SECONDS_EACH seconds on the kept corpus. Needs a nightly toolchain's sanitizers or RUSTC_BOOTSTRAP=1.
set -eu
cd "$(dirname "$0")/../native"
command -v cargo-fuzz >/dev/null || cargo install --locked cargo-fuzz
for target in $(cargo fuzz list); do
    echo "fuzz: $target"
    RUSTC_BOOTSTRAP=1 cargo fuzz run --sanitizer none "$target" -- -max_total_time="${SECONDS_EACH:-60}" -rss_limit_mb=2048
done
