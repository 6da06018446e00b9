#!/bin/sh
# Packs what is released: pack.sh MODULE COMMAND LICENCES SBOM VERSION SECONDS OUT
# OUT gets the module by itself, the archive with all of it, and SHA256SUMS, which lists both. SECONDS, since 1970, is the
# time that every file in the archive has. The same files give the same bytes.
set -eu
module=$1 command=$2 licences=$3 sbom=$4 version=$5 seconds=$6 out=$7
root=$(dirname "$0")/..
name=portcullis-$version
staging=$(mktemp -d)
trap 'rm -rf "$staging"' EXIT
mkdir -p "$staging/$name" "$out"

cp "$module" "$staging/$name/portcullis.wasm"
cp "$command" "$staging/$name/portcullis"
cp "$licences" "$staging/$name/LICENSES-OF-LIBRARIES.txt"
cp "$sbom" "$staging/$name/bom.json"
# Side by side with the module, as Envoy finds them when it is started there.
cp "$root"/envoy/minimal*.yaml "$root/docs/policy.schema.json" "$root/LICENSE" "$root/CHANGELOG.md" "$staging/$name"
"$command" man "$staging/$name/man" >/dev/null
# For pages; they serve it themselves.
cp -R "$root/envoy/passkeys" "$staging/$name"

machine=$(uname -m)-$(uname -s | tr '[:upper:]' '[:lower:]')
cp "$module" "$out/$name.wasm"
tar --create --directory "$staging" --format ustar --sort name --mtime "@$seconds" --owner 0 --group 0 --numeric-owner \
    --mode 'u=rwX,go=rX' "$name" | gzip --no-name --best >"$out/$name-$machine.tar.gz"
cd "$out"
sha256sum "$name.wasm" "$name-$machine.tar.gz" >SHA256SUMS
