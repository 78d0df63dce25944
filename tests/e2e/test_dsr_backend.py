# SPDX-License-Identifier: Apache-2.0
"""tc/dsr-backend.sh: backends that have the virtual address themselves, without being heard to."""

import pathlib
import socket

import pytest

from harness import http
from harness.dsr import BACKEND as SCRIPT, VIP6, footprint, make_programs
from harness.lab import VIP, VIPS as LAB_VIPS, Lab

OTHER_VIP = "10.0.0.4"
# Of 1500 bytes, 20 for the tunnel's header, 40 for those of IP and TCP, 12 for timestamps.
MSS_WITHIN_TUNNEL, MSS = 1428, 1448


@pytest.fixture
def lab(make_lab):
    """Its notes would outlive it: they are not in its namespaces."""
    lab = make_lab(backends=1, direct=True)
    yield lab
    if notes_file(lab).exists():
        for addr in (VIP, OTHER_VIP, VIP6):
            for dev in ("eth0", "other"):
                call(lab, "down", addr, dev=dev)
    assert not notes_file(lab).exists()


@pytest.fixture(scope="module")
def bystander():
    """A lab for calls that are to be refused, in case they are not."""
    lab = Lab(backends=1)
    yield lab
    lab.down()


def notes_file(lab):
    inode = lab.run("b1", "stat", "-L", "-c", "%i", "/proc/self/ns/net").stdout.strip()
    return pathlib.Path(f"/run/culvert/dsr-backend-{inode}")


def call(lab, command, vip=VIP, *args, method="l2", dev="eth0", check=True, path=None):
    environment = ["env", f"PATH={path}"] if path else []
    return lab.run("b1", *environment, SCRIPT, command, "--method", method, "--vip", vip,
                   "--dev", dev, *args, check=check)


def send_to_backend(lab, vip, backend):
    """As a balancer does in l2: to the backend's link address."""
    lab.run("client", "ip", "route", "replace", vip, "via", backend, "dev", "eth0")


def sysctl(lab, name, value=None, dev="eth0"):
    path = f"/proc/sys/net/ipv4/conf/{dev}/{name}"
    if value is not None:
        lab.run("b1", "sh", "-c", f"echo {value} >{path}")
    return int(lab.run("b1", "cat", path).stdout)


# --- l2 ------------------------------------------------------------------------------------------

def test_l2_answers_as_the_virtual_address(lab):
    send_to_backend(lab, VIP, lab.backend_addr("b1"))
    assert http.outcome(lab, timeout=0.5) != "b1"
    call(lab, "up")
    assert http.short_connections(lab, 200) == {"b1": 200}
    assert http.get(lab, host="lb", addr=lab.backend_addr("b1")) == "b1"  # health
    call(lab, "down")
    assert http.outcome(lab, timeout=0.5) != "b1"


def test_l2_answers_ipv6(lab):
    before = footprint(lab)
    send_to_backend(lab, VIP6, lab.backend_addr("b1", 6))
    call(lab, "up", VIP6)
    assert http.get(lab, addr=VIP6) == "b1"
    call(lab, "down", VIP6)
    assert footprint(lab) == before


def hears_of_vip(lab, vip=VIP):
    """Does anybody answer the client's question for it?"""
    lab.run("client", "ip", "neigh", "flush", "dev", "eth0")
    lab.run("client", "ping", "-c", "1", "-W", "1", vip, check=False)
    return "lladdr" in lab.run("client", "ip", "neigh", "show", vip).stdout


def test_l2_keeps_the_network_from_hearing_of_it(lab):
    lab.run("lb", "ip", "addr", "del", f"{VIP}/32", "dev", "eth0")
    lab.run("b1", "ip", "addr", "add", f"{VIP}/32", "dev", "lo")
    assert hears_of_vip(lab)
    lab.run("b1", "ip", "addr", "del", f"{VIP}/32", "dev", "lo")
    call(lab, "up")
    assert not hears_of_vip(lab)


