# SPDX-License-Identifier: Apache-2.0
"""UDP flows: echoes come back to the flow that sent, from the backend it began with."""

import contextlib
import re
import socket
import subprocess

import pytest

from harness import config
from harness.lab import VIP
from test_connections import EVERYWHERE

PORT = 5353
SOURCES = "10.128.0.0/16"


@pytest.fixture
def echo_servers(support):
    """Call it with a lab: an echo server on each backend, which marks its answers."""
    with contextlib.ExitStack() as stack:
        def start(lab):
            for index, name in enumerate(lab.backend_names()):
                process = lab.spawn(name, support("udp-echo"), PORT, chr(ord("A") + index),
                                    stdout=subprocess.PIPE, text=True)
                stack.callback(process.wait)
                stack.callback(process.kill)
                assert process.stdout.readline() == "ready\n"
        yield start


def start(culvert, lab, **options):
    culvert.start(config.passthrough(lab, protocol="udp", port=PORT, **options))


def run_flows(lab, support, *arguments, timeout=120):
    """The rounds as dictionaries of numbers."""
    lab.run("client", "ip", "route", "replace", "local", SOURCES, "dev", "lo")
    result = lab.run("client", support("udp-flows"), "--dst", f"{VIP}:{PORT}",
                     "--sources", SOURCES, *arguments, timeout=timeout)
    return [{key: int(value) for key, value in re.findall(r"(\w+) (\d+)", line)}
            for line in result.stdout.splitlines()]


@pytest.mark.parametrize("lab", EVERYWHERE, indirect=True)
@pytest.mark.parametrize("workers", [0, 2])
def test_flows_keep_their_backend(lab, culvert, echo_servers, support, workers):
    echo_servers(lab)
    start(culvert, lab, workers=workers)
    for round_ in run_flows(lab, support, "--flows", 3000, "--rounds", 3):
        assert (round_["echoed"], round_["wrong"], round_["moved"]) == (3000, 0, 0), round_
    assert culvert.stats()["flows"]["current"] == 3000


def open_client(lab, timeout):
    with lab.inside("client"):
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.settimeout(timeout)
    sock.connect((VIP, PORT))
    return sock


def test_the_first_datagram_after_ready_is_answered(lab, culvert, echo_servers):
    echo_servers(lab)
    start(culvert, lab)
    with open_client(lab, timeout=1) as sock:
        sock.send(b"first")
        assert sock.recv(100)[1:] == b"first"


@pytest.mark.smoke
def test_datagrams_of_any_size_come_back_whole(lab, culvert, echo_servers):
    echo_servers(lab)
    start(culvert, lab)
    with open_client(lab, timeout=2) as sock:
        for size in (0, 1, 2, 17, 1000, 1471):
            payload = bytes(i % 251 for i in range(size))
            sock.send(payload)
            assert sock.recv(65536)[1:] == payload


@pytest.mark.stress
@pytest.mark.parametrize("workers", [0, 2])
def test_300000_flows_are_held_at_once(make_lab, make_culvert, echo_servers, support, workers):
    """12 backends times 2 addresses have NAT ports for 650,000 flows."""
    lab = make_lab(backends=12)
    lab.run("lb", "ip", "addr", "add", "10.0.0.3/24", "dev", "eth0")
    echo_servers(lab)
    culvert = make_culvert(lab)
    start(culvert, lab, workers=workers, passthrough={"snat_addrs": ["10.0.0.2", "10.0.0.3"]})
    for round_ in run_flows(lab, support, "--flows", 300000, "--rounds", 2):
        assert (round_["echoed"], round_["wrong"], round_["moved"]) == (300000, 0, 0), round_
    flows = culvert.stats()["flows"]
    assert flows["current"] == 300000
    assert flows["reclaimed"] == 0
