# Two commands do everything on a fresh machine:
#   make reproduce   trains, samples, scores and reports the default experiment
#   make test        passes the tests
# Both create .venv from requirements.lock first, if it is missing or out of date.

PYTHON     ?= python3
VENV       ?= .venv
EXPERIMENT ?= digits
RESULTS    ?= results
CORES      ?= all
ARGS       ?=

UV_VERSION := 0.13.9
BIN        := $(VENV)/bin
INSTALLED  := $(VENV)/.installed

# Set in many containers, and each of the dozens of jobs would compile every module that it imports anew, which takes
# half of its start. What is compiled here goes into $(VENV) and the checkout.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: reproduce test report install lock clean-results

reproduce: install
	$(BIN)/snakemake --cores $(CORES) $(ARGS) --config experiment="$(EXPERIMENT)" results="$(RESULTS)"
	@$(BIN)/tdbench show "$(EXPERIMENT)" --results "$(RESULTS)"

test: install
	$(BIN)/python -m pytest $(ARGS)

report: install
	@$(BIN)/tdbench show "$(EXPERIMENT)" --results "$(RESULTS)" --paths

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
	    --extra paper-networks --extra cluster --universal --python-version 3.11 --generate-hashes --upgrade --no-header --quiet --output-file requirements.lock
