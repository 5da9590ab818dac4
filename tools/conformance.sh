#!/bin/sh
# How many conformance cases give exactly Suricata's alerts, then the corpus of real captures with ET Open.
set -u
cd "$(dirname "$0")/.."
corpus=../shared/conformance
if [ ! -d "$corpus/visible" ]; then
    echo "conformance: $corpus is not there; nothing to compare with" >&2
    exit 0
fi
python=$PWD/.venv/bin/python
"$python" "$corpus/check.py" "$corpus/visible" --engine "$PWD/.venv/bin/tapwarden" "$@" || true
"$python" bench/captures.py || true
