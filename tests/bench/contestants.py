# SPDX-License-Identifier: Apache-2.0
"""Who takes part: how each is set up on the balancer's host (and, for DSR, on the backends)."""

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Callable

from place import LB_ADDR, ROOT, STATS_PORT, VIP, BenchError

PROGRAMS = ROOT / "build" / "tests" / "bench"
STREAM_MODULE = Path("/usr/lib/nginx/modules/ngx_stream_module.so")
FLOOD_FLOWS_TABLE = 1 << 22  # half-open flows may fill a quarter of it
FLOOD_SOURCES = [f"10.0.0.{i}" for i in range(130, 194)]  # a flow needs a port of one of them
# Of 27,233 ports for each of two backends half may be half-open, and some room for chance.
FLOWS_PER_SOURCE = 18_000


@dataclass(frozen=True)
class Service:
    """What is balanced."""
    port: int = 80
    proto: str = "tcp"
    is_flood: bool = False  # nobody answers
    is_checked: bool = True  # backends are, as far as they answer


@dataclass(frozen=True)
class Contestant:
    name: str
    title: str
    does: tuple                # kinds of rows: "http", "flood", "memory", "rest", "pressed"
    setup: Callable            # (place, service): returns the command to run, or None
    program: str = ""          # that has to be installed
    is_culvert: bool = False

    def start(self, place, service):
        """Returns the address that the client calls."""
        if self.program and not shutil.which(self.program):
            raise BenchError(f"{self.program} is not installed; \"make deps-dev\" does that")
        if self.name == "direct":
            return place.backend_addr("b1")
        command = self.setup(place, service)
        place.start(command, self._is_ready if service.is_flood else lambda p: p.answers_http())
        return VIP

    def _is_ready(self, place):
        return place.process is None or "ready" in place.log()


def servers(place):
    return list(zip(place.backends(), map(place.backend_addr, place.backends())))


def no_setup(_place, _service):
    return None


# ---- the kernel, and the null forwarder -----------------------------------------------------------

def setup_nft(place, service):
    """DNAT in turns, and the balancer's address as the source: what passthrough mode does."""
    to = ", ".join(f"{i} : {addr}" for i, (_, addr) in enumerate(servers(place)))
    place.run("lb", "sysctl", "-qw", "net.ipv4.ip_forward=1")
    place.run("lb", "nft", "-f", "-", stdin=f"""
        table ip balance {{
            chain before {{
                type nat hook prerouting priority dstnat
                ip daddr {VIP} {service.proto} dport {service.port} dnat to numgen inc mod {len(servers(place))} map {{ {to} }}
            }}
            chain after {{
                type nat hook postrouting priority srcnat
                oifname "eth0" {service.proto} dport {service.port} snat to {LB_ADDR}
            }}
        }}
        """)


def setup_null(place, service, extra=()):
    """All goes to one backend, whose address the frames do not name: it swallows them all the same."""
    swallow(place, "lb", service)
    return [PROGRAMS / "null_forwarder", "--in", "eth0", "--out", "eth0", "--to", place.mac("b1"), "--filter",
            f"dst host {VIP} and {service.proto} dst port {service.port}", *extra]


def setup_null_xdp(place, service):
    return setup_null(place, service, ["--xdp", f"{VIP}:{service.port}/{service.proto}"])


def swallow(place, host, service):
    """The host's network takes no notice of what is for the service."""
    place.run(host, "nft", "-f", "-", stdin=f"""
        table netdev swallow {{
            chain ingress {{
                type filter hook ingress device "eth0" priority 0
                {service.proto} dport {service.port} drop
            }}
        }}
        """)


# ---- proxies ----------------------------------------------------------------------------------------

def setup_haproxy(place, service, extra=""):
    lines = "".join(f"    server {name} {addr}:{service.port}\n" for name, addr in servers(place))
    return ["haproxy", "-db", "-f", place.write(
        "haproxy.cfg", f"global\n    maxconn 4000\n    nbthread {os.cpu_count()}\n"
        f"defaults\n    mode tcp\n    {extra}    timeout connect 5s\n    timeout client 60s\n"
        f"    timeout server 60s\nfrontend web\n    bind {VIP}:{service.port}\n"
        f"    default_backend web\nbackend web\n{lines}")]


def setup_haproxy_splice(place, service):
    return setup_haproxy(place, service, "option splice-auto\n")


def setup_nginx(place, service):
    upstream = "".join(f"server {addr}:{service.port};" for _, addr in servers(place))
    load = f"load_module {STREAM_MODULE};" if STREAM_MODULE.exists() else ""
    return ["nginx", "-e", "/dev/null", "-c", place.write(
        "nginx.conf", f"{load} worker_processes {os.cpu_count()}; daemon off; pid {place.path}/nginx.pid;\n"
        f"error_log /dev/null; worker_rlimit_nofile 16384; events {{ worker_connections 8000; }}\n"
        f"stream {{ upstream web {{ {upstream} }} "
        f"server {{ listen {VIP}:{service.port}; proxy_pass web; }} }}\n")]


