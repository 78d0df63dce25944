# SPDX-License-Identifier: Apache-2.0
"""What culvertctl asks, and how it shows the answers: against canned ones, so that every case can be had."""

import json
import os
import re
import subprocess
from datetime import UTC, datetime, timedelta

import pytest

from harness.fake_api import ANSWERS, CTL, FLOWS, PLAN, STATUS, backend, error
from harness.lab import ROOT


def lines(result):
    """The lines, each as a list of words."""
    return [line.split() for line in result.stdout.splitlines()]


# --- what every command does ----------------------------------------------------------------------

COMMANDS = [
    (["status"], "/api/v1/status"),
    (["servers"], "/api/v1/backends"),
    (["stats"], "/stats"),
    (["flows"], "/api/v1/flows"),
    (["drops"], "/api/v1/drops"),
    (["events"], "/api/v1/events"),
    (["config"], "/api/v1/config"),
    (["explain", "192.0.2.7:40000", "10.0.0.1:80"], "/api/v1/explain"),
]


@pytest.mark.parametrize("command, path", COMMANDS, ids=lambda value: str(value))
def test_json_is_the_answer_as_it_came(fake_api, command, path):
    result = fake_api.run(*command, "--json")
    assert (result.returncode, result.stderr) == (0, "")
    assert json.loads(result.stdout) == ANSWERS[f"GET {path}"]
    assert fake_api.requests[0][1] == path
    assert result.stdout.startswith("{\n  \""), "it is made to be read, too"


@pytest.mark.parametrize("command, path", COMMANDS, ids=lambda value: str(value))
def test_text_has_no_colours_in_a_pipe_and_no_spaces_at_the_end(fake_api, command, path):
    result = fake_api.run(*command)
    assert (result.returncode, result.stderr) == (0, "")
    assert "\033" not in result.stdout
    assert result.stdout.strip()
    assert all(line == line.rstrip() for line in result.stdout.splitlines())


@pytest.mark.parametrize("command, path", COMMANDS, ids=lambda value: str(value))
def test_an_empty_answer_is_shown_without_a_crash(fake_api, command, path):
    fake_api.answers[f"GET {path}"] = {}
    result = fake_api.run(*command)
    assert result.returncode in (0, 1), result
    assert "Sanitizer" not in result.stderr


@pytest.mark.parametrize("command, path", COMMANDS, ids=lambda value: str(value))
def test_an_answer_of_other_kinds_is_shown_without_a_crash(fake_api, command, path):
    def twist(value):
        if isinstance(value, dict):
            return {key: twist(inner) for key, inner in value.items()} if value else 7
        if isinstance(value, list):
            return [twist(inner) for inner in value] + [None, 7, "x", [], {}]
        return {"a": 1} if isinstance(value, str) else "text"

    fake_api.answers[f"GET {path}"] = twist(ANSWERS[f"GET {path}"])
    result = fake_api.run(*command)
    assert result.returncode in (0, 1), result


def test_colours_are_for_terminals(fake_api, make_terminal):
    def raw(*args, **environment):
        terminal = make_terminal(fake_api.command("servers", *args), columns=200,
                                 environment=environment)
        assert terminal.wait() == 0
        return terminal.raw

    green = b"\033[32mup\033[0m"
    assert green in raw()
    assert b"\033" not in raw("--no-color")
    assert b"\033" not in raw(NO_COLOR="1")
    assert b"\033" not in raw(TERM="dumb")


def test_json_escapes_what_a_terminal_would_obey(fake_api):
    fake_api.answers["GET /api/v1/config"] = {"name": "\033[31mred"}
    assert "\033" not in fake_api.run("config", "--json").stdout


@pytest.mark.parametrize("place", ["before", "after"])
def test_options_stand_before_or_after_the_command(fake_api, place):
    arguments = ["--json", "status"] if place == "before" else ["status", "--json"]
    assert json.loads(fake_api.run(*arguments).stdout)["pid"] == 4242


def test_the_environment_may_name_the_socket(fake_api):
    result = fake_api.run("status", "--socket", fake_api.path, environment={"CULVERT_SOCKET": "/nowhere"})
    assert result.returncode == 0
    result = subprocess.run([CTL, "servers", "--names"], capture_output=True, text=True, check=False,
                            env={**os.environ, "CULVERT_SOCKET": fake_api.path})
    assert result.returncode == 0, result


# --- status, servers, stats -----------------------------------------------------------------------

