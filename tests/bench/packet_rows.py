# SPDX-License-Identifier: Apache-2.0
"""Rows without streams: floods of small packets, memory per flow, processor time at rest."""

import json
import re
import subprocess
import time
from pathlib import Path

import contestants
import cpu
from place import BenchError

FLOOD_PORT = 7000
SENDER = contestants.PROGRAMS / "frame_flood"
WARM_RATE = 400_000       # packets a second that are assumed, to go through all flows once
WARM_SECONDS = 0.5        # at least
MEMORY_RATE = 150_000
MEMORY_TRIES = 20
ENOUGH = 0.98             # of the flows: some frames are lost
REST_START_SECONDS = 6.0  # so long it looks after what was asked at its start


def send(place, addr, service, flows, seconds, rate=0):
    """From the client: {"sent", "refused", "seconds"}. Whoever is called by his own address is called directly."""
    host = next((name for name, backend in contestants.servers(place) if backend == addr), "lb")
    tcp = ["--tcp"] if service.proto == "tcp" else []
    return json.loads(place.run("client", SENDER, "--dev", "eth0", "--to", place.mac(host), "--dst",
                                f"{addr}:{service.port}", "--flows", flows, "--seconds", f"{seconds:.3f}",
                                "--rate", rate, *tcp))


def flood(place, addr, service, flows):
    """What reaches the backends' interfaces, and is thrown away there."""
    for name, _ in contestants.servers(place):
        contestants.swallow(place, name, service)
    send(place, addr, service, flows, max(WARM_SECONDS, flows / WARM_RATE))
    before = place.frames_in()
    with place.meter() as used:
        sent = send(place, addr, service, flows, place.options.seconds)
        arrived = place.frames_in() - before
    if arrived <= 0:
        raise BenchError(f"none of {sent['sent']} packets came through:\n{place.log()}")
    return {"value": arrived / sent["seconds"]}, arrived / 1e6, used


def resident_bytes(pid):
    return int(re.search(r"^VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text(), re.M)[1]) * 1024


def count_flows(place):
    done = subprocess.run(place.command("lb", "curl", "-s", "-m", "5", "--unix-socket", place.path / "api.sock",
                                        "http://culvert/api/v1/status"), check=True, text=True, stdout=subprocess.PIPE)
    return json.loads(done.stdout)["flows"]["current"]


def memory(place, addr, service):
    """By how much the process has grown, over the flows that it has."""
    flows = place.options.max_flows
    for name, _ in contestants.servers(place):
        contestants.swallow(place, name, service)
    before = resident_bytes(place.process.pid)
    for _ in range(MEMORY_TRIES):
        send(place, addr, service, flows, flows / MEMORY_RATE + 0.1, MEMORY_RATE)
        current = count_flows(place)
        if current >= ENOUGH * flows:
            return {"value": (resident_bytes(place.process.pid) - before) / current}, 0, None
    raise BenchError(f"{current} of {flows} flows were made")


def rest(place):
    """Health checks go on if there are any, and nothing else."""
    time.sleep(REST_START_SECONDS)
    before, started = cpu.thread_seconds(place.process.pid), time.monotonic()
    time.sleep(place.options.rest_seconds)
    used = cpu.thread_seconds(place.process.pid) - before
    return {"value": used / (time.monotonic() - started) * 100}, 0, None
