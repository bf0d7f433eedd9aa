# make run    set up and start the daemon on ./to-cut and ./cutouts (or INPUT=... OUTPUT=...)
# make test   set up and pass every check
.DEFAULT_GOAL := help
.PHONY: help run test env lint clean

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
INPUT  ?= to-cut
OUTPUT ?= cutouts

help:
	@sed -n 's/^# \(make .*\)/\1/p' $(firstword $(MAKEFILE_LIST))

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'

# The stamps are renewed when what they depend on changes, so a second call costs nothing.
$(VENV)/.installed: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --group test --group lint
	@touch $@

env: $(VENV)/.installed-dev

run: $(VENV)/.installed
	@mkdir -p "$(INPUT)" "$(OUTPUT)"
	$(BIN)/cutoutd run --input "$(INPUT)" --output "$(OUTPUT)"

lint: env
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: lint
	$(BIN)/python -m pytest

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache dist