def test_status_says_what_is_wrong(fake_api):
    result = fake_api.run("status")
    assert "passthrough mode, process 4242" in result.stdout
    assert "ready, running for 2 h 5 min, since 2026-11-21 09:00:00" in result.stdout
    assert "3: 2 up, 1 down" in result.stdout
    assert "web/b2 is down: connection refused" in result.stdout
    assert "12,304 of 1,048,576 (1.2%)" in result.stdout
    assert "refused, 2026-11-21 10:00:00, by file: the file has 1 error" in result.stdout
    assert "/etc/culvert/culvert.toml:3:1: bad" in result.stdout


def test_status_says_that_the_configuration_file_is_gone(fake_api):
    assert "not there" not in fake_api.run("status").stdout
    fake_api.answers["GET /api/v1/status"] = {**STATUS, "config": {**STATUS["config"], "is_missing": True}}
    assert "/etc/culvert/culvert.toml, which is not there any more\n" in fake_api.run("status").stdout


def test_status_shows_sessions_in_proxy_mode_and_no_backends_that_are_well(fake_api):
    status = {**STATUS, "mode": "proxy", "sessions": {"current": 7, "max": 0},
              "backends": {"total": 3, "up": 3, "down": 0}}
    del status["flows"]
    fake_api.answers["GET /api/v1/status"] = status
    result = fake_api.run("status")
    assert ["Sessions", "7"] in lines(result)
    assert "/api/v1/backends" not in [request[1] for request in fake_api.requests]


@pytest.mark.parametrize("body", [b"frontend web has no usable backend\nmore\n",
                                  {"error": {"message": "frontend web has no usable backend"}}])
def test_status_is_1_when_it_is_not_ready(fake_api, body):
    fake_api.answers["GET /readyz"] = (503, body)
    result = fake_api.run("status")
    assert result.returncode == 1
    assert "Not ready    frontend web has no usable backend\n" in result.stdout
    assert fake_api.run("status", "--json").returncode == 1


def test_status_names_a_few_of_many_that_are_down(fake_api):
    fake_api.answers["GET /api/v1/backends"] = {
        "backends": [backend(f"b{i}", health="down") for i in range(12)]}
    result = fake_api.run("status")
    assert result.stdout.count("is down") == 5
    assert "and 7 more: culvertctl servers" in result.stdout


def test_servers_is_a_table(fake_api):
    result = fake_api.run("servers")
    rows = lines(result)
    assert rows[0] == ["SERVER", "ADDRESS", "STATE", "HEALTH", "FOR", "WEIGHT", "SHARE", "NOW",
                       "TOTAL", "IN", "OUT", "NOTE"]
    assert rows[1][:4] == ["web/b1", "10.0.0.101:80", "ready", "up"]
    assert " ".join(rows[1][-8:]) == "1 50% 12 1,204 1.2 MB 34 MB", rows[1]
    assert "connection refused" in result.stdout.splitlines()[2]
    assert rows[3][2] == "drain" and "weight set to 5 by hand, the file says 2" in result.stdout
    assert "Pool web is in panic" in result.stdout
    text = result.stdout.splitlines()
    assert len({line.index("ready") for line in text if " ready " in line}) == 1, "columns are aligned"


@pytest.mark.parametrize("state, weight, shown", [
    ("ready", {"configured": 3, "set": None, "effective": 3}, "3"),
    ("ready", {"configured": 3, "set": None, "effective": 0.9}, "0.9"),
    ("drain", {"configured": 3, "set": None, "effective": 0}, "3"),
    ("maint", {"configured": 3, "set": 5, "effective": 0}, "5"),
    ("removed", {"configured": 3, "set": None, "effective": 0}, "3")])
def test_servers_that_are_kept_out_have_their_weight_and_no_share(fake_api, state, weight, shown):
    fake_api.answers["GET /api/v1/backends"] = {"backends": [backend("b1", state=state, weight=weight, share=0)]}
    rows = lines(fake_api.run("servers"))
    assert f" {shown} 0% 12 " in " ".join(rows[1]), rows


@pytest.mark.parametrize("state, finished, note", [
    ("removed", 25, "25 finished flows linger"), ("removed", 1, "1 finished flow lingers"), ("removed", 0, ""),
    ("ready", 25, "")])
def test_servers_say_what_keeps_one_that_is_removed(fake_api, state, finished, note):
    fake_api.answers["GET /api/v1/backends"] = {"backends": [
        backend("b1", state=state, connections={"current": 0, "total": 40, "finished": finished})]}
    result = fake_api.run("servers")
    assert note in result.stdout and ("finished" in result.stdout) == bool(note), result


