#!/usr/bin/env bash
# Genuine TAXII 2.1 servers and a client that nobody here wrote, for the interoperability tests: each in a virtual
# environment of its own, since they want versions that we do not.
#
#   tools/taxii-peers.sh            make what is not there yet (half a minute the first time); prints their folder
#
#   medallion/bin/medallion         medallion 3.0.0, and taxii2-client 2.3.0 beside it
#   opentaxii/bin/gunicorn          OpenTAXII 0.9.3 under gunicorn
#
#   TAXII_PEERS   where they are kept (.taxii-peers in the checkout)
set -euo pipefail
cd "$(dirname "$0")/.."
folder=${TAXII_PEERS:-$PWD/.taxii-peers}
mkdir -p "$folder"

make_one() { # name, packages
    local name=$1 made="$folder/$1/.made"
    shift
    [ "$(cat "$made" 2>/dev/null)" = "$*" ] && return
    echo "taxii-peers: installing $*" >&2
    rm -rf "${folder:?}/$name"
    "${PYTHON:-python3}" -m venv "$folder/$name"
    "$folder/$name/bin/pip" install --quiet --disable-pip-version-check "$@" >&2
    echo "$*" >"$made"
}

exec 9>"$folder/.lock"
flock 9
make_one medallion medallion==3.0.0 taxii2-client==2.3.0 Flask==3.1.3
make_one opentaxii opentaxii==0.9.3 gunicorn==27.0.1
echo "$folder"
