# The commands of this project. Everything runs in .venv, which `setup` makes.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: setup demo test fuzz check lint unit kubernetes docker bench format lock clean

setup: $(READY)

$(READY): requirements/dev.txt pyproject.toml tools/gen_stubs.py
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "xds-server needs Python 3.11 or newer; name one with PYTHON=")'
	@echo 'Installing the pinned dependencies into $(VENV): a few minutes, once.'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	$(BIN)/python tools/gen_stubs.py
	rm -rf .mypy_cache
	touch $(READY)

demo: setup
	@$(BIN)/xds-server demo

test: setup
	$(BIN)/python -m tools.run_tests $(PYTEST_ARGS)

# What `check` accepts, Envoy acknowledges: 10,000 random policies, others each time.
fuzz: export XDS_TEST_FUZZ_POLICIES ?= 10000
fuzz: export XDS_TEST_FUZZ_SEED ?= $(shell date +%s)
fuzz: setup
	$(BIN)/python -m pytest -q -s tests/integration/envoy/test_fuzz.py $(PYTEST_ARGS)

check: lint unit

lint: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/codespell
	$(BIN)/lint-imports --no-cache
	$(BIN)/mypy

# What is quick: tests/wire and tests/integration are run by `test`.
unit: setup
	$(BIN)/python -m pytest -q -n 2 -m 'not envoy and not thorough' --ignore tests/integration --ignore tests/wire $(PYTEST_ARGS)

# The API server, controllers and etcd that tests/integration/kubernetes meets.
kubernetes: setup
	$(BIN)/python -m tools.kubernetes.build

# Compose, and images that take the place of the public ones, where no registry is near.
docker: setup
	$(BIN)/python -m tools.docker.build

bench: setup
	$(BIN)/python -m benchmarks $(BENCH_ARGS)

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Pinned versions with hashes and without addresses; run after changing pyproject.toml.
lock:
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --no-strip-extras --no-annotate --custom-compile-command 'make lock' pyproject.toml -o requirements/runtime.txt
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --no-strip-extras --no-annotate --custom-compile-command 'make lock' --extra dev pyproject.toml -o requirements/dev.txt
	echo hatchling | $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --no-strip-extras --no-annotate --custom-compile-command 'make lock' --constraints requirements/dev.txt - -o requirements/build.txt

clean:
	rm -rf $(VENV) typings .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist
