#!/bin/sh
# IntelMQ in an environment of its own (AGPL): only its harmonisation is used, by one test, to judge the lines we write.
set -e
cd "$(dirname "$0")/.."
[ -x .intelmq/bin/python ] || python3 -m venv .intelmq
.intelmq/bin/python -c "import intelmq" 2>/dev/null || .intelmq/bin/pip install -q "intelmq>=3.5,<4"
