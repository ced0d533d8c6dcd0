# make demo | test | test-all | lint: each makes .venv on first use.
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed

.PHONY: demo test test-all lint
.DELETE_ON_ERROR:

$(INSTALLED): requirements.txt pyproject.toml
	$(PYTHON) -c 'import sys; v = sys.version_info[:2]; (3, 11) <= v <= (3, 13) or sys.exit(f"Python {v[0]}.{v[1]} found, 3.11 to 3.13 needed: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install -r requirements.txt
	touch $@

.venv/.installed-dev: requirements-dev.txt $(INSTALLED)
	$(BIN)/pip install -r requirements-dev.txt
	touch $@

demo: $(INSTALLED)
	$(BIN)/python demo.py

test: .venv/.installed-dev
	$(BIN)/python -m pytest

test-all: .venv/.installed-dev
	$(BIN)/python -m pytest -m ''

lint: .venv/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
