# SPDX-License-Identifier: Apache-2.0
"""What takes a backend out and brings it back: checks by HTTP and UDP, and what clients meet."""

import contextlib
import subprocess

import pytest

from harness import api, config, dsr_lab, http
from harness.check_server import CheckServer
from harness.config import UDP_PORT
from harness.lab import VIP
from harness.wait import await_condition

CHECK_PORT = 8081
SELDOM = 90  # seconds between checks: longer than any test waits
EVERY_BACKEND = {"b1", "b2", "b3"}
MODES = ("proxy", "passthrough", "dsr")


@pytest.fixture
def make_balanced(make_lab, make_culvert, make_proxy):
    """Call it with a mode and what the pool says: (lab, culvert), all backends up."""
    def make(mode, before_start=None, workers=0, **pool):
        lab = make_lab(direct=mode == "dsr")
        if mode == "dsr":
            dsr_lab.open_path(lab)
            dsr_lab.translate_answers(lab)
        culvert = make_proxy(lab) if mode == "proxy" else make_culvert(lab)
        if before_start:
            before_start(lab)
        options = {} if mode == "proxy" else {"workers": workers}
        culvert.start(getattr(config, mode)(lab, backends={"web": pool}, **options))
        culvert.await_all_up()
        return lab, culvert
    return make


@pytest.fixture
def check_servers():
    """Call it with a lab: a CheckServer on each backend, by name."""
    with contextlib.ExitStack() as stack:
        def start(lab):
            found = {name: CheckServer(lab, name, CHECK_PORT) for name in lab.backend_names()}
            for server in found.values():
                stack.callback(server.close)
            return found
        yield start


# --- from the start ------------------------------------------------------------------------------

@pytest.mark.parametrize("mode", MODES)
def test_one_that_was_never_up_is_down_and_not_unknown(make_lab, make_culvert, make_proxy, mode):
    lab = make_lab()
    lab.stop("b2")
    culvert = make_proxy(lab) if mode == "proxy" else make_culvert(lab)
    culvert.start(getattr(config, mode)(lab))
    await_condition(lambda: api.backend(culvert, "web/b2")["health"] == "down", "b2 is known to be down", 20)
    found = api.backend(culvert, "web/b2")
    assert found["health_reason"] == "connect refused, 2 of 2 checks failed"
    census = api.get(culvert, "/api/v1/status")["backends"]
    assert (census["down"], census["unknown"]) == (1, 0)

    def told():
        return [event for event in api.get(culvert, "/api/v1/events")["events"] if event["subject"] == "web/b2"]

    events = await_condition(told, "an event about it", 20)
    assert [(event["level"], event["text"]) for event in events] == [
        ("warn", f"down from the start: {found['health_reason']}")]
    lab.start("b2")
    await_condition(lambda: api.backend(culvert, "web/b2")["health"] == "up", "b2 is up", 20)
    assert len(told()) == 2


# --- HTTP ----------------------------------------------------------------------------------------

@pytest.mark.parametrize("mode", MODES)
def test_a_bad_status_takes_a_backend_out_and_a_good_one_brings_it_back(make_balanced,
                                                                        check_servers, mode):
    found = {}
    lab, culvert = make_balanced(
        mode, lambda lab: found.update(check_servers(lab)), health_check="http",
        health_check_port=CHECK_PORT, health_check_path="/up?a=b",
        health_check_host="www.example", health_check_body="well")
    request = found["b1"].requests[0]
    assert request.startswith("GET /up?a=b HTTP/1.1\r\nHost: www.example\r\n"), request
    assert set(http.short_connections(lab, 100)) == EVERY_BACKEND

    found["b2"].status = 503
    culvert.await_backend("b2", is_up=False)
    assert culvert.log_lines("HTTP status 503, expected 200-399, 2 of 2 checks failed")
    assert set(http.short_connections(lab, 100)) == {"b1", "b3"}
    found["b2"].status = 204
    found["b2"].body = "no, well"
    culvert.await_backend("b2", is_up=False)
    found["b2"].status = 200
    culvert.await_backend("b2")
    assert set(http.short_connections(lab, 100)) == EVERY_BACKEND

    found["b3"].body = "ill"
    culvert.await_backend("b3", is_up=False)
    assert culvert.log_lines('the body does not contain "well"')


