# SPDX-License-Identifier: Apache-2.0
"""The backend's half of DSR by itself. In a lab where everybody hears everybody, the client plays
the balancer for what it sends: a rule at its own egress turns the VIP into the backend. It reaches
the backend, and the answers have to come from the VIP. The host `lb` checks the backend's health."""

import contextlib
import os
import socket
import threading

from .lab import ROOT, VIP, endpoint

EGRESS = str(ROOT / "tc" / "dsr-egress.sh")
BACKEND = str(ROOT / "tc" / "dsr-backend.sh")
OBJECT = ROOT / "build" / "tc" / "dsr_egress.bpf.o"

VIP6 = "fd00:1::1"
BALANCERS = {4: "10.0.0.2", 6: "fd00::2"}


def vip_addr(family=4):
    return VIP if family == 4 else VIP6


def play_balancer(lab, backend, vip, proto="tcp"):
    """On the client: (address, port) of the VIP are replaced by the backend's on the way out."""
    family = "ip6" if ":" in vip[0] else "ip"
    lab.run("client", "ip", "route", "replace", vip[0], "via", backend[0], "dev", "eth0")
    rules = f"""
        table netdev balancer {{
            chain egress {{
                type filter hook egress device "eth0" priority 0;
            }}
        }}
        add rule netdev balancer egress {family} daddr {vip[0]} {proto} dport {vip[1]} \
            {family} daddr set {backend[0]} {proto} dport set {backend[1]}
    """
    lab.run("client", "nft", "-f", "-", input=rules)


class Egress:
    """tc/dsr-egress.sh on one backend and interface of a lab, with one method."""

    def __init__(self, lab, method="auto", host="b1", dev="eth0", script=EGRESS):
        self.lab, self.method, self.host, self.dev, self.script = lab, method, host, dev, script

    def run(self, command, *args, check=True):
        return self.lab.run(self.host, self.script, command, "--dev", self.dev, "--method",
                            self.method, *args, check=check)

    def up(self, backend, vip, *args, balancer=None, proto="tcp", **options):
        if balancer is None:
            balancer = BALANCERS[6 if ":" in backend[0] else 4]
        return self.run("up", "--backend", endpoint(*backend), "--vip", endpoint(*vip),
                        "--balancer", balancer, "--proto", proto, *args, **options)

    def down(self, *args, **options):
        return self.run("down", *args, **options)

    def verify(self, backend, vip, *args, proto="tcp"):
        """Exit status and output."""
        result = self.run("verify", "--backend", endpoint(*backend), "--vip", endpoint(*vip),
                          "--proto", proto, *args, check=False)
        return result.returncode, result.stdout + result.stderr

    def counters(self, backend, proto="tcp"):
        """What status says of one backend, as a dictionary of numbers."""
        mark = f" {proto} {endpoint(*backend)} -> "
        line, = [line for line in self.run("status").stdout.splitlines() if mark in line]
        numbers = line.split(": ", 1)[1].replace("(", "").split()
        return {"packets": int(numbers[0]), "bytes": int(numbers[2]), "left": int(numbers[5]),
                "dropped": int(numbers[8])}


def footprint(lab, host="b1", dev="eth0"):
    """All that the scripts might leave on a host, without counters. IPv6 link-local addresses and
    their routes come up in their own time."""
    script = f"""
        tc qdisc show dev {dev}; tc class show dev {dev}
        tc filter show dev {dev}; tc filter show dev {dev} ingress; tc filter show dev {dev} egress
        nft -s list ruleset; ip link; ip -4 addr; ip -6 addr show dev lo
        ip rule; ip -4 route show table all
        tc actions ls action nat 2>/dev/null
        grep . -r /proc/sys/net/ipv4/conf /proc/sys/net/ipv6/conf 2>/dev/null | sort
    """
    text = lab.run(host, "sh", "-c", script).stdout
    return text.splitlines()


def make_programs(directory, without=(), scripts=None):
    """A directory to be the PATH: this machine's programs but those named, and scripts instead."""
    directory.mkdir()
    for folder in ("/usr/sbin", "/usr/bin", "/sbin", "/bin"):
        for program in os.scandir(folder):
            link = directory / program.name
            if program.name not in without and not os.path.lexists(link):
                link.symlink_to(program.path)
    for name, text in (scripts or {}).items():
        (directory / name).unlink()
        (directory / name).write_text(text)
        (directory / name).chmod(0o755)
    return directory


def run_with_path(lab, path, script, *args):
    return lab.run("b1", "env", f"PATH={path}", script, *args, "--dev", "eth0", check=False)


def kernel_has_act_nat(lab):
    action = ("nat", "egress", "192.0.2.1/32", "192.0.2.2", "index", "1")
    if lab.run("b1", "tc", "actions", "add", "action", *action, check=False).returncode != 0:
        return False
    lab.run("b1", "tc", "actions", "del", "action", "nat", "index", "1")
    return True


@contextlib.contextmanager
def udp_server(lab, addr, port, answer, host="b1"):
    """On a host: answers each datagram by answer(datagram)."""
    with lab.inside(host):
        sock = socket.socket(socket.AF_INET6 if ":" in addr else socket.AF_INET, socket.SOCK_DGRAM)

    def loop():
        while True:
            data, peer = sock.recvfrom(65536)
            if not data:  # that is the end
                return
            sock.sendto(answer(data), peer)

    thread = threading.Thread(target=loop, daemon=True)
    with sock:
        sock.bind((addr, port))
        thread.start()
        try:
            yield
        finally:
            sock.sendto(b"", (addr, port))
            thread.join(5)
