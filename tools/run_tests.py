#!/usr/bin/env python3
"""Runs every check and every test, stage by stage, and counts.

`make test` and CI call this. Each stage prints its output as it comes; the end is a table of CPU seconds
by stage and one line `N passed, N failed`. A stage that breaks without naming a failed test counts as one
failure. Names of stages as arguments run only those.
"""

import os
import re
import resource
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
ENVIRONMENT = dict(os.environ, SUBROSA_REQUIRE_OLLAMA="1", SUBROSA_REQUIRE_MODEL="1", CARGO_TERM_PROGRESS_WHEN="never")

CARGO = re.compile(r"^test result: \w+\. (\d+) passed; (\d+) failed;")
PYTEST = re.compile(r"^=+ (?:(\d+) failed)?(?:, )?(?:(\d+) passed)?.* in [\d.:hms() ]+=+$")
CONTRACTS = re.compile(r"^contracts: (\d+) passed, (\d+) failed$")

# name, command, how its output names tests, whether its CPU seconds count toward the budget of CI
STAGES = [
    ("tools", ["bash", "tools/setup.sh"], None, True),
    ("contracts", ["bash", "contracts/run-tests.sh"], CONTRACTS, True),
    ("format", ["cargo", "fmt", "--all", "--check"], None, True),
    ("arrows", ["python3", "tools/check_arrows.py"], None, True),
    ("matrix", ["python3", "tools/check_matrix.py"], None, True),
    ("spelling", ["bash", "tools/python.sh", "typos"], None, True),
    ("build", ["cargo", "test", "--workspace", "--no-run", "--locked"], None, True),
    ("lints", ["cargo", "clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"], None, True),
    ("model", ["target/debug/subrosa", "models", "pull", "smollm2"], None, True),
    ("ollama", ["bash", "tools/build-ollama.sh"], None, False),
    ("rust", ["cargo", "test", "--workspace", "--locked", "--no-fail-fast"], CARGO, True),
    ("clients", ["bash", "tools/python.sh", "pytest", "e2e"], PYTEST, True),
]


def cpu_seconds():
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def count(pattern, line):
    """The (passed, failed) that a line of a test runner names, or none."""
    match = pattern and pattern.match(line)
    if not match:
        return 0, 0
    first, second = (int(group or 0) for group in match.groups())
    return (second, first) if pattern is PYTEST else (first, second)


def run(name, command, pattern):
    print(f"\n== {name}: {' '.join(command)}", flush=True)
    passed = failed = 0
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env=ENVIRONMENT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    for line in process.stdout:
        print(line, end="", flush=True)
        more = count(pattern, line.strip())
        passed, failed = passed + more[0], failed + more[1]
    status = process.wait()
    if pattern is None:
        # A check without tests of its own is one test: it holds or it does not.
        return (1, 0) if status == 0 else (0, 1)
    if failed == 0 and (status != 0 or passed == 0):
        print(f"{name} ended with status {status} and named no failed test", flush=True)
        failed = 1
    return passed, failed


def main():
    chosen = sys.argv[1:]
    unknown = set(chosen) - {stage[0] for stage in STAGES}
    if unknown:
        sys.exit(f"no such stage: {', '.join(sorted(unknown))}")
    rows, broken = [], False
    for name, command, pattern, counts in STAGES:
        if chosen and name not in chosen:
            continue
        wall, cpu = time.monotonic(), cpu_seconds()
        passed, failed = run(name, command, pattern)
        rows.append((name, cpu_seconds() - cpu, time.monotonic() - wall, passed, failed, counts))
        broken = broken or failed > 0
        if failed and pattern is None and name in ("tools", "build"):
            print(f"{name} failed, so what builds on it was not run", flush=True)
            break
    print(f"\n{'stage':<10} {'CPU s':>8} {'wall s':>8} {'passed':>7} {'failed':>7}")
    for name, cpu, wall, passed, failed, counts in rows:
        note = "" if counts else "  (not in the budget)"
        print(f"{name:<10} {cpu:>8.1f} {wall:>8.1f} {passed:>7} {failed:>7}{note}")
    budget = sum(row[1] for row in rows if row[5])
    print(f"{'in all':<10} {budget:>8.1f} {sum(row[2] for row in rows):>8.1f}")
    print(f"\n{sum(row[3] for row in rows)} passed, {sum(row[4] for row in rows)} failed")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
