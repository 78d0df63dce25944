# SPDX-License-Identifier: Apache-2.0
"""tc/dsr-egress.sh under real traffic: what a backend answers leaves as the virtual address's."""

import os
import socket

import pytest

from conftest import assert_no_bad_checksum
from harness import dsr, http
from harness.dsr import Egress, vip_addr
from test_bulk import FULL_BYTES, make_file

BULK_BYTES = int(os.environ.get("BULK_MIB", "64")) << 20
PORT, BACKEND_PORT = 80, 8080
UDP_PORT, BACKEND_UDP_PORT = 53, 5353

every_method = pytest.mark.parametrize("method", ["bpf", "nft"])
every_family = pytest.mark.parametrize("family", [4, 6], ids=["ipv4", "ipv6"])
every_offload = pytest.mark.parametrize("offloads", ["on", "off"], ids="offloads-{}".format)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    directory = tmp_path_factory.mktemp("files")
    yield directory
    for path in directory.iterdir():
        path.unlink()


@pytest.fixture(scope="module")
def big(files):
    """(name, size, SHA-256)"""
    return "big", BULK_BYTES, make_file(files / "big", BULK_BYTES)


@pytest.fixture(scope="module")
def huge(files):
    return "huge", FULL_BYTES, make_file(files / "huge", FULL_BYTES)


@pytest.fixture
def make_half(make_lab, files):
    """Call it for a lab with one backend whose half of DSR is up, and where the client calls the
    VIP: (lab, egress, backend, vip)."""
    def make(method, offloads="on", family=4, proto="tcp"):
        ports = (BACKEND_PORT, PORT) if proto == "tcp" else (BACKEND_UDP_PORT, UDP_PORT)
        lab = make_lab(offloads=offloads, backends=1, direct=True, files=files)
        backend, vip = (lab.backend_addr("b1", family), ports[0]), (vip_addr(family), ports[1])
        dsr.play_balancer(lab, backend, vip, proto)
        egress = Egress(lab, method)
        egress.up(backend, vip, proto=proto)
        return lab, egress, backend, vip
    return make


def assert_served(half, count, file):
    lab, egress, backend, vip = half
    where = {"addr": vip[0], "port": vip[1]}
    assert http.short_connections(lab, count, **where) == {"b1": count}
    assert http.download(lab, f"/files/{file[0]}", **where) == file[1:]
    assert_no_bad_checksum(lab)
    counters = egress.counters(backend)
    assert counters["packets"] >= 3 * count and counters["bytes"] > file[1], counters
    assert (counters["left"], counters["dropped"]) == (0, 0), counters


@every_method
@every_family
@every_offload
def test_connections_and_a_download(make_half, big, method, family, offloads):
    """From port 8080 to 80, so the port is translated as well."""
    assert_served(make_half(method, offloads, family), 500, big)


@pytest.mark.full
@every_method
@every_family
@every_offload
def test_ten_thousand_connections_and_two_gibibytes(make_half, huge, method, family, offloads):
    assert_served(make_half(method, offloads, family), 10000, huge)


@every_method
def test_curl_takes_the_answer_for_the_virtual_address(make_half, method):
    lab, _, _, vip = make_half(method)
    result = lab.run("client", "curl", "-sS", "--max-time", 5, "-w", "%{remote_ip}:%{remote_port}",
                     f"http://{vip[0]}:{vip[1]}/whoami")
    assert result.stdout.split() == ["b1", "10.0.0.10", result.stdout.split()[2], "10.0.0.1:80"]


@every_method
@every_family
@every_offload
def test_datagrams_come_from_the_virtual_address_whole_or_in_fragments(make_half, method, family,
                                                                       offloads):
    lab, egress, backend, vip = make_half(method, offloads, family, proto="udp")
    sizes = (1, 2, 17, 1000, 1452, 1472, 1473, 4000, 20000, 60000)
    # The request says how long the answer is to be: only answers are translated in fragments.
    with dsr.udp_server(lab, *backend, lambda request: bytes(i % 251 for i in range(int(request)))):
        with lab.inside("client"):
            sock = socket.socket(socket.AF_INET if family == 4 else socket.AF_INET6,
                                 socket.SOCK_DGRAM)
        with sock:
            sock.settimeout(3)
            sock.connect(vip)  # takes answers from there only
            for size in sizes:
                sock.send(str(size).encode())
                assert sock.recv(65536) == bytes(i % 251 for i in range(size)), size
    assert_no_bad_checksum(lab)
    assert egress.counters(backend, "udp")["packets"] == len(sizes)


