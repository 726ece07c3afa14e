# Two commands do everything on a fresh Debian machine with Rust, as root or with sudo:
#   make demo    a highly available PostgreSQL cluster on four sandbox nodes
#   make test    every test, on real nodes where they touch a machine
SHELL := /bin/bash
.DEFAULT_GOAL := help
SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo)
KEDDAH := target/release/keddah
# For `keddah --version`; empty where there is no checkout.
export KEDDAH_COMMIT := $(shell git rev-parse --short=12 HEAD 2>/dev/null)
CACHE ?= /var/cache/keddah
SUITE ?= trixie
IMAGE ?= warm
NODES ?= 4
# The demo's sandbox; another name stands beside it.
NAME ?= default
# What the sandbox needs of this machine, a psql to connect with, and what the tests compare with.
PACKAGES := systemd-container debootstrap iproute2 openssh-client debian-archive-keyring \
            postgresql-client openssl procps e2fsprogs xfsprogs nftables
# Clients of the scenarios: a Python and a JDBC driver, and a Java that runs a source file.
CLIENT_PACKAGES := python3-psycopg libpostgresql-jdbc-java default-jdk-headless
TEST_PACKAGES := postgresql patroni etcd-server etcd-client python3-venv
# What of Debian is here, to be compared with that of the last green run.
DEBIAN_PACKAGES := scripts/debian-packages
DEBIAN_PACKAGES_HERE := $(SUITE) $(CACHE) $(PACKAGES) $(CLIENT_PACKAGES) $(TEST_PACKAGES)
GREEN := target/debian-packages.green
ANSIBLE := $(CACHE)/ansible

.PHONY: help demo test check unit e2e bench drill build packages test-packages client-packages clean down docs scenarios \
        compare-packages record-packages

help: ## this list
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 16

packages:
	@$(SUDO) scripts/apt-install $(PACKAGES)

test-packages: packages
	@$(SUDO) scripts/apt-install $(TEST_PACKAGES)
	@$(SUDO) scripts/ansible-oracle $(ANSIBLE)

build: ## the release binary
	@cargo build --release --locked --bin keddah

demo: packages build ## boot four nodes, apply conf/sandbox.yml, say how to connect
	@$(SUDO) scripts/demo $(KEDDAH) $(SUITE) $(IMAGE) $(NODES) $(NAME)

down: ## take the demo's sandbox down
	@$(SUDO) $(KEDDAH) sandbox --name $(NAME) down

check: ## formatting and lints
	@cargo fmt --all --check
	@cargo clippy --workspace --all-targets --locked -- -D warnings

unit: test-packages ## tests that need no nodes
	@$(SUDO) env "PATH=$(ANSIBLE)/bin:$$PATH" "HOME=$$HOME" cargo test --workspace --locked

# One call for both programs, so that their dependencies are compiled once.
scenarios:
	@cargo build --release --locked --bin keddah --bin keddah-scenarios

client-packages: packages
	@$(SUDO) scripts/apt-install $(CLIENT_PACKAGES)

e2e: test-packages client-packages scenarios ## scenarios on sandbox nodes
	@$(SUDO) env "PATH=$$PATH" "HOME=$$HOME" cargo test --locked --package keddah-sandbox --test nodes -- --ignored
	@$(SUDO) target/release/keddah-scenarios --keddah $(KEDDAH) --suite $(SUITE)

# What Debian changed since the last green run is told first, and again where a test failed. It decides nothing.
test: ## everything
	@rm -f $(GREEN)
	@$(DEBIAN_PACKAGES) compare $(DEBIAN_PACKAGES_HERE)
	@$(MAKE) --no-print-directory check unit e2e || { $(DEBIAN_PACKAGES) compare $(DEBIAN_PACKAGES_HERE); exit 1; }
	@$(DEBIAN_PACKAGES) list $(DEBIAN_PACKAGES_HERE) > $(GREEN)

compare-packages: ## what Debian changed since the last green run
	@$(DEBIAN_PACKAGES) compare $(DEBIAN_PACKAGES_HERE)

record-packages: ## after a green `make test`: its versions of Debian's packages become the record
	@[ -s $(GREEN) ] || { echo "no green 'make test' to record: run it first" >&2; exit 1; }
	@cp $(GREEN) scripts/debian-packages.lock

bench: packages scenarios ## the figures of docs/benchmarks.md
	@$(SUDO) target/release/keddah-scenarios bench --keddah $(KEDDAH)

drill: packages scenarios ## field trials at full length, some fifteen minutes; adds lines to docs/drill.md
	@$(SUDO) env "KEDDAH_COMMIT=$$KEDDAH_COMMIT" target/release/keddah-scenarios drill --keddah $(KEDDAH)

docs: ## write the reference pages anew from the sources
	@UPDATE_DOCS=1 cargo test --quiet -p keddah-inventory --test reference
	@UPDATE_DOCS=1 cargo test --quiet -p keddah-compile --test diagnostics
	@UPDATE_DOCS=1 cargo test --quiet -p keddah-plan --test health

clean: ## build products
	@cargo clean