def test_servers_of_one_pool(fake_api):
    result = fake_api.run("servers", "mail")
    assert [row[0] for row in lines(result)] == ["SERVER", "mail/m1"]
    result = fake_api.run("servers", "nix")
    assert (result.returncode, result.stdout) == (1, "")
    assert 'there is no pool "nix"' in result.stderr and "did you mean" not in result.stderr
    assert 'did you mean "mail"?' in fake_api.run("servers", "mial").stderr


@pytest.mark.parametrize("command, columns, kept, gone", [
    (["servers"], 200, "OUT", ""),
    (["servers"], 80, "SHARE", "TOTAL, IN, OUT"),
    (["servers"], 40, "HEALTH", "ADDRESS, FOR, WEIGHT, SHARE, NOW, TOTAL"),
    (["flows"], 80, "STATE", "PROTO, PATH, NAT"),
    (["flows"], 40, "SERVER", "PROTO, FRONTEND"),
])
def test_a_narrow_terminal_gets_the_columns_that_it_has_room_for(fake_api, make_terminal, command, columns, kept, gone):
    # "21 h 30 min": of the same width at all hours.
    since = (datetime.now(UTC) - timedelta(hours=21, minutes=30)).isoformat(timespec="milliseconds")
    servers = [backend(name, health_since=since.replace("+00:00", "Z")) for name in ("b1", "b2")]
    fake_api.answers["GET /api/v1/backends"] = {"backends": servers}
    terminal = make_terminal(fake_api.command(*command), columns=columns, rows=50)
    assert terminal.wait() == 0
    text = terminal.raw.decode()
    table, _, rest = re.sub("\033[^m]*m", "", text).replace("\r", "").partition("\n\n")
    assert all(len(line) <= columns for line in table.splitlines()), table
    assert kept in table.splitlines()[0].split()
    assert ("The terminal is too narrow for" in rest) == bool(gone) and gone in rest, rest


def test_servers_names_are_for_scripts(fake_api):
    assert fake_api.run("servers", "--names").stdout.split() == ["web/b1", "web/b2", "web/b3", "mail/m1"]


def test_odd_names_are_shown_and_obey_nobody(fake_api):
    fake_api.answers["GET /api/v1/backends"] = {"backends": [
        backend("\033]0;owned\007", pool="web"), backend("a b\nc", pool="web"), backend("日本", pool="web"),
        backend("b4", health="down", health_reason="\033[2J gone")]}
    result = fake_api.run("servers")
    assert "\033" not in result.stdout and "\007" not in result.stdout
    assert len(result.stdout.splitlines()) == 5
    assert "web/?]0;owned?" in result.stdout and "web/a b?c" in result.stdout and "web/日本" in result.stdout


def test_stats_counts_what_is_up(fake_api):
    result = fake_api.run("stats")
    assert "24 now, 3,619 in total" in result.stdout
    assert ["web", "24", "3,612", "3.6", "MB", "102", "MB", "1", "of", "2"] in lines(result)
    assert "200 dropped (culvertctl drops says why)" in result.stdout


@pytest.mark.parametrize("counts, shown", [
    ({"state": "off", "flows": 0, "packets": 0}, "off"),
    ({"state": "off", "flows": 0, "packets": 1095}, "off; 0 flows, 1,095 packets (1.0% of those forwarded)"),
    ({"state": "on", "flows": 9812, "packets": 87600}, "9,812 flows, 87,600 packets (80% of those forwarded)"),
    ({"state": "on", "flows": 1, "packets": 1}, "1 flow, 1 packet (<0.1% of those forwarded)"),
    ({"state": "on", "flows": 0, "packets": 0}, "0 flows, 0 packets (0% of those forwarded)"),
])
def test_stats_say_what_the_kernel_forwards(fake_api, counts, shown):
    fake_api.answers["GET /stats"] = {**fake_api.answers["GET /stats"], "fast_path": counts}
    assert ["Fast", "path", *shown.split()] in lines(fake_api.run("stats"))


def test_stats_has_a_line_for_what_reloads_have_left_out(fake_api):
    stats = fake_api.answers["GET /stats"]
    removed = {"total_connections": 7, "current_connections": 1, "bytes_tx": 100, "bytes_rx": 100}
    fake_api.answers["GET /stats"] = {**stats, "removed_frontends": removed}
    assert ["(removed)", "1", "7", "100", "B", "100", "B"] in lines(fake_api.run("stats"))
    fake_api.answers["GET /stats"] = {**stats, "removed_frontends": dict.fromkeys(removed, 0)}
    assert "removed" not in fake_api.run("stats").stdout


