# SPDX-License-Identifier: Apache-2.0
"""A backend that is itself a client of the virtual address, also when it is the one that is chosen."""

import socket

import pytest

from harness import config, dsr_lab, http
from harness.config import UDP_PORT
from harness.lab import VIP

EVERYWHERE = [pytest.param({"topology": topology}, id=topology) for topology in dsr_lab.TOPOLOGIES]
TRIES = 40  # of three backends, one is never chosen once in ten million runs


@pytest.mark.parametrize("lab", EVERYWHERE, indirect=True)
@pytest.mark.parametrize("workers", [0, 2])
def test_a_backend_reaches_every_backend_and_itself(lab, culvert, workers):
    culvert.start(config.passthrough(lab, workers=workers))
    culvert.await_all_up()
    for host in lab.backend_names():
        answers = {http.get(lab, host=host) for _ in range(TRIES)}
        assert answers == {"b1", "b2", "b3"}
    # The source is the balancer's address and a NAT port, whoever calls (RFC 4787 REQ-9a).
    _, addr, port = http.get(lab, "/whoami", host="b1").split()
    assert addr == lab.backend_facing_addr()
    assert 33768 <= int(port) <= 61000


@pytest.mark.parametrize("lab", EVERYWHERE, indirect=True)
def test_datagrams_of_a_backend_reach_every_backend_and_itself(lab, culvert, echo_servers):
    echo_servers(lab)
    culvert.start(config.passthrough(lab, protocol="udp", port=UDP_PORT))
    marks = set()
    for _ in range(TRIES):
        with lab.inside("b2"):
            sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with sock:
            sock.settimeout(10)
            sock.connect((VIP, UDP_PORT))
            sock.send(b"hairpin")
            marks.add(sock.recv(100)[:1])
    assert marks == {b"A", b"B", b"C"}


@pytest.mark.parametrize("lab", EVERYWHERE[:2], indirect=True)
def test_a_lone_backend_reaches_itself(make_lab, make_culvert, lab):
    alone = make_lab(topology=lab.topology, backends=1)
    culvert = make_culvert(alone)
    culvert.start(config.passthrough(alone))
    culvert.await_all_up()
    assert {http.get(alone, host="b1") for _ in range(5)} == {"b1"}


# ---- DSR ----------------------------------------------------------------------------------------


def start_dsr(make_lab, make_culvert, method, prepare):
    lab = make_lab(direct=True)
    prepare(lab)
    culvert = make_culvert(lab)
    culvert.start(config.dsr(lab, method))
    culvert.await_all_up()
    return lab, culvert


def test_dsr_nat_a_backend_reaches_the_others_and_is_refused_by_itself(make_lab, make_culvert):
    """What would come to it from its own address it could not answer through its egress rule."""
    lab, culvert = start_dsr(make_lab, make_culvert, "nat", dsr_lab.translate_answers)
    outcomes = {http.outcome(lab, host="b1") for _ in range(TRIES)}
    assert outcomes == {"b2", "b3", "ConnectionRefusedError"}
    assert culvert.stats()["drops"]["bad_source"] > 0


def test_dsr_l2_a_backend_is_its_own_virtual_address(make_lab, make_culvert):
    """It holds the address, so its kernel answers and nothing reaches the balancer."""
    lab, culvert = start_dsr(make_lab, make_culvert, "l2", dsr_lab.hold_vip)
    before = culvert.stats()["total_connections"]
    assert {http.get(lab, host="b1") for _ in range(10)} == {"b1"}
    assert culvert.stats()["total_connections"] == before
