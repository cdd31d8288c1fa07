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
# Tools of the checks of infra/: their versions and stamps.
# -- SAM
SAM := $(TOOLS)/.sam-$(shell cksum <.ci/tools/sam/requirements.txt | cut -d' ' -f1)
STAMPS += $(SAM)
$(if $(wildcard $(TOOLS)/sam-venv/bin/python3),,$(shell rm -f $(TOOLS)/.sam-*))
# -- Terraform
TOFU_VERSION   := v1.12.6
TFLINT_VERSION := v0.64.0
TFSEC_VERSION  := v1.26.0
TOFU    := $(TOOLS)/.tofu-$(TOFU_VERSION)
TFLINT  := $(TOOLS)/.tflint-$(TFLINT_VERSION)
TFSEC   := $(TOOLS)/.tfsec-$(TFSEC_VERSION)
TFSTUB  := $(TOOLS)/.terraform-stub-$(shell cat .ci/tools/terraform/*.go .ci/tools/terraform/go.sum .ci/tools/terraform/schema/* | cksum | cut -d' ' -f1)
AWSCLI  := $(TOOLS)/.aws-$(shell cksum <.ci/tools/terraform/requirements.txt | cut -d' ' -f1)
STAMPS  += $(TOFU) $(TFLINT) $(TFSEC) $(TFSTUB) $(AWSCLI)
$(foreach t,tofu tflint tfsec terraform-stub aws,$(if $(wildcard $(TOOLS)/$t),,$(shell rm -f $(TOOLS)/.$t-*)))
# -- packages and Compose
NATS_VERSION := $(shell sed -n 's|^\tgithub.com/nats-io/nats-server/v2 ||p' go.mod)
NATS         := $(TOOLS)/.nats-server-$(NATS_VERSION)
DOCKERCHECK  := $(TOOLS)/.dockercheck-$(shell cat .ci/tools/dockerfile/* | cksum | cut -d' ' -f1)
STAMPS += $(NATS) $(DOCKERCHECK)
$(foreach t,nats-server dockercheck,$(if $(wildcard $(TOOLS)/$t),,$(shell rm -f $(TOOLS)/.$t-*)))
# -- Kubernetes
KUBERNETES := $(TOOLS)/.kubernetes-$(shell cat .ci/tools/kubernetes/* | cksum | cut -d' ' -f1)
STAMPS += $(KUBERNETES)
$(foreach t,helm kubectl kubecheck,$(if $(wildcard $(TOOLS)/$t),,$(shell rm -f $(TOOLS)/.kubernetes-*)))
# -- observability and releases
ACTIONLINT_VERSION := v1.7.12
ACTIONLINT := $(TOOLS)/.actionlint-$(ACTIONLINT_VERSION)
PROMETHEUS := $(TOOLS)/.prometheus-$(shell cksum <.ci/tools/prometheus/go.sum | cut -d' ' -f1)
CYCLONEDX  := $(TOOLS)/.cyclonedx-gomod-$(shell cksum <.ci/tools/release/go.sum | cut -d' ' -f1)
ZIZMOR     := $(TOOLS)/.zizmor-$(shell cksum <.ci/tools/release/requirements.txt | cut -d' ' -f1)
GRAFANA    := .ci/tools/grafana/node_modules/.package-lock.json
STAMPS += $(ACTIONLINT) $(PROMETHEUS) $(CYCLONEDX) $(ZIZMOR) $(GRAFANA)
$(foreach t,actionlint prometheus cyclonedx-gomod zizmor,$(if $(wildcard $(TOOLS)/$t),,$(shell rm -f $(TOOLS)/.$t-*)))
$(if $(wildcard $(TOOLS)/promtool),,$(shell rm -f $(TOOLS)/.prometheus-*))
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

# What each tool has checked stands in the tests' logs; a tool that is missing fails its test.
.PHONY: infra-test
infra-test: setup ## check everything that deploys Weever with real tools, and list what each has checked
	@mkdir -p $(BIN)
	@go test -race -timeout $(TIMEOUT) -p $(P) -count 1 -v ./infra/... ./functions/... >$(BIN)/infra-test.log 2>&1 || \
		{ grep -v -e '^=== ' -e '^ *--- PASS' $(BIN)/infra-test.log; exit 1; }
	@grep -oh 'checked by .*' $(BIN)/infra-test.log | sort -u

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

# -- SAM
# The AWS SAM CLI and cfn-lint, in a Python environment of their own. The list is whole, so nothing has to be resolved.
$(SAM):
	@mkdir -p $(TOOLS)
	@echo 'installing the AWS SAM CLI'
	rm -rf $(TOOLS)/sam-venv && python3 -m venv $(TOOLS)/sam-venv
	$(TOOLS)/sam-venv/bin/pip install -q --disable-pip-version-check --no-deps --require-hashes -r .ci/tools/sam/requirements.txt
	cd $(TOOLS) && ln -sf sam-venv/bin/sam sam-venv/bin/cfn-lint .
	@rm -f $(TOOLS)/.sam-*; touch $@

# A template that was built knows the architecture of its binaries alone: deploying it for the other is refused. No AWS account is needed.
.PHONY: sam-build
sam-build: $(SAM) $(addprefix lambda-,$(LAMBDAS)) ## bin/sam: what `sam local invoke` and `sam deploy` take, for arm64 and x86_64
	@mkdir -p $(BIN)/sam
	@for arch in arm64 x86_64; do \
		sed "/^  Architecture:/,/^    Desc/ s/Default: .*/Default: $$arch/; s/AllowedValues: \[arm64, x86_64\]/AllowedValues: [$$arch]/" \
			template.yaml >$(BIN)/sam/$$arch.yaml; \
		SAM_CLI_TELEMETRY=0 $(TOOLS)/sam build \
			--template $(BIN)/sam/$$arch.yaml --base-dir $(BIN)/.. --build-dir $(BIN)/sam/$$arch >$(BIN)/sam/$$arch.log 2>&1 || \
			{ cat $(BIN)/sam/$$arch.log; exit 1; }; \
	done
	@ls -l $(BIN)/sam/*/*/bootstrap

# -- Terraform
# OpenTofu's go.mod replaces a library, which `go install` does not take; built in its own folder it is as its authors build it.
$(TOFU):
	@mkdir -p $(TOOLS)
	@echo 'building OpenTofu $(TOFU_VERSION) (minutes, once)'
	@cd "$$(cd / && go mod download -json github.com/opentofu/opentofu@$(TOFU_VERSION) | sed -n 's/^\t"Dir": "\(.*\)",$$/\1/p')" && \
		CGO_ENABLED=0 go build -trimpath -ldflags '-s -w -X github.com/opentofu/opentofu/version.dev=no' -o $(TOOLS)/tofu ./cmd/tofu
	@rm -f $(TOOLS)/.tofu-*; touch $@

$(TFLINT):
	$(call install-tool,tflint,github.com/terraform-linters/tflint@$(TFLINT_VERSION))

$(TFSEC):
	$(call install-tool,tfsec,github.com/aquasecurity/tfsec/cmd/tfsec@$(TFSEC_VERSION))

# The schemas of the providers that infra/terraform uses, and nothing behind them: providers themselves are not needed to check it.
$(TFSTUB):
	@mkdir -p $(TOOLS)
	cd .ci/tools/terraform && CGO_ENABLED=0 go build -trimpath -ldflags '-s -w' -o $(TOOLS)/terraform-stub .
	@rm -f $(TOOLS)/.terraform-stub-*; touch $@

# What instances have: the tests run their scripts with it.
$(AWSCLI):
	@mkdir -p $(TOOLS)
	@echo 'installing the AWS CLI'
	rm -rf $(TOOLS)/aws-venv && python3 -m venv $(TOOLS)/aws-venv
	$(TOOLS)/aws-venv/bin/pip install -q --disable-pip-version-check --no-deps --require-hashes -r .ci/tools/terraform/requirements.txt
	cd $(TOOLS) && ln -sf aws-venv/bin/aws aws
	@rm -f $(TOOLS)/.aws-*; touch $@

# terraform-schema reads the types that the files use out of the npm packages of the CDK for Terraform, made from the providers' schemas.
TF_PROVIDERS := aws@21.22.1 random@12.0.1 tls@11.0.1
.PHONY: terraform-schema
terraform-schema: ## write .ci/tools/terraform/schema anew, after infra/terraform began to use another type of resource
	@dir=$$(mktemp -d) && trap 'rm -rf "$$dir"' EXIT && for p in $(TF_PROVIDERS); do \
		name=$${p%@*}; \
		tgz=$$(cd "$$dir" && npm pack --silent "@cdktf/provider-$$p") && \
		types=$$(cat infra/terraform/*.tf infra/terraform/modules/*/*.tf | sed -n "s/^resource \"\($${name}_[a-z0-9_]*\)\".*/\1/p; s/^data \"\($${name}_[a-z0-9_]*\)\".*/data.\1/p" | sort -u) && \
		(cd .ci/tools/terraform && go run ./generate "$$dir/$$tgz" $$types) >"$$dir/$$name.json" && \
		mv "$$dir/$$name.json" .ci/tools/terraform/schema/ || exit 1; \
	done

# The programs that the servers in infra/terraform run, from the module proxy with the checksums of go.sum, for one's own bucket.
.PHONY: cloud-package
cloud-package: ## bin/package: NATS server and Consul agent for infra/terraform (ARCHES; Consul takes minutes), and all SHA-256
	@mkdir -p $(BIN)/package
	@for arch in $(ARCHES); do \
		nats=$$(go list -m -f '{{.Version}}' github.com/nats-io/nats-server/v2); \
		consul=$$(cd .ci/tools/consul && go list -m -f '{{.Version}}' github.com/hashicorp/consul); \
		tree=$(BIN)/package/cloud-$$arch; mkdir -p $$tree/nats/usr/local/bin $$tree/consul/usr/local/bin; \
		echo "building nats-server and consul for $$arch"; \
		GOOS=linux GOARCH=$$arch CGO_ENABLED=0 go build -trimpath -ldflags '-s -w' -o $$tree/nats/usr/local/bin/nats-server github.com/nats-io/nats-server/v2 && \
		(cd .ci/tools/consul && GOOS=linux GOARCH=$$arch CGO_ENABLED=0 go build -trimpath -ldflags '-s -w' -o $$tree/consul/usr/local/bin/consul github.com/hashicorp/consul) && \
		for p in nats-server_$${nats#v}:nats consul_$${consul#v}:consul; do \
			find $$tree/$${p#*:} -exec touch -h -d @$(EPOCH) {} + && \
			tar -C $$tree/$${p#*:} --sort=name --owner=0 --group=0 --numeric-owner --format=ustar -cf - usr | gzip -n -9 >$(BIN)/package/$${p%:*}_$$arch.tar.gz || exit 1; \
		done; \
	done
	@cd $(BIN)/package && sha256sum *.tar.gz

# -- packages and Compose
# The server that nodes are tested with, as a program.
$(NATS):
	@mkdir -p $(TOOLS)
	@echo 'building nats-server $(NATS_VERSION)'
	CGO_ENABLED=0 go build -trimpath -ldflags '-s -w' -o $(TOOLS)/nats-server github.com/nats-io/nats-server/v2
	@rm -f $(TOOLS)/.nats-server-*; touch $@

# What `docker build --check` does, without Docker.
$(DOCKERCHECK):
	@mkdir -p $(TOOLS)
	@echo 'building dockercheck'
	cd .ci/tools/dockerfile && CGO_ENABLED=0 go build -trimpath -ldflags '-s -w' -o $(TOOLS)/dockercheck .
	@rm -f $(TOOLS)/.dockercheck-*; touch $@

.PHONY: compose
compose: ## start infra/compose with Docker: three nodes, what they share, a balancer, Prometheus and Grafana (Ctrl-C stops it)
	@docker compose version >/dev/null 2>&1 || { echo "make compose needs Docker with its Compose plugin: https://docs.docker.com/engine/install/" >&2; exit 1; }
	VERSION=$(VERSION) docker compose -f infra/compose/compose.yaml up --build

# -- Kubernetes
# One module: what the three have in common is compiled once. Helm is told which Kubernetes it is made for, as its own releases are.
$(KUBERNETES):
	@mkdir -p $(TOOLS)
	@echo 'building helm, kubectl and kubecheck (minutes, once)'
	cd .ci/tools/kubernetes && helm=helm.sh/helm/v3 && minor=$$(go list -m -f '{{.Version}}' k8s.io/kubernetes | cut -d. -f2) && \
	go build -ldflags "-s -w -X $$helm/internal/version.version=$$(go list -m -f '{{.Version}}' $$helm) -X $$helm/pkg/chartutil.k8sVersionMajor=1 \
		-X $$helm/pkg/chartutil.k8sVersionMinor=$$minor -X $$helm/pkg/lint/rules.k8sVersionMajor=1 -X $$helm/pkg/lint/rules.k8sVersionMinor=$$minor" \
		-o $(TOOLS)/helm $$helm/cmd/helm && \
	go build -ldflags '-s -w' -o $(TOOLS)/kubectl k8s.io/kubernetes/cmd/kubectl && \
	go build -ldflags '-s -w' -o $(TOOLS)/kubecheck .
	@rm -f $(TOOLS)/.kubernetes-*; touch $@

# -- observability and releases
$(ACTIONLINT):
	$(call install-tool,actionlint,github.com/rhysd/actionlint/cmd/actionlint@$(ACTIONLINT_VERSION))

# Of the ways to find what to scrape, Consul is the one that is used here: without the others it takes half as long to build.
$(PROMETHEUS):
	@mkdir -p $(TOOLS)
	@echo 'building Prometheus and promtool (minutes, once)'
	cd .ci/tools/prometheus && CGO_ENABLED=0 go build -tags remove_all_sd,enable_consul_sd -trimpath -ldflags '-s -w' -o $(TOOLS)/ \
		github.com/prometheus/prometheus/cmd/prometheus github.com/prometheus/prometheus/cmd/promtool
	@rm -f $(TOOLS)/.prometheus-*; touch $@

$(CYCLONEDX):
	@mkdir -p $(TOOLS)
	@echo 'building cyclonedx-gomod'
	cd .ci/tools/release && CGO_ENABLED=0 go build -trimpath -ldflags '-s -w' -o $(TOOLS)/ github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod
	@rm -f $(TOOLS)/.cyclonedx-gomod-*; touch $@

$(ZIZMOR):
	@mkdir -p $(TOOLS)
	@echo 'installing zizmor'
	rm -rf $(TOOLS)/zizmor-venv && python3 -m venv $(TOOLS)/zizmor-venv
	$(TOOLS)/zizmor-venv/bin/pip install -q --disable-pip-version-check --no-deps --require-hashes -r .ci/tools/release/requirements.txt
	ln -sf zizmor-venv/bin/zizmor $(TOOLS)/zizmor
	@rm -f $(TOOLS)/.zizmor-*; touch $@

$(GRAFANA): .ci/tools/grafana/package-lock.json
	cd .ci/tools/grafana && npm ci --ignore-scripts --no-audit --no-fund
	touch $@

# Made in a folder of its own, so that nothing of an earlier version gets in.
RELEASE_SYSTEMS ?= darwin/arm64 darwin/amd64 windows/amd64# besides Linux
.PHONY: release
release: $(CYCLONEDX) ## bin/release: packages, archives for other systems, their parts (SBOM) and SHA256SUMS, as the tag VERSION=v1.2.3
	@echo '$(VERSION)' | grep -Eqx 'v[0-9]+\.[0-9]+\.[0-9]+(-[0-9A-Za-z.-]+)?' && ! echo '$(VERSION)' | grep -Eq -e '-(dirty|[0-9]+-g[0-9a-f]+)' || \
		{ echo 'release: "$(VERSION)" is not the version of a tag; say which: make release VERSION=v1.2.3' >&2; exit 2; }
	@rm -rf $(BIN)/release-parts
	@$(MAKE) --no-print-directory package BIN=$(BIN)/release-parts TOOLS=$(TOOLS) >/dev/null
	@sh infra/release/release.sh '$(VERSION)' $(EPOCH) $(BIN)/release-parts/package $(BIN)/release $(TOOLS) '$(RELEASE_SYSTEMS)'
	@cat $(BIN)/release/SHA256SUMS

# ---- packages ---------------------------------------------------------------------------------------------------------

.PHONY: package
package: $(addprefix lambda-,$(LAMBDAS)) $(addprefix mediad-,$(ARCHES)) ## bin/package: Lambda zips, mediad as .deb and as .tar.gz with its systemd unit
	@ls -l $(BIN)/package/*.zip $(BIN)/package/*.deb $(BIN)/package/*.tar.gz

# provided.al2023 wants one file named bootstrap at the top of the archive. NAME.zip is for arm64; folders are for `sam build`.
.PHONY: $(addprefix lambda-,$(LAMBDAS))
$(addprefix lambda-,$(LAMBDAS)): lambda-%:
	@for arch in arm64 x86_64; do \
		case $$arch in arm64) goarch=arm64 zip=$(BIN)/package/$*.zip ;; *) goarch=amd64 zip=$(BIN)/package/$*-$$arch.zip ;; esac; \
		dir=$(BIN)/package/lambda/$$arch/$*; rm -rf "$$dir" "$$zip"; mkdir -p "$$dir"; \
		GOOS=linux GOARCH=$$goarch CGO_ENABLED=0 go build -tags lambda.norpc -trimpath -ldflags '$(LDFLAGS)' -o "$$dir/bootstrap" ./functions/$*; \
		chmod 755 "$$dir/bootstrap"; TZ=UTC touch -d @$(EPOCH) "$$dir/bootstrap"; cp functions/sam.mk "$$dir/Makefile"; \
		(cd "$$dir" && TZ=UTC zip -q -X "$$zip" bootstrap); \
	done

.PHONY: $(addprefix mediad-,$(ARCHES))
$(addprefix mediad-,$(ARCHES)): mediad-%:
	@GOOS=linux GOARCH=$* CGO_ENABLED=0 go build -trimpath -ldflags '$(LDFLAGS)' -o $(BIN)/package/mediad-$*/mediad ./mediad
	@sh infra/systemd/package.sh $* '$(VERSION)' $(EPOCH) $(BIN)/package

.PHONY: clean
clean: ## remove what was built (the tools in bin/tools stay)
	rm -rf $(BIN)/mediad $(BIN)/package $(BIN)/sam $(BIN)/release $(BIN)/release-parts
