# SPDX-License-Identifier: Apache-2.0
"""The benchmark of vagrant/, in network namespaces instead of virtual machines: the same scripts."""

import contextlib
import json
import os
import pathlib
import signal
import subprocess
import time

import pytest

from harness.culvert import BINARY
from harness.lab import ROOT
from harness.wait import await_condition

BENCHMARK = str(ROOT / "vagrant" / "benchmark.sh")
TITLES = ["nginx stream", "HAProxy", "culvert proxy", "culvert passthrough", "culvert DSR"]
COLUMNS = 7
PAGE_BYTES = 612
SMALL = ["-t2", "-c8"]


class Benchmark:
    """benchmark.sh, running."""

    def __init__(self, *args, place="lab", **env):
        self.process = subprocess.Popen(
            [BENCHMARK, "--place", place, *map(str, args)], text=True, start_new_session=True,
            env={**os.environ, "CULVERT": BINARY, **env}, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def finish(self, timeout=90):
        """Exit status, output, progress."""
        output, progress = self.process.communicate(timeout=timeout)
        return self.process.returncode, output, progress

    def end(self):
        """For a test that has failed."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGTERM)
            self.process.communicate(timeout=60)

    def mark(self):
        """What the names of all its files have in common."""
        return f"culvert-benchmark.{self.process.pid}."

    def await_load(self, mark=None):
        await_condition(lambda: processes(mark or self.mark(), "wrk"), "wrk runs", timeout=30)

    def remains(self):
        """Namespaces, files and processes; the zombies of others' children are none."""
        lab = f"vm{self.process.pid}"
        return [*pathlib.Path("/run/netns").glob(f"cv-{lab}-*"),
                *pathlib.Path("/run/culvert-lab").glob(lab),
                *pathlib.Path("/tmp").glob(f"{self.mark()}*"), *processes(self.mark())]


def processes(mark, name=None):
    """Those that have the mark in their environment or arguments."""
    found = []
    for entry in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            text = (entry / "environ").read_bytes() + (entry / "cmdline").read_bytes()
            program = (entry / "comm").read_text().strip()
        except OSError:
            continue  # gone meanwhile
        if mark.encode() in text and name in (None, program):
            found.append(f"{entry.name} {program}")
    return found


@pytest.fixture
def make_benchmark():
    """Call it with the arguments of Benchmark."""
    with contextlib.ExitStack() as stack:
        def make(*args, **options):
            benchmark = Benchmark(*args, **options)
            stack.callback(benchmark.end)
            return benchmark
        yield make


def cells(line):
    return [cell.strip() for cell in line.strip("|").split("|")]


def check_table(output, titles):
    header, rule, *rows = [line for line in output.splitlines() if line.startswith("|")]
    assert len(cells(header)) == COLUMNS and set(rule) <= set("|-:") and rule.count("|") == COLUMNS + 1
    assert [cells(row)[0] for row in rows] == titles
    for row in rows:
        _, average, p99, per_thread, requests, read, errors = cells(row)
        assert average.endswith(" ms") and p99.endswith(" ms")
        assert float(per_thread.replace(",", "")) > 0 and int(requests.replace(",", "")) > 0
        assert read.split()[1] in ("KiB", "MiB", "GiB") and errors == "none"


def check_json(report, names, rounds):
    assert [each["name"] for each in report["contestants"]] == names
    assert report["rounds"] == rounds
    assert report["wrk"] == {"threads": 2, "connections": 8, "seconds": 1}
    assert report["machine"]["processors"] >= 1 and report["machine"]["kernel"]
    for each in report["contestants"]:
        assert len(each["runs"]) == rounds
        for run in each["runs"]:
            assert 0 < run["latency_p50_ms"] <= run["latency_p99_ms"] <= run["latency_max_ms"]
            assert run["bytes_read"] > PAGE_BYTES * run["requests"] * 0.99
            assert set(run["errors"].values()) == {0}


def test_all_contestants_run_and_nothing_is_left(make_benchmark, tmp_path):
    benchmark = make_benchmark(*SMALL, "-d1s", "--json", tmp_path / "report.json")
    status, output, progress = benchmark.finish()
    assert status == 0, progress
    assert progress.count("requests/s") == len(TITLES)
    check_table(output, TITLES)
    check_json(json.loads((tmp_path / "report.json").read_text()),
               ["nginx", "haproxy", "proxy", "passthrough", "dsr"], 1)
    assert benchmark.remains() == []


def test_rounds_take_turns_and_the_environment_sets_options(make_benchmark, tmp_path):
    benchmark = make_benchmark(THREADS="2", CONNECTIONS="8", DURATION="1", ROUNDS="2",
                               CONTESTANTS="dsr,haproxy", JSON=str(tmp_path / "report.json"))
    status, output, progress = benchmark.finish()
    assert status == 0, progress
    turns = [line.split()[1] for line in progress.splitlines() if line.startswith("[")]
    assert turns == ["dsr", "haproxy"] * 2
    check_table(output, ["culvert DSR", "HAProxy"])
    assert "medians of 2 rounds" in output
    check_json(json.loads((tmp_path / "report.json").read_text()), ["dsr", "haproxy"], 2)


@pytest.mark.parametrize("contestant", ["haproxy", "dsr"])
def test_interrupted_under_load_it_leaves_nothing(make_benchmark, contestant):
    benchmark = make_benchmark(*SMALL, "-d1m", "--contestants", contestant)
    benchmark.await_load()
    os.killpg(benchmark.process.pid, signal.SIGINT)
    status, output, progress = benchmark.finish(timeout=20)
    assert (status, output) == (130, ""), progress
    assert benchmark.remains() == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("delay", [0.1, 0.8])
def test_interrupted_at_the_start_it_leaves_nothing(make_benchmark, number, delay):
    benchmark = make_benchmark(*SMALL, "-d1m", "--contestants", "passthrough")
    time.sleep(delay)  # the moment is arbitrary on purpose
    os.killpg(benchmark.process.pid, number)
    status, _, progress = benchmark.finish(timeout=20)
    assert status in (128 + number, -number), progress  # the latter before the script is there
    assert benchmark.remains() == []


def test_a_contestant_that_does_not_come_up_is_named_and_nothing_is_left(make_benchmark):
    benchmark = make_benchmark(*SMALL, "-d1s", "--contestants", "haproxy,proxy", CULVERT="/bin/false")
    status, output, progress = benchmark.finish()
    assert status == 1 and "proxy did not come up on lb" in progress
    assert output == ""
    assert benchmark.remains() == []


@pytest.mark.parametrize("arguments", [
    ["--no-such"], ["surplus"], ["-t"], ["-t0"], ["-t4", "-c2"], ["-d1.5s"], ["--rounds", "x"],
    ["--place", "moon"], ["--contestants", "haproxy,ipvs"], ["--contestants", "dsr,dsr"],
    ["--contestants", ""], ["--hosts", "/nowhere"], ["--json", "/nowhere/at/all"],
], ids=" ".join)
def test_wrong_usage_exits_with_2(arguments):
    result = subprocess.run([BENCHMARK, *arguments], capture_output=True, text=True)
    assert result.returncode == 2 and result.stderr.startswith("benchmark.sh: ")


def test_help_is_shown():
    result = subprocess.run([BENCHMARK, "--help"], capture_output=True, text=True, check=True)
    assert "--connections N" in result.stdout


# --- through Vagrant ----------------------------------------------------------------------------------


@pytest.fixture
def vagrant(make_lab, tmp_path):
    """Vagrant's part played by a lab: (the lab, the environment, the file of hosts). The hosts of a lab
    share their files, so each gets its own directory /run in a mount namespace."""
    lab = make_lab(backends=2, direct=True)
    for host in lab.backend_names():
        lab.stop(host)
    (tmp_path / "run").mkdir()
    programs = {
        "vagrant": """[ "$1" = ssh-config ] && printf 'Host %s\\n' client lb b1 b2""",
        "sudo": 'exec "$@"',
        "ssh": f"""while [ "${{1#-}}" != "$1" ]; do shift 2; done
            mkdir -p {tmp_path}/$1
            exec ip netns exec cv-{lab.name}-$1 unshare --mount bash -c \
                'mount --bind {tmp_path}/$0 {tmp_path}/run && eval "$1"' "$1" "$2" """,
    }
    (tmp_path / "bin").mkdir()
    for name, text in programs.items():
        (tmp_path / "bin" / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / "bin" / name).chmod(0o755)
    settings = {"VIP": "10.0.0.1", "CLIENT": "10.0.0.10", "LB": "10.0.0.2", "B1": "10.0.0.101",
                "B2": "10.0.0.102", "TREE": ROOT, "CULVERT": BINARY,
                "RUN_DIR": tmp_path / "run" / "culvert-benchmark"}
    hosts = tmp_path / "hosts.env"
    hosts.write_text("# the lab\n" + "".join(f"{key}={value}\n" for key, value in settings.items()))
    return lab, {"PATH": f"{tmp_path}/bin:{os.environ['PATH']}"}, hosts


def remains_on_hosts(lab, hosts):
    """Files, processes, and what tc/dsr-egress.sh may have left."""
    rules = [lab.run(host, "sh", "-c", "nft list tables; tc filter show dev eth0 egress").stdout
             for host in lab.backend_names()]
    return [*hosts.parent.glob("*/culvert-benchmark"), *processes(f"{hosts.parent}/run"),
            *filter(None, rules)]


def test_vagrants_machines_are_reached_by_ssh(make_benchmark, vagrant):
    lab, env, hosts = vagrant
    benchmark = make_benchmark(*SMALL, "-d1s", "--contestants", "dsr,proxy", "--hosts", hosts,
                               place="vagrant", **env)
    status, output, progress = benchmark.finish()
    assert status == 0, progress
    check_table(output, ["culvert DSR", "culvert proxy"])
    assert benchmark.remains() + remains_on_hosts(lab, hosts) == []


def test_interrupted_it_leaves_nothing_on_vagrants_machines(make_benchmark, vagrant):
    lab, env, hosts = vagrant
    benchmark = make_benchmark(*SMALL, "-d1m", "--contestants", "dsr", "--hosts", hosts,
                               place="vagrant", **env)
    benchmark.await_load(str(hosts.parent))
    os.killpg(benchmark.process.pid, signal.SIGINT)
    status, _, progress = benchmark.finish(timeout=20)
    assert status == 130, progress
    assert benchmark.remains() + remains_on_hosts(lab, hosts) == []
