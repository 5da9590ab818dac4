#!/bin/sh
# Make .types/tapwarden: the package map of setup.py as relative links, for type checkers only.
set -eu
cd "$(dirname "$0")/.."
mkdir -p .types/tapwarden
cd .types/tapwarden
for name in __init__.py __main__.py py.typed _core.pyi model; do ln -sfn "../../src/tapwarden/$name" "$name"; done
for area in agent collectors signatures mitigation dashboards; do ln -sfn "../../$area" "$area"; done
