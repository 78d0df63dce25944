# SPDX-License-Identifier: Apache-2.0
"""IPv6 through the packet modes: what the other files do over IPv4, here over IPv6, and what only
IPv6 has: neighbour discovery, link-local routers, addresses that are not for this host to use."""

import pathlib
import re
import socket

import pytest

from harness import config, dsr_lab, http
from harness.config import UDP_PORT
from harness.dsr import BACKEND as BACKEND_SCRIPT
from harness.lab import VIP, VIP6
from harness.wait import await_condition
from test_bulk import make_file, sha256_of

FILE_BYTES = 32 << 20
NARROW = 1280  # the least that a link may have (RFC 8200 section 5)
TOPOLOGIES = ("one-arm", "two-arm", "routed")
EVERYWHERE = [pytest.param({"topology": topology, "offloads": offloads}, workers,
                           id=f"{topology}-offloads-{offloads}-workers-{workers}")
              for topology in TOPOLOGIES for offloads, workers in (("on", 0), ("off", 2))]
every_place = pytest.mark.parametrize("where, workers", EVERYWHERE)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    directory = tmp_path_factory.mktemp("files")
    yield directory
    for path in directory.iterdir():
        path.unlink()


@pytest.fixture(scope="module")
def big(files):
    """(name, size, SHA-256)"""
    return "big", FILE_BYTES, make_file(files / "big", FILE_BYTES)


def start(lab, culvert, **options):
    culvert.start(config.passthrough(lab, family=6, **options))
    culvert.await_all_up(family=6)


def assert_uploaded(lab, files, big):
    uploaded = pathlib.Path(files / f"up-{lab.name}")
    http.upload(lab, f"/files/{uploaded.name}", files / big[0], addr=VIP6)
    assert sha256_of(uploaded) == big[2]
    uploaded.unlink()


def assert_transfers(lab, files, big):
    assert http.download(lab, f"/files/{big[0]}", addr=VIP6) == big[1:]
    assert_uploaded(lab, files, big)


def echoes(lab, sizes=(0, 1, 2, 17, 1000, 1451)):
    """Who answers a client's datagrams, of each of these sizes."""
    with lab.inside("client"):
        sock = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    servers = set()
    with sock:
        sock.settimeout(5)
        sock.connect((VIP6, UDP_PORT))  # takes answers from there only
        for size in sizes:
            payload = bytes(i % 251 for i in range(size))
            sock.send(payload)
            answer = sock.recv(65536)
            assert answer[1:] == payload, size
            servers.add(answer[:1])
    return servers


# --- passthrough ---------------------------------------------------------------------------------

@every_place
def test_connections_and_transfers(make_lab, make_culvert, files, big, where, workers):
    lab = make_lab(files=files, **where)
    culvert = make_culvert(lab)
    start(lab, culvert, workers=workers)
    answers = http.short_connections(lab, 200, addr=VIP6)
    assert set(answers) == {"b1", "b2", "b3"} and sum(answers.values()) == 200, answers
    name, addr, port = http.get(lab, "/whoami", addr=VIP6).split()
    assert name in answers
    assert addr == lab.backend_facing_addr(6)
    assert 33768 <= int(port) <= 61000
    assert_transfers(lab, files, big)
    stats = culvert.stats()
    assert stats["total_connections"] == 203
    assert stats["total_bytes_tx"] > FILE_BYTES and stats["total_bytes_rx"] > FILE_BYTES


@pytest.mark.smoke
def test_curl_takes_the_answer(lab, culvert):
    start(lab, culvert)
    result = lab.run("client", "curl", "-sS", "--max-time", 10, "-w", "%{remote_ip}",
                     f"http://[{VIP6}]/")
    assert re.fullmatch(r"b\d\nfd00::1", result.stdout), result.stdout


@pytest.mark.parametrize("topology", TOPOLOGIES)
@pytest.mark.parametrize("workers", [0, 2])
def test_datagrams(make_lab, make_culvert, echo_servers, topology, workers):
    lab = make_lab(topology)
    culvert = make_culvert(lab)
    echo_servers(lab)
    culvert.start(config.passthrough(lab, family=6, protocol="udp", port=UDP_PORT, workers=workers))
    assert len(echoes(lab)) == 1, "one client, one backend"
    assert culvert.stats()["flows"]["current"] == 1


