# Everything a developer of Cordon runs. `make demo` and `make test` need Go and npm, nothing else.

export CGO_ENABLED ?= 0
GO      ?= go
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
SOURCES := $(shell find . -name '*.go' -not -path './.cache/*') go.mod go.sum $(shell find . -name '*.sql' -not -path './.cache/*') $(shell find internal/web/dist -type f)

.PHONY: demo build deps web boards picture test browse race real targets lint bench fuzz mutate clean help

help: ## this list
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 10

demo: bin/cordon ## the whole story on an emulated lab, in under a minute
	bin/cordon demo

build: bin/cordon ## bin/cordon

bin/cordon: $(SOURCES) | deps
	$(GO) build -trimpath -ldflags '-s -w -X main.version=$(VERSION)' -o $@ ./cmd/cordon

deps: ## fetch the pinned ClickHouse library and the Go modules into caches; a second run fetches nothing
	@scripts/fetch-chdb.sh
	@$(GO) mod download

web: ## check and bundle the pages of internal/web/ui; the bundle is kept in the repository
	scripts/web.sh

boards: ## write the Grafana boards of deployments/grafana/boards; they are kept in the repository
	$(GO) run ./scripts/boards

picture: deps ## draw the pictures of the README: the pages of the demo's lab in a browser
	CORDON_PICTURES=1 $(GO) test -count=1 -run 'TestDrawPictures$$' ./e2e

# -w leaves out the tables for debuggers, a third of what linking forty test binaries takes.
test: deps ## all tests
	$(GO) test -ldflags=-w -timeout 60m ./...

browse: deps ## the pages in a browser, each in light and dark, by keyboard, and what each gives to copy
	CORDON_WEB_ALL=1 $(GO) test -count=1 -run 'TestWeb$$' ./e2e

race: deps ## the packages that run goroutines, under the race detector (needs a C compiler)
	CGO_ENABLED=1 $(GO) test -race -timeout 60m ./categories/... ./collector/... ./ingest/... ./internal/...

real: deps ## tests against real exporters: softflowd and pmacctd must be installed
	CORDON_REAL_EXPORTERS=1 $(GO) test -count=1 -run 'Softflowd|Pmacctd' ./e2e

targets: ## what is written for Kubernetes and Cilium, judged by their own code (downloads and builds it: minutes, once)
	cd recommender/target/kubernetestest && CGO_ENABLED=0 $(GO) test -count=1 ./...

lint: ## gofmt, go vet, staticcheck, and functions that no program reaches
	@files=$$(gofmt -l $$(git ls-files '*.go')); test -z "$$files" || { echo "gofmt wants:" $$files >&2; exit 1; }
	$(GO) vet ./...
	$(GO) tool staticcheck ./...
	@dead=$$($(GO) tool deadcode ./cmd/... ./scripts/...); test -z "$$dead" || { echo "$$dead" >&2; exit 1; }

bench: bin/cordon ## the figures of docs/benchmarks.md, side by side in one run of ten minutes
	@$(GO) run ./scripts/bench $(BENCHFLAGS)

fuzz: deps ## a minute of every fuzz target, then the slow properties on draws of their own
	scripts/fuzz.sh 60s

mutate: ## seed a hundred faults, one at a time, into what decides about cells and covers them, and list what no test finds
	$(GO) run ./scripts/mutate -faults 100 -seed 1 ./recommender/decide ./recommender/cells ./recommender/prefixcover ./recommender/cover ./recommender/cover/check

clean: ## remove what was built; caches stay
	rm -rf bin
