# SPDX-License-Identifier: Apache-2.0
"""The flow log: a line for each connection, true in all that it says, and in nobody's way."""

import collections
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import tempfile

import pytest

from harness import config, dsr_lab, http
from harness.config import UDP_PORT
from harness.culvert import Culvert
from harness.lab import VIP
from harness.proxy import Proxy
from harness.wait import await_condition

MODES = ("passthrough", "dsr", "proxy")

# Flows are written down when they are forgotten.
SOON = {"tcp_closing": 2, "tcp_time_wait": 1, "tcp_reset": 1, "udp_unreplied": 1, "udp": 1}
LATER = {"tcp_handshake": 5, "tcp_time_wait": 5, "tcp_reset": 5}


def parse_logfmt(line):
    """Nothing may be left over between pairs."""
    pairs = re.findall(r'([a-z_]+)=("(?:[^"\\]|\\.)*"|[^" ]*)(?: |$)', line)
    assert " ".join(f"{key}={value}" for key, value in pairs) == line
    return {key: value.strip('"') for key, value in pairs}


class Log:
    """culvert in a lab with a flow log."""

    def __init__(self, lab, culvert, mode, path, **overrides):
        self.lab, self.culvert, self.mode, self.path = lab, culvert, mode, path
        self.settings = getattr(config, mode)(lab, **overrides)
        config.merge(self.settings, {"flow_log": {"path": str(path)}})
        if mode != "proxy":
            config.merge(self.settings, {"timeouts": SOON})

    def start(self, *args):
        self.culvert.start(self.settings, *args)
        if "b1" in self.lab.backend_names() and not self.is_udp():
            self.culvert.await_all_up()
        return self

    def is_udp(self):
        return self.settings["frontends"]["web"].get("protocol") == "udp"

    def records(self, event="end", path=None):
        text = (path or self.path).read_text().rpartition("\n")[0]  # more may be on its way
        parse = json.loads if self.settings["flow_log"].get("format") == "json" else parse_logfmt
        return [record for record in map(parse, text.splitlines()) if record["event"] == event]

    def await_records(self, count, event="end", timeout=60):
        await_condition(lambda: len(self.records(event)) >= count, f"{count} lines", timeout, 0.2)
        records = self.records(event)
        assert len(records) == count
        return records

    def await_all(self):
        """Until nothing is open any more, and all that was counted has its line."""
        def are_there():
            stats = self.culvert.stats()
            return stats["current_connections"] == 0 and len(self.records()) >= stats["total_connections"]

        await_condition(are_there, "a line for each", 60, 0.2)
        return self.records()

    def stats(self):
        return self.culvert.stats()["flow_log"]


@pytest.fixture
def make_log(make_lab, make_culvert, tmp_path):
    """Call it with a mode, and what the configuration shall say: a Log, not started."""
    def make(mode, backends=3, path=None, **overrides):
        lab = make_lab(direct=mode == "dsr", backends=backends)
        if mode == "dsr":
            dsr_lab.open_path(lab)
            dsr_lab.translate_answers(lab)
        culvert = make_culvert(lab, kind=Proxy if mode == "proxy" else Culvert)
        return Log(lab, culvert, mode, path or tmp_path / "flows.log", **overrides)
    return make


def usual_end(mode):
    return "completed" if mode == "proxy" else "closed"


def assert_true(records, log, answers):
    """What the lines say is what clients and statistics say."""
    ended = [record for record in records if record["end"] != "unanswered"]
    assert collections.Counter(record["backend"] for record in ended) == answers
    stats = log.culvert.stats()
    assert len(records) == stats["total_connections"]
    for side in ("tx", "rx"):
        assert sum(int(record[f"bytes_{side}"]) for record in records) == stats[f"total_bytes_{side}"]
    for record in ended:
        assert record["protocol"] == "tcp"
        assert record["client"].startswith(log.lab.client_addr() + ":")
        assert (record["frontend"], record["pool"]) == ("web", "web")
        assert record["end"] == usual_end(log.mode), record
        assert 0 <= float(record["duration"]) < 60
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", record["time"])
        assert ("nat" in record) == (log.mode == "passthrough")
        assert ("state" in record) == (log.mode != "proxy")


