# SPDX-License-Identifier: Apache-2.0
"""culvert doctor: nothing to say of a lab that is well, each planted fault found and no other, and the
command that it prints mends it."""

import socket
import subprocess

import pytest

from harness import config, http
from harness.doctor import Doctor, Report, backend, find_and_mend, nft, sysctl
from harness.dsr_lab import open_path, translate_answers
from harness.lab import ROOT, VIP, VIP6
from harness.wait import await_condition

SOURCE, SOURCE6 = "10.0.0.200", "fd00::200"  # of the clients' network, and no host's
SETUP = str(ROOT / "iptables" / "setup.sh")


@pytest.fixture
def two_arm(make_lab):
    return make_lab(topology="two-arm", backends=2)


@pytest.fixture
def one_arm(make_lab):
    return make_lab(backends=2)


@pytest.fixture
def make_doctor(make_culvert):
    return lambda lab: Doctor(lab, make_culvert(lab))


def dsr_config(lab, **dsr):
    return config.dsr(lab, dsr={"check_source": SOURCE, **dsr})


# --- nothing is wrong --------------------------------------------------------------------------------

@pytest.mark.smoke
@pytest.mark.parametrize("topology", ["one-arm", "two-arm", "routed"])
@pytest.mark.parametrize("mode", ["passthrough", "proxy"])
def test_a_lab_that_is_well_gives_nothing_but_ok(make_lab, make_doctor, topology, mode):
    lab = make_lab(topology=topology, backends=2)
    # A small machine's limit is not the lab's.
    made = config.proxy(lab, proxy={"max_connections": 50}) if mode == "proxy" \
        else config.passthrough(lab)
    report = make_doctor(lab).look(made)
    assert report.faults() == []
    assert report.exit == 0
    assert report.summary["mode"] == mode
    assert report.summary["error"] == 0
    assert len(report.named("backends")) == 2


@pytest.mark.parametrize("topology", ["one-arm", "two-arm"])
def test_backends_that_are_ready_for_dsr_give_nothing_but_ok(make_lab, make_doctor, topology):
    lab = make_lab(topology=topology, backends=2, direct=topology == "one-arm")
    open_path(lab)
    translate_answers(lab)
    report = make_doctor(lab).look(dsr_config(lab))
    assert report.faults() == []
    assert [finding.subject for finding in report.named("dsr")] == [
        backend(lab, "b1"), backend(lab, "b2")]


def test_ipv6_and_udp_give_nothing_but_ok(one_arm, make_doctor):
    made = config.passthrough(one_arm, family=6)
    udp = config.passthrough(one_arm, protocol="udp", port=5353)
    made["frontends"]["names"] = udp["frontends"]["web"] | {"backend": "names"}
    made["backends"]["names"] = udp["backends"]["web"]
    report = make_doctor(one_arm).look(made)
    assert report.faults() == []
    assert len(report.named("backends")) == 4


@pytest.mark.parametrize("mode", ["passthrough", "proxy"])
def test_beside_the_culvert_that_runs_with_the_file_nothing_is_wrong(
        one_arm, make_culvert, make_proxy, mode):
    if mode == "proxy":
        culvert = make_proxy(one_arm).start(config.proxy(one_arm, proxy={"max_connections": 50}))
    else:
        culvert = make_culvert(one_arm).start(config.passthrough(one_arm))
    culvert.await_all_up()
    args = ("--json", f"--{mode}", f"--config={culvert.directory / 'culvert.toml'}")
    report = Report(culvert.run("doctor", *args))
    assert report.faults() == []
    assert f"process {culvert.process.pid}" in report.named("ports")[0].found
    assert culvert.is_up("b1"), "it has disturbed nothing"


def test_it_leaves_no_trace(one_arm, make_doctor):
    def state():
        return [one_arm.run("lb", *command).stdout for command in (
            ["nft", "list", "ruleset"], ["ip", "address"], ["ip", "route"], ["sysctl", "net.ipv4.conf"],
            ["cat", "/proc/sys/net/ipv4/ip_local_reserved_ports"])]

    doctor = make_doctor(one_arm)
    before = state()
    doctor.look(dsr_config(one_arm))
    assert state() == before


# --- one fault each, and the command that mends it ---------------------------------------------------

