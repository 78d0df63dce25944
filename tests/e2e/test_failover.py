# SPDX-License-Identifier: Apache-2.0
"""Backends that die, fall silent and come back; no backend at all."""

import time

import pytest

from harness import config, http
from harness.wait import await_condition

FAST = {"web": {"health_check_interval": 0.2, "health_check_timeout": 0.2, "fall": 2, "rise": 1}}


def start(culvert, lab, **overrides):
    culvert.start(config.passthrough(lab, backends=FAST, **overrides))
    culvert.await_all_up()


def connections_by_backend(lab, count=30):
    """Kept connections, grouped by who answers them."""
    found = {name: [] for name in lab.backend_names()}
    for _ in range(count):
        sock = http.connect(lab)
        found[http.request(sock)].append(sock)
    return found


@pytest.mark.smoke
def test_a_killed_backend_is_left_and_the_others_go_on(lab, culvert):
    start(culvert, lab)
    kept = connections_by_backend(lab)
    traffic = http.Traffic(lab)
    lab.stop("b2")
    culvert.await_backend("b2", is_up=False)
    noticed = time.monotonic()
    await_condition(lambda: sum(http.answers_of(traffic.samples, noticed).values()) > 200,
                    "200 more requests")
    samples = traffic.stop()
    assert set(http.answers_of(samples, noticed)) == {"b1", "b3"}
    assert set(http.answers_of(samples)) <= {"b1", "b2", "b3", "ConnectionRefusedError",
                                             "ConnectionResetError", "ConnectionError"}
    for name in ("b1", "b3"):
        for sock in kept[name]:
            assert http.request(sock) == name


def test_a_backend_that_returns_is_used_again(lab, culvert):
    start(culvert, lab)
    lab.stop("b2")
    culvert.await_backend("b2", is_up=False)
    kept = connections_by_backend(lab)
    lab.start("b2")
    culvert.await_backend("b2")
    assert set(http.short_connections(lab, 200)) == {"b1", "b2", "b3"}
    for name in ("b1", "b3"):  # nobody moves a connection that is alive
        for sock in kept[name]:
            assert http.request(sock) == name


def test_connections_to_a_silent_backend_are_reset(lab, culvert):
    start(culvert, lab)
    kept = connections_by_backend(lab)
    lab.silence("b2")
    culvert.await_backend("b2", is_up=False)
    began = time.monotonic()
    for sock in kept["b2"]:
        with pytest.raises(ConnectionResetError):
            http.request(sock)
    assert time.monotonic() - began < 5
    for name in ("b1", "b3"):
        for sock in kept[name]:
            assert http.request(sock) == name


def test_on_backend_down_keep_lets_connections_wait_for_the_backend(lab, culvert):
    start(culvert, lab)
    culvert.stop()
    culvert.start(config.passthrough(
        lab, backends={"web": {**FAST["web"], "on_backend_down": "keep"}}))
    culvert.await_all_up()
    kept = connections_by_backend(lab)
    lab.silence("b2")
    culvert.await_backend("b2", is_up=False)
    lab.run("b2", "ip", "link", "set", "eth0", "up")
    lab.run("b2", "ip", "route", "replace", "default", "via", "10.0.0.2")
    culvert.await_backend("b2")
    for sock in kept["b2"]:
        assert http.request(sock) == "b2"


def test_without_any_backend_connections_are_refused_at_once(lab, culvert):
    start(culvert, lab)
    for name in lab.backend_names():
        lab.silence(name)
    for name in lab.backend_names():
        culvert.await_backend(name, is_up=False)
    began = time.monotonic()
    assert http.outcome(lab) == "ConnectionRefusedError"
    assert time.monotonic() - began < 1
    await_condition(lambda: culvert.stats()["drops"]["no_backend"] >= 1, "the drop is counted")
    assert culvert.stats()["packets"]["generated"] >= 1


def test_backends_that_are_down_at_the_start_are_found_later(lab, culvert):
    lab.stop("b1")
    culvert.start(config.passthrough(lab, backends=FAST))
    for name in ("b2", "b3"):
        culvert.await_backend(name)
    assert set(http.short_connections(lab, 100)) == {"b2", "b3"}
    lab.start("b1")
    culvert.await_backend("b1")
    assert set(http.short_connections(lab, 200)) == {"b1", "b2", "b3"}