# ---- culvert ------------------------------------------------------------------------------------------

def culvert(place, service, mode, sections=""):
    lines = "".join(f'[backends.web.servers.{name}]\naddr = "{addr}:{service.port}"\n'
                    for name, addr in servers(place))
    proto = f'protocol = "{service.proto}"\n' if service.is_flood else ""
    check = 'health_check = "none"\n' if service.is_flood or not service.is_checked else ""
    return [place.options.culvert, "--config", place.write(
        "culvert.toml", f'mode = "{mode}"\n[api]\nsocket = "{place.path}/api.sock"\n[stats]\nport = {STATS_PORT}\n'
        f'[frontends.web]\nlisten_addr = "{VIP}:{service.port}"\nbackend = "web"\n{proto}'
        f'[backends.web]\n{check}{lines}{sections}')]


def setup_culvert_proxy(place, service):
    return culvert(place, service, "proxy", f"[proxy]\nthreads = {os.cpu_count()}\n")


def packet_section(place, service, workers):
    section = f"[passthrough]\nworkers = {workers}\n"
    if service.is_flood:
        section += f"connection_tracker_capacity = {FLOOD_FLOWS_TABLE}\n"
    return section


def setup_passthrough(workers, io="afpacket", fast_path="auto"):
    def setup(place, service):
        sections = packet_section(place, service, workers) + f'io = "{io}"\nfast_path = "{fast_path}"\n'
        if service.is_flood:
            sources = FLOOD_SOURCES[:place.options.max_flows // FLOWS_PER_SOURCE + 1]
            for addr in sources:
                place.run("lb", "ip", "address", "add", f"{addr}/32", "dev", "eth0")
            sections += f"snat_addrs = {json.dumps(sources)}\n"
        return culvert(place, service, "passthrough", sections)
    return setup


def setup_dsr_nat(place, service):
    for name, addr in servers(place):
        place.run(name, ROOT / "tc" / "dsr-egress.sh", "up", "--dev", "eth0", "--backend", f"{addr}:{service.port}",
                  "--vip", f"{VIP}:{service.port}", "--balancer", LB_ADDR, *proto_option(service))
    return culvert(place, service, "dsr", packet_section(place, service, '"auto"') + '[dsr]\nmethod = "nat"\n')


def proto_option(service):
    return ["--proto", service.proto] if service.proto != "tcp" else []


def setup_dsr_l2(place, service):
    """Backends have the virtual address, and no neighbour hears of it."""
    for name, _ in servers(place):
        place.run(name, "sh", "-ec", f"ip address add {VIP}/32 dev lo; "
                  "echo 1 >/proc/sys/net/ipv4/conf/eth0/arp_ignore; echo 2 >/proc/sys/net/ipv4/conf/eth0/arp_announce")
    return culvert(place, service, "dsr", packet_section(place, service, '"auto"') + '[dsr]\nmethod = "l2"\n')


PACKETS = ("http", "flood")
ALL = [
    Contestant("direct", "direct, no balancer", PACKETS, no_setup),
    Contestant("nft", "kernel, nft DNAT", PACKETS, setup_nft, "nft"),
    Contestant("null", "null forwarder (limit of the I/O)", ("flood",), setup_null),
    Contestant("null-xdp", "null forwarder over AF_XDP", ("flood",), setup_null_xdp),
    Contestant("haproxy", "HAProxy, mode tcp", ("http",), setup_haproxy, "haproxy"),
    Contestant("haproxy-splice", "HAProxy, splice", ("http",), setup_haproxy_splice, "haproxy"),
    Contestant("nginx", "nginx stream", ("http",), setup_nginx, "nginx"),
    Contestant("culvert-proxy", "culvert proxy", ("http", "rest", "pressed"), setup_culvert_proxy, is_culvert=True),
    Contestant("culvert-auto", "culvert passthrough, workers auto", (*PACKETS, "memory", "rest", "pressed"),
               setup_passthrough('"auto"'), is_culvert=True),
    Contestant("culvert-inline", "culvert passthrough, workers 0, no fast path", PACKETS,
               setup_passthrough("0", fast_path="off"), is_culvert=True),
    Contestant("culvert-xdp", "culvert passthrough over AF_XDP, workers auto", PACKETS,
               setup_passthrough('"auto"', "xdp"), is_culvert=True),
    Contestant("culvert-pipeline", "culvert passthrough, workers 1, no fast path", (*PACKETS, "rest"),
               setup_passthrough("1", fast_path="off"), is_culvert=True),
    Contestant("culvert-dsr-nat", "culvert DSR, method nat", (*PACKETS, "memory", "rest", "pressed"), setup_dsr_nat,
               is_culvert=True),
    Contestant("culvert-dsr-l2", "culvert DSR, method l2", (*PACKETS, "rest"), setup_dsr_l2, is_culvert=True),
]
BY_NAME = {contestant.name: contestant for contestant in ALL}
