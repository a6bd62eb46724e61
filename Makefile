# Two commands for a new machine: `make demo` and `make test`. Each sets up what it needs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo test lint fix bench lock clean

# Annoy is compiled here; portable flags, because the result may be copied to another machine.
$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "lookalike needs Python 3.11 or newer; got $$($(PYTHON) --version). Try: make PYTHON=python3.11 $(MAKECMDGOALS)"; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --no-deps --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@

demo: $(READY)  ## set up, build two collections, search them, draw the answers, serve
	$(BIN)/python -m lookalike.demo

test: $(READY)  ## set up and run every test
	$(BIN)/python -m pytest -n 2 --dist loadfile

lint: $(READY)  ## format, lint, types, layers
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

fix: $(READY)  ## repair what can be repaired by a tool
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(READY)  ## print the tables that the docs quote
	$(BIN)/python -m bench

lock: $(READY)  ## resolve the newest versions again; writes no download address
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --no-annotate \
	  --no-header --upgrade --all-extras pyproject.toml --output-file requirements.lock

clean:  ## remove everything that was made here
	rm -rf $(VENV) .cache .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis demo-store build dist
