# SPDX-License-Identifier: Apache-2.0
"""--check-backends: what it says of backends that are ready, and of each way not to be."""

import contextlib
import fcntl
import re
import signal
import socket
import struct
import subprocess
import threading
import time

import pytest

from harness import config, dsr_lab, http
from harness.dsr import BACKEND as BACKEND_SCRIPT
from harness.lab import ROOT, VIP, VIP6, VIPS, endpoint
from harness.wait import await_condition

SOURCE = "10.0.0.200"  # of the clients' network, and no host's
SOURCE6 = "fd00::200"


class Row:
    """One backend of the report, with what follows it."""

    def __init__(self, line):
        self.state, self.frontend, self.backend, self.seen = line.split(maxsplit=3)
        self.cause = ""
        self.commands = []

    def add(self, line):
        if line.startswith(" " * 12):
            self.commands.append(line.strip())
        else:
            self.cause += line.strip()


class Report:
    def __init__(self, process):
        self.status = process.returncode
        self.error = process.stderr
        self.rows = {}
        self.summary = ""
        for line in process.stdout.splitlines():
            if re.match(r"(ok|FAILED|skipped|unknown) ", line):
                row = Row(line)
                self.rows[row.backend] = row
            elif line.startswith(" "):
                row.add(line)
            else:
                self.summary = line


def check(lab, culvert, *args, source=SOURCE, **overrides):
    path = culvert.write_config(config.passthrough(lab, mode="dsr", **overrides))
    options = [f"--check-source={source}"] if source else []
    return Report(culvert.run("--check-backends", f"--config={path}", *options, *args))


def set_nat(lab, host, port=80, dev="eth0", balancer=None, family=4):
    """The backend's half of DSR, as one nftables rule in place of an earlier one."""
    balancer = balancer or lab.backend_facing_addr(family)
    ip = "ip" if family == 4 else "ip6"
    script = f"""
        table netdev dsr{family} {{}}
        delete table netdev dsr{family}
        table netdev dsr{family} {{
            chain egress {{
                type filter hook egress device {dev} priority 0
                {ip} saddr {lab.backend_addr(host, family)} tcp sport 80 {ip} daddr != {balancer} \\
                    {ip} saddr set {VIPS[family]} tcp sport set {port}
            }}
        }}
        """
    lab.run(host, "nft", "-f", "-", input=script)


def row_of(report, lab, host, family=4):
    return report.rows[endpoint(lab.backend_addr(host, family), 80)]


def run_command(lab, host, command, folder=ROOT):
    """As an operator would, pasted into a shell on the backend."""
    subprocess.run(lab.command(host, "bash", "-ec", command), check=True, cwd=folder,
                   stdout=subprocess.DEVNULL, timeout=30)


def add_second_arm(lab, host):
    """Clients' packets come in by eth0; replies leave by eth1, to the clients' own network."""
    port, number = f"{lab.namespace(host)}", 150 + int(host[1:])
    lab.run("net", "ip", "link", "add", f"{host}-arm", "type", "veth", "peer", "name", "eth1",
            "netns", port)
    lab.run("net", "ip", "link", "set", f"{host}-arm", "master", "front", "up")
    lab.run(host, "ip", "address", "add", f"10.0.0.{number}/24", "dev", "eth1")
    lab.run(host, "ip", "link", "set", "eth1", "up")


def add_vip(lab, host):
    """As a host of methods l2 and ipip has it: its own, and unknown to its neighbours."""
    lab.run(host, "sysctl", "-w", "net.ipv4.conf.all.arp_ignore=1", "net.ipv4.conf.all.arp_announce=2")
    lab.run(host, "ip", "address", "add", f"{VIP}/32", "dev", "lo")


