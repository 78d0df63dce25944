# SPDX-License-Identifier: Apache-2.0
"""Half of the combinations of a test that crosses several circumstances: a fractional factorial design.

Taken are those whose places in the lists of values sum up to an even number, so that three or more
crossed lists still have every pair of their values; and whatever else a value needs to occur at all."""

import collections

CIRCUMSTANCES = ("door", "family", "framing", "lab", "method", "mode", "offloads", "order", "running", "topology",
                 "where", "workers")


def _values(item):
    params = item.callspec.params if hasattr(item, "callspec") else {}
    return {name: repr(params[name]) for name in CIRCUMSTANCES if name in params}


def _left_out_of(items):
    lists = collections.defaultdict(list)  # the values of each name, in the order in which they come
    for item in items:
        for name, value in _values(item).items():
            if value not in lists[name]:
                lists[name].append(value)
    crossed = [name for name, values in lists.items() if len(values) > 1]
    if len(crossed) < 2:
        return []
    odd = [item for item in items if sum(lists[name].index(_values(item)[name]) for name in crossed) % 2]
    seen = {pair for item in items if item not in odd for pair in _values(item).items()}
    left_out = []
    for item in odd:
        if seen.issuperset(_values(item).items()):
            left_out.append(item)
        else:
            seen.update(_values(item).items())
    return left_out


def left_out(items):
    """What is not to run of all the items that were collected."""
    by_test = collections.defaultdict(list)
    for item in items:
        by_test[item.nodeid.partition("[")[0]].append(item)
    return [item for tests in by_test.values() for item in _left_out_of(tests)]
