SHELL := /bin/bash
.DEFAULT_GOAL := help
BIN := .venv/bin
FINDS_PYTHON = for p in python3.13 python3.12 python3.11 python3; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && command -v $$p && break; done
LINT = $(BIN)/ruff format --check && $(BIN)/ruff check && $(BIN)/mypy && $(BIN)/lint-imports
COMPILE = uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-strip-extras \
	--no-header --no-emit-index-url --no-emit-find-links

.PHONY: help setup demo up check test chaos bench-kernel lock clean

help: ## Print this help
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /|/' | awk -F'|' '{printf "  make %-13s %s\n", $$1, $$2}'

setup: .venv/.ready ## Make .venv with the locked dependencies (needs Python 3.11+ and git)

demo: setup ## Document a merged pull request of a sample repository, end to end
	@$(BIN)/forgehand demo

up: setup ## Serve HTTP and run workers in one process
	@$(BIN)/forgehand up

check: setup ## Format, lint, types, import contracts and unit tests: under a minute
	$(LINT) && $(BIN)/pytest -q -n 2 tests/unit

test: setup ## Everything, with real PostgreSQL, Redis and git: nothing may be skipped for want of a server
	$(LINT) && CI=true $(BIN)/pytest -q -n 3

chaos: setup ## Kill workers, Redis and PostgreSQL under 2,000 jobs and account for each (under 8 minutes)
	$(BIN)/python -m tests.chaos && $(BIN)/python -m tests.chaos --store sqlite --jobs 1000 --seconds 90

bench-kernel: setup ## Measure the job kernel beside BullMQ, Dramatiq, Procrastinate and PgQueuer (seven minutes)
	$(BIN)/python -m benchmarks.install && $(BIN)/python -m benchmarks.kernel $(ROWS)

lock: ## Recompute requirements*.lock from pyproject.toml (needs uv)
	$(COMPILE) -o requirements.lock pyproject.toml
	$(COMPILE) -c requirements.lock --group dev -o requirements-dev.lock pyproject.toml
	$(COMPILE) -c requirements.lock --group bench -o requirements-bench.lock

clean: ## Delete .venv and every cache
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis dist
	find src tests -name __pycache__ -prune -exec rm -rf {} +

.venv/.ready: requirements.lock requirements-dev.lock
	@python=$$($(FINDS_PYTHON)); test -n "$$python" || { echo "Python 3.11 or newer is needed: https://www.python.org/downloads/" >&2; exit 1; }; \
	echo "Making .venv with $$python and the locked dependencies (a minute or two)"; $$python -m venv --clear .venv
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --require-hashes -r requirements-dev.lock
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@
