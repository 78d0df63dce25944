# SPDX-License-Identifier: Apache-2.0
"""vagrant/report: from what wrk has printed to tables, and no table from anything else."""

import json
import subprocess

import pytest

from harness.lab import ROOT

REPORT = str(ROOT / "vagrant" / "report")

# The percentiles as wrk pads them.
WRK = """Running 10s test @ http://10.0.0.1/
  6 threads and 200 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency   {average}  330.70us {longest}   97.83%
    Req/Sec     2.73k   598.02     4.53k    59.03%
  Latency Distribution
     50%  812.00us
     75%    1.10ms
     90%    2.00ms
     99%    1.50s{pad}
  {requests} requests in 10.01s, {read} read
{errors}Requests/sec:  19014.33
Transfer/sec:      1.92MB
"""
PLAIN = {"average": "348.04us", "longest": "245.50ms", "requests": "190333", "read": "1.50GB",
         "errors": "", "pad": " "}


def wrk_output(**values):
    return WRK.format(**{**PLAIN, **values})


@pytest.fixture
def make_report(tmp_path):
    """Call it with {"ROUND.CONTESTANT": wrk's output}: the completed process, and the JSON."""
    def make(runs, contestants):
        directory = tmp_path / "runs"
        directory.mkdir()
        for name, text in runs.items():
            (directory / name).write_text(text)
        (tmp_path / "facts").write_text("processor Abacus 2\nprocessors 4\nkernel 6.1\n"
                                        "nginx 1\nhaproxy 2\nculvert 3\n")
        result = subprocess.run(
            [REPORT, "--contestants", contestants, "--title", "a place", "--seconds", "10", "--facts",
             tmp_path / "facts", "--json", tmp_path / "json", directory], capture_output=True, text=True)
        return result, json.loads((tmp_path / "json").read_text()) if result.returncode == 0 else None
    return make


def test_report_understands_all_of_wrks_units_and_errors(make_report):
    errors = ("  Socket errors: connect 1, read 0, write 2, timeout 30\n"
              "  Non-2xx or 3xx responses: 41\n")
    result, report = make_report({"1.dsr": wrk_output(average="1.25m", errors=errors)}, "dsr")
    assert result.returncode == 0, result.stderr
    assert ("| culvert DSR | 75000.00 ms | 1500.00 ms | 2,730 | 190,333 | 1.50 GiB | "
            "1 connect, 2 write, 30 timeout, 41 not 2xx or 3xx |") in result.stdout
    run, = report["contestants"][0]["runs"]
    assert run == {
        "threads": 6, "connections": 200, "seconds": 10.01, "latency_avg_ms": 75000.0,
        "latency_p50_ms": 0.812, "latency_p75_ms": 1.1, "latency_p90_ms": 2.0,
        "latency_p99_ms": 1500.0, "latency_max_ms": 245.5, "requests_per_second_per_thread": 2730.0,
        "requests_per_second": 19014.33, "requests": 190333, "bytes_read": 3 << 29,
        "errors": {"connect": 1, "read": 0, "write": 2, "timeout": 30, "not_2xx_or_3xx": 41}}


def test_report_shows_medians_of_rounds_and_the_sum_of_errors(make_report):
    runs = {f"{i}.nginx": wrk_output(requests=count, errors=f"  Non-2xx or 3xx responses: {i}\n")
            for i, count in ((1, 500), (2, 100), (10, 200))}
    result, report = make_report(runs, "nginx")
    assert [run["requests"] for run in report["contestants"][0]["runs"]] == [500, 100, 200]
    assert "| 200 | 1.50 GiB | 13 not 2xx or 3xx |" in result.stdout
    assert "medians of 3 rounds" in result.stdout


@pytest.mark.parametrize("text, complaint", [
    ("", "not what wrk prints"),
    (wrk_output().rsplit("\n", 2)[0] + "\n", "not what wrk prints"),
    (wrk_output() + "unable to connect\n", "not what wrk prints"),
    (wrk_output(errors="  Socket errors: connect 1\n"), "not what wrk prints"),
    (wrk_output(average="348.04"), "not what wrk prints"),
    (wrk_output(read="1.50XB"), "not what wrk prints"),
    (wrk_output(requests="0"), "not one request"),
])
def test_report_refuses_what_it_does_not_understand(make_report, text, complaint):
    result, _ = make_report({"1.proxy": text}, "proxy")
    assert result.returncode == 1 and result.stdout == ""
    assert result.stderr.startswith("report: culvert proxy: ") and complaint in result.stderr


@pytest.mark.parametrize("runs", [
    {}, {"1.nginx": wrk_output()},
    {"1.nginx": wrk_output(), "1.proxy": wrk_output().replace("200 conn", "100 conn")},
], ids=["none", "one is missing", "another load"])
def test_report_refuses_runs_that_do_not_belong_together(make_report, runs):
    result, _ = make_report(runs, "nginx,proxy")
    assert result.returncode == 1 and result.stderr.startswith("report: ")