@contextlib.contextmanager
def tunnel(lab, host):
    """The far end of IPIP as a program, for kernels without: what comes in goes on inside of `tun0`."""
    set_interface, flags = 0x400454CA, 0x1001  # TUNSETIFF; IFF_TUN | IFF_NO_PI
    with contextlib.ExitStack() as stack:
        with lab.inside(host):
            outside = stack.enter_context(
                socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_IPIP))
            inside = stack.enter_context(open("/dev/net/tun", "r+b", buffering=0))
            fcntl.ioctl(inside, set_interface, struct.pack("16sH14x", b"tun0", flags))
        lab.run(host, "sysctl", "-w", "net.ipv4.conf.tun0.rp_filter=0")
        lab.run(host, "ip", "link", "set", "tun0", "up")
        is_over = threading.Event()
        outside.settimeout(0.1)

        def unwrap():
            while not is_over.is_set():
                with contextlib.suppress(TimeoutError):
                    packet = outside.recv(65536)
                    inside.write(packet[(packet[0] & 15) * 4:])

        thread = threading.Thread(target=unwrap, daemon=True)
        thread.start()
        stack.callback(thread.join)
        stack.callback(is_over.set)
        yield


@pytest.mark.smoke
def test_backends_that_are_ready_are_ok(lab, culvert):
    for host in lab.backend_names():
        set_nat(lab, host)
    report = check(lab, culvert)
    assert report.status == 0, report.error
    assert report.error == ""
    assert report.summary == "3 of 3 ready"
    for host in lab.backend_names():
        row = row_of(report, lab, host)
        assert (row.state, row.frontend) == ("ok", "web")
        assert re.fullmatch(r"SYN-ACK from 10\.0\.0\.1:80 in \d+\.\d ms", row.seen)
        assert (row.cause, row.commands) == ("", [])
        assert lab.run(host, "ss", "-Hatn", "state", "syn-recv").stdout == ""


def test_each_fault_has_its_name(make_lab, make_culvert):
    lab = make_lab(backends=5)
    culvert = make_culvert(lab)
    for host in ("b2", "b3", "b4", "b5"):
        set_nat(lab, host)
    set_nat(lab, "b2", port=8080)
    lab.stop("b3")
    lab.silence("b4")
    report = check(lab, culvert)
    assert report.status == 1
    assert report.summary == "1 of 5 ready"
    assert row_of(report, lab, "b1").seen == "SYN-ACK from 10.0.0.101:80, not from 10.0.0.1:80"
    assert "egress NAT is missing" in row_of(report, lab, "b1").cause
    assert "wrong port, 8080 instead of 80" in row_of(report, lab, "b2").cause
    assert row_of(report, lab, "b3").seen == "RST from 10.0.0.1:80"
    assert "Nothing listens on 10.0.0.103:80" in row_of(report, lab, "b3").cause
    assert row_of(report, lab, "b4").seen == "10.0.0.104 does not answer ARP on eth0"
    assert "is down" in row_of(report, lab, "b4").cause
    assert row_of(report, lab, "b5").state == "ok"


def test_a_missing_egress_nat_is_mended_by_the_command_given(lab, culvert):
    for host in lab.backend_names():
        set_nat(lab, host)
    lab.run("b1", "nft", "flush", "ruleset")
    (command,) = row_of(check(lab, culvert), lab, "b1").commands
    assert command.startswith("tc/dsr-egress.sh up --dev ")
    assert command.endswith(" --backend '10.0.0.101:80' --vip '10.0.0.1:80' --balancer 10.0.0.2")
    run_command(lab, "b1", command)
    report = check(lab, culvert)
    assert report.status == 0, row_of(report, lab, "b1").seen