def test_what_backends_answer_past_culvert_is_not_called_nothing(fake_api):
    stats = fake_api.answers["GET /stats"]
    fake_api.answers["GET /stats"] = {**stats, "mode": "dsr"}
    result = fake_api.run("stats")
    assert "3.6 MB from clients; servers answer them directly" in result.stdout
    assert ["web", "24", "3,612", "3.6", "MB", "-", "1", "of", "2"] in lines(result)


# --- flows, drops, events, explain ----------------------------------------------------------------

def test_flows_asks_for_what_the_options_say(fake_api):
    result = fake_api.run("flows", "--client=192.0.2.7:40000", "--server", "web/b 1&x", "--frontend=web",
                          "--limit=5")
    assert result.returncode == 0, result
    assert fake_api.requests[0][2] == {"client": "192.0.2.7:40000", "server": "web/b 1&x",
                                       "frontend": "web", "limit": "5"}
    assert "10.0.0.2:33768" in result.stdout and "2 h 3 min" in result.stdout
    assert "1 of 250 flows shown; --limit=N shows more" in result.stdout


@pytest.mark.parametrize("flow, shown", [
    ({**FLOWS["flows"][0]}, ["PATH", "NAT", "fast", "10.0.0.2:33768"]),
    ({**FLOWS["flows"][0], "fast_path": False}, ["PATH", "NAT", "-", "10.0.0.2:33768"]),
    ({key: value for key, value in FLOWS["flows"][0].items() if key != "nat"}, ["OUT", "PATH", "kB", "fast"]),
    ({key: value for key, value in FLOWS["flows"][0].items() if key not in ("nat", "fast_path")},
     ["IN", "OUT", "5.0", "kB"]),
])
def test_flows_say_which_path_they_take(fake_api, flow, shown):
    fake_api.answers["GET /api/v1/flows"] = {"flows": [flow], "n_matched": 1, "is_complete": True}
    heading, row = lines(fake_api.run("flows"))[:2]
    assert heading[-2:] + row[-2:] == shown


def test_flows_without_nat_have_no_column_for_it(fake_api):
    flow = {key: value for key, value in FLOWS["flows"][0].items() if key != "nat"}
    fake_api.answers["GET /api/v1/flows"] = {"flows": [flow], "n_matched": 1, "is_complete": False}
    result = fake_api.run("flows")
    assert "NAT" not in result.stdout
    assert "1 flow; there may be more" in result.stdout
    fake_api.answers["GET /api/v1/flows"] = {"flows": [], "n_matched": 0, "is_complete": True}
    assert fake_api.run("flows").stdout == "No flows.\n"


def test_drops_shows_what_has_happened(fake_api):
    result = fake_api.run("drops")
    assert "109,500 (99.5%)" in result.stdout
    assert "every flow is in use" in result.stdout
    assert "bad_checksum" not in result.stdout


def test_drops_of_proxy_mode_are_ends_of_sessions(fake_api):
    fake_api.answers["GET /api/v1/drops"] = {"ends": [
        {"end": "finished", "text": "both sides have closed", "count": 12}]}
    assert ["finished", "12", "both", "sides", "have", "closed"] in lines(fake_api.run("drops"))


def test_a_sample_is_a_file(fake_api, tmp_path):
    file = tmp_path / "out.pcap"
    result = fake_api.run("drops", "--sample=flow_table_full", file, "--count=7", "--seconds=2")
    assert result.stdout == f"3 packets dropped as flow_table_full in {file}\n"
    assert file.read_bytes() == ANSWERS["GET /api/v1/drops/flow_table_full/sample"][1]
    assert fake_api.requests[0][2] == {"count": "7", "seconds": "2"}
    assert {"out.pcap", "api.sock"} == set(os.listdir(tmp_path))


def test_what_a_sample_has_become_is_told_as_json(fake_api, tmp_path):
    file = tmp_path / os.fsdecode(b"caf\xe9.pcap")
    told = json.loads(fake_api.run("drops", "--sample=flow_table_full", file, "--json").stdout)
    assert told == {"reason": "flow_table_full", "file": f"{tmp_path}/caf?.pcap", "packets": 3}
    assert file.exists()


def test_a_sample_may_go_through_a_pipe(fake_api):
    result = subprocess.run(fake_api.command("drops", "--sample=flow_table_full", "-"),
                            capture_output=True, check=False)
    assert result.stdout == ANSWERS["GET /api/v1/drops/flow_table_full/sample"][1]
    assert b"3 packets" in result.stderr


