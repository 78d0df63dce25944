# SPDX-License-Identifier: Apache-2.0
"""Proxy mode at its limits: connections, open files, source ports."""

import contextlib
import itertools
import time

import pytest

from harness import config, http, streams
from harness.lab import VIP
from harness.wait import await_condition

LAB = {"backends": 1}
BUSY_SHARE = 0.1  # of a processor, while nothing can be done
QUIET_SECONDS = 1.5


@pytest.fixture
def lab(shared_lab):
    return shared_lab


@pytest.fixture
def own(make_lab, make_proxy):
    """A lab to change, and culvert for it."""
    lab = make_lab(**LAB)
    return lab, make_proxy(lab)


def start(proxy, lab, *, wrapper=(), frontends=None, **keys):
    proxy.start(config.proxy(lab, frontends=frontends or {}, proxy=keys), wrapper=wrapper)
    proxy.await_all_up()


def hold(stack, lab, count, **where):
    """Connections that have been answered."""
    socks = [stack.enter_context(http.connect(lab, **where)) for _ in range(count)]
    for sock in socks:
        assert http.request(sock) == "b1"
    return socks


def is_answered(sock, seconds):
    """Within that time."""
    sock.settimeout(seconds)
    try:
        return sock.recv(65536).startswith(b"HTTP/1.1 200")
    except TimeoutError:
        return False


def ask(stack, lab, **where):
    sock = stack.enter_context(http.connect(lab, **where))
    sock.sendall(b"GET / HTTP/1.1\r\nHost: lab\r\n\r\n")
    return sock


# --- connections ---------------------------------------------------------------------------------

@pytest.mark.smoke
@pytest.mark.parametrize("scope", ["all", "frontend"])
def test_beyond_the_limit_clients_wait_their_turn(lab, proxy, scope):
    limit = {"max_connections": 8}
    start(proxy, lab, **(limit if scope == "all" else {}), frontends={
        "web": limit if scope == "frontend" else {},
        "other": {"listen_addr": f"{VIP}:8080", "backend": "web"}})
    with contextlib.ExitStack() as stack:
        held = hold(stack, lab, 8)
        waiting = [ask(stack, lab) for _ in range(4)]
        assert not any(is_answered(sock, 0.3) for sock in waiting)
        assert proxy.sessions()["current"] == 8
        assert proxy.sessions()["accept_pauses"] >= 1
        aside = ask(stack, lab, port=8080)
        assert is_answered(aside, 0.3) == (scope == "frontend")
        for sock in held:
            sock.close()
        if scope == "all":
            waiting.append(aside)
        assert all(is_answered(sock, 5) for sock in waiting)
    assert proxy.all_ended()["ends"]["connection_limit"] == 0


def test_refused_clients_learn_it_at_once(lab, proxy):
    start(proxy, lab, max_connections=8, on_full="refuse")
    with contextlib.ExitStack() as stack:
        held = hold(stack, lab, 8)
        for _ in range(20):
            assert http.outcome(lab) == "ConnectionResetError"
        assert all(http.request(sock) == "b1" for sock in held)
        held.pop().close()
        await_condition(lambda: proxy.sessions()["current"] == 7, "one has ended")
        assert http.outcome(lab) == "b1"
    sessions = proxy.all_ended()
    assert sessions["ends"]["connection_limit"] == 20
    assert sessions["accepted"] == 29
    assert 1 <= len(proxy.log_lines("no room for more clients")) <= 4, proxy.log()  # a thread says it every 10 s


def test_those_who_wait_are_let_in_as_places_get_free(lab, proxy):
    """When another leaves, not when somebody new comes or at the next look at a clock."""
    start(proxy, lab, max_connections=4)
    count = 200

    def await_turn(sock):
        with sock:
            assert is_answered(sock, 20)

    with contextlib.ExitStack() as stack:
        begin = time.monotonic()
        http.run_threads(await_turn, [ask(stack, lab) for _ in range(count)])
        took = time.monotonic() - begin
    print(f"{count} connections, 4 at a time: {took:.2f} s")
    assert proxy.sessions()["accept_pauses"] > 0
    assert took < count / 4 * 0.08  # ticks of 100 ms would take more


# --- open files ----------------------------------------------------------------------------------

def with_files(count):
    return ["prlimit", f"--nofile={count}"]


def test_too_few_open_files_are_refused_with_advice(lab, proxy):
    status, log = proxy.refusal(config.proxy(lab), wrapper=with_files(64))
    assert status == 1
    assert "open files" in log and "LimitNOFILE" in log and "ulimit -n" in log, log


