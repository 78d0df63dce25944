# SPDX-License-Identifier: Apache-2.0
"""What happens to the network that culvert stands in is told among its events."""

import pytest

from harness import api, config, dsr_lab, http
from harness.lab import VIP
from harness.wait import await_condition


def told(culvert, subject):
    """What was said of it, with the level; the oldest first."""
    events = api.get(culvert, "/api/v1/events?limit=200")["events"]  # the newest first
    return [(event["level"], event["text"]) for event in reversed(events)
            if event["kind"] == "network" and event["subject"] == subject]


def await_told(culvert, subject, count):
    await_condition(lambda: len(told(culvert, subject)) >= count, f"{count} events of {subject}", 60)
    assert len(told(culvert, subject)) == count, told(culvert, subject)
    return told(culvert, subject)[-1]


@pytest.fixture(params=["passthrough", "dsr"])
def running(request, make_lab, make_culvert):
    lab = make_lab(topology="two-arm")
    culvert = make_culvert(lab)
    if request.param == "dsr":
        dsr_lab.open_path(lab)
        dsr_lab.translate_answers(lab)
    culvert.start(getattr(config, request.param)(lab))
    culvert.await_all_up()
    return lab, culvert


def test_an_interface_goes_down_and_comes_back(running):
    lab, culvert = running
    lab.run("lb", "ip", "link", "set", "eth1", "down")
    assert await_told(culvert, "eth1", 1) == ("warn", "down")
    lab.run("lb", "ip", "link", "set", "eth1", "up")
    assert await_told(culvert, "eth1", 2) == ("info", "up again")
    assert culvert.log_lines("interface eth1 is down") and culvert.log_lines("interface eth1 is up again")
    assert told(culvert, "eth0") == []


def test_a_backend_loses_its_route(running):
    lab, culvert = running
    route = ("unreachable", f"{lab.backend_addr('b2')}/32")
    lab.run("lb", "ip", "route", "add", *route)
    assert await_told(culvert, "web/b2", 1) == ("warn", "cannot be reached: there is no way to it")
    lab.run("lb", "ip", "route", "del", *route)
    assert await_told(culvert, "web/b2", 2) == ("info", "can be reached again, by eth1")
    assert told(culvert, "web/b1") == []


def test_an_address_of_a_frontend_vanishes(running):
    lab, culvert = running
    lab.run("lb", "ip", "addr", "del", f"{VIP}/24", "dev", "eth0", check=False)
    lab.run("lb", "ip", "addr", "del", f"{VIP}/32", "dev", "eth0", check=False)
    assert await_told(culvert, "web", 1) == ("warn", f"no interface has its address {VIP} any more")
    assert culvert.log_lines(f"ip address add {VIP}/32")
    lab.run("lb", "ip", "addr", "add", f"{VIP}/32", "dev", "eth0")
    assert await_told(culvert, "web", 2) == ("info", f"its address {VIP} is here again")
    await_condition(lambda: http.outcome(lab) in lab.backend_names(), "clients are served", 30)