def test_a_capture_is_not_printed_on_a_terminal(fake_api, make_terminal):
    terminal = make_terminal(fake_api.command("drops", "--sample=flow_table_full", "-"))
    assert terminal.wait() == 2
    assert "not for a terminal" in terminal.text()
    assert fake_api.requests == []


def test_a_sample_that_is_refused_leaves_no_file(fake_api, tmp_path):
    result = fake_api.run("drops", "--sample=nonsense", tmp_path / "out.pcap")
    assert result.returncode == 1 and "there is no" in result.stderr
    assert os.listdir(tmp_path) == ["api.sock"]
    result = fake_api.run("drops", "--sample=flow_table_full", tmp_path / "none" / "out.pcap")
    assert result.returncode == 1 and "No such file or directory" in result.stderr


def test_events_are_read_downwards(fake_api):
    result = fake_api.run("events", "--limit=9")
    assert fake_api.requests[0][2] == {"limit": "9"}
    assert result.stdout.splitlines() == [
        "2026-11-21 10:00:01  info   start    ready",
        "2026-11-21 10:00:02  warn   health   web/b2  down: connection refused"]
    fake_api.answers["GET /api/v1/events"] = {"events": [
        {**ANSWERS["GET /api/v1/events"]["events"][0], "subject": name} for name in ("w" * 40, "web/b10", "web/b1")]}
    columns = [line.index("down:") for line in fake_api.run("events").stdout.splitlines()]
    assert columns[0] == columns[1] < columns[2], "one that is very long does not move the others"


def test_explain_shows_the_answer_and_its_reasons(fake_api):
    result = fake_api.run("explain", "192.0.2.7:40000", "[2001:db8::1]:80", "--udp")
    assert fake_api.requests[0][2] == {"client": "192.0.2.7:40000", "vip": "[2001:db8::1]:80",
                                       "protocol": "udp"}
    assert result.stdout.startswith("Server     web/b3\n")
    assert "web/b2: down" in result.stdout and "maglev, hash 0x1f2e, slot 4711" in result.stdout
    assert " 1. The frontend web listens there.\n 2. " in result.stdout


@pytest.mark.parametrize("extra", [[], ["--json"]])
def test_explain_is_1_when_nobody_would_answer(fake_api, extra):
    fake_api.answers["GET /api/v1/explain"] = {"frontend": None, "backend": None, "verdict": "passed",
                                               "candidates": [], "skipped": [], "steps": []}
    assert fake_api.run("explain", "192.0.2.7:4", "10.0.0.1:80", *extra).returncode == 1


@pytest.mark.parametrize("verdict", ["no_route", "neighbour_unresolved", "bad_source"])
def test_explain_is_1_when_the_packet_would_be_dropped_on_its_way(fake_api, verdict):
    fake_api.answers["GET /api/v1/explain"] = {
        "frontend": "web", "backend": "web/b1", "verdict": verdict, "candidates": ["web/b1"], "skipped": [], "steps": []}
    assert fake_api.run("explain", "192.0.2.7:4", "10.0.0.1:80").returncode == 1


@pytest.mark.parametrize("extra", [[], ["--json"]])
def test_explain_is_0_when_one_of_several_would_answer(fake_api, extra):
    fake_api.answers["GET /api/v1/explain"] = {
        "frontend": "web", "backend": None, "scheduler": "round_robin", "verdict": "forwarded",
        "candidates": ["web/b1", "web/b2"], "skipped": [], "steps": []}
    result = fake_api.run("explain", "192.0.2.7:4", "10.0.0.1:80", *extra)
    assert result.returncode == 0, result
    if not extra:
        assert lines(result)[:3] == ["Server one of 2, decided when the connection comes".split(),
                                     ["Candidates", "web/b1"], ["web/b2"]]


# --- orders ---------------------------------------------------------------------------------------

@pytest.mark.parametrize("command, body", [
    (["drain"], {"state": "drain"}), (["maint"], {"state": "maint"}), (["ready"], {"state": "ready"})])
def test_orders_post_a_state(fake_api, command, body):
    result = fake_api.run(*command, "web/b1")
    assert result.returncode == 0, result
    assert fake_api.requests == [("POST", "/api/v1/servers/web%2Fb1/state", {}, body)]
    fate = "12 connections are reset" if command == ["maint"] else "12 connections on it"
    assert result.stdout == f"web/b1: drain, no new connections, {fate}\n"


