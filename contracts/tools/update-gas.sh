#!/usr/bin/env bash
# Renews snapshots/escrow.json after a change that is meant to change what an operation costs.
set -euo pipefail
cd "$(dirname "$0")/.."
npx --no-install forge test --match-contract GasTest
