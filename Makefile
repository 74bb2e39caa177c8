# Everything a newcomer needs: `make demo`, `make test`. Everything else is for those who change the code.
PY := .venv/bin/python
# Two workers with two threads each would fight for two cores.
TEST := OMP_NUM_THREADS=1 $(PY) -m pytest -n auto
OUT ?= demo

.PHONY: help setup demo test fast fix check minimum bench evidence docs clean

help:  ## list the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

setup:  ## make .venv with the exact versions of requirements.lock (does nothing the second time)
	@scripts/setup

demo: setup  ## inherit from SAM without labels, learn from forty, map a scene, all generated; writes demo/
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

bench: setup  ## benchmarks of speed and memory; prints ratios, writes benchmarks/results/ (quiet machine, two hours on 2 cores)
	$(PY) benchmarks/encoder.py --output benchmarks/results/encoder
	$(PY) benchmarks/data.py --output benchmarks/results/data
	$(PY) benchmarks/distill.py --output benchmarks/results/distill
	$(PY) benchmarks/mmd.py --output benchmarks/results/mmd
	$(PY) benchmarks/scene.py --output benchmarks/results/scene.md
	$(PY) benchmarks/archive.py --output benchmarks/results/archive.md

evidence: setup  ## methods against their rivals over seeds, on generated and real data (hours; goes on when started again)
	$(PY) benchmarks/e2sam.py --output benchmarks/results/e2sam.md
	$(PY) benchmarks/cwsam.py --output benchmarks/results/cwsam
	$(PY) benchmarks/simmat.py --output benchmarks/results/simmat
	$(PY) benchmarks/goodsam.py --output benchmarks/results/goodsam

docs: setup  ## draw the pictures of the documentation again
	$(PY) scripts/scene_pictures.py
	$(PY) scripts/nano_curve.py

clean:  ## remove the environment and everything that was made
	rm -rf .venv demo runs build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
