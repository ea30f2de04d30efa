# Everything a person types here. `make` alone lists it.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
BOARD ?=
PORT ?=
IMAGE ?=
SEED ?= 1
QUICK ?=

.DEFAULT_GOAL := help
.PHONY: help setup demo kiosk-demo authority test check format flash bench bench-heap bench-throughput bench-radio \
  bench-fleet bench-flash bench-kiosk bench-evidence bench-matching bench-sync battery soak calibration pictures \
  kiosk-pictures lock clean

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*##/:/' | awk -F': *' '{printf "  make %-18s %s\n", $$1, $$2}'

# The environment is made anew when a lock file changes; a half-made one is never taken for whole (stamp last).
STAMP := $(VENV)/.ready
$(STAMP): requirements.lock requirements-stubs.lock requirements-stubs-circuitpython.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Python 3.11 or newer is needed; $(PYTHON) is $$($(PYTHON) -V 2>&1). Nothing was changed."; \
	  echo "Name another one: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { \
	  echo "This Python cannot make environments. On Debian: sudo apt install python3-venv. Nothing was changed."; exit 1; }
	@echo "Setting up $(VENV) from requirements.lock (about a minute) …"
	@$(PYTHON) -m venv --clear $(VENV)
	@$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes --no-deps \
	  --target $(VENV)/stubs -r requirements-stubs.lock
	@$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes --no-deps \
	  --target $(VENV)/stubs-circuitpython -r requirements-stubs-circuitpython.lock
	@$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

setup: $(STAMP) ## the environment in .venv, with the `bluezone` command in it

demo: setup ## a morning in an office in virtual time, then everyone at the kiosk; writes build/demo/
	@$(BIN)/bluezone demo --seed $(SEED)

kiosk-demo: setup ## the kiosk's pages with a simulated office at the kiosk; prints where to look
	@$(BIN)/bluezone kiosk --radio virtual --seed $(SEED)

authority: setup ## sign lists of made-up cases and serve them on https://localhost:8443/, to try --list-key with
	@$(BIN)/bluezone authority demo build/authority

test: setup check ## every test, after `make check`
	@$(BIN)/pytest -rs  # names what is not installed, and the tests that were left out for it

check: setup ## ruff and pyright over host, firmware and boards
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/pyright --warnings
	@$(BIN)/pyright --warnings -p firmware/pyrightconfig.json
	@$(BIN)/pyright --warnings -p firmware/pyrightconfig-circuitpython.json
	@$(BIN)/pyright --warnings -p firmware/pyrightconfig-zephyr.json

format: setup ## let ruff put the code in its one format
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

flash: setup ## copy the firmware to all boards that are plugged in, or to some: make flash PORT="/dev/ttyUSB0 /dev/ttyUSB1"
	@$(BIN)/bluezone flash --board "$(BOARD)" $(foreach port,$(PORT),--port "$(port)") $(if $(IMAGE),--image "$(IMAGE)")

bench: bench-heap bench-throughput ## both benchmarks

bench-heap: setup ## heap of a token over 8 virtual hours and a session (64 KB in all); fails above 48 KB
	@$(BIN)/python -m host_tools.simulation.bench heap

bench-throughput: setup ## token-seconds per second of the virtual radio with VMs
	@$(BIN)/python -m host_tools.simulation.bench throughput

bench-sync: setup ## how long a sync takes on a paced link, beside the link's limit; fails where a gate is missed
	@$(BIN)/python -m host_tools.simulation.sync_bench

bench-radio: setup ## how far the radio schedule is from the optimum; fails where a gate is missed (about a minute)
	@$(BIN)/python -m host_tools.simulation.radio_bench

bench-fleet: setup ## how long the clerk's questions take with 10,000 tokens, and a new list with a million encounters
	@$(BIN)/python -m host_tools.fleet.bench
	@$(BIN)/python -m host_tools.fleet.rematch_bench

bench-kiosk: setup ## how long wearers wait at the kiosk, and the time of each page with 10,000 tokens
	@$(BIN)/python -m host_tools.web.bench

bench-flash: setup ## seconds per board and for 20 at once, made-up boards, beside `mpremote cp` (about two minutes)
	@$(BIN)/python tests/device/flash_bench.py

bench-evidence: setup ## false alarms and misses of what two logs say together, simulated (about four minutes)
	@$(BIN)/python -m host_tools.simulation.evidence_bench

bench-matching: setup ## matching beside DuckDB, polars and hashlib; fails if results differ (QUICK=--quick: small sizes)
	@$(BIN)/python -m host_tools.matching.bench $(QUICK)

battery: setup ## how long each board's battery lasts, from the radio log and the currents in board.toml
	@$(BIN)/python -m host_tools.simulation.battery

soak: setup ## power cut at every byte; 14 virtual days of 20 tokens, a day of 20 VMs; 120 kills of a kiosk (¾ of an hour)
	@$(BIN)/python tests/power_loss/every_cut.py
	@$(BIN)/python -m host_tools.simulation.soak
	@$(BIN)/python -m host_tools.simulation.bench soak
	@$(BIN)/python tests/web/kiosk_kills.py

calibration: setup ## fit RSSI to distance anew, from tests/vectors/herald-rssi; writes calibration.toml and its picture
	@$(BIN)/python -m host_tools.matching.calibrate

pictures: setup ## the drawings in docs/img/: the light's patterns from the firmware's table, wiring from board.toml
	@$(BIN)/python -m host_tools.pictures
	@$(BIN)/python -m host_tools.wiring

kiosk-pictures: setup ## screenshots of the kiosk's pages, docs/img/kiosk/ (needs chromium)
	@BLUEZONE_SCREENSHOTS=docs/img/kiosk $(BIN)/pytest -n 0 tests/web/test_wearer_screen.py tests/web/test_staff_pages.py

lock: ## write the lock files anew from pyproject.toml (needs uv)
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
	  --no-annotate --group dev pyproject.toml -o requirements.lock
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
	  --no-annotate --no-deps --group stubs -o requirements-stubs.lock
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
	  --no-annotate --no-deps --group stubs-circuitpython -o requirements-stubs-circuitpython.lock

clean: ## remove the environment and everything built
	rm -rf $(VENV) build .pytest_cache .ruff_cache .hypothesis
