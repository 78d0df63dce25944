# SPDX-License-Identifier: Apache-2.0
"""DSR by tunnels: the client's packets reach the backends inside others."""

import contextlib
import socket

import pytest

from harness import config, dsr_lab, http
from harness.config import UDP_PORT
from harness.lab import VIP
from test_bulk import BULK_BYTES, big, files, sha256_of  # big and files are fixtures
from test_dsr import EVERYWHERE, NARROW, OVERLOAD, balancer_devs, dropped

TUNNEL_MTU = 1480


@pytest.fixture
def make_ipip(make_lab, make_culvert, files, support):
    """Call it for a lab whose backends end tunnels, and culvert in it: (lab, culvert)."""
    with contextlib.ExitStack() as stack:
        def make(workers=0, start=True, **lab_options):
            lab = make_lab(direct=True, files=files, **lab_options)
            dsr_lab.open_path(lab)
            stack.enter_context(dsr_lab.tunnels_end(lab, support("ipip_decap")))
            culvert = make_culvert(lab)
            if start:
                culvert.start(config.dsr(lab, "ipip", workers=workers))
                culvert.await_all_up()
            return lab, culvert
        yield make


@pytest.mark.parametrize("where", EVERYWHERE)
@pytest.mark.parametrize("workers", [0, 2])
def test_a_thousand_connections_and_a_large_download(make_ipip, big, where, workers):
    lab, culvert = make_ipip(workers, **where)
    answers = http.short_connections(lab, 1000)
    assert set(answers) == {"b1", "b2", "b3"} and sum(answers.values()) == 1000
    client = "10.2.0.10" if where["topology"] == "routed" else "10.0.0.10"
    assert http.get(lab, "/whoami").split()[1] == client

    before = dsr_lab.received_bytes(lab, "lb", balancer_devs(lab))
    assert http.download(lab, f"/files/{big[0]}") == big[1:]
    assert dsr_lab.received_bytes(lab, "lb", balancer_devs(lab)) - before < BULK_BYTES / 20
    assert max(dsr_lab.sent_bytes(lab, host) for host in lab.backend_names()) > BULK_BYTES
    stats = culvert.stats()
    assert stats["total_bytes_rx"] == 0
    assert dropped(culvert) <= OVERLOAD


@pytest.mark.smoke
@pytest.mark.parametrize("offloads", ["on", "off"])
@pytest.mark.parametrize("workers", [0, 2])
def test_an_upload_learns_what_fits_and_arrives_whole(make_ipip, files, big, offloads, workers):
    lab, culvert = make_ipip(workers, offloads=offloads)
    assert culvert.log_lines("ready: dsr (ipip)")
    http.upload(lab, f"/files/up-{lab.name}", files / big[0])
    assert sha256_of(files / f"up-{lab.name}") == big[2]
    assert f"mtu {TUNNEL_MTU}" in lab.run("client", "ip", "route", "get", VIP).stdout
    assert {"too_big"} <= dropped(culvert) <= OVERLOAD | {"too_big"}


@pytest.mark.parametrize("offloads", ["on", "off"])
def test_datagrams_of_any_size_that_one_link_carries(make_ipip, echo_servers, offloads):
    lab, culvert = make_ipip(start=False, offloads=offloads)
    echo_servers(lab)
    culvert.start(config.dsr(lab, "ipip", protocol="udp", port=UDP_PORT))
    with lab.inside("client"):
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with sock:
        # Without "don't fragment": what does not fit is fragmented before it is wrapped.
        sock.setsockopt(socket.IPPROTO_IP, 10, 0)  # IP_MTU_DISCOVER, IP_PMTUDISC_DONT
        sock.settimeout(5)
        sock.bind(("", 0))
        for size in (1, 1000, 1451, 1452, 1453, 1460, 1472):
            question = bytes(range(256)) * 6
            sock.sendto(question[:size], (VIP, UDP_PORT))
            answer, _ = sock.recvfrom(4096)
            assert answer[1:] == question[:size], size
    assert culvert.ledger()["dropped"] == 0


@pytest.mark.parametrize("topology", ["two-arm", "routed"])
def test_the_backend_learns_of_a_narrow_link_to_the_client(make_ipip, big, topology):
    lab, _ = make_ipip(topology=topology)
    dsr_lab.narrow_the_way_back(lab, NARROW)
    assert http.download(lab, f"/files/{big[0]}") == big[1:]
    dsr_lab.assert_narrow(lab, NARROW)


@pytest.mark.parametrize("offloads", ["on", "off"])
def test_the_client_learns_of_a_narrow_place_in_the_tunnel(make_ipip, files, big, offloads):
    lab, _ = make_ipip(topology="routed", offloads=offloads)
    lab.run("r2", "ip", "route", "change", "10.1.0.0/24", "dev", "eth1", "src", "10.1.0.1",
            "mtu", "lock", NARROW)
    http.upload(lab, f"/files/up-{lab.name}", files / big[0])
    assert sha256_of(files / f"up-{lab.name}") == big[2]
    assert f"mtu {NARROW - 20}" in lab.run("client", "ip", "route", "get", VIP).stdout
