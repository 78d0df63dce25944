# SPDX-License-Identifier: Apache-2.0
"""`io = "xdp"`: some tests of the packet modes over AF_XDP sockets, and what is special about these.
IO=xdp runs all tests of the packet modes so."""

import copy
import os
import pathlib
import signal
import socket
import subprocess
import tempfile

import pytest

from harness import config, dsr_lab, http
from harness.config import UDP_PORT
from harness.doctor import Doctor
from harness.lab import ROOT, VIP
from harness.wait import await_condition
# Fixtures, and tests that are collected here once more.
from test_bulk import big, files, make_file, sha256_of, test_a_small_file_both_ways  # noqa: F401
from test_connections import test_a_few_connections_in_each_plan  # noqa: F401
from test_dsr import make_dsr, test_a_few_connections  # noqa: F401
from test_failover import test_a_killed_backend_is_left_and_the_others_go_on  # noqa: F401
from test_fragments import start_servers, UDP_SEGMENT, test_other_services_of_the_address_get_theirs  # noqa: F401
from test_ipv6 import test_both_families_beside_each_other  # noqa: F401
from test_lifecycle import test_a_crash_leaves_no_rules_and_it_starts_again_at_once  # noqa: F401
from test_reload import reload
from test_service import make, test_the_units_filter_allows_every_call_that_is_made, unprivileged, USER  # noqa: F401
from test_udp import assert_all_held, run_flows
from test_vlan import test_what_is_in_a_vlan_without_an_interface_is_left_alone  # noqa: F401

SECOND_VIP = "10.0.0.9"


@pytest.fixture(autouse=True)
def over_xdp(monkeypatch):
    monkeypatch.setenv("IO", "xdp")


def programs(lab, host="lb", dev="eth0"):
    """How an XDP program is attached to the interface: "xdp", "xdpgeneric", or nothing."""
    text = lab.run(host, "ip", "-d", "link", "show", "dev", dev).stdout
    return [word for word in text.split() if word in ("xdp", "xdpgeneric")]


def takes_tags_off(lab, dev="eth0"):
    return "rx-vlan-offload: on" in lab.run("lb", "ethtool", "-k", dev).stdout


@pytest.fixture
def watch(lab):
    """Call it to count the TCP packets that packet sockets on the balancer's eth0 see from then on."""
    taps = []

    def start():
        tap = lab.spawn("lb", "tcpdump", "-i", "eth0", "-n", "-Q", "in", "--immediate-mode", "-w", "/dev/null", "tcp", "port",
                        "80", "and", "host", VIP, stderr=subprocess.PIPE, text=True)
        taps.append(tap)
        for line in tap.stderr:
            if "listening" in line:
                break

        def stop():
            tap.send_signal(signal.SIGINT)
            text = tap.communicate(timeout=20)[1]
            return int(next(line for line in text.splitlines() if "captured" in line).split()[0])
        return stop
    yield start
    for tap in taps:
        if tap.poll() is None:
            tap.kill()
            tap.wait()


def test_what_clients_send_comes_by_the_program_alone(lab, culvert, watch):
    culvert.start(config.passthrough(lab))
    culvert.await_all_up()
    assert programs(lab) == ["xdp"] and culvert.log_lines("xdp: eth0: by its driver")
    assert culvert.log_lines("AF_XDP sockets: 1, which share 32 MiB of memory; the kernel copies")
    count = watch()
    assert sum(http.short_connections(lab, 50).values()) == 50
    assert count() == 0
    assert culvert.ledger()["dropped"] == 0


def test_the_default_is_packet_sockets(lab, culvert, watch, monkeypatch):
    monkeypatch.delenv("IO")
    culvert.start(config.passthrough(lab))
    culvert.await_all_up()
    assert programs(lab) == []
    count = watch()
    assert sum(http.short_connections(lab, 50).values()) == 50
    assert count() > 100


@pytest.mark.parametrize("workers", [0, 2])
def test_datagrams_come_back_to_their_flow(lab, culvert, echo_servers, support, workers):
    echo_servers(lab)
    culvert.start(config.passthrough(lab, protocol="udp", port=UDP_PORT, workers=workers))
    assert_all_held(run_flows(lab, support, 500, 2), 500)


