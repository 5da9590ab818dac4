#!/bin/sh
# What a build or a live capture needs, told in one line each when it is missing. preflight.sh build | capture INTERFACE
set -u
fail() { echo "tapwarden: $1" >&2; exit 1; }

case "${1:-build}" in
build)
    python="${PYTHON:-python3}"
    command -v "$python" >/dev/null || fail "Python is missing: apt-get install python3 python3-venv (3.11 or later)"
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
        fail "Python 3.11 or later is needed, $("$python" -V) is here: apt-get install python3.11 python3.11-venv, then make PYTHON=python3.11"
    "$python" -c 'import venv, ensurepip' 2>/dev/null || fail "Python cannot make virtual environments: apt-get install python3-venv"
    command -v cc >/dev/null || fail "a C compiler is missing: apt-get install build-essential pkg-config"
    command -v cargo >/dev/null || fail "Rust is missing: install it with rustup (https://rustup.rs), 1.82 or later"
    # rustc prints "rustc 1.95.0 (...)": the minor number decides.
    minor=$(rustc --version | sed -n 's/^rustc 1\.\([0-9]*\).*/\1/p')
    [ "${minor:-0}" -ge 82 ] || fail "Rust 1.82 or later is needed, $(rustc --version) is here: rustup update stable"
    if ! pkg-config --exists libhs 2>/dev/null; then
        echo "tapwarden: note: without libhs rules match several times slower: apt-get install pkg-config libhyperscan-dev" >&2
    fi
    ;;
capture)
    [ -z "$2" ] || [ -e "/sys/class/net/$2" ] || fail "there is no interface $2; there are: $(ls /sys/class/net | tr '\n' ' ')"
    # CAP_NET_RAW is bit 13 of the effective set.
    caps=$(sed -n 's/^CapEff:[[:space:]]*//p' /proc/self/status)
    [ $((0x$caps >> 13 & 1)) -eq 1 ] ||
        fail "live capture needs the capability CAP_NET_RAW: run it as root (sudo make run), or replay a capture: make run PCAP=examples/infected-host.pcap"
    ;;
esac