def both_families(lab, **options):
    """One frontend of each, and what their statistics are called."""
    settings = config.passthrough(lab, **options)
    other = config.passthrough(lab, family=6)
    settings["frontends"]["web6"] = {**other["frontends"]["web"], "backend": "web6"}
    settings["backends"]["web6"] = other["backends"]["web"]
    return settings


def test_both_families_beside_each_other(lab, culvert):
    culvert.start(both_families(lab))
    culvert.await_all_up()
    culvert.await_all_up(pool="web6", family=6)
    for count, addr in ((30, VIP), (40, VIP6)):
        assert sum(http.short_connections(lab, count, addr=addr).values()) == count
    pools = culvert.stats()["backends"]
    assert list(pools["web6"]["servers"]) == ["[fd00::101]:80", "[fd00::102]:80", "[fd00::103]:80"]
    assert pools["web"]["total_connections"] == 30
    assert pools["web6"]["total_connections"] == 40


def test_a_stopped_backend_is_left_out_and_taken_back(lab, culvert):
    start(lab, culvert)
    lab.stop("b2")
    culvert.await_backend("b2", is_up=False, family=6)
    assert set(http.short_connections(lab, 100, addr=VIP6)) == {"b1", "b3"}
    lab.start("b2")
    culvert.await_backend("b2", family=6)
    assert set(http.short_connections(lab, 200, addr=VIP6)) == {"b1", "b2", "b3"}


@pytest.mark.parametrize("mode", ["passthrough", "dsr"])
def test_a_silent_backends_connections_are_reset(make_lab, make_culvert, mode):
    lab = make_lab(direct=mode == "dsr")
    if mode == "dsr":
        dsr_lab.translate_answers(lab, family=6)
    culvert = make_culvert(lab)
    culvert.start(getattr(config, mode)(lab, family=6))
    culvert.await_all_up(family=6)
    kept = {name: [] for name in lab.backend_names()}
    for _ in range(30):
        sock = http.connect(lab, addr=VIP6, timeout=20)
        kept[http.request(sock)].append(sock)
    lab.silence("b2")
    culvert.await_backend("b2", is_up=False, family=6)
    for sock in kept["b2"]:
        with pytest.raises(ConnectionResetError):
            http.request(sock)
    for name in ("b1", "b3"):
        for sock in kept[name]:
            assert http.request(sock) == name
    for name in ("b1", "b3"):
        lab.silence(name)
    for name in ("b1", "b3"):
        culvert.await_backend(name, is_up=False, family=6)
    assert http.outcome(lab, addr=VIP6) == "ConnectionRefusedError"


@pytest.mark.packet_sockets("the rules count what they drop, and meet nothing that XDP takes")
@pytest.mark.parametrize("fast_path", ["auto", "off"])
def test_the_kernel_gets_nothing_that_is_for_the_frontend(lab, culvert, fast_path):
    """Else it would refuse connections to a port where nobody listens, or answer them itself."""
    with lab.inside("lb"):
        server = socket.create_server((VIP6, 80), family=socket.AF_INET6)
    with server:
        server.settimeout(0)
        start(lab, culvert, passthrough={"fast_path": fast_path})
        assert set(http.short_connections(lab, 200, addr=VIP6)) == {"b1", "b2", "b3"}
        with pytest.raises(BlockingIOError):
            server.accept()
    rules = lab.run("lb", "nft", "list", "ruleset").stdout
    dropped = re.search(r"chain ours6 {[^}]*counter packets (\d+)", re.sub(r"{ ip6 .*?}", "", rules))
    # The program of the fast path is sooner.
    assert int(dropped[1]) == 0 if fast_path == "auto" else int(dropped[1]) > 200, rules
    culvert.kill()
    assert lab.nft_tables() == []
    assert http.outcome(lab, addr=VIP6) == "ConnectionRefusedError"


def forget_neighbours(lab, host="client"):
    lab.run(host, "ip", "-6", "neigh", "flush", "all")


def test_the_kernel_goes_on_with_neighbour_discovery_and_echo(lab, culvert):
    start(lab, culvert)
    for host in ("client", "lb", *lab.backend_names()):
        forget_neighbours(lab, host)
    assert sum(http.short_connections(lab, 50, addr=VIP6).values()) == 50
    for source, addr in (("client", VIP6), ("b1", "fd00::2")):
        forget_neighbours(lab, source)
        lab.run(source, "ping", "-6", "-c", "1", "-W", "5", addr)
    assert http.outcome(lab, addr=VIP6, port=81) == "ConnectionRefusedError"