@pytest.mark.parametrize("workers", [0, 2])
def test_dsr_by_link_addresses(make_lab, make_culvert, workers):
    lab = make_lab(direct=True)
    dsr_lab.open_path(lab)
    dsr_lab.hold_vip(lab)
    culvert = make_culvert(lab).start(config.dsr(lab, "l2", workers=workers))
    culvert.await_all_up()
    assert sum(http.short_connections(lab, 100).values()) == 100
    assert programs(lab) == ["xdp"]


def test_frontends_come_and_go_with_a_reload(lab, culvert, watch):
    """Who leaves is the kernel's again, which refuses; who comes is taken by the program."""
    lab.run("lb", "ip", "address", "add", f"{SECOND_VIP}/32", "dev", "eth0")
    one = config.passthrough(lab, reload={"watch": False, "max_frontends": 4})
    two = copy.deepcopy(one)
    two["frontends"]["second"] = {"listen_addr": f"{SECOND_VIP}:80", "backend": "web"}
    culvert.start(one)
    culvert.await_all_up()
    assert http.outcome(lab, addr=SECOND_VIP) == "ConnectionRefusedError"
    with http.connect(lab) as kept:
        assert http.request(kept) in lab.backend_names()
        reload(culvert, two)
        assert sum(http.short_connections(lab, 30, addr=SECOND_VIP).values()) == 30
        reload(culvert, one)
        await_condition(lambda: http.outcome(lab, addr=SECOND_VIP) == "ConnectionRefusedError",
                        "the kernel answers for the address again")
        assert http.request(kept) in lab.backend_names()


def test_the_driver_changes_with_a_restart_only(lab, culvert, monkeypatch):
    settings = config.passthrough(lab, reload={"watch": False})
    culvert.start(settings)
    monkeypatch.setenv("IO", "afpacket")
    reload(culvert, settings, "refused")
    assert "io" in culvert.log() and "restart" in culvert.log(), culvert.log()


def test_nothing_is_left_of_a_process_that_was_killed(lab, culvert):
    culvert.start(config.passthrough(lab))
    assert programs(lab) == ["xdp"]
    culvert.process.kill()
    culvert.forget().wait()
    await_condition(lambda: programs(lab) == [], "the program goes with its process")
    culvert.start(config.passthrough(lab))
    culvert.await_all_up()
    assert sum(http.short_connections(lab, 30).values()) == 30


def test_a_stop_puts_the_interface_back(lab, culvert):
    assert takes_tags_off(lab)
    culvert.start(config.passthrough(lab))
    assert not takes_tags_off(lab)
    culvert.stop()
    assert takes_tags_off(lab) and programs(lab) == []


def put_on_a_bridge(lab):
    """The balancer is at br0 instead of eth0."""
    lab.run("lb", "sh", "-ec", """
        addrs=$(ip -o -4 address show dev eth0 | awk '{print $4}')
        mac=$(cat /sys/class/net/eth0/address)
        ip link add br0 type bridge
        ip link set br0 address "$mac" up
        ip link set eth0 address 02:00:00:00:77:77
        ip address flush dev eth0
        ip link set eth0 master br0
        for addr in $addrs; do ip address add "$addr" dev br0; done
        """)


def test_where_the_driver_cannot_the_kernel_runs_the_program(make_lab, make_culvert, files):
    """A bridge has no XDP of its own. Super-frames go by packet sockets, whole."""
    lab = make_lab(files=files)
    culvert = make_culvert(lab)
    put_on_a_bridge(lab)
    culvert.start(config.passthrough(lab, backends={"web": {"health_check_timeout": 2, "health_check_interval": 2}}))
    culvert.await_all_up()
    assert programs(lab, dev="br0") == ["xdpgeneric"]
    assert culvert.log_lines("br0: its driver cannot run the XDP program")
    assert sum(http.short_connections(lab, 100).values()) == 100
    size, digest = 8 << 20, make_file(files / "for-bridge", 8 << 20)
    assert http.download(lab, "/files/for-bridge") == (size, digest)
    http.upload(lab, "/files/by-bridge", files / "for-bridge")
    assert sha256_of(files / "by-bridge") == digest


