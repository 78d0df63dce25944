# SPDX-License-Identifier: Apache-2.0
"""Proxy mode: connections relayed, shares of backends, families of addresses, Unix sockets, both
syntaxes, statistics."""

import collections
import contextlib
import socket
import threading

import pytest

from harness import config, http
from harness.lab import VIP, VIP6
from harness.servers import Nginx
from harness.wait import await_condition
from test_connections import assert_spread

EVERY_BACKEND = {"b1", "b2", "b3"}
ANYWHERE_PORT = 8081


@pytest.fixture
def lab(shared_lab):
    return shared_lab


def start(culvert, lab, **overrides):
    culvert.start(config.proxy(lab, **overrides))
    culvert.await_all_up()


def hold(stack, lab, count, **where):
    """Kept connections, and who answers how many of them."""
    answers = collections.Counter()
    for _ in range(count):
        sock = stack.enter_context(http.connect(lab, **where))
        answers[http.request(sock)] += 1
    return answers


@pytest.mark.smoke
def test_it_is_the_mode_that_runs_when_none_is_named(lab, proxy):
    proxy.start(config.proxy(lab))
    proxy.await_all_up()
    answer = lab.run("client", "curl", "-sS", "--max-time", 5, f"http://{VIP}/").stdout.strip()
    assert answer in EVERY_BACKEND
    assert proxy.log_lines("ready: proxy, 2 threads"), proxy.log()
    assert proxy.log_lines(f"frontend web: tcp {VIP}:80 to pool web"), proxy.log()


@pytest.mark.parametrize("settings, flags", [({"mode": "proxy"}, ()),
                                             ({"mode": "passthrough"}, ("--proxy",)),
                                             ({"mode": "dsr"}, ("--proxy",))],
                         ids=["by the file", "by the option against the file",
                              "by the option against dsr"])
def test_it_may_be_named(lab, proxy, settings, flags):
    proxy.start(config.proxy(lab, **settings), *flags)
    assert proxy.log_lines("ready: proxy"), proxy.log()
    assert http.get(lab) in EVERY_BACKEND


# --- shares --------------------------------------------------------------------------------------

@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("scheduler, weights", [("maglev", [1, 2, 5]),
                                                ("weighted-round-robin", [1, 2, 5]),
                                                ("round-robin", [1, 1, 1])])
def test_short_connections_are_spread_by_weight(lab, proxy, scheduler, weights, threads):
    start(proxy, lab, weights=[1, 2, 5], frontends={"web": {"scheduler": scheduler}},
          proxy={"threads": threads})
    answers = http.short_connections(lab, 800)
    shares = dict(zip(lab.backend_names(), weights))
    assert_spread(answers, shares, 800)
    if scheduler.endswith("round-robin"):  # no more than a turn of each thread from its share
        for name, weight in shares.items():
            due = 800 * weight / sum(weights)
            assert abs(answers[name] - due) <= threads * weight, answers


@pytest.mark.parametrize("scheduler, slack", [("least-connections", 0), ("random", 8)])
def test_connections_that_are_held_are_levelled_by_weight(lab, proxy, scheduler, slack):
    start(proxy, lab, weights=[1, 2, 5], frontends={"web": {"scheduler": scheduler}})
    with contextlib.ExitStack() as stack:
        held = hold(stack, lab, 160)
        for name, due in {"b1": 20, "b2": 40, "b3": 100}.items():
            assert abs(held[name] - due) <= slack, held
        assert proxy.stats()["current_connections"] == 160
    await_condition(lambda: proxy.stats()["current_connections"] == 0, "all have ended")


def test_weight_zero_takes_no_new_connection(lab, proxy):
    start(proxy, lab, weights=[1, 0, 1])
    assert_spread(http.short_connections(lab, 200), {"b1": 1, "b3": 1}, 200)


def test_source_ip_hash_keeps_a_client_with_one_backend(make_lab, make_proxy):
    lab = make_lab()
    proxy = make_proxy(lab)
    for last in range(20, 40):
        lab.run("client", "ip", "addr", "add", f"10.0.0.{last}/24", "dev", "eth0")
    start(proxy, lab, frontends={"web": {"hash": "source-ip"}})
    used = set()
    for last in range(20, 40):
        answers = {http.get(lab, source=(f"10.0.0.{last}", 0)) for _ in range(4)}
        assert len(answers) == 1, answers
        used |= answers
    assert used == EVERY_BACKEND


