# SPDX-License-Identifier: Apache-2.0
"""What traceroute, tracepath and ping show of a way that leads through the balancer: what they would
show of one through a router that translates addresses."""

import re

import pytest

from harness import config, long_path, transfer
from harness.lab import VIPS

NARROW = 1280
TCP_PORT = 5001
UDP_PORT = 5353

every_family = pytest.mark.parametrize("family", [4, 6], ids=["ipv4", "ipv6"])

# The routers before the balancer, and itself. Two routers and the backend are behind it; errors from
# there come from the VIP, as with any translation of the destination (RFC 5508 section 4.2).
BEFORE = {4: ["10.2.0.1", "10.4.0.1", "10.0.0.2"], 6: ["fd00:2::1", "fd00:4::1", "fd00::2"]}
N_BEHIND = 3


@pytest.fixture
def path(make_lab, make_culvert, family):
    """The lab, with culvert and a frontend of each protocol."""
    lab = make_lab(topology="routed", backends=1)
    long_path.make(lab)
    server = transfer.Server(lab, "b1", TCP_PORT, 1)
    settings = config.passthrough(lab, port=TCP_PORT, family=family)
    datagrams = config.passthrough(lab, protocol="udp", port=UDP_PORT, family=family)
    settings["frontends"]["dns"] = {**datagrams["frontends"]["web"], "backend": "dns"}
    settings["backends"]["dns"] = datagrams["backends"]["web"]
    culvert = make_culvert(lab)
    culvert.start(settings)
    long_path.await_up(culvert)
    yield lab
    server.close()


def hops(lab, family, *options):
    """The address in each line that traceroute prints."""
    result = lab.run("client", "traceroute", f"-{family}", "-n", "-q", "2", "-N", "1", "-w", "5",
                     *options, VIPS[family])
    return [re.findall(r"\S+", line)[1] for line in result.stdout.splitlines()[1:]]


@every_family
@pytest.mark.parametrize("options", [("-T", "-p", TCP_PORT), ("-U", "-p", UDP_PORT)],
                         ids=["TCP", "UDP"])
def test_traceroute_shows_the_balancer_as_a_router(path, family, options):
    expected = BEFORE[family] + [VIPS[family]] * N_BEHIND
    assert hops(path, family, *options) == expected


@every_family
def test_traceroute_to_another_port_ends_at_the_host(path, family):
    """Its own kernel answers: what is no frontend is none of culvert's."""
    expected = BEFORE[family][:2] + [VIPS[family]]
    assert hops(path, family, "-U", "-p", 33434) == expected


@every_family
def test_tracepath_finds_the_narrow_link(path, family):
    long_path.narrow_client_side(path, NARROW)
    result = path.run("client", "tracepath", f"-{family}", "-n", VIPS[family])
    assert f"Resume: pmtu {NARROW} hops 3" in " ".join(result.stdout.split()), result.stdout


@every_family
@pytest.mark.parametrize("size", [56, 1400])
def test_the_kernel_answers_pings(path, family, size):
    result = path.run("client", "ping", f"-{family}", "-n", "-c", "2", "-M", "do", "-s", size,
                      VIPS[family])
    assert " 2 received" in result.stdout and " 0% packet loss" in result.stdout
