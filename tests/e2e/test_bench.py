# SPDX-License-Identifier: Apache-2.0
"""The benchmarks work: each tool with tiny sizes. What the numbers are is not looked at, but that they
are there, are possible, and that nothing is left behind."""

import cmath
import html
import json
import math
import pathlib
import signal
import subprocess
import sys

import pytest

from harness.culvert import BINARY
from harness.lab import ROOT
from harness.wait import await_condition

BENCH = ROOT / "tests" / "bench"
RUN = [str(BENCH / "run"), "--culvert", str(BINARY)]
TINY = ["--rounds", "1", "--seconds", "1", "--bulk-mib", "64", "--max-flows", "2000", "--rest-seconds", "0.5",
        "--load-rate", "200"]
SECONDS = 150


def call(*command):
    return subprocess.run([str(part) for part in command], check=False, text=True, timeout=SECONDS,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def leftovers(pid):
    """Of the suite that ran as this process."""
    return ([*pathlib.Path("/run/netns").glob(f"cv-bench{pid}x*"),
             *pathlib.Path("/run/culvert-lab").glob(f"bench{pid}x*")])


@pytest.fixture
def program(support):
    return pathlib.Path(support("..")).resolve() / "bench"


@pytest.fixture
def modules(monkeypatch):
    """The modules of the suite, to be imported as its program does."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(str(BENCH))
    yield
    for name in set(sys.modules) - before:
        if str(BENCH) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


# ---- the packet path by itself ---------------------------------------------------------------------

def test_every_row_of_the_packet_path_has_its_times(program):
    done = call(program / "packet_path", "--flows", "100,1000", "--packets", "2000", "--rounds", "2")
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    named = {line.strip() for line in call(program / "packet_path", "--help").stdout.splitlines()
             if line.startswith("  ")}
    assert {row["row"] for row in rows} == named
    assert {row["flows"] for row in rows} == {0, 100, 1000}
    for row in rows:
        assert row["operations"] > 0
        assert len(row["ns"]) == 2 and all(ns > 0 for ns in row["ns"]), row
        assert len(row["faults"]) == 2 and all(0 <= part <= 100 for part in row["huge_percent"]), row


@pytest.mark.parametrize("row", ["new-tcp", "dsr-new-udp"])
def test_memory_is_touched_first_in_a_fresh_table_and_not_in_a_used_one(program, row):
    def faults(name):
        done = call(program / "packet_path", "--flows", "10000", "--packets", "10000", "--rounds", "1", "--row", name)
        assert done.returncode == 0, done.stderr
        result = json.loads(done.stdout)
        return result["faults"][0] / result["operations"]
    assert faults(f"{row}-fresh") > 10 * faults(row)


def test_instructions_are_the_same_in_every_run(program, tmp_path):
    counted = []
    for number in range(2):
        out = tmp_path / f"{number}.json"
        done = call(BENCH / "micro", "--program", program / "packet_path", "--flows", "1000", "--packets", "1000",
                    "--rounds", "1", "--row", "forward-tcp", "--instructions", "--json", out)
        assert done.returncode == 0, done.stderr
        [row] = json.loads(out.read_text())["rows"]
        assert row["instructions"] > row["generator_instructions"] > 0
        assert "forward-tcp, 1,000 flows" in done.stdout
        counted.append(row["instructions"])
    assert counted[0] == counted[1]


def test_a_program_beside_itself_needs_the_same_instructions(program, tmp_path):
    out = tmp_path / "change.json"
    done = call(BENCH / "micro-compare", "--program", program / "packet_path", "--base-program",
                program / "packet_path", "--flows", "1000", "--packets", "1000", "--rounds", "2", "--row",
                "miss-frontend", "--json", out)
    assert done.returncode == 0, done.stderr
    [row] = json.loads(out.read_text())["rows"]
    assert row["instructions_change_percent"] == 0
    assert row["base_instructions"] > 0
    assert len(row["base_range_ns"]) == 2


@pytest.mark.parametrize("command, words", [
    (["micro", "--row", "none", "--flows", "100"], "no row \"none\""),
    (["micro-compare", "--base", "no-such-revision"], "git rev-parse"),
    (["run", "--rows", "none"], "no row \"none\"; there are: keepalive-1,"),
    (["run", "--contestants", "none"], "no contestant \"none\"; there are: direct,"),
    (["run", "--rows", "memory", "--contestants", "nginx"], "can take part"),
])
def test_what_is_not_there_is_named(command, words):
    done = call(BENCH / command[0], *command[1:])
    assert done.returncode == 1
    assert words in done.stderr


@pytest.mark.parametrize("name, arguments", [
    ("packet_path", ["--flows", "0"]), ("packet_path", ["--rounds", "101"]),
    ("null_forwarder", ["--in", "eth0", "--out", "eth0", "--to", "1:2:3"]),
    ("null_forwarder", ["--in", "eth0", "--out", "eth0", "--to", "2:0:0:0:0:1", "--xdp", "10.0.0.1:80/sctp"]),
    ("frame_flood", ["--dev", "eth0", "--dst", "10.0.0.1:80"]),
])
def test_wrong_usage_of_the_programs_exits_with_2(program, name, arguments):
    done = call(program / name, *arguments)
    assert done.returncode == 2
    assert "Usage:" in done.stderr


# ---- the suite -----------------------------------------------------------------------------------

def test_a_run_has_a_result_of_every_row_and_leaves_nothing_behind(tmp_path):
    rows = ["keepalive-1", "upload-64", "latency-load", "flood-udp-10k", "memory", "rest",
            "rest-checks"]
    suite = subprocess.Popen([*RUN, *TINY, "--rows", ",".join(rows), "--contestants",
                              "null,null-xdp,nginx,culvert-dsr-nat", "--out", str(tmp_path)], text=True,
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    out, errors = suite.communicate(timeout=SECONDS)
    assert suite.returncode == 0, errors
    results = json.loads((tmp_path / "results.json").read_text())
    assert [row["name"] for row in results["rows"]] == rows
    assert results["rounds"] == 1
    assert results["machine"]["processors"].isdigit()
    takers = {"flood-udp-10k": {"null", "null-xdp", "culvert-dsr-nat"}, "memory": {"culvert-dsr-nat"},
              "rest": {"culvert-dsr-nat"}, "rest-checks": {"culvert-dsr-nat"}}
    page = html.unescape((tmp_path / "report.html").read_text())
    for row in results["rows"]:
        assert set(row["samples"]) == takers.get(row["name"], {"nginx", "culvert-dsr-nat"})
        for sample in (sample for samples in row["samples"].values() for sample in samples):
            assert set(sample["metrics"]) == set(row["metrics"])
            least = 0 if row["name"].startswith("rest") else 1e-9
            assert all(value >= least for value in sample["metrics"].values()), row["name"]
        assert row["title"] in page and f'id="{row["name"]}"' in page
        assert f"\n{row['name']}: " in out
    assert not leftovers(suite.pid)


@pytest.mark.parametrize("rate", [10, 200, 1000, 33_333, 50_000, 57_123, 100_000])
def test_a_rate_is_raised_little_for_connections_not_to_meet(modules, rate):
    import http_rows
    raised, spacing_ms = http_rows.spread(rate, 50)
    assert rate <= raised <= 1.05 * rate
    assert http_rows.widest_gap(spacing_ms, 1000 * 50 / raised, 50) <= 0.05


def test_connections_under_load_do_not_ask_all_at_once(modules):
    import contestants
    import http_rows
    import place as places

    class Options:
        congestion, seconds, load_rate = "reno", 2, 1000

    with places.Served([]) as served, places.Place(Options, served) as place:
        addr = contestants.BY_NAME["direct"].start(place, contestants.Service())
        http_rows.latency_under_load(place, addr)
        begins = [int(line.split("\t")[0]) for line in (place.path / "latency.log").read_text().splitlines()]
    interval_us = 1_000_000 * http_rows.LOADED_CONNECTIONS / Options.load_rate
    # Where in the interval each begins, on a circle: all at once is 1, spread evenly 0. A machine with more to do
    # than this has stragglers.
    mean = sum(cmath.rect(1, math.tau * begin / interval_us) for begin in begins) / len(begins)
    assert abs(mean) < 0.6, mean


def test_an_interrupted_run_leaves_nothing_behind(tmp_path):
    suite = subprocess.Popen([*RUN, *TINY, "--rows", "rest", "--rest-seconds", "100", "--contestants",
                              "culvert-proxy", "--out", str(tmp_path)], stdout=subprocess.DEVNULL,
                             stderr=subprocess.DEVNULL)
    await_condition(lambda: any("-b2" in path.name for path in leftovers(suite.pid)), "the lab is up", 60)
    suite.send_signal(signal.SIGINT)
    assert suite.wait(60) == 130
    assert not leftovers(suite.pid)
    assert not list(pathlib.Path("/dev/shm").glob(f"culvert-served-{suite.pid}-*"))


def test_the_report_shows_every_row_and_every_contestant(modules):
    import contestants
    import report
    import results
    import rows
    from cpu import Used

    class Options:
        bulk_mib, max_flows, rest_seconds = 2048, 1_000_000, 10

    everything = rows.make(Options)
    found = results.Results({"kernel": "<Linux>"}, {}, everything, contestants.ALL)
    for row in everything:
        for place, contestant in enumerate(contestants.ALL):
            for value in (1, 3, 2):
                if row.kind in contestant.does:
                    found.add(row, contestant, rows.Measured({name: value + place for name in row.metrics}, 2,
                                                             Used(value, value)))
    page = report.page(found)
    assert "&lt;Linux&gt;" in page
    assert "http" not in page.replace("http-equiv", "")  # nothing is fetched
    for row in everything:
        section = page.split(f'<section id="{row.name}">')[1].split("</section>")[0]
        assert section.count("<svg") == len(row.metrics)
        for contestant in contestants.ALL:
            assert (f"<td>{contestant.title}</td>" in section) == (row.kind in contestant.does)


def test_medians_ranges_and_ratios_are_those_of_the_rounds(modules):
    import contestants
    import results
    import rows
    from cpu import Used

    class Options:
        bulk_mib, max_flows, rest_seconds = 64, 1000, 1

    [row] = [row for row in rows.make(Options) if row.name == "keepalive-100"]
    chosen = [contestants.BY_NAME[name] for name in ("direct", "haproxy", "nginx")]
    found = results.Results({}, {}, [row], chosen)
    for name, values in (("direct", [9, 9, 9]), ("haproxy", [2, 8, 4]), ("nginx", [5, 10, 90])):
        for value in values:
            interrupts = 1.0 if name == "direct" else 3.0
            found.add(row, contestants.BY_NAME[name], rows.Measured({"value": value}, 2, Used(value, interrupts)))
    summary = found.summary(row, "nginx", "value")
    assert (summary.median, summary.low, summary.high, summary.ratio) == (10, 5, 90, 2.5)
    assert found.cpu(row, "nginx") == (5, 1.0)  # seconds per unit of work; interrupts beyond those without