@pytest.mark.parametrize("dev", ["eth0", "br0"])
def test_datagrams_sent_by_one_call_stay_datagrams(lab, culvert, echo_servers, dev):
    """A short super-frame would fit a chunk, and leave as one datagram."""
    echo_servers(lab)
    if dev == "br0":
        put_on_a_bridge(lab)
    culvert.start(config.passthrough(lab, protocol="udp", port=UDP_PORT))
    with lab.inside("client"):
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with sock:
        sock.settimeout(10)
        sock.connect((VIP, UDP_PORT))
        sock.setsockopt(socket.IPPROTO_UDP, UDP_SEGMENT, 400)
        sock.send(bytes(900))
        assert sorted(len(sock.recv(2000)) - 1 for _ in range(3)) == [100, 400, 400]


@pytest.mark.parametrize("dev", ["eth0", "br0"])
def test_a_request_of_two_segments_is_not_too_long(lab, culvert, dev):
    """Both fit a chunk, but not the next link as one."""
    if dev == "br0":
        put_on_a_bridge(lab)
    culvert.start(config.passthrough(lab))
    culvert.await_all_up()
    with http.connect(lab) as sock:
        for _ in range(10):
            assert http.request(sock, path="/?" + "p" * 1550) in lab.backend_names()
    assert culvert.stats()["drops"]["too_big"] == 0


def test_the_doctor_looks_for_what_it_needs(lab, culvert):
    settings = config.passthrough(lab)
    report = Doctor(lab, culvert).look(settings)
    assert [found.status for found in report.named("kernel") if found.subject == "AF_XDP"] == ["ok"]
    assert [found.found for found in report.named("capabilities")] == [
        "CAP_NET_RAW, CAP_NET_ADMIN, CAP_BPF and CAP_IPC_LOCK are there"]
    assert not report.faults()
    lab.run("lb", "ip", "link", "set", "dev", "eth0", "mtu", "3800")
    fault = Doctor(lab, culvert).look(settings).only_fault()
    assert fault.name == "links" and "3762 bytes" in fault.found and "afpacket" in fault.fix


def test_a_program_of_others_is_not_thrown_out(lab, culvert):
    other = ROOT / "build/bpf/redirect.bpf.o"
    lab.run("lb", "ip", "link", "set", "dev", "eth0", "xdp", "obj", other, "sec", "xdp")
    with pytest.raises(AssertionError, match="ip link set dev eth0 xdp off"):
        culvert.start(config.passthrough(lab))
    assert programs(lab) == ["xdp"] and takes_tags_off(lab) and lab.nft_tables() == []
    lab.run("lb", "ip", "link", "set", "dev", "eth0", "xdp", "off")
    culvert.start(config.passthrough(lab))


@pytest.fixture
def open_directory():
    """Not below pytest's own directory, which is root's alone."""
    with tempfile.TemporaryDirectory() as directory:
        os.chmod(directory, 0o755)
        yield pathlib.Path(directory)


@pytest.mark.parametrize("dev", ["eth0", "br0"])
def test_it_runs_as_a_user_with_two_capabilities_more(open_directory, lab, culvert, dev):
    culvert.directory = open_directory
    if dev == "br0":
        put_on_a_bridge(lab)
    settings = config.passthrough(lab, reload={"watch": False})
    culvert.start(settings, f"--user={USER}")
    culvert.await_all_up()
    assert culvert.log_lines("bpf ipc_lock") or culvert.log_lines("ipc_lock bpf"), culvert.log()
    assert programs(lab, dev=dev) == ["xdp" if dev == "eth0" else "xdpgeneric"]
    changed = copy.deepcopy(settings)
    del changed["backends"]["web"]["servers"]["b3"]
    reload(culvert, changed)
    assert sum(http.short_connections(lab, 60).values()) == 60