def test_fault_vip_missing(one_arm, make_doctor):
    one_arm.run("lb", "ip", "address", "del", f"{VIP}/32", "dev", "eth0")
    find_and_mend(make_doctor(one_arm), config.passthrough(one_arm), "addresses", "error",
                  f"web {VIP}:80", "no interface")


def test_fault_vip_missing_ipv6(one_arm, make_doctor):
    one_arm.run("lb", "ip", "address", "del", f"{VIP6}/128", "dev", "eth0")
    find_and_mend(make_doctor(one_arm), config.passthrough(one_arm, family=6), "addresses", "error",
                  f"web [{VIP6}]:80", "no interface")
    shown = one_arm.run("lb", "ip", "-6", "address", "show", "dev", "eth0").stdout
    assert "deprecated" in shown, "it must be nobody's source"


def test_fault_vip_on_loopback(one_arm, make_doctor):
    one_arm.run("lb", "ip", "address", "del", f"{VIP}/32", "dev", "eth0")
    one_arm.run("lb", "ip", "address", "add", f"{VIP}/32", "dev", "lo")
    find_and_mend(make_doctor(one_arm), config.passthrough(one_arm), "addresses", "error",
                  f"web {VIP}:80", "lo has the address")


def test_fault_listen_address_missing(one_arm, make_doctor):
    made = config.proxy(one_arm, proxy={"max_connections": 50})
    one_arm.run("lb", "ip", "address", "del", f"{VIP}/32", "dev", "eth0")
    report = make_doctor(one_arm).look(made)
    faults = {(fault.name, fault.status) for fault in report.faults()}
    assert faults == {("addresses", "error"), ("ports", "skipped")}


def test_fault_arp_ignored(one_arm, make_doctor):
    sysctl(one_arm, "net.ipv4.conf.eth0.arp_ignore", 8)

    def answers():
        one_arm.run("client", "ip", "neigh", "flush", "dev", "eth0")
        return one_arm.run("client", "ping", "-c1", "-W1", VIP, check=False).returncode == 0

    assert not answers()
    find_and_mend(make_doctor(one_arm), config.passthrough(one_arm), "arp", "error", f"web {VIP}:80",
                  "arp_ignore = 8")
    assert answers()


def test_fault_proxy_arp(two_arm, make_doctor):
    sysctl(two_arm, "net.ipv4.ip_forward", 1)
    sysctl(two_arm, "net.ipv4.conf.eth0.proxy_arp", 1)
    find_and_mend(make_doctor(two_arm), config.passthrough(two_arm), "arp", "warning", "eth0",
                  "proxy_arp")


def forwarded_datagrams(lab):
    names, numbers = [line.split()[1:] for line in lab.run(
        "lb", "cat", "/proc/net/snmp").stdout.splitlines() if line.startswith("Ip:")]
    return int(dict(zip(names, numbers))["ForwDatagrams"])


def test_fault_forwarding_of_an_address_that_is_routed_here(one_arm, make_culvert, make_doctor):
    one_arm.run("lb", "ip", "address", "del", f"{VIP}/32", "dev", "eth0")
    one_arm.run("lb", "ip", "route", "add", VIP, "via", "10.0.0.10")
    sysctl(one_arm, "net.ipv4.ip_forward", 1)
    made = config.passthrough(one_arm, passthrough={"interfaces": ["eth0"]})
    fault = make_doctor(one_arm).look(made).only_fault()
    assert (fault.name, fault.status) == ("forwarding", "warning")
    one_arm.run("lb", "ip", "route", "del", VIP)  # what the lab's default route does as well
    one_arm.run("client", "ip", "route", "add", VIP, "via", "10.0.0.2")
    culvert = make_culvert(one_arm).start(made)
    culvert.await_all_up()

    def sent_back():
        """What the kernel forwards of a packet for another port."""
        before = forwarded_datagrams(one_arm)
        with one_arm.inside("client"), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.sendto(b"?", (VIP, 9))
        http.get(one_arm)  # behind it
        return forwarded_datagrams(one_arm) - before

    assert http.get(one_arm) in ("b1", "b2")
    assert sent_back() > 0
    culvert.stop()
    find_and_mend(make_doctor(one_arm), made, "forwarding", "warning", f"web {VIP}:80", "forwards")
    culvert.start(made)
    culvert.await_all_up()
    assert sent_back() == 0


