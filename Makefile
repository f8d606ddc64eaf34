# The commands of the lab. `make` alone lists them. The work is done by `ipseclab`, pytest and the linters; this
# file makes the .venv that they live in, first thing and whenever the lock file changes.

SCENARIO ?=
NODE ?= responder
ARGS ?=
PYTEST_ARGS ?= -n auto

VENV := .venv
BIN := $(VENV)/bin
LOCK := requirements/dev.txt
# The stamp names what it was made from, so a checkout that only touches files reinstalls nothing.
KEY := $(shell cat $(LOCK) pyproject.toml 2>/dev/null | cksum | cut -d ' ' -f 1)
STAMP := $(VENV)/.installed-$(KEY)
# A .venv that lost its interpreter or our command is made again.
WHOLE := $(shell { [ -x $(BIN)/python ] && [ -x $(BIN)/ipseclab ]; } || rm -f $(VENV)/.installed-*)
SOURCES := $(wildcard node ca lab yamlschema linetalk tests bench tools)

# The first interpreter that is new enough; PYTHON=/path/to/python overrides.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.14 python3.11; do \
	"$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && { command -v "$$p"; break; }; done)

.DEFAULT_GOAL := help
.PHONY: help venv up down status logs shell test test-long lint bench image peer-image interop accelerator schema lock \
	clean

help: ## list the targets
	@printf 'usage: make TARGET [SCENARIO=name] [NODE=name] [ARGS="more options"]\n\n'
	@sed -n 's/^\([a-z][a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | while IFS="$$(printf '\t')" read -r t d; do \
		printf '  %-11s %s\n' "$$t" "$$d"; done

venv: $(STAMP) ## make or update .venv from the lock file

$(STAMP): $(LOCK) pyproject.toml
	@if [ -z "$(PYTHON)" ]; then \
		echo "venv: no Python >= 3.11 on PATH: install python3 (Debian 12, Ubuntu 24.04 or newer have it), or name one: make PYTHON=/path/to/python3" >&2; exit 4; fi
	@if ! [ -x $(BIN)/python ]; then \
		if ! $(PYTHON) -c 'import venv, ensurepip' 2>/dev/null; then \
			echo "venv: $(PYTHON) cannot make virtual environments: sudo apt install python3-venv" >&2; exit 4; fi; \
		echo "venv: making $(VENV) with $$($(PYTHON) --version)"; \
		$(PYTHON) -m venv $(VENV); fi
	@echo "venv: installing $$(grep -c '^[a-zA-Z].*==' $(LOCK)) locked packages (a minute the first time)"
	@# The lock file is complete. Without --no-deps a pip of 2023 stumbles over an extra of which a newer version came out.
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps --only-binary :all: \
		--requirement $(LOCK)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --no-index \
		--editable .
	@rm -f $(VENV)/.installed-*
	@touch $@

up: $(STAMP) ## bring the lab up: a CA, two nodes, a tunnel (SCENARIO=hello)
	@$(BIN)/ipseclab up $(SCENARIO) $(ARGS)

down: $(STAMP) ## take the lab down
	@$(BIN)/ipseclab down $(ARGS)

status: $(STAMP) ## what is up, and the state of the tunnel
	@$(BIN)/ipseclab status $(ARGS)

logs: $(STAMP) ## what the nodes said (ARGS=-f follows)
	@$(BIN)/ipseclab logs $(ARGS)

shell: $(STAMP) ## a shell in a node (NODE=responder)
	@$(BIN)/ipseclab shell $(NODE) $(ARGS)

test: $(STAMP) ## all tests, with the Docker scenarios where there is an engine
	@# Hundreds of nodes and commands are started; none is to compile again what all import, whatever PYTHON* says.
	@$(BIN)/python -m compileall -q $(SOURCES)
	@$(BIN)/python -m pytest $(PYTEST_ARGS) $(ARGS)

test-long: $(STAMP) ## 100,000 hostile datagrams of each kind, fuzzing, every scenario on every backend: hours
	@$(BIN)/python -m pytest -m long tests/long $(ARGS)

lint: $(STAMP) ## ruff, mypy --strict, known vulnerabilities of the locked packages
	@$(BIN)/ruff check $(SOURCES)
	@$(BIN)/ruff format --check $(SOURCES)
	@$(BIN)/mypy $(SOURCES)
	@$(BIN)/python tools/audit.py $(LOCK) requirements/node.txt

bench: $(STAMP) ## the benchmarks, each against a named peer
	@$(BIN)/python -m bench $(ARGS)

image: $(STAMP) ## build the node image, with a base made here if no registry can be reached
	@$(BIN)/python -m lab.images

peer-image: $(STAMP) ## build the image of strongSwan (ARGS=--newest: 6.1 where no registry can be reached)
	@$(BIN)/ipseclab image strongswan $(ARGS)

interop: $(STAMP) ## our node against strongSwan: a matrix, and special cases (docs/interop.md; ARGS=--pairs is short)
	@$(BIN)/python -m lab.interop $(ARGS)

accelerator: $(STAMP) ## optional: compile the loops of the data path (needs gcc and libssl-dev; ARGS=--remove)
	@$(BIN)/python tools/accelerator.py $(ARGS)

schema: $(STAMP) ## write the schema of node configurations again, for editors and `ipseclab lint`
	@$(BIN)/python -m node --schema > lab/schemas/node.schema.json.new
	@mv lab/schemas/node.schema.json.new lab/schemas/node.schema.json

lock: $(STAMP) ## make the lock files again, with newer versions where pyproject.toml allows (needs uv)
	@command -v uv >/dev/null || [ -x $(BIN)/uv ] || $(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	@set -e; PATH="$(CURDIR)/$(BIN):$$PATH"; \
	lock() { uv pip compile --quiet --upgrade --universal --generate-hashes --custom-compile-command 'make lock' "$$@"; }; \
	lock pyproject.toml --extra node --python-version 3.13 --output-file requirements/node.txt; \
	lock requirements/pip.in --python-version 3.13 --output-file requirements/pip.txt; \
	lock pyproject.toml --extra node --extra lab --extra dev --python-version 3.11 --output-file $(LOCK)
	@echo "lock: requirements/*.txt made; look at git diff, then make test"

clean: ## remove what make made here, but neither images nor running labs
	@rm -rf $(VENV) .ipseclab/image.lock .mypy_cache .ruff_cache .pytest_cache .hypothesis build ipseclab.egg-info
	@rm -f .wheelhouse/*.whl .wheelhouse/.stamp .coverage* node/crypto/rows.compiled
	@find $(SOURCES) -name __pycache__ -type d -prune -exec rm -rf {} +
