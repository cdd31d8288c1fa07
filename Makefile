# Weever. `make` lists the goals.
# POSIX sh throughout.

SHELL := /bin/sh
.SHELLFLAGS := -eu -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

# ---- variables a person may set ---------------------------------------------------------------------------------------

VERSION   ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
P         ?= 2# test binaries at a time: each starts servers of its own
TIMEOUT   ?= 30m# of one package's tests
FUZZTIME  ?= 60s# of one fuzz target
COUNT     ?= 3# repetitions of `make race`
SOAK      ?= 10m# of `make soak`
BENCH     ?= .# which benchmarks
BENCHTIME ?= 1s
ROUNDS    ?= 5# of each side-by-side measurement
SECONDS   ?= 5# that each of them takes
MODEL     ?= browser# traffic of `make profile`: or burst
VIEWERS   ?= 50
ARCHES    ?= amd64 arm64# of the mediad packages

# ---- tools, pinned ----------------------------------------------------------------------------------------------------

GOFUMPT_VERSION     := v0.12.0
GOLANGCI_VERSION    := v2.15.0
STATICCHECK_VERSION := v0.8.2

BIN   := $(CURDIR)/bin
TOOLS := $(BIN)/tools

# One stamp per tool and version. A stamp whose program has been deleted counts as absent.
CONSUL      := $(TOOLS)/.consul-$(shell cksum <.ci/tools/consul/go.sum | cut -d' ' -f1)
GOFUMPT     := $(TOOLS)/.gofumpt-$(GOFUMPT_VERSION)
GOLANGCI    := $(TOOLS)/.golangci-lint-$(GOLANGCI_VERSION)
STATICCHECK := $(TOOLS)/.staticcheck-$(STATICCHECK_VERSION)
STAMPS      := $(CONSUL) $(GOFUMPT) $(GOLANGCI) $(STATICCHECK)
$(foreach t,consul gofumpt golangci-lint staticcheck,$(if $(wildcard $(TOOLS)/$t),,$(shell rm -f $(TOOLS)/.$t-*)))

SIDE_BY_SIDE := mediad/internal/sidebyside
SITE_TOOLS   := .ci/tools/site
CLIENT_TOOLS := .ci/tools/clients