@pytest.mark.smoke
@pytest.mark.parametrize("form", ["logfmt", "json"])
@pytest.mark.parametrize("mode", MODES)
def test_there_is_a_true_line_for_each_connection(make_log, mode, form):
    log = make_log(mode, flow_log={"format": form})
    if mode == "dsr":  # over the balancer's head a late packet looks like another connection, which is half-open
        config.merge(log.settings, {"timeouts": LATER, "flow_log": {"half_open": True}})
    log.start()
    answers = http.short_connections(log.lab, 120)
    assert set(answers) == {"b1", "b2", "b3"}
    records = log.await_all()
    assert_true(records, log, answers)
    assert mode == "dsr" or len(records) == 120
    assert log.stats() == {"lines": len(records), "dropped": 0, "unwritten": 0}
    if mode == "passthrough":
        ports = {(record["nat"], record["backend"]) for record in log.records()}
        assert len(ports) == 120


@pytest.mark.parametrize("mode,workers", [("passthrough", 0), ("passthrough", 2), ("dsr", 2), ("proxy", 0)])
def test_under_load_each_is_written_or_counted(make_log, mode, workers):
    log = make_log(mode)
    log.settings.setdefault("passthrough", {})["workers"] = workers
    if mode == "proxy":
        del log.settings["passthrough"]
    log.start()
    log.lab.run("client", "wrk", "-t2", "-c50", "-d3s", "-H", "Connection: close", f"http://{VIP}/",
                timeout=60)
    log.culvert.ledger()  # nothing waits to be accepted any more
    total = log.culvert.stats()["total_connections"]
    assert total > 500
    dropped = log.stats()["dropped"]
    log.culvert.stop()  # what lives ends with it
    # What wrk gave up in its handshake is no connection.
    assert total - 50 <= len(log.records()) + dropped <= total


@pytest.mark.parametrize("mode", MODES)
def test_beginnings_have_lines_too_when_wanted(make_log, mode):
    log = make_log(mode, flow_log={"starts": True}).start()
    with http.connect(log.lab) as sock:
        name = http.request(sock)
        start, = log.await_records(1, "start")
        assert log.records() == []
    end, = log.await_records(1)
    assert (start["backend"], end["backend"]) == (name, name)
    assert start["client"] == end["client"]
    assert "bytes_tx" not in start and "end" not in start


@pytest.mark.parametrize("mode", MODES)
def test_what_lives_at_the_end_of_culvert_ends_with_it(make_log, mode):
    log = make_log(mode)
    if mode == "proxy":
        log.settings["proxy"]["drain_timeout"] = 0
    log.start()
    with http.connect(log.lab) as sock:
        name = http.request(sock)
        log.culvert.stop()
        record, = log.records()
    assert (record["backend"], record["end"]) == (name, "shutdown")
    assert int(record["bytes_tx"]) > 0


@pytest.mark.parametrize("mode", ["passthrough", "proxy"])
def test_a_backend_that_dies_is_the_reason(make_log, mode):
    log = make_log(mode, backends=1).start()
    with http.connect(log.lab) as sock:
        http.request(sock)
        log.lab.silence("b1")
        record, = log.await_records(1)
    assert record["end"] == "backend_down"


def test_refusals_are_named(make_log):
    log = make_log("passthrough", backends=1)
    log.settings["backends"]["web"] = {
        "health_check": "none", "servers": {"b1": {"addr": f"{log.lab.backend_addr('b1')}:81"}}}
    log.culvert.start(log.settings)
    assert http.outcome(log.lab) == "ConnectionRefusedError"
    record, = log.await_records(1)
    assert (record["end"], record["state"]) == ("refused", "reset")


def test_resets_are_named_by_who_sent_them(make_log):
    log = make_log("passthrough").start()
    sock = http.connect(log.lab)
    http.request(sock)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    sock.close()
    record, = log.await_records(1)
    assert record["end"] == "client_reset"


@pytest.mark.parametrize("half_open", [False, True])
def test_a_flood_writes_no_lines_unless_wanted(make_log, support, half_open):
    log = make_log("passthrough", flow_log={"half_open": half_open})
    config.merge(log.settings, {"timeouts": {"tcp_syn": 1, "tcp_handshake": 1}})
    log.start()
    log.lab.run("client", support("flood"), "--dst", f"{VIP}:80", "--rate", 300, "--seconds", 1)
    await_condition(lambda: log.culvert.stats()["flows"]["current"] == 0, "all are forgotten", 60)
    answers = http.short_connections(log.lab, 20)
    assert sum(answers.values()) == 20
    if half_open:
        await_condition(lambda: len([r for r in log.records() if r["end"] == "closed"]) == 20, "20", 60)
        assert {record["end"] for record in log.records()} >= {"closed", "unanswered"}
    else:
        assert {record["end"] for record in log.await_records(20)} == {"closed"}


