# Every habit of the house has a target. The environment is made once, in .venv, and again when its inputs change.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO := build/demo
STAMP := $(VENV)/.installed

.PHONY: env demo test test-long lint docs docs-check dist-check clean

env: $(STAMP)

# torch first: with the pinned CPU build present nothing else asks for a CUDA one.
$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $(STAMP)

demo: env
	mkdir -p $(DEMO)
	$(BIN)/l2aco quickstart --workspace $(DEMO)

# A process that dies fails its test and ends the run: restarted, xdist 3.8 can wait for ever (pytest-xdist #1378).
test: env lint docs-check
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadscope --max-worker-restart 0

test-long: env
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --long --timeout 3600

lint: env
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: env
	$(BIN)/python docs/generate.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict  # not --quiet: it would not count warnings

docs-check: env
	$(BIN)/python docs/generate.py --check

# The wheel in an environment that holds nothing else, with its real dependencies: what a newcomer gets.
DIST := build/dist
dist-check:
	rm -rf $(DIST) && mkdir -p $(DIST)
	$(PYTHON) -m venv $(DIST)/env
	$(DIST)/env/bin/python -m pip wheel --quiet --no-deps --wheel-dir $(DIST) .
	$(DIST)/env/bin/python -m pip install --quiet --constraint constraints.txt torch
	$(DIST)/env/bin/python -m pip install --quiet --constraint constraints.txt "$$(ls $(DIST)/l2aco-*.whl)[offline]"
	cd $(DIST) && export OMP_NUM_THREADS=1 L2ACO_WORKSPACE=work PATH="$$PWD/env/bin:$$PATH" && l2aco doctor \
		&& l2aco profile --llm fake --kind cell_line && l2aco embed fake --encoder minilm && l2aco embed reference-panel \
		&& l2aco search melanoma --store fake--minilm && l2aco train --set epochs=3 --store reference-panel--fields \
		&& l2aco recommend --cell MCF7
	du -sh $(DIST)/env

clean:
	rm -rf build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
