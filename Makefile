# These do everything, each installing what it needs on Debian 12 and its relatives:
#   make record   record this host beside a workload, print the report, and write it as a page with charts
#   make test     all tests
#   make test-vm  those of them that boot other kernels, e.g. KERNELS="6.1 6.12-rt"; kernels are fetched once
#                 into the user's cache. `make kernels` writes what they found into docs/kernels.md.
#   make torture  the long campaigns whose counts are in docs/assurance.md, e.g. TORTURE="kills -k rename"
#   make bench    figures beside the peers', e.g. BENCHES="probe start" ROUNDS=5; into build/bench.md and .json
#   make lock     the lock files anew from pyproject.toml; with UPGRADE=--upgrade to the latest versions
#   make sbom     what a recorder is made of, into build/sbom.json; `make licences` lists all licences
#   make audit    asks for known vulnerabilities of what is locked
#   make wheel    the wheel, the same bytes wherever it is made
# `make screenshots` takes the pictures of a report in docs/.

PYTHON    ?= /usr/bin/python3
VENV      := .venv
BIN       := $(VENV)/bin
# Recording and most tests need root; who is root already needs no sudo.
SUDO      := $(if $(filter 0,$(shell id -u)),,sudo)
SECONDS   ?= 10
RECORDING ?= exits-$(shell date +%Y%m%d-%H%M%S).tif.parquet

# linux-libc-dev: the user-space headers that the BPF programs are compiled against.
RECORD_PACKAGES := python3 python3-venv python3-bpfcc linux-libc-dev
TEST_PACKAGES   := $(RECORD_PACKAGES) bpftrace binutils btrfs-progs fish git libseccomp2 prometheus systemd zsh
# What opens reports; the font, because charts are measured in one of its widths.
BROWSER_PACKAGES := chromium chromium-driver fonts-liberation
VM_PACKAGES     := $(TEST_PACKAGES) busybox-static file kmod qemu-system-x86
BENCH_PACKAGES  := $(VM_PACKAGES) gcc libc6-dev linux-perf
TORTURE   ?=
# What `make bench` runs; none: all.
BENCHES   ?=
ROUNDS    ?= 15
# What `make test-vm` boots: names of tests/vm/kernels.toml or patterns of Debian packages; none: its default.
KERNELS   ?=
# How many at once; each has two CPUs.
VMS       ?= 2

.PHONY: help record test test-vm kernels torture bench docs screenshots lock sbom licences audit wheel clean
help:
	@sed -n '/^#/!q; s/^# \?//p' Makefile

# $(call installed,PACKAGES): install those that are missing, and nothing if none is.
define installed
	@missing=$$(for name in $(1); do \
		dpkg-query -W -f='$${Status}' $$name 2>/dev/null | grep -q 'ok installed' || echo $$name; \
	done); \
	if [ -n "$$missing" ]; then \
		echo "installing" $$missing; \
		$(SUDO) apt-get update -qq && \
		$(SUDO) env DEBIAN_FRONTEND=noninteractive \
			apt-get install -y -qq --no-install-recommends $$missing >/dev/null; \
	fi
endef

# bcc is a package of the distribution's, so the environment has to see those. Everything else is in the lock
# file, to the hash, what builds tifbpf too; nothing is built but tifbpf.
PIP        = $(BIN)/python -m pip --quiet --disable-pip-version-check --no-input
define environment
	@test -x $(BIN)/python || $(PYTHON) -m venv --system-site-packages $(VENV)
	@cat pyproject.toml $(1) | cmp -s - $(VENV)/installed-$(1) || { \
		$(PIP) install --no-deps --require-hashes --only-binary :all: --requirement $(1) && \
		$(PIP) install --no-deps --no-build-isolation --editable . && \
		cat pyproject.toml $(1) > $(VENV)/installed-$(1); }
endef

record:
	$(call installed,$(RECORD_PACKAGES))
	$(call environment,requirements-html.txt)
	$(SUDO) $(BIN)/tifbpf record --by syscall,comm -o $(RECORDING) -- tests/workload $(BIN)/tifbpf $(SECONDS)
	$(BIN)/tifbpf report $(RECORDING)
	$(BIN)/tifbpf report --html $(RECORDING:.tif.parquet=.html) $(RECORDING)
	@echo "with charts: $(RECORDING:.tif.parquet=.html)"