def test_a_question_and_its_answer_by_udp(make_log, echo_servers):
    log = make_log("passthrough", protocol="udp", port=UDP_PORT)
    echo_servers(log.lab)
    log.start()
    with log.lab.inside("client"):
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with sock:
        sock.settimeout(5)
        sock.connect((VIP, UDP_PORT))
        sock.send(b"question")
        sock.recv(100)
        record, = log.await_records(1)
        assert record["client"] == "{}:{}".format(*sock.getsockname())
    assert (record["protocol"], record["end"], record["state"]) == ("udp", "idle_timeout", "udp_replied")


@pytest.mark.parametrize("mode", MODES)
def test_no_line_is_lost_when_the_file_is_rotated(make_log, tmp_path, mode):
    log = make_log(mode).start()
    traffic = http.Traffic(log.lab)
    files = [log.path]
    for i in range(5):
        await_condition(log.records, "a line in this file", 60)
        files.append(tmp_path / f"flows.log.{i}")
        log.path.rename(files[-1])
        log.culvert.process.send_signal(signal.SIGUSR1)
        await_condition(log.path.exists, "a new file", 20)
    traffic.stop()
    await_condition(lambda: log.culvert.stats()["current_connections"] == 0, "all have ended", 60)
    total = log.culvert.stats()["total_connections"]
    log.culvert.stop()
    # Over the balancer's head a late packet looks like another connection, which is half-open.
    served = sum(sample.answer in log.lab.backend_names() for sample in traffic.samples)
    assert served <= sum(len(log.records(path=path)) for path in files) <= total


def test_a_full_disk_is_said_once_and_holds_nobody_up(make_log):
    log = make_log("proxy")
    log.settings["flow_log"]["path"] = "/dev/full"
    log.start()
    for count in (40, 80):
        http.short_connections(log.lab, 40)
        await_condition(lambda: log.stats()["unwritten"] == count, f"{count} lines given up", 30)
    assert log.stats() == {"lines": 0, "dropped": 0, "unwritten": 80}
    lines = log.culvert.log_lines("cannot write to /dev/full")
    assert len(lines) == 1, lines


def test_a_disk_that_has_room_again_gets_whole_lines(make_log, tmp_path):
    mount = tmp_path / "small"
    mount.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", mount], check=True)
    try:
        log = make_log("proxy", path=mount / "flows.log")
        ballast = mount / "ballast"
        ballast.write_bytes(b"x" * (60 << 10))
        log.start()
        http.short_connections(log.lab, 100)
        await_condition(lambda: log.stats()["unwritten"] > 0, "the disk is full", 30)
        ballast.unlink()
        http.short_connections(log.lab, 100)
        await_condition(lambda: sum(log.stats().values()) == 200, "200 lines", 30)
        stats = log.stats()
        log.culvert.stop()
        assert len(log.culvert.log_lines("flows.log can be written to again")) == 1
        lines = log.path.read_text().splitlines()
        whole = [line for line in lines if "end=completed" in line]
        assert len(whole) == stats["lines"]
        assert len(lines) - len(whole) == 1  # that was torn
        assert all(line.count("time=") == 1 for line in lines)
        for line in whole:
            parse_logfmt(line)
    finally:
        subprocess.run(["umount", "-l", mount], check=True)


@pytest.mark.parametrize("mode", ["proxy", "passthrough"])
def test_a_file_that_cannot_be_opened_is_an_error(make_log, mode):
    log = make_log(mode)
    log.settings["flow_log"]["path"] = "/nonexistent/flows.log"
    status, text = log.culvert.refusal(log.settings)
    assert status == 1
    assert "cannot start: [flow_log] path: cannot open /nonexistent/flows.log" in text


def test_the_user_gets_a_directory_of_its_own(make_log):
    with tempfile.TemporaryDirectory() as directory:  # not pytest's, which is root's alone
        os.chmod(directory, 0o755)
        path = pathlib.Path(directory) / "logs" / "flows.log"
        log = make_log("passthrough", path=path, api={"socket": "off"}).start("--user=nobody")
        http.short_connections(log.lab, 20)
        log.await_records(20)
        path.rename(path.parent / "old.log")
        log.culvert.process.send_signal(signal.SIGUSR1)
        await_condition(path.exists, "a new file", 20)
        assert path.stat().st_uid == path.parent.stat().st_uid != 0
        log.culvert.stop()


def test_without_a_path_there_is_none(lab, culvert):
    culvert.start(config.passthrough(lab))
    names = [open(f"/proc/{culvert.process.pid}/task/{task}/comm").read().strip()
             for task in os.listdir(f"/proc/{culvert.process.pid}/task")]
    assert "cv-flow-log" not in names
    assert "flow_log" not in culvert.stats()
    culvert.process.send_signal(signal.SIGUSR1)
    culvert.await_all_up()
