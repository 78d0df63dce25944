# SPDX-License-Identifier: Apache-2.0
"""Rows of requests and transfers over TCP. Each returns its metrics, the work done, the processor time
that it took, and what clients complained about."""

import contextlib
import itertools
import re
import subprocess
import time

from place import ROOT, STATS_PORT, BenchError

STREAMS = 64
CURLS = 4  # processes that share many streams
PERCENTILES = ("p50", "p99", "p99.9")
WRK_TIMEOUT_SECONDS = 10
REQUESTS_PER_SECOND = 4000  # of one connection, at the least: so many a second make a sample
LOADED_CONNECTIONS = 100
LOAD_THREADS = 2
MAX_SPACING_MS = 10  # or what an even spread takes where connections ask seldom
MAX_GAP = 0.05  # of the interval in which each connection asks once
SHARE_OF_HIGHEST = 0.7
GIB = 1 << 30
MIB = 1 << 20


def wrk(place, addr, connections, *args):
    threads = min(2, connections)
    with place.meter() as used:
        out = place.run("client", "wrk", f"-t{threads}", f"-c{connections}", f"-d{place.options.seconds}s",
                        "--timeout", f"{WRK_TIMEOUT_SECONDS}s", *args, f"http://{addr}/")
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", out)[1])
    requests = int(re.search(r"(\d+) requests in", out)[1])
    if not requests:
        raise BenchError(f"no request was answered:\n{out}")
    trouble = [line.strip() for line in out.splitlines() if "Socket errors" in line or "Non-2xx" in line]
    return {"value": rate}, requests / 1e6, used, "; ".join(trouble)


def moved(place, commands, expected, what):
    """GB/s of so many processes of curl, each of which prints a size per transfer."""
    with place.meter() as used:
        started = time.monotonic()
        clients = [subprocess.Popen(place.command("client", "curl", "-sZ", "--no-progress-meter", *command), text=True,
                                    stdout=subprocess.PIPE) for command in commands]
        size = sum(int(line) for client in clients for line in client.communicate()[0].split())
        seconds = time.monotonic() - started
    if size != expected:
        raise BenchError(f"{what} ended after {size} of {expected} bytes")
    return {"value": size / seconds / 1e9}, size / GIB, used


def shares(streams):
    return [1] if streams == 1 else [streams // CURLS] * CURLS


def download(place, addr, streams):
    """So many at a time in each of so many processes of curl."""
    total = place.options.bulk_mib * MIB
    url = f"http://{addr}/files/{total // streams}"
    commands = [["--parallel-max", str(n), "-w", "%{size_download}\n",
                 *[arg for _ in range(n) for arg in ("-o", "/dev/null", url)]] for n in shares(streams)]
    return moved(place, commands, total, "downloads")


def upload(place, addr, streams):
    """The backends answer and throw away what they are sent."""
    total = place.options.bulk_mib * MIB
    body = place.served.path / str(total // streams)
    commands = [["--parallel-max", str(n), "-H", "Expect:", "-w", "%{size_upload}\n",
                 *[arg for _ in range(n) for arg in ("-o", "/dev/null", "-T", str(body), f"http://{addr}/none")]]
                for n in shares(streams)]
    return moved(place, commands, total, "uploads")


def percentiles(path, requests):
    """In microseconds, as h2load has them."""
    rows = [line.split("\t") for line in path.read_text().splitlines()]
    answered = [int(row[2]) for row in rows if row[1] == "200"]
    if len(answered) != requests:
        raise BenchError(f"{len(answered)} of {requests} requests were answered")
    answered.sort()
    return {name: answered[min(int(requests * float(name[1:]) / 100), requests - 1)] for name in PERCENTILES}


def h2load(place, addr, requests, *args):
    log = place.path / "latency.log"
    with place.meter() as used:
        place.run("client", "h2load", "--h1", f"-n{requests}", f"--log-file={log}", *args, f"http://{addr}/")
    return percentiles(log, requests), requests / 1e6, used


def latency_of_one(place, addr):
    return h2load(place, addr, int(place.options.seconds * REQUESTS_PER_SECOND), "-t1", "-c1")


def widest_gap(spacing_ms, interval_ms, connections):
    """As a share of the interval in which each connection asks once, when they begin so far from each other."""
    at = sorted(spacing_ms * number % interval_ms for number in range(connections))
    return max(after - before for before, after in itertools.pairwise([*at, at[0] + interval_ms])) / interval_ms


def spread(rate, connections):
    """A rate, and so many milliseconds from one connection's begin to the next one's, by which what they ask is
    spread evenly: the rate that is wanted, or where it has them meet, as 1,000 each would, the next higher one."""
    for raised in (rate * (1 + step / 1000) for step in itertools.count()):
        interval_ms = 1000 * connections / raised
        for spacing_ms in range(1, max(MAX_SPACING_MS, round(interval_ms / connections)) + 1):
            if widest_gap(spacing_ms, interval_ms, connections) <= MAX_GAP:
                return raised, spacing_ms


def latency_under_load(place, addr):
    """Every connection asks at its own pace, so that a slow answer does not thin out the load. They begin one
    after the other: begun at once they would ask at once, time after time, and wait for each other more than for
    who is measured."""
    in_thread = LOADED_CONNECTIONS // LOAD_THREADS
    rate, spacing_ms = spread(place.options.load_rate / LOAD_THREADS, in_thread)
    return h2load(place, addr, int(LOAD_THREADS * rate * place.options.seconds), f"-t{LOAD_THREADS}",
                  f"-c{LOADED_CONNECTIONS}", f"--rps={rate / in_thread:.3f}", f"-r{LOAD_THREADS}",
                  f"--rate-period={spacing_ms}ms")


@contextlib.contextmanager
def pressed(place):
    """500 slow clients and bodies without end at the statistics port, on the balancer's host."""
    press = subprocess.Popen(place.command("lb", ROOT / "tests" / "bench" / "press.py", "--port", STATS_PORT), text=True,
                             stdout=subprocess.PIPE)
    try:
        if press.stdout.readline() != "pressing\n":
            raise BenchError("the slow clients did not come to the statistics port")
        yield
        if press.poll() is not None:
            raise BenchError("the slow clients did not stay")
    finally:
        press.terminate()
        press.wait()


def latency_under_pressure(place, addr):
    with pressed(place):
        return latency_under_load(place, addr)
