PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
ARGS ?=
need = command -v $(1) >/dev/null || { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $(1) >/dev/null; } || { echo "fix: apt-get install $(1)"; exit 1; }

.PHONY: help install demo demo-cluster test check clean
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
	@$(call need,redis-server)
	@exec $(BIN)/python -m example_app.cluster

test: $(VENV)/.dev ## Run the whole suite; ARGS="-k name" for a part
	@$(call need,redis-server)
	@$(call need,chromium)
	$(BIN)/pytest $(ARGS)
check: $(VENV)/.dev ## Lint and check types
	$(BIN)/ruff check fastapi_sse_channels example_app tests
	$(BIN)/ruff format --check fastapi_sse_channels example_app tests
	$(BIN)/mypy
	$(BIN)/pyright --pythonpath $(BIN)/python
clean: ## Remove what was installed
	rm -rf $(VENV)
