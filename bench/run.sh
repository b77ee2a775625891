#!/usr/bin/env bash
# Builds the release, measures everything side by side, writes bench/results.json and prints a table.
# Arguments go to the program: `--quick` takes a tenth of the rounds, to see that it works.
set -euo pipefail
cd "$(dirname "$0")/.."
. tools/cache.sh

bash tools/build-ollama.sh
cargo build --release --locked -p subrosa-bench
exec target/release/subrosa-bench bench/results.json "$@"
