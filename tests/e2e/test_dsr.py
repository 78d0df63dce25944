# SPDX-License-Identifier: Apache-2.0
"""DSR: what a client sends goes through the balancer, what it gets comes from the backend directly."""

import socket
import threading
import time

import pytest

from harness import api, config, dsr_lab, http
from harness.config import UDP_PORT
from harness.lab import ROOT, VIP
from harness.wait import await_condition
from test_bulk import BULK_BYTES, big, files, make_file, sha256_of  # big and files are fixtures

EVERYWHERE = [
    pytest.param({"topology": topology, "offloads": offloads}, id=f"{topology}-offloads-{offloads}")
    for topology in dsr_lab.TOPOLOGIES for offloads in ("on", "off")]


NARROW = 1300

# What a machine that has other things to do may lose.
OVERLOAD = {"ring_full", "tx_full", "no_buffer"}


@pytest.fixture
def make_dsr(make_lab, make_culvert, files):
    """Call it for a lab whose backends translate, and culvert in it: (lab, culvert)."""
    def make(workers=0, lab_options=None, **overrides):
        lab = make_lab(direct=True, files=files, **(lab_options or {}))
        dsr_lab.open_path(lab)
        dsr_lab.translate_answers(lab)
        culvert = make_culvert(lab)
        culvert.start(config.dsr(lab, workers=workers, **overrides))
        culvert.await_all_up()
        return lab, culvert
    return make


def dropped(culvert):
    """The reasons for which packets have been dropped."""
    return {name for name, count in culvert.stats()["drops"].items() if count}


def balancer_devs(lab):
    return ("eth0", "eth1") if lab.topology == "two-arm" else ("eth0",)


@pytest.mark.parametrize("where", EVERYWHERE)
@pytest.mark.parametrize("workers", [0, 2])
def test_connections_are_answered_past_the_balancer(make_dsr, big, where, workers):
    lab, culvert = make_dsr(workers, where)
    answers = http.short_connections(lab, 300)
    assert set(answers) == {"b1", "b2", "b3"} and sum(answers.values()) == 300
    name, client, _ = http.get(lab, "/whoami").split()
    assert client == ("10.2.0.10" if where["topology"] == "routed" else "10.0.0.10")

    before = dsr_lab.received_bytes(lab, "lb", balancer_devs(lab))
    assert http.download(lab, f"/files/{big[0]}") == big[1:]
    assert dsr_lab.received_bytes(lab, "lb", balancer_devs(lab)) - before < BULK_BYTES / 20
    assert max(dsr_lab.answered_bytes(lab, host) for host in lab.backend_names()) > BULK_BYTES
    stats = culvert.stats()
    assert stats["total_bytes_rx"] == 0 and stats["total_bytes_tx"] > 0
    for kind in ("frontends", "backends"):
        for one in api.get(culvert, f"/api/v1/{kind}")[kind]:
            assert one["bytes"]["tx"] > 0 and one["bytes"]["rx"] is None and one["packets"]["rx"] is None, one
    assert all(flow["bytes"]["rx"] is None for flow in api.get(culvert, "/api/v1/flows")["flows"])
    assert b"backend_received_bytes_total" not in api.ask(culvert, "GET", "/metrics")[2]
    assert dropped(culvert) <= OVERLOAD


@pytest.mark.smoke
def test_a_few_connections(make_dsr):
    lab, culvert = make_dsr(2)
    assert sum(http.short_connections(lab, 60).values()) == 60
    assert culvert.log_lines("ready: dsr (nat), 2 worker threads")
    assert dropped(culvert) <= OVERLOAD


@pytest.mark.parametrize("offloads", ["on", "off"])
def test_an_upload_arrives_whole(make_dsr, files, big, offloads):
    lab, _ = make_dsr(0, {"offloads": offloads})
    http.upload(lab, f"/files/up-{lab.name}", files / big[0])
    assert sha256_of(files / f"up-{lab.name}") == big[2]


@pytest.mark.parametrize("topology", ["two-arm", "routed"])
@pytest.mark.parametrize("offloads", ["on", "off"])
def test_the_backend_learns_of_a_narrow_link_to_the_client(make_dsr, big, topology, offloads):
    lab, _ = make_dsr(0, {"topology": topology, "offloads": offloads})
    dsr_lab.narrow_the_way_back(lab, NARROW)
    assert http.download(lab, f"/files/{big[0]}") == big[1:]
    dsr_lab.assert_narrow(lab, NARROW)


def test_the_backends_port_may_be_another(make_lab, make_culvert):
    lab = make_lab(direct=True)
    dsr_lab.translate_answers(lab, backend_port=8080)
    culvert = make_culvert(lab)
    servers = {name: {"addr": f"{lab.backend_addr(name)}:8080"} for name in lab.backend_names()}
    culvert.start(config.dsr(lab, backends={"web": {"servers": servers}}))
    culvert.await_all_up(port=8080)
    assert set(http.short_connections(lab, 100)) == {"b1", "b2", "b3"}


def test_datagrams(make_lab, make_culvert, echo_servers):
    lab = make_lab(direct=True)
    echo_servers(lab)
    dsr_lab.translate_answers(lab, UDP_PORT, UDP_PORT, "udp")
    culvert = make_culvert(lab)
    culvert.start(config.dsr(lab, protocol="udp", port=UDP_PORT))
    with lab.inside("client"):
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with sock:
        sock.settimeout(5)
        sock.connect((VIP, UDP_PORT))  # so that answers from anybody else are not taken
        answers = set()
        for number in range(20):
            sock.send(b"question %d" % number)
            answer = sock.recv(2048)
            assert answer[1:] == b"question %d" % number
            answers.add(answer[:1])
    assert len(answers) == 1, "one client, one backend"