def test_fault_rp_filter_where_clients_come_in(two_arm, make_doctor):
    sysctl(two_arm, "net.ipv4.conf.eth0.rp_filter", 1)
    two_arm.run("lb", "ip", "route", "replace", "default", "via", "10.1.0.101")
    made = config.proxy(two_arm, proxy={"max_connections": 50})
    find_and_mend(make_doctor(two_arm), made, "rp-filter", "warning", "eth0", "strict")


def test_the_filter_harms_only_what_goes_through_the_kernel(two_arm, make_culvert, make_doctor):
    sysctl(two_arm, "net.ipv4.conf.eth0.rp_filter", 1)
    two_arm.run("lb", "ip", "route", "replace", "default", "via", "10.1.0.101")
    assert make_doctor(two_arm).look(config.passthrough(two_arm)).faults() == []
    culvert = make_culvert(two_arm).start(config.passthrough(two_arm))
    culvert.await_all_up()
    assert http.get(two_arm) in ("b1", "b2")


def test_fault_rp_filter_where_answers_come_in(two_arm, make_doctor):
    sysctl(two_arm, "net.ipv4.conf.eth0.rp_filter", 1)
    two_arm.run("lb", "ip", "route", "replace", f"{two_arm.backend_addr('b2')}/32", "dev", "eth1",
                "src", "10.0.0.2")
    find_and_mend(make_doctor(two_arm), config.passthrough(two_arm), "rp-filter", "warning",
                  backend(two_arm, "b2"), "strict")


def test_fault_link_down(one_arm, make_doctor):
    one_arm.run("lb", "ip", "link", "add", "eth9", "type", "veth", "peer", "name", "eth9p")
    one_arm.run("lb", "ip", "link", "set", "eth9p", "up")
    made = config.passthrough(one_arm, passthrough={"interfaces": ["eth0", "eth9"]})
    find_and_mend(make_doctor(one_arm), made, "links", "error", "eth9", "down")


def test_fault_link_that_is_not_there(one_arm, make_doctor):
    made = config.passthrough(one_arm, passthrough={"interfaces": ["eth0", "eth7"]})
    fault = make_doctor(one_arm).look(made).only_fault()
    assert (fault.name, fault.status, fault.subject) == ("links", "error", "eth7")


def test_fault_frames_too_large(one_arm, make_doctor):
    one_arm.run("lb", "ip", "link", "set", "eth0", "gro_max_size", "131072")
    find_and_mend(make_doctor(one_arm), config.passthrough(one_arm), "offloads", "warning", "eth0",
                  "131072")


def test_fault_mtu_of_a_link(two_arm, make_doctor):
    two_arm.run("lb", "ip", "link", "set", "eth1", "mtu", "1400")
    doctor = make_doctor(two_arm)
    assert doctor.look(config.passthrough(two_arm)).faults() == [], "connections are told"
    made = config.passthrough(two_arm, passthrough={"mss_clamp": "off"})
    faults = doctor.look(made).faults()
    assert [(fault.name, fault.subject) for fault in faults] == [
        ("mtu", backend(two_arm, "b1")), ("mtu", backend(two_arm, "b2"))]
    doctor.mend(faults[0])
    assert doctor.look(made).faults() == []


def test_fault_mtu_of_a_tunnel(two_arm, make_doctor):
    made = config.dsr(two_arm, "ipip", dsr={"mss_clamp": "off"})
    faults = [fault for fault in make_doctor(two_arm).look(made).faults() if fault.name == "mtu"]
    assert [fault.fix for fault in faults] == ["ip link set dev eth1 mtu 1520"] * 2


def test_fault_mtu_of_the_way(two_arm, make_doctor):
    b2 = two_arm.backend_addr("b2")
    two_arm.run("lb", "ip", "route", "add", f"{b2}/32", "dev", "eth1", "mtu", "1300")
    find_and_mend(make_doctor(two_arm), config.passthrough(two_arm), "mtu", "warning",
                  backend(two_arm, "b2"), "1300")