@pytest.mark.parametrize("text, weight", [("7", 7), ("0", 0), ("1000", 1000), ("default", None)])
def test_weights(fake_api, text, weight):
    result = fake_api.run("weight", "web/b1", text)
    assert fake_api.requests == [("POST", "/api/v1/servers/web%2Fb1/weight", {}, {"weight": weight})]
    assert result.stdout == ("web/b1: ready, health up, weight 7 (set by hand), 50% of new connections, "
                             "12 connections on it\n")


@pytest.mark.parametrize("count, on_down, fate", [
    (0, "reset", "no connections on it"), (1, "reset", "1 connection is reset"),
    (1204, "reset", "1,204 connections are reset"), (1, "keep", "1 connection is kept"),
    (12, "keep", "12 connections are kept")])
def test_maintenance_says_what_becomes_of_connections(fake_api, count, on_down, fate):
    fake_api.answers["POST /api/v1/servers/web%2Fb1/state"] = backend(
        "b1", state="maint", state_set="maint", share=0, on_backend_down=on_down,
        connections={"current": count, "total": 2000})
    assert fake_api.run("maint", "web/b1").stdout == f"web/b1: maint, no new connections, {fate}\n"


@pytest.mark.parametrize("command, fate, later", [
    ("drain", "1 connection on it", "It is drained when a reload brings it back, until it is made ready.\n"),
    ("maint", "1 connection is reset", "It is in maintenance when a reload brings it back, until it is made ready.\n"),
    ("ready", "1 connection on it", "")])
def test_orders_to_a_removed_server_say_what_they_mean(fake_api, command, fate, later):
    fake_api.answers["POST /api/v1/servers/web%2Fb1/state"] = backend(
        "b1", state="removed", state_set=command, share=0, connections={"current": 1, "total": 9})
    assert fake_api.run(command, "web/b1").stdout == f"web/b1: removed, no new connections, {fate}\n{later}"


def test_a_weight_of_a_server_that_is_out_counts_later(fake_api):
    fake_api.answers["POST /api/v1/servers/web%2Fb1/weight"] = backend(
        "b1", state="maint", share=0, weight={"configured": 1, "set": 7, "effective": 0},
        connections={"current": 1, "total": 9})
    assert fake_api.run("weight", "web/b1", "7").stdout == (
        "web/b1: maint, no new connections, 1 connection on it\nIts weight is 7 once it is ready.\n")
    fake_api.answers["POST /api/v1/servers/web%2Fb1/weight"] = backend(
        "b1", state="removed", share=0, weight={"configured": 1, "set": 7, "effective": 0},
        connections={"current": 0, "total": 9})
    assert fake_api.run("weight", "web/b1", "7").stdout == (
        "web/b1: removed, no new connections, no connections on it\nIts weight is 7 when a reload brings it back.\n")


@pytest.mark.parametrize("name, path", [
    ("a b", "a%20b"), ("a/b/c", "a%2Fb%2Fc"), ("..", ".."), ("100%", "100%25"), ("a?b#c", "a%3Fb%23c"),
    ("日", "%E6%97%A5"), ('"<>', "%22%3C%3E")])
def test_names_are_escaped_in_paths(fake_api, name, path):
    fake_api.answers[f"POST /api/v1/servers/{path}/state"] = backend("x")
    result = fake_api.run("drain", name)
    assert result.returncode == 0, (result, fake_api.requests)


def test_a_name_of_several_servers_is_refused_with_the_candidates(fake_api):
    fake_api.answers["POST /api/v1/servers/b1/state"] = (409, {"error": {
        "message": 'several servers are called "b1": web/b1, mail/b1', "hint": "Say POOL/SERVER."}})
    result = fake_api.run("drain", "b1")
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == ('culvertctl: several servers are called "b1": web/b1, mail/b1\n'
                             "Say POOL/SERVER.\n")


# --- reload ---------------------------------------------------------------------------------------

def test_reload_says_what_it_has_changed(fake_api):
    result = fake_api.run("reload", "--max-disruption=0.5")
    assert fake_api.requests[0][3] == {"plan": False, "max_disruption": 0.5}
    assert result.stdout.startswith("Reloaded:\n\n  + added    backend   web/b4  10.0.0.104:80\n"
                                    "  - removed  backend   web/b1\n  ~ changed  frontend  web ")
    assert "Maglev slots moved  32,768 of 65,537 (50.0%)\n" in result.stdout
    assert "Live flows touched  1,204\n" in result.stdout


def test_a_plan_says_that_nothing_has_happened(fake_api):
    fake_api.answers["POST /api/v1/reload"] = {"result": "planned", "plan": PLAN}
    result = fake_api.run("reload", "--plan")
    assert fake_api.requests[0][3] == {"plan": True}
    assert result.stdout.startswith("A reload would change:\n\n  + added")


