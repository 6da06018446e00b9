#!/bin/sh
# Prints the notes of a release: notes.sh VERSION DIST OCI. What changed, by CHANGELOG.md, and which digest is which.
set -eu
version=$1 dist=$2 oci=$3
awk -v heading="## [$version]" 'index($0, heading) == 1 {on = 1; next} /^## / {on = 0} on' CHANGELOG.md
digest() {
    python3 -c '
import json, sys
for entry in json.load(open(sys.argv[1] + "/index.json"))["manifests"]:
    if entry["annotations"]["org.opencontainers.image.ref.name"] == sys.argv[2]:
        print(entry["digest"])' "$oci" "$1"
}
cat <<END

| what | digest | for |
|---|---|---|
| image | \`$(digest image)\` | pinning the image: \`ghcr.io/..@sha256:..\` |
| artifact | \`$(digest artifact)\` | pinning the artifact |
| module | \`$(awk '/\.wasm$/ {print $1}' "$dist/SHA256SUMS")\` | \`sha256\` beside a file or an \`https://\` address, in Envoy and Istio |
END
