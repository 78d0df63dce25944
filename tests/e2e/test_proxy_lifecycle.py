# SPDX-License-Identifier: Apache-2.0
"""Proxy mode from start to stop: draining, crashing, addresses that are not to be had, privileges,
and what it tells."""

import contextlib
import pathlib
import re
import shutil
import signal
import socket
import tempfile
import threading
import time

import pytest

from conftest import finish
from harness import config, http, streams
from harness.lab import VIP
from harness.servers import Nginx
from harness.wait import await_condition
from test_bulk import make_file

EVERY_BACKEND = {"b1", "b2", "b3"}
AS_NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all"]
SECONDS_AT_ONCE = 2  # on a busy machine


@pytest.fixture
def lab(shared_lab):
    return shared_lab


@pytest.fixture
def own(make_lab, make_proxy):
    """A lab to change, and culvert for it."""
    lab = make_lab()
    return lab, make_proxy(lab)


def start(proxy, lab, **keys):
    proxy.start(config.proxy(lab, proxy=keys))
    proxy.await_all_up()


def stop(proxy, number=signal.SIGTERM):
    """Say so, and return what the log says then."""
    proxy.process.send_signal(number)
    await_condition(lambda: proxy.log_lines(f"SIG{number.name[3:]}"), "a line about the signal")


def await_clean_exit(proxy, within=20):
    begin = time.monotonic()
    assert proxy.await_exit(within + 5) == 0, proxy.log()
    assert time.monotonic() - begin < within
    proxy.assert_log_clean()


# --- stopping ------------------------------------------------------------------------------------

