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

# A small data set, first stage and model from nothing, and four clips from them; all of it in runs/demo.
demo: $(INSTALLED)
	rm -rf runs/demo
	$(BIN)/python prepare_data.py synthetic --out runs/demo/data/train --songs 24 --seconds 41
	$(BIN)/python prepare_data.py synthetic --out runs/demo/data/test --songs 4 --seconds 6 --seed 1
	$(BIN)/python train_first_stage.py --config config/vae_train.yaml config/demo.yaml config/demo_vae.yaml
	$(BIN)/python train_synctrack.py --config config/synctrack_train.yaml config/demo.yaml
	$(BIN)/python eval_synctrack.py --config config/synctrack_eval.yaml config/demo.yaml config/demo_eval.yaml

test: .venv/.installed-dev
	$(BIN)/python -m pytest

test-all: .venv/.installed-dev
	$(BIN)/python -m pytest -m ''

lint: .venv/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
