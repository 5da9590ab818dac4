# Tapwarden for people with a checkout. `make` alone says what there is.
VENV    := .venv
PYTHON  ?= python3
BIN     := $(VENV)/bin
RUST    := $(shell find native -name '*.rs' -not -path '*/target/*') native/Cargo.toml native/Cargo.lock $(wildcard native/*/Cargo.toml)
CARGO   := cd native && cargo
IFACE   ?=
PCAP    ?=

.PHONY: help run test pictures lint types conformance bench bench-store bench-mitigation elasticsearch fuzz format clean

help:
	@echo "make run               set up and start Tapwarden on this host (IFACE=eth0 for another interface)"
	@echo "make run PCAP=FILE     replay a capture through the very same path; try examples/infected-host.pcap"
	@echo "                       PORT=8687 moves the dashboard, COORDINATOR_PORT=8767 the coordinating centre"
	@echo "make test              set up and run all tests"
	@echo "make lint              ruff, mypy --strict, rustfmt, clippy"
	@echo "make conformance       the same alerts as Suricata on the same packets (needs ../shared/conformance)"
	@echo "make bench             packets a second, beside Suricata where it is installed"
	@echo "make bench-store       events a second, octets an event, answers: the event stores side by side (EVENTS=200000)"
	@echo "make bench-mitigation  from a packet on the wire to the kernel dropping the next, beside fail2ban"
	@echo "make elasticsearch     a real Elasticsearch server on loopback, for a trial (STOP=1 ends it)"
	@echo "make fuzz              every fuzz target for a while (SECONDS_EACH=60)"

# The package with its native core (release build), its dependencies and those of the tests, in a virtual environment.
$(VENV)/.installed: pyproject.toml setup.py $(RUST)
	@PYTHON="$(PYTHON)" tools/preflight.sh build
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --upgrade pip setuptools setuptools-rust
	@echo "tapwarden: installing dependencies and building the native core; the first time this takes a few minutes" >&2
	@SETUPTOOLS_RUST_CARGO_PROFILE=release PYTHONWARNINGS=ignore $(BIN)/python -m pip install --quiet --no-build-isolation --editable '.[test,lint,evidence]'
	@touch $@

run: $(VENV)/.installed
	@tools/run.sh "$(IFACE)" "$(PCAP)"

test: $(VENV)/.installed
	$(CARGO) test --workspace --exclude tapwarden-python --locked
	$(BIN)/python -m pytest $(PYTEST_ARGS)

# The README's pictures, from the browser test.
pictures: $(VENV)/.installed
	TAPWARDEN_SCREENSHOTS=docs/images $(BIN)/python -m pytest -q tests/test_newcomer.py -k picture

# Type checkers cannot see the package map of setup.py; these links show it to them.
types:
	@tools/link-types.sh

lint: $(VENV)/.installed types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy -p tapwarden
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings

format: $(VENV)/.installed
	$(BIN)/ruff check --fix --quiet . ; $(BIN)/ruff format .
	$(CARGO) fmt --all

conformance: $(VENV)/.installed
	@tools/conformance.sh

bench: $(VENV)/.installed
	@$(BIN)/python bench/read.py

bench-store: $(VENV)/.installed
	@$(BIN)/python bench/store.py --events $(or $(EVENTS),200000)

bench-mitigation: $(VENV)/.installed
	@$(BIN)/python bench/mitigation.py

elasticsearch:
	@$(if $(STOP),tools/elasticsearch.sh stop,tools/elasticsearch.sh start) .elasticsearch/trial

fuzz:
	@tools/fuzz.sh

clean:
	rm -rf $(VENV) build .types native/target src/tapwarden/_core*.so *.egg-info src/*.egg-info
