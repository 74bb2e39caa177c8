# Everything a newcomer needs: `make demo`, `make test`. Everything else is for those who change the code.
PY := .venv/bin/python
# Two workers with two threads each would fight for two cores.
TEST := OMP_NUM_THREADS=1 $(PY) -m pytest -n auto
OUT ?= demo

.PHONY: help setup demo test fast fix check minimum bench docs clean

help:  ## list the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

setup:  ## make .venv with the exact versions of requirements.lock (does nothing the second time)
	@scripts/setup

demo: setup  ## inherit from SAM without labels, learn from six, map a scene, all generated; writes demo/
	$(PY) -m sensam demo $(OUT)

test: setup  ## every test
	$(TEST)

fast: setup  ## the tests that take seconds
	$(TEST) -m "not slow"

fix: setup  ## format, and mend what the linter can
	.venv/bin/ruff format .
	.venv/bin/ruff check --fix .

check: setup  ## format, lint and types, changing nothing
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/mypy

minimum: setup  ## the fast tests on the oldest versions that pyproject.toml allows (Python 3.11, x86)
	scripts/test_minimum

bench: setup  ## every benchmark; prints ratios and writes benchmarks/results/ (quiet machine, about an hour on 2 cores)
	$(PY) benchmarks/encoder.py --output benchmarks/results/encoder
	$(PY) benchmarks/data.py --output benchmarks/results/data

docs: setup  ## draw the pictures of the documentation again
	$(PY) scripts/scene_pictures.py
	$(PY) scripts/nano_curve.py

clean:  ## remove the environment and everything that was made
	rm -rf .venv demo runs build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
