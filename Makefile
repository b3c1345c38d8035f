.DEFAULT_GOAL := help

PYTHON ?= python3
HOST ?= 127.0.0.1
PORT ?= 8000
BIN := .venv/bin
FLASK := $(BIN)/flask --app wsgi
UV_COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 \
	--generate-hashes --custom-compile-command "make lock"

.PHONY: help setup run test lint format migrate check-migrations lock clean

help: ## Show what there is to make
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-17s %s\n", $$1, $$2 }' \
		$(firstword $(MAKEFILE_LIST))

setup: ## Make .venv with everything in it (needs Python 3.11 or newer)
	@$(PYTHON) scripts/make_venv.py

run: setup ## Start the whole service (PORT=8000 HOST=127.0.0.1), end it with Ctrl-C
	@exec $(BIN)/python -m wallet_app.launcher --host $(HOST) --port $(PORT)

test: setup ## Run the tests with coverage (ARGS="-k name" picks some)
	$(BIN)/pytest --cov $(ARGS)

lint: setup ## Check style, types, imports, spelling and container files
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/hadolint Dockerfile
	$(BIN)/check-jsonschema --builtin-schema vendor.compose-spec \
		docker-compose.yml docker-compose.prod.yml
	$(BIN)/codespell

format: setup ## Rewrite the code in the common style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

migrate: setup ## Bring the database of WALLET_DATABASE_URL (or of instance/) up to date
	$(FLASK) db upgrade

check-migrations: setup ## Migrate up, down and up again on a throw-away database
	@set -e; instance=$$(mktemp -d); trap 'rm -rf "$$instance"' EXIT; \
	export WALLET_INSTANCE_DIR="$$instance" WALLET_DATABASE_URL=; \
	set -x; $(FLASK) db upgrade; $(FLASK) db check; \
	$(FLASK) db downgrade base; $(FLASK) db upgrade; $(FLASK) db check

lock: setup ## Renew the lock files (LOCK_FLAGS=--upgrade takes newer versions)
	$(UV_COMPILE) $(LOCK_FLAGS) --output-file requirements.lock setup.cfg
	$(UV_COMPILE) $(LOCK_FLAGS) --output-file requirements-dev.lock \
		--constraint requirements.lock --extra embedded --extra dev setup.cfg
	echo gunicorn-h1c | $(UV_COMPILE) $(LOCK_FLAGS) --no-deps \
		--output-file requirements-fast.lock -

clean: ## Remove .venv and everything that was generated (instance/ stays)
	rm -rf .venv .venv.lock build dist *.egg-info .coverage .coverage.* htmlcov
	rm -rf .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
