#!/usr/bin/env bash
# Checks that the machine has what the README names, and fetches what the demo and the tests need besides.
set -euo pipefail
cd "$(dirname "$0")/.."

fail() { printf 'setup: %s\n' "$1" >&2; exit 1; }

# at_least HAVE WANT: whether version HAVE is WANT or later.
at_least() { [ "$(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n1)" = "$2" ]; }

need() { # COMMAND VERSION-AS-PRINTED LEAST HOW-TO-GET
  command -v "$1" >/dev/null || fail "$1 is missing: $4"
  at_least "$2" "$3" || fail "$1 $2 is older than $3: $4"
}

command -v cargo >/dev/null || fail "cargo is missing: install Rust 1.95 or later with rustup"
need rustc "$(rustc --version | cut -d' ' -f2)" 1.95.0 "install Rust 1.95 or later with rustup"
need node "$(node --version | tr -d v)" 20.0.0 "install Node 20 or later"
need python3 "$(python3 -c 'import platform; print(platform.python_version())')" 3.11.0 "install Python 3.11 or later"
python3 -m pip --version >/dev/null 2>&1 || fail "pip is missing: install python3-pip"
command -v cc >/dev/null || fail "a C compiler is missing: install gcc"
command -v npm >/dev/null || fail "npm is missing: install it beside Node"

bash tools/setup-chain.sh
echo "setup: everything is there"