def test_l2_keeps_the_network_from_hearing_of_it_over_ipv6(lab):
    """Linux answers solicitations for addresses of the interface alone: on lo nothing is heard."""
    vip = LAB_VIPS[6]
    lab.run("lb", "ip", "addr", "del", f"{vip}/128", "dev", "eth0")
    lab.run("b1", "ip", "addr", "add", f"{vip}/128", "dev", "eth0", "nodad")
    assert hears_of_vip(lab, vip)
    lab.run("b1", "ip", "addr", "del", f"{vip}/128", "dev", "eth0")
    call(lab, "up", vip)
    assert not hears_of_vip(lab, vip)
    call(lab, "down", vip)


def test_down_restores_what_was_there(lab):
    sysctl(lab, "arp_announce", 1)
    before = footprint(lab)
    call(lab, "up")
    call(lab, "up")
    once = footprint(lab)
    assert (sysctl(lab, "arp_ignore"), sysctl(lab, "arp_announce")) == (1, 2)
    call(lab, "up", OTHER_VIP)
    call(lab, "down", OTHER_VIP)
    assert footprint(lab) == once
    call(lab, "down")
    assert footprint(lab) == before
    assert not notes_file(lab).exists()
    call(lab, "down")  # harmless when nothing is up
    assert footprint(lab) == before


def test_what_others_set_is_theirs(lab):
    lab.run("b1", "ip", "addr", "add", f"{VIP}/32", "dev", "lo")
    sysctl(lab, "arp_ignore", 8)
    before = footprint(lab)
    call(lab, "up")
    assert sysctl(lab, "arp_ignore") == 8
    call(lab, "down")
    assert footprint(lab) == before
    # Also when they set it meanwhile.
    call(lab, "up")
    sysctl(lab, "arp_announce", 1)
    call(lab, "down")
    assert sysctl(lab, "arp_announce") == 1


def test_one_address_by_two_interfaces(lab):
    lab.run("b1", "ip", "link", "add", "other", "type", "veth", "peer", "name", "otherp")
    before = footprint(lab)
    call(lab, "up")
    call(lab, "up", dev="other")
    call(lab, "down")
    assert (sysctl(lab, "arp_ignore"), sysctl(lab, "arp_ignore", dev="other")) == (0, 1)
    assert VIP in lab.run("b1", "ip", "addr", "show", "dev", "lo").stdout
    call(lab, "down", dev="other")
    assert footprint(lab) == before


def test_calls_at_the_same_time_do_not_spoil_each_other(lab):
    before = footprint(lab)
    for command in ("up", "down"):
        calls = [lab.spawn("b1", SCRIPT, command, "--method", "l2", "--dev", "eth0", "--vip",
                           f"10.7.0.{i}") for i in range(1, 7)]
        assert [call.wait(timeout=60) for call in calls] == [0] * len(calls)
    assert footprint(lab) == before


def test_notes_of_another_boot_are_not_believed(lab):
    call(lab, "up")
    _, notes = notes_file(lab).read_text().split("\n", 1)
    notes_file(lab).write_text(f"00000000-0000-0000-0000-000000000000\n{notes}")
    call(lab, "down")
    assert sysctl(lab, "arp_ignore") == 1
    assert VIP in lab.run("b1", "ip", "addr", "show", "dev", "lo").stdout


def test_status(lab):
    assert lab.run("b1", SCRIPT, "status").stdout == "down: no VIP is up\n"
    call(lab, "up")
    assert lab.run("b1", SCRIPT, "status").stdout == (
        f"l2: {VIP} on lo, for requests by eth0 (arp_ignore 1, arp_announce 2)\n")


# --- ipip ----------------------------------------------------------------------------------------

def test_ipip_commands(lab):
    before = footprint(lab)
    result = call(lab, "up", VIP, "--balancer", "10.0.0.2", "--dry-run", method="ipip")
    lines = result.stdout.splitlines()
    assert "ip addr add 10.0.0.1/32 dev lo" in lines
    assert "sysctl -w net/ipv4/conf/eth0/arp_ignore=1" in lines
    assert "ip link add cvip0a000002 type ipip local any remote 10.0.0.2" in lines
    assert "sysctl -w net/ipv4/conf/cvip0a000002/rp_filter=2" in lines
    assert "ip addr replace 10.0.0.1/32 dev cvip0a000002" in lines
    assert any("ip saddr 10.0.0.1 tcp flags & (syn | rst) == syn tcp option maxseg size set 1440"
               in line for line in lines)
    assert footprint(lab) == before


