# SPDX-License-Identifier: Apache-2.0
"""Clients of the port, slow, huge and many, disturb neither the data path nor each other for long."""

import contextlib
import re
import socket
import threading

import pytest

from harness import api, config, http
from harness.config import STATS_PORT
from harness.wait import await_condition

SLOW_CLIENTS = 500
BODY_BYTES = 1 << 30
CHUNK_BYTES = 1 << 20
GROWTH_MAX = 64 << 20  # bytes; of memory in use, whatever clients do


def resident_bytes(culvert):
    text = api.ask(culvert, "GET", "/metrics")[2].decode()
    return float(re.search(r"^process_resident_memory_bytes (\S+)$", text, re.MULTILINE)[1])


def connect(culvert):
    with culvert.lab.inside("lb"):
        return socket.create_connection(("127.0.0.1", STATS_PORT), timeout=20)


def answered(culvert):
    """Does the port answer a client that asks properly?"""
    try:
        return api.ask_tcp(culvert, "GET", "/stats")[0] in (200, 503)
    except OSError:
        return False


@pytest.fixture(params=("passthrough", "proxy"))
def running(request, lab, culvert, proxy):
    running = proxy if request.param == "proxy" else culvert
    running.start(getattr(config, request.param)(lab))
    running.await_all_up()
    return running


def test_slow_clients_take_no_place_from_others(running):
    before = resident_bytes(running)
    with contextlib.ExitStack() as stack:
        for number in range(SLOW_CLIENTS):
            sock = stack.enter_context(connect(running))
            with contextlib.suppress(OSError):
                # Some say nothing, some stop in the middle, some never read the answer.
                sock.sendall((b"", b"GET /stats HT", b"GET /metrics HTTP/1.0\r\n\r\n")[number % 3])
        await_condition(lambda: answered(running), "the port answers among slow clients", 30)
        assert api.ask(running, "GET", "/healthz")[0] == 200
        answers = http.short_connections(running.lab, 100)
        assert set(answers) == {"b1", "b2", "b3"}, answers
        assert resident_bytes(running) - before < GROWTH_MAX
    assert all(running.stats()["backends"]["web"]["servers"].values()), "health checks went on"


@pytest.mark.parametrize("framing", ("length", "chunked"))
def test_a_huge_body_is_refused(running, framing):
    before = resident_bytes(running)
    sent, errors = 0, []
    head = {"length": f"Content-Length: {BODY_BYTES}", "chunked": "Transfer-Encoding: chunked"}[framing]
    piece = b"x" * CHUNK_BYTES
    if framing == "chunked":
        piece = b"%x\r\n" % CHUNK_BYTES + piece + b"\r\n"
    with connect(running) as sock:
        try:
            sock.sendall(f"POST /api/v1/reload HTTP/1.1\r\nHost: localhost\r\n{head}\r\n\r\n".encode())
            while sent < BODY_BYTES:
                sock.sendall(piece)
                sent += CHUNK_BYTES
        except OSError as error:
            errors.append(error)
    assert errors and sent < BODY_BYTES, "all of it was taken"
    assert resident_bytes(running) - before < GROWTH_MAX
    assert answered(running)
    assert set(http.short_connections(running.lab, 60)) == {"b1", "b2", "b3"}


def test_traffic_goes_on_while_clients_ask_for_everything(running):
    stop = threading.Event()
    statuses = set()

    def ask_on():
        while not stop.is_set():
            for target in ("/metrics", "/stats", "/api/v1/backends"):
                with contextlib.suppress(OSError):
                    statuses.add(api.ask_tcp(running, "GET", target)[0])

    threads = [threading.Thread(target=ask_on, daemon=True) for _ in range(8)]
    for thread in threads:
        thread.start()
    try:
        answers = http.short_connections(running.lab, 400)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert set(answers) == {"b1", "b2", "b3"}, answers
    assert statuses <= {200, 503} and 200 in statuses
