# Everything here works in a fresh clone: the first call makes .venv and installs the pinned packages.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test test-slow lint format

demo: .venv/ready
	$(BIN)/clrl demo

test: .venv/ready
	$(BIN)/python -m pytest -n 2 --durations=10

test-slow: .venv/ready
	$(BIN)/python -m pytest -n 2 -m slow --timeout=3600

lint: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: .venv/ready
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

.venv/ready: requirements.lock pyproject.toml setup.py
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --editable .
	touch $@
