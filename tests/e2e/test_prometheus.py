# SPDX-License-Identifier: Apache-2.0
"""A real Prometheus reads what culvert says, and agrees with what the clients have counted."""

import json
import subprocess
import urllib.parse

import pytest

from harness import api, config, http
from harness.config import STATS_PORT
from harness.wait import await_condition

PROMETHEUS_PORT = 9090
REQUESTS = 120


@pytest.fixture(params=("passthrough", "dsr", "proxy"))
def running(request, lab, culvert, proxy, tmp_path):
    running = proxy if request.param == "proxy" else culvert
    running.start(getattr(config, request.param)(lab, flow_log={"path": str(tmp_path / "flows.log")}))
    running.await_all_up()
    return running


@pytest.fixture
def prometheus(lab, tmp_path):
    """Call it to start one on the host `lb`, for the port there. Gives a function that asks it."""
    processes = []

    def start():
        path = tmp_path / "prometheus.yml"
        path.write_text(f"""
scrape_configs:
  - job_name: culvert
    scrape_interval: 1s
    static_configs: [{{targets: ["127.0.0.1:{STATS_PORT}"]}}]
""")
        log = open(tmp_path / "prometheus.log", "wb")
        processes.append(lab.spawn(
            "lb", "prometheus", f"--config.file={path}", f"--storage.tsdb.path={tmp_path / 'data'}",
            f"--web.listen-address=127.0.0.1:{PROMETHEUS_PORT}", stdout=log, stderr=log))
        log.close()
        return query

    def query(expression):
        """Backend or other labels of each result, with its value; {} while there is no answer."""
        target = f"http://127.0.0.1:{PROMETHEUS_PORT}/api/v1/query?" + urllib.parse.urlencode({"query": expression})
        result = lab.run("lb", "curl", "-sf", "-m", "10", target, check=False)
        if result.returncode:
            return {}
        series = json.loads(result.stdout)["data"]["result"]
        return {one["metric"].get("backend", ""): float(one["value"][1]) for one in series}

    yield start
    for process in processes:
        process.terminate()
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def test_the_metrics_are_as_prometheus_wants_them(running):
    metrics = api.ask_tcp(running, "GET", "/metrics")[2]
    result = subprocess.run(["promtool", "check", "metrics"], input=metrics, capture_output=True, check=False)
    assert result.returncode == 0 and not result.stdout + result.stderr, result
    assert b"\nculvert_flow_log_lost_total 0\n" in metrics


@pytest.mark.parametrize("running", ("passthrough", "proxy"), indirect=True)
def test_prometheus_agrees_with_the_clients_count(running, prometheus):
    query = prometheus()
    await_condition(lambda: query('up{job="culvert"}') == {"": 1}, "Prometheus scrapes culvert", 60)
    answers = http.short_connections(running.lab, REQUESTS)
    expected = {f"web/{name}": count for name, count in answers.items()}
    assert sum(expected.values()) == REQUESTS and len(expected) == 3
    await_condition(lambda: query("sum by (backend) (culvert_backend_connections_total)") == expected,
                    f"Prometheus says {expected}", 60)
    assert query("count(culvert_build_info)") == {"": 1}
    if running.mode == "proxy":
        assert query("sum(culvert_frontend_session_duration_seconds_count)") == {"": REQUESTS}
