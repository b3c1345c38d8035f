.DEFAULT_GOAL := help

PYTHON ?= python3
HOST ?= 127.0.0.1
PORT ?= 8000
BENCH_SECONDS ?= 3
BENCH_ROUNDS ?= 3
BIN := .venv/bin
FLASK := $(BIN)/flask --app wsgi
BENCH := $(BIN)/python -m benchmarks
BENCH_OPTIONS = --seconds $(BENCH_SECONDS) --rounds $(BENCH_ROUNDS) $(BENCH_ARGS)
UV_COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 \
	--generate-hashes --custom-compile-command "make lock"

.PHONY: help setup run test lint format migrate check-migrations lock clean
.PHONY: test-services test-containers
.PHONY: bench-reporting bench-idle bench-observing bench-fairness bench-import bench-feeding bench-holds bench-standby
# Each is a module of proofs/, with a row in docs/reliability.md.
PROOFS := model bank kills faults standby failover restore upgrade ring same-key held-lock finding \
	sigterm thousand rubbish reporting webhooks revocation soak
.PHONY: proof $(PROOFS:%=proof-%) mutants
.PHONY: bench bench-quick bench-clients bench-workers bench-large bench-serving

help: ## Show what there is to make
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-17s %s\n", $$1, $$2 }' \
		$(firstword $(MAKEFILE_LIST))

setup: ## Make .venv with everything in it (needs Python 3.11 or newer)
	@$(PYTHON) scripts/make_venv.py

run: setup ## Start the whole service (PORT=8000 HOST=127.0.0.1), end it with Ctrl-C
	@exec $(BIN)/python -m wallet_app.standalone.launcher --host $(HOST) --port $(PORT)

# What one prints comes in one piece, when it is over; one that fails fails the whole.
# A shell between make and the tests (hence exec) would not pass on that they should end.
AT_ONCE = $(MAKE) --jobs=3 --output-sync --no-print-directory

# A file stays in one process, which keeps what its tests share; ARGS="-n 0" is one for all.
# One more than two processors: half of the time the tests wait. More make the slow slower.
PARALLEL := -n 3 --dist loadfile --no-loadscope-reorder

test: setup ## Run the tests (ARGS="-k name" picks some)
	exec $(BIN)/pytest $(PARALLEL) $(ARGS)

# It takes half as long again: tracing slows down whatever tries many examples.
.PHONY: coverage
coverage: setup ## Run the tests and tell which lines they miss
	exec $(BIN)/pytest --cov $(PARALLEL) $(ARGS)

MATRIX := serializable pgbouncer postgres-15
.PHONY: test-databases test-matrix $(MATRIX:%=test-%)

# Where the SQL is; one file's threads must not meet another's on a serializable server.
test-databases: override ARGS += -m "database and not services" tests/ledger \
	tests/operations tests/database tests/balances tests/statistics tests/statements
test-databases: $(MATRIX:%=test-%) ## Run what uses the database on three other kinds of it

test-matrix: $(MATRIX:%=test-%) ## Run all tests on these, even what uses none

$(MATRIX:%=test-%): test-%: setup
	exec $(BIN)/python -m tests.matrix $* $(PARALLEL) $(ARGS)

BROKERS := postgresql rabbitmq redis
.PHONY: $(BROKERS:%=test-%)

test-services: setup ## Test the workers with PostgreSQL, RabbitMQ and Redis as broker
	@exec $(AT_ONCE) $(BROKERS:%=test-%)

# Each in a folder of its own: pytest shuts the common one when it starts.
$(BROKERS:%=test-%): test-%: setup
	TEST_BROKERS=$* exec $(BIN)/pytest -m services tests/services \
		--basetemp=$${TMPDIR:-/tmp}/wallet-test-$* $(ARGS)

test-containers: setup ## Run docker-compose.prod.yml on an engine of its own (as root, 5 minutes)
	exec $(BIN)/python -m proofs.containers $(ARGS)

bench-reporting: setup ## Measure what reports cost (6 minutes)
	$(BIN)/python -m benchmarks.reporting

bench-idle: setup ## What an idle pass costs with a thousand wallets and with a million
	$(BIN)/python -m benchmarks.idle

bench-observing: setup ## What logs, metrics and traces cost on a hot wallet (3 minutes)
	$(BIN)/python -m benchmarks.observing $(BENCH_ARGS)

bench-fairness: setup ## What a flood of one tenant does to the others (2 minutes)
	$(BIN)/python -m benchmarks.fairness $(BENCH_ARGS)