@every_method
@every_family
def test_the_balancer_checks_health_past_the_rules(make_half, method, family):
    lab, egress, backend, vip = make_half(method, family=family)
    checks = {"host": "lb", "addr": backend[0], "port": backend[1], "timeout": 0.5}
    assert [http.outcome(lab, **checks) for _ in range(20)] == ["b1"] * 20
    assert http.get(lab, addr=vip[0], port=vip[1]) == "b1"
    assert egress.counters(backend)["left"] >= 3 * 20
    # Without the exception, the answers come from the VIP, which the balancer has not called.
    egress.up(backend, vip, balancer="none")
    assert http.outcome(lab, **checks) != "b1"
    assert http.get(lab, addr=vip[0], port=vip[1]) == "b1"


@every_method
def test_only_replies_to_the_named_networks_are_translated(make_half, method):
    lab, egress, backend, vip = make_half(method)
    checks = {"host": "lb", "addr": backend[0], "port": backend[1], "timeout": 0.5}
    egress.up(backend, vip, "--peer-net", "10.0.0.8/29", "--peer-net", "192.0.2.0/24",
              balancer="none")
    assert http.get(lab, addr=vip[0], port=vip[1]) == "b1"  # from 10.0.0.10
    assert http.get(lab, **checks) == "b1"                  # from 10.0.0.2
    egress.up(backend, vip, "--peer-net", "192.0.2.0/24")
    assert http.outcome(lab, addr=vip[0], port=vip[1], timeout=0.5) != "b1"


@every_method
def test_other_ports_and_protocols_of_the_backend_stay_as_they_are(make_half, method):
    lab, _, backend, _ = make_half(method)
    assert http.get(lab, addr=backend[0], port=80) == "b1"
    lab.run("client", "ping", "-c", "1", "-W", "2", backend[0])
    with dsr.udp_server(lab, backend[0], backend[1], bytes.upper):
        with lab.inside("client"):
            sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with sock:
            sock.settimeout(3)
            sock.connect(backend)
            sock.send(b"whole")
            assert sock.recv(100) == b"WHOLE"


def test_traffic_goes_on_while_rules_are_loaded_again_and_by_another_method(make_half):
    """With a reply that leaves untranslated, the client resets the connection."""
    lab, egress, backend, vip = make_half("bpf")
    traffic = http.Traffic(lab, addr=vip[0], port=vip[1])
    with http.connect(lab, addr=vip[0], port=vip[1]) as kept:
        for method in ("bpf", "nft", "nft", "bpf", "nft", "bpf"):
            egress.method = method
            egress.up(backend, vip)
            assert http.request(kept) == "b1"
    answers = http.answers_of(traffic.stop())
    assert set(answers) == {"b1"} and answers["b1"] > 20, answers


def test_two_virtual_addresses_stand_beside_each_other(make_half):
    lab, egress, backend, vip = make_half("bpf")
    others = [(("10.0.0.101", 80), ("10.0.0.4", 81), "bpf"),
              (("10.0.0.101", 8443), ("10.0.0.5", 443), "nft")]
    for other_backend, other_vip, method in others:
        dsr.play_balancer(lab, other_backend, other_vip)
        egress.method = method
        egress.up(other_backend, other_vip)
    for addr, port in (vip, others[0][1]):
        assert http.short_connections(lab, 100, addr=addr, port=port) == {"b1": 100}
    egress.method = "auto"
    egress.down("--backend", "10.0.0.101:80")
    assert http.outcome(lab, addr="10.0.0.4", port=81, timeout=0.5) != "b1"
    assert http.get(lab, addr=vip[0], port=vip[1]) == "b1"
    status = egress.run("status").stdout
    assert "10.0.0.1:80" in status and "10.0.0.5:443" in status and "10.0.0.4" not in status


@every_method
def test_another_virtual_address_takes_the_place_of_the_first(make_half, method):
    lab, egress, backend, vip = make_half(method)
    new = ("10.0.0.4", 81)
    dsr.play_balancer(lab, backend, new)
    egress.up(backend, new)
    assert http.get(lab, addr=new[0], port=new[1]) == "b1"
    assert http.outcome(lab, addr=vip[0], port=vip[1], timeout=0.5) != "b1"
