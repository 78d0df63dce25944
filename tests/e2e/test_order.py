# SPDX-License-Identifier: Apache-2.0
"""Tests that wait long are not handed out together."""

import types

from harness import order


def spread(*nodeids):
    return [item.nodeid for item in order.spread([types.SimpleNamespace(nodeid=nodeid) for nodeid in nodeids])]


def test_what_waits_goes_between_other_files_the_longest_first():
    assert spread("test_a.py::one", "test_a.py::two", "test_api_robust.py::slow", "test_b.py::one", "test_b.py::two",
                  "test_c.py::one", "test_rest.py::slow[0]", "test_rest.py::slow[2]") == [
        "test_a.py::one", "test_a.py::two", "test_rest.py::slow[0]", "test_b.py::one", "test_b.py::two",
        "test_rest.py::slow[2]", "test_c.py::one", "test_api_robust.py::slow"]


def test_none_is_lost_where_there_are_few_others():
    assert spread("test_rest.py::a", "test_rest.py::b", "test_a.py::one") == [
        "test_a.py::one", "test_rest.py::a", "test_rest.py::b"]
    assert spread("e2e/test_rest.py::a") == ["e2e/test_rest.py::a"]


def test_nothing_else_changes_its_place():
    names = ["test_b.py::two", "test_b.py::one", "test_a.py::one"]
    assert spread(*names) == names