bench-import: setup ## What an import does, alone and beside a hot wallet (2 minutes)
	$(BIN)/python -m benchmarks.importing $(BENCH_ARGS)

bench-feeding: setup ## What feeding and counting a backlog cost a hot wallet (4 minutes)
	$(BIN)/python -m benchmarks.feeding $(BENCH_ARGS)

bench-holds: setup ## What 10,000 open holds cost a wallet (2 minutes)
	$(BIN)/python -m benchmarks.holds $(BENCH_ARGS)

bench-standby: setup ## What a synchronous standby costs, by how far away it is (3 minutes)
	$(BIN)/python -m benchmarks.standby

lint: setup ## Check style, types, imports, spelling, container files, migrations
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/hadolint Dockerfile deploy/*/Dockerfile proofs/stand_ins/*/Dockerfile
	$(BIN)/check-jsonschema --builtin-schema vendor.compose-spec \
		docker-compose.yml docker-compose.prod.yml
	$(BIN)/codespell
	$(BIN)/python -m scripts.lint_migrations
	@$(MAKE) --no-print-directory scan-secrets

# Passwords that open nothing, names, the examples of W3C's trace ids, and files of others
# are left out; a line that only looks as if it held a secret ends with the comment
# "pragma: allowlist secret".
SCAN := $(BIN)/detect-secrets-hook --no-verify --plugin scripts/wallet_key_detector.py \
	--exclude-secrets '^(guest|password|secret|hush-hush|(w|%77)allet|whsec_mine)$$' \
	--exclude-secrets '^(wallet-tls|WALLET_API_KEY|api_key)$$' \
	--exclude-secrets '^(123e4567|0af76519|b7ad6b71)[0-9a-f]+$$' \
	--exclude-files '\.lock$$|/static/|^proofs/bugs/'
FILES = $$(git ls-files)
.PHONY: scan-secrets audit-dependencies

scan-secrets: ## Look for passwords and keys in what git tracks
	$(SCAN) $(FILES)

# --strict: a package that could not be looked up must not pass for one without a fault.
audit-dependencies: setup ## Look the locked packages up in PyPI's list of vulnerabilities
	$(BIN)/uv tool run pip-audit@2.10.1 --strict --disable-pip --require-hashes \
		--progress-spinner off --requirement requirements-otel.lock || { echo \
		"Not audited: either a vulnerability is named above, or (\"not found on PyPI\"," \
		"no connection) the list of them cannot be had from here." >&2; exit 1; }

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

bench: setup ## Measure the service beside its yardsticks (BENCH_SECONDS=3)
	$(BENCH) loads $(BENCH_OPTIONS)

bench-quick: setup ## The same, one second each: shows that it works
	$(BENCH) loads --quick $(BENCH_ARGS)

bench-clients: setup ## Throughput against the number of clients, with a plot
	$(BENCH) clients $(BENCH_OPTIONS)

bench-workers: setup ## Throughput against workers, and threads in them
	$(BENCH) workers $(BENCH_OPTIONS)

bench-large: setup ## Throughput with ten million transactions in the table
	$(BENCH) large $(BENCH_OPTIONS)

bench-serving: setup ## What each part of gunicorn's worker is worth (8 minutes)
	$(BIN)/python -m benchmarks.serving $(BENCH_ARGS)

proof: $(PROOFS:%=proof-%) ## Run the slow proofs of docs/reliability.md, one by one

$(PROOFS:%=proof-%): proof-%: setup
	$(BIN)/python -m proofs.$(subst -,_,$*) $(ARGS)

mutants: setup ## Put bugs in, one at a time: a proof must catch each (ARGS="name ...")
	$(BIN)/python -m proofs.mutants $(ARGS)

lock: setup ## Renew the lock files (LOCK_FLAGS=--upgrade takes newer versions)
	$(UV_COMPILE) $(LOCK_FLAGS) --output-file requirements.lock setup.cfg
	$(UV_COMPILE) $(LOCK_FLAGS) --output-file requirements-dev.lock \
		--constraint requirements.lock --extra embedded --extra otel --extra dev setup.cfg
	$(UV_COMPILE) $(LOCK_FLAGS) --output-file requirements-otel.lock \
		--constraint requirements-dev.lock --extra otel setup.cfg
	echo gunicorn-h1c | $(UV_COMPILE) $(LOCK_FLAGS) --no-deps \
		--output-file requirements-fast.lock -

clean: ## Remove .venv and everything that was generated (instance/ stays)
	rm -rf .venv .venv.lock build dist *.egg-info .coverage .coverage.* htmlcov
	rm -rf .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
