# The two commands of the README, and the few besides.

SUBROSA := target/debug/subrosa

.PHONY: demo test setup build bench bench-evidence contracts ollama help

help: ## What there is to make
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

demo: setup build ## Show the main job on this machine (ends with ctrl-c)
	@$(SUBROSA) models pull smollm2
	@$(SUBROSA) demo

test: ## Run every check and every test
	@python3 tools/run_tests.py

setup: ## Fetch what the demo and the tests need
	@bash tools/setup.sh

build: ## Build the binary
	@cargo build --locked -p subrosa

ollama: ## Build a real Ollama once, which the tests of that backend drive
	@bash tools/build-ollama.sh

bench-evidence: ## Measure how long it takes to check evidence; writes bench/evidence.json
	@cargo run --release --locked -p subrosa-bench-evidence -- bench/evidence.json

contracts: ## Build and test the contracts
	@bash contracts/run-tests.sh

bench: setup ## Measure, side by side; writes bench/results.json
	@bash bench/run.sh
