#!/bin/sh
# Makes what the demo needs before its Envoy starts: the filter's module, the demo's tool, and what nobody should commit,
# a certificate, signing keys and API keys. `make run` and envoy/docker-compose.yaml call it. What is there is kept, so
# another time takes seconds.
#
# PORTCULLIS_MODULE                        a module to take as it is; without it, one is built
# PORTCULLIS_PROFILE, PORTCULLIS_FEATURES  how it is built; by default, as it is released
# PORTCULLIS_DEMO_DIR, CARGO_TARGET_DIR    where things go
set -eu
cd "$(dirname "$0")/../.."
demo=${PORTCULLIS_DEMO_DIR:-.demo}
built=${CARGO_TARGET_DIR:-target}
triple=wasm32-wasip1
profile=${PORTCULLIS_PROFILE:-release}

step() { echo "demo: $*"; }

module=${PORTCULLIS_MODULE:-}
if [ -n "$module" ]; then
  [ -f "$module" ] || { echo "demo: there is no module at $module" >&2; exit 1; }
else
  step "building the filter; the first time takes about 2 minutes"
  [ -d "$(rustc --print sysroot)/lib/rustlib/$triple" ] || rustup target add $triple
  # It is taken as cargo links it. `make build` has it optimized for size, too.
  cargo build --locked --profile "$profile" --features "${PORTCULLIS_FEATURES:-}" --target $triple --lib
  module=$built/$triple/$profile/portcullis.wasm
fi
step "building its tools; the first time takes about 3 minutes"
cargo build --locked --example demo
cargo build --locked --features cli --bin portcullis

step "making keys"
mkdir -p -m 700 "$demo"
cp "$module" "$demo/portcullis.wasm.new"
mv "$demo/portcullis.wasm.new" "$demo/portcullis.wasm"
"$built/debug/examples/demo" setup
"$built/debug/portcullis" check "$demo/policy.yaml"
