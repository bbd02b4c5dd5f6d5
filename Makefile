# Everything a checkout needs, with Python 3.11 or newer and make alone.
#
#   make run     start the demo city
#   make test    every check
#
# The first call sets up .venv; later ones start at once. Another Python: make PYTHON=python3.12 …

SHELL := /bin/sh
.DEFAULT_GOAL := help
.SUFFIXES:
.PHONY: help venv run test compiled test-compiled lint types contracts unit bench bench-quick build clean system faults peers sbom install-test soak axe

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PYTHON ?=
ARGS ?=
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_NO_INPUT := 1
# Every engine that a test starts would be compiled again.
unexport PYTHONDONTWRITEBYTECODE

# The lines that install a Debian package $(1), which the step $(2) needs; without the right to do it, they say how.
define apt_install
	if [ "$$(id -u)" = 0 ]; then as_root=; \
	elif sudo -n true 2>/dev/null; then as_root=sudo; \
	else as_root=none; fi; \
	if [ "$$as_root" != none ] && command -v apt-get >/dev/null; then \
	  echo "== installing $(1), needed $(2)"; \
	  { $$as_root apt-get -qq update && \
	    $$as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends $(1); } \
	    >/dev/null </dev/null || { \
	    echo "$(1) could not be installed; try by hand: sudo apt-get install -y $(1)" >&2; exit 1; }; \
	else \
	  echo "$(1) is missing, needed $(2). Type this, then call make again:" >&2; \
	  echo "    sudo apt-get install -y $(1)" >&2; \
	  exit 1; \
	fi
endef

help: ## Show what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

venv: $(STAMP) ## Set up .venv with everything installed (once)

# Names of interpreters are tried by running them: a name in PATH may lead nowhere.
$(STAMP): pyproject.toml
	@python="$(PYTHON)"; \
	for name in $$python python3.13 python3.12 python3.11 python3; do \
	  if "$$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then \
	    found="$$name"; break; fi; \
	  if [ -n "$$python" ]; then break; fi; \
	done; \
	if [ -z "$$found" ]; then \
	  echo "Python 3.11 or newer is needed$${python:+, and PYTHON=$$python is not it}. On Debian 12:" >&2; \
	  echo "    sudo apt-get install -y python3 python3-venv" >&2; exit 1; fi; \
	if ! "$$found" -c 'import ensurepip, venv' >/dev/null 2>&1; then \
	  package="$$("$$found" -c 'import sys; print("python3.%d-venv" % sys.version_info[1])')"; \
	  $(call apt_install,$$package,to create .venv); \
	fi; \
	if ! [ -x $(BIN)/python ] || ! $(BIN)/python -c 'import pip' >/dev/null 2>&1; then \
	  echo "== creating $(VENV) with $$found"; \
	  rm -rf $(VENV) && "$$found" -m venv $(VENV) || exit 1; \
	fi
	@echo "== installing pilotage and its tools into $(VENV) (a minute or two, once)"
	@$(BIN)/python -m pip install -qq --editable '.[demo,dev]'
	@touch $@

system:
	@if ! { PATH="$$PATH:/usr/sbin:/usr/local/sbin"; command -v mosquitto; } >/dev/null; then \
	  $(call apt_install,mosquitto,by the tests that talk to a real broker); \
	fi
	@if ! { command -v chromium || command -v chromium-browser || command -v google-chrome; } >/dev/null; then \
	  $(call apt_install,chromium,by the tests of the pages in a real browser); \
	fi

# What finds barriers on the pages; without npm those tests are skipped.
AXE := tests/web_ui/browser/node_modules/.package-lock.json
axe: $(AXE)

$(AXE): tests/web_ui/browser/package-lock.json
	@if command -v npm >/dev/null; then \
	  echo "== installing axe-core for the browser tests (once)"; \
	  { cd tests/web_ui/browser && npm ci --silent && touch node_modules/.package-lock.json; } || \
	    echo "== npm could not install it: the tests with axe-core are skipped"; \
	else echo "== no npm here: the tests with axe-core are skipped"; fi

# Lighthouse, for the same browser; only `make ui` asks for it.
LIGHTHOUSE := tests/web_ui/browser/lighthouse/node_modules/.package-lock.json
$(LIGHTHOUSE): tests/web_ui/browser/lighthouse/package-lock.json
	@if command -v npm >/dev/null; then \
	  echo "== installing Lighthouse for the browser tests (once)"; \
	  { cd $(<D) && npm ci --silent && touch node_modules/.package-lock.json; } || \
	    echo "== npm could not install it: the tests with Lighthouse are skipped"; \
	else echo "== no npm here: the tests with Lighthouse are skipped"; fi

.PHONY: ui
ui: $(STAMP) system axe $(LIGHTHOUSE) ## Measure and try the pages in a real browser at length, and print what was reached (ARGS="--only pixel")
	@$(BIN)/python -m pytest -q -m ui tests/web_ui
	@$(BIN)/python -m tests.web_ui.figures $(ARGS)
	@echo "== schemathesis, 10,000 requests as each role"
	@$(BIN)/python -m tests.web_ui.schema_run

