# SPDX-License-Identifier: Apache-2.0
"""docs/nat-behaviour.md names every requirement of the RFCs that it is about, and tests that exist."""

import functools
import re

import pytest

from harness.lab import ROOT

PAGE = ROOT / "docs" / "nat-behaviour.md"
TABLES = ("RFC 5382", "RFC 4787", "RFC 5508", "RFC 7857")
NOTHING = "–"
NOT_APPLICABLE = "Does not apply: "

# Requirements by number, with the letters of their parts.
LETTERS = {
    "RFC 5382": {2: "a", 3: "ab", 4: "a", 5: "a", 8: "a"},
    "RFC 4787": {3: "a", 5: "abc", 6: "a", 9: "a", 10: "a", 12: "ab", 13: "a", 14: "a"},
    "RFC 5508": {1: "a", 2: "a", 3: "abcd", 4: "abc", 5: "abc", 7: "a", 10: "abcdef"},
}
COUNTS = {"RFC 5382": 10, "RFC 4787": 14, "RFC 5508": 11}
SECTIONS = ["2", "2.1", "2.2", "3", "4", "5", "6", "7", "7.1", "8", "9", "10", "11", "12"]

SAMPLES = {"`golden/FILE: CASE`", "`unit/FILE: NAME`", "`e2e/FILE: NAME`"}
REFERENCE = re.compile(r"`(golden|unit|e2e)/(\w+): ([^`]+)`")


def required(rfc):
    if rfc == "RFC 7857":
        return {f"Section {number}" for number in SECTIONS}
    names = set()
    for number in range(1, COUNTS[rfc] + 1):
        names |= {f"{number}{letter}" for letter in ["", *LETTERS[rfc].get(number, "")]}
    return names


def rows_of(rfc):
    """The cells of each row of the table under that heading."""
    section = re.search(rf"^## {rfc}:.*?(?=^## |\Z)", PAGE.read_text(), re.M | re.S)[0]
    lines = [line for line in section.splitlines() if line.startswith("|")][2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def names_in(cell):
    """ "REQ-5, a, b" is 5, 5a and 5b; "REQ-3c, d" is 3c and 3d."""
    if cell.startswith("Section"):
        return {cell}
    first, *others = cell.removeprefix("REQ-").split(", ")
    number = re.match(r"\d+", first)[0]
    return {first, *(number + letter for letter in others)}


@functools.cache
def known_names(kind, file):
    """The names of the tests or cases of a file; none if there is no such file."""
    path, pattern = {
        "golden": (ROOT / "tests/golden" / f"{file}.txt", r"^case (.+)$"),
        "unit": (ROOT / "tests/unit" / f"{file}.c", r"^Test\(\w+, (\w+)"),
        "e2e": (ROOT / "tests/e2e" / f"{file}.py", r"^def (test_\w+)\("),
    }[kind]
    return set(re.findall(pattern, path.read_text(), re.M)) if path.exists() else set()


@pytest.mark.parametrize("rfc", TABLES)
def test_no_requirement_is_missing(rfc):
    found = [name for row in rows_of(rfc) for name in names_in(row[0])]
    assert len(found) == len(set(found))
    assert set(found) == required(rfc)


@pytest.mark.parametrize("rfc", TABLES)
def test_no_cell_is_empty(rfc):
    for row in rows_of(rfc):
        assert len(row) == 4 and all(row), row
        if row[3] == NOTHING:
            assert row[2].startswith(NOT_APPLICABLE), row
        else:
            assert all(REFERENCE.fullmatch(part) for part in row[3].split("<br>")), row


def test_every_test_that_is_named_exists():
    marked = set(re.findall(r"`(?:golden|unit|e2e)/[^`]*`", PAGE.read_text())) - SAMPLES
    assert len(marked) > 40
    missing = []
    for mark in marked:
        found = REFERENCE.fullmatch(mark)
        if not found or found[3] not in known_names(found[1], found[2]):
            missing.append(mark)
    assert not missing
