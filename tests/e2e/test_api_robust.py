# SPDX-License-Identifier: Apache-2.0
"""Clients of the port and of the socket, slow, huge and many, disturb neither the data path nor each other for long."""

import contextlib
import re
import socket
import subprocess
import threading

import pytest

from harness import api, config, http
from harness.config import STATS_PORT
from harness.fake_api import CTL
from harness.wait import await_condition

SLOW_CLIENTS = 500
DOORS = ("port", "socket")
BODY_BYTES = 1 << 30
CHUNK_BYTES = 1 << 20
GROWTH_MAX = 64 << 20  # bytes; of memory in use, whatever clients do


def resident_bytes(culvert):
    text = api.ask(culvert, "GET", "/metrics")[2].decode()
    return float(re.search(r"^process_resident_memory_bytes (\S+)$", text, re.MULTILINE)[1])


def connect(culvert, door):
    if door == "port":
        with culvert.lab.inside("lb"):
            return socket.create_connection(("127.0.0.1", STATS_PORT), timeout=20)
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(20)
    sock.connect(culvert.socket_path())
    return sock


def answered(culvert, door):
    """Does it answer a client that asks properly?"""
    ask = api.ask_tcp if door == "port" else api.ask
    try:
        return ask(culvert, "GET", "/stats")[0] in (200, 503)
    except OSError:
        return False


def status(culvert):
    """What an operator gets who wants to know what goes on."""
    command = [CTL, f"--socket={culvert.socket_path()}", "status"]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture(params=("passthrough", "proxy"))
def running(request, lab, culvert, proxy):
    running = proxy if request.param == "proxy" else culvert
    running.start(getattr(config, request.param)(lab))
    running.await_all_up()
    return running


@pytest.mark.parametrize("door", DOORS)
def test_slow_clients_take_no_place_from_others(running, door):
    before = resident_bytes(running)
    with contextlib.ExitStack() as stack:
        for number in range(SLOW_CLIENTS):
            sock = stack.enter_context(connect(running, door))
            with contextlib.suppress(OSError):
                # Some say nothing, some stop in the middle, some never read the answer.
                sock.sendall((b"", b"GET /stats HT", b"GET /metrics HTTP/1.0\r\n\r\n")[number % 4 % 3])
            if number % 5 == 4:  # half closed
                with contextlib.suppress(OSError):
                    sock.shutdown(socket.SHUT_WR)
        assert status(running).returncode == 0, "culvertctl is not kept out"
        await_condition(lambda: answered(running, door), f"the {door} answers among slow clients", 30)
        assert api.ask(running, "GET", "/healthz")[0] == 200
        answers = http.short_connections(running.lab, 100)
        assert set(answers) == {"b1", "b2", "b3"}, answers
        assert resident_bytes(running) - before < GROWTH_MAX
    assert all(running.stats()["backends"]["web"]["servers"].values()), "health checks went on"


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("framing", ("length", "chunked"))
def test_a_huge_body_is_refused(running, framing, door):
    before = resident_bytes(running)
    sent, errors = 0, []
    head = {"length": f"Content-Length: {BODY_BYTES}", "chunked": "Transfer-Encoding: chunked"}[framing]
    piece = b"x" * CHUNK_BYTES
    if framing == "chunked":
        piece = b"%x\r\n" % CHUNK_BYTES + piece + b"\r\n"
    with connect(running, door) as sock:
        try:
            sock.sendall(f"POST /api/v1/reload HTTP/1.1\r\nHost: localhost\r\n{head}\r\n\r\n".encode())
            while sent < BODY_BYTES:
                sock.sendall(piece)
                sent += CHUNK_BYTES
        except OSError as error:
            errors.append(error)
    assert errors and sent < BODY_BYTES, "all of it was taken"
    assert resident_bytes(running) - before < GROWTH_MAX
    assert answered(running, door)
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