@pytest.fixture
def listen(one_arm):
    """Call it with an address and a port: a process on `lb` that listens there."""
    processes = []

    def start(addr, port):
        processes.append(one_arm.spawn("lb", "/usr/bin/python3", "-m", "http.server", "--bind", addr,
                                       port, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
        await_condition(lambda: f":{port} " in one_arm.run("lb", "ss", "-Hltn").stdout, "it listens", 60)
        return processes[-1]

    yield start
    for process in processes:
        process.kill()
        process.wait()


def test_fault_port_of_the_statistics_taken(one_arm, make_doctor, listen):
    process = listen("127.0.0.1", 9000)
    fault = make_doctor(one_arm).look(config.passthrough(one_arm)).only_fault()
    assert (fault.name, fault.status, fault.subject) == ("ports", "error", "stats 127.0.0.1:9000")
    assert fault.found == f"python3 (process {process.pid}) has the port"
    assert fault.fix == f"choose another [stats] port, or stop python3 (process {process.pid})"


def test_fault_port_of_a_frontend_taken(one_arm, make_doctor, listen):
    process = listen("0.0.0.0", 80)
    made = config.proxy(one_arm, proxy={"max_connections": 50})
    fault = make_doctor(one_arm).look(made).only_fault()
    assert (fault.name, fault.status, fault.subject) == ("ports", "error", f"web {VIP}:80")
    assert fault.fix == f"choose another listen_addr, or stop python3 (process {process.pid})"


def test_fault_connection_from_a_nat_port(one_arm, make_doctor):
    doctor, made = make_doctor(one_arm), config.passthrough(one_arm)
    with one_arm.inside("lb"):
        sock = socket.socket()
    with sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        sock.bind(("10.0.0.2", 40000))
        sock.connect((one_arm.backend_addr("b1"), 80))
        fault = doctor.look(made).only_fault()
        assert (fault.name, fault.status) == ("nat-ports", "warning")
        assert "10.0.0.2:40000" in fault.found
    assert doctor.look(made).faults() == []


def test_ports_that_a_killed_culvert_has_left_reserved_are_noted(one_arm, make_culvert, make_doctor):
    sysctl(one_arm, "net.ipv4.ip_local_reserved_ports", "8080")
    made = config.passthrough(one_arm)
    culvert = make_culvert(one_arm).start(made)
    culvert.kill()
    doctor = make_doctor(one_arm)
    report = doctor.look(made)
    assert report.faults() == [] and report.exit == 0
    note, = report.notes()
    assert note.name == "nat-ports" and "33768-61000 are reserved" in note.found
    doctor.mend(note)
    assert one_arm.reserved_ports() == "8080"
    assert doctor.look(made).notes() == []


def test_servers_that_nothing_checks_are_noted(one_arm, make_doctor):
    made = config.passthrough(one_arm, protocol="udp", port=5353)
    doctor = make_doctor(one_arm)
    report = doctor.look(made)
    assert report.faults() == []
    assert [(note.name, note.subject) for note in report.notes()] == [
        ("backends", f"web/{name} {one_arm.backend_addr(name)}:5353") for name in ("b1", "b2")]
    text = doctor.run(made).stdout
    assert "it serves or not (and 1 more)\n" in text and "0 errors, " in text and ", 2 notes\n" in text


def test_fault_no_ports_left(one_arm, make_doctor):
    sysctl(one_arm, "net.ipv4.ip_local_port_range", "33768 61000")
    doctor, made = make_doctor(one_arm), config.passthrough(one_arm)
    fault = doctor.look(made).only_fault()
    assert (fault.name, fault.status) == ("configuration", "error")
    doctor.mend(fault)
    assert doctor.look(made).faults() == []


def test_fault_another_culvert(one_arm, make_culvert, make_doctor):
    made = config.passthrough(one_arm, stats={"port": 9001})
    make_culvert(one_arm).start(config.passthrough(one_arm))
    fault = make_doctor(one_arm).look(made).only_fault()
    assert (fault.name, fault.status) == ("instance", "error")
    assert fault.fix.startswith("kill ")


def test_fault_a_packet_mode_beside_proxy_mode(one_arm, make_culvert, make_doctor):
    culvert = make_culvert(one_arm).start(config.passthrough(one_arm))
    made = config.proxy(one_arm, port=81, stats={"port": 9001}, proxy={"max_connections": 50})
    fault = make_doctor(one_arm).look(made).only_fault()
    assert (fault.name, fault.status) == ("instance", "warning")
    assert f"process {culvert.process.pid}" in fault.found


def test_fault_too_few_open_files(one_arm, make_doctor):
    made = config.proxy(one_arm, proxy={"max_connections": 1000, "threads": 1})
    fault = make_doctor(one_arm).look(made, wrapper=["prlimit", "--nofile=300:300"]).only_fault()
    assert (fault.name, fault.status) == ("files", "error")
    enough = fault.fix.split()[2].rstrip(";")
    wrapper = ["prlimit", f"--nofile={enough}:{enough}"]
    assert make_doctor(one_arm).look(made, wrapper=wrapper).faults() == []


@pytest.mark.parametrize("mode, capability, also", [
    ("proxy", "net_bind_service", ["ports"]),
    ("passthrough", "net_raw", ["kernel"]),
    ("passthrough", "net_admin", ["kernel", "firewall"]),
])
def test_fault_capability_missing(one_arm, make_doctor, mode, capability, also):
    made = config.proxy(one_arm, proxy={"max_connections": 50}) if mode == "proxy" \
        else config.passthrough(one_arm)
    wrapper = ["setpriv", f"--bounding-set=-{capability}"]
    report = make_doctor(one_arm).look(made, wrapper=wrapper)
    assert [(fault.name, fault.status) for fault in report.faults()] == [
        ("capabilities", "error"), *[(name, "skipped") for name in also]]
    assert capability.upper() in report.faults()[0].found


def test_what_the_fast_path_lacks_is_a_note(one_arm, make_doctor):
    made = config.passthrough(one_arm, passthrough={"io": "afpacket"})
    [found] = make_doctor(one_arm).look(made).named("fast-path")
    # The machine's kernel may be old.
    assert found.status == "ok" or "has no tcx" in found.found
    report = make_doctor(one_arm).look(made, wrapper=["setpriv", "--bounding-set=-bpf"])
    assert report.faults() == [] and report.exit == 0
    [found] = report.named("fast-path")
    assert found.status == "note" and "CAP_BPF" in found.found and "systemd unit" in found.fix
    made = config.passthrough(one_arm, passthrough={"io": "afpacket", "fast_path": "off"})
    assert make_doctor(one_arm).look(made).named("fast-path") == []


def test_fault_listen_queue_short(one_arm, make_doctor):
    sysctl(one_arm, "net.core.somaxconn", 128)
    made = config.proxy(one_arm, proxy={"max_connections": 50})
    find_and_mend(make_doctor(one_arm), made, "backlog", "warning", "net.core.somaxconn", "128")


def test_fault_backend_does_not_listen(one_arm, make_doctor):
    one_arm.stop("b1")
    fault = make_doctor(one_arm).look(config.passthrough(one_arm)).only_fault()
    assert (fault.name, fault.status, fault.subject) == ("backends", "error", backend(one_arm, "b1"))
    assert "refused" in fault.found
    one_arm.start("b1")
    assert make_doctor(one_arm).look(config.passthrough(one_arm)).faults() == []


def test_fault_backend_is_not_there(one_arm, make_doctor):
    one_arm.silence("b2")
    fault = make_doctor(one_arm).look(config.passthrough(one_arm)).only_fault()
    assert (fault.name, fault.status, fault.subject) == ("backends", "error", backend(one_arm, "b2"))
    assert "10.0.0.102 does not answer ARP on eth0" in fault.found


def test_fault_router_is_not_there(make_lab, make_doctor):
    lab = make_lab(topology="routed", backends=1)
    lab.run("r2", "ip", "link", "set", "eth0", "down")
    fault = make_doctor(lab).look(config.passthrough(lab)).only_fault()
    assert fault.name == "backends"
    assert "the router to it, 10.0.0.253 does not answer ARP" in fault.found


def test_fault_no_route(one_arm, make_doctor):
    one_arm.run("lb", "ip", "route", "add", "unreachable", "10.9.9.9")
    servers = {"far": {"addr": "10.9.9.9:80"}}
    made = config.passthrough(one_arm, backends={"web": {"servers": servers}})
    fault = make_doctor(one_arm).look(made).only_fault()
    assert (fault.name, fault.status, fault.subject) == ("routes", "error", "web/far 10.9.9.9:80")


def test_fault_backend_is_not_ready_for_dsr(make_lab, make_doctor):
    lab = make_lab(backends=2, direct=True)
    translate_answers(lab, hosts=["b1"])
    doctor, made = make_doctor(lab), dsr_config(lab)
    fault = doctor.look(made).only_fault()
    assert (fault.name, fault.status, fault.subject) == ("dsr", "error", backend(lab, "b2"))
    doctor.mend(fault, host="b2")
    assert doctor.look(made).faults() == []


def test_fault_source_of_health_checks_is_the_vip(make_lab, make_doctor):
    lab = make_lab(backends=1, direct=True)
    lab.run("lb", "ip", "-6", "address", "change", f"{VIP6}/128", "dev", "eth0", "preferred_lft",
            "forever")
    lab.run("lb", "ip", "-6", "route", "replace", "fd00::101/128", "dev", "eth0", "src", VIP6)
    made = config.dsr(lab, "l2", family=6)
    faults = make_doctor(lab).look(made).faults()
    assert [fault.name for fault in faults if fault.status == "error"] == ["addresses"]
    assert VIP6 in faults[0].found


# --- many faults at once -----------------------------------------------------------------------------

def test_it_finds_each_of_many_faults_and_only_those(make_lab, make_doctor):
    lab = make_lab(topology="two-arm", backends=4)
    b1, b2, b3, b4 = (backend(lab, name) for name in lab.backend_names())
    made = config.passthrough(lab)
    made["frontends"]["lost"] = {"listen_addr": "10.0.0.9:80", "backend": "web"}
    made["backends"]["web"]["servers"]["far"] = {"addr": "10.9.9.9:80"}
    doctor = make_doctor(lab)
    unmanaged = config.passthrough(lab, firewall={"manage": False})
    path = doctor.culvert.write_config(unmanaged)

    sysctl(lab, "net.ipv4.conf.eth0.arp_ignore", 8)
    sysctl(lab, "net.ipv4.ip_forward", 1)
    sysctl(lab, "net.ipv4.conf.eth1.proxy_arp", 1)
    sysctl(lab, "net.ipv4.conf.eth0.rp_filter", 1)
    sysctl(lab, "net.ipv4.ip_local_port_range", "33768 61200")
    lab.run("lb", "ip", "route", "add", f"{lab.backend_addr('b4')}/32", "dev", "eth1", "src",
            "10.0.0.2")
    lab.run("lb", "ip", "route", "add", f"{lab.backend_addr('b3')}/32", "dev", "eth1", "mtu", "1300")
    lab.run("lb", "ip", "route", "add", "unreachable", "10.9.9.9")
    lab.run("lb", "ip", "link", "set", "eth0", "gro_max_size", "131072")
    nft(lab, "table netdev culvert_99999 {\n}\n")
    lab.stop("b1")
    lab.silence("b2")
    with lab.inside("lb"):
        taken, connected = socket.create_server(("127.0.0.1", 9000)), socket.socket()
    with taken, connected:
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        connected.bind(("10.1.0.2", 40000))
        connected.connect((lab.backend_addr("b3"), 80))
        # Last: these rules would keep the answer from that connection.
        lab.run("lb", SETUP, "up", "--config", path, "--culvert", doctor.culvert.binary)
        faults = doctor.look(made).faults()

    found = {(fault.name, fault.status, fault.subject) for fault in faults}
    path = doctor.culvert.directory / "culvert.toml"
    assert found == {
        ("configuration", "error", str(path)),
        ("addresses", "error", "lost 10.0.0.9:80"),
        ("ports", "error", "stats 127.0.0.1:9000"),
        ("nat-ports", "warning", ""),
        ("offloads", "warning", "eth0"),
        ("mtu", "warning", b3),
        ("arp", "error", f"web {VIP}:80"),
        ("arp", "warning", "eth1"),
        ("rp-filter", "warning", b4),
        ("firewall", "error", "culvert_99999"),
        ("firewall", "warning", "CULVERT"),
        ("routes", "error", "web/far 10.9.9.9:80"),
        ("backends", "error", b1),
        ("backends", "error", b2),
    }
    assert all(fault.fix for fault in faults)
