#!/bin/sh
# make run: Tapwarden on this host with everything under ./var. run.sh INTERFACE CAPTURE (either may be empty)
# With a capture, a coordinating centre of our own answers on loopback, so that the whole chain can be seen.
# PORT and COORDINATOR_PORT move the two from 8686 and 8766.
set -eu
cd "$(dirname "$0")/.."
interface=$1 capture=$2
port=${PORT:-8686} coordinator_port=${COORDINATOR_PORT:-8766}
bin=$PWD/.venv/bin

if [ -z "$capture" ]; then
    tools/preflight.sh capture "$interface"
    root=$PWD/var/live
    mkdir -p "$root/etc"
    [ -e "$root/etc/tapwarden.yaml" ] || cp examples/live.yaml "$root/etc/tapwarden.yaml"
    exec "$bin/tapwarden" --root "$root" run --set "dashboard.port=$port" ${interface:+--interface "$interface"}
fi

fail() { echo "tapwarden: $1" >&2; exit 1; }
answers() { "$bin/python" -c 'import socket, sys; socket.create_connection(("127.0.0.1", int(sys.argv[1])), 1)' "$1" 2>/dev/null; }
[ -r "$capture" ] || fail "$capture cannot be read; try PCAP=examples/infected-host.pcap"
! answers "$port" || fail "port $port is taken; choose another: make run PCAP=$capture PORT=8687"
! answers "$coordinator_port" || fail "port $coordinator_port is taken; choose another: make run PCAP=$capture COORDINATOR_PORT=8767"

root=$PWD/var/replay
mkdir -p "$root/etc"
[ -e "$root/etc/tapwarden.yaml" ] || cp examples/replay.yaml "$root/etc/tapwarden.yaml"
[ -e "$root/etc/coordinator.token" ] || (umask 077; od -An -N24 -tx1 /dev/urandom | tr -d ' \n' >"$root/etc/coordinator.token")

"$bin/tapwarden" coordinator serve --root "$root" --port "$coordinator_port" --token-file "$root/etc/coordinator.token" \
    >"$root/coordinator.log" 2>&1 &
coordinator=$!
trap 'kill "$coordinator" 2>/dev/null || true' EXIT
until answers "$coordinator_port"; do
    kill -0 "$coordinator" 2>/dev/null || fail "the coordinating centre did not start: $(tail -n 1 "$root/coordinator.log")"
    sleep 0.1
done

# Ctrl-C reaches the agent from the terminal; what is sent to this script alone is passed on. It drains before it ends.
"$bin/tapwarden" --root "$root" run --pcap "$capture" --set "dashboard.port=$port" \
    --set "reporting.coordinator.url=http://127.0.0.1:$coordinator_port/api/v1/reports" &
agent=$!
trap : INT
trap 'kill "$agent" 2>/dev/null || true' TERM
code=0
wait "$agent" || code=$?
while kill -0 "$agent" 2>/dev/null; do
    code=0
    wait "$agent" || code=$?
done
exit "$code"