# Equipment that nobody here wrote, for the contract tests of the adapters; without npm those tests are skipped.
PEERS := tests/peers/node_modules/.package-lock.json
peers: $(PEERS)

$(PEERS): tests/peers/package-lock.json
	@if command -v npm >/dev/null && command -v node >/dev/null; then \
	  echo "== installing the peers of the contract tests (once)"; \
	  { cd tests/peers && npm ci --silent && touch node_modules/.package-lock.json; } || \
	    echo "== npm could not install them: the contract tests against node-opcua and modbus-serial are skipped"; \
	else echo "== no npm here: the contract tests against node-opcua and modbus-serial are skipped"; fi

run: $(STAMP) ## Start the demo city (ARGS="--speed 60" for a night in minutes)
	@$(BIN)/pilotage demo $(ARGS)

test: $(STAMP) system peers axe ## Run every check: ruff, mypy, import contracts, pytest
	@$(MAKE) --no-print-directory lint
	@$(MAKE) --no-print-directory types
	@$(MAKE) --no-print-directory contracts
	@echo "== pytest"
	@$(BIN)/python -m pytest -q -n 3 --dist loadfile --no-loadscope-reorder --durations 25 $(ARGS) || { \
	  [ $$? = 1 ] || exit 1; \
	  echo "== once more, alone, what failed beside others: a mistake fails again; what passes now is unsteady, and to be mended"; \
	  $(BIN)/python -m pytest -q --last-failed --last-failed-no-failures none $(ARGS); }
	@echo "== all checks passed"

compiled: $(STAMP) ## Compile the core into build/compiled, which PYTHONPATH=build/compiled takes (needs gcc and Python.h)
	@$(BIN)/python deploy/compile_core.py build/compiled

test-compiled: compiled system peers axe ## Run the tests with the compiled core
	@PYTHONPATH="$(CURDIR)/build/compiled" $(BIN)/python -m pytest -q -n 3 --dist loadfile --no-loadscope-reorder $(ARGS)

lint: $(STAMP) ## Check style and formatting
	@echo "== ruff check"
	@$(BIN)/ruff check --quiet --no-cache .
	@echo "== ruff format --check"
	@$(BIN)/ruff format --check --quiet . || { \
	  $(BIN)/ruff format --check --output-format concise . | tail -n 20; \
	  echo "mend: $(BIN)/ruff format ." >&2; exit 1; }

types: $(STAMP) ## Check types (mypy --strict)
	@echo "== mypy"
	@$(BIN)/mypy --no-error-summary

contracts: $(STAMP) ## Check who may import whom
	@echo "== lint-imports"
	@$(BIN)/lint-imports --no-logo >.import-contracts.log 2>&1 || { cat .import-contracts.log; exit 1; }
	@rm -f .import-contracts.log

unit: $(STAMP) ## Run the tests that need no broker
	@$(BIN)/python -m pytest -q --ignore=tests/system --ignore=tests/faults $(ARGS)

faults: $(STAMP) system peers ## Break the engine on purpose, at length, and print what held (ARGS="--only G2")
	@$(BIN)/python -m tests.faults $(ARGS)
	@[ -n "$(ARGS)" ] || { echo "== the equipment of each adapter killed ten times beneath an engine"; \
	  KILLS=10 $(BIN)/python -m pytest -q -k kills_under_an_engine tests/adapters; }

soak: $(STAMP) system ## Run a city for 20 min with something going wrong all the time, and print what grew (ARGS="--minutes 2 --rate 500")
	@$(BIN)/python -m tests.faults.suite_soak $(ARGS)

bench: $(STAMP) system ## Measure the speed (some 40 minutes, on an idle machine; ARGS="--only w1")
	@$(BIN)/python -m benchmarks $(ARGS)

bench-quick: $(STAMP) system ## Measure the speed roughly (some two minutes)
	@$(BIN)/python -m benchmarks --quick $(ARGS)

build: $(STAMP) ## Build the wheel and the source archive into dist/
	@rm -rf dist && $(BIN)/python -m build --no-isolation --outdir dist . >/dev/null && ls -1 dist

sbom: build ## Write what is inside the wheel and all that it needs into dist/pilotage.cdx.json (CycloneDX)
	@rm -rf dist/.sbom && $(BIN)/python -m venv dist/.sbom
	@dist/.sbom/bin/python -m pip install -qq dist/pilotage-*.whl
	@dist/.sbom/bin/python -m pip uninstall -qq --yes setuptools pip
	@$(BIN)/cyclonedx-py environment --pyproject pyproject.toml --sv 1.6 --output-reproducible --output-file dist/pilotage.cdx.json dist/.sbom
	@rm -rf dist/.sbom
	@$(BIN)/python -c 'import json; made = json.load(open("dist/pilotage.cdx.json")); print("dist/pilotage.cdx.json:", len(made["components"]), "components")'

install-test: build ## From an empty Debian 12 to a running service, by the steps of the manual (root, debootstrap; minutes)
	@deploy/install-test.sh dist

clean: ## Remove everything that was made, .venv included
	@rm -rf $(VENV) tests/peers/node_modules tests/web_ui/browser/node_modules dist build .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis .schemathesis \
	  .coverage .import-contracts.log htmlcov
	@find engine adapters plugins web_ui tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
