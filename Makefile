# What people and .ci/run call. A Debian machine needs git, make and Go; "make
# test" installs everything else it uses (integration/install.sh) and says so.
# Go fetches the modules, staticcheck, and a newer Go itself if go.mod asks.

VERSION  ?= $(shell git describe --tags --always --abbrev=12 --dirty 2>/dev/null || echo dev)
FUZZTIME ?= 10s

# Of the man pages and all files of a release: the same commit gives the same bytes.
SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct 2>/dev/null || echo 315532800)
MAINTAINER        ?= The sluice authors <sluice@sluice.example>

# Of make install: DESTDIR stands in front of every path, and of none in a file.
PREFIX  ?= /usr/local
DESTDIR ?=
BENCH    ?= .
CHAOS    ?= 5m
DIFFTIME ?= 1h

# Of make soak: how long, how many at once, and ws or wss.
SOAK_TIME     ?= 10m
SOAK_SESSIONS ?= 5000
SOAK_SCHEME   ?= ws

# Of make many: how many at once.
MANY_SESSIONS ?= 20000

# Of make slow: how many idle clients; a fifth as many have half a head, a fiftieth upload.
SLOW_CLIENTS ?= 10000

# Of make early: how many uploads of each kind.
EARLY_ANSWERS ?= 100

# Of make reloads: how many, and under how many sessions.
RELOADS         ?= 100
RELOAD_SESSIONS ?= 2000

# Of make restart-soak: the same.
RESTARTS         ?= 50
RESTART_SESSIONS ?= 5000

# Of make mix: how long, and how many clients at once.
MIX_TIME    ?= 10m
MIX_CLIENTS ?= 64

COVERAGE    := $(CURDIR)/bin/coverage
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2

# How many tests of a package run at once. Those of integration mostly wait.
PARALLEL := 4

# What of the integration tests "make test" runs on the portable engine too.
PORTABLE := Stop|Soak|Seats|Limit|Traffic|Idle|Lifetime|Pings|Dies|Shutdown|Reload$$|Violations

.PHONY: build manual install install-documents uninstall release packages test-packages images demo test test-short test-portable test-records-go test-http-go testssl chaos soak many slow early reloads restart-soak test-windows mix lint fuzz fuzz-differential bench microbench schema clean help
.PHONY: run-tests run-budgets run-moving run-portable show-coverage
.NOTPARALLEL: # the parts of make test load the machine, and each other

# Not LDFLAGS: what builds packages exports that for C.
GO_LDFLAGS ?=

build: ## bin/sluice, one static binary
	CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags '$(GO_LDFLAGS) -X main.version=$(VERSION)' -o bin/sluice ./cmd/sluice

manual: ## bin/manual: man pages, completions, JSON Schema
	rm -rf bin/manual
	SOURCE_DATE_EPOCH=$(SOURCE_DATE_EPOCH) go run -tags=manual ./cmd/sluice manual bin/manual