def test_a_strict_rp_filter_on_a_two_arm_backend_is_mended_by_the_command_given(
        make_lab, make_culvert):
    lab = make_lab(topology="two-arm", backends=1)
    culvert = make_culvert(lab)
    add_second_arm(lab, "b1")
    set_nat(lab, "b1", dev="eth1")
    assert check(lab, culvert).status == 0
    lab.run("b1", "sysctl", "-w", "net.ipv4.conf.all.rp_filter=1", "net.ipv4.conf.eth0.rp_filter=1")
    report = check(lab, culvert)
    row = row_of(report, lab, "b1")
    assert report.status == 1
    assert row.seen == f"no reply to a SYN from {SOURCE}; a plain connection succeeds"
    assert "rp_filter is strict" in row.cause
    run_command(lab, "b1", row.commands[0])
    assert check(lab, culvert).status == 0


def test_a_dead_neighbour_that_is_still_remembered_counts_as_down(lab, culvert):
    for host in lab.backend_names():
        set_nat(lab, host)
    assert check(lab, culvert).status == 0
    lab.silence("b2")
    row = row_of(check(lab, culvert), lab, "b2")
    assert row.state == "FAILED"
    assert "is down" in row.cause


def test_an_egress_nat_that_spoils_health_checks_is_not_ready(lab, culvert):
    for host in lab.backend_names():
        set_nat(lab, host)
    set_nat(lab, "b3", balancer="192.0.2.1")
    row = row_of(check(lab, culvert), lab, "b3")
    assert row.state == "FAILED"
    assert "must leave replies to 10.0.0.2 alone" in row.cause
    set_nat(lab, "b3")
    assert check(lab, culvert).status == 0


def test_method_l2_wants_the_frontends_address_on_the_backend(lab, culvert):
    add_vip(lab, "b1")
    report = check(lab, culvert, dsr={"method": "l2"})
    assert row_of(report, lab, "b1").state == "ok"
    row = row_of(report, lab, "b2")
    assert row.seen == f"no reply to a SYN from {SOURCE}; a plain connection succeeds"
    assert "takes no packets for 10.0.0.1" in row.cause
    assert row.commands[0].startswith("tc/dsr-backend.sh up --method l2 --vip 10.0.0.1 --dev ")
    for host in ("b2", "b3"):
        run_command(lab, host, row_of(report, lab, host).commands[0])
    assert check(lab, culvert, dsr={"method": "l2"}).status == 0
    assert culvert_has_vip(lab)


def culvert_has_vip(lab):
    """Whether a neighbour finds the virtual address at the balancer, and at no backend."""
    lab.run("client", "ip", "neighbour", "flush", "all")
    lab.run("client", "ping", "-c", "1", "-W", "2", VIP)
    known = lab.run("client", "ip", "-o", "neighbour", "show", VIP).stdout
    mac = lab.run("lb", "ip", "-o", "link", "show", "eth0").stdout.split("link/ether ")[1].split()[0]
    return mac in known


def test_method_l2_finds_a_service_that_listens_beside_the_frontends_address(lab, culvert):
    for host in lab.backend_names():
        add_vip(lab, host)
    lab.stop("b3")
    with lab.inside("b3"):
        server = socket.create_server((lab.backend_addr("b3"), 80))
    with server:
        row = row_of(check(lab, culvert, dsr={"method": "l2"}), lab, "b3")
    assert row.seen == "RST from 10.0.0.1:80"
    assert "listens on 10.0.0.103:80 and not on 10.0.0.1:80" in row.cause


def test_method_l2_does_not_reach_behind_a_router(make_lab, make_culvert):
    lab = make_lab(topology="routed", backends=1)
    culvert = make_culvert(lab)
    row = row_of(check(lab, culvert, dsr={"method": "l2"}), lab, "b1")
    assert row.seen == "is behind the router 10.0.0.253"
    assert "choose method nat or ipip" in row.cause


