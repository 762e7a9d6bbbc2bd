# Each target installs its requirements: a .venv with uv, and pinned, hashed packages.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV := $(BIN)/uv pip install --quiet --python $(BIN)/python

.DEFAULT_GOAL := help
.PHONY: help install demo test unit nightly lint format schemas monitoring chart helm-check train-demo-guard bench chaos \
  audit image-check

help: ## List the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 26

$(BIN)/uv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Guardstream needs Python 3.11 or newer; set PYTHON, for example: make PYTHON=python3.12"; exit 1; }
	@echo "Creating $(VENV) …"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install --quiet --disable-pip-version-check uv

# --no-deps: the lock files are complete, and exclude packages that text models never load
$(VENV)/.installed: requirements/run.txt pyproject.toml | $(BIN)/uv
	@echo "Installing guardstream and its dependencies (vLLM with torch: 5 GB) …"
	@$(UV) --no-deps --require-hashes -r requirements/run.txt
	@$(UV) --no-deps -e .
	@touch $@

$(VENV)/.developing: requirements/dev.txt pyproject.toml $(VENV)/.installed
	@echo "Installing the development tools …"
	@$(UV) --no-deps --require-hashes -r requirements/dev.txt
	@touch $@

# contenders of the benchmarks
$(VENV)/.benching: requirements/bench.txt $(VENV)/.developing
	@$(UV) --no-deps --require-hashes -r requirements/bench.txt
	@touch $@

install: $(VENV)/.installed ## Set up .venv with guardstream

demo: $(VENV)/.installed ## Watch chat events become verdicts: real Kafka, real vLLM, a tiny guard
	@$(BIN)/guardstream demo

test: $(VENV)/.developing ## Run all tests, independent ones side by side
	@$(BIN)/python -m tests.lanes

unit: $(VENV)/.developing ## Run the tests of the worker's pure layer
	@$(BIN)/python -m tests.lanes unit

nightly: $(VENV)/.developing ## Run all tests with many more examples, and faults for half an hour
	@HYPOTHESIS_PROFILE=nightly GUARDSTREAM_TEST_FUZZ_EVENTS=20000 GUARDSTREAM_TEST_ALL_FAMILIES=1 \
	  $(BIN)/python -m tests.lanes
	@$(BIN)/python -m tests.chaos --seconds 1800

lint: $(VENV)/.developing ## Check style, types and import layers
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

format: $(VENV)/.developing ## Format the code
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

schemas: $(VENV)/.installed ## Regenerate schemas/ from the models
	@$(BIN)/python -m worker schema

monitoring: $(VENV)/.installed ## Regenerate monitoring/ from the metrics
	@$(BIN)/python -m monitoring

chart: $(VENV)/.installed ## Regenerate the chart's files, and the table of settings in README.md
	@$(BIN)/python -m helm build

helm-check: $(VENV)/.developing ## Lint, render and validate the chart (builds helm with Go, once)
	@$(BIN)/python -m helm check
	@$(BIN)/python -m pytest -q tests/chart tests/tools/test_chart_documents.py

train-demo-guard: $(VENV)/.developing ## Train the bundled guard (about 25 minutes on 2 cores)
	@$(BIN)/python -m training all --config training/configs/demonstration.yaml --run build/demonstration

bench: $(VENV)/.benching ## Run all benchmarks, and write docs/benchmarks.md (about 40 minutes)
	@$(BIN)/python -m benchmarks

chaos: $(VENV)/.developing ## Inject faults into a cluster and its workers for half an hour, and count the outcomes
	@$(BIN)/python -m tests.chaos --seconds 1800

# --strict: fail on a package unknown to the advisory source, and on no response
audit: | $(BIN)/uv ## Check for known advisories, and write a bill of materials to build/
	@mkdir -p build
	@$(BIN)/uv tool run --quiet --from cyclonedx-bom==7.2.1 cyclonedx-py requirements \
	  requirements/run.txt --sv 1.6 --of JSON -o build/sbom.cdx.json
	@echo "build/sbom.cdx.json is the bill of materials of requirements/run.txt (CycloneDX)."
	@$(BIN)/uv tool run --quiet --from pip-audit==2.10.0 pip-audit --strict --disable-pip \
	  --require-hashes -r requirements/run.txt || { \
	    echo "audit: a package has an advisory, or could not be looked up; see the lines above"; \
	    exit 1; }

image-check: ## Build both images on local bases, and run them (root; some minutes and 40 GB)
	@image/check
