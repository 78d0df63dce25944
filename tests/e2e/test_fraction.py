# SPDX-License-Identifier: Apache-2.0
"""Which combinations run by default."""

import itertools
import types

import pytest

from harness import fraction

WORKERS = [0, 2]
OFFLOADS = ["on", "off"]
TOPOLOGIES = ["one-arm", "two-arm", "routed"]


def items_of(names, combinations):
    return [types.SimpleNamespace(nodeid=f"test.py::test[{values}]",
                                  callspec=types.SimpleNamespace(params=dict(zip(names, values))))
            for values in combinations]


def kept(names, combinations):
    items = items_of(names, combinations)
    gone = fraction.left_out(items)
    return [tuple(item.callspec.params.values()) for item in items if item not in gone]


def test_half_of_two_lists_has_every_value():
    assert kept(["workers", "offloads"], itertools.product(WORKERS, OFFLOADS)) == [(0, "on"), (2, "off")]


def test_half_of_three_lists_has_every_pair():
    lists = [WORKERS, OFFLOADS, TOPOLOGIES]
    half = kept(["workers", "offloads", "topology"], itertools.product(*lists))
    assert len(half) == 6
    for a, b in itertools.combinations(range(3), 2):
        assert {(values[a], values[b]) for values in half} == set(itertools.product(lists[a], lists[b]))


@pytest.mark.parametrize("names, combinations", [
    (["workers", "rounds"], list(itertools.product(WORKERS, [1, 2]))),  # rounds are no circumstance
    (["workers", "offloads"], [(0, "on"), (2, "on")]),  # nothing is crossed
    (["workers", "offloads"], [(0, "on"), (0, "off"), (2, "on")]),  # picked by hand: no value gets lost
])
def test_no_value_is_lost(names, combinations):
    half = kept(names, combinations)
    for place in range(len(names)):
        assert {values[place] for values in half} == {values[place] for values in combinations}


def test_tests_are_halved_each_by_itself():
    items = items_of(["workers"], [(0,), (2,)]) + [types.SimpleNamespace(nodeid="test.py::other")]
    assert fraction.left_out(items) == []