def test_method_ipip_wants_a_tunnel_on_the_backend(lab, culvert):
    for host in ("b1", "b3"):
        add_vip(lab, host)
    with tunnel(lab, "b1"), tunnel(lab, "b2"):
        report = check(lab, culvert, dsr={"method": "ipip"})
    assert row_of(report, lab, "b1").state == "ok"
    assert "takes no tunneled packets for 10.0.0.1" in row_of(report, lab, "b2").cause
    row = row_of(report, lab, "b3")
    assert row.seen == "ICMP protocol unreachable from 10.0.0.103"
    assert "no tunnel" in row.cause
    assert row.commands[0].startswith("tc/dsr-backend.sh up --method ipip --vip 10.0.0.1 --dev ")
    assert row.commands[0].endswith(" --balancer 10.0.0.2")


def test_a_further_address_of_the_balancer_will_do_as_source(lab, culvert):
    for host in lab.backend_names():
        set_nat(lab, host)
    lab.run("lb", "ip", "address", "add", f"{SOURCE}/32", "dev", "eth0")
    assert check(lab, culvert).status == 0


def test_a_source_that_a_host_has_is_left_to_it(lab, culvert):
    for host in lab.backend_names():
        set_nat(lab, host)
    report = check(lab, culvert, source="10.0.0.10")
    assert report.status == 1
    assert report.summary == "0 of 3 ready"
    for row in report.rows.values():
        assert row.state == "unknown"
        assert "has the check source 10.0.0.10" in row.seen
    assert lab.run("b1", "ip", "neighbour", "show", "10.0.0.10").stdout == ""


def test_udp_frontends_are_skipped(lab, culvert):
    path = culvert.write_config(config.passthrough(lab, mode="dsr", protocol="udp"))
    report = Report(culvert.run("--check-backends", f"--config={path}", f"--check-source={SOURCE}"))
    assert report.status == 0
    assert report.summary == "0 of 0 ready, 3 not checked"


def test_wrong_usage_has_an_exit_status_of_its_own(lab, culvert):
    no_source = check(lab, culvert, source=None)
    assert no_source.status == 2
    assert "--check-source=ADDR" in no_source.error
    other_mode = check(lab, culvert, "--passthrough")
    assert other_mode.status == 2
    assert "mode passthrough" in other_mode.error
    assert check(lab, culvert, source="nonsense").status == 2
    for nobodys in ("0.0.0.0", "::", "127.0.0.1", "224.0.0.1", "fe80::1"):
        refused = check(lab, culvert, source=nobodys)
        assert refused.status == 2
        assert "--check-source takes an address that a client can have" in refused.error


# --- IPv6 ----------------------------------------------------------------------------------------

def check6(lab, culvert, **overrides):
    return check(lab, culvert, source=SOURCE6, family=6, **overrides)


def test_backends_of_ipv6_are_ok_or_mended_by_the_command_given(lab, culvert, tmp_path):
    for host in ("b1", "b2"):
        set_nat(lab, host, family=6)
    report = check6(lab, culvert)
    assert (report.status, report.error, report.summary) == (1, "", "2 of 3 ready")
    seen = row_of(report, lab, "b1", 6).seen
    assert re.fullmatch(r"SYN-ACK from \[fd00::1\]:80 in \d+\.\d ms", seen), seen
    row = row_of(report, lab, "b3", 6)
    assert row.seen == "SYN-ACK from [fd00::103]:80, not from [fd00::1]:80"
    (command,) = row.commands
    assert command.endswith(" --backend '[fd00::103]:80' --vip '[fd00::1]:80' --balancer fd00::2")
    # A shell would take the name of this file for an address without quotes.
    (tmp_path / "0:80").touch()
    (tmp_path / "tc").symlink_to(ROOT / "tc")
    run_command(lab, "b3", command, tmp_path)
    report = check6(lab, culvert)
    assert report.status == 0, row_of(report, lab, "b3", 6).seen
    for host in lab.backend_names():
        assert lab.run(host, "ss", "-Hatn", "state", "syn-recv").stdout == ""


