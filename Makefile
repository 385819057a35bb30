# Needs only Python 3.11+ and make: the virtual environment makes itself.
PYTHON ?= python3
VENV   := .venv
PY     := $(VENV)/bin/python
STAMP  := $(VENV)/.installed
SEED   ?= $(shell date +%s)
SEED   := $(SEED)

.PHONY: help run test unit integration again coverage strategy lint types property redaction load benchmark bench torture e2e long generate clean

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

test: lint types unit integration strategy ## All that can run here: lint, types, unit and integration tests, a slice of the torture

unit: $(STAMP) ## Unit tests alone; on another Python with PYTHON=python3.N VENV=.venv-3.N
	@$(PY) -m pytest tests/unit -n auto $(ARGS)

# Processes mostly wait, so there is one worker more than this small machine has cores. Tests that measure time or load run alone, afterwards.
integration: $(STAMP) ## Real servers and processes
	@status=0; \
	$(PY) -m pytest tests/integration tests/e2e -m "not alone" -n 3 --dist loadfile $(ARGS) || status=1; \
	$(PY) -m pytest tests/integration tests/e2e -m alone $(ARGS) || status=1; \
	exit $$status

again: $(STAMP) ## Only the integration tests that failed last time, one after the other
	@$(PY) -m pytest tests/integration tests/e2e --last-failed --last-failed-no-failures none $(ARGS)

coverage: $(STAMP) ## The unit tests, and the lines and branches that none of them reaches
	@$(PY) -m pytest tests/unit -n auto --cov --cov-report=term:skip-covered

strategy: $(STAMP) ## The strategy agent's own suites
	@cd deploy/strategy-agent && ../../$(PY) -m pytest

lint: $(STAMP) ## ruff
	@$(PY) -m ruff check outrider.py agent tests deploy/demo
	@$(PY) -m ruff format --check outrider.py agent tests deploy/demo

types: $(STAMP) ## mypy --strict
	@$(PY) -m mypy

property: $(STAMP) ## Laws on generated input, other examples each time
	@$(PY) -m pytest tests/property -m property -n auto --timeout 600 $(ARGS)

e2e: $(STAMP) ## Both images and the compose file in a container engine, every restriction on; says so where there is none
	@$(PY) -m pytest -m slow tests/e2e/test_compose.py tests/e2e/test_image.py
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

long: $(STAMP) ## Checks that take too long for the pipeline (hours), once per larger change; SEED=N repeats them
	@echo "seed $(SEED)"
	@status=0; \
	$(MAKE) torture ARGS="--seed $(SEED)" || status=1; \
	$(MAKE) property ARGS="--hypothesis-seed=$(SEED) --plays 10000 --first-play $(SEED)" || status=1; \
	$(MAKE) coverage || status=1; \
	echo "seed $(SEED)"; exit $$status

generate: $(STAMP) ## Rewrite the generated files in config/
	@$(PY) -m agent.generate config

clean: ## Remove the virtual environment and caches
	rm -rf .venv* .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage* *.egg-info