# --- UDP -----------------------------------------------------------------------------------------

def test_datagrams_tell_whether_a_backend_is_there(lab, culvert, support):
    def start(name):
        process = lab.spawn(name, support("udp-echo"), UDP_PORT, "A", stdout=subprocess.PIPE,
                            text=True)
        assert process.stdout.readline() == "ready\n"
        return process

    with contextlib.ExitStack() as stack:
        processes = {name: start(name) for name in lab.backend_names()}
        stack.callback(lambda: [process.kill() for process in processes.values()])
        settings = config.passthrough(lab, protocol="udp", port=UDP_PORT, backends={"web": {
            "health_check": "udp", "health_check_interval": 0.2, "health_check_timeout": 0.2,
            "fall": 2, "health_check_send": "hex:68 65 6c 6c 6f", "health_check_expect": "hello"}})
        culvert.start(settings)
        culvert.await_all_up(port=UDP_PORT)
        processes["b2"].kill()
        processes["b2"].wait()
        culvert.await_backend("b2", is_up=False, port=UDP_PORT)
        assert culvert.log_lines("port unreachable, 2 of 2 checks failed")
        processes["b2"] = start("b2")
        culvert.await_backend("b2", port=UDP_PORT)


# --- what clients meet ---------------------------------------------------------------------------

@pytest.mark.parametrize("mode, workers", [("proxy", 0), ("passthrough", 0), ("passthrough", 2)])
def test_refusals_take_a_backend_out_long_before_its_next_check(make_balanced, mode, workers):
    lab, culvert = make_balanced(mode, workers=workers, health_check_interval=SELDOM, fall=3)
    lab.stop("b2")

    def is_out():
        http.short_connections(lab, 30)
        return not culvert.is_up("b2")

    await_condition(is_out, "b2 is out", timeout=SELDOM / 3)
    assert culvert.log_lines("of clients in a row ")
    answers = http.short_connections(lab, 60)
    assert set(answers) == {"b1", "b3"}, answers


def test_where_nobody_wants_passive_checks_refusals_take_nobody_out(make_balanced):
    lab, culvert = make_balanced("passthrough", health_check_interval=SELDOM, fall=3,
                                 passive_checks=False)
    lab.stop("b2")
    for _ in range(5):
        assert http.short_connections(lab, 60)["ConnectionRefusedError"] > 0
    assert culvert.is_up("b2")


MUTE = """
    table inet mute {
        chain input {
            type filter hook input priority 0;
            tcp dport 80 %s drop
        }
    }
"""


def mute(lab, host, what=""):
    """What comes to the host's port is lost, and its neighbours see it all the same."""
    lab.run(host, "nft", "-f", "-", input=MUTE % what)


def test_clients_that_get_no_answer_have_a_backend_checked_at_once(make_balanced):
    lab, culvert = make_balanced("passthrough", health_check_interval=SELDOM, fall=3)
    mute(lab, "b2")

    def is_out():
        http.short_connections(lab, 30, threads=30, timeout=1)
        return not culvert.is_up("b2")

    await_condition(is_out, "b2 is out", timeout=SELDOM / 3)
    assert culvert.log_lines("nor do clients get any answer")
    assert set(http.short_connections(lab, 60)) == {"b1", "b3"}


def test_a_backend_that_answers_nobody_but_its_check_stays(make_balanced):
    """It may be full, or the clients may be a flood: it is alive."""
    lab, culvert = make_balanced("passthrough", health_check_interval=SELDOM, fall=3)
    first, last = lab.reserved_ports().split(",")[0].split("-")
    mute(lab, "b2", f"tcp sport {first}-{last}")
    for _ in range(4):
        answers = http.short_connections(lab, 30, threads=30, timeout=1)
        assert answers["TimeoutError"] > 0, answers
    assert culvert.is_up("b2")
    assert not culvert.log_lines("is down")


