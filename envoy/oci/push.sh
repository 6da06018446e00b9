#!/bin/sh
# Copies what pack.py and sign.py made to a registry, byte for byte: push.sh LAYOUT REPOSITORY VERSION [skopeo's options]
# The image becomes REPOSITORY:VERSION, the artifact REPOSITORY:VERSION-artifact; signatures keep their tags.
set -eu
layout=$1 repository=$2 version=$3
shift 3
tags=$(python3 -c '
import json, sys
for entry in json.load(open(sys.argv[1] + "/index.json"))["manifests"]:
    print(entry["annotations"]["org.opencontainers.image.ref.name"])' "$layout")
for tag in $tags; do
    case $tag in
        image) to=$version ;;
        artifact) to=$version-artifact ;;
        *) to=$tag ;;
    esac
    skopeo copy --quiet --preserve-digests "$@" "oci:$layout:$tag" "docker://$repository:$to"
    echo "$repository:$to"
done
