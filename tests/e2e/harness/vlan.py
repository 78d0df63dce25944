# SPDX-License-Identifier: Apache-2.0
"""VLAN interfaces of a lab's hosts: the kernel's, or where it has none, a veth pair and two BPF programs
that do what they do, from the parent's packet sockets on: those see a frame first, with its tag."""

import subprocess

PROTOCOLS = {"802.1Q": 0x8100, "802.1ad": 0x88A8}

PROGRAM = """
#include <linux/bpf.h>
#define SECTION(name) __attribute__((section(name), used))
static long (*push)(void *, __u16, __u16) = (void *)BPF_FUNC_skb_vlan_push;
static long (*pop)(void *) = (void *)BPF_FUNC_skb_vlan_pop;
static long (*redirect)(__u32, __u64) = (void *)BPF_FUNC_redirect;

SECTION("ingress/untag") int untag(struct __sk_buff *skb)
{
    if (!skb->vlan_present || (skb->vlan_tci & 0xfff) != VLAN)
        return -1; /* TC_ACT_UNSPEC: goes on */
    return pop(skb) ? 2 : redirect(INNER, 0);
}

SECTION("ingress/tag") int tag(struct __sk_buff *skb)
{
    return push(skb, __builtin_bswap16(PROTOCOL), VLAN) ? 2 : redirect(PARENT, 0);
}
"""


def _index(lab, host, name):
    return lab.run(host, "cat", f"/sys/class/net/{name}/ifindex").stdout.strip()


def _imitate(lab, host, parent, number, protocol, directory):
    name, inner = f"{parent}.{number}", f"{parent}.{number}x"
    lab.run(host, "ip", "link", "add", name, "type", "veth", "peer", "name", inner)
    mac = lab.run(host, "cat", f"/sys/class/net/{parent}/address").stdout.strip()
    lab.run(host, "ip", "link", "set", name, "address", mac)
    lab.run(host, "sysctl", "-qw", f"net/ipv6/conf/{inner}/disable_ipv6=1")
    lab.run(host, "ip", "link", "set", inner, "up")
    values = {"VLAN": number, "PROTOCOL": PROTOCOLS[protocol],
              "INNER": _index(lab, host, inner), "PARENT": _index(lab, host, parent)}
    program = directory / f"{host}-{name}.o"
    subprocess.run(
        ["clang", "-target", "bpf", "-O2", *[f"-D{key}={value}" for key, value in values.items()],
         "-isystem", f"/usr/include/{_triplet()}", "-x", "c", "-c", "-", "-o", program],
        input=PROGRAM, text=True, check=True, timeout=60)
    for device, section in ((parent, "untag"), (inner, "tag")):
        lab.run(host, "tc", "qdisc", "add", "dev", device, "clsact", check=False)
        lab.run(host, "tc", "filter", "add", "dev", device, "ingress", "bpf", "direct-action",
                "object-file", program, "section", f"ingress/{section}")


def _triplet():
    return subprocess.run(["clang", "-print-multiarch"], check=True, text=True, timeout=60,
                          stdout=subprocess.PIPE).stdout.strip()


def add(lab, host, parent, number, directory, protocol="802.1Q", addrs=()):
    """VLAN `number` on `parent` of a host, up and with `addrs`. Returns the interface's name."""
    name = f"{parent}.{number}"
    made = lab.run(host, "ip", "link", "add", "link", parent, "name", name, "type", "vlan",
                   "protocol", protocol, "id", number, check=False)
    if made.returncode != 0:
        _imitate(lab, host, parent, number, protocol, directory)
    for addr in addrs:
        lab.run(host, "ip", "addr", "add", addr, "dev", name)
    lab.run(host, "ip", "link", "set", name, "up")
    return name
