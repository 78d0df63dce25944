# SPDX-License-Identifier: Apache-2.0
"""A routed lab whose way is longer by a router at each end, in both families:

    client - rc - r1 - lb - r2 - rb - backends

The links rc - r1 and r2 - rb can be narrow: their ends know it, nobody else does."""

import subprocess

from .wait import await_condition

NEW = """
-n {net} link add {bridge} type bridge forward_delay 0 stp_state 0 mcast_snooping 0
-n {net} link set {bridge} up
netns add {router}
-n {net} link add {name}-eth0 type veth peer name eth0 netns {router}
-n {net} link add {name}-eth1 type veth peer name eth1 netns {router}
-n {net} link set {name}-eth0 master {eth0} up
-n {net} link set {name}-eth1 master {eth1} up
-n {router} link set lo up
-n {router} link set eth0 up
-n {router} link set eth1 up
"""

# Beyond what the lab has given them.
ADDRESSES = {
    "rc": ["addr add 10.2.0.1/24 dev eth0", "addr add fd00:2::1/64 dev eth0 nodad",
           "addr add 10.4.0.2/24 dev eth1", "addr add fd00:4::2/64 dev eth1 nodad",
           "route add default via 10.4.0.1", "route add default via fd00:4::1"],
    "r1": ["addr del 10.2.0.1/24 dev eth0", "addr add 10.4.0.1/24 dev eth0",
           "addr del fd00:2::1/64 dev eth0", "addr add fd00:4::1/64 dev eth0 nodad",
           "route replace default via 10.4.0.2", "route replace ::/0 via fd00:4::2",
           "route replace fd00:1::/64 via fd00::253"],
    "r2": ["addr del 10.1.0.1/24 dev eth1", "addr add 10.5.0.1/24 dev eth1",
           "addr del fd00:1::1/64 dev eth1", "addr add fd00:5::1/64 dev eth1 nodad",
           "route add 10.1.0.0/24 via 10.5.0.2", "route add fd00:1::/64 via fd00:5::2",
           "route replace ::/0 via fd00::254"],
    "rb": ["addr add 10.5.0.2/24 dev eth0", "addr add fd00:5::2/64 dev eth0 nodad",
           "addr add 10.1.0.1/24 dev eth1", "addr add fd00:1::1/64 dev eth1 nodad",
           "route add default via 10.5.0.1", "route add default via fd00:5::1"],
}


def _run(lines):
    for line in lines:
        subprocess.run(["ip", *line.split()], check=True, timeout=60)


def _add_router(lab, name, bridge, hosts, ports):
    """`hosts` move to the new bridge; the router's eth0 and eth1 go to the bridges in `ports`."""
    net = lab.namespace("net")
    text = NEW.format(net=net, router=lab.namespace(name), name=name, bridge=bridge, **ports)
    _run(text.strip().splitlines() +
         [f"-n {net} link set {host} master {bridge}" for host in hosts])
    lab.run(name, "sh", "-ec", "echo 2 >/proc/sys/net/ipv4/conf/all/rp_filter")


def make(lab):
    """Of a lab with topology "routed"."""
    _add_router(lab, "rc", "home", ["client"], {"eth0": "home", "eth1": "outside"})
    _add_router(lab, "rb", "far", lab.backend_names(), {"eth0": "back", "eth1": "far"})
    for router in ("rc", "r1", "r2", "rb"):
        lab.run(router, "sh", "-ec", """
            echo 1 >/proc/sys/net/ipv4/ip_forward
            echo 1 >/proc/sys/net/ipv6/conf/all/forwarding""")
    for host, lines in ADDRESSES.items():
        _run(f"-n {lab.namespace(host)} {line}" for line in lines)


def narrow_client_side(lab, mtu):
    lab.run("rc", "ip", "link", "set", "eth1", "mtu", mtu)
    lab.run("r1", "ip", "link", "set", "eth0", "mtu", mtu)


def narrow_backend_side(lab, mtu):
    lab.run("r2", "ip", "link", "set", "eth1", "mtu", mtu)
    lab.run("rb", "ip", "link", "set", "eth0", "mtu", mtu)


def await_up(culvert, pool="web"):
    """Every backend of the pool, of either family."""
    await_condition(lambda: all(culvert.stats()["backends"][pool]["servers"].values()),
                    f"all of pool {pool} are up")
