# SPDX-License-Identifier: Apache-2.0
"""culvertctl and a culvert that runs, in every mode: what it says is so, and what it is told to do happens."""

import http.client
import json
import os
import socket
import subprocess

import pytest

from harness import config, dsr_lab, http as lab_http
from harness.fake_api import CTL
from harness.lab import VIP, endpoint
from harness.wait import await_condition

MODES = ("passthrough", "dsr", "proxy")
SERVERS = ["web/b1", "web/b2", "web/b3"]


class Ctl:
    """culvertctl for one culvert."""

    def __init__(self, culvert, path):
        self.culvert = culvert
        self.lab = culvert.lab
        self.path = str(path)

    def run(self, *args, code=0):
        result = subprocess.run([CTL, f"--socket={self.path}", *args], capture_output=True, text=True,
                                timeout=60, check=False)
        assert result.returncode == code, result
        return result.stdout

    def json(self, *args, code=0):
        return json.loads(self.run("--json", *args, code=code))

    def backends(self):
        return {backend["name"]: backend for backend in self.json("servers")["backends"]}

    def need(self, method, path):
        """Skip what this culvert does not offer."""
        connection = http.client.HTTPConnection("culvert", timeout=30)
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.connect(self.path)
        connection.request(method, path, "{}" if method == "POST" else None)
        response = connection.getresponse()
        text = response.read().decode(errors="replace")
        connection.close()
        if response.status in (404, 501):
            pytest.skip(f"not in this culvert: {path}: {json.loads(text)['error']['message']}")


@pytest.fixture(params=MODES)
def ctl(request, make_lab, make_culvert, make_proxy, tmp_path_factory):
    """culvert in each mode with its servers up, and culvertctl for it."""
    mode = request.param
    lab = make_lab(direct=mode == "dsr")
    if mode == "dsr":
        dsr_lab.open_path(lab)
        dsr_lab.translate_answers(lab)
    path = tmp_path_factory.mktemp("api") / "api.sock"
    running = make_proxy(lab) if mode == "proxy" else make_culvert(lab)
    running.start(getattr(config, mode)(lab, api={"socket": str(path)}))
    running.await_all_up()
    return Ctl(running, path)


def test_status_and_servers_say_what_is_so(ctl):
    text = ctl.run("status")
    assert f"{ctl.culvert.mode} mode, process" in text
    assert "ready, running for" in text and "3: 3 up" in text
    rows = [line.split() for line in ctl.run("servers").splitlines()]
    assert [row[0] for row in rows] == ["SERVER", *SERVERS]
    assert all(row[2:4] == ["ready", "up"] for row in rows[1:]), rows
    assert ctl.run("servers", "--names").split() == SERVERS
    assert "web" in ctl.run("stats") and endpoint(VIP, 80) in json.dumps(ctl.json("config"))


def test_a_server_that_dies_is_named(ctl):
    ctl.lab.stop("b2")
    await_condition(lambda: ctl.backends()["web/b2"]["health"] == "down", "b2 is down", 30)
    assert "web/b2 is down" in ctl.run("status")
    row = next(line for line in ctl.run("servers").splitlines() if line.startswith("web/b2"))
    assert " down " in row
    ctl.lab.stop("b1")
    ctl.lab.stop("b3")
    await_condition(lambda: all(b["health"] == "down" for b in ctl.backends().values()), "all are down", 30)
    assert "Not ready" in ctl.run("status", code=1)


def test_the_counts_are_those_of_the_clients(ctl):
    answers = lab_http.short_connections(ctl.lab, 60)
    assert set(answers) == {"b1", "b2", "b3"}
    await_condition(lambda: ctl.json("stats")["total_connections"] == 60, "60 connections", 30)
    totals = {name: backend["connections"]["total"] for name, backend in ctl.backends().items()}
    assert totals == {f"web/{name}": count for name, count in answers.items()}
    assert "60 in total" in ctl.run("stats")


def test_a_drained_server_gets_nothing_new_until_it_is_ready(ctl):
    ctl.need("POST", "/api/v1/servers/web%2Fb2/state")
    assert ctl.run("drain", "b2").startswith("web/b2: drain")
    assert ctl.backends()["web/b2"]["state"] == "drain"
    assert "b2" not in lab_http.short_connections(ctl.lab, 60)
    assert ctl.run("ready", "web/b2").startswith("web/b2: ready")
    await_condition(lambda: "b2" in lab_http.short_connections(ctl.lab, 60), "b2 is back", 30)
    assert ctl.run("maint", "b2").startswith("web/b2: maint")
    assert "maint" in ctl.run("servers")