def test_another_file_is_sent_along_to_be_planned(fake_api, tmp_path):
    fake_api.answers["POST /api/v1/reload"] = {"result": "planned", "plan": PLAN}
    path = tmp_path / "next.toml"
    path.write_text('# "é"\n' * 100_000)
    result = fake_api.run("reload", "--plan", str(path))
    assert result.returncode == 0, result
    assert fake_api.requests[0][3] == {"plan": True, "file": {"name": str(path), "text": path.read_text()}}


def test_another_file_can_only_be_planned(fake_api, tmp_path):
    path = tmp_path / "next.toml"
    path.write_text("")
    result = fake_api.run("reload", str(path))
    assert result.returncode == 2 and f"reload --plan {path}" in result.stderr, result
    path.write_bytes(b"\xff")
    result = fake_api.run("reload", "--plan", str(path))
    assert result.returncode == 1 and "not UTF-8" in result.stderr, result
    result = fake_api.run("reload", "--plan", str(tmp_path / "none.toml"))
    assert result.returncode == 1 and "No such file" in result.stderr, result
    assert fake_api.requests == []


@pytest.mark.parametrize("answer", [{"result": "unchanged", "plan": {**PLAN, "changes": []}},
                                    {"result": "planned", "plan": {**PLAN, "changes": []}}])
def test_nothing_to_change(fake_api, answer):
    fake_api.answers["POST /api/v1/reload"] = answer
    assert fake_api.run("reload").stdout == "Nothing to change: the file says what is in force.\n"


def test_errors_of_a_file_are_shown_as_editors_read_them(fake_api):
    fake_api.answers["POST /api/v1/reload"] = error(
        422, "the file has 2 errors", plan=None, errors=[
            {"file": "/etc/culvert/culvert.toml", "line": 3, "column": 7, "message": "not a number"},
            {"file": "/etc/culvert/culvert.toml", "line": 0, "column": 0, "message": "no pool"}])
    result = fake_api.run("reload")
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == ("culvertctl: the file has 2 errors\n"
                             "/etc/culvert/culvert.toml:3:7: not a number\n"
                             "/etc/culvert/culvert.toml: no pool\n")


def test_a_plan_above_the_budget_is_shown_and_refused(fake_api):
    plan = {**PLAN, "max_disruption": 0.1,
            "needs_restart": [{"key": "passthrough.workers", "message": "threads are made at the start"}]}
    fake_api.answers["POST /api/v1/reload"] = error(422, "it would move 50% of the slots", plan=plan,
                                                    errors=[])
    result = fake_api.run("reload")
    assert result.returncode == 1
    assert result.stdout.startswith("It would have changed:\n")
    assert "Disruption          50.0%, of 10.0% allowed\n" in result.stdout
    assert "passthrough.workers: threads are made at the start" in result.stdout
    as_json = fake_api.run("reload", "--json")
    assert as_json.returncode == 1 and as_json.stderr == ""
    assert json.loads(as_json.stdout)["plan"] == plan


def test_what_needs_a_restart_is_told_once(fake_api):
    message = "passthrough.workers cannot change from 1 to 2 while culvert runs; restart it, or put 1 back"
    fake_api.answers["POST /api/v1/reload"] = error(
        422, "the file changes what only a restart can change",
        plan={**PLAN, "changes": [], "needs_restart": [{"key": "passthrough.workers", "message": message}]},
        errors=[{"file": "/etc/culvert/culvert.toml", "line": 0, "column": 0, "message": message}])
    result = fake_api.run("reload", "--plan")
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == ("culvertctl: the file changes what only a restart can change\n"
                             f"/etc/culvert/culvert.toml: {message}\n")


def test_one_reload_at_a_time(fake_api):
    fake_api.answers["POST /api/v1/reload"] = error(409, "a reload is under way")
    result = fake_api.run("reload")
    assert (result.returncode, result.stderr) == (1, "culvertctl: a reload is under way\n")


# --- check ----------------------------------------------------------------------------------------

GOOD = """[frontends.web]
listen_addr = "10.0.0.1:80"
backend = "web"
[backends.web.servers.b1]
addr = "10.0.0.101:80"
"""


def test_check_needs_no_culvert(fake_api, tmp_path):
    file = tmp_path / "good.toml"
    file.write_text(GOOD)
    result = fake_api.run("check", file)
    assert (result.returncode, result.stdout) == (0, f"{file}: ok (proxy mode)\n")
    result = fake_api.run("check", "--mode=dsr", file)
    assert (result.returncode, result.stdout) == (0, f"{file}: ok (dsr mode)\n")
    assert fake_api.requests == []


