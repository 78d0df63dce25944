# SPDX-License-Identifier: Apache-2.0
"""Waiting for a condition instead of sleeping."""

import time


def await_condition(condition, what, timeout=10.0, interval=0.02):
    """The first true value of condition(); AssertionError with `what` when the time is over."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout} s: {what}")
        time.sleep(interval)
