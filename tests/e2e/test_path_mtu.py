# SPDX-License-Identifier: Apache-2.0
"""Path-MTU discovery through the balancer, and by it: large transfers with "don't fragment" over links
that carry 1280 bytes."""

import contextlib
import os
import socket

import pytest

from harness import config, dsr_lab, long_path, transfer
from harness.config import UDP_PORT
from harness.lab import VIP, VIPS

NARROW = 1280
PORT = 5001
BALANCER = {4: "10.0.0.2", 6: "fd00::2"}  # as backends see it
BULK_BYTES = int(os.environ.get("BULK_MIB", "256" if os.environ.get("FULL") else "16")) << 20

every_family = pytest.mark.parametrize("family", [4, 6], ids=["ipv4", "ipv6"])
every_sender = pytest.mark.parametrize("sender", ["client", "backend"])


@pytest.fixture
def serve():
    """Call it with a lab: a server for large transfers on its first backend."""
    with contextlib.ExitStack() as stack:
        def start(lab):
            server = transfer.Server(lab, "b1", PORT, BULK_BYTES)
            stack.callback(server.close)
        yield start


def make_long_lab(make_lab, serve, **options):
    lab = make_lab(topology="routed", backends=1, **options)
    long_path.make(lab)
    serve(lab)
    return lab


def learnt(lab, host, addr):
    return lab.run(host, "ip", "route", "get", addr).stdout


def send(lab, sender, family, client_addr):
    """The sender's kernel knows in the end what the way to the other carries. One direction a lab:
    what a host has learnt it announces in its next SYN, so that the other need not learn it."""
    if sender == "client":
        transfer.upload(lab, VIPS[family], PORT, BULK_BYTES)
        assert f"mtu {NARROW}" in learnt(lab, "client", VIPS[family])
    else:
        transfer.download(lab, VIPS[family], PORT, BULK_BYTES)
        assert f"mtu {NARROW}" in learnt(lab, "b1", client_addr)


@every_family
@every_sender
@pytest.mark.parametrize("offloads", ["on", "off"])
def test_a_narrow_hop_behind_the_balancer(make_lab, make_culvert, serve, family, sender, offloads):
    """The client hears of it through the balancer, the backend from the router next to it."""
    lab = make_long_lab(make_lab, serve, offloads=offloads)
    long_path.narrow_backend_side(lab, NARROW)
    culvert = make_culvert(lab)
    culvert.start(config.passthrough(lab, port=PORT, family=family))
    long_path.await_up(culvert)
    send(lab, sender, family, BALANCER[family])


@every_family
@every_sender
@pytest.mark.parametrize("workers", [0, 2])
def test_a_narrow_hop_before_the_balancer(make_lab, make_culvert, serve, family, sender, workers):
    """The backend hears of it through the balancer, the client from the router next to it."""
    lab = make_long_lab(make_lab, serve)
    long_path.narrow_client_side(lab, NARROW)
    culvert = make_culvert(lab)
    culvert.start(config.passthrough(lab, port=PORT, workers=workers, family=family))
    long_path.await_up(culvert)
    send(lab, sender, family, BALANCER[family])


@every_sender
def test_a_narrow_hop_between_a_DSR_backend_and_its_client(make_lab, make_culvert, serve, sender):
    """The router's word is for the VIP: the balancer hands it to the backend that has spoken."""
    lab = make_long_lab(make_lab, serve, direct=True)
    dsr_lab.translate_answers(lab, PORT, PORT)
    long_path.narrow_client_side(lab, NARROW)
    culvert = make_culvert(lab)
    culvert.start(config.dsr(lab, port=PORT))
    long_path.await_up(culvert)
    send(lab, sender, 4, "10.2.0.10")


# ---- the balancer's own link is the narrow one -----------------------------------------------------

def start_with_narrow_link(make_lab, make_culvert, serve, family, **options):
    """A two-arm lab. The backend's link carries 1280 bytes; the backend announces more all the same."""
    lab = make_lab(topology="two-arm", backends=1)
    for host, dev in (("lb", "eth1"), ("b1", "eth0")):
        lab.run(host, "ip", "link", "set", dev, "mtu", NARROW)
    serve(lab)
    for net in (["10.1.0.0/24"], ["fd00:1::/64", "metric", 256]):
        lab.run("b1", "ip", "route", "replace", *net, "proto", "kernel", "dev", "eth0",
                "advmss", 1460)
    culvert = make_culvert(lab)
    culvert.start(config.passthrough(lab, port=PORT, family=family, **options))
    long_path.await_up(culvert)
    return lab, culvert


@every_family
def test_the_balancer_says_that_its_own_link_is_narrow(make_lab, make_culvert, serve, family):
    lab, culvert = start_with_narrow_link(make_lab, make_culvert, serve, family,
                                          passthrough={"mss_clamp": "off"})
    transfer.upload(lab, VIPS[family], PORT, BULK_BYTES)
    assert f"mtu {NARROW}" in learnt(lab, "client", VIPS[family])
    assert culvert.stats()["drops"]["too_big"] > 0


@every_family
def test_segments_that_fit_are_announced_in_the_handshake(make_lab, make_culvert, serve, family):
    lab, culvert = start_with_narrow_link(make_lab, make_culvert, serve, family)
    transfer.upload(lab, VIPS[family], PORT, BULK_BYTES)
    assert "mtu" not in learnt(lab, "client", VIPS[family])
    assert culvert.stats()["drops"].get("too_big", 0) == 0


def test_datagrams_that_may_be_fragmented_are(make_lab, make_culvert, echo_servers):
    lab = make_lab(topology="two-arm", backends=1)
    for host, dev in (("lb", "eth0"), ("client", "eth0")):
        lab.run(host, "ip", "link", "set", dev, "mtu", NARROW)
    # What its sockets send may be fragmented.
    lab.run("b1", "sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_no_pmtu_disc")
    echo_servers(lab)
    culvert = make_culvert(lab)
    culvert.start(config.passthrough(lab, protocol="udp", port=UDP_PORT))
    with lab.inside("client"):
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with sock:
        sock.settimeout(5)
        sock.connect((VIP, UDP_PORT))
        question = bytes(range(256)) * 6
        # The answer is one byte longer, so that the last one has a fragment more.
        for size in (1, 1000, NARROW - 29, NARROW - 28):
            sock.send(question[:size])
            assert sock.recv(4096)[1:] == question[:size], size
