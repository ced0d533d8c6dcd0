# make demo | test | test-fast | test-all | test-gpu | lint | demo-weights: each makes .venv on first use.
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed
# Processes that share the test files among them; each computes in its part of the processors.
TEST_WORKERS ?= 2
PYTEST := $(BIN)/python -m pytest -n $(TEST_WORKERS) --dist loadfile

.PHONY: demo demo-weights test test-fast test-all test-gpu lint
.DELETE_ON_ERROR:

$(INSTALLED): requirements.txt pyproject.toml
	$(PYTHON) -c 'import sys; v = sys.version_info[:2]; (3, 11) <= v <= (3, 13) or sys.exit(f"Python {v[0]}.{v[1]} found, 3.11 to 3.13 needed: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install -r requirements.txt
	touch $@

.venv/.installed-dev: requirements-dev.txt $(INSTALLED)
	$(BIN)/pip install -r requirements-dev.txt
	touch $@

# Songs from the weights in ckpt/demo, steered and not, their training continued for a minute, and the scores; all in
# runs/demo.
GROOVES := $(BIN)/synctrack data synthetic
demo: $(INSTALLED)
	rm -rf runs/demo
	$(BIN)/synctrack generate --out runs/demo/songs --clips 8
	$(GROOVES) --out runs/demo/data/train --songs 24 --seconds 15.5
	$(GROOVES) --out runs/demo/data/test --songs 8 --seconds 5.2 --seed 1
	$(BIN)/synctrack generate --out runs/demo/tempo --bpm 96
	$(BIN)/synctrack generate --out runs/demo/piano_for_drums --given drums=runs/demo/data/test/Groove00000/drums.wav
	$(BIN)/synctrack generate --out runs/demo/twenty_seconds --bpm 110 --seconds 20
	$(BIN)/synctrack generate --out runs/demo/loop --bpm 100 --bars 2 --loop
	$(BIN)/python train_synctrack.py --config config/synctrack_train.yaml config/demo.yaml
	$(BIN)/synctrack score runs/demo/songs --reference runs/demo/data/test --json runs/demo/scores.json
	@echo "Listen to the songs in runs/demo/songs: each folder holds bass, drums, guitar, piano and their mix; music of"
	@echo "the data set is in runs/demo/data/test. Steered songs are in runs/demo/tempo (96 BPM), runs/demo/piano_for_drums,"
	@echo "runs/demo/twenty_seconds and runs/demo/loop. The training's run is runs/demo/synctrack."

# Trains the weights in ckpt/demo again; see ckpt/demo/README.md for requirements and duration.
demo-weights: $(INSTALLED)
	PATH="$(CURDIR)/$(BIN):$$PATH" sh ckpt/demo/make.sh

test: .venv/.installed-dev
	$(PYTEST)

# Under a minute and a half, without the tests that take seconds each.
test-fast: .venv/.installed-dev
	$(PYTEST) -m 'not slow and not medium and not gpu'

test-all: .venv/.installed-dev
	$(PYTEST) -m ''

# On a CUDA GPU; skipped with one line where there is none.
test-gpu: .venv/.installed-dev
	$(BIN)/python -m pytest -m gpu -q -rs --durations=0 --durations-min=10 tests/gpu

lint: .venv/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