test:
	$(call installed,$(TEST_PACKAGES) $(BROWSER_PACKAGES))
	$(call environment,requirements-dev.txt)
	@# tifbpf does without tracefs; bpftrace, which it is compared with, does not.
	@mountpoint -q /sys/kernel/tracing || $(SUDO) mount -t tracefs nodev /sys/kernel/tracing
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(SUDO) env TIFBPF_REQUIRE="$(TIFBPF_REQUIRE)" $(BIN)/pytest -n auto tests/unit
	$(SUDO) env TIFBPF_REQUIRE="$(TIFBPF_REQUIRE)" $(BIN)/pytest tests/browser
	$(SUDO) env TIFBPF_REQUIRE="$(TIFBPF_REQUIRE)" $(BIN)/pytest tests/live
	$(MAKE) test-vm

test-vm:
	$(call installed,$(VM_PACKAGES))
	$(call environment,requirements-dev.txt)
	$(SUDO) env TIFBPF_REQUIRE="$(TIFBPF_REQUIRE)" KERNELS="$(KERNELS)" VMS="$(VMS)" \
		XDG_CACHE_HOME="$(XDG_CACHE_HOME)" $(BIN)/pytest tests/vm

kernels: test-vm
	$(BIN)/python -m tests.vm.page

torture:
	$(call installed,$(TEST_PACKAGES))
	$(call environment,requirements-torture.txt)
	@mountpoint -q /sys/kernel/tracing || $(SUDO) mount -t tracefs nodev /sys/kernel/tracing
	@mkdir -p build
	$(SUDO) $(BIN)/python -m tests.torture --json build/torture.json $(TORTURE)

bench:
	$(call installed,$(BENCH_PACKAGES))
	$(call environment,requirements-dev.txt)
	@mountpoint -q /sys/kernel/tracing || $(SUDO) mount -t tracefs nodev /sys/kernel/tracing
	$(SUDO) $(BIN)/python -m tests.bench --rounds $(ROUNDS) -o build/bench.md $(BENCHES)

screenshots:
	$(call installed,$(TEST_PACKAGES) $(BROWSER_PACKAGES))
	$(call environment,requirements-dev.txt)
	$(SUDO) $(BIN)/tifbpf record --by syscall,comm -o $(RECORDING) -- tests/workload $(BIN)/tifbpf $(SECONDS)
	$(SUDO) $(BIN)/python -m tests.browser.screenshots $(RECORDING)

docs:
	$(call environment,requirements-dev.txt)
	$(BIN)/python -m tests.reference
	$(BIN)/python -m sphinx -q -W --keep-going -b html docs build/docs

# Versions that are locked already stay, unless UPGRADE says otherwise or pyproject.toml does not allow them.
LOCK = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	--no-header --no-annotate $(UPGRADE) pyproject.toml
lock:
	$(call environment,requirements-dev.txt)
	$(LOCK) --extra html --extra dev --group build --output-file requirements-dev.txt
	$(LOCK) --extra html --extra dev --extra torture --group build --constraint requirements-dev.txt \
		--output-file requirements-torture.txt
	$(LOCK) --extra html --group build --constraint requirements-dev.txt --output-file requirements-html.txt
	$(LOCK) --constraint requirements-dev.txt --output-file requirements.txt

licences:
	$(call environment,requirements-dev.txt)
	$(BIN)/python -m tests.supply.licences

sbom:
	$(call installed,$(RECORD_PACKAGES))
	$(call environment,requirements-dev.txt)
	$(BIN)/python -m tests.supply.sbom build/sbom.json
	@echo build/sbom.json

audit:
	$(call environment,requirements-dev.txt)
	$(BIN)/python -m tests.supply.audit

wheel:
	$(call environment,requirements-dev.txt)
	$(BIN)/python -m tests.supply.wheel dist

clean:
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
