#!/usr/bin/env python3
"""Refuses a dependency between our crates that ARCHITECTURE.md does not draw.

Reads `cargo metadata`; prints each wrong arrow; exit status 1 if there is one.
"""

import json
import subprocess
import sys

NOUNS = {"protocol", "api"}
EVIDENCE = {"nvidia-evidence"}
CORE = NOUNS | {"seal", "verifier", "channel", "session"}
SHELL = {"engine", "attester", "chain", "store"}

# What each crate may build on. A crate that is missing here is refused until it is drawn.
ARROWS = {
    "protocol": set(),
    "api": set(),
    "nvidia-evidence": set(),
    "seal": {"protocol"},
    "verifier": {"protocol"} | EVIDENCE,
    "channel": {"protocol"},
    "session": {"protocol", "channel", "seal", "verifier"},
    "engine": CORE,
    "attester": CORE | EVIDENCE,
    "chain": CORE,
    "store": CORE,
    "pod": CORE | SHELL,
    "client": CORE | SHELL,
    "gateway": NOUNS | {"client"},
    "devnet": {"protocol", "chain"},
    "subrosa": CORE | SHELL | {"pod", "client", "gateway", "devnet"},
    "bench": CORE | SHELL | {"pod", "client", "gateway", "devnet"},
    "bench-evidence": {"protocol", "verifier", "attester", "nvidia-evidence"},
    "testkit": set(),
}

# What tests may use besides.
SHELL_CRATES = SHELL | {"pod", "client", "gateway", "devnet", "subrosa"}
TEST_ARROWS = {crate: {"testkit"} for crate in SHELL_CRATES}
TEST_ARROWS["verifier"] = {"attester"}
TEST_ARROWS["session"] = {"attester"}
TEST_ARROWS["nvidia-evidence"] = {"nvidia-evidence"}  # its own simulator, a feature
TEST_ARROWS["pod"] |= {"devnet"}
TEST_ARROWS["client"] |= {"devnet"}


def short(name):
    return name.removeprefix("subrosa-")


def main():
    command = ["cargo", "metadata", "--format-version", "1", "--no-deps"]
    metadata = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    ours = {package["name"] for package in metadata["packages"]}
    wrong = []
    for package in metadata["packages"]:
        crate = short(package["name"])
        if crate not in ARROWS:
            wrong.append(f"{crate} is not drawn in tools/check_arrows.py and ARCHITECTURE.md")
            continue
        for dependency in package["dependencies"]:
            if dependency["name"] not in ours:
                continue
            target = short(dependency["name"])
            allowed = set(ARROWS[crate])
            if dependency["kind"] == "dev":
                allowed |= TEST_ARROWS.get(crate, set())
            if target not in allowed:
                kind = "tests of " if dependency["kind"] == "dev" else ""
                wrong.append(f"{kind}{crate} must not depend on {target}")
    for line in wrong:
        print(line)
    if not wrong:
        print(f"every arrow between {len(ours)} crates is drawn")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
