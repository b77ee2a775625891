#!/usr/bin/env python3
"""Refuses a rule of spec/attestation.md that no test shows.

Each row `| N1 | rule | test_one test_two |` must have a number of its own and name at least one test,
and every test must be one that Rust's test runner calls: a function under `#[test]` or
`#[tokio::test]`. Prints each fault; exit status 1 if there is one.
"""

import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
MATRIX = ROOT / "spec" / "attestation.md"
SECTIONS = "BIANFR"

ROW = re.compile(r"^\|\s*([A-Z]\d+[a-z]?)\s*\|(.*)\|([^|]*)\|\s*$")
# Between the attribute and its function only other attributes, comments and blanks may stand. Tests
# of `proptest!` have the attribute too.
TEST = re.compile(
    r"^[ \t]*#\[(?:tokio::)?test(?:\([^\]]*\))?\]\s*"
    r"(?:(?:#\[[^\]]*\]|//[^\n]*\n)\s*)*"
    r"(?:pub(?:\([^)]*\))? )?(?:async )?fn (\w+)\s*\(",
    re.MULTILINE,
)


def tests():
    """The names of all tests in Rust files."""
    names = set()
    for path in (ROOT / "crates").rglob("*.rs"):
        names.update(TEST.findall(path.read_text(encoding="utf-8")))
    return names


def main():
    known = tests()
    seen, wrong = set(), []
    for line in MATRIX.read_text(encoding="utf-8").splitlines():
        row = ROW.match(line)
        if not row:
            continue
        number, rule, named = row.group(1), row.group(2).strip(), row.group(3).replace("`", "").split()
        if number in seen:
            wrong.append(f"{number} stands twice")
        seen.add(number)
        if not rule:
            wrong.append(f"{number} says nothing")
        if not named:
            wrong.append(f"{number} names no test")
        wrong += [f"{number} names {test}, which is no test" for test in named
                  if test.rsplit("::", 1)[-1] not in known]
    wrong += [f"section {section} has no rule" for section in SECTIONS
              if not any(number.startswith(section) for number in seen)]
    for fault in wrong:
        print(f"spec/attestation.md: {fault}")
    print(f"{len(seen)} rules, {len(wrong)} faults")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