def test_a_weight_holds_until_it_is_taken_back(ctl):
    ctl.need("POST", "/api/v1/servers/web%2Fb2/weight")
    assert "weight 0 (set by hand)" in ctl.run("weight", "web/b2", "0")
    assert "weight set to 0 by hand, the file says 1" in ctl.run("servers")
    assert "b2" not in lab_http.short_connections(ctl.lab, 60)
    assert "by hand" not in ctl.run("weight", "web/b2", "default")
    await_condition(lambda: "b2" in lab_http.short_connections(ctl.lab, 60), "b2 is back", 30)


def test_a_server_that_is_not_there(ctl):
    ctl.run("drain", "nobody", code=1)
    ctl.run("drain", "web/nobody", code=1)


def test_drops_are_told(ctl):
    text = ctl.run("drops")
    if ctl.culvert.mode != "proxy":
        assert text.startswith("Received")
        with ctl.lab.inside("client"), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.sendto(b"x", (VIP, 80))
        assert "packets" in ctl.run("drops")
    else:
        lab_http.short_connections(ctl.lab, 5)
        await_condition(lambda: "SESSIONS" in ctl.run("drops"), "ends of sessions", 30)


def test_flows_name_the_server_that_answers(ctl):
    ctl.need("GET", "/api/v1/flows")
    with lab_http.connect(ctl.lab) as sock:
        name = lab_http.request(sock)
        client = "%s:%d" % sock.getsockname()
        flows = await_condition(lambda: ctl.json("flows", f"--client={client}")["flows"], "the flow", 30)
        assert [flow["backend"] for flow in flows] == [f"web/{name}"]
        assert client in ctl.run("flows", f"--server=web/{name}")


def test_explain_names_the_server_that_answers(ctl):
    ctl.need("GET", "/api/v1/explain?client=192.0.2.1:1&vip=10.0.0.1:80&protocol=tcp")
    with lab_http.connect(ctl.lab) as sock:
        client = "%s:%d" % sock.getsockname()
        name = lab_http.request(sock)
        text = ctl.run("explain", client, endpoint(VIP, 80))
    assert text.splitlines()[0].split() == ["Server", f"web/{name}"]
    ctl.run("explain", client, "192.0.2.99:1", code=1)


def test_a_sample_of_what_is_dropped(ctl, tmp_path):
    if ctl.culvert.mode == "proxy":
        pytest.skip("there are no packets to be dropped")
    ctl.need("GET", "/api/v1/drops/no_flow/sample?count=1&seconds=1")
    file = tmp_path / "out.pcap"
    text = ctl.run("drops", "--sample=no_flow", str(file), "--seconds=1")
    assert "no_flow" in text
    assert os.path.getsize(file) >= 24


def test_events_have_a_health_change(ctl):
    ctl.need("GET", "/api/v1/events")
    ctl.lab.stop("b2")
    await_condition(lambda: "web/b2" in ctl.run("events"), "an event about b2", 30)


def test_a_reload_is_planned_then_done(ctl):
    ctl.need("POST", "/api/v1/reload")
    assert "Nothing to change" in ctl.run("reload", "--plan")
    file = ctl.culvert.directory / "culvert.toml"
    good = file.read_text()
    file.write_text("nonsense\n" + good)
    ctl.run("reload", code=1)
    file.write_text(good)
    assert "Nothing to change" in ctl.run("reload")


def test_another_file_is_planned_before_it_is_copied(ctl, tmp_path):
    now = (ctl.culvert.directory / "culvert.toml").read_text()
    path = tmp_path / "next.toml"
    path.write_text("# a long way down\n" * 50_000 + now.replace("[stats]", "[backends.web.servers.b9]\naddr = "
                    + f'"{ctl.lab.backend_addr("b1")}:81"\n[stats]'))
    text = ctl.run("reload", "--plan", str(path))
    assert "+ added" in text and "web/b9" in text, text
    path.write_text("nonsense\n" + now)
    refusal = subprocess.run([CTL, f"--socket={ctl.path}", "reload", "--plan", str(path)], capture_output=True,
                             text=True, timeout=60, check=False)
    assert refusal.returncode == 1 and f"{path}:1:" in refusal.stderr, refusal
    assert "web/b9" not in ctl.run("servers")


def test_top_shows_it(ctl, make_terminal):
    terminal = make_terminal([CTL, f"--socket={ctl.path}", "top"])
    terminal.await_text("3 of 3")
    terminal.type("\n")
    terminal.await_text("web/b3")
    terminal.type("q")
    assert terminal.wait() == 0
