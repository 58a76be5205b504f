# Everything a person does here: `make help` lists it. Only Python >= 3.11 and make are needed; the
# tools live in a virtual environment that the first call makes.

PYTHON ?= python3
PYTEST_ARGS ?=
BENCH_ARGS ?=

# Another interpreter gets an environment of its own: `make test PYTHON=python3.12`.
ifeq ($(PYTHON),python3)
VENV ?= .venv
else
VENV ?= .venv-$(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])')
endif
VENV := $(VENV)
OLDEST := .venv-oldest
# The lower bounds have wheels for Python 3.11 and 3.12 only.
OLDEST_PYTHON ?= $(shell for p in python3.11 python3.12 $(PYTHON); do \
	$$p -c '' 2> /dev/null && echo $$p && break; done)

BIN := $(VENV)/bin
PIP_INSTALL := -m pip install --quiet --disable-pip-version-check
SPHINX := sphinx -W --keep-going -d docs/_build/doctrees
PYTEST := -m pytest -m "not slow" --numprocesses 2 --dist loadfile
# Figures go to files: no example needs a display.
export MPLBACKEND := agg

.DEFAULT_GOAL := help
.NOTPARALLEL:
.DELETE_ON_ERROR:
.PHONY: help demo test test-slow test-oldest lint format docs bench bench-rbig clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(VENV)/.test ## Gaussianize a real table: fit, score, name its strangest rows, draw it
	$(BIN)/python examples/plot_gaussianize_tabular.py

test: $(VENV)/.test ## run the tests and doctests, except the slow ones (PYTEST_ARGS="-k glow -x")
	$(BIN)/python $(PYTEST) $(PYTEST_ARGS)

test-slow: $(VENV)/.test ## run the slow tests
	$(BIN)/python -m pytest -m slow $(PYTEST_ARGS)

test-oldest: $(OLDEST)/.test ## run the tests on the lower bounds of the dependencies
	$(OLDEST)/bin/python $(PYTEST) $(PYTEST_ARGS)

lint: $(VENV)/.dev ## check format, lint and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: $(VENV)/.dev ## format the code and apply the safe fixes
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(VENV)/.docs ## build the site in docs/_build/html: gallery, doctests, links; warnings are errors
	$(BIN)/python -m $(SPHINX) -b html docs docs/_build/html
	$(BIN)/python -m $(SPHINX) -b doctest docs docs/_build/doctest
	$(BIN)/python docs/check_site.py docs/_build/html
	@echo "docs/_build/html/index.html"

bench: $(VENV)/.bench ## compare with all peers, hours (BENCH_ARGS="--sets magic --seeds 0")
	$(BIN)/python benchmarks/density.py $(BENCH_ARGS)

bench-rbig: $(VENV)/.bench ## measure RBIG (BENCH_ARGS="speed", "quality --sets magic", "--quick")
	$(BIN)/python benchmarks/rbig.py $(BENCH_ARGS)

clean: ## remove the environments and everything that was built
	rm -rf .venv .venv-* build dist figures .mypy_cache .pytest_cache .ruff_cache .hypothesis
	rm -rf docs/_build docs/auto_examples docs/generated docs/sg_execution_times.rst
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# One stamp per extra, so that a second call installs nothing. An edit of pyproject.toml makes every
# stamp stale.
$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo 'skgauss needs Python >= 3.11; try: make PYTHON=python3.12'; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.%: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python $(PIP_INSTALL) --editable '.[$*]'
	@touch $@

$(OLDEST)/.test: pyproject.toml
	$(OLDEST_PYTHON) -m venv --clear $(OLDEST)
	$(OLDEST)/bin/python -c "$$LOWER_BOUNDS" > $(OLDEST)/constraints.txt
	$(OLDEST)/bin/python $(PIP_INSTALL) --constraint $(OLDEST)/constraints.txt --editable '.[test]'
	@touch $@

# Every "name>=bound" of the dependencies and of the test and plot extras, as "name==bound".
define LOWER_BOUNDS
import tomllib
project = tomllib.load(open('pyproject.toml', 'rb'))['project']
extras = project['optional-dependencies']
for requirement in [*project['dependencies'], *extras['plot'], *extras['test']]:
    if '>=' in requirement:
        print(requirement.replace('>=', '=='))
endef
export LOWER_BOUNDS
