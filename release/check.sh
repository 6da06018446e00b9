#!/bin/sh
# What must hold before a tag: check.sh VERSION TAG RUST_VERSION MODULE LINKED MOST_BYTES
# MODULE was built in this directory, from LINKED, which still has the names of functions. It is built again from the last
# commit, in another directory, with libraries fetched anew.
set -eu
version=$1 tag=$2 rust=$3 module=$4 linked=$5 most=$6

holds() { echo "holds: $1"; }
fails() { echo "does not hold: $1" >&2; exit 1; }

[ -z "$(git status --porcelain)" ] || fails "nothing is left to commit"
holds "nothing is left to commit"

[ "$tag" = "v$version" ] || fails "the tag $tag is v$version, which Cargo.toml has"
! at=$(git rev-parse --quiet --verify "refs/tags/$tag^{commit}") || [ "$at" = "$(git rev-parse HEAD)" ] ||
    fails "$tag is not another commit's already"
holds "the tag is $tag, which is Cargo.toml's version, and no other commit has it"

grep -Eq "^## \[$version\] - [0-9]{4}-[0-9]{2}-[0-9]{2}$" CHANGELOG.md || fails "CHANGELOG.md has a section [$version] with a date"
holds "CHANGELOG.md has the version's section"

! grep -rnE '(:|@|tag: *"?)latest\b' envoy .github release || fails "nothing that is shipped says latest"
holds "nothing that is shipped says latest"

rustc --version | grep -q "^rustc $rust " || fails "the compiler is $rust; it is $(rustc --version)"
holds "the compiler is $rust"

size=$(wc -c <"$module")
[ "$size" -le "$most" ] || fails "the module has at most $most bytes; it has $size"
holds "the module has $size bytes, of at most $most"

# Its arithmetic is num-bigint-dig's, that of 0.10 is crypto-bigint's.
grep -q crypto_bigint "$linked" || fails "the linked module has names of functions"
! grep -q num_bigint_dig "$linked" || fails "nothing of rsa 0.9 is in the module (RUSTSEC-2023-0071)"
holds "nothing of rsa 0.9 is in the module"

elsewhere=$(mktemp -d)
trap 'rm -rf "$elsewhere"' EXIT
git clone --quiet . "$elsewhere/a copy"
# Of the machine it shares the compiler alone.
CARGO_HOME="$elsewhere/cargo" make --no-print-directory --directory "$elsewhere/a copy" build >"$elsewhere/log" 2>&1 ||
    { cat "$elsewhere/log" >&2; fails "it builds elsewhere"; }
here=$(sha256sum <"$module") there=$(sha256sum <"$elsewhere/a copy/$module")
[ "$here" = "$there" ] || fails "two builds in two directories have one SHA-256; they have $here and $there"
holds "two builds in two directories have one SHA-256, ${here%% *}"
