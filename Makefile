# The way in: make run, make test. Both check for what they need and install what they may.

.DEFAULT_GOAL := help
SHELL := bash
.SHELLFLAGS := -euo pipefail -c

PYTHON := $(CURDIR)/.venv/bin/python
TARGET := $(or $(CARGO_TARGET_DIR),$(CURDIR)/target)
PYTHON_CODE := tests/grpc tests/interop tests/docker tests/metrics tests/samples tests/stack.py tests/tools docker tools/run-samples \
    tools/bench-load tools/bench-memory tools/bench_load
PYTHON_SAMPLES := examples/fastapi-user-service examples/flask-api
# It has an environment of its own: its line of the Nacos SDK is the same package as the other's.
PYTHON_GRPC := $(CURDIR)/.venv-grpc/bin/python
GRPC_SAMPLE := examples/fastapi-user-service-grpc
# A workspace of its own; what both are made of is built once.
BENCH_PEERS := --manifest-path benches/peers/Cargo.toml --target-dir $(TARGET)
# CI gives --locked, so that a Cargo.lock that does not match is a failure and not an edit.
CARGO_FLAGS ?=

.PHONY: help
help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /|/' | \
	    while IFS='|' read -r name what; do printf '  make %-14s%s\n' "$$name" "$$what"; done

.PHONY: run
run: ## Run registry, sample services and gateway in one process; DEV='--port 8081' takes other ports
	@tools/setup build
	cargo run --profile quick $(CARGO_FLAGS) -p pailou-gateway -- dev $(DEV)

.PHONY: run-samples
run-samples: venv ## Run the FastAPI and the Rust sample behind one gateway
	cargo build --profile quick $(CARGO_FLAGS) -p pailou-gateway -p rust-order-service
	$(PYTHON) tools/run-samples --binaries $(TARGET)/quick

.PHONY: test
test: venv ## Run all tests but the interop suite; compile the benches
	cargo build $(CARGO_FLAGS) -p pailou-gateway -p rust-order-service
	ORDER_SERVICE_BIN=$(TARGET)/debug/rust-order-service cargo test --workspace $(CARGO_FLAGS)
	cargo test --workspace --benches --no-run $(CARGO_FLAGS)
	for sample in $(PYTHON_SAMPLES); do (cd "$$sample" && $(PYTHON) -m pytest); done
	@tools/venv grpc
	cd $(GRPC_SAMPLE) && PAILOU_BIN=$(TARGET)/debug/pailou $(PYTHON_GRPC) -m pytest
	PAILOU_BIN=$(TARGET)/debug/pailou $(PYTHON_GRPC) -m pytest -q tests/grpc
	cargo build $(CARGO_FLAGS) $(BENCH_PEERS) -p bench-origin
	PAILOU_BIN=$(TARGET)/debug/pailou $(PYTHON) -m pytest -q tests/tools tests/docker tests/samples tests/metrics

.PHONY: chaos
chaos: ## Let everything around an optimised gateway fail, a quarter of an hour, and print the figures; CHAOS='kill slow' picks
	@tools/setup build
	CHAOS_LONG=1 cargo test --release $(CARGO_FLAGS) -p pailou-gateway --test chaos -- $(CHAOS)

.PHONY: fuzz
fuzz: ## Try inputs that nobody thought of, 60 s for each target; FUZZ='--seconds 600 --target head' changes that
	@tools/setup build
	tools/fuzz $(FUZZ)

.PHONY: lint
lint: venv ## Check formatting, clippy, documentation, dependencies and the Python code
	cargo fmt --all --check
	cargo clippy --workspace --all-targets $(CARGO_FLAGS) -- -D warnings
	cargo fmt --manifest-path benches/peers/Cargo.toml --all --check
	cargo clippy $(BENCH_PEERS) --workspace --all-targets $(CARGO_FLAGS) -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps $(CARGO_FLAGS)
	@if cargo deny --version >/dev/null 2>&1; then \
	    cargo deny check -D warnings bans licenses sources; \
	else \
	    echo "lint: dependencies NOT checked, cargo-deny is missing: cargo install --locked cargo-deny"; \
	fi
	for code in $(PYTHON_CODE) $(PYTHON_SAMPLES) $(GRPC_SAMPLE); do \
	    $(PYTHON) -m ruff check --quiet "$$code"; \
	    $(PYTHON) -m ruff format --quiet --check "$$code"; \
	done

.PHONY: advisories
advisories: ## Look the dependencies up in the RustSec database (needs cargo-deny and the network)
	cargo deny check advisories

.PHONY: interop
interop: ## Run the suite against real Nacos servers (needs a JDK 17 and Maven); INTEROP= adds pytest options
	@tools/setup interop
	@tools/venv
	cargo build $(CARGO_FLAGS) -p pailou-gateway -p rust-order-service
	PAILOU_BIN=$(TARGET)/debug/pailou ORDER_SERVICE_BIN=$(TARGET)/debug/rust-order-service \
	    $(PYTHON) -m pytest tests/interop --numprocesses=4 --maxschedchunk=1 $(INTEROP)

.PHONY: bench
bench: ## Run the benches
	@tools/setup build
	cargo bench --workspace $(CARGO_FLAGS)

.PHONY: bench-load
bench-load: ## Measure Pailou beside every other proxy that is installed; LOAD= adds options, LOAD=--help lists them
	@tools/setup load
	cargo build --release $(CARGO_FLAGS) -p pailou-gateway
	cargo build --release $(CARGO_FLAGS) $(BENCH_PEERS)
	tools/bench-load --binaries $(TARGET)/release --out $(TARGET)/bench-load $(LOAD)

.PHONY: docs
docs: ## Build the documentation of the crates
	@tools/setup build
	cargo doc --workspace --no-deps $(CARGO_FLAGS)
	@echo "open $(TARGET)/doc/pailou_nacos/index.html"

.PHONY: image
image: ## Build the container image pailou:dev
	docker build --file docker/Dockerfile --target gateway --tag pailou:dev .

.PHONY: check-tools
check-tools: ## Check for every tool, those of the interop suite included
	@tools/setup interop
	@echo "everything is there"

.PHONY: venv
venv:
	@tools/setup test
	@tools/venv
