# SPDX-License-Identifier: Apache-2.0
"""What the kernel forwards for culvert: labs to see it in, and what has been counted of it."""

import contextlib
import ctypes
import json
import os
import socket
import struct
import subprocess

from . import api, config, dsr_lab, http
from .fake_api import CTL
from .lab import VIPS, endpoint
from .wait import await_condition

MODES = ("passthrough", "nat", "l2")  # the last two are methods of DSR
PORT = 5001  # of transfer.Server

# Both families, and the ports of DSR's method nat.
_PROTOS = ((80, "tcp"), (PORT, "tcp"), (config.UDP_PORT, "udp"))

# bpf(2), which Debian's bpftool is too old to use for tcx.
_SYS_BPF = {"x86_64": 321, "aarch64": 280}
_BPF_PROG_QUERY, _TCX_INGRESS = 16, 46
_libc = ctypes.CDLL(None, use_errno=True)

_COUNTERS = """
    table inet counted {
        chain out {
            type filter hook output priority 0;
            ip daddr 10.0.0.1 counter
            ip6 daddr fd00::1 counter
        }
        chain in {
            type filter hook input priority 0;
            ip saddr 10.0.0.1 counter
            ip6 saddr fd00::1 counter
        }
    }
"""


def lab_options(mode, **options):
    """Of a lab for the mode, which prepare() makes ready."""
    return {"direct": mode != "passthrough", **options}


def prepare(lab, mode):
    dsr_lab.open_path(lab)
    for family in (4, 6) if mode != "passthrough" else ():
        if mode == "l2":
            dsr_lab.hold_vip(lab, family=family)
            continue
        for port, proto in _PROTOS:
            dsr_lab.translate_answers(lab, port, port, proto, family=family)
    return lab


def settings(lab, mode, checked=True, **overrides):
    """With the fast path for all that can take it, whatever the environment says."""
    make = config.passthrough if mode == "passthrough" else config.dsr
    made = make(lab, **overrides) if mode == "passthrough" else make(lab, mode, **overrides)
    if not checked:
        config.leave_unchecked(made["backends"]["web"])
    made["passthrough"] = {"fast_path": "always", **made["passthrough"]}
    return made


def flows(culvert):
    """How many flows the kernel forwards."""
    return culvert.stats()["fast_path"]["flows"]


def await_flows(culvert, count=1, timeout=20):
    await_condition(lambda: flows(culvert) == count, f"{count} flows on the fast path", timeout)


def stats(culvert):
    """With what the kernel has counted until now: whoever lists flows has it fetched."""
    api.get(culvert, "/api/v1/flows?limit=10000")
    return culvert.stats()


def packets(culvert):
    """Once nothing moves: how many by the kernel, how many in all."""
    stats(culvert)
    forwarded = culvert.ledger()["forwarded"]
    return culvert.stats()["fast_path"]["packets"], forwarded


@contextlib.contextmanager
def used(culvert, at_least):
    """Within the block so many packets go by the kernel."""
    before = stats(culvert)["fast_path"]["packets"]
    yield
    n = stats(culvert)["fast_path"]["packets"] - before
    assert n >= at_least, f"{n} packets on the fast path"


@contextlib.contextmanager
def conversation(lab, culvert, family=4, **where):
    """A connection that the kernel forwards: (socket, who answers)."""
    with http.connect(lab, addr=VIPS[family], **where) as sock:
        name = http.request(sock)
        await_flows(culvert, 1)
        yield sock, name


@contextlib.contextmanager
def pairs(lab, count, family=4, host="b1", source=None):
    """Connections with both ends: the client's sockets and the backend's."""
    with lab.inside(host):
        listener = socket.create_server(("", PORT), family=socket.AF_INET if family == 4 else socket.AF_INET6)
    with listener, contextlib.ExitStack() as stack:
        listener.settimeout(10)
        made = []
        for _ in range(count):
            near = stack.enter_context(http.connect(lab, addr=VIPS[family], port=PORT, source=source))
            far, _ = listener.accept()
            far.settimeout(10)
            made.append((near, stack.enter_context(far)))
        yield made


@contextlib.contextmanager
def pair(lab, **where):
    """One such connection."""
    with pairs(lab, 1, **where) as [(near, far)]:
        yield near, far


def receive(sock, size):
    """So many bytes. MSG_WAITALL means nothing to a socket with a timeout."""
    data = b""
    while len(data) < size and (piece := sock.recv(size - len(data))):
        data += piece
    return data


def talk(near, far, count=10):
    """There and back."""
    for number in range(count):
        for one, other in ((near, far), (far, near)):
            text = b"message %08d" % number
            one.sendall(text)
            assert receive(other, len(text)) == text


def ctl(culvert, *args):
    result = subprocess.run([CTL, f"--socket={culvert.socket_path()}", "--json", *args],
                            capture_output=True, text=True, timeout=60, check=True)
    return json.loads(result.stdout)


def flow_of(culvert, sock):
    """What `culvertctl flows` says of the client's socket; None when it knows of none."""
    return _flow_of(culvert, sock.getsockname())


def _flow_of(culvert, client):
    found = ctl(culvert, "flows", f"--client={endpoint(*client[:2])}")["flows"]
    return found[0] if found else None


def state_of(culvert, client):
    """Of the flow of a socket, or of what its address was."""
    flow = _flow_of(culvert, client if isinstance(client, tuple) else client.getsockname())
    return flow["state"] if flow else None


def count_at_client(lab):
    """From now on the client's kernel counts what it sends to the virtual address, and gets from it."""
    lab.run("client", "nft", "-f", "-", input="table inet counted\ndelete table inet counted\n" + _COUNTERS)


def counted_at_client(lab, chain):
    """(packets, bytes) of "out" or "in"."""
    text = lab.run("client", "nft", "-j", "list", "chain", "inet", "counted", chain).stdout
    counters = [part["counter"] for item in json.loads(text)["nftables"] if "rule" in item
                for part in item["rule"]["expr"] if "counter" in part]
    return tuple(sum(counter[key] for counter in counters) for key in ("packets", "bytes"))


def programs(lab, link="eth0", host="lb"):
    """The numbers of the BPF programs that the kernel asks about each packet that comes in there."""
    numbers = (ctypes.c_uint32 * 16)()
    with lab.inside(host):
        attr = bytearray(struct.pack("=IIIIQI", socket.if_nametoindex(link), _TCX_INGRESS, 0, 0,
                                     ctypes.addressof(numbers), len(numbers)).ljust(64, b"\0"))
        buffer = (ctypes.c_char * len(attr)).from_buffer(attr)
        if _libc.syscall(_SYS_BPF[os.uname().machine], _BPF_PROG_QUERY, buffer, len(attr)):
            raise OSError(ctypes.get_errno(), f"{link}: cannot ask for its programs")
    return list(numbers[:struct.unpack_from("=I", attr, 24)[0]])


def is_loaded(number):
    """Does a BPF program of that number exist?"""
    return subprocess.run(["bpftool", "prog", "show", "id", str(number)], check=False, timeout=60,
                          capture_output=True).returncode == 0