def test_a_silent_backends_connections_are_reset(make_dsr):
    lab, culvert = make_dsr()
    kept = {name: [] for name in lab.backend_names()}
    for _ in range(30):
        sock = http.connect(lab)
        kept[http.request(sock)].append(sock)
    lab.silence("b2")
    culvert.await_backend("b2", is_up=False)
    began = time.monotonic()
    for sock in kept["b2"]:
        with pytest.raises(ConnectionResetError):
            http.request(sock)
    assert time.monotonic() - began < 5
    for name in ("b1", "b3"):
        for sock in kept[name]:
            assert http.request(sock) == name
    assert set(http.short_connections(lab, 100)) == {"b1", "b3"}


def test_live_connections_stay_when_a_backend_returns(make_dsr):
    lab, culvert = make_dsr()
    lab.stop("b2")
    culvert.await_backend("b2", is_up=False)
    kept = [http.connect(lab) for _ in range(30)]
    before = [http.request(sock) for sock in kept]
    lab.start("b2")
    culvert.await_backend("b2")
    assert [http.request(sock) for sock in kept] == before
    assert set(http.short_connections(lab, 200)) == {"b1", "b2", "b3"}


def run_downloads(lab, files, while_running, count=50):
    """`count` downloads that take a while, and something that happens meanwhile."""
    small = "small", 4 << 20, make_file(files / "small", 4 << 20)
    started = threading.Semaphore(0)

    def fetch(_):
        got = http.download(lab, "/files/small", rate=1 << 20, on_start=started.release)
        assert got == small[1:]

    def meddle():
        for _ in range(count):
            assert started.acquire(timeout=60)
        while_running()

    meddler = threading.Thread(target=meddle)
    meddler.start()
    try:
        http.run_threads(fetch, range(count))
    finally:
        meddler.join()


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("end", ["kill", "stop"])
def test_no_connection_breaks_when_culvert_is_killed_and_started_again(make_dsr, files, workers, end):
    lab, culvert = make_dsr(workers)
    settings = config.dsr(lab, workers=workers)

    def restart():
        getattr(culvert, end)()
        time.sleep(1)  # acknowledgements of all downloads come in the meantime
        culvert.start(settings)

    run_downloads(lab, files, restart, count=200 if end == "kill" else 50)
    assert dropped(culvert) <= OVERLOAD | {"no_flow", "no_backend", "neighbour_unresolved"}
    assert culvert.stats()["flows"]["current"] > 0


def test_a_restart_waits_for_a_backend_that_takes_long_to_check(make_dsr, files):
    patience = {"backends": {"web": {"fall": 100}}}
    lab, culvert = make_dsr(**patience)
    block = "table inet block { chain input { type filter hook input priority 0;" \
        f" ip saddr {lab.backend_facing_addr()} tcp dport 80 drop; }}; }}"

    def restart():
        culvert.kill()
        lab.run("b3", "nft", block)
        culvert.start(config.dsr(lab, **patience))
        culvert.await_backend("b1")
        culvert.await_backend("b2")
        time.sleep(1)  # acknowledgements for b3 come in the meantime
        lab.run("b3", "nft", "delete table inet block")

    run_downloads(lab, files, restart)
    assert culvert.stats()["drops"]["no_flow"] > 0


def test_connections_of_a_backend_that_is_dead_at_the_restart_disturb_no_others(make_dsr, files):
    lab, culvert = make_dsr()
    lab.stop("b2")
    culvert.await_backend("b2", is_up=False)

    def restart():
        culvert.kill()
        culvert.start(config.dsr(lab))

    run_downloads(lab, files, restart)


def test_rules_of_the_hosts_own_outlive_culvert_as_well(make_lab, make_culvert, files):
    lab = make_lab(direct=True, files=files)
    dsr_lab.translate_answers(lab)
    culvert = make_culvert(lab)
    settings = config.dsr(lab, firewall={"manage": False})
    path = culvert.write_config(settings)
    setup = str(ROOT / "iptables" / "setup.sh")
    lab.run("lb", setup, "up", "--config", path, "--culvert", culvert.binary)
    assert lab.reserved_ports() == "", "no ports are translated"
    culvert.start(settings)
    culvert.await_all_up()

    def restart():
        culvert.kill()
        culvert.start(settings)

    run_downloads(lab, files, restart, count=10)
    assert lab.nft_tables() == ["table ip raw"]
    culvert.stop()
    lab.run("lb", setup, "down")


def test_what_is_left_for_the_next_start_is_removed_by_another_mode(make_dsr):
    lab, culvert = make_dsr()
    culvert.kill()
    assert "table netdev culvert_restart" in lab.nft_tables()
    culvert.start(config.passthrough(lab))
    assert "table netdev culvert_restart" not in lab.nft_tables()


def test_without_any_backend_connections_are_refused_at_once(make_dsr):
    lab, culvert = make_dsr()
    for name in lab.backend_names():
        lab.silence(name)
    for name in lab.backend_names():
        culvert.await_backend(name, is_up=False)
    assert http.outcome(lab) == "ConnectionRefusedError"
    await_condition(lambda: culvert.stats()["drops"]["no_backend"] >= 1, "the drop is counted")
