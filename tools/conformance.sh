#!/bin/sh
# Whether Tapwarden says what Suricata says: conformance cases, which rules load, real captures under ET Open (with the
# sids that differ most). Exit status 1 when one of them is below its aim; each is run whatever the others say.
set -u
cd "$(dirname "$0")/.."
if [ ! -d ../shared/conformance/visible ]; then
    echo "conformance: ../shared/conformance is not there; nothing to compare with" >&2
    exit 0
fi
python=$PWD/.venv/bin/python
rules=$PWD/../shared/conformance/ruleload-visible.jsonl
status=0
step() { printf '\n== %s\n' "$1"; }
step "cases"
"$python" bench/conformance.py "$@" || status=1
step "which rules load (aim: 97 % agree)"
(cd native && cargo run --quiet --release --locked --package tapwarden-core --example check_rules -- "$rules") || status=1
step "real captures under ET Open (aim: 97 % of pairs exact, 3 % only ours)"
"$python" bench/captures.py || status=1
exit $status
