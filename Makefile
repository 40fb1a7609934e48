# Everything here sets itself up: Python 3.11 or newer and make are enough.
PYTHON ?= python3
VENV ?= .venv
WORKERS ?= 2
LOCK := requirements-dev.txt
REFERENCE_LOCK := requirements-reference.txt
BROWSER_LOCK := requirements-browser.txt
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
DEPENDENCIES := $(VENV)/.dependencies
REFERENCES := $(VENV)/.references
BROWSERS := $(VENV)/.browsers

.DEFAULT_GOAL := help
.PHONY: help setup train test test-processes test-deep test-reference \
    test-browser notebooks docs bench peers lint format schema documents lock clean

help: ## Print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-15s %s\n", $$1, $$2}' Makefile

setup: $(INSTALLED) ## Install capsjax and its tools into .venv

train: $(INSTALLED) ## Train the small CapsNet on handwritten digits
	$(BIN)/capsjax train capsnet-digits --data digits

# pytest comes last, so that its closing line is the last thing printed.
test: lint ## Check style and types, then run the tests
	$(BIN)/python -m pytest -n $(WORKERS) -m "not processes" \
	    --ignore=tests/reference --ignore=tests/browser

test-processes: $(INSTALLED) ## Test what several processes or devices do together
	$(BIN)/python -m pytest -n $(WORKERS) -m processes tests/sweep tests/training

test-deep: $(INSTALLED) ## The same with ten times as many random graphs: an hour or two
	CAPSJAX_EXAMPLES=10 $(BIN)/python -m pytest -n $(WORKERS) tests/compiler tests/backward

test-reference: $(REFERENCES) ## Compare with other frameworks (tests/reference)
	$(BIN)/python -m pytest -n $(WORKERS) tests/reference

test-browser: $(BROWSERS) ## Drive the widget in JupyterLab (needs chromium)
	$(BIN)/python -m pytest tests/browser

notebooks: $(INSTALLED) ## Execute the notebooks; copies with outputs in build/notebooks
	$(BIN)/python notebooks/execute.py

bench: $(INSTALLED) ## Measure step time, compile time and memory against peers
	$(BIN)/python -m bench

peers: $(REFERENCES) ## Install torch, too, for benchmarks beside it

docs: $(INSTALLED) ## Build the documentation site into build/docs/html
	@PYTHONPATH=docs:. $(BIN)/python -m extension build/docs/source
	@PYTHONPATH=. $(BIN)/python -m sphinx -c docs -E -a -W --keep-going -q \
	    build/docs/source build/docs/html
	@echo "The site: build/docs/html/index.html"

lint: $(INSTALLED) ## Check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright --pythonpath $(BIN)/python

format: $(INSTALLED) ## Sort imports, fix what can be fixed, format
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

schema: $(INSTALLED) ## Write the JSON Schemas of documents into the package
	$(BIN)/python -m capsjax.graph capsjax/graph/schema.json
	$(BIN)/python -m capsjax.training.configuration \
	    capsjax/training/configuration/schema.json

# One lock for every Python: where versions differ, lines carry markers. What the
# references need of CUDA, the build of torch says that pip finds: it is not locked.
COMPILE = $(BIN)/uv pip compile pyproject.toml --universal --python-version 3.11 \
    --upgrade --quiet --no-header --no-emit-index-url --no-emit-find-links
documents: $(INSTALLED) ## Write the zoo's JSON documents into the package
	$(BIN)/python -m capsjax.zoo capsjax/zoo/documents

lock: $(INSTALLED) ## Take the newest versions into the lock files
	$(BIN)/python -m pip install --quiet uv
	$(COMPILE) --group test --group notebooks --group docs --group reference \
	    --output-file $(LOCK)
	$(COMPILE) --group browser --constraint $(LOCK) --no-annotate \
	    --output-file $(BROWSER_LOCK)
	$(COMPILE) --group zoo-reference --constraint $(LOCK) --no-annotate \
	    | grep -vE '^(cuda|nvidia|triton)' >$(REFERENCE_LOCK)

clean: ## Remove .venv and everything the tools have cached
	rm -rf $(VENV) .pytest_cache .ruff_cache .hypothesis build dist

# Two stamps: a new lock starts afresh, so that nothing stale stays installed; a new
# pyproject.toml only installs the package (and its command) again.
$(DEPENDENCIES): $(LOCK)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	    echo "capsjax needs Python 3.11 or newer, which '$(PYTHON)' is not." \
	        "Name another one: make PYTHON=python3.12 ..." >&2; exit 1; }
	@echo "Setting up $(VENV): this takes a minute or two, once."
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --requirement $(LOCK)
	@touch $@

$(INSTALLED): $(DEPENDENCIES) pyproject.toml
	$(BIN)/python -m pip install --quiet --no-deps --editable .
	@touch $@

$(REFERENCES): $(INSTALLED) $(REFERENCE_LOCK)
	@echo "Installing what networks are compared with: a minute, or several GB" \
	    "where torch comes with CUDA."
	$(BIN)/python -m pip install --quiet --requirement $(REFERENCE_LOCK)
	@touch $@

$(BROWSERS): $(INSTALLED) $(BROWSER_LOCK)
	@echo "Installing JupyterLab and what drives a browser: a minute."
	$(BIN)/python -m pip install --quiet --requirement $(BROWSER_LOCK)
	@touch $@