GO_DIRS  := $(wildcard functions mediad shared infra site)
LDFLAGS  := -s -w -X main.version=$(VERSION)
LAMBDAS  := $(patsubst functions/%/main.go,%,$(wildcard functions/*/main.go))
# Date of everything inside archives, so that equal sources give equal bytes.
EPOCH    := $(shell git log -1 --format=%ct 2>/dev/null || echo 0)

# The packages whose tests start no other program: no testkit, no os/exec. They are what `make check` has time for.
UNIT = $(shell go list -f '{{.ImportPath}} {{join .TestImports " "}} {{join .XTestImports " "}}' ./... \
	| grep -v -e 'weever/shared/testkit' -e ' os/exec' | cut -d' ' -f1)

# ---- everyday ---------------------------------------------------------------------------------------------------------

.PHONY: help
help: ## list the goals
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: build
build: ## build bin/mediad
	go build -trimpath -ldflags '$(LDFLAGS)' -o $(BIN)/mediad ./mediad

.PHONY: dev
dev: build ## build and run one node with everything in it: https://localhost:8443/ and http://localhost:8080/
	$(BIN)/mediad --dev

.PHONY: check
check: $(GOFUMPT) $(GOLANGCI) ## fast inner loop: gofumpt, vet, golangci-lint, unit tests
	@$(MAKE) --no-print-directory format-check vet golangci
	go test -timeout 60s $(UNIT)

.PHONY: fmt
fmt: $(GOFUMPT) $(GOLANGCI) ## format the Go code
	$(TOOLS)/golangci-lint fmt $(addsuffix /...,$(addprefix ./,$(GO_DIRS)))

.PHONY: readme
readme: ## write the tables of flags and of metrics in the README from the code
	go test ./mediad/internal/config ./mediad/internal/metrics -run README -update

.PHONY: lint
lint: $(GOFUMPT) $(GOLANGCI) $(STATICCHECK) ## gofumpt, vet, golangci-lint, staticcheck
	@$(MAKE) --no-print-directory format-check vet golangci
	@echo '== staticcheck'
	@$(TOOLS)/staticcheck ./...

# ---- everything -------------------------------------------------------------------------------------------------------

.PHONY: setup
setup: ## install what the tests need: apt packages, consul, linters, the site's tools, clients of others
	@sh .ci/setup.sh
	@$(MAKE) --no-print-directory $(STAMPS) site-tools clients-tools

# Exactly what continuous integration runs. One step after the other, the first failure ends it; nothing is skipped.
.PHONY: test
test: setup ## set up and run every test: format, lint, site, Go with the race detector
	@$(MAKE) --no-print-directory lint
	@$(MAKE) --no-print-directory site
	@echo '== go test -race'
	go test -race -timeout $(TIMEOUT) -p $(P) ./...
	@echo
	@echo "make test: all passed: gofumpt, vet, golangci-lint, staticcheck, site,"
	@echo "           $$(go list ./... | wc -l) Go packages under the race detector, $$(grep -rhE --include='*_test.go' '^func (Test|Fuzz)' $(GO_DIRS) | wc -l) test functions"

.PHONY: race
race: setup ## the Go tests COUNT times under the race detector
	go test -race -count $(COUNT) -timeout $$(( $(COUNT) * 20 ))m -p $(P) ./...

# In the folder itself go test shows what a passing test prints: the table.
.PHONY: chaos
chaos: setup ## let everything fail that nodes live on, one after the other, and print what people noticed (8 minutes)
	cd mediad/internal/chaos && go test -timeout 25m -args -full

.PHONY: soak
soak: setup ## let people come and go for SOAK (10m), and look whether the node is as it was when all have gone
	cd mediad/internal/storm && go test -run '^TestSoak$$' -v -timeout 24h -args -soak $(SOAK)

.PHONY: site
site: site-tools ## checks of site/: node tests and types
	@echo '== site: node --test'
	@node --test --test-reporter=spec site/test/*.test.js
	@echo '== site: tsc'
	@$(SITE_TOOLS)/node_modules/.bin/tsc -p $(SITE_TOOLS)

.PHONY: fuzz
fuzz: ## every fuzz target, FUZZTIME (60s) each
	@for dir in $$(grep -rlE --include='*_test.go' '^func Fuzz' $(GO_DIRS) | xargs -r -n1 dirname | sort -u); do \
		list=$$(go test -run '^$$' -list '^Fuzz' "./$$dir"); \
		for name in $$(echo "$$list" | grep '^Fuzz'); do \
			echo "== $$dir $$name"; \
			go test -run '^$$' -fuzz "^$$name$$" -fuzztime $(FUZZTIME) "./$$dir"; \
		done; \
	done

# The second half has the machine's first two cores to itself, or says nothing: nothing else should run meanwhile.
.PHONY: bench
bench: ## benchmarks of functions, then the node beside plain pion (25 minutes; BENCH=Fanout/browser/50 ROUNDS=1 are faster)
	@dirs=$$(grep -rlE --include='*_test.go' '^func Benchmark' $(GO_DIRS) | xargs -r -n1 dirname | sort -u | grep -vx '$(SIDE_BY_SIDE)' | sed 's|^|./|'); \
	go test -run '^$$' -bench '$(BENCH)' -benchtime $(BENCHTIME) -benchmem -timeout 60m -p 1 $$dirs
	go test -run '^$$' -bench '$(BENCH)' -timeout 120m ./$(SIDE_BY_SIDE) -args -rounds $(ROUNDS) -seconds $(SECONDS)

.PHONY: profile
profile: SECONDS = 20
profile: ## CPU and heap profile of the node under one fan-out (MODEL=browser VIEWERS=50 SECONDS=20), into bin/profile
	@rm -rf $(BIN)/profile
	go test -run '^$$' -bench '^BenchmarkFanout$$/^$(MODEL)$$/^$(VIEWERS)$$' ./$(SIDE_BY_SIDE) -args -viewers $(VIEWERS) -seconds $(SECONDS) -profile $(BIN)/profile
	@go tool pprof -top -nodecount 40 $(BIN)/profile/cpu.pprof
	@echo "more: go tool pprof -http : bin/profile/cpu.pprof, and heap.pprof"

# ---- steps ------------------------------------------------------------------------------------------------------------

.PHONY: format-check
format-check: $(GOFUMPT)
	@echo '== gofumpt'
	@files=$$($(TOOLS)/gofumpt -l $(GO_DIRS)); [ -z "$$files" ] || { echo "not formatted (make fmt):"; echo "$$files"; exit 1; }

.PHONY: vet
vet:
	@echo '== go vet'
	@go vet ./...

.PHONY: golangci
golangci: $(GOLANGCI)
	@echo '== golangci-lint'
	@$(TOOLS)/golangci-lint run ./...

.PHONY: site-tools
site-tools: $(SITE_TOOLS)/node_modules/.package-lock.json

$(SITE_TOOLS)/node_modules/.package-lock.json: $(SITE_TOOLS)/package-lock.json
	cd $(SITE_TOOLS) && npm ci --no-audit --no-fund
	touch $@

# The browser clients of others that the tests run, bundled into one module each.
.PHONY: clients-tools
clients-tools: $(TOOLS)/clients/.made

$(TOOLS)/clients/.made: $(CLIENT_TOOLS)/package.json $(CLIENT_TOOLS)/package-lock.json
	cd $(CLIENT_TOOLS) && npm ci --ignore-scripts --no-audit --no-fund && npm run --silent bundle -- --outdir=$(TOOLS)/clients
	touch $@

# ---- tools ------------------------------------------------------------------------------------------------------------

# About six minutes the first time on two cores, seconds from the build cache.
$(CONSUL):
	@mkdir -p $(TOOLS)
	@echo 'building the Consul agent (minutes, once)'
	cd .ci/tools/consul && CGO_ENABLED=0 go build -trimpath -ldflags '-s -w' -o $(TOOLS)/consul github.com/hashicorp/consul
	@rm -f $(TOOLS)/.consul-*; touch $@

# install-tool NAME MODULE@VERSION
define install-tool
	@mkdir -p $(TOOLS)
	@echo 'building $(2)'
	cd / && GOBIN=$(TOOLS) go install $(2)
	@rm -f $(TOOLS)/.$(1)-*; touch $@
endef

$(GOFUMPT):
	$(call install-tool,gofumpt,mvdan.cc/gofumpt@$(GOFUMPT_VERSION))

$(GOLANGCI):
	$(call install-tool,golangci-lint,github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_VERSION))

$(STATICCHECK):
	$(call install-tool,staticcheck,honnef.co/go/tools/cmd/staticcheck@$(STATICCHECK_VERSION))

# ---- packages ---------------------------------------------------------------------------------------------------------

.PHONY: package
package: $(addprefix lambda-,$(LAMBDAS)) $(addprefix mediad-,$(ARCHES)) ## bin/package: Lambda zips, mediad as .deb and as .tar.gz with its systemd unit
	@ls -l $(BIN)/package/*.zip $(BIN)/package/*.deb $(BIN)/package/*.tar.gz

# provided.al2023 on arm64 wants one file named bootstrap at the top of the archive.
.PHONY: $(addprefix lambda-,$(LAMBDAS))
$(addprefix lambda-,$(LAMBDAS)): lambda-%:
	@dir=$(BIN)/package/lambda/$*; rm -rf "$$dir" $(BIN)/package/$*.zip; mkdir -p "$$dir"; \
	GOOS=linux GOARCH=arm64 CGO_ENABLED=0 go build -tags lambda.norpc -trimpath -ldflags '$(LDFLAGS)' -o "$$dir/bootstrap" ./functions/$*; \
	chmod 755 "$$dir/bootstrap"; TZ=UTC touch -d @$(EPOCH) "$$dir/bootstrap"; \
	cd "$$dir" && TZ=UTC zip -q -X $(BIN)/package/$*.zip bootstrap

.PHONY: $(addprefix mediad-,$(ARCHES))
$(addprefix mediad-,$(ARCHES)): mediad-%:
	@GOOS=linux GOARCH=$* CGO_ENABLED=0 go build -trimpath -ldflags '$(LDFLAGS)' -o $(BIN)/package/mediad-$*/mediad ./mediad
	@sh infra/systemd/package.sh $* '$(VERSION)' $(EPOCH) $(BIN)/package

.PHONY: clean
clean: ## remove what was built (the tools in bin/tools stay)
	rm -rf $(BIN)/mediad $(BIN)/package