def test_method_l2_of_ipv6_is_mended_by_the_command_given(lab, culvert):
    report = check6(lab, culvert, dsr={"method": "l2"})
    assert report.summary == "0 of 3 ready"
    try:
        for host in lab.backend_names():
            row = row_of(report, lab, host, 6)
            assert "takes no packets for fd00::1" in row.cause
            run_command(lab, host, row.commands[0])
        assert check6(lab, culvert, dsr={"method": "l2"}).status == 0
    finally:
        for host in lab.backend_names():  # its notes are not in the lab's namespaces
            lab.run(host, BACKEND_SCRIPT, "down", "--vip", VIP6, "--dev", "eth0")


def test_both_families_are_checked_each_from_its_own_source(lab, culvert):
    for host in lab.backend_names():
        set_nat(lab, host)
    settings = config.dsr(lab)
    other = config.dsr(lab, family=6)
    settings["frontends"]["web6"] = {**other["frontends"]["web"], "backend": "web6"}
    settings["backends"]["web6"] = other["backends"]["web"]
    settings["dsr"]["check_source"] = [SOURCE, SOURCE6]
    path = culvert.write_config(settings)
    report = Report(culvert.run("--check-backends", f"--config={path}"))
    assert report.summary == "3 of 6 ready"
    for host in lab.backend_names():
        assert row_of(report, lab, host).state == "ok"
        assert row_of(report, lab, host, 6).state == "FAILED"
        set_nat(lab, host, family=6)
    assert culvert.run("--check-backends", f"--config={path}").returncode == 0
    settings["dsr"]["check_source"] = SOURCE
    path = culvert.write_config(settings)
    sources = ["--check-source", SOURCE6], []
    results = [culvert.run("--check-backends", f"--config={path}", *source) for source in sources]
    assert [result.returncode for result in results] == [0, 2]
    assert "needs an IPv6 address to test frontend \"web6\" from" in results[1].stderr


def test_a_running_culvert_holds_a_backend_of_ipv6_back_until_it_has_passed(make_lab, make_culvert):
    lab = make_lab(direct=True)
    for host in ("b1", "b2"):
        set_nat(lab, host, family=6)
    culvert = make_culvert(lab)
    culvert.start(config.dsr(lab, family=6, dsr={"require_ready": True, "check_source": SOURCE6}))
    for host in ("b1", "b2"):
        culvert.await_backend(host, family=6)
    await_condition(lambda: culvert.log_lines("b3 of pool web is not ready"), "b3 is checked")
    assert set(http.short_connections(lab, 100, addr=VIP6)) == {"b1", "b2"}
    set_nat(lab, "b3", family=6)
    culvert.await_backend("b3", family=6, timeout=20)
    assert set(http.short_connections(lab, 100, addr=VIP6)) == {"b1", "b2", "b3"}


# --- require_ready ---------------------------------------------------------------------------------

@pytest.fixture
def make_strict(make_lab, make_culvert):
    """Call it with the backends that are ready: a lab, and culvert that runs with require_ready."""
    def make(*ready):
        lab = make_lab(direct=True)
        for host in ready:
            set_nat(lab, host)
        culvert = make_culvert(lab)
        culvert.start(config.dsr(lab, dsr={"require_ready": True, "check_source": SOURCE}))
        for host in ready:
            culvert.await_backend(host)
        return lab, culvert
    return make


def test_a_running_culvert_holds_a_backend_back_until_it_has_passed(make_strict):
    lab, culvert = make_strict("b1", "b2")
    await_condition(lambda: culvert.log_lines("b3 of pool web is not ready"), "b3 is checked")
    assert set(http.short_connections(lab, 100)) == {"b1", "b2"}
    assert not culvert.is_up("b3")
    assert culvert.log_lines("tc/dsr-egress.sh up")
    set_nat(lab, "b3")
    culvert.await_backend("b3", timeout=20)  # nobody has to ask for the check
    assert culvert.log_lines("backend web/b3 (10.0.0.103:80) is up: ")[0].endswith("ready for dsr")
    assert set(http.short_connections(lab, 100)) == {"b1", "b2", "b3"}


