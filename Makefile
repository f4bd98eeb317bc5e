# `make` alone lists what there is.

BIN := .venv/bin
STAMP := .venv/.installed
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check
# The rooms that have code, for the type checker.
ROOMS = $(patsubst %/,%,$(sort $(dir $(wildcard $(addsuffix /*.py,core comfy store webhooks flows api web cli bench tests)))))
# The first Python that Easel runs on; looked for only when .venv is made.
PYTHON = $(shell for python in python3 python3.13 python3.12 python3.11; do \
	"$$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' 2>/dev/null \
	&& echo "$$python" && break; done)

# Each of the processes that the tests start would compile all of Easel anew.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
MINUTES := 10
SEED := 1
EXAMPLES := 200

.PHONY: help install up test test-postgres chaos soak check format bench bench-bulk bench-ui bench-webhooks bench-workflows screenshots lock clean

help:  ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' Makefile

install: $(STAMP)  ## Make .venv and install everything into it, with checked hashes

up: install  ## Start everything (options: make up ARGS="--port 9000")
	@exec $(BIN)/easel up $(ARGS)

test: install  ## Run the tests, journeys with real processes included (ARGS for pytest)
	$(BIN)/pytest -n auto -m "not long" $(ARGS)

test-postgres: install  ## Run the tests of the store on PostgreSQL too (needs its programs)
	tests/postgres.sh $(BIN)/pytest -n auto tests/store $(ARGS)

chaos: install  ## Run every fault at every moment (SEED for other details; about 20 minutes)
	EASEL_CHAOS_SEED=$(SEED) EASEL_CHAOS_EXAMPLES=$(EXAMPLES) $(BIN)/pytest tests/chaos $(ARGS)

soak: install  ## Generate without a pause while faults arrive at random (MINUTES, SEED; ARGS=--crowd)
	$(BIN)/python -m tests.chaos.soak --minutes $(MINUTES) --seed $(SEED) $(ARGS)

check: install  ## Check format, lint and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy $(ROOMS)

format: install  ## Format, and mend what the linter can mend
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format .

bench: install  ## Run the benchmarks (ARGS for python -m bench)
	$(BIN)/python -m bench $(ARGS)

bench-bulk: install  ## Measure batches: pace, memory, GPU busy, switches of checkpoints
	$(BIN)/python -m bench.bulk $(ARGS)

bench-ui: install  ## Measure the page in headless Chromium
	$(BIN)/python -m bench.ui

bench-webhooks: install  ## Measure callbacks: pace, memory, a create's price, a dead receiver
	$(BIN)/python -m bench.webhooks $(ARGS)

bench-workflows: install  ## Measure the import of workflows (ARGS: folders of files), and a large video
	$(BIN)/python -m bench.templates $(ARGS)
	$(BIN)/python -m bench.proposals $(ARGS)
	$(BIN)/python -m bench.videos

screenshots: install  ## Take the README's pictures into docs/images (needs Chromium)
	$(BIN)/python -m tests.browser.screenshots docs/images

LOCK := uv pip compile pyproject.toml --universal --no-emit-index-url --no-strip-extras --generate-hashes --no-header
lock:  ## Resolve the dependencies anew (for maintainers; needs uv)
	$(LOCK) --upgrade --all-extras --output-file requirements-dev.txt
	$(LOCK) --constraints requirements-dev.txt --output-file requirements.txt

clean:  ## Remove .venv and every cache; what Easel keeps in its data folder stays
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@python="$(PYTHON)"; \
	if [ -z "$$python" ]; then \
		echo "Easel needs Python 3.11, 3.12 or 3.13; found: $$(python3 --version 2>&1 || echo none)." >&2; \
		echo "Install one (python.org, or your system's packages), then run make again." >&2; \
		exit 1; \
	fi; \
	echo "Making .venv with $$($$python --version)"; \
	"$$python" -m venv .venv || { \
		rm -rf .venv; \
		echo "No virtual environment could be made. On Debian and Ubuntu: apt install python3-venv" >&2; \
		exit 1; \
	}

$(STAMP): requirements-dev.txt pyproject.toml | $(BIN)/python
	@echo "Installing the dependencies into .venv (a minute or two the first time)"
	@$(PIP) install --no-deps --require-hashes -r requirements-dev.txt
	@$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@
