# SPDX-License-Identifier: Apache-2.0
"""The fast path comes and goes with the process, asks for no more rights than it needs, and leaves the
host's other observers and rules alone."""

import contextlib
import os
import re
import signal
import subprocess

import pytest

from harness import fast_path, http
from harness.lab import VIP
from harness.reload import reload
from harness.wait import await_condition
from test_fast_path import every_mode, mode_lab, start  # two are fixtures

pytestmark = pytest.mark.packet_sockets("the fast path is theirs")

CAP_BPF = 39
REQUESTS = 50


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
@every_mode
def test_nothing_stays_behind(start, mode, number):
    culvert = start(mode)
    lab = culvert.lab
    with fast_path.conversation(lab, culvert) as (sock, _):
        program, = fast_path.programs(lab)
        assert fast_path.is_loaded(program)
        culvert.process.send_signal(number)
        culvert.await_exit()
        await_condition(lambda: fast_path.programs(lab) == [], "no program on the link")
        await_condition(lambda: not fast_path.is_loaded(program), "no program in memory")
        sock.settimeout(1)
        with pytest.raises(OSError):
            http.request(sock)
    culvert.start(fast_path.settings(lab, mode))
    culvert.await_all_up()
    with fast_path.conversation(lab, culvert) as (sock, _), fast_path.used(culvert, REQUESTS):
        for _ in range(REQUESTS):
            http.request(sock)


def works(culvert):
    with http.connect(culvert.lab) as sock:
        assert len({http.request(sock) for _ in range(REQUESTS)}) == 1


@pytest.mark.smoke
def test_it_does_without_when_it_may_not_load_programs(mode_lab, make_culvert):
    lab = mode_lab("passthrough")
    culvert = make_culvert(lab)
    culvert.start(fast_path.settings(lab, "passthrough"),
                  wrapper=["setpriv", "--bounding-set=-bpf,-sys_admin"])
    culvert.await_all_up()
    line, = culvert.log_lines("no fast path in the kernel: ")
    assert "CAP_BPF" in line
    works(culvert)
    assert fast_path.packets(culvert)[0] == 0 and fast_path.programs(lab) == []


def effective(process):
    """The capabilities of each of its threads."""
    for task in os.listdir(f"/proc/{process.pid}/task"):
        with open(f"/proc/{process.pid}/task/{task}/status", encoding="ascii") as status:
            yield int(re.search(r"CapEff:\s*([0-9a-f]+)", status.read())[1], 16)


def test_a_user_gives_up_the_right_to_load_them(mode_lab, make_culvert):
    lab = mode_lab("passthrough")
    culvert = make_culvert(lab)
    culvert.start(fast_path.settings(lab, "passthrough", api={"socket": "off"}), "--user=nobody")
    culvert.await_all_up()
    with http.connect(lab) as sock:
        for _ in range(REQUESTS):
            http.request(sock)
        await_condition(lambda: culvert.stats()["fast_path"]["packets"] >= 2 * REQUESTS, "all are counted")
    assert all(not capabilities & 1 << CAP_BPF for capabilities in effective(culvert.process))


# ---- others on the same link ------------------------------------------------------------------------

def test_whoever_watches_the_link_sees_it_all(start):
    culvert = start("passthrough")
    tap = culvert.lab.spawn("lb", "tcpdump", "-w", "/dev/null", "-i", "eth0", "tcp port 80",
                            stderr=subprocess.PIPE, text=True)
    try:
        assert any("listening" in line for line in tap.stderr)
        with fast_path.conversation(culvert.lab, culvert) as (sock, _), fast_path.used(culvert, 2 * REQUESTS):
            for _ in range(REQUESTS):
                http.request(sock)
        tap.send_signal(signal.SIGINT)
        received = re.search(r"(\d+) packets received by filter", tap.communicate(timeout=20)[1])
    finally:
        tap.kill()
        tap.wait()
    # Both ways to the backend and both ways to the client.
    assert int(received[1]) >= 4 * REQUESTS


def test_rules_of_the_host_hold_for_what_is_its_own(start):
    culvert = start("passthrough")
    lab = culvert.lab
    rules = """
        table netdev own {
            chain in {
                type filter hook ingress device "eth0" priority -300; policy accept;
                ip protocol icmp counter drop
            }
        }
    """
    ping = ("ping", "-c", "1", "-W", "1", "10.0.0.2")
    assert lab.run("client", *ping, check=False).returncode == 0
    lab.run("lb", "nft", "-f", "-", input=rules)
    try:
        with fast_path.conversation(lab, culvert) as (sock, _), fast_path.used(culvert, REQUESTS):
            assert lab.run("client", *ping, check=False).returncode != 0
            for _ in range(REQUESTS):
                http.request(sock)
    finally:
        lab.run("lb", "nft", "delete", "table", "netdev", "own")
    assert lab.run("client", *ping, check=False).returncode == 0


# ---- what does not take the fast path -----------------------------------------------------------------

@contextlib.contextmanager
def counted_behind(lab, port=80):
    """A function that says how many packets for the frontend have come past culvert's program."""
    lab.run("lb", "nft", "-f", "-", input=f"""
        table netdev behind {{
            chain in {{
                type filter hook ingress device "eth0" priority -600; policy accept;
                ip daddr {VIP} tcp dport {port} counter
            }}
        }}
    """)

    def count():
        rules = lab.run("lb", "nft", "list", "table", "netdev", "behind").stdout
        return int(re.search(r"counter packets (\d+)", rules)[1])

    try:
        yield count
    finally:
        lab.run("lb", "nft", "delete", "table", "netdev", "behind")


@every_mode
def test_what_is_for_its_threads_ends_in_the_program(start, mode):
    culvert = start(mode, passthrough={"fast_path": "auto"})
    with counted_behind(culvert.lab) as count:
        assert sum(http.short_connections(culvert.lab, REQUESTS).values()) == REQUESTS
        assert count() == 0
        culvert.kill()
        http.outcome(culvert.lab)
        assert count() > 0


def test_the_kernel_has_again_what_a_reload_takes_away(start):
    frontends = {"other": {"listen_addr": f"{VIP}:8080", "backend": "web"}}
    soon = {"drain_timeout": 1}
    culvert = start("passthrough", frontends=frontends, reload=soon)
    with counted_behind(culvert.lab, 8080) as count:
        assert sum(http.short_connections(culvert.lab, REQUESTS, port=8080).values()) == REQUESTS
        assert count() == 0
        reload(culvert, fast_path.settings(culvert.lab, "passthrough", reload=soon))
        await_condition(lambda: http.outcome(culvert.lab, port=8080) == "ConnectionRefusedError" and count(),
                        "the kernel refuses connections, once those that there were are over", 60)
        reload(culvert, fast_path.settings(culvert.lab, "passthrough", frontends=frontends, reload=soon))
        await_condition(lambda: http.outcome(culvert.lab, port=8080) != "ConnectionRefusedError",
                        "it is culvert's again")
        before = count()
        assert sum(http.short_connections(culvert.lab, REQUESTS, port=8080).values()) == REQUESTS
        assert count() == before


def test_who_sees_to_the_rules_sees_the_packets(mode_lab, make_culvert):
    lab = mode_lab("passthrough")
    lab.run("lb", "sysctl", "-qw", "net.ipv4.ip_local_reserved_ports=33768-61000")
    culvert = make_culvert(lab)
    culvert.start(fast_path.settings(lab, "passthrough", firewall={"manage": False}))
    with counted_behind(lab) as count:
        http.outcome(lab)
        assert count() > 0
