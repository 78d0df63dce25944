# SPDX-License-Identifier: Apache-2.0
"""Backends that refuse, fall silent, die in the middle of a load and come back, in proxy mode."""

import contextlib
import random
import time

import pytest

from harness import config, http, streams
from harness.lab import VIP
from harness.wait import await_condition

EVERY_BACKEND = {"b1", "b2", "b3"}
EXPLAINED_S = 1.0  # from a backend's death to the errors that it explains
CLOCK_S = 0.05     # how far two readings of the clock may be apart
GROWN_KIB = 2048
HELD_BYTES = 8 << 20  # what may be on its way in one session


def start(culvert, lab, **pool):
    culvert.start(config.proxy(lab, backends={"web": pool}, proxy={"connect_timeout": 0.3}))
    culvert.await_all_up()


# --- one backend of three ------------------------------------------------------------------------

@pytest.mark.smoke
def test_refusals_take_a_backend_out_before_the_next_check(lab, proxy):
    """And no client sees one: another backend is tried."""
    start(proxy, lab, health_check_interval=3, fall=2)
    lab.stop("b2")
    answers = http.short_connections(lab, 200)
    assert set(answers) == {"b1", "b3"} and sum(answers.values()) == 200, answers
    assert not proxy.is_up("b2")
    assert proxy.log_lines("2 connects of clients in a row failed"), proxy.log()
    # Two, and those under way until control, which may be slow here, has looked.
    assert 2 <= proxy.server_stats("b2")["connects"]["refused"] <= 2 + 48
    lab.start("b2")
    proxy.await_backend("b2")
    assert set(http.short_connections(lab, 200)) == EVERY_BACKEND
    assert proxy.all_ended()["ends"]["completed"] == 400


def test_defect_18_a_backend_that_drops_what_comes_costs_a_moment(lab, proxy):
    """There is a timeout for its connect, and another backend is tried then."""
    start(proxy, lab, health_check_interval=3, fall=1000)
    lab.silence("b2")
    slowest = 0
    for _ in range(20):
        begin = time.monotonic()
        assert http.get(lab) in {"b1", "b3"}
        slowest = max(slowest, time.monotonic() - begin)
    assert 0.3 < slowest < 2
    assert proxy.server_stats("b2")["connects"]["timeout"] >= 1


def test_connections_are_reset_or_kept_as_the_pool_says(lab, proxy):
    held = {}
    for on_down in ("reset", "keep"):
        start(proxy, lab, on_backend_down=on_down)
        with contextlib.ExitStack() as stack:
            while "b2" not in held:
                sock = stack.enter_context(http.connect(lab))
                held[http.request(sock)] = sock
            lab.silence("b2")
            proxy.await_backend("b2", is_up=False)
            if on_down == "reset":
                with pytest.raises(ConnectionResetError):
                    http.request(held.pop("b2"))
            lab.run("b2", "ip", "link", "set", "eth0", "up")
            lab.run("b2", "ip", "route", "replace", "default", "via", "10.0.0.2")
            proxy.await_backend("b2")
            if on_down == "keep":
                assert http.request(held["b2"]) == "b2"
        assert proxy.all_ended()["ends"]["backend_down"] == (1 if on_down == "reset" else 0)
        proxy.stop()


def test_without_any_backend_connections_are_reset_at_once(lab, proxy):
    start(proxy, lab)
    for name in lab.backend_names():
        lab.stop(name)
    for name in lab.backend_names():
        proxy.await_backend(name, is_up=False)
    for _ in range(5):  # the first of which may come before all threads know
        begin = time.monotonic()
        assert http.outcome(lab) == "ConnectionResetError"
        assert time.monotonic() - begin < 1
    assert proxy.sessions()["ends"]["no_backend"] >= 1
    for name in lab.backend_names():
        lab.start(name)
    proxy.await_all_up()
    assert set(http.short_connections(lab, 100)) == EVERY_BACKEND


def test_backends_that_are_down_at_the_start_are_found_later(lab, proxy):
    for name in lab.backend_names():
        lab.stop(name)
    proxy.start(config.proxy(lab))
    assert http.outcome(lab) == "ConnectionResetError"
    lab.start("b1")
    proxy.await_backend("b1")
    assert set(http.short_connections(lab, 50)) == {"b1"}


# --- a mixed load --------------------------------------------------------------------------------

class Backends:
    """Echo servers on every backend of a lab, one of which is killed now and then."""

    def __init__(self, lab, stream_peer):
        self._lab, self._stream_peer = lab, stream_peer
        self._peers = {name: stream_peer(lab, name, "echo") for name in lab.backend_names()}
        self.deaths = []  # time.time()

    def kill_and_revive(self, down_seconds):
        name = random.choice(list(self._peers))
        self.deaths.append(time.time())
        self._peers[name].kill()
        time.sleep(down_seconds)
        self._peers[name] = self._stream_peer(self._lab, name, "echo")

    def explains(self, failure):
        return failure.kind in ("reset", "short") and any(
            -CLOCK_S <= failure.time - death <= EXPLAINED_S for death in self.deaths)


def mixed_load(stream_load, lab, seconds, **options):
    return stream_load(lab, VIP, 100, port=80, seconds=seconds, max_message=200000, **options)


def assert_counts_agree(proxy, before, report):
    """With those of the clients: exactly for connections, and for bytes up to what was on its way
    in sessions that broke."""
    proxy.all_ended()
    stats = proxy.stats()
    failed = sum(report["failed"].values())
    assert stats["total_connections"] - before["total_connections"] == report["tried"]
    up = stats["total_bytes_tx"] - before["total_bytes_tx"]
    down = stats["total_bytes_rx"] - before["total_bytes_rx"]
    assert 0 <= report["sent"] - up <= failed * HELD_BYTES
    assert 0 <= down - report["received"] <= failed * HELD_BYTES
    assert stats["current_connections"] == 0


def run_mixed_load(lab, proxy, stream_peer, stream_load, seconds, period):
    backends = Backends(lab, stream_peer)
    proxy.start(config.proxy(lab, backend_port=streams.PORT))
    proxy.await_all_up(port=streams.PORT)
    mixed_load(stream_load, lab, 2).finish()  # brings with it what is kept
    proxy.all_ended()
    n_descriptors, memory, before = proxy.n_descriptors(), proxy.resident_kib(), proxy.stats()
    load = mixed_load(stream_load, lab, seconds)
    while load.process.poll() is None and len(backends.deaths) < seconds // period:
        time.sleep(period / 2)  # the load is the test
        backends.kill_and_revive(period / 2)
    report = load.finish(timeout=period + 60)
    failures = load.failures()
    print(f"{report}, {len(backends.deaths)} deaths, {proxy.resident_kib() - memory} KiB more")
    unexplained = [failure for failure in failures if not backends.explains(failure)]
    assert not unexplained, (unexplained, backends.deaths)
    assert 0 < len(failures) < report["completed"], report
    assert_counts_agree(proxy, before, report)
    assert proxy.n_descriptors() <= n_descriptors + lab.n_backends  # a probe of each
    assert proxy.resident_kib() < memory + GROWN_KIB
    proxy.await_all_up(port=streams.PORT)


@pytest.mark.stress
def test_only_a_backends_death_is_seen_by_clients(lab, proxy, stream_peer, stream_load):
    run_mixed_load(lab, proxy, stream_peer, stream_load, 12, 3)


@pytest.mark.full
def test_ten_minutes_of_dying_backends(lab, proxy, stream_peer, stream_load):
    run_mixed_load(lab, proxy, stream_peer, stream_load, 600, 20)