def test_it_says_ready_when_a_backend_of_each_pool_is(make_strict):
    _, culvert = make_strict("b1", "b2")
    log = culvert.log()
    assert log.index("ready for dsr") < log.index("ready: dsr (nat)"), log


def test_a_pool_without_a_ready_backend_does_not_hold_up_the_start_for_good(make_strict):
    _, culvert = make_strict()
    assert culvert.log_lines("ready: dsr (nat)")
    assert not culvert.log_lines("ready for dsr")


def test_a_running_culvert_checks_each_recovery(make_strict):
    lab, culvert = make_strict("b1", "b2", "b3")
    lab.stop("b2")
    culvert.await_backend("b2", is_up=False)
    lab.run("b2", "nft", "flush", "ruleset")
    lab.start("b2")
    await_condition(lambda: culvert.log_lines("b2 of pool web is not ready"), "b2 is checked")
    assert set(http.short_connections(lab, 100)) == {"b1", "b3"}
    assert not culvert.is_up("b2")


def test_a_running_culvert_does_not_disturb_the_command(make_strict):
    lab, culvert = make_strict("b1", "b2", "b3")
    path = culvert.write_config(config.dsr(lab, dsr={"check_source": SOURCE}))
    report = Report(culvert.run("--check-backends", f"--config={path}"))
    assert report.status == 0
    assert culvert.log_lines("not ready") == []


def test_a_restart_waits_for_the_checks_and_breaks_no_connection(make_strict):
    lab, culvert = make_strict("b1", "b2", "b3")
    kept = [http.connect(lab, timeout=20) for _ in range(30)]
    before = [http.request(sock) for sock in kept]
    assert set(before) == {"b1", "b2", "b3"}
    culvert.kill()
    lab.run("b3", "nft", "table inet block { chain input { type filter hook input priority 0;"
            f" ip saddr {SOURCE} drop; }}; }}")
    culvert.start(config.dsr(lab, dsr={"require_ready": True, "check_source": SOURCE}))
    culvert.await_backend("b1")
    culvert.await_backend("b2")
    for sock in kept:  # those of b3 come before its check has ended
        sock.sendall(b"GET / HTTP/1.1\r\nHost: lab\r\n\r\n")
    time.sleep(0.5)
    assert not culvert.is_up("b3")
    lab.run("b3", "nft", "delete", "table", "inet", "block")
    assert [sock.recv(65536).decode().split()[-1] for sock in kept] == before


def test_a_frontend_that_a_reload_brings_waits_for_the_check(make_lab, make_culvert):
    """The backends are ready for the one that they serve, and do not notice."""
    lab = make_lab(direct=True)
    dsr_lab.open_path(lab)
    dsr_lab.hold_vip(lab)
    lab.run("lb", "ip", "addr", "add", "10.0.0.9/32", "dev", "eth0")
    full = config.dsr(lab, "l2", dsr={"require_ready": True, "check_source": SOURCE})
    culvert = make_culvert(lab)
    culvert.start(full)
    culvert.await_all_up()
    full["frontends"]["second"] = {"listen_addr": "10.0.0.9:80", "backend": "web"}
    culvert.write_config(full)
    culvert.process.send_signal(signal.SIGHUP)
    await_condition(lambda: culvert.log_lines("frontend second gets no new connections yet"), "it is checked")
    assert http.outcome(lab, addr="10.0.0.9") == "ConnectionRefusedError"
    assert set(http.short_connections(lab, 100)) == {"b1", "b2", "b3"}
    for host in lab.backend_names():
        lab.run(host, "ip", "addr", "add", "10.0.0.9/32", "dev", "lo")
    await_condition(lambda: culvert.log_lines("every backend that is up in its pool is ready"), "the next round", 30)
    assert set(http.short_connections(lab, 100, addr="10.0.0.9")) == {"b1", "b2", "b3"}
