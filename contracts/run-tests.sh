#!/usr/bin/env bash
# Builds the contracts and runs every check of theirs: format, committed ABI and bytecode, tests, gas.
# Ends with one line `contracts: N passed, N failed`; a check that fails counts as one failure.
set -uo pipefail
cd "$(dirname "$0")"

die() {
  printf 'contracts: %s\n' "$1" >&2
  echo "contracts: 0 passed, 1 failed"
  exit 1
}

case "$(uname -s)-$(uname -m)" in
  Linux-x86_64) platform=linux-amd64 ;;
  Linux-aarch64) platform=linux-arm64 ;;
  Darwin-x86_64) platform=darwin-amd64 ;;
  Darwin-arm64) platform=darwin-arm64 ;;
  *) die "there is no forge for $(uname -s) on $(uname -m)" ;;
esac

# npm keeps its downloads outside the clone and checks each by the digest in the lock file.
installed=node_modules/.installed-lock.json
if ! cmp -s package-lock.json "$installed"; then
  npm ci --ignore-scripts --prefer-offline --no-audit --no-fund --loglevel error ||
    die "npm ci failed"
  cp package-lock.json "$installed"
fi

# Not the script that npm links: it hides forge's exit status.
forge="node_modules/@foundry-rs/forge-$platform/bin/forge"
failed=0
check() { # WHAT COMMAND...
  local what="$1"
  shift
  if ! "$@"; then
    printf 'contracts: %s failed\n' "$what" >&2
    failed=$((failed + 1))
  fi
}

"$forge" build --skip test || die "the contracts do not compile"
check "comparison with abi/" node tools/export-abi.cjs --check
check "format (forge fmt)" "$forge" fmt --check

# The tests measure gas and compare it with snapshots/; `tools/update-gas.sh` renews the figures.
output="$(mktemp)"
trap 'rm -f "$output"' EXIT
"$forge" test --gas-snapshot-check=true --gas-snapshot-emit=false >"$output" 2>&1
status=$?
cat "$output"
read -r passed broken < <(sed -nE \
  's/^Ran [0-9]+ test suites? in .*: ([0-9]+) tests passed, ([0-9]+) failed, .*/\1 \2/p' "$output")
failed=$((failed + ${broken:-0}))
# Gas that differs, or a run that broke before it counted.
if [ "$status" -ne 0 ] && [ "${broken:-0}" -eq 0 ]; then failed=$((failed + 1)); fi

echo "contracts: ${passed:-0} passed, $failed failed"
[ "$failed" -eq 0 ]
