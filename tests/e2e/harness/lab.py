# SPDX-License-Identifier: Apache-2.0
"""tools/lab as an object."""

import contextlib
import itertools
import os
import pathlib
import re
import subprocess

from . import netns

ROOT = pathlib.Path(__file__).resolve().parents[3]
TOOL = str(ROOT / "tools" / "lab")
VIP = "10.0.0.1"
VIP6 = "fd00::1"
VIPS = {4: VIP, 6: VIP6}

# They look at nothing in /sys.
WITHOUT_SYS = {"awk", "curl", "ip", "nft", "ping", "ss", "stream_load", "stream_peer", "sysctl", "udp-echo",
               "udp-flows", "wrk"}

_numbers = itertools.count(1)


def of_family(addr, family):
    """An IPv4 address of a lab, or the IPv6 address with the same numbers, which the same host has."""
    if family == 4:
        return addr
    _, net, _, host = addr.split(".")
    return f"fd00:{'' if net == '0' else net}::{host}".replace(":::", "::")


def endpoint(addr, port):
    return f"[{addr}]:{port}" if ":" in addr else f"{addr}:{port}"


class Lab:
    """One lab, up from construction until down()."""

    def __init__(self, topology="one-arm", offloads="on", backends=3, files=None, direct=False):
        self.name = f"e{os.getpid()}x{next(_numbers)}"
        self.topology = topology
        self.offloads = offloads
        self.n_backends = backends
        command = [TOOL, "up", "--name", self.name, "--topology", topology]
        command += ["--offloads", offloads, "--backends", str(backends)]
        if files is not None:
            command += ["--files", str(files)]
        if direct:
            command += ["--direct"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=60)

    def down(self):
        subprocess.run([TOOL, "down", "--name", self.name], check=True, timeout=60)

    def namespace(self, host):
        return f"cv-{self.name}-{host}"

    def inside(self, host):
        return netns.inside(self.namespace(host))

    def command(self, host, *args):
        """For a process that may be started from anywhere."""
        return ["ip", "netns", "exec", self.namespace(host), *map(str, args)]

    def run(self, host, *args, check=True, timeout=60, **options):
        """The completed process, its output as text."""
        options.setdefault("stdout", subprocess.PIPE)
        options.setdefault("stderr", subprocess.PIPE)
        if "input" not in options:
            options.setdefault("stdin", subprocess.DEVNULL)
        with self._place(host, args) as command:
            return subprocess.run(command, check=check, timeout=timeout, text=True, **options)

    def spawn(self, host, *args, **options):
        options.setdefault("stdin", subprocess.DEVNULL)
        with self._place(host, args) as command:
            return subprocess.Popen(command, **options)

    @contextlib.contextmanager
    def _place(self, host, args):
        """What to start within the block. A process inherits the network of the thread that starts it;
        `ip netns exec` besides gives it a /sys of its own, which takes longer than many a command."""
        if pathlib.Path(str(args[0])).name in WITHOUT_SYS:
            with self.inside(host):
                yield [*map(str, args)]
        else:
            yield self.command(host, *args)

    def read(self, host, path):
        """A file of /proc, where what is below /proc/net is the process's first thread's, and not the
        calling one's."""
        with self.inside(host):
            return pathlib.Path(path.replace("/proc/net/", "/proc/thread-self/net/")).read_text()

    def stop(self, host):
        """Kill what runs on the host; its network stays, and refuses connections."""
        subprocess.run([TOOL, "stop", "--name", self.name, host], check=True, timeout=60)

    def start(self, host):
        subprocess.run([TOOL, "start", "--name", self.name, host], check=True, timeout=60)

    def silence(self, host):
        """Cut the host's cable: nothing is refused, everything is lost."""
        self.run(host, "ip", "link", "set", "eth0", "down")

    def backend_names(self):
        return [f"b{i}" for i in range(1, self.n_backends + 1)]

    def client_addr(self, family=4):
        return of_family("10.2.0.10" if self.topology == "routed" else "10.0.0.10", family)

    def backend_addr(self, host, family=4):
        net = "10.0.0" if self.topology == "one-arm" else "10.1.0"
        return of_family(f"{net}.{100 + int(host[1:])}", family)

    def backend_facing_addr(self, family=4):
        """The balancer's address that backends see in passthrough."""
        return of_family("10.1.0.2" if self.topology == "two-arm" else "10.0.0.2", family)

    def reserved_ports(self):
        return self.read("lb", "/proc/sys/net/ipv4/ip_local_reserved_ports").strip()

    def nft_tables(self):
        return self.run("lb", "nft", "list", "tables").stdout.split("\n")[:-1]


def sweep():
    """Remove labs of test runs that were killed."""
    names = set()
    for entry in [*pathlib.Path("/run/netns").glob("cv-e*"),
                  *pathlib.Path("/run/culvert-lab").glob("e*")]:
        match = re.fullmatch(r"(?:cv-)?(e(\d+)x\w+)(?:-.*)?", entry.name)
        if match and not os.path.exists(f"/proc/{match[2]}"):
            names.add(match[1])
    for name in names:
        subprocess.run([TOOL, "down", "--name", name], check=True, timeout=60)
