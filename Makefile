# Everything here runs from a fresh clone: each target that needs the virtual
# environment makes it first, from the lock files, with plain pip.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules

VENV := .venv
BIN := $(VENV)/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)
export PIP_DISABLE_PIP_VERSION_CHECK := 1

# Names a lock's content, so that a repeat run sees at once that nothing changed.
digest = $(shell cat $(1) pyproject.toml 2>/dev/null | cksum | cut -d ' ' -f 1)
SERVER_LOCKS := requirements.lock requirements-build.lock
SERVER := $(VENV)/.server-$(call digest,$(SERVER_LOCKS))
DEV_LOCKS := requirements-dev.lock requirements-build.lock
DEV := $(VENV)/.dev-$(call digest,$(DEV_LOCKS))

# What the schemas of Kubernetes judge: not kustomize's files, nor the adapter's.
MANIFESTS := $(filter-out %/kustomization.yaml %/adapter.yaml,$(wildcard deploy/kubernetes/*.yaml deploy/kubernetes/*/*.yaml))
OLDEST_KUBERNETES := 1.30
KUSTOMIZED := $(dir $(wildcard deploy/kubernetes/*/kustomization.yaml))

# As in the tests: what is missing is said, and fails where TANDEM_REQUIRE_TOOLS is set.
without = { echo "$(1) is not on the PATH: $(2) goes unchecked" >&2; [[ -z "$${TANDEM_REQUIRE_TOOLS:-}" ]]; }

CONTRACT := protos/released/tandem-v1.binpb

.PHONY: help
help:  ## Show the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-17s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# --- environment -------------------------------------------------------------

.PHONY: install
install: $(DEV)  ## Make .venv with the services and every development tool
	@echo "$(VENV) is ready"

$(BIN)/pip:
	@tools/make_venv $(VENV)

$(SERVER): | $(BIN)/pip
	@# The larger environment holds the smaller one.
	@if ls $(VENV)/.dev-* >/dev/null 2>&1; then $(MAKE) --no-print-directory $(DEV); \
	else tools/fill_venv $(VENV) $@ $(SERVER_LOCKS); fi

$(DEV): | $(BIN)/pip
	@tools/fill_venv $(VENV) $@ $(DEV_LOCKS)

# --- running -----------------------------------------------------------------

.PHONY: demo
demo: $(SERVER)  ## Publish a folder of articles through both services
	@tandem demo $(ARGS)

.PHONY: up
up: $(SERVER)  ## Start Postgres and both services here, until Ctrl-C
	@tandem up $(ARGS)

# --- checking ----------------------------------------------------------------

.PHONY: test
test: $(DEV)  ## Run the tests (ARGS='-k claim' for some of them)
	@pytest $(ARGS)

.PHONY: test-faults
test-faults: $(DEV)  ## Disturb both services at random, and judge what is left (ARGS='--seed 7', ARGS=--long)
	@python -m tests.faults $(ARGS)

.PHONY: test-versions
test-versions: $(DEV)  ## Try PostgreSQL 14 to 18: what speaks SQL, and a pair at work (ARGS='14 17')
	@python tools/postgres_versions.py $(ARGS)

.PHONY: check
check: check-static test  ## Run every check, then the tests

.PHONY: check-static
check-static: check-code check-contract check-deploy  ## Run every check but the tests

.PHONY: check-code
check-code: $(DEV)  ## Check format, lint, types and imports
	ruff format --check .
	ruff check .
	mypy
	lint-imports

.PHONY: check-contract
check-contract: $(DEV)  ## Check the contract, its stubs, and that no released client breaks
	buf lint
	buf format --diff --exit-code
	buf breaking --against $(CONTRACT)
	python tools/stubs.py --check

.PHONY: check-deploy
check-deploy: $(DEV)  ## Check the image, compose, Kubernetes and Prometheus files, and the shell scripts
	check-jsonschema --builtin-schema vendor.compose-spec docker-compose.yml
	hadolint Dockerfile
	kubernetes-validate --strict --quiet -k $(OLDEST_KUBERNETES) $(MANIFESTS)
	kubernetes-validate --strict --quiet $(MANIFESTS)
	@if command -v kustomize >/dev/null; then for folder in $(KUSTOMIZED); do \
	kustomize build $$folder | kubernetes-validate --strict --quiet -k $(OLDEST_KUBERNETES) /dev/stdin; \
	kustomize build $$folder | kubernetes-validate --strict --quiet /dev/stdin; done; \
	else $(call without,kustomize,kustomization.yaml of each folder); fi
	@if command -v promtool >/dev/null; then promtool check config deploy/prometheus/prometheus.yml; \
	else $(call without,promtool,deploy/prometheus); fi
	shellcheck .ci/run tools/first_screen tools/make_venv tools/fill_venv

.PHONY: mutants
mutants: $(DEV)  ## Break each promise in a copy, and demand that its tests notice
	@python tools/mutants.py $(ARGS)

# --- documents ---------------------------------------------------------------

.PHONY: docs
docs: $(DEV)  ## Build the site from docs/ into build/site, with warnings as errors
	@NO_MKDOCS_2_WARNING=1 python -m mkdocs build --strict $(ARGS)

# --- measuring ---------------------------------------------------------------

# The peers live apart: what they pull in is no part of what is measured.
PEERS := $(VENV)/bench

$(PEERS)/.filled: pyproject.toml
	@tools/make_venv $(PEERS)
	@$(PEERS)/bin/pip install --quiet '.[bench]'
	@touch $@

.PHONY: bench-create
bench-create: $(SERVER) $(PEERS)/.filled  ## Measure creation against ceiling, floor and peers (ARGS=--quick)
	@python -m benchmarks.create --peers $(PEERS)/bin/python $(ARGS)

.PHONY: bench-process
bench-process: $(SERVER) $(PEERS)/.filled  ## Measure processing against the peers (ARGS=--quick)
	@python -m benchmarks.process --peers $(PEERS)/bin/python $(ARGS)

.PHONY: bench-access
bench-access: $(SERVER)  ## Measure what it costs to ask who calls (ARGS='--rounds 3')
	@python -m benchmarks.access $(ARGS)

.PHONY: bench-failures
bench-failures: $(SERVER)  ## Measure how soon all goes on after what breaks (ARGS='--only F-5,F-8')
	@python -m benchmarks.failures $(ARGS)

.PHONY: soak
soak: $(SERVER)  ## Work a pair for half an hour, and fail on what grows (ARGS='--minutes 3')
	@python -m benchmarks.soak $(ARGS)

# --- generating --------------------------------------------------------------

.PHONY: format
format: $(DEV)  ## Rewrite Python and protos in the house format
	ruff check --fix-only --quiet .
	ruff format .
	buf format --write

.PHONY: protos
protos: $(DEV)  ## Generate shared/tandem/v1 from protos/
	python tools/stubs.py

.PHONY: release-contract
release-contract: $(DEV)  ## Make today's contract the one that may not be broken
	buf build --exclude-source-info -o $(CONTRACT)

PIP_COMPILE = pip-compile --quiet --generate-hashes --strip-extras --allow-unsafe --no-header \
  --no-emit-index-url --no-emit-find-links --no-emit-trusted-host $(ARGS) pyproject.toml

.PHONY: lock
lock: $(DEV)  ## Renew the lock files from pyproject.toml (ARGS=--upgrade for newer versions)
	$(PIP_COMPILE) --extra server --extra traces --extra docs --extra dev -o requirements-dev.lock
	$(PIP_COMPILE) --extra server --extra traces -c requirements-dev.lock -o requirements.lock
	$(PIP_COMPILE) --only-build-deps --build-deps-for editable -c requirements-dev.lock -o requirements-build.lock
