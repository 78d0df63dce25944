# SPDX-License-Identifier: Apache-2.0
"""DSR by link addresses: the backends hold the virtual address, packets reach them unchanged."""

import pytest

from harness import config, dsr_lab, http
from harness.lab import VIP
from harness.wait import await_condition
from test_bulk import BULK_BYTES, big, files, sha256_of  # big and files are fixtures
from test_dsr import NARROW, OVERLOAD, balancer_devs, dropped

ATTACHED = [
    pytest.param({"topology": topology, "offloads": offloads}, id=f"{topology}-offloads-{offloads}")
    for topology in ("one-arm", "two-arm") for offloads in ("on", "off")]


@pytest.fixture
def make_l2(make_lab, make_culvert, files):
    """Call it for a lab whose backends hold the VIP, and culvert in it: (lab, culvert)."""
    def make(workers=0, **lab_options):
        lab = make_lab(direct=True, files=files, **lab_options)
        dsr_lab.open_path(lab)
        dsr_lab.hold_vip(lab)
        culvert = make_culvert(lab)
        culvert.start(config.dsr(lab, "l2", workers=workers))
        culvert.await_all_up()
        return lab, culvert
    return make


@pytest.mark.parametrize("where", ATTACHED)
@pytest.mark.parametrize("workers", [0, 2])
def test_a_thousand_connections_and_a_large_download(make_l2, big, where, workers):
    lab, culvert = make_l2(workers, **where)
    answers = http.short_connections(lab, 1000)
    assert set(answers) == {"b1", "b2", "b3"} and sum(answers.values()) == 1000
    assert http.get(lab, "/whoami").split()[1] == "10.0.0.10"

    before = dsr_lab.received_bytes(lab, "lb", balancer_devs(lab))
    assert http.download(lab, f"/files/{big[0]}") == big[1:]
    assert dsr_lab.received_bytes(lab, "lb", balancer_devs(lab)) - before < BULK_BYTES / 20
    assert max(dsr_lab.sent_bytes(lab, host) for host in lab.backend_names()) > BULK_BYTES
    stats = culvert.stats()
    assert stats["total_bytes_rx"] == 0
    assert dropped(culvert) <= OVERLOAD


@pytest.mark.smoke
@pytest.mark.parametrize("offloads", ["on", "off"])
def test_an_upload_arrives_whole(make_l2, files, big, offloads):
    lab, culvert = make_l2(2, offloads=offloads)
    assert culvert.log_lines("ready: dsr (l2), 2 worker threads")
    http.upload(lab, f"/files/up-{lab.name}", files / big[0])
    assert sha256_of(files / f"up-{lab.name}") == big[2]


@pytest.mark.parametrize("offloads", ["on", "off"])
def test_the_backend_learns_of_a_narrow_link_to_the_client(make_l2, big, offloads):
    lab, _ = make_l2(0, topology="two-arm", offloads=offloads)
    dsr_lab.narrow_the_way_back(lab, NARROW)
    assert http.download(lab, f"/files/{big[0]}") == big[1:]
    dsr_lab.assert_narrow(lab, NARROW)


def test_a_backend_behind_a_router_is_refused(make_lab, make_culvert):
    lab = make_lab(topology="routed", direct=True)
    culvert = make_culvert(lab)
    path = culvert.write_config(config.dsr(lab, "l2"))
    result = culvert.run("--dsr", "--config", path)
    assert result.returncode == 1
    assert ("backend 10.1.0.101:80: it is behind the router 10.0.0.253, and method \"l2\" reaches "
            "backends on a network of this host only") in result.stderr


def test_the_virtual_address_does_not_check_health(make_lab, make_culvert):
    lab = make_lab(direct=True)
    lab.run("lb", "ip", "route", "replace", "10.0.0.0/24", "dev", "eth0", "src", VIP)
    culvert = make_culvert(lab)
    path = culvert.write_config(config.dsr(lab, "l2"))
    result = culvert.run("--dsr", "--config", path)
    assert result.returncode == 1
    assert (f"backend 10.0.0.101:80: this host would speak to it from {VIP}, the address of frontend "
            "\"web\", which the backend has as well") in result.stderr


def test_a_backend_whose_route_leads_away_is_named_and_comes_back(make_l2):
    lab, culvert = make_l2()
    lab.run("lb", "ip", "route", "add", "10.0.0.102/32", "via", "10.0.0.103")
    backend = "backend web/b2 (10.0.0.102:80)"
    await_condition(lambda: culvert.log_lines(f"{backend} cannot be reached: it is behind the router "
                                              "10.0.0.103"), "the reason in the log")
    lab.run("lb", "ip", "route", "del", "10.0.0.102/32")
    await_condition(lambda: culvert.log_lines(f"{backend} can be reached by eth0"),
                    "the way back in the log")
    assert set(http.short_connections(lab, 200)) == {"b1", "b2", "b3"}
