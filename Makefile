# Runner: the two commands of the README are `make demo` and `make test`.

GO       ?= go
VERSION  ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS  := -s -w -X github.com/runnerml/runner/internal/program.version=$(VERSION)
TOOLS    := $(CURDIR)/bin/tools
LINT     := $(TOOLS)/golangci-lint
LINT_VERSION := v2.15.0
SOAK_RUNS ?= 200
CROSS    ?= linux/amd64 linux/arm64 darwin/arm64 darwin/amd64

.PHONY: build demo test unit lint deps cross cross-vet bench soak conformance generate clean

build: ## one static binary, bin/runner
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/runner ./cmd/runner

demo: build ## a real training run on this computer, from nothing
	@sh hack/demo-deps.sh
	bin/runner submit examples/sklearn/job.yaml
	@echo
	bin/runner show @last
	bin/runner outputs @last

test: deps build cross cross-vet lint unit ## everything that CI runs; installs what it needs when run as root

deps:
	$(GO) run ./internal/testenv/cmd/testenv install

unit: ## with the race detector; one package more at a time than there are processors, as some mostly wait
	$(GO) test -race -p $$(( $$(getconf _NPROCESSORS_ONLN) + 2 )) -timeout 40m ./...

lint: $(LINT)
	$(LINT) run

$(LINT):
	GOBIN=$(TOOLS) $(GO) install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(LINT_VERSION)

cross: $(CROSS:%=cross/%) ## this version for other platforms, bin/runner-OS-ARCH, as machines over SSH need it

cross/%:
	CGO_ENABLED=0 GOOS=$(word 1,$(subst /, ,$*)) GOARCH=$(word 2,$(subst /, ,$*)) \
		$(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/runner-$(subst /,-,$*) ./cmd/runner

cross-vet: ## all of it, tests too, must compile where no test runs
	CGO_ENABLED=0 GOOS=darwin GOARCH=arm64 $(GO) vet ./...

bench: build ## ratios to the bare tools, measured in the same run
	$(GO) run ./internal/bench

soak: build deps ## the kill test at its full count
	RUNNER_SOAK_RUNS=$(SOAK_RUNS) $(GO) test -count=1 -timeout 60m -run TestKill -skip TestKillBlob -v ./internal/killtest/ ./backends/cluster/slurm/
	RUNNER_BLOB_KILLS=50 $(GO) test -count=1 -timeout 60m -run 'TestKill$$' -v ./internal/blob/
	RUNNER_BLOB_KILLS=50 $(GO) test -count=1 -timeout 60m -run TestKillBlob -v ./internal/killtest/

conformance: deps ## the conformance suite over SSH in all its forms, whole
	RUNNER_CONFORMANCE=full $(GO) test -count=1 -timeout 60m ./backends/...

generate:
	$(GO) generate ./...

clean:
	rm -rf bin
