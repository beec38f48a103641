# Every command that the README names. `make demo` needs a Rust toolchain and nothing else; `make test` installs or
# builds what it needs (Debian's chromium, the Kubernetes binaries) and says so when it can't.

SHELL := /usr/bin/env bash
.SHELLFLAGS := -euo pipefail -c
CARGO ?= cargo
DEMO_ARGS ?=
# The end-to-end tests mostly wait: on two cores six of them side by side, with VPA, KEDA and the rollout controllers among them,
# keep the machine about half busy.
CLUSTER_THREADS ?= 6

.PHONY: help
help: ## List the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  %-14s %s\n", $$1, $$2}'

.PHONY: demo
demo: ## A recorded day under an HPA and under arbiter, side by side, on a live page (DEMO_ARGS=--headless: no page)
	$(CARGO) run --quiet --release --no-default-features --features page -- demo $(DEMO_ARGS)

.PHONY: test
test: lint deny test-plain test-web test-cluster ## Everything: lint, supply chain, unit, golden, API mocks, browser, real control plane

.PHONY: lint
lint: ## Format, clippy (each feature set), docs without warnings, one TLS provider
	$(CARGO) fmt --check
	$(CARGO) clippy --quiet --all-targets -- -D warnings
	$(CARGO) clippy --quiet --test cluster --test recording --test scale -- -D warnings
	$(CARGO) clippy --quiet --all-targets --no-default-features -- -D warnings
	$(CARGO) clippy --quiet --lib --bins --no-default-features --features page -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --quiet --no-deps --document-private-items
	tests/one-tls-provider

.PHONY: test-plain
test-plain: ## Unit, property, golden, generated files, API mocks: no cluster, no browser
	$(CARGO) test --quiet

.PHONY: test-web
test-web: ## The page in headless Chromium (installs Debian's chromium when root)
	tests/web/install-chromium
	$(CARGO) test --test web

.PHONY: test-cluster
test-cluster: ## A real etcd, API server, controller manager, scheduler, Prometheus and NATS
	tests/cluster/build
	$(CARGO) test --test recording
	$(CARGO) test --test cluster -- --test-threads $(CLUSTER_THREADS) --skip measure:: --skip admission_cost:: --skip live::the_old --skip node:: --skip faults::

.PHONY: test-faults
test-faults: ## Seeded faults between real parts: 200 histories, a hundred leaders deposed, twelve killed (FAULT_SEED=1)
	tests/cluster/build
	$(CARGO) test --test cluster -- --test-threads 1 --nocapture faults::

.PHONY: test-node
test-node: ## A real kubelet and containerd: in-place resizes in the cgroups of a real service (root; installs Debian's runc and CNI plugins)
	tests/cluster/real-node

.PHONY: test-node-vm
test-node-vm: ## The same on cgroup v2 with pressure (PSI), in a user-mode kernel that is built once: for machines with cgroup v1
	tests/cluster/node-packages
	tests/cluster/build kubelet containerd
	$(CARGO) test --no-run --test cluster
	tests/cluster/vm/run tests/cluster/real-node

.PHONY: measure
measure: ## Reaction times and memory of the live controller, into simulations/results/live-latency.md
	tests/cluster/build
	tests/cluster/measure

.PHONY: admission-cost
admission-cost: ## What a pod's creation costs with 1,000 policies in its namespace, into simulations/results/admission.md
	tests/cluster/build
	tests/cluster/admission-cost

.PHONY: live
live: ## HPA, VPA and KEDA, then arbiter, then they again on one workload under one load (half an hour), into simulations/results/live
	tests/cluster/build
	tests/cluster/live-comparison

.PHONY: scale
scale: ## What 100 to 10,000 policies cost (half an hour), into simulations/results/scale.md
	tests/scale/run

.PHONY: flame
flame: ## Where its CPU time goes with 10,000 policies (needs perf), into simulations/results/scale-flame.svg
	tests/scale/flame

HISTORIES ?= 10000
SEED ?= 1

.PHONY: faults
faults: ## Seeded faults between real parts (HISTORIES=10000 SEED=1, hours, which may be interrupted): histories, depositions, failovers, into simulations/results/faults.md
	tests/cluster/build
	tests/cluster/fault-histories $(HISTORIES) $(SEED)

TRACES ?= simulations/traces

.PHONY: results
results: ## Every controller on every trace of a directory (TRACES=…), into simulations/results/controllers.md
	simulations/compare $(TRACES)

.PHONY: judge
judge: ## What the decision model must reach, measured (TRACES=…; SEEDS=1 HALF=development CACHE=target/judge.json), into simulations/results/model.md
	simulations/judge $(TRACES)

.PHONY: bench
bench: ## Time of one decision
	$(CARGO) bench --bench decide

.PHONY: fuzz
fuzz: ## Fuzz everything that reads other people's bytes, FUZZ_SECONDS (60) each, into simulations/results/fuzz.md
	fuzz/run

.PHONY: crds
crds: ## Regenerate what is generated: CRDs, admission policies and the reference tables
	mkdir -p deploy/helm/arbiter/crds deploy/helm/arbiter/files docs/reference
	for plural in scalingpolicies podsizes; do \
	  $(CARGO) run --quiet --no-default-features -- crds --only $$plural > crds/autoscaling.arbiter.io_$$plural.yaml; \
	  cp crds/autoscaling.arbiter.io_$$plural.yaml deploy/helm/arbiter/crds/; \
	done
	for name in one-owner pod-sizes; do \
	  $(CARGO) run --quiet --no-default-features -- crds --admission $$name > deploy/helm/arbiter/files/$$name.yaml; \
	  cp deploy/helm/arbiter/files/$$name.yaml deploy/kustomize/components/$$name/; \
	done
	$(CARGO) run --quiet --no-default-features -- crds --docs > docs/reference/scalingpolicy.md

.PHONY: deny
deny: ## Bans, licences and sources of the dependencies, and known vulnerabilities where the database can be had (builds cargo-deny once)
	tests/supply-chain

.PHONY: image
image: ## The container image without a container engine: target/image (OCI layout), its bill of materials beside it, checked
	deploy/image/build
	tests/image
