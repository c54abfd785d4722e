# `make help` lists what there is. Everything this makes lies in .venv/ and .cache/.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.ONESHELL:
.DELETE_ON_ERROR:

DEMO_SECONDS ?= 60
SWITCH ?= asterisk
FREESWITCH_BIN ?=
PYTEST ?=
PYTHON ?= python3
BIN := .venv/bin
CODE := $(wildcard pbxbill tests lab demo bench)
export DEMO_SECONDS SWITCH FREESWITCH_BIN
# Containers often set it; every process of a test would then compile what it imports anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help demo test check audit unit format dev servers messages clean
.DEFAULT_GOAL := help

help: ## list these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

demo: .venv/stamp .cache/sipp.stamp $(if $(filter asterisk,$(SWITCH)),.cache/asterisk.stamp) ## real calls on a private switch, charged live (DEMO_SECONDS=60, SWITCH=asterisk|freeswitch, FREESWITCH_BIN=)
	@$(BIN)/python -m demo

test: .venv/stamp servers ## install what the suite needs, then run all of it (PYTEST='-k name' for a part, '-n 0' in one process)
	@$(BIN)/pytest -n 5 --dist loadfile --no-loadscope-reorder $(PYTEST)

check: .venv/stamp ## lint, types, import rules, unit tests and known weaknesses of dependencies, in under 30 seconds
	@$(BIN)/ruff check $(CODE)
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/mypy $(CODE)
	$(BIN)/lint-imports --no-logo
	$(BIN)/pytest -q tests/unit -m "not long"
	$(BIN)/python -m lab.audit

audit: .venv/stamp ## ask PyPI for known weaknesses of dependencies now, whatever was known before
	@rm -f .cache/audit.json
	$(BIN)/python -m lab.audit

unit: .venv/stamp ## the unit tests alone
	@$(BIN)/pytest -q tests/unit $(PYTEST)

format: .venv/stamp ## put the code into its form
	@$(BIN)/ruff check --fix-only --quiet $(CODE)
	$(BIN)/ruff format $(CODE)

dev: .venv/stamp servers ## the environment for tests and benches, and nothing else

servers: .cache/asterisk.stamp .cache/sipp.stamp .cache/databases.stamp .cache/browser.stamp

messages: .venv/stamp ## bring the panel's translations up to date with its texts
	@$(BIN)/python -m lab.messages

clean: ## remove .venv, .cache and what tools left behind
	@rm -rf .venv .cache .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache build dist
	find . -name __pycache__ -not -path './.git/*' -prune -exec rm -rf {} +

.venv/stamp: pyproject.toml lab/install-venv.sh | .cache/pdf.stamp
	@PYTHON='$(PYTHON)' lab/install-venv.sh .venv
	touch $@

.cache/asterisk.stamp: lab/install-asterisk.sh
	@lab/install-asterisk.sh .cache/asterisk
	touch $@

.cache/sipp.stamp: lab/install-packages.sh
	@lab/install-packages.sh sipp=sip-tester
	mkdir -p $(@D) && touch $@

# What sets PDF invoices; it brings a font of Debian's with it.
.cache/pdf.stamp: lab/install-packages.sh
	@lab/install-packages.sh libpangoft2-1.0.so.0=libpangoft2-1.0-0 libharfbuzz-subset.so.0=libharfbuzz-subset0
	mkdir -p $(@D) && touch $@

.cache/databases.stamp: lab/install-packages.sh
	@lab/install-packages.sh redis-server=redis-server initdb=postgresql
	mkdir -p $(@D) && touch $@

# What looks at the panel in tests.
.cache/browser.stamp: lab/install-packages.sh
	@lab/install-packages.sh chromium-headless-shell=chromium-headless-shell
	mkdir -p $(@D) && touch $@
