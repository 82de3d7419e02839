# The commands of a working day. Everything here does its own set-up on a bare Debian machine with
# Rust and a C compiler; `make` alone lists it.

CARGO ?= cargo
# Where cargo builds; it reads the same variable.
TARGET := $(or $(CARGO_TARGET_DIR),target)

# make demo: 1 ends after the customer has left; `free` takes ports that are free now.
DEMO_ONCE ?=
DEMO_PORTS ?= example
# make fuzz: seconds for each target.
FUZZ_SECONDS ?= 60
# make bench: 1 for the short form, which proves nothing and takes two minutes.
QUICK ?=
# make bench: these rows alone, by their names, their groups' or what these begin with, as small,h2.
ONLY ?=
# More flags for make bench, make bench-micro, make soak and make chaos.
ARGS ?=
# make bench-check: 1 makes what is counted the new baseline.
UPDATE ?=

DEMO_PROGRAMS := -p portcullis-gateway -p shop-users -p shop-products -p shop-payments -p shop-orders \
	-p shop-notifications -p shop-simulator -p portcullis-demo
MICRO := -p portcullis-microbenches --features measure
GUNGRAUN := $(abspath $(TARGET))/gungraun-runner
# program:package, as Debian names them.
TEST_NEEDS := cc:gcc curl:curl python3:python3 chromium-headless-shell:chromium-headless-shell \
	initdb:postgresql pg_ctlcluster:postgresql-common nats-server:nats-server
# Peers, generators of load, and what counts.
BENCH_NEEDS := haproxy:haproxy nginx:nginx caddy:caddy wrk:wrk h2load:nghttp2-client perf:linux-perf \
	valgrind:valgrind

.DEFAULT_GOAL := help
.PHONY: help demo test bench bench-report bench-micro bench-check soak chaos lint fuzz fuzz-check

help: ## List these commands
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1 \2/p' $(firstword $(MAKEFILE_LIST)) | \
		while read -r make name text; do printf '  make %-12s  %s\n' "$$name" "$$text"; done

demo: ## Build, open the shop behind its gateway, send customers, stay up until Ctrl-C (DEMO_ONCE=1: end then)
	@tools/need.sh cc:gcc
	$(CARGO) build --locked $(DEMO_PROGRAMS)
	@$(TARGET)/debug/shop-demo --ports $(DEMO_PORTS) $(if $(DEMO_ONCE),--once)

test: ## Every test, the shop's on PostgreSQL too, and the demo's customer; nothing is left running
	@tools/need.sh $(TEST_NEEDS)
	@tools/python.sh $(TARGET)/python
	@tools/step.sh build $(CARGO) build --locked --workspace --all-targets
	@CARGO="$(CARGO)" tools/tests.sh $(TARGET)

# Built one by one: together, the gateway would get what the benches ask of shared libraries.
bench: ## Cost of a request beside other proxies (QUICK=1, ONLY=small,h2)
	@tools/need.sh cc:gcc $(BENCH_NEEDS)
	@tools/envoy.sh $(TARGET)/envoy
	$(CARGO) build --locked --release -p portcullis-gateway
	$(CARGO) build --locked --release -p portcullis-benches
	$(CARGO) build --locked --release -p shop -p shop-simulator
	$(TARGET)/release/portcullis-bench run $(if $(QUICK),--quick) $(if $(ONLY),--only '$(ONLY)') $(ARGS)

bench-report: ## Benchmark figures of README and docs from docs/benchmarks/results.json (ARGS='--adopt JSON' takes a run over)
	$(CARGO) build --locked -p portcullis-benches
	$(TARGET)/debug/portcullis-bench report $(ARGS)

bench-micro: ## Time of each hot piece of the engine (ARGS=route: those alone)
	@tools/need.sh cc:gcc
	$(CARGO) bench --locked $(MICRO) --bench time -- $(ARGS)

bench-check: ## Instructions of the same pieces against the committed baseline (UPDATE=1 renews it)
	@tools/need.sh cc:gcc valgrind:valgrind
	@CARGO="$(CARGO)" tools/gungraun.sh $(GUNGRAUN)
	GUNGRAUN_RUNNER=$(GUNGRAUN)/bin/gungraun-runner $(CARGO) bench --locked $(MICRO) --bench instructions -- \
		--output-format=json >$(TARGET)/instructions.ndjson
	@$(CARGO) run --quiet --locked --profile bench $(MICRO) -- $(TARGET)/instructions.ndjson \
		--baseline microbenches/baseline.json $(if $(UPDATE),--update)

soak: ## Reloads, drain and a dying endpoint under load that accounts for every request
	@tools/need.sh cc:gcc
	$(CARGO) build --locked --profile fast -p portcullis-gateway -p portcullis-benches
	$(TARGET)/fast/portcullis-bench soak $(ARGS)

chaos: ## Faults drawn by a seed under load in every protocol (ARGS='--seed 42 --minutes 10')
	@tools/need.sh cc:gcc
	$(CARGO) build --locked -p portcullis-gateway -p portcullis-benches
	$(TARGET)/debug/portcullis-bench chaos $(ARGS)

lint: ## Formatting and clippy, warnings denied; of the fuzz targets too
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	@$(MAKE) --no-print-directory fuzz-check

fuzz: ## Every fuzz target for FUZZ_SECONDS (60) each
	@tools/need.sh c++:g++
	fuzz/run.sh $(FUZZ_SECONDS)

# They share what clippy has built of their dependencies. Nothing is linked, so libFuzzer itself is not
# compiled: it is enough to say that it is elsewhere.
fuzz-check: ## Formatting and clippy of the fuzz targets, which shows that they compile
	$(CARGO) fmt --manifest-path fuzz/Cargo.toml --check
	CUSTOM_LIBFUZZER_PATH=/nowhere/libfuzzer.a $(CARGO) clippy --locked --manifest-path fuzz/Cargo.toml \
		--target-dir $(TARGET) --bins -- -D warnings