@pytest.mark.smoke
def test_a_kept_connection_stays_with_its_backend(lab, proxy):
    start(proxy, lab)

    def converse(_):
        with http.connect(lab) as sock:
            answers = {http.request(sock) for _ in range(40)}
        assert len(answers) == 1, answers

    http.run_threads(converse, range(50))
    assert proxy.stats()["total_connections"] == 50


# --- families of addresses -----------------------------------------------------------------------

@pytest.fixture(scope="module")
def lab6(shared_lab, tmp_path_factory):
    """The same, whose backends answer over IPv6 too, on ANYWHERE_PORT."""
    with contextlib.ExitStack() as stack:
        for name in shared_lab.backend_names():
            server = Nginx(shared_lab, tmp_path_factory.mktemp(name), name,
                           f"[::]:{ANYWHERE_PORT} ipv6only=off", name, port=ANYWHERE_PORT)
            stack.callback(server.kill)
        yield shared_lab


def servers6(lab):
    return {name: {"addr": f"[{lab.backend_addr(name, 6)}]:{ANYWHERE_PORT}"}
            for name in lab.backend_names()}


def start6(proxy, lab, listen_addr, backends_are_v6, **overrides):
    settings = config.proxy(lab, backend_port=ANYWHERE_PORT, **overrides)
    settings["frontends"]["web"]["listen_addr"] = listen_addr
    if backends_are_v6:
        settings["backends"]["web"]["servers"] = servers6(lab)
    proxy.start(settings)
    await_condition(lambda: all(proxy.stats()["backends"]["web"]["servers"].values()), "all are up")


@pytest.mark.parametrize("backends_are_v6", [False, True], ids=["to IPv4", "to IPv6"])
@pytest.mark.parametrize("listen_addr, vips", [(f"{VIP}:80", [VIP]), (f"[{VIP6}]:80", [VIP6]),
                                               ("0.0.0.0:80", [VIP]), ("[::]:80", [VIP, VIP6])])
def test_clients_and_backends_of_either_family(lab6, make_proxy, listen_addr, vips,
                                               backends_are_v6):
    proxy = make_proxy(lab6)
    start6(proxy, lab6, listen_addr, backends_are_v6)
    for vip in vips:
        assert set(http.short_connections(lab6, 60, addr=vip)) == EVERY_BACKEND
    for vip in {VIP, VIP6} - set(vips):
        assert http.outcome(lab6, addr=vip) == "ConnectionRefusedError"


def test_wildcards_of_both_families_are_two_frontends(lab6, make_proxy):
    proxy = make_proxy(lab6)
    start6(proxy, lab6, "[::]:80", True,
           frontends={"old": {"listen_addr": "0.0.0.0:80", "backend": "web"}})
    for vip in (VIP, VIP6):
        assert http.get(lab6, addr=vip) in EVERY_BACKEND
    frontends = proxy.stats()["frontends"]
    assert [frontends[name]["total_connections"] for name in ("web", "old")] == [1, 1]


# --- Unix sockets --------------------------------------------------------------------------------

def start_unix(proxy, lab, path, **pool):
    settings = config.proxy(lab, backends={"web": pool})
    settings["backends"]["web"]["servers"] = {"local": {"addr": f"unix:{path}"}}
    proxy.start(settings)


def test_a_backend_behind_a_unix_socket(lab, proxy, servers, tmp_path):
    path = f"{tmp_path}/web.sock"
    server = servers(Nginx, lab, "lb", f"unix:{path}", "local")
    start_unix(proxy, lab, path)
    assert http.short_connections(lab, 500) == {"local": 500}
    assert proxy.stats()["backends"]["web"]["servers"] == {f"unix:{path}": True}
    server.kill()
    await_condition(lambda: not proxy.stats()["backends"]["web"]["servers"][f"unix:{path}"],
                    "it is down")
    assert http.outcome(lab) == "ConnectionResetError"


