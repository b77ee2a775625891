#!/usr/bin/env python3
"""Refuses a rule of spec/attestation.md that no test shows, and a matrix that shows too few refusals.

Each row `| N1 | rule | shown accepting | shown refusing |` must have a number of its own and name at
least one test that refuses; where nothing shows the rule accepting there is a hyphen. Every test must
be one that Rust's test runner calls: a function under `#[test]` or `#[tokio::test]`.

Refusals must outnumber what is accepted three to one: a verifier that accepts too much looks like a
good one to every test of good evidence. What is counted are cases. A test that stands in one column
alone has as many as the lists that it loops over have entries (those written out in it, but for lists
of bare names, which are mostly of checks looked at in one verdict), and at least one, however many
bytes it flips; a test that stands in both columns, in one rule or in two, has one each way.

Prints each fault and the counts; exit status 1 if there is a fault.
"""

import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
MATRIX = ROOT / "spec" / "attestation.md"
SECTIONS = "BIANFR"
NOTHING = "-"
REFUSALS_MIN = 3

ROW = re.compile(r"^\|\s*([A-Z]\d+[a-z]?)\s*\|(.*)\|\s*$")
# Between the attribute and its function only other attributes, comments and blanks may stand. Tests
# of `proptest!` have the attribute too.
TEST = re.compile(
    r"^([ \t]*)#\[(?:tokio::)?test(?:\([^\]]*\))?\]\s*"
    r"(?:(?:#\[[^\]]*\]|//[^\n]*\n)\s*)*"
    r"(?:pub(?:\([^)]*\))? )?(?:async )?fn (\w+)\s*\(",
    re.MULTILINE,
)
# Comments are left out, and texts and characters written as `_`: brackets in them are none.
OPAQUE = re.compile(
    r"""//[^\n]*|b?r(#*)".*?"\1|b?"(?:\\.|[^"\\])*"|b?'(?:\\[^']+|[^'\\])'""", re.DOTALL
)
LOOP = re.compile(r"\bfor\b[^{}]*?\bin\s*&?\s*(\[|\w+)")
BARE_NAME = re.compile(r"[A-Z]\w*")


def entries(text, start):
    """The entries of the list whose bracket opens at `start`."""
    depth, entry, found = 0, "", []
    for at in range(start, len(text)):
        char = text[at]
        depth += (char in "([{") - (char in ")]}")
        if depth == 0 or depth == 1 and char in ",;":
            found.append(entry.strip())
            entry = ""
        elif at > start:
            entry += char
        if depth == 0:
            break
    return [entry for entry in found if entry]


def rows(body):
    """How many entries the lists have that a test loops over, one if there is none."""
    code = OPAQUE.sub(lambda match: "" if match.group().startswith("//") else "_", body)
    count = 0
    for loop in LOOP.finditer(code):
        start = loop.start(1)
        if loop.group(1) != "[":
            named = re.search(rf"\blet (?:mut )?{loop.group(1)}\b[^=;]*(?:;[^=;]*)?=\s*&?(?:vec!)?\[", code)
            if not named:
                continue
            start = named.end() - 1
        listed = entries(code, start)
        if not all(BARE_NAME.fullmatch(entry) for entry in listed):
            count += len(listed)
    return max(count, 1)


def tests():
    """The cases of each test in Rust files, by its name."""
    cases = {}
    for path in (ROOT / "crates").rglob("*.rs"):
        text = path.read_text(encoding="utf-8")
        for test in TEST.finditer(text):
            indent, name = test.groups()
            end = text.find(f"\n{indent}}}", test.end())
            cases[name] = cases.get(name, 0) + rows(text[test.end():end])
    return cases


def main():
    known = tests()
    seen, wrong = set(), []
    accepting, refusing = set(), set()
    for line in MATRIX.read_text(encoding="utf-8").splitlines():
        row = ROW.match(line)
        if not row:
            continue
        number, cells = row.group(1), [cell.strip() for cell in row.group(2).split("|")]
        if number in seen:
            wrong.append(f"{number} stands twice")
        seen.add(number)
        if len(cells) != 3:
            wrong.append(f"{number} has {len(cells) + 1} columns, of four: number, rule, shown accepting, shown refusing")
            continue
        rule, *shown = cells
        if not rule:
            wrong.append(f"{number} says nothing")
        for column, names, found in zip(("accepting", "refusing"), shown, (accepting, refusing)):
            named = [] if names == NOTHING else names.replace("`", "").split()
            if names != NOTHING and not named:
                wrong.append(f"{number} has nothing under {column}, not even {NOTHING}")
            for test in named:
                name = test.rsplit("::", 1)[-1]
                if name in known:
                    found.add(name)
                else:
                    wrong.append(f"{number} names {test}, which is no test")
        if shown == [NOTHING, NOTHING]:
            wrong.append(f"{number} names no test")
        elif shown[1] == NOTHING:
            wrong.append(f"{number} names no test that refuses")
    wrong += [f"section {section} has no rule" for section in SECTIONS
              if not any(number.startswith(section) for number in seen)]

    both = accepting & refusing
    accepted = len(both) + sum(known[name] for name in accepting - both)
    refused = len(both) + sum(known[name] for name in refusing - both)
    if refused < REFUSALS_MIN * accepted:
        wrong.append(f"{refused} refusing cases are less than {REFUSALS_MIN} times {accepted} accepting ones")
    for fault in wrong:
        print(f"spec/attestation.md: {fault}")
    print(f"{len(accepting)} tests show acceptance, {len(refusing)} refusal, {len(both)} of them both; "
          f"{refused} refusing cases to {accepted} accepting, {refused / max(accepted, 1):.1f} to one")
    print(f"{len(seen)} rules, {len(wrong)} faults")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
