# `make` alone prints what can be done. Everything runs in .venv, which infra/setup.sh makes from uv.lock.
SHELL := /bin/sh
.DEFAULT_GOAL := help
# Stages run one after the other, whatever -j says: a failing lint should be read before the tests start.
.NOTPARALLEL:
.PHONY: help setup run test lint format typecheck pytest unit integration contract e2e architecture soak bench mutation openapi contracts lock clean

BIN := .venv/bin
PYTEST := $(BIN)/pytest
# Tests wait for processes most of the time: three files at once, whatever the machine. 0 runs them in one process.
WORKERS ?= 3
# Long or machine-bound: they have targets of their own.
OUT_OF_TEST := --ignore=tests/soak --ignore=tests/benchmarks

given = $(filter-out 0 no false,$(1))

ifneq ($(call given,$(WITH_KAFKA)),)
# The broker is an extra, which is installed beside those that are wanted anyway.
override EXTRAS := $(or $(EXTRAS),samples) kafka
export EXTRAS
endif

ifneq ($(call given,$(WITH_REDIS)),)
override EXTRAS := $(or $(EXTRAS),samples) cache
export EXTRAS
endif

say = @printf '\n\033[1m== %s\033[0m\n' '$(1)'
tier = $(if $(wildcard $(1)),$(PYTEST) $(wildcard $(1)) $(ARGS),@echo "There are no tests in $(1) yet." >&2; exit 2)

help:
	@echo 'MegaCity: what can be done'
	@awk 'BEGIN {FS = ":.*## "} /^[a-z0-9%-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo 'Options: make run ONCE=1 | make run WITH_KAFKA=1 WITH_REDIS=1 | make test ARGS="-k words" | make setup EXTRAS="samples stt" | PYTHON=/path/to/python3'

setup: ## make or refresh .venv (needs Python 3.11 or newer, nothing else)
	@sh infra/setup.sh

run: setup ## first start plays the sample data, then serves; ONCE=1 stops after the report
	@exec $(BIN)/megacity $(strip up $(if $(call given,$(WITH_KAFKA)),--with-kafka) \
		$(if $(call given,$(WITH_REDIS)),--with-redis) $(if $(call given,$(ONCE)),--once))

test: lint typecheck pytest ## everything but soak tests and benchmarks; ARGS goes to pytest

lint: setup ## style and formatting, changing nothing
	$(call say,ruff)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: setup ## put the source into shape
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

typecheck: setup ## mypy, strict
	$(call say,mypy (the first run takes about a minute))
	$(BIN)/mypy

pytest: setup
	$(call say,pytest)
	$(PYTEST) $(OUT_OF_TEST) --numprocesses $(WORKERS) --dist loadfile $(ARGS)

unit: setup ## fast tests without a database: unit, property, numerics
	$(call tier,tests/unit tests/property tests/numerics)

integration: setup ## tests on the embedded PostgreSQL
	$(call tier,tests/integration)

contract: setup ## the OpenAPI document against the running API
	$(call tier,tests/contract)

e2e: setup ## the real process: started, used over HTTP, killed
	$(call tier,tests/e2e)

architecture: setup ## import rules and house rules
	$(call tier,tests/architecture)

soak: setup ## hours of faults and planted bugs; MEGACITY_SOAK_SCALE=0.1 is a tenth; not part of `make test`
	$(call tier,tests/soak)

bench bench-%: export WITH_PEERS := 1

bench: setup ## all benchmarks
	$(call tier,tests/benchmarks)

bench-%: setup ## one benchmark: bench-append runs tests/benchmarks/test_append.py
	$(call tier,tests/benchmarks/test_$(subst -,_,$*).py)

mutation: setup ## mutation testing of domain/cat, about an hour; ARGS="--sample 5 --minutes 10" is shorter
	OMP_NUM_THREADS=1 nice -n 19 $(BIN)/python -m tests.mutation $(ARGS)

openapi: setup ## write the OpenAPI snapshot anew
	$(BIN)/python -m infra.cli.openapi

contracts: setup ## write the JSON Schemas of the events anew; refuses what would break consumers
	$(BIN)/python -m infra.cli.contracts

lock: ## resolve pyproject.toml into uv.lock anew
	@sh infra/setup.sh uv lock

clean: ## remove caches and test leftovers (.venv, and the data under var/, stay)
	rm -rf .mypy_cache .pytest_cache .ruff_cache .hypothesis .schemathesis .import_linter_cache dist var/test var/cache
	find . -path ./.venv -prune -o -path ./var -prune -o -type d -name __pycache__ -prune -exec rm -rf {} +