def test_check_names_the_place(fake_api, tmp_path):
    file = tmp_path / "bad.toml"
    file.write_text(GOOD.replace("addr = \"10.0.0.101:80\"", "adr = 7"))
    result = fake_api.run("check", file)
    assert result.returncode == 1
    assert result.stdout.startswith(f"{file}:")
    found = json.loads(fake_api.run("check", "--json", file).stdout)
    assert found["ok"] is False and found["errors"][0]["line"] > 0
    assert fake_api.run("check", tmp_path / "none.toml").returncode == 1


def test_check_takes_a_name_that_is_not_utf8(fake_api, tmp_path):
    file = tmp_path / os.fsdecode(b"caf\xe9.toml")
    for text, is_good in ((GOOD, True), ("nonsense", False)):
        file.write_text(text)
        found = json.loads(fake_api.run("check", "--json", file).stdout)
        assert found["file"] == f"{tmp_path}/caf?.toml" and found["ok"] is is_good
        assert {error["file"] for error in found["errors"]} == (set() if is_good else {found["file"]})


def test_check_knows_what_a_mode_cannot_do(fake_api, tmp_path):
    file = tmp_path / "any.toml"
    file.write_text(GOOD.replace("10.0.0.1:80", "0.0.0.0:80"))
    assert fake_api.run("check", file).returncode == 0
    assert fake_api.run("check", "--mode=passthrough", file).returncode == 1


# --- the command line -----------------------------------------------------------------------------

@pytest.mark.parametrize("arguments", [
    [], ["nonsense"], ["status", "extra"], ["drain"], ["drain", "a", "b"], ["weight", "a"],
    ["weight", "a", "x"], ["weight", "a", "1001"], ["weight", "a", "--", "-1"], ["status", "--nonsense"],
    ["flows", "--limit=0"], ["flows", "--limit=x"], ["drops", "--sample=x"], ["drops", "file"],
    ["drops", "--count=3"], ["drops", "--sample=x", "f", "--count=0"],
    ["drops", "--sample=x", "f", "--count=10001"], ["drops", "--sample=x", "f", "--seconds=61"], ["reload", "--max-disruption=2"],
    ["reload", "--max-disruption=x"], ["explain", "1.2.3.4:5"], ["explain", "1.2.3.4", "5.6.7.8:9"],
    ["events", "--limit=x"], ["check"], ["check", "--mode=x", "f"], ["help", "x"], ["--timeout=0", "status"],
    ["--timeout=x", "status"], ["servers", "web", "--json"], ["top", "--json"]], ids=lambda a: " ".join(a))
def test_a_bad_command_line_is_2_and_asks_nothing(fake_api, arguments):
    result = fake_api.run(*arguments)
    assert (result.returncode, result.stdout) == (2, "")
    assert "culvertctl" in result.stderr and "--help" in result.stderr
    assert fake_api.requests == []


@pytest.mark.parametrize("word, meant", [("sevrers", "servers"), ("reloda", "reload"), ("zzzz", None)])
def test_a_command_that_there_is_not_is_told_the_near_one(fake_api, word, meant):
    text = fake_api.run(word).stderr
    assert (f'did you mean "{meant}"?' in text) if meant else ("did you mean" not in text), text


def test_help_says_what_a_file_goes_with(fake_api):
    overview = fake_api.run("--help").stdout
    assert "\n  reload [--plan [FILE]]  " in overview
    assert "\n  drops [--sample=REASON FILE.pcap]  " in overview
    assert fake_api.run("reload", "--help").stdout.startswith(
        "Usage: culvertctl reload [OPTION...] [--plan [FILE]]\n")


def test_every_command_has_help(fake_api):
    overview = fake_api.run("--help").stdout
    assert all(len(line) <= 100 for line in overview.splitlines())
    names = [line.split()[0] for line in overview.splitlines() if line.startswith("  ") and line[2].islower()]
    assert {"status", "top", "reload", "check", "weight"} < set(names)
    for name in names:
        result = fake_api.run(name, "--help")
        assert result.returncode == 0 and result.stderr == ""
        assert result.stdout.startswith(f"Usage: culvertctl {name}"), result
        assert all(len(line) <= 100 for line in result.stdout.splitlines())
        assert fake_api.run("help", name).stdout == result.stdout
    assert fake_api.run("help").stdout == overview


def test_version(fake_api):
    version = (ROOT / "VERSION").read_text().strip()
    assert fake_api.run("--version").stdout == f"culvertctl {version}\n"
