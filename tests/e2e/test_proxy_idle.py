# SPDX-License-Identifier: Apache-2.0
"""Thousands of connections through proxy mode that say nothing: what they cost, and that they work
still."""

import contextlib
import resource
import time

import pytest

from harness import config, http, streams
from harness.wait import await_condition

CONNECTIONS = 8000
KIB_EACH = 4
CPU_SHARE = 0.02  # of one processor, while nothing moves
QUIET_SECONDS = 3


@pytest.fixture
def descriptors():
    """This process may have as many as its administrator allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def connect_all(stack, lab, count):
    return [stack.enter_context(http.connect(lab, timeout=20)) for _ in range(count)]


def assert_all_echo(socks, byte):
    for sock in socks:
        sock.sendall(byte)
    for sock in socks:
        assert sock.recv(2) == byte


def cpu_share_of(proxy, seconds):
    """Of one processor."""
    begin, before = time.monotonic(), proxy.cpu_seconds()
    time.sleep(seconds)
    return (proxy.cpu_seconds() - before) / (time.monotonic() - begin)


@pytest.mark.stress
def test_idle_connections_are_small_and_work_afterwards(make_lab, make_proxy, stream_peer,
                                                        descriptors):
    lab = make_lab(backends=1)
    proxy = make_proxy(lab)
    stream_peer(lab, "b1", "echo")
    proxy.start(config.proxy(lab, backend_port=streams.PORT, checked=False,
                             proxy={"threads": 2}))
    empty = proxy.resident_kib()
    n_descriptors = proxy.n_descriptors()
    with contextlib.ExitStack() as stack:
        socks = connect_all(stack, lab, CONNECTIONS)
        assert_all_echo(socks, b"1")
        assert proxy.sessions()["current"] == CONNECTIONS
        full = proxy.resident_kib()
        share = cpu_share_of(proxy, QUIET_SECONDS)
        print(f"{CONNECTIONS} idle connections: {(full - empty) / CONNECTIONS:.2f} KiB each above "
              f"the {empty} KiB of none, {full / CONNECTIONS:.2f} KiB with those; {share:.1%} of a "
              "processor")
        # With those: of large pages there are some before the first connection.
        assert full / CONNECTIONS < KIB_EACH
        assert share < CPU_SHARE
        assert_all_echo(socks, b"2")
        assert proxy.resident_kib() / CONNECTIONS < KIB_EACH
    sessions = proxy.all_ended()
    assert sessions["accepted"] == sessions["ends"]["completed"] == CONNECTIONS
    await_condition(lambda: proxy.n_descriptors() == n_descriptors, "no descriptor is left")
