# SPDX-License-Identifier: Apache-2.0
"""Labs whose backends answer clients directly: the backends' half of DSR, made by hand."""

import contextlib
import subprocess

from .lab import VIP, VIPS, of_family

TOPOLOGIES = ("one-arm", "two-arm", "routed")


def open_path(lab):
    """A way from the backends to the client past the balancer. one-arm and routed labs have it when
    they are made with direct=True; two-arm gets a router of its own."""
    if lab.topology != "two-arm":
        return
    net, router = lab.namespace("net"), lab.namespace("rr")
    lines = f"netns add {router}\n"
    for bridge, dev in (("front", "eth0"), ("back", "eth1")):
        port = f"rr-{dev}"
        lines += f"-n {net} link add {port} type veth peer name {dev} netns {router}\n"
        lines += f"-n {net} link set {port} master {bridge} up\n"
    for line in lines.splitlines():
        subprocess.run(["ip", *line.split()], check=True, timeout=60)
    lab.run("rr", "sh", "-ec", """
        echo 1 >/proc/sys/net/ipv4/ip_forward
        echo 2 >/proc/sys/net/ipv4/conf/all/rp_filter
        echo 1 >/proc/sys/net/ipv6/conf/all/forwarding
        for dev in eth0 eth1; do echo 0 >/proc/sys/net/ipv6/conf/$dev/accept_dad; done
        ip link set eth0 up; ip addr add 10.0.0.253/24 dev eth0; ip addr add fd00::253/64 dev eth0 nodad
        ip link set eth1 up; ip addr add 10.1.0.253/24 dev eth1; ip addr add fd00:1::253/64 dev eth1 nodad
        """)
    for name in lab.backend_names():
        lab.run(name, "ip", "route", "replace", "default", "via", "10.1.0.253")
        lab.run(name, "ip", "route", "replace", "::/0", "via", "fd00:1::253")


def translate_answers(lab, backend_port=80, port=80, proto="tcp", hosts=None, family=4):
    """method nat: what a backend answers from its port leaves as the frontend's, but for what goes to
    the balancer, which checks the backend's health."""
    ip = "ip" if family == 4 else "ip6"
    for name in hosts or lab.backend_names():
        rules = f"""
            table netdev dsr {{
                chain egress {{
                    type filter hook egress device "eth0" priority 0;
                    {ip} saddr {lab.backend_addr(name, family)} {proto} sport {backend_port} \
                        {ip} daddr != {lab.backend_facing_addr(family)} \
                        counter {ip} saddr set {VIPS[family]} {proto} sport set {port}
                }}
            }}
        """
        lab.run(name, "nft", "-f", "-", input=rules)


def hold_vip(lab, hosts=None, family=4):
    """method l2: a backend has the virtual address, and no neighbour hears of it."""
    for name in hosts or lab.backend_names():
        if family == 6:  # hosts speak for the addresses of the link only
            lab.run(name, "ip", "addr", "add", f"{VIPS[6]}/128", "dev", "lo", "nodad")
            continue
        lab.run(name, "sh", "-ec", f"""
            ip addr add {VIP}/32 dev lo
            echo 1 >/proc/sys/net/ipv4/conf/eth0/arp_ignore
            echo 2 >/proc/sys/net/ipv4/conf/eth0/arp_announce""")


def narrow_the_way_back(lab, mtu, family=4):
    """A router between the backends and the client passes on no more: it says so to the VIP."""
    router, net, source = {
        "two-arm": ("rr", "10.0.0.0", "10.0.0.253"),
        "routed": ("r1", "10.2.0.0", "10.2.0.1"),
    }[lab.topology]
    if family == 4:
        how = [f"{net}/24", "dev", "eth0", "src", source]
    else:
        how = [of_family(net, 6) + "/64", "dev", "eth0", "metric", 256]
    lab.run(router, "ip", "route", "replace", *how, "mtu", "lock", mtu)


def assert_narrow(lab, mtu, family=4):
    """Some backend has learnt what reaches the client."""
    client = lab.client_addr(family)
    routes = [lab.run(name, "ip", "route", "get", client).stdout for name in lab.backend_names()]
    assert any(f"mtu {mtu}" in route for route in routes), routes


@contextlib.contextmanager
def tunnels_end(lab, program):
    """method ipip: each backend has the virtual address, and takes packets out of the tunnel."""
    hold_vip(lab)
    with contextlib.ExitStack() as stack:
        for name in lab.backend_names():
            process = lab.spawn(name, program, "tun0", stdout=subprocess.PIPE, text=True)
            stack.callback(process.wait)
            stack.callback(process.kill)
            assert process.stdout.readline() == "ready\n"
            # Nobody would answer by this device, so its source addresses cannot be checked.
            lab.run(name, "sh", "-c", "echo 0 >/proc/sys/net/ipv4/conf/tun0/rp_filter")
        yield


def sent_bytes(lab, host):
    return int(lab.run(host, "cat", "/sys/class/net/eth0/statistics/tx_bytes").stdout)


def answered_bytes(lab, host):
    """What a backend has sent as the frontend."""
    words = lab.run(host, "nft", "list", "chain", "netdev", "dsr", "egress").stdout.split()
    return int(words[words.index("bytes") + 1])


def received_bytes(lab, host, devs=("eth0",)):
    return sum(int(lab.run(host, "cat", f"/sys/class/net/{dev}/statistics/rx_bytes").stdout)
               for dev in devs)
