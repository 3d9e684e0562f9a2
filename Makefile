# Every command that anyone needs. The first one of demo, test, ... on a fresh machine makes .venv.
PYTHON ?= python3
BIN := .venv/bin
SHELL := /bin/bash

.DEFAULT_GOAL := help
.PHONY: help demo test test-docs test-cluster check format report bench lock clean

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 16

.venv/.ok: pyproject.toml constraints.txt setup.py bnn_ablate/packed/sources.py $(wildcard bnn_ablate/packed/kernels/*)
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test]'
	@touch $@

.venv-cluster/.ok: pyproject.toml tests/cluster/constraints.txt setup.py bnn_ablate/packed/sources.py $(wildcard bnn_ablate/packed/kernels/*)
	$(PYTHON) -m venv .venv-cluster
	.venv-cluster/bin/pip install --quiet --disable-pip-version-check -c tests/cluster/constraints.txt -e '.[test,slurm,ray]'
	@touch $@

demo: .venv/.ok ## four networks on the embedded digits: trained, recorded, compared (under 2 minutes)
	$(BIN)/python -m bnn_ablate -m study=demo scaling=none,channel grad=ste,approxsign model.width=0.25 hydra.launcher.n_jobs=1
	$(BIN)/python -m bnn_ablate.report

test: .venv/.ok ## the test suite
	$(BIN)/python -m pytest --numprocesses=2 --dist=worksteal --ignore=tests/slow --ignore=tests/docs --ignore=tests/cluster

test-docs: .venv/.ok ## the README as written, several processes, a server that fails: too slow for the suite
	$(BIN)/python -m pytest --numprocesses=2 --dist=loadfile tests/docs tests/slow
	$(BIN)/python -m pytest --numprocesses=2 --binary-forward=float tests/test_training.py tests/test_resume.py tests/test_pretrain.py

test-cluster: .venv-cluster/.ok ## a real SLURM (as root, with slurm-wlm and munge) and a real Ray cluster, whose nodes die
	.venv-cluster/bin/python -m pytest tests/cluster

check: .venv/.ok ## formatting, lint and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: .venv/.ok ## format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

report: .venv/.ok ## verdicts, tables and figures of all runs under runs/ and of reports/records: reports/index.html
	$(BIN)/python -m bnn_ablate.report

bench: .venv/.ok ## inference against other engines, step by step; tables and charts in reports/bench
	$(BIN)/python -m bnn_ablate.bench

bench-training: .venv/.ok ## a training step against the float network's and others'; tables and a chart in reports/bench
	$(BIN)/python -m bnn_ablate.bench training

lock: .venv/.ok ## write the installed versions to constraints.txt
	(grep '^#' constraints.txt; $(BIN)/pip freeze --disable-pip-version-check --exclude-editable | sed 's/+cpu$$//') > constraints.new
	mv constraints.new constraints.txt
	@touch .venv/.ok

clean: ## remove what can be made again; runs/, datasets/ and .venv stay
	rm -rf build .pytest_cache .ruff_cache .mypy_cache .hypothesis *.egg-info
	find bnn_ablate tests -name __pycache__ -type d -prune -exec rm -rf {} +
