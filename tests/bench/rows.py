# SPDX-License-Identifier: Apache-2.0
"""What is measured, row by row."""

from dataclasses import dataclass
from typing import Callable

import http_rows
import packet_rows
from contestants import Service

HTTP = Service()


@dataclass(frozen=True)
class Row:
    name: str
    title: str
    kind: str              # which contestants can
    measure: Callable      # (place, addr): a Measured
    unit: str
    is_more_better: bool
    metrics: tuple = ("value",)
    work: str = ""         # what processor seconds are told per; "": they are not
    service: Service = HTTP
    needs_rate: bool = False  # the rate of the row latency-load has to be found before


@dataclass
class Measured:
    metrics: dict          # one number for each of the row's
    work: float = 0        # how much of Row.work was done
    used: object = None    # cpu.Used
    trouble: str = ""      # errors that the clients saw


def bulk_title(options, what, streams):
    gib = f"{options.bulk_mib / 1024:g} GiB"
    return f"{gib} {what}, one stream" if streams == 1 else f"{gib} {what}, {streams} streams at a time"


def keepalive(connections):
    return lambda place, addr: Measured(*http_rows.wrk(place, addr, connections))


def http_list(options):
    requests = "million requests"
    rows = [Row(f"keepalive-{n}", f"{n:,} keep-alive connection{'s' if n > 1 else ''}", "http", keepalive(n),
                "requests/s", True, work=requests) for n in (1, 100, 1000)]
    rows.append(Row("connections", "a new connection per request, 100 at a time", "http",
                    lambda place, addr: Measured(*http_rows.wrk(place, addr, 100, "-H", "Connection: close")),
                    "requests/s", True, work=requests))
    for what, move in (("download", http_rows.download), ("upload", http_rows.upload)):
        for streams in (1, http_rows.STREAMS):
            rows.append(Row(f"{what}-{streams}", bulk_title(options, what, streams), "http",
                            lambda place, addr, move=move, n=streams: Measured(*move(place, addr, n)),
                            "GB/s", True, work="GiB"))
    rows.append(Row("latency-1", "latency of one connection, one request after another", "http",
                    lambda place, addr: Measured(*http_rows.latency_of_one(place, addr)), "µs", False,
                    http_rows.PERCENTILES, requests))
    rows.append(Row("latency-load", "latency of 100 connections at 70 % of HAProxy's highest rate", "http",
                    lambda place, addr: Measured(*http_rows.latency_under_load(place, addr)), "µs", False,
                    http_rows.PERCENTILES, requests, needs_rate=True))
    rows.append(Row("latency-pressed", "the same while 500 slow clients and bodies of 1 GiB press the statistics port",
                    "pressed", lambda place, addr: Measured(*http_rows.latency_under_pressure(place, addr)), "µs", False,
                    http_rows.PERCENTILES, needs_rate=True))
    return rows


def flood_list(options):
    rows = []
    for proto, what in (("udp", "UDP datagrams"), ("tcp", "TCP SYNs")):
        service = Service(packet_rows.FLOOD_PORT, proto, True)
        for name, flows in (("1", 1), ("10k", min(10_000, options.max_flows)), ("1m", options.max_flows)):
            rows.append(Row(f"flood-{proto}-{name}", f"flood of {what} of 64 bytes, {flows:,} "
                            f"flow{'s' if flows > 1 else ''}, as fast as one sender can", "flood",
                            lambda place, addr, service=service, flows=flows:
                            Measured(*packet_rows.flood(place, addr, service, flows)),
                            "packets/s", True, work="million packets", service=service))
    return rows


def make(options):
    memory = Service(packet_rows.FLOOD_PORT, "udp", True)
    return [
        *http_list(options),
        *flood_list(options),
        Row("memory", f"resident memory per flow, at {options.max_flows:,} flows", "memory",
            lambda place, addr: Measured(*packet_rows.memory(place, addr, memory)), "bytes", False, service=memory),
        Row("rest", f"processor time of a culvert at rest, over {options.rest_seconds} s", "rest",
            lambda place, addr: Measured(*packet_rows.rest(place)), "% of a processor", False,
            service=Service(is_checked=False)),
        Row("rest-checks", "the same while it checks two backends every 3 s", "rest",
            lambda place, addr: Measured(*packet_rows.rest(place)), "% of a processor", False),
    ]
