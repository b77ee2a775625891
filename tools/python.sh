#!/usr/bin/env bash
# Runs a Python tool out of a folder in the cache, keyed by the exact requirements. A plain folder and not a
# virtual environment, because Debian ships pip without what makes those.
#   tools/python.sh pytest e2e
set -euo pipefail
cd "$(dirname "$0")/.."
. tools/cache.sh

version="$(python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])')"
key="$(sha256sum e2e/requirements.txt | cut -c1-16)"
folder="$SUBROSA_CACHE/python$version-$key"
if [ ! -f "$folder/complete" ]; then
  echo "python: fetching the test clients (once)"
  rm -rf "$folder"
  python3 -m pip install --quiet --disable-pip-version-check --target "$folder" -r e2e/requirements.txt
  touch "$folder/complete"
fi
tool="$1"
shift
PYTHONPATH="$folder" exec "$folder/bin/$tool" "$@"
