# SPDX-License-Identifier: Apache-2.0
"""Runs packet_path and reads what it says: nanoseconds, and instructions where callgrind runs it."""

import json
import re
import shutil
import statistics
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = ROOT / "build" / "tests" / "bench" / "packet_path"
FLOWS = (1_000, 10_000, 100_000, 1_000_000, 10_000_000)
# Instructions hardly depend on how many flows there are; what depends on it are misses of the cache.
INSTRUCTION_FLOWS = (1_000, 10_000)
INSTRUCTION_PACKETS = 10_000
# Two threads that wait for each other: how often is chance.
WITHOUT_INSTRUCTIONS = ("ring",)


@dataclass
class Times:
    """One number per round. Nanoseconds per operation, of which the generator's are a part; page faults per
    operation; and which part of the memory lies in huge pages. What is disturbed takes longer, and nothing takes
    less than it needs: the best round says most."""
    ns: list
    generator_ns: list
    faults: list
    huge_percent: list

    def best(self):
        return min(self.ns) - min(self.generator_ns)

    def median(self):
        return statistics.median(self.ns) - statistics.median(self.generator_ns)


def run(command, what):
    done = subprocess.run(command, check=False, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if done.returncode:
        raise SystemExit(f"bench: {what} failed ({done.returncode}):\n{done.stderr.strip()[-2000:]}")
    return done.stdout


def arguments(flows, packets, rounds, row):
    chosen = ["--row", row] if row else []
    return ["--flows", ",".join(map(str, flows)), "--packets", str(packets), "--rounds", str(rounds), *chosen]


def measure_times(program, flows, packets, rounds, row=None):
    """{(row, flows): Times}; rows without flows have 0 there."""
    times = {}
    for line in run([str(program), *arguments(flows, packets, rounds, row)], str(program)).splitlines():
        result = json.loads(line)
        per = result["operations"]
        # A program of an older revision does not count faults.
        times[result["row"], result["flows"]] = Times([ns / per for ns in result["ns"]],
                                                      [ns / per for ns in result["generator_ns"]],
                                                      [faults / per for faults in result.get("faults", [])],
                                                      result.get("huge_percent", []))
    if not times:
        raise SystemExit(f"bench: there is no row \"{row}\"; {program} --help names them")
    return times


def read_dumps(directory):
    """{name: instructions} of what the program has dumped."""
    found = {}
    for path in Path(directory).glob("dump.*"):
        text = path.read_text()
        name = re.search(r"^desc: Trigger: Client Request: (.+)$", text, re.M)
        if name:
            found[name[1]] = int(re.search(r"^totals: (\d+)", text, re.M)[1])
    return found


def measure_instructions(program, flows, packets, row=None):
    """{(row, flows): (instructions per operation, those of the generator among them)}."""
    if not shutil.which("valgrind"):
        raise SystemExit("bench: instructions are counted by valgrind, which is not installed; "
                         "\"make deps-dev\" does that")
    counts = {}
    for n_flows in flows:
        with tempfile.TemporaryDirectory(prefix="culvert-callgrind-") as directory:
            out = run(["valgrind", "--tool=callgrind", "--instr-atstart=no",
                       f"--callgrind-out-file={directory}/dump", str(program),
                       *arguments([n_flows], packets, 1, row)], "callgrind")
            dumps = read_dumps(directory)
        for result in map(json.loads, out.splitlines()):
            name, per = result["row"], result["operations"]
            if name in WITHOUT_INSTRUCTIONS:
                continue
            if name not in dumps:
                raise SystemExit(f"bench: {program} was built before valgrind was installed, so nothing is counted; "
                                 f"remove {program}* and build it again")
            counts[name, result["flows"]] = (dumps[name] / per, dumps.get(f"{name} generator", 0) / per)
    return counts


def row_title(row, flows):
    return f"{row}, {flows:,} flows" if flows else row
