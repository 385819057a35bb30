# Needs only Python 3.11+ and make: the virtual environment makes itself.
PYTHON ?= python3
VENV   := .venv
PY     := $(VENV)/bin/python
STAMP  := $(VENV)/.installed

.PHONY: help run test suite again strategy unit lint types property redaction load benchmark bench torture e2e ci-slow generate clean

help: ## This list
	@grep -E '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

$(STAMP): pyproject.toml deploy/strategy-agent/pyproject.toml
	@test -x $(PY) || $(PYTHON) -m venv $(VENV)
	@$(PY) -m pip install --quiet --disable-pip-version-check --upgrade "pip>=25.1"
	@# twice quiet: setuptools warns of every editable install; errors are still shown
	@$(PY) -m pip install -qq --disable-pip-version-check --group dev --editable . --editable 'deploy/strategy-agent[test]'
	@touch $@

run: $(STAMP) ## The demo: a workload under Outrider's eyes; prints the status page's address
	@$(PY) deploy/demo/demo.py

test: lint types suite strategy ## All that can run here: lint, types, unit and integration tests, a slice of the torture

suite: $(STAMP) ## Unit and integration tests, a slice of the torture
	@$(PY) -m pytest --cov --cov-report=term:skip-covered

again: $(STAMP) ## Only the tests that failed last time, each beside fewer others
	@$(PY) -m pytest --last-failed --last-failed-no-failures none $(ARGS)

strategy: $(STAMP) ## The strategy agent's own suites
	@cd deploy/strategy-agent && ../../$(PY) -m pytest

unit: $(STAMP) ## Unit tests alone; on another Python with PYTHON=python3.N VENV=.venv-3.N
	@$(PY) -m pytest tests/unit

lint: $(STAMP) ## ruff
	@$(PY) -m ruff check outrider.py agent tests deploy/demo
	@$(PY) -m ruff format --check outrider.py agent tests deploy/demo

types: $(STAMP) ## mypy --strict
	@$(PY) -m mypy

property: $(STAMP) ## Laws on generated input
	@$(PY) -m pytest -m property $(ARGS)

e2e: $(STAMP) ## Both images and the compose file in a container engine, every restriction on; says so where there is none
	@$(PY) -m pytest -m slow tests/e2e
	@cd deploy/strategy-agent && ../../$(PY) -m pytest -m slow tests/e2e/test_container_files.py tests/e2e/test_container_image.py

load: $(STAMP) ## Sustained load, bounded
	@$(PY) -m pytest -m load

redaction: $(STAMP) ## Recall and precision of redaction on its corpus
	@$(PY) -m tests.support.redaction $(ARGS)

benchmark: $(STAMP) ## pytest-benchmark over the parts
	@$(PY) -m pytest -m benchmark

bench: $(STAMP) ## The table of performance figures of the whole agent
	@$(PY) -m tests.benchmarks.bench

torture: $(STAMP) ## Kills at random and at every named point, against an independent oracle
	@$(PY) -m tests.torture.run $(ARGS)

generate: $(STAMP) ## Rewrite the generated files in config/
	@$(PY) -m agent.generate config

clean: ## Remove the virtual environment and caches
	rm -rf .venv* .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage* *.egg-info