# It builds nothing: root may have no Go.
install: ## what "make build manual" has made, below PREFIX (/usr/local), and /etc/sluice/sluice.yaml unless it is there
	@test -x bin/sluice -a -d bin/manual || { echo "there is nothing to install: first run make build manual, without sudo" >&2; exit 1; }
	install -d -m 755 $(addprefix $(DESTDIR)$(PREFIX)/,$(sort $(dir $(INSTALLED))) share/sluice share/man/man1) $(DESTDIR)/etc/sluice
	install -m 755 bin/sluice $(DESTDIR)$(PREFIX)/bin/sluice
	install -m 644 bin/manual/man1/*.1 $(DESTDIR)$(PREFIX)/share/man/man1
	install -m 644 bin/manual/completions/sluice.bash $(DESTDIR)$(PREFIX)/share/bash-completion/completions/sluice
	install -m 644 bin/manual/completions/_sluice $(DESTDIR)$(PREFIX)/share/zsh/site-functions/_sluice
	install -m 644 bin/manual/completions/sluice.fish $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/sluice.fish
	install -m 644 bin/manual/sluice.schema.json $(DESTDIR)$(PREFIX)/share/sluice/sluice.schema.json
	@$(MAKE) --no-print-directory install-documents
	sed 's|/usr/|$(PREFIX)/|g' packaging/systemd/sluice.service | install -m 644 /dev/stdin $(DESTDIR)$(PREFIX)/lib/systemd/system/sluice.service
	sed 's|/usr/|$(PREFIX)/|g' packaging/systemd/sluice.socket | install -m 644 /dev/stdin $(DESTDIR)$(PREFIX)/lib/systemd/system/sluice.socket
	test -e $(DESTDIR)/etc/sluice/sluice.yaml || sed 's|/usr/|$(PREFIX)/|g' packaging/sluice.yaml | install -m 644 /dev/stdin $(DESTDIR)/etc/sluice/sluice.yaml

# Where the repository has them, so that links of pages lead to what is there.
install-documents:
	install -d -m 755 $(addprefix $(DESTDIR)$(PREFIX)/share/doc/sluice/,bench packaging)
	install -m 644 LICENSE README.md CHANGELOG.md CONTRIBUTING.md Dockerfile config.example.yaml $(DESTDIR)$(PREFIX)/share/doc/sluice
	install -m 644 bench/README.md $(DESTDIR)$(PREFIX)/share/doc/sluice/bench
	cp -R docs $(DESTDIR)$(PREFIX)/share/doc/sluice/
	cp -R packaging/compose packaging/grafana packaging/prometheus packaging/systemd $(DESTDIR)$(PREFIX)/share/doc/sluice/packaging/
	chmod -R u=rwX,go=rX $(DESTDIR)$(PREFIX)/share/doc/sluice

uninstall: ## what make install has installed, but not /etc/sluice and /var/lib/sluice
	rm -rf $(addprefix $(DESTDIR)$(PREFIX)/,$(INSTALLED) share/sluice share/doc/sluice share/man/man1/sluice.1 share/man/man1/sluice-*.1)

INSTALLED := bin/sluice lib/systemd/system/sluice.service lib/systemd/system/sluice.socket share/bash-completion/completions/sluice share/zsh/site-functions/_sluice share/fish/vendor_completions.d/sluice.fish

RELEASE = GOTOOLCHAIN=go$$(go list -m -f '{{.GoVersion}}') go run ./packaging/release -version '$(VERSION)' -epoch '$(SOURCE_DATE_EPOCH)' -maintainer '$(MAINTAINER)'

release: ## bin/release: archives for five systems, packages, SBOMs, checksums
	$(RELEASE) -out bin/release

packages: ## bin/packages: for Debian and for systems with RPM, on amd64 and arm64
	$(RELEASE) -out bin/packages -packages -platforms linux_amd64,linux_arm64

test-packages: ## the packages in a Debian that is made for it: as root, with debootstrap; else it says what is missing
	packaging/test env $(RELEASE)

images: ## a container image for linux/amd64 and linux/arm64, as an OCI archive in bin: needs docker buildx
	mkdir -p bin
	docker buildx build --platform=linux/amd64,linux/arm64 --tag=sluice:'$(VERSION)' --output=type=oci,dest=bin/sluice-image.tar \
		--build-arg=VERSION='$(VERSION)' --build-arg=CREATED="$$(TZ=UTC git log -1 --date=format-local:%FT%TZ --format=%cd)" .

demo: build ## a page, an echo and a chat behind the gateway, on this machine only
	bin/sluice demo

# All parts run, whatever fails before; make fails at the end.
test: ## all tests with the race detector, integration included
	integration/install.sh
	@$(MAKE) --no-print-directory --keep-going run-tests run-budgets run-moving run-portable show-coverage

# -count=1: the integration tests run a binary that the test cache does not see.
run-tests:
	rm -rf $(COVERAGE)
	mkdir -p $(COVERAGE)
	CGO_ENABLED=1 GOCOVERDIR=$(COVERAGE) go test -race -count=1 -timeout=30m -parallel=$(PARALLEL) ./...

# These tests skip themselves under the race detector, which takes memory by itself.
run-budgets:
	go test -count=1 -run='Alloc|TakeNotAllMemory' ./proxy/... ./internal/... ./route ./integration

# What holds for sessions of the loops holds too while they move, as from one process to another.
run-moving:
	CGO_ENABLED=1 go test -race -count=1 -timeout=30m ./proxy/relay/epoll -args -moving

# Both commands wait more than they work: they run beside each other.
run-portable:
	status=0; export CGO_ENABLED=1; \
	go test -race -count=1 -timeout=30m -tags=portable ./proxy ./proxy/relay/... & packages=$$!; \
	go test -race -count=1 -timeout=30m -tags=portable -parallel=$(PARALLEL) -run='$(PORTABLE)' ./integration || status=1; \
	wait $$packages || status=1; \
	exit $$status

show-coverage:
	@echo "covered by the integration tests:"
	@go tool covdata percent -i=$(COVERAGE)

test-short: ## the tests that use nothing but Go and gcc; the others say why they do not run
	CGO_ENABLED=1 go test -race -short -count=1 -timeout=30m -parallel=$(PARALLEL) ./...

chaos: ## endpoints come and go for CHAOS (5m); make test has a moment of it
	CGO_ENABLED=1 SLUICE_CHAOS=$(CHAOS) go test -race -count=1 -timeout=15m -run='^TestChaos$$' -v ./proxy

test-portable: ## all tests that meet the relay, on the engine for other systems than Linux
	integration/install.sh
	CGO_ENABLED=1 go test -race -count=1 -timeout=30m -tags=portable -parallel=$(PARALLEL) ./proxy ./proxy/relay/... ./integration

test-records-go: ## all integration tests with the TLS records of sessions left to crypto/tls
	integration/install.sh
	CGO_ENABLED=1 SLUICE_TLS_RECORDS=go go test -race -count=1 -timeout=30m -parallel=$(PARALLEL) ./integration

test-http-go: ## all integration tests with http.engine: go
	integration/install.sh
	CGO_ENABLED=1 SLUICE_HTTP_ENGINE=go go test -race -count=1 -timeout=30m -parallel=$(PARALLEL) ./integration

testssl: ## testssl.sh against the gateway: minutes, so make test leaves it out
	integration/install.sh
	CGO_ENABLED=1 SLUICE_TESTSSL=1 go test -race -count=1 -timeout=30m -run='^TestTestssl$$' ./integration

soak: ## SOAK_SESSIONS (5000) come and go in every way for SOAK_TIME (10m), over SOAK_SCHEME (ws)
	SOAK_TIME=$(SOAK_TIME) SOAK_SESSIONS=$(SOAK_SESSIONS) SOAK_SCHEME=$(SOAK_SCHEME) \
		go test -v -count=1 -timeout=0 -run='^TestSoak$$' ./integration

many: ## operators list and end MANY_SESSIONS (20000), or as many as the descriptors allow
	MANY_SESSIONS=$(MANY_SESSIONS) go test -v -count=1 -timeout=30m -run='^TestManySessions$$' ./integration

early: ## EARLY_ANSWERS (100) uploads of each kind that are answered before they have come
	CGO_ENABLED=1 EARLY_ANSWERS=$(EARLY_ANSWERS) \
		go test -race -v -count=1 -timeout=0 -run='^TestEarlyAnswersOnTheLoops$$' ./integration

slow: ## SLOW_CLIENTS (10000) idle clients, half heads and slow uploads; others are served meanwhile
	SLOW_CLIENTS=$(SLOW_CLIENTS) go test -v -count=1 -timeout=0 -run='^TestManySlowClients$$' ./integration

reloads: ## RELOADS (100) reloads under RELOAD_SESSIONS (2000) sessions: exactly those end that have to
	SLUICE_RELOADS=$(RELOADS) SLUICE_RELOAD_SESSIONS=$(RELOAD_SESSIONS) go test -v -count=1 -timeout=0 -run='^TestManyReloads$$' ./integration

restart-soak: ## RESTARTS (50) restarts under RESTART_SESSIONS (5000) sessions that echo: none ends, and no byte is lost
	RESTARTS=$(RESTARTS) RESTART_SESSIONS=$(RESTART_SESSIONS) go test -v -count=1 -timeout=0 -run='^TestRestartsUnderLoad$$' ./integration

test-windows: ## the Windows tests of the portable relay, in Wine
	integration/windows.sh

mix: ## requests of all kinds on the loops for MIX_TIME (10m), of MIX_CLIENTS (64), in chaos
	CGO_ENABLED=1 MIX_TIME=$(MIX_TIME) MIX_CLIENTS=$(MIX_CLIENTS) \
		go test -race -v -count=1 -timeout=0 -run='^TestMix$$' ./integration

# A package at a version is run with the Go of its own go.mod unless told otherwise.
lint: ## formatting, vet for three systems, staticcheck, go.mod
	@files=$$(gofmt -l .); test -z "$$files" || { echo "not formatted, run: gofmt -w" $$files >&2; exit 1; }
	go vet ./...
	go vet -tags=manual ./cmd/sluice
	GOOS=darwin go vet ./...
	GOOS=windows go vet ./...
	GOTOOLCHAIN=$$(go env GOVERSION) go run $(STATICCHECK) ./...
	go mod tidy -diff

fuzz: ## every fuzz target for FUZZTIME (10s)
	@grep -rHo --include='*_test.go' '^func Fuzz[[:alnum:]_]*' . | sed 's|/[^/]*:func | |' | sort | \
	while read -r package target; do \
		echo "$$package $$target"; \
		go test -run='^$$' -fuzz="^$$target\$$" -fuzztime=$(FUZZTIME) -fuzzminimizetime=1x "$$package" </dev/null || exit 1; \
	done

fuzz-differential: ## what the loops forward, read by net/http, Node.js and h11, for DIFFTIME (1h)
	integration/install.sh
	CGO_ENABLED=1 SLUICE_DIFFERENTIAL=$(DIFFTIME) go test -race -count=1 -timeout=0 -run='^TestForwardedRequestsReadTheSame$$' -v ./integration

bench: build ## sluice beside nginx, haproxy and Caddy, as in docs/performance.md
	bench/install.sh
	bench/run

microbench: ## Go benchmarks that match BENCH (all)
	go test -run='^$$' -bench='$(BENCH)' -p=1 $$(go list ./... | grep -v /integration)

schema: build ## sluice.schema.json, for editors of config.example.yaml
	bin/sluice schema --write .

clean: ## removes bin
	rm -rf bin

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(firstword $(MAKEFILE_LIST)) | expand -t 18
