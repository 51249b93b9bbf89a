# Two commands do everything on a fresh machine:
#   make reproduce   trains, samples, scores and reports the default experiment
#   make test        passes the tests
# For those who change it: make check, format, coverage, docs, audit (CONTRIBUTING.md).
# All create .venv from requirements.lock first, if it is missing or out of date.

PYTHON     ?= python3
VENV       ?= .venv
EXPERIMENT ?= digits
RESULTS    ?= results
CORES      ?= all
ARGS       ?=
# Processes that the tests are shared among; WORKERS=0 has them one after the other.
WORKERS    ?= 2

# A path for --config: Snakemake takes 2026_11_25 for a number, but not ./2026_11_25.
PATH_OF     = $(if $(1),$(if $(filter /%,$(firstword $(1))),,./)$(1))

UV_VERSION := 0.13.9
BIN        := $(VENV)/bin
INSTALLED  := $(VENV)/.installed

# Set in many containers, and each of the dozens of jobs would compile every module that it imports anew, which takes
# half of its start. What is compiled here goes into $(VENV) and the checkout.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: reproduce test report check format coverage docs audit install lock

reproduce: install
	$(BIN)/snakemake --cores $(CORES) $(ARGS) --config experiment="$(EXPERIMENT)" results="$(call PATH_OF,$(RESULTS))"
	@$(BIN)/tdbench show "$(EXPERIMENT)" --results "$(RESULTS)"

test: install
	$(BIN)/python -m pytest --numprocesses $(WORKERS) --no-loadscope-reorder $(ARGS)

report: install
	@$(BIN)/tdbench show "$(EXPERIMENT)" --results "$(RESULTS)" --paths

# What is the same for every change; `make test` runs them too.
check: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/snakefmt --check Snakefile workflow
	$(BIN)/python tests/quality/lint_workflow.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --site-dir site

format: install
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/snakefmt Snakefile workflow

# Lines and branches of the package that the tests reach, in their subprocesses too; ARGS="tests/data" takes a part.
coverage: install
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest $(ARGS)
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report
	$(BIN)/coverage html --quiet

docs: install
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --site-dir site
	@echo site/index.html

# The licences of what is installed, and known vulnerabilities of the locked versions, which asks a service on the network.
audit: install
	$(BIN)/python -m tools.licences > docs/licences.md
	$(BIN)/pip-audit --strict --requirement requirements.lock --require-hashes --no-deps --disable-pip

install: $(INSTALLED)

# The lock file holds every version with its checksum, also of setuptools, which builds the one package that has no
# wheel (antlr4-python3-runtime), and of hatchling, which builds the editable install.
$(INSTALLED): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "tdbench needs Python 3.11 or newer, $(PYTHON) is " + sys.version.split()[0] + "; choose another with make PYTHON=...")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes --build-constraints requirements.lock \
	    -r requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

# Choose new versions within pyproject.toml's bounds (run the tests afterwards).
lock: install
	$(BIN)/uv pip compile pyproject.toml --group test --group build --group check --group docs --group audit \
	    --extra paper-networks --extra lpips --extra cluster --universal --python-version 3.11 --generate-hashes --upgrade --no-header --quiet --output-file requirements.lock
