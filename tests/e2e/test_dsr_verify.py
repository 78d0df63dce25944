# SPDX-License-Identifier: Apache-2.0
"""verify of tc/dsr-egress.sh finds what is wrong on the host, and nothing where nothing is."""

import pytest

from harness.dsr import Egress

BACKEND, VIP = ("10.0.0.101", 8080), ("10.0.0.1", 80)
BACKEND6, VIP6 = ("fd00::101", 80), ("fd00:1::1", 80)


@pytest.fixture
def lab(make_lab):
    return make_lab(backends=1)


@pytest.fixture(params=["bpf", "nft"])
def verified(request, lab):
    egress = Egress(lab, request.param)
    egress.up(BACKEND, VIP)
    status, text = egress.verify(BACKEND, VIP, "--balancer", "10.0.0.2")
    assert status == 0 and "FAIL" not in text, text
    return egress


def failures(egress, *arguments):
    status, text = egress.verify(BACKEND, VIP, *arguments)
    found = [line for line in text.splitlines() if line.startswith("FAIL")]
    assert status == (1 if found else 0), text
    return "\n".join(found)


def test_verify_finds_missing_and_other_rules(verified):
    assert "10.0.0.3" in failures(verified, "--balancer", "10.0.0.3")
    verified.up(BACKEND, ("10.0.0.4", 80))
    assert "10.0.0.4:80" in failures(verified)
    verified.down()
    assert "no rules" in failures(verified)


def test_verify_finds_wrong_ways(verified):
    lab = verified.lab
    lab.run("b1", "ip", "link", "add", "other", "type", "veth", "peer", "name", "otherp")
    lab.run("b1", "ip", "link", "set", "other", "up")
    lab.run("b1", "ip", "route", "add", "192.0.2.0/24", "dev", "other")
    assert failures(verified) == ""
    assert "leave by other" in failures(verified, "--peer-net", "192.0.2.0/24")
    lab.run("b1", "sh", "-c", "echo 1 >/proc/sys/net/ipv4/conf/eth0/rp_filter")
    assert "rp_filter" in failures(verified, "--peer-net", "192.0.2.0/24")
    lab.run("b1", "ip", "route", "del", "default")
    assert "no route" in failures(verified)
    lab.run("b1", "ip", "addr", "add", "10.9.0.1/24", "dev", "eth0")
    lab.run("b1", "ip", "addr", "del", "10.0.0.101/24", "dev", "eth0")
    lab.run("b1", "ip", "route", "add", "default", "via", "10.9.0.2")
    assert "no address of this host" in failures(verified)
    lab.run("b1", "ip", "link", "set", "eth0", "down")
    assert "eth0 is down" in failures(verified)


def test_verify_runs_the_program_itself(lab):
    egress = Egress(lab, "bpf")
    for backend, vip, proto in ((BACKEND, VIP, "tcp"), (BACKEND, VIP, "udp"),
                                (BACKEND6, VIP6, "tcp"), (BACKEND6, VIP6, "udp")):
        balancer = "10.0.0.2" if backend == BACKEND else "fd00::2"
        egress.up(backend, vip, proto=proto)
        status, text = egress.verify(backend, vip, "--balancer", balancer, proto=proto)
        assert status == 0 and "the program, run on a reply" in text, text
    # It is asked about a client that it does not translate for.
    egress.up(BACKEND, VIP, "--peer-net", "192.0.2.0/24")
    assert "makes it one of 10.0.0.101:8080" in failures(egress)
