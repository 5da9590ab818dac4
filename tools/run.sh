#!/bin/sh
# make run: Tapwarden on this host with everything under ./var. run.sh INTERFACE CAPTURE (either may be empty)
# With a capture, a coordinating centre of our own answers on loopback, so that the whole chain can be seen.
set -eu
cd "$(dirname "$0")/.."
interface=$1 capture=$2
tapwarden=$PWD/.venv/bin/tapwarden
if [ -n "$capture" ]; then
    [ -r "$capture" ] || { echo "tapwarden: $capture cannot be read; try PCAP=examples/infected-host.pcap" >&2; exit 1; }
    root=$PWD/var/replay
    mkdir -p "$root/etc"
    [ -e "$root/etc/tapwarden.yaml" ] || cp examples/replay.yaml "$root/etc/tapwarden.yaml"
    [ -e "$root/etc/coordinator.token" ] || (umask 077; od -An -N24 -tx1 /dev/urandom | tr -d ' \n' >"$root/etc/coordinator.token")
    "$tapwarden" coordinator --root "$root" --listen 127.0.0.1 --port 8766 --token-file "$root/etc/coordinator.token" \
        >"$root/coordinator.log" 2>&1 &
    coordinator=$!
    trap 'kill "$coordinator" 2>/dev/null || true' EXIT INT TERM
    "$tapwarden" --root "$root" run --pcap "$capture"
else
    tools/preflight.sh capture "$interface"
    root=$PWD/var/live
    mkdir -p "$root/etc"
    [ -e "$root/etc/tapwarden.yaml" ] || cp examples/live.yaml "$root/etc/tapwarden.yaml"
    exec "$tapwarden" --root "$root" run ${interface:+--interface "$interface"}
fi
