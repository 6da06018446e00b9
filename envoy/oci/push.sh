#!/bin/sh
# Copies what pack.py and sign.py made to a registry, byte for byte: push.sh LAYOUT REPOSITORY VERSION [skopeo's options]
# The image becomes REPOSITORY:VERSION, the artifact REPOSITORY:VERSION-artifact; signatures keep their tags. A version's
# tag that is there already is not moved to other contents: gateways do not look it up again.
set -eu
layout=$1 repository=$2 version=$3
shift 3

# Whether a tag is in the registry, and with a manifest that the layout has not.
is_of_another() {
    # skopeo's options for a destination, without the prefix that its copy command alone wants.
    # shellcheck disable=SC2046
    skopeo inspect --raw $(printf '%s\n' "$@" | sed 's/^--dest-/--/') "docker://$to" >"$manifest" 2>/dev/null || return 1
    [ ! -e "$layout/blobs/sha256/$(sha256sum <"$manifest" | cut -d ' ' -f 1)" ]
}

manifest=$(mktemp)
trap 'rm -f "$manifest"' EXIT
tags=$(python3 -c '
import json, sys
for entry in json.load(open(sys.argv[1] + "/index.json"))["manifests"]:
    print(entry["annotations"]["org.opencontainers.image.ref.name"])' "$layout")
for tag in $tags; do
    case $tag in
        image) to=$repository:$version ;;
        artifact) to=$repository:$version-artifact ;;
        *) to=$repository:$tag ;;
    esac
    case $tag in
        image | artifact) ! is_of_another "$@" || { echo "$to is there already, with other contents" >&2; exit 1; } ;;
    esac
    skopeo copy --quiet --preserve-digests "$@" "oci:$layout:$tag" "docker://$to"
    echo "$to"
done
