PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
ARGS ?=

.PHONY: help install demo test chaos check clean
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
	$(BIN)/pytest $(ARGS)

chaos: $(VENV)/.dev ## Break Redis, wires and nodes, and print what is lost; ARGS="--rounds 9"
	@command -v redis-server >/dev/null || (echo "fix: apt-get install redis-server"; exit 1)
	$(BIN)/python -m tests.faults $(ARGS)

check: $(VENV)/.dev ## Lint and check types
	$(BIN)/ruff check fastapi_sse_channels example_app tests
	$(BIN)/ruff format --check fastapi_sse_channels example_app tests
	$(BIN)/mypy
	$(BIN)/pyright --pythonpath $(BIN)/python

clean: ## Remove what was installed
	rm -rf $(VENV)
