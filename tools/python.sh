#!/usr/bin/env bash
# Runs a Python tool in a virtual environment that lives in the cache, keyed by the exact requirements.
#   tools/python.sh pytest e2e
set -euo pipefail
cd "$(dirname "$0")/.."
. tools/cache.sh

key="$(sha256sum e2e/requirements.txt | cut -c1-16)"
venv="$SUBROSA_CACHE/venv-$key"
if [ ! -f "$venv/complete" ]; then
  echo "python: setting up the test clients (once)"
  rm -rf "$venv"
  python3 -m venv "$venv"
  "$venv/bin/pip" install --quiet --disable-pip-version-check -r e2e/requirements.txt
  touch "$venv/complete"
fi
tool="$1"
shift
exec "$venv/bin/$tool" "$@"