def link_local_addr(lab, host, dev="eth0"):
    text = lab.run(host, "ip", "-6", "-o", "addr", "show", "dev", dev, "scope", "link").stdout
    return re.search(r"inet6 (fe80:[^/]*)/", text)[1]


def test_routers_may_be_known_by_their_link_local_addresses(make_lab, make_culvert, files, big):
    lab = make_lab("routed", files=files)
    for dst, router in (("::/0", "r1"), ("fd00:1::/64", "r2")):
        lab.run("lb", "ip", "-6", "route", "replace", dst, "via", link_local_addr(lab, router),
                "dev", "eth0")
    for host in lab.backend_names():
        lab.run(host, "ip", "-6", "route", "replace", "::/0", "via",
                link_local_addr(lab, "r2", "eth1"), "dev", "eth0")
    culvert = make_culvert(lab)
    start(lab, culvert)
    assert sum(http.short_connections(lab, 100, addr=VIP6).values()) == 100
    assert_transfers(lab, files, big)


def narrow(lab, router, net, dev):
    """The link itself stays wide: the router must say "packet too big", and be heard."""
    lab.run(router, "ip", "-6", "route", "replace", net, "dev", dev, "metric", 256, "mtu", "lock",
            NARROW)


@pytest.mark.parametrize("offloads", ["on", "off"])
def test_the_client_learns_of_a_narrow_link_to_the_backends(make_lab, make_culvert, files, big,
                                                            offloads):
    lab = make_lab("routed", offloads, files=files)
    culvert = make_culvert(lab)
    start(lab, culvert)
    narrow(lab, "r2", "fd00:1::/64", "eth1")
    assert_uploaded(lab, files, big)
    assert f"mtu {NARROW}" in lab.run("client", "ip", "-6", "route", "get", VIP6).stdout


@pytest.mark.parametrize("offloads", ["on", "off"])
def test_the_backend_learns_of_a_narrow_link_to_the_client(make_lab, make_culvert, files, big,
                                                           offloads):
    lab = make_lab("routed", offloads, files=files)
    culvert = make_culvert(lab)
    start(lab, culvert)
    narrow(lab, "r1", "fd00:2::/64", "eth0")
    assert http.download(lab, f"/files/{big[0]}", addr=VIP6) == big[1:]
    routes = [lab.run(host, "ip", "-6", "route", "get", "fd00::2").stdout
              for host in lab.backend_names()]
    assert any(f"mtu {NARROW}" in route for route in routes), routes


def test_backends_on_a_link_of_1280_bytes(make_lab, make_culvert, files, big):
    lab = make_lab("two-arm", files=files)
    lab.run("lb", "ip", "link", "set", "eth1", "mtu", NARROW)
    for host in lab.backend_names():
        lab.run(host, "ip", "link", "set", "eth0", "mtu", NARROW)
    culvert = make_culvert(lab)
    start(lab, culvert)
    assert_transfers(lab, files, big)


def test_a_virtual_address_that_nobody_has_is_named_with_the_way_to_add_it(lab, culvert):
    settings = config.passthrough(lab, family=6)
    settings["frontends"]["web"]["listen_addr"] = "[fd00::77]:80"
    result = culvert.run("--passthrough", "--config", culvert.write_config(settings))
    assert result.returncode == 1
    assert "ip address add fd00::77/128 preferred_lft 0 dev INTERFACE" in result.stderr


# --- dsr -----------------------------------------------------------------------------------------

def start_dsr(lab, culvert, method="nat", **options):
    culvert.start(config.dsr(lab, method, family=6, **options))
    culvert.await_all_up(family=6)


def assert_answered_directly(lab, big):
    devs = ("eth0", "eth1") if lab.topology == "two-arm" else ("eth0",)
    answers = http.short_connections(lab, 200, addr=VIP6)
    assert set(answers) == {"b1", "b2", "b3"} and sum(answers.values()) == 200, answers
    assert http.get(lab, "/whoami", addr=VIP6).split()[1] == lab.client_addr(6)
    before = dsr_lab.received_bytes(lab, "lb", devs)
    assert http.download(lab, f"/files/{big[0]}", addr=VIP6) == big[1:]
    assert dsr_lab.received_bytes(lab, "lb", devs) - before < FILE_BYTES / 10


