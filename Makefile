# Two commands do everything on a fresh machine:
#   make reproduce   trains, samples, scores and reports the default experiment
#   make test        runs the tests
# To change tdbench: make quick, check, format, coverage, docs, audit (CONTRIBUTING.md).
# Each creates .venv from requirements.lock first, if it is missing or out of date.

PYTHON     ?= python3
VENV       ?= .venv
EXPERIMENT ?= digits
RESULTS    ?= results
CORES      ?= all
ARGS       ?=
# Processes that share the tests; WORKERS=0 runs them one after the other.
WORKERS    ?= 2

# A path for --config: Snakemake takes 2026_11_25 for a number, but not ./2026_11_25.
PATH_OF     = $(if $(1),$(if $(filter /%,$(firstword $(1))),,./)$(1))

UV_VERSION := 0.13.9
BIN        := $(VENV)/bin
INSTALLED  := $(VENV)/.installed

# Many containers set this. Then each of the dozens of jobs compiles every module that it imports, which takes half of
# its start. Compiled modules go into $(VENV) and the checkout.
unexport PYTHONDONTWRITEBYTECODE

# What every change must pass; `make test` runs them too. Types take longest, so they begin first.
GATES      := check-types check-docs check-workflow check-snakefmt check-lint check-format

.PHONY: reproduce test quick report check $(GATES) format coverage docs audit install lock

reproduce: install
	$(BIN)/snakemake --cores $(CORES) $(ARGS) --config experiment="$(EXPERIMENT)" results="$(call PATH_OF,$(RESULTS))"
	@$(BIN)/tdbench show "$(EXPERIMENT)" --results "$(RESULTS)"
	@# 1: something came out differently, which the line says.
	@$(BIN)/tdbench compare "$(RESULTS)" reference --brief || [ $$? -eq 1 ]

test: install
	$(BIN)/python -m pytest --numprocesses $(WORKERS) --no-loadscope-reorder $(ARGS)

# The tests that start no process and train for no more than a moment.
quick: install
	$(BIN)/python -m pytest --quick --numprocesses $(WORKERS) $(ARGS)

report: install
	@$(BIN)/tdbench show "$(EXPERIMENT)" --results "$(RESULTS)" --paths

# Two gates at a time.
check: install
	@$(MAKE) --no-print-directory --keep-going --jobs 2 $(GATES)

check-lint:
	$(BIN)/ruff check .

check-format:
	$(BIN)/ruff format --check .

check-types:
	$(BIN)/mypy

check-snakefmt:
	$(BIN)/snakefmt --check Snakefile workflow

check-workflow:
	$(BIN)/python tests/quality/lint_workflow.py

check-docs:
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict --site-dir site

format: install
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/snakefmt Snakefile workflow

# Lines and branches of the package that the tests reach, also in their subprocesses. ARGS="tests/data" runs a part.
coverage: install
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest $(ARGS)
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report
	$(BIN)/coverage html --quiet

docs: install check-docs
	@echo site/index.html

# The licences of installed packages, and known vulnerabilities of the locked versions (needs a network).
audit: install
	$(BIN)/python -m tools.licences > LICENCES.md
	$(BIN)/pip-audit --strict --requirement requirements.lock --require-hashes --no-deps --disable-pip

install: $(INSTALLED)

# requirements.lock has every version with its checksum. It includes setuptools, which builds the only package without
# a wheel (antlr4-python3-runtime), and hatchling, which builds the editable install.
$(INSTALLED): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "tdbench needs Python 3.11 or newer, $(PYTHON) is " + sys.version.split()[0] + "; choose another with make PYTHON=...")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes --build-constraints requirements.lock \
	    -r requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

# Chooses new versions within the bounds of pyproject.toml. Run the tests afterwards.
lock: install
	$(BIN)/uv pip compile pyproject.toml --group test --group build --group check --group docs --group audit \
	    --extra paper-networks --extra lpips --extra cluster --universal --python-version 3.11 --generate-hashes --upgrade --no-header --quiet --output-file requirements.lock
