# One command each. `make` lists them; `make demo` goes from a fresh clone to webhooks in a real Postgres.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup demo dev test test-fast crash-test kill-test fuzz chaos lives bench lint audit vercel-build lock clean
MAKEFLAGS += --no-print-directory
SHELL := /bin/sh

BIN := .venv/bin
export PIP_DISABLE_PIP_VERSION_CHECK := 1

# The first Python that is new enough. PYTHON=... chooses another.
PYTHON ?= $(shell for candidate in python3.13 python3.12 python3.11 python3.14 python3 python; do \
	if $$candidate -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; \
	then echo $$candidate; break; fi; done)

help: ## list the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

setup: .venv/requirements.stamp node_modules/lock.stamp ## install what the laptop needs (only what changed)

demo: setup ## post sample webhooks through the whole pipeline and show what landed (ARGS="--help" for options)
	@$(BIN)/python -m dev demo $(ARGS)

dev: setup ## start everything, print every URL, stay up (ARGS="--port-base 4000" and others)
	@$(BIN)/python -m dev up $(ARGS)

test: setup ## run every test, in two processes with a real stack each (ARGS="-k name"; ARGS="-n 0": one process)
	@$(BIN)/python -m pytest -n 2 --dist loadfile $(ARGS)

test-fast: setup ## run the tests that need no stack (under a minute)
	@$(BIN)/python -m pytest tests/unit $(ARGS)

crash-test: setup ## kill the consumer at every await point, under every fault of Meta's (ten minutes)
	@CRASH_EVERYWHERE=1 $(BIN)/python -m pytest tests/crash $(ARGS)

kill-test: crash-test

chaos: setup ## break everything while events arrive, and hold the tables against a model (ARGS="--seed 7 --minutes 10")
	@$(BIN)/python -m dev chaos $(ARGS)

lives: setup ## the life of one reply, through every interleaving up to a depth (ARGS="--depth 8")
	@$(BIN)/python -m dev lives $(ARGS)

fuzz: setup ## every route under generated and damaged requests (FUZZ_EXAMPLES=1000 a test: most of an hour)
	@FUZZ_EXAMPLES=$${FUZZ_EXAMPLES:-1000} $(BIN)/python -m pytest tests/fuzz --timeout 7200 $(ARGS)

bench: setup ## measure everything against baselines of the same run, write bench/report.md (ARGS="webhook" for one)
	@$(BIN)/python -m bench $(ARGS)

lint: setup ## style, strict types, and which way imports go
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@# A route is a file and no module: its name has a hyphen, and another route's file may have the same.
	@for file in $$(find api -name '*.py'); do $(BIN)/mypy --no-error-summary "$$file" || exit 1; done
	@$(BIN)/lint-imports --no-logo --no-cache

audit: setup ## ask PyPI and npm for known vulnerabilities of what is pinned
	@$(BIN)/pip-audit --strict --require-hashes --disable-pip --progress-spinner off \
		--requirement requirements.txt --requirement requirements-dev.txt
	@npm audit

vercel-build: setup ## build what Vercel would deploy, and check what each function gets (no account)
	@$(BIN)/python -m pip install --quiet uv
	@$(BIN)/python -m dev vercel-build

lock: setup ## pin anew what requirements*.in ask for, with the hash of every file
	@$(BIN)/python -m pip install --quiet uv
	@$(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --no-header --generate-hashes \
		requirements.in --output-file requirements.txt
	@$(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --no-header --generate-hashes \
		requirements-dev.in --constraint requirements.txt --output-file requirements-dev.txt

clean: ## delete the local database and its logs
	@test ! -e .local || $(BIN)/python -m dev reset

.venv/bin/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed and none was found: install it, or name one with make PYTHON=/path/to/python." >&2; exit 1; }
	@echo "Making .venv with $(PYTHON) ($$($(PYTHON) --version 2>&1)) ..."
	@$(PYTHON) -m venv .venv || { rm -rf .venv; echo "$(PYTHON) can't make a virtual environment: install its venv package (on Debian and Ubuntu: apt install python3-venv)." >&2; exit 1; }

.venv/requirements.stamp: requirements.txt requirements-dev.txt | .venv/bin/python
	@echo "Installing the Python packages (the first time takes a minute) ..."
	@$(BIN)/python -m pip install --quiet --requirement requirements-dev.txt
	@touch $@

node_modules/lock.stamp: package.json package-lock.json
	@command -v npm >/dev/null 2>&1 && node -e 'process.exit(+process.versions.node.split(".")[0] < 18 ? 1 : 0)' 2>/dev/null \
		|| { echo "Node 18 or newer with npm is needed (it brings PostgREST): install it from https://nodejs.org and run this again." >&2; exit 1; }
	@echo "Installing PostgREST ..."
	@npm ci --no-audit --no-fund --loglevel=error >/dev/null
	@touch $@
