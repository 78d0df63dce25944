# SPDX-License-Identifier: Apache-2.0
"""The live page in headless Chromium, while traffic runs."""

import http.client
import json
import os
import socket
import subprocess

import jsonschema
import pytest

from harness import api, config, http as clients
from harness.config import STATS_PORT
from harness.lab import ROOT, VIP, endpoint

CHECK = ROOT / "tests" / "page" / "check.cjs"
PICTURES = ROOT / "build" / "page"
MODULES = ROOT / "build" / "web" / "npm-dev" / "node_modules"
URL = f"http://127.0.0.1:{STATS_PORT}/"


@pytest.fixture
def check(lab):
    """Call it with a mode and what to do at which request of the browser."""
    if not MODULES.exists():
        pytest.skip("built with WEB=0: there is no page")
    PICTURES.mkdir(parents=True, exist_ok=True)
    running = []

    def run(mode, answers, *args):
        process = lab.spawn("lb", "node", CHECK, URL, mode, PICTURES, *args, text=True, bufsize=1,
                            env={**os.environ, "NODE_PATH": str(MODULES)}, stdin=subprocess.PIPE,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        running.append(process)
        for line in process.stdout:
            answers[line.strip()]()
            print("done", file=process.stdin)
        assert process.wait(timeout=60) == 0, process.stderr.read()

    yield run
    for process in running:
        process.kill()
        process.wait()


def test_the_page_shows_what_happens(lab, culvert, check):
    settings = config.passthrough(lab)
    culvert.start(settings)
    culvert.await_all_up()
    traffic = clients.Traffic(lab, threads=1)

    def restart():
        culvert.start(settings)

    check("passthrough", {
        "kill b2": lambda: lab.stop("b2"),
        "look at it": lambda: None,
        "start b2": lambda: lab.start("b2"),
        "stop culvert": culvert.stop,
        "start culvert": restart,
    })
    traffic.stop()


def test_the_page_of_proxy_mode_shows_sessions_and_asks_for_the_token(lab, make_proxy, check):
    token = "0123456789abcdef0123456789abcdef"
    settings = config.proxy(lab, stats={"token": token})
    settings["frontends"]["constructor"] = {"listen_addr": endpoint(VIP, 81), "backend": "valueOf"}
    settings["backends"]["valueOf"] = {"servers": {"toString": {"addr": endpoint(lab.backend_addr("b1"), 80)}}}
    proxy = make_proxy(lab).start(settings)
    traffic = clients.Traffic(lab, threads=1)
    check("proxy", {}, token)
    traffic.stop()
    proxy.stop()  # the fixture has no token to look at its numbers with


def blocks_of(sock):
    """Event and data of each block of a stream of server-sent events."""
    response = http.client.HTTPResponse(sock)
    response.begin()
    assert response.headers["Content-Type"] == "text/event-stream"
    while True:
        event, data, _empty = (response.readline().decode() for _ in range(3))
        yield event.removeprefix("event: ").strip(), json.loads(data.removeprefix("data: "))


def test_the_stream_is_what_is_documented(lab, culvert):
    culvert.start(config.passthrough(lab))
    culvert.await_all_up()
    traffic = clients.Traffic(lab, threads=1)
    document = api.load_document()
    sample, event = (api.json_schema(document, document["components"]["schemas"][name]) for name in ("Sample", "Event"))
    with lab.inside("lb"):
        sock = socket.create_connection(("127.0.0.1", STATS_PORT), timeout=30)
    with sock:
        sock.sendall(b"GET /api/v1/stream HTTP/1.1\r\nHost: localhost\r\n\r\n")
        blocks = blocks_of(sock)
        name, history = next(blocks)
        assert name == "history" and len(history) <= 300
        data = next(data for name, data in blocks if name == "sample" and data.get("backends"))
        for one in (*history, data):
            jsonschema.validate(one, sample, cls=jsonschema.Draft7Validator)
        assert data["frontends"]["web"]["flows_per_s"] > 0
        assert set(data["backends"]) <= {"web/b1", "web/b2", "web/b3"}
        lab.stop("b2")
        happened = next(data for name, data in blocks if name == "event")
        jsonschema.validate(happened, event, cls=jsonschema.Draft7Validator)
        assert happened["subject"] == "web/b2" and happened["level"] == "warn"
    traffic.stop()
    assert api.get(culvert, "/api/v1/events?limit=1")["events"] == [happened]
