# Thin: each target is a few commands that work as well when typed. Plain `make` lists the targets.

PYTHON ?= python3
CARGO ?= cargo
# Where cargo builds; `run` starts the program from there.
BUILT := $(or $(CARGO_TARGET_DIR),target)/debug
RELEASED := $(or $(CARGO_TARGET_DIR),target)/release
# What `bench-embed`, `bench-index` and `bench-tenants` measure; `PROFILE=dev` takes what `run` and `test` build, and
# spares a long build.
PROFILE ?= release
MEASURED := $(or $(CARGO_TARGET_DIR),target)/$(if $(filter dev,$(PROFILE)),debug,$(PROFILE))
# For `run` and `bench`: what goes to the program, as in `make run ARGS="--listen 127.0.0.1:9000"`.
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help run test check bench bench-catalog bench-embed bench-formats bench-index bench-ingest bench-tenants provision

help: ## List the targets.
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(firstword $(MAKEFILE_LIST)) | expand -t 16

provision: ## Fetch what is not source code (ONNX Runtime, the default model) into .catena, once.
	$(PYTHON) deploy/provision/provision.py

run: provision ## Build Catena and serve the demo tenants.
	$(CARGO) build --locked --bin catena
	exec $(BUILT)/catena serve --demo $(ARGS)

# The programs are built first, because tests of the whole system start them.
test: ## Run every test. Needs cargo, Python and pip, nothing more.
	$(PYTHON) deploy/provision/provision.py --with-tests
	$(PYTHON) -m unittest discover deploy/provision
	$(CARGO) build --locked --workspace --bins --tests
	$(CARGO) test --locked --workspace --bins --tests

check: ## Check format, lints, house rules, documentation and dependencies.
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	$(CARGO) test --locked --workspace --test tidy
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --workspace --no-deps
	@if command -v cargo-deny >/dev/null; \
	then $(CARGO) deny --locked check licenses bans sources; \
	else echo "cargo-deny is not installed: licences, bans and sources of dependencies were NOT checked."; fi

bench: ## Measure relevance, with optimised programs. Each question is a file in benches.
	$(CARGO) run --locked --release --package catena-benches --bin catena-bench-relevance -- $(ARGS)

bench-formats: ## Measure how well files of every format are read, and what hostile ones cost.
	$(CARGO) build --locked --workspace --bins --profile $(PROFILE)
	$(MEASURED)/catena-bench-formats

bench-embed: ## Measure embedding beside the bare loop and Python, a query under load, and what neighbours notice.
	$(PYTHON) deploy/provision/provision.py --with-benches --precision fp32
	$(CARGO) build --locked --workspace --bins --profile $(PROFILE)
	$(MEASURED)/catena-bench-embed --program $(MEASURED)/catena --python $(PYTHON) $(ARGS)

bench-index: ## Measure searching, filters, words and building beside other indexes; ARGS=--quick in a minute.
	$(PYTHON) deploy/provision/provision.py --with-benches
	$(CARGO) build --locked --workspace --bins --profile $(PROFILE)
	$(MEASURED)/catena-bench-index --python $(PYTHON) $(ARGS)

bench-ingest: provision ## Measure what changes cost, how soon they are found, hostile files, and every format.
	$(CARGO) build --locked --workspace --bins --profile $(PROFILE)
	$(MEASURED)/catena-bench-ingest --program $(MEASURED)/catena $(ARGS)
	$(MEASURED)/catena-bench-formats

bench-tenants: provision ## Measure tenants at rest: memory, the first query of a cold one, the time to ready.
	$(CARGO) build --locked --workspace --bins --profile $(PROFILE)
	$(MEASURED)/catena-bench-tenants --program $(MEASURED)/catena $(ARGS)

bench-catalog: provision ## Measure writes, the gate, revocation and idle tenants, on SQLite and PostgreSQL.
	$(CARGO) build --locked --release --bin catena
	$(CARGO) run --locked --release --package catena-benches --bin catena-bench-catalog -- \
		--program $(RELEASED)/catena $(ARGS)
