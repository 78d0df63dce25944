# SPDX-License-Identifier: Apache-2.0
"""The order of the tests. pytest-xdist hands them out in runs: a file whose tests wait long is one run, and
a single process works through it while the others have nothing left to do. So each of these tests goes
between two other files, from the first on."""

import itertools

WAITING = ("test_rest.py", "test_page.py", "test_api_robust.py")  # the longest first


def _file_of(item):
    return item.nodeid.partition("::")[0]


def _name_of(item):
    return _file_of(item).rpartition("/")[2]


def spread(items):
    """All items in the order in which they are to run."""
    others = [item for item in items if _name_of(item) not in WAITING]
    waiting = iter(sorted((item for item in items if _name_of(item) in WAITING),
                          key=lambda item: WAITING.index(_name_of(item))))
    ordered = []
    for _, tests in itertools.groupby(others, key=_file_of):
        ordered += [*tests, *itertools.islice(waiting, 1)]
    return [*ordered, *waiting]
