# SPDX-License-Identifier: Apache-2.0
# Two commands on a fresh machine with Python, a Rust toolchain, a C compiler and make: `make demo`, `make test`.
PYTHON ?= python3
BIN := .venv/bin
# Passed on to the program a target runs: make demo ARGS="--tour", make test ARGS="-k reload"
ARGS ?=
# Test processes; tests mostly wait, and those of one file stay together.
WORKERS ?= 2

.PHONY: help setup packages demo test test-rust test-python conformance check bench fuzz generate lock wheel docs clean

help:
	@sed -n 's/^## //p' Makefile

## make setup     .venv with the locked tools, the engine built beside the Python sources
setup:
	@$(PYTHON) tools/setup.py

packages:
	@$(PYTHON) tools/setup.py --packages

## make demo      sets everything up and runs the shop (ARGS="--tour" walks through it)
demo: setup
	@$(BIN)/tidegate demo $(ARGS)

## make test      sets everything up and runs every test (ARGS go to pytest; REQUIRE_ALL=1 fails on a skip)
test: packages
	@$(MAKE) --no-print-directory test-rust
	@$(MAKE) --no-print-directory test-python

test-rust:
	cargo test --locked --workspace --quiet

test-python: setup
	$(BIN)/python -m pytest -q -n $(WORKERS) --dist loadfile $(ARGS)

## make conformance  the suites by others at full length: h2spec, Autobahn, testssl.sh, and what `make test` has of them
conformance: packages setup
	TIDEGATE_TESTSSL=1 $(BIN)/python -m pytest -q $(ARGS) tests/conformance

## make check     format, lint, types, generated files, docs, licences, advisories
check: setup
	@$(BIN)/python tools/check.py $(ARGS)

## make generate  Rust settings, room lists, reference pages and JSON Schema from the models
generate: setup
	$(BIN)/python tools/generate.py

## make bench     CPU per request against nginx, haproxy, envoy, caddy (ARGS="--quick" for a look, "--all" for all)
bench:
	@$(PYTHON) tools/setup.py --packages --bench
	$(BIN)/python -m benches.proxy $(ARGS)

## make fuzz      every parser for a minute by cargo-fuzz, where nightly Rust is (ARGS="--seconds 600 chunked")
fuzz:
	@$(PYTHON) tools/fuzz.py $(ARGS)

## make wheel     the abi3 wheel in dist/, shop included (ARGS="--profile dev" for the development profile)
wheel: setup
	$(BIN)/python tools/wheel.py $(ARGS)

## make docs      the documentation in site/
docs: setup
	$(BIN)/mkdocs build --strict

## make lock      pins pyproject.toml and requirements/dev.in into requirements/*.txt (wants uv)
LOCK := uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
  --no-annotate --custom-compile-command "make lock"
lock:
	$(LOCK) pyproject.toml -o requirements/runtime.txt
	$(LOCK) pyproject.toml requirements/dev.in -o requirements/dev.txt

clean:
	rm -rf .venv dist site target python/tidegate/_engine.abi3.so python/tidegate/demo/_files
