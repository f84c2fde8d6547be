# Every goal installs what it needs (Debian 12; root, or a user with sudo) and says what it does.
# `make` alone lists the goals.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

# Builds made here fail on warnings; see Package.swift.
export HYPEMAN_WERROR := 1

DESTDIR ?=
PREFIX ?= /usr/local

BIN := .build/debug
GUEST := .build/guest
SYSTEM := .build/system/package
AGENT := $(BIN)/hypeman-agent
# Release builds bring Swift's runtime along, so that they run where there is none.
RELEASE := -c release --static-swift-stdlib
SOURCES := $(shell find Sources Examples Package.swift -type f 2>/dev/null)

.PHONY: help
help: ## List the goals
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: deps
deps: ## Install the Debian packages that build, tests and demo need
	@scripts/deps.sh

.PHONY: debug
debug: deps
	@scripts/step.sh "build the agent and its command line" swift build --product hypeman-agent
	@scripts/step.sh "build hypeman" swift build --product hypeman

.PHONY: build
build: deps guest ## Build everything for use: bin/hypeman-agent, bin/hypeman, bin/guest/
	@scripts/step.sh "build the agent (release)" swift build $(RELEASE) --product hypeman-agent
	@scripts/step.sh "build hypeman (release)" swift build $(RELEASE) --product hypeman
	@scripts/step.sh "build hypeman-exec (release)" swift build $(RELEASE) --product hypeman-exec
	@mkdir -p bin/guest
	@install .build/release/hypeman-agent .build/release/hypeman .build/release/hypeman-exec bin/
	@install -m 644 $(GUEST)/kernel/vmlinux $(GUEST)/initrd bin/guest/

.PHONY: install
install: ## Install what `make build` made (DESTDIR=… PREFIX=/usr/local)
	@scripts/install.sh bin "$(DESTDIR)" "$(PREFIX)"

.PHONY: deb
deb: build ## Make the Debian package bin/hypeman_VERSION_ARCH.deb
	@scripts/deb.sh bin

.PHONY: package-test
package-test: ## Install bin/hypeman_*.deb in a fresh Debian 12, take it away again, and look at what is left
	@scripts/package-test.sh bin

.PHONY: kernel
kernel: deps ## Unpack Debian's cloud kernel for guests
	@scripts/kernel.sh $(GUEST)/kernel

.PHONY: guest
guest: deps kernel ## Build what guests boot: hypeman-init and the initrd around it
	@scripts/guest.sh $(GUEST)

.PHONY: demo
demo: deps debug guest ## Show the main job: an image becomes a VM (IMAGE=… pulls one from a registry)
	@scripts/demo.sh $(IMAGE)

.PHONY: test
test: deps guest ## Run all tests, real VMs among them (FILTER=… runs some)
	@scripts/step.sh "build the tests" swift build --build-tests
	@scripts/test.sh $(FILTER)

.PHONY: system-test
system-test: deps guest ## Boot a whole Debian host in QEMU and check it, KVM included (CHECKS=… runs some, CHECKS=-… leaves some out)
	@scripts/step.sh "build the tests" swift build --build-tests
	@[ -n "$${PACKAGES:-}" ] || scripts/step.sh "make a package of debug programs" scripts/debug-package.sh $(SYSTEM)
	@PACKAGES="$${PACKAGES:-$$(echo $(SYSTEM)/hypeman_*.deb)}" python3 -B scripts/system-test/main.py $(CHECKS)

.PHONY: check
check: deps ## Lint, and see that generated files are up to date
	@scripts/check.sh

.PHONY: fmt
fmt: ## Format the Swift sources in place
	@swift format format --in-place --recursive --parallel Sources Tests Examples Package.swift

.PHONY: dev
dev: debug guest ## Run an agent in .dev/ and restart it when a source changes
	@scripts/dev.sh

.PHONY: gen-jwt
gen-jwt: ## Print a token for the TCP API (USER_ID=…)
	@$(MAKE) --no-print-directory debug >&2
	@$(AGENT) gen-jwt --user-id "$${USER_ID:-test-user}"

.PHONY: oapi-generate
oapi-generate: ## Embed openapi.yaml, the source of the API's contract, in the server
	@scripts/openapi.sh

.PHONY: generate-wire
generate-wire: debug ## Check how the agent is wired, and write docs/wiring.txt
	@$(AGENT) graph > docs/wiring.txt

.PHONY: generate-all
generate-all: oapi-generate generate-wire ## Make every generated file anew
	@scripts/readme.sh $(AGENT)

.PHONY: build-preview-cli
build-preview-cli: deps ## Build the command line of a branch into bin/hypeman (CLI_BRANCH=…)
	@scripts/preview-cli.sh "$${CLI_BRANCH:-}"

.PHONY: bench
bench: deps guest ## Measure against floors, and print ratios (ONLY=…, JSON=…)
	@scripts/step.sh "build the agent (release)" swift build $(RELEASE) --product hypeman-agent
	@scripts/step.sh "build hypeman (release)" swift build $(RELEASE) --product hypeman
	@scripts/step.sh "build what drives the network (release)" swift build $(RELEASE) --product network-driver
	@scripts/step.sh "build what drives the writer of disks (release)" swift build $(RELEASE) --product storage-driver
	@scripts/bench.sh

.PHONY: clean
clean: ## Remove everything that was built
	rm -rf .build .build-guest .build-preview bin .dev