@contextlib.contextmanager
def listening(lab, address, backlog):
    """A Unix socket in the balancer's namespace, where an abstract name belongs."""
    with lab.inside("lb"):
        listener = socket.socket(socket.AF_UNIX)
    with listener:
        listener.bind(address)
        listener.listen(backlog)
        yield listener


def echo_lines(listener):
    """Serve one after the other until the listener is shut down."""
    while True:
        try:
            sock, _ = listener.accept()
        except OSError:
            return
        with sock, contextlib.suppress(OSError):  # a probe says nothing, and does not listen
            sock.sendall(sock.recv(100))


@contextlib.contextmanager
def echoing(listener):
    thread = threading.Thread(target=echo_lines, args=(listener,))
    thread.start()
    try:
        yield
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


def is_echoed(lab):
    with http.connect(lab) as sock:
        sock.sendall(b"hello\n")
        return sock.recv(100) == b"hello\n"


def test_a_backend_with_an_abstract_name(lab, proxy):
    with listening(lab, f"\0{lab.name}", 16) as listener, echoing(listener):
        start_unix(proxy, lab, f"@{lab.name}")
        assert all(is_echoed(lab) for _ in range(20))


def test_clients_wait_for_a_unix_socket_whose_queue_is_full(lab, proxy):
    """Where a TCP backend would drop the SYN and see another, connect() of a Unix socket fails at
    once; a client must not see the difference."""
    with listening(lab, f"\0{lab.name}", 1) as listener:
        start_unix(proxy, lab, f"@{lab.name}", health_check="none")
        with contextlib.ExitStack() as stack:
            clients = [stack.enter_context(http.connect(lab)) for _ in range(10)]
            for sock in clients:
                sock.sendall(b"hello\n")
            await_condition(lambda: proxy.sessions()["accepted"] == 10, "all are accepted")
            stack.enter_context(echoing(listener))
            for sock in clients:
                assert sock.recv(100) == b"hello\n"


# --- the file ------------------------------------------------------------------------------------

def test_both_syntaxes_are_one_configuration(lab, proxy):
    settings = config.proxy(lab, weights=[1, 0, 1])
    proxy.start_yaml(settings)
    proxy.await_all_up()
    from_yaml = proxy.stats()
    assert set(http.short_connections(lab, 100)) == {"b1", "b3"}
    proxy.stop()
    proxy.start(settings)
    proxy.await_all_up()
    assert proxy.stats() == from_yaml


# --- statistics ----------------------------------------------------------------------------------

@pytest.mark.smoke
def test_the_numbers_agree_with_the_clients_count(lab, proxy):
    start(proxy, lab)
    answers = http.short_connections(lab, 200)
    sessions = proxy.all_ended()
    assert sessions["accepted"] == sessions["ends"]["completed"] == 200
    stats = proxy.stats()
    request, response = (len("GET / HTTP/1.1\r\nHost: lab\r\nConnection: close\r\n\r\n"),
                         stats["total_bytes_rx"] // 200)
    assert stats["total_bytes_tx"] == 200 * request
    assert stats["total_bytes_rx"] == 200 * response  # all are equally long
    for name, count in answers.items():
        server = proxy.server_stats(name)
        assert server["addr"] == f"{lab.backend_addr(name)}:80"
        assert server["connects"] == {"connected": count, **dict.fromkeys(
            ["refused", "timeout", "unreachable", "no_source_port", "out_of_resources",
             "abandoned", "other"], 0)}
        assert server["bytes_tx"] == count * request and server["bytes_rx"] == count * response
    assert stats["frontends"]["web"]["session_time"]["count"] == 200


def test_current_connections_follow_open_and_close(lab, proxy):
    start(proxy, lab)
    with contextlib.ExitStack() as stack:
        held = hold(stack, lab, 25)
        assert proxy.sessions()["current"] == proxy.stats()["current_connections"] == 25
        for name, count in held.items():
            assert proxy.server_stats(name)["current_connections"] == count
    await_condition(lambda: proxy.stats()["current_connections"] == 0, "all have ended")
    assert proxy.all_ended()["ends"]["completed"] == 25
