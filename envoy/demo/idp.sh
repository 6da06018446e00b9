#!/bin/sh
# Installs the authorization server's packages in the folder that it is started in, unless they are there, and starts it.
# usage: idp.sh PACKAGES, a folder with package.json and package-lock.json
set -eu
here=$(dirname "$0")
if ! cmp -s "$1/package-lock.json" installed.json; then
  echo "idp: installing the authorization server; a few seconds"
  cp "$1/package.json" "$1/package-lock.json" .
  npm ci --silent --omit=dev --ignore-scripts --prefer-offline --no-audit --no-fund
  cp package-lock.json installed.json
fi
# Node looks for packages beside the script.
cp "$here/idp.mjs" .
exec node idp.mjs
