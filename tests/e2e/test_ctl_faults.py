# SPDX-License-Identifier: Apache-2.0
"""culvertctl and a culvert that is not there, hangs, dies in the middle, or is something else."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import threading

import pytest

from harness.fake_api import CTL, backend, error
from harness.wait import await_condition


def ctl(path, *args, program=CTL, **options):
    return subprocess.run([program, f"--socket={path}", *args], capture_output=True, text=True, timeout=60,
                          check=False, **options)


# --- nobody there ---------------------------------------------------------------------------------

@pytest.mark.parametrize("command", [["status"], ["servers"], ["drain", "b1"], ["reload"], ["events", "--follow"],
                                     ["drops", "--sample=x", "f.pcap"]], ids=lambda c: c[0])
def test_without_a_socket_it_asks_whether_culvert_runs(tmp_path, command):
    result = ctl(tmp_path / "none.sock", *command, cwd=tmp_path)
    assert (result.returncode, result.stdout) == (3, "")
    assert "there is no socket" in result.stderr and "none.sock" in result.stderr
    assert "Is culvert running?" in result.stderr and "--socket=PATH" in result.stderr
    assert os.listdir(tmp_path) == []


def test_a_socket_that_is_left_over(tmp_path):
    path = tmp_path / "old.sock"
    with socket.socket(socket.AF_UNIX) as left_over:
        left_over.bind(str(path))
    result = ctl(path, "status")
    assert result.returncode == 3 and "nobody listens on" in result.stderr


def test_a_socket_of_somebody_else(fake_api, tmp_path):
    os.chmod(fake_api.path, 0o600)
    for directory in [tmp_path, *tmp_path.parents]:
        if directory.owner() == "root" and directory != directory.parent:
            directory.chmod(directory.stat().st_mode | 0o011)
    program = shutil.copy(CTL, tmp_path)  # what was built may lie where only root can go
    result = ctl(fake_api.path, "status", program=program, user="nobody", group="nogroup", extra_groups=[])
    assert result.returncode == 3, result
    assert "no permission for" in result.stderr and "try sudo" in result.stderr


def test_a_queue_that_is_full_is_not_taken_for_a_culvert_that_has_ended(tmp_path):
    path = tmp_path / "full.sock"
    with socket.socket(socket.AF_UNIX) as listener, contextlib.ExitStack() as stack:
        listener.bind(str(path))
        listener.listen(1)
        with contextlib.suppress(BlockingIOError):
            while True:
                waiting = stack.enter_context(socket.socket(socket.AF_UNIX))
                waiting.setblocking(False)
                waiting.connect(str(path))
        result = ctl(path, "status", "--timeout=2")
    assert result.returncode == 3 and "too many clients wait at" in result.stderr, result


def test_a_file_that_is_no_socket(tmp_path):
    (tmp_path / "file").write_text("x")
    result = ctl(tmp_path / "file", "status")
    assert result.returncode == 3 and "file" in result.stderr


def test_a_path_that_is_too_long(tmp_path):
    result = ctl(tmp_path / ("x" * 200), "status")
    assert result.returncode == 3 and "name too long" in result.stderr


def test_a_proxy_of_the_environment_is_not_asked(fake_api):
    environment = {"http_proxy": "http://127.0.0.1:1", "all_proxy": "socks5://127.0.0.1:1"}
    assert fake_api.run("status", environment=environment).returncode == 0


# --- somebody there who does not answer well ------------------------------------------------------

def test_a_server_that_hangs(fake_api):
    enough = threading.Event()
    fake_api.answers["GET /api/v1/status"] = lambda handler: enough.wait(60)
    result = fake_api.run("status", "--timeout=1")
    enough.set()
    assert result.returncode == 3
    assert "no answer on" in result.stderr and "within 1 s" in result.stderr


def test_a_server_that_sends_byte_by_byte_is_given_up_too(fake_api):
    enough = threading.Event()

    def drip(handler):
        handler.send_response(200)
        handler.send_header("Content-Length", "100000")
        handler.end_headers()
        while not enough.wait(0.1):
            handler.wfile.write(b" ")
            handler.wfile.flush()

    fake_api.answers["GET /api/v1/status"] = drip
    result = fake_api.run("status", "--timeout=1")
    enough.set()
    assert result.returncode == 3 and "within 1 s" in result.stderr


def test_a_socket_whose_owner_is_stopped(tmp_path):
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "deaf.sock"))
        listener.listen(8)
        result = ctl(tmp_path / "deaf.sock", "status", "--timeout=1")
    assert result.returncode == 3 and "no answer on" in result.stderr


@pytest.mark.parametrize("before_it_ends", [
    b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n{\"a"])
def test_a_server_that_dies_in_the_middle(fake_api, before_it_ends):
    def die(handler):
        handler.wfile.write(before_it_ends)
        handler.wfile.flush()
        handler.connection.shutdown(socket.SHUT_RDWR)

    fake_api.answers["GET /api/v1/status"] = die
    result = fake_api.run("status")
    assert (result.returncode, result.stdout) == (3, "")
    assert "ended within the answer" in result.stderr or "does not answer as culvert does" in result.stderr


@pytest.mark.parametrize("status, body", [
    (200, b""), (200, b"<html>hello</html>"), (200, b"[1, 2]"), (200, b"{\"a\": "), (200, b"{\"a\": \"\xff\"}"),
    (200, b"{\"a\": " + b"[" * 100000), (500, b"oops"), (404, b"{}"), (301, b""), (404, b"{\"error\": 7}")])
@pytest.mark.parametrize("extra", [[], ["--json"]])
def test_what_is_no_answer_of_culvert(fake_api, status, body, extra):
    fake_api.answers["GET /api/v1/status"] = (status, body)
    result = fake_api.run("status", *extra)
    if extra and body.startswith(b"{") and status != 200:
        assert result.returncode == 1  # an answer of a kind, printed as it came
        return
    assert (result.returncode, result.stdout) == (3, "")
    assert "does not answer as culvert does" in result.stderr


def test_what_speaks_no_http(tmp_path):
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "ssh.sock"))
        listener.listen(8)

        def speak():
            connection, _ = listener.accept()
            with connection:
                connection.recv(10000)
                connection.sendall(b"SSH-2.0-OpenSSH\r\n\r\n")

        thread = threading.Thread(target=speak, daemon=True)
        thread.start()
        result = ctl(tmp_path / "ssh.sock", "status")
    assert result.returncode == 3 and "does not answer as culvert does" in result.stderr


@pytest.mark.parametrize("status, code", [(400, 2), (403, 1), (404, 1), (409, 1), (422, 1), (501, 1), (503, 1)])
def test_a_refusal_is_told_in_its_own_words(fake_api, status, code):
    fake_api.answers["POST /api/v1/servers/b1/state"] = (status, {"error": {
        "message": "no, because \033[31m", "hint": "do this\033[0m"}})
    result = fake_api.run("drain", "b1")
    assert (result.returncode, result.stdout) == (code, "")
    assert result.stderr == "culvertctl: no, because ?[31m\ndo this?[0m\n"


def test_output_that_cannot_be_written_is_an_error(fake_api):
    with open("/dev/full", "w") as full:
        result = subprocess.run(fake_api.command("servers"), stdout=full, stderr=subprocess.PIPE, text=True,
                                check=False)
    assert result.returncode == 1 and "could not be written" in result.stderr


def test_who_reads_only_the_beginning_is_no_failure_to_talk_about(fake_api):
    """As in `culvertctl servers | head'."""
    fake_api.answers["GET /api/v1/backends"] = {"backends": [backend(f"b{i}") for i in range(16384)]}
    for command in (["servers"], ["servers", "--json"], ["config"]):
        fake_api.answers["GET /api/v1/config"] = {f"key{i}": i for i in range(100000)}
        with subprocess.Popen(fake_api.command(*command), stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            process.stdout.readline()
            process.stdout.close()
            assert process.wait(timeout=60) == -signal.SIGPIPE
            assert process.stderr.read() == b""


# --- samples --------------------------------------------------------------------------------------

def begin_sample(handler):
    handler.send_response(200)
    handler.send_header("Content-Length", "100000")
    handler.end_headers()
    handler.wfile.write(b"x" * 100)
    handler.wfile.flush()


def test_a_sample_that_breaks_off_leaves_no_file(fake_api, tmp_path):
    fake_api.answers["GET /api/v1/drops/x/sample"] = begin_sample
    result = fake_api.run("drops", "--sample=x", tmp_path / "out.pcap")
    assert result.returncode == 3 and "ended within the answer" in result.stderr
    assert os.listdir(tmp_path) == ["api.sock"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_sample_that_is_interrupted_leaves_no_file(fake_api, tmp_path, number):
    enough = threading.Event()

    def begin_and_wait(handler):
        begin_sample(handler)
        enough.wait(60)

    fake_api.answers["GET /api/v1/drops/x/sample"] = begin_and_wait
    with subprocess.Popen(fake_api.command("drops", "--sample=x", str(tmp_path / "out.pcap"))) as process:
        await_condition(lambda: len(os.listdir(tmp_path)) > 1, "the file has begun")
        await_condition(lambda: fake_api.requests, "the request has come")
        process.send_signal(number)
        assert process.wait(timeout=30) == 1
    enough.set()
    assert os.listdir(tmp_path) == ["api.sock"]


def test_a_sample_does_not_touch_an_older_one_before_it_is_whole(fake_api, tmp_path):
    file = tmp_path / "out.pcap"
    file.write_text("older")
    fake_api.answers["GET /api/v1/drops/x/sample"] = begin_sample
    assert fake_api.run("drops", "--sample=x", file).returncode == 3
    assert file.read_text() == "older"


# --- following events -----------------------------------------------------------------------------

def event(text):
    return {"time": "2026-11-21T10:00:03.000Z", "kind": "admin", "level": "info", "subject": "web/b1", "text": text}


class Stream:
    """Server-sent events, sent when the test wants it."""

    def __init__(self, api):
        self.handler = None
        self.ended = threading.Event()
        api.answers["GET /api/v1/stream"] = self._begin

    def _begin(self, handler):
        handler.send_response(200)
        handler.send_header("Content-Type", "text/event-stream")
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        self.handler = handler
        self.send("history", "[]")
        self.ended.wait(60)

    def send(self, name, data):
        text = f"event: {name}\ndata: {data}\n\n".encode()
        self.handler.wfile.write(b"%x\r\n%s\r\n" % (len(text), text))
        self.handler.wfile.flush()

    def end(self, *, is_whole):
        if is_whole:
            self.handler.wfile.write(b"0\r\n\r\n")
        self.ended.set()


def follow(api, *args):
    return subprocess.Popen(api.command("events", "--follow", *args), stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True, env={**os.environ, "TZ": "UTC"})


@pytest.mark.parametrize("is_whole", [True, False])
def test_following_shows_the_list_then_what_comes_each_once(fake_api, is_whole):
    stream = Stream(fake_api)
    fake_api.answers["GET /api/v1/events"] = {"events": [event("second"), event("first")]}
    with follow(fake_api) as process:
        assert process.stdout.readline().endswith("first\n")
        assert process.stdout.readline().endswith("second\n")
        stream.send("event", json.dumps(event("second")))  # in the list already
        stream.send("sample", "{}")
        stream.send("event", "no json")
        stream.send("event", json.dumps(event("third")))
        assert process.stdout.readline() == "2026-11-21 10:00:03  info   admin    web/b1  third\n"
        stream.end(is_whole=is_whole)
        assert process.wait(timeout=30) == 3
        assert process.stdout.read() == ""
        assert "ended" in process.stderr.read()


def test_following_as_json_is_a_line_for_each(fake_api):
    stream = Stream(fake_api)
    fake_api.answers["GET /api/v1/events"] = {"events": [event("first")]}
    with follow(fake_api, "--json") as process:
        assert json.loads(process.stdout.readline()) == event("first")
        stream.send("event", json.dumps(event("next")))
        assert json.loads(process.stdout.readline()) == event("next")
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) == -signal.SIGINT
    stream.end(is_whole=False)


def test_following_notices_a_culvert_that_is_stopped(fake_api):
    stream = Stream(fake_api)
    with follow(fake_api, "--timeout=1") as process:
        assert process.wait(timeout=40) == 3
        assert "no answer" in process.stderr.read()
    stream.end(is_whole=False)


def test_following_when_there_is_no_stream(fake_api):
    fake_api.answers["GET /api/v1/stream"] = error(501, "this culvert has no stream")
    result = fake_api.run("events", "--follow")
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == "culvertctl: this culvert has no stream\n"


# --- many of them ---------------------------------------------------------------------------------

def test_a_large_answer(fake_api):
    fake_api.answers["GET /api/v1/backends"] = {"backends": [backend(f"b{i}") for i in range(16384)]}
    result = fake_api.run("servers")
    assert result.returncode == 0
    assert len(result.stdout.splitlines()) == 16385


def test_an_answer_without_end_is_given_up(fake_api):
    def flood(handler):
        handler.send_response(200)
        handler.end_headers()
        chunk = b" " * (1 << 20)
        try:
            while True:
                handler.wfile.write(chunk)
        except OSError:
            pass

    fake_api.answers["GET /api/v1/status"] = flood
    result = fake_api.run("status", "--timeout=150", timeout=160)
    assert result.returncode == 3 and "does not answer as culvert does" in result.stderr