def test_a_limit_beyond_the_open_files_is_refused_with_advice(lab, proxy):
    settings = config.proxy(lab, proxy={"max_connections": 5000})
    status, log = proxy.refusal(settings, wrapper=with_files(1000))
    assert status == 1
    assert "max_connections = 5000" in log and "LimitNOFILE" in log, log


def test_the_soft_limit_is_raised_to_the_hard_one(lab, proxy):
    start(proxy, lab, wrapper=with_files("256:1000"))
    with contextlib.ExitStack() as stack:
        hold(stack, lab, 200)


def limit_files(lab, proxy, count):
    lab.run("lb", "prlimit", "--pid", proxy.process.pid, f"--nofile={count}:4096")


def first_free_descriptor(proxy):
    """The limit is one of their numbers. A health check has one for a moment."""
    numbers = []
    for _ in range(30):
        used = proxy.descriptors()
        numbers.append(next(number for number in itertools.count() if number not in used))
        time.sleep(0.01)
    return min(numbers)


def cpu_share_of(proxy, seconds):
    """Of one processor."""
    begin, before = time.monotonic(), proxy.cpu_seconds()
    time.sleep(seconds)
    return (proxy.cpu_seconds() - before) / (time.monotonic() - begin)


@pytest.mark.smoke
def test_defect_18_without_descriptors_it_waits_quietly_and_goes_on(lab, proxy):
    start(proxy, lab, wrapper=with_files(4096))
    with contextlib.ExitStack() as stack:
        held = hold(stack, lab, 20)
        limit_files(lab, proxy, first_free_descriptor(proxy))
        waiting = [ask(stack, lab) for _ in range(20)]
        reader = stack.enter_context(http.connect(lab, addr="127.0.0.1", port=config.STATS_PORT,
                                                  host="lb"))
        share = cpu_share_of(proxy, QUIET_SECONDS)
        print(f"{share:.1%} of a processor")
        assert share < BUSY_SHARE
        assert all(http.request(sock) == "b1" for sock in held)
        lines = proxy.log_lines("cannot accept")
        assert 1 <= len(lines) <= 2 and "LimitNOFILE" in lines[0], proxy.log()
        limit_files(lab, proxy, 4096)
        assert all(is_answered(sock, 5) for sock in waiting)
        reader.sendall(b"GET /stats HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert is_answered(reader, 5)
    assert len(proxy.log().splitlines()) < 30, proxy.log()
    proxy.all_ended()


def test_a_session_without_a_descriptor_for_its_backend_is_reset(lab, proxy):
    start(proxy, lab, wrapper=with_files(4096), threads=1)
    with contextlib.ExitStack() as stack:
        hold(stack, lab, 4)
        limit_files(lab, proxy, first_free_descriptor(proxy) + 1)  # one for the client, none for more
        outcomes = {http.outcome(lab, timeout=2) for _ in range(10)}
        limit_files(lab, proxy, 4096)
    assert "ConnectionResetError" in outcomes, outcomes
    assert proxy.all_ended()["ends"]["out_of_resources"] > 0
    assert proxy.log_lines("cannot connect to a backend"), proxy.log()
    assert http.get(lab) == "b1"


# --- source ports --------------------------------------------------------------------------------

def use_ports(lab, first, last):
    lab.run("lb", "sh", "-c", f"echo {first} {last} > /proc/sys/net/ipv4/ip_local_port_range")


def test_without_source_ports_clients_are_reset_and_told_why(own):
    lab, proxy = own
    start(proxy, lab)
    use_ports(lab, 50000, 50019)
    with contextlib.ExitStack() as stack:
        outcomes = []
        for _ in range(40):
            with contextlib.suppress(ConnectionError):
                sock = stack.enter_context(http.connect(lab))
                outcomes.append(http.request(sock))
        assert 10 <= len(outcomes) <= 20, outcomes
        assert proxy.is_up("b1")  # it is not to blame
    assert proxy.server_stats("b1")["connects"]["no_source_port"] > 0
    assert proxy.all_ended()["ends"]["connect_failed"] == 40 - len(outcomes)
    line = proxy.log_lines("cannot connect to a backend")[0]
    assert "ip_local_port_range" in line and "source_addrs" in line, line


def test_more_source_addresses_are_more_ports(own):
    lab, proxy = own
    addrs = [f"10.0.0.{last}" for last in range(3, 6)]
    for addr in addrs:
        lab.run("lb", "ip", "addr", "add", f"{addr}/24", "dev", "eth0")
    start(proxy, lab, source_addrs=addrs)
    use_ports(lab, 50000, 50019)
    with contextlib.ExitStack() as stack:
        seen = set()
        for _ in range(45):
            sock = stack.enter_context(http.connect(lab))
            seen.add(http.request(sock, "/whoami").split()[1])
        assert seen == set(addrs)