# --- slow start ----------------------------------------------------------------------------------

# Who answers late on a busy machine is not to be up again as well.
PATIENT = {"health_check_interval": 1, "health_check_timeout": 1}
SCHEDULERS = [("proxy", "weighted-round-robin"), ("proxy", "maglev"),
              ("passthrough", "maglev"), ("passthrough", "random"), ("dsr", "maglev")]


def share(lab, name, count=400):
    answers = http.short_connections(lab, count)
    return answers[name] / sum(answers.values())


@pytest.mark.parametrize("mode, scheduler", SCHEDULERS)
def test_a_backend_that_is_up_again_gets_its_share_slowly(make_lab, make_culvert, make_proxy, mode,
                                                          scheduler):
    lab = make_lab(direct=mode == "dsr")
    if mode == "dsr":
        dsr_lab.open_path(lab)
        dsr_lab.translate_answers(lab)
    culvert = make_proxy(lab) if mode == "proxy" else make_culvert(lab)
    settings = getattr(config, mode)(lab, backends={"web": {"slow_start": 3000, **PATIENT}},
                                     frontends={"web": {"scheduler": scheduler}})
    culvert.start(settings)
    culvert.await_all_up()
    assert share(lab, "b2") > 0.15, "there is no slow start at the start"
    lab.stop("b2")
    culvert.await_backend("b2", is_up=False)
    lab.start("b2")
    culvert.await_backend("b2")
    assert 0 < share(lab, "b2", 1000) < 0.15


def test_slow_start_comes_to_its_end(make_balanced):
    lab, culvert = make_balanced("passthrough", slow_start=3, **PATIENT)
    lab.stop("b2")
    culvert.await_backend("b2", is_up=False)
    lab.start("b2")
    culvert.await_backend("b2")
    await_condition(lambda: share(lab, "b2") > 0.25, "b2 has its whole share", timeout=60)


# --- panic ---------------------------------------------------------------------------------------

@pytest.mark.parametrize("mode", MODES)
def test_when_too_few_are_up_all_are_used(make_balanced, check_servers, mode):
    found = {}
    lab, culvert = make_balanced(
        mode, lambda lab: found.update(check_servers(lab)), health_check="http",
        health_check_port=CHECK_PORT, panic_threshold=50)
    found["b1"].status = 503
    culvert.await_backend("b1", is_up=False)
    assert set(http.short_connections(lab, 100)) == {"b2", "b3"}
    with http.connect(lab) as sock:
        name = http.request(sock)
        found[name].status = 503
        culvert.await_backend(name, is_up=False)
        assert http.request(sock) == name, "who is used keeps its connections"
    assert set(http.short_connections(lab, 100)) == EVERY_BACKEND
    assert len(culvert.log_lines("pool web panics: 1 of 3 backends up are fewer than 50%")) == 1
    found["b1"].status = 200
    culvert.await_backend("b1")
    assert set(http.short_connections(lab, 100)) == EVERY_BACKEND - {name}
    assert len(culvert.log_lines("pool web panics no more: 2 of 3 backends are up")) == 1
    told = [event["text"] for event in api.get(culvert, "/api/v1/events")["events"] if event["subject"] == "web"]
    assert told[-1].startswith("panics: 1 of 3") and told[0].startswith("panics no more: 2 of 3"), told


def test_a_pool_that_never_was_up_panics_as_well(lab, culvert, check_servers):
    for server in check_servers(lab).values():
        server.status = 500
    culvert.start(config.passthrough(lab, backends={"web": {
        "health_check": "http", "health_check_port": CHECK_PORT, "panic_threshold": 10}}))
    await_condition(lambda: set(http.short_connections(lab, 30)) == EVERY_BACKEND, "all are used",
                    timeout=30)
    assert not any(culvert.is_up(name) for name in EVERY_BACKEND)