def kernel_has_ipip(lab):
    if lab.run("b1", "ip", "link", "add", "try", "type", "ipip", "remote", "192.0.2.1",
               check=False).returncode != 0:
        return False
    lab.run("b1", "ip", "link", "del", "try")
    return True


def test_ipip_where_the_kernel_has_none(lab):
    if kernel_has_ipip(lab):
        pytest.skip("this kernel has IPIP tunnels")
    before = footprint(lab)
    result = call(lab, "up", VIP, "--balancer", "10.0.0.2", method="ipip", check=False)
    assert result.returncode == 1
    assert "CONFIG_NET_IPIP" in result.stderr and "--method l2" in result.stderr
    assert footprint(lab) == before
    assert not notes_file(lab).exists()


def mss_towards_vip(lab):
    with http.connect(lab) as sock:
        return sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG)


def test_ipip_all_but_the_tunnel(lab, tmp_path):
    """A tun interface stands for the tunnel, which the kernel may not have; requests come as in l2."""
    ip = """#!/bin/sh
        case "$*" in
        'link add cvip0a000002 type ipip local any remote 10.0.0.2')
            set -- tuntap add "$3" mode tun ;;
        esac
        exec /usr/sbin/ip "$@"
    """
    path = make_programs(tmp_path / "path", scripts={"ip": ip})
    send_to_backend(lab, VIP, lab.backend_addr("b1"))
    before = footprint(lab)
    call(lab, "up")
    assert mss_towards_vip(lab) == MSS
    for _ in range(2):
        call(lab, "up", VIP, "--balancer", "10.0.0.2", method="ipip", path=path)
        assert mss_towards_vip(lab) == MSS_WITHIN_TUNNEL
        assert sysctl(lab, "rp_filter", dev="cvip0a000002") == 2
        # Without an address the kernel drops, when it filters loosely, all that comes out of it.
        assert VIP in lab.run("b1", "ip", "-o", "addr", "show", "dev", "cvip0a000002").stdout
    status = lab.run("b1", SCRIPT, "status").stdout
    assert "cvip0a000002" in status and "maxseg size set 1440" in status
    assert http.short_connections(lab, 100) == {"b1": 100}
    call(lab, "down")
    assert footprint(lab) == before


def test_ipip_unwraps_what_the_balancer_sends(lab):
    if not kernel_has_ipip(lab):
        pytest.skip("this kernel has no IPIP tunnels")
    before = footprint(lab)
    call(lab, "up", VIP, "--balancer", "10.0.0.10", method="ipip")
    lab.run("client", "ip", "link", "add", "wrap", "type", "ipip", "local", "10.0.0.10",
            "remote", lab.backend_addr("b1"))
    lab.run("client", "ip", "link", "set", "wrap", "up")
    lab.run("client", "ip", "route", "replace", VIP, "dev", "wrap", "src", "10.0.0.10")
    assert http.short_connections(lab, 200) == {"b1": 200}
    call(lab, "down")
    assert [line for line in footprint(lab) if "tunl0" not in line] == before


@pytest.mark.parametrize("arguments, word", [
    ("", "up, down, status"),
    ("up --dev eth0 --method l2", "--vip"),
    ("up --vip 10.0.0.1 --method l2", "--dev"),
    ("up --vip 10.0.0.1 --dev eth0", "--method"),
    ("up --vip 10.0.0.1/24 --dev eth0 --method l2", "--vip"),
    ("up --vip 10.0.0.1:80 --dev eth0 --method l2", "--vip"),
    ("up --vip 10.0.0.1 --dev eth0 --method gre", "gre"),
    ("up --vip fd00::1 --dev eth0 --method ipip --balancer 10.0.0.2", "IPv4"),
    ("up --vip 10.0.0.1 --dev eth0 --method ipip", "--balancer"),
    ("up --vip 10.0.0.1 --dev eth0 --method ipip --balancer fd00::2", "IPv4"),
    ("down --vip 10.0.0.1", "--dev"),
    ("status --no-such 1", "--no-such"),
])
def test_wrong_usage_exits_with_2(bystander, arguments, word):
    result = bystander.run("b1", SCRIPT, *arguments.split(), check=False)
    assert result.returncode == 2 and result.stdout == ""
    assert result.stderr.startswith("dsr-backend.sh: ") and word in result.stderr