@every_place
def test_dsr_by_translation(make_lab, make_culvert, files, big, where, workers):
    lab = make_lab(direct=True, files=files, **where)
    dsr_lab.open_path(lab)
    dsr_lab.translate_answers(lab, family=6)
    culvert = make_culvert(lab)
    start_dsr(lab, culvert, workers=workers)
    assert_answered_directly(lab, big)
    assert_uploaded(lab, files, big)
    assert culvert.stats()["total_bytes_rx"] == 0


@pytest.mark.parametrize("topology", TOPOLOGIES)
def test_dsr_of_datagrams(make_lab, make_culvert, echo_servers, topology):
    lab = make_lab(topology, direct=True)
    dsr_lab.open_path(lab)
    echo_servers(lab)
    dsr_lab.translate_answers(lab, UDP_PORT, UDP_PORT, "udp", family=6)
    culvert = make_culvert(lab)
    culvert.start(config.dsr(lab, family=6, protocol="udp", port=UDP_PORT))
    assert len(echoes(lab)) == 1, "one client, one backend"


@pytest.mark.parametrize("topology", ["one-arm", "two-arm"])
def test_dsr_of_datagrams_by_link_addresses(make_lab, make_culvert, echo_servers, topology):
    lab = make_lab(topology, direct=True)
    dsr_lab.open_path(lab)
    dsr_lab.hold_vip(lab, family=6)
    echo_servers(lab)
    culvert = make_culvert(lab)
    culvert.start(config.dsr(lab, "l2", family=6, protocol="udp", port=UDP_PORT))
    assert len(echoes(lab)) == 1, "one client, one backend"


@pytest.mark.parametrize("topology", ["two-arm", "routed"])
@pytest.mark.parametrize("offloads", ["on", "off"])
def test_dsr_backends_learn_of_a_narrow_link_to_the_client(make_lab, make_culvert, files, big,
                                                           topology, offloads):
    lab = make_lab(topology, offloads, direct=True, files=files)
    dsr_lab.open_path(lab)
    dsr_lab.translate_answers(lab, family=6)
    culvert = make_culvert(lab)
    start_dsr(lab, culvert)
    dsr_lab.narrow_the_way_back(lab, NARROW, family=6)
    assert http.download(lab, f"/files/{big[0]}", addr=VIP6) == big[1:]
    dsr_lab.assert_narrow(lab, NARROW, family=6)


def mac_of(lab, host):
    return lab.run(host, "cat", "/sys/class/net/eth0/address").stdout.strip()


@pytest.mark.parametrize("topology", ["one-arm", "two-arm"])
def test_dsr_by_link_addresses(make_lab, make_culvert, files, big, topology):
    """The backends have the VIP by the script that is for that, and nobody hears of it."""
    lab = make_lab(topology, direct=True, files=files)
    dsr_lab.open_path(lab)
    own = ["--method", "l2", "--vip", VIP6, "--dev", "eth0"]
    try:
        for host in lab.backend_names():
            lab.run(host, BACKEND_SCRIPT, "up", *own)
        culvert = make_culvert(lab)
        start_dsr(lab, culvert, "l2")
        assert_answered_directly(lab, big)
        for _ in range(3):
            forget_neighbours(lab)
            assert http.get(lab, addr=VIP6)
            known = lab.run("client", "ip", "-6", "neigh", "show", VIP6).stdout
            assert mac_of(lab, "lb") in known, known
    finally:
        for host in lab.backend_names():  # its notes are not in the lab's namespaces
            lab.run(host, BACKEND_SCRIPT, "down", *own)


def test_dsr_connections_outlive_a_kill(make_lab, make_culvert):
    lab = make_lab(direct=True)
    dsr_lab.translate_answers(lab, family=6)
    culvert = make_culvert(lab)
    start_dsr(lab, culvert)
    kept = [http.connect(lab, addr=VIP6, timeout=20) for _ in range(20)]
    before = [http.request(sock) for sock in kept]
    culvert.kill()
    start_dsr(lab, culvert)
    assert [http.request(sock) for sock in kept] == before


def test_dsr_by_tunnel_is_refused_with_the_reason(lab, culvert):
    path = culvert.write_config(config.dsr(lab, "ipip", family=6))
    result = culvert.run("--dsr", "--config", path)
    assert result.returncode == 2
    assert "is IPv6, and method \"ipip\" carries IPv4 only" in result.stderr