@pytest.mark.smoke
def test_sigterm_lets_a_download_finish_and_takes_no_new_ones(make_lab, make_proxy, tmp_path):
    lab = make_lab(backends=1, files=tmp_path)
    proxy = make_proxy(lab)
    size = 16 << 20
    digest = make_file(tmp_path / "file", size)
    start(proxy, lab)
    runs, results = threading.Event(), []
    thread = threading.Thread(target=lambda: results.append(http.download(
        lab, "/files/file", rate=size // 2, on_start=runs.set)))
    thread.start()
    assert runs.wait(10)
    stop(proxy)
    await_condition(lambda: http.outcome(lab) == "ConnectionRefusedError", "nobody listens")
    assert proxy.process.poll() is None
    assert proxy.sessions()["current"] == 1
    thread.join()
    await_clean_exit(proxy, within=SECONDS_AT_ONCE)  # and not when drain_timeout is over
    assert results == [(size, digest)]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_what_has_not_finished_by_drain_timeout_is_reset(lab, proxy, number):
    start(proxy, lab, drain_timeout=0.5)
    with http.connect(lab) as sock:
        http.request(sock)
        stop(proxy, number)
        time.sleep(0.1)
        assert http.request(sock) in EVERY_BACKEND
        with pytest.raises(ConnectionResetError):
            sock.recv(1)
    await_clean_exit(proxy, within=SECONDS_AT_ONCE)
    assert proxy.log_lines("resetting 1 session"), proxy.log()


def test_a_second_signal_ends_it_at_once(lab, proxy):
    start(proxy, lab)
    with http.connect(lab) as sock:
        http.request(sock)
        stop(proxy)
        assert http.request(sock) in EVERY_BACKEND
        proxy.process.send_signal(signal.SIGTERM)
        with pytest.raises(ConnectionResetError):
            sock.recv(1)
    await_clean_exit(proxy, within=SECONDS_AT_ONCE)
    assert proxy.log_lines("again") and proxy.log().endswith("culvert: stopped\n"), proxy.log()


def test_without_drain_timeout_the_first_signal_ends_it(lab, proxy):
    start(proxy, lab, drain_timeout=0)
    with http.connect(lab) as sock:
        http.request(sock)
        stop(proxy)
        with pytest.raises(ConnectionResetError):
            sock.recv(1)
    await_clean_exit(proxy, within=SECONDS_AT_ONCE)


def test_without_sessions_there_is_nothing_to_wait_for(lab, proxy):
    start(proxy, lab)
    http.get(lab)
    stop(proxy)
    await_clean_exit(proxy, within=SECONDS_AT_ONCE)


def test_a_signal_ends_it_while_it_awaits_its_first_backend(own):
    lab, proxy = own
    for name in lab.backend_names():
        lab.silence(name)
    proxy.start(config.proxy(lab), await_ready=False)
    await_condition(lambda: "configuration" in proxy.log(), "its first line")
    stop(proxy)
    await_clean_exit(proxy, within=SECONDS_AT_ONCE)
    assert not proxy.log_lines("ready"), proxy.log()


@pytest.mark.smoke
def test_who_is_in_the_queue_at_the_signal_is_served(lab, proxy, stream_peer):
    """A connection that the kernel has made is not refused any more."""
    for name in lab.backend_names():
        stream_peer(lab, name, "echo")
    proxy.start(config.proxy(lab, backend_port=streams.PORT))
    proxy.await_all_up(port=streams.PORT)
    proxy.process.send_signal(signal.SIGSTOP)
    with contextlib.ExitStack() as stack:
        socks = [stack.enter_context(http.connect(lab)) for _ in range(50)]
        for sock in socks:
            sock.sendall(b"x")
        proxy.process.send_signal(signal.SIGTERM)
        proxy.process.send_signal(signal.SIGCONT)
        for sock in socks:
            assert sock.recv(1) == b"x"
    await_clean_exit(proxy, within=SECONDS_AT_ONCE)


# --- starting again ------------------------------------------------------------------------------

def test_it_starts_at_once_after_a_crash(lab, proxy):
    """With connections of before in every state."""
    settings = config.proxy(lab)
    proxy.start(settings)
    proxy.await_all_up()
    http.short_connections(lab, 50)
    with http.connect(lab) as open_one, http.connect(lab) as half_closed:
        http.request(open_one)
        half_closed.shutdown(socket.SHUT_WR)
        proxy.kill()
        proxy.start(settings)
        proxy.await_all_up()
        assert set(http.short_connections(lab, 100)) == EVERY_BACKEND
        with pytest.raises(ConnectionError):
            http.request(open_one)


def test_it_starts_at_once_after_a_stop(lab, proxy):
    for _ in range(3):
        start(proxy, lab)
        http.short_connections(lab, 20)
        proxy.stop()


def test_a_second_one_is_refused_and_the_first_goes_on(lab, proxy, make_proxy):
    start(proxy, lab)
    settings = config.proxy(lab, stats={"port": config.STATS_PORT + 1})
    status, log = make_proxy(lab).refusal(settings)
    assert status == 1
    assert f"{VIP}:80 is in use" in log and "ss -ltnp" in log, log
    answers = http.short_connections(lab, 100)
    assert set(answers) == EVERY_BACKEND, answers


def test_a_second_one_with_another_address_runs_beside_it(lab, proxy, make_proxy):
    start(proxy, lab)
    second = make_proxy(lab)
    second.start(config.proxy(lab, port=8080, stats={"port": 0}))
    assert http.get(lab, port=8080) in EVERY_BACKEND
    assert http.get(lab) in EVERY_BACKEND
    second.process.terminate()
    assert second.await_exit() == 0
    assert http.get(lab) in EVERY_BACKEND


@pytest.mark.parametrize("listen_addr", [f"{VIP}:80", "0.0.0.0:80", "[::]:80"])
def test_an_address_of_another_program_is_refused(lab, proxy, servers, listen_addr):
    servers(Nginx, lab, "lb", "80", "somebody else", port=80)
    status, log = proxy.refusal(config.proxy(lab, frontends={"web": {"listen_addr": listen_addr}}))
    assert status == 1
    assert f"{listen_addr} is in use by another program" in log, log
    assert http.get(lab) == "somebody else"


@pytest.mark.parametrize("listen_addr", ["10.9.9.1:80", "[fd99::1]:80"])
def test_an_address_that_is_not_of_this_host_is_refused(lab, proxy, listen_addr):
    status, log = proxy.refusal(config.proxy(lab, frontends={"web": {"listen_addr": listen_addr}}))
    assert status == 1
    assert f"does not have the address of {listen_addr}" in log, log


def test_the_statistics_port_in_use_is_a_failure_to_start(lab, proxy, make_proxy):
    start(proxy, lab)
    status, log = make_proxy(lab).refusal(config.proxy(lab, port=8080))
    assert status == 1
    assert f"{config.STATS_PORT}" in log and "[stats] port" in log, log


# --- privileges ----------------------------------------------------------------------------------

@pytest.fixture
def nobodys(proxy):
    """culvert with a configuration that everybody may read, where everybody may run it."""
    with tempfile.TemporaryDirectory(prefix="culvert-e2e-") as directory:
        proxy.directory = pathlib.Path(directory)
        proxy.directory.chmod(0o755)
        copy = proxy.directory / ("culvert-thread" if "thread" in proxy.binary else "culvert")
        proxy.binary = str(shutil.copy(proxy.binary, copy))
        yield proxy
        finish(proxy)


@pytest.mark.smoke
def test_it_needs_no_root(lab, nobodys):
    nobodys.start(config.proxy(lab, port=8080), wrapper=AS_NOBODY)
    nobodys.await_all_up()
    assert set(http.short_connections(lab, 100, port=8080)) == EVERY_BACKEND
    assert "must be root" not in nobodys.log(), nobodys.log()
    nobodys.ledger()


def test_a_port_below_the_unprivileged_ones_is_refused_with_advice(lab, nobodys):
    status, log = nobodys.refusal(config.proxy(lab), wrapper=AS_NOBODY)
    assert status == 1
    assert "CAP_NET_BIND_SERVICE" in log and "higher port" in log, log


# --- what it tells -------------------------------------------------------------------------------

def test_help_says_what_there_is(proxy):
    lines = [line for line in proxy.run("--help").stdout.splitlines() if "--proxy " in line]
    assert lines and "not there yet" not in lines[-1], lines


def test_it_says_that_a_pool_has_no_backend_yet(own):
    """Its clients are reset until there is one, and `fall` checks would have to fail for a word."""
    lab, proxy = own
    for name in lab.backend_names():
        lab.stop(name)
    settings = config.proxy(lab, backends={"web": {"health_check_interval": 3, "fall": 3}})
    proxy.start(settings)
    lines = proxy.log_lines("no backend")
    assert len(lines) == 1 and "pool web" in lines[0], proxy.log()
    assert proxy.log().index("no backend") < proxy.log().index("ready"), proxy.log()


def test_a_source_address_that_is_not_of_this_host_is_refused(lab, proxy):
    settings = config.proxy(lab, proxy={"source_addrs": ["10.0.0.2", "10.9.9.1"]})
    status, log = proxy.refusal(settings)
    assert status == 1, log
    assert "source_addrs" in log and "10.9.9.1" in log, log


def test_it_says_whose_proxy_header_was_bad(lab, proxy):
    proxy.start(config.proxy(lab, frontends={"web": {"accept_proxy": ["10.0.0.10"]}}))
    for _ in range(5):
        assert http.outcome(lab) == "ConnectionResetError"
    lines = proxy.log_lines("bad PROXY header")
    assert 1 <= len(lines) <= 2, proxy.log()  # of each thread one, and not of each connection
    assert "frontend web" in lines[0] and "10.0.0.10:" in lines[0], lines


def test_a_flood_of_failures_is_a_few_lines_that_count_them_all(lab, proxy):
    proxy.start(config.proxy(lab, frontends={"web": {"accept_proxy": ["10.0.0.10"]}}))
    n_clients = 10000

    def fail(count):
        with lab.inside("client"):
            for _ in range(count):
                with socket.create_connection((VIP, 80), timeout=60) as sock, contextlib.suppress(ConnectionError):
                    sock.sendall(b"GET / HTTP/1.0\r\n\r\n")
                    sock.recv(1)

    threads = [threading.Thread(target=fail, args=[n_clients // 20]) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    await_condition(lambda: proxy.sessions()["ends"]["header_invalid"] == n_clients, "all have failed")

    def lines():
        return proxy.log_lines("bad PROXY header")

    def n_told():
        left_out = [re.search(r"(\d+) more like this were left out", line) for line in lines()]
        return sum(int(match[1]) if match else 1 for match in left_out)

    await_condition(lambda: n_told() == n_clients, "each is counted", 40)
    assert len(lines()) <= 20, proxy.log()


def test_beside_a_packet_mode_it_says_who_gets_what(make_lab, make_culvert, make_proxy):
    lab = make_lab(backends=1)
    other = make_culvert(lab)
    other.start(config.passthrough(lab, stats={"port": config.STATS_PORT + 1}))
    proxy = make_proxy(lab)
    proxy.start(config.proxy(lab, port=8080))
    assert len(proxy.log_lines("culvert runs in a packet mode as well")) == 1, proxy.log()
    other.stop()
