# SPDX-License-Identifier: Apache-2.0
"""What `explain` says of a client is what then happens to it; flows are listed as they are; samples
hold what was dropped."""

import json
import random
import signal
import socket
import struct
import threading

import pytest

from harness import api, config, dsr_lab, http
from harness.lab import VIP
from harness.wait import await_condition

MODES = ("passthrough", "dsr", "proxy")
N_TUPLES = 1000
SOURCES = [f"10.0.0.{host}" for host in range(200, 220)]


@pytest.fixture
def lab(make_lab):
    """Its backends have a way to the client past the balancer, which DSR takes."""
    return make_lab(direct=True)


def start(request, lab, mode, **overrides):
    """culvert in a mode, its backends up, and a client of many addresses."""
    running = request.getfixturevalue("proxy" if mode == "proxy" else "culvert")
    if mode == "dsr":
        dsr_lab.translate_answers(lab)
    running.start(getattr(config, mode)(lab, **overrides))
    running.await_all_up()
    for source in SOURCES:
        lab.run("client", "ip", "address", "add", f"{source}/24", "dev", "eth0")
    return running


def explain(running, source, port=None, vip=f"{VIP}:80", protocol="tcp"):
    return api.get(running, f"/api/v1/explain?client={source}:{port}&vip={vip}&protocol={protocol}")


def tuples(n, seed):
    """Different ones, in no order."""
    generator = random.Random(seed)
    ports = generator.sample(range(10000, 60000), n)
    return [(generator.choice(SOURCES), port) for port in ports]


# --- explain ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("hash_kind", ["5-tuple", "source-ip"])
@pytest.mark.parametrize("mode", MODES)
def test_explain_names_who_then_answers(request, lab, mode, hash_kind):
    running = start(request, lab, mode, frontends={"web": {"hash": hash_kind}})
    answers = {}
    for source, port in tuples(N_TUPLES, seed=mode + hash_kind):
        said = explain(running, source, port)
        assert said["flow"] is None, said
        answer = http.get(lab, source=(source, port))
        assert said["backend"] == f"web/{answer}", said
        assert said["verdict"] == ("relayed" if mode == "proxy" else "forwarded")
        answers.setdefault(source if hash_kind == "source-ip" else None, set()).add(answer)
    if hash_kind == "source-ip":
        assert all(len(names) == 1 for names in answers.values())
        assert len(set.union(*answers.values())) == 3
    else:
        assert answers[None] == {"b1", "b2", "b3"}


@pytest.mark.parametrize("mode", MODES)
def test_explain_follows_what_operators_and_health_say(request, lab, mode):
    running = start(request, lab, mode)
    api.post(running, "/api/v1/servers/b1/state", {"state": "drain"})
    lab.stop("b2")
    running.await_backend("b2", is_up=False)
    for source, port in tuples(20, seed=mode):
        said = explain(running, source, port)
        assert said["backend"] == "web/b3" and said["candidates"] == ["web/b3"], said
        reasons = {skipped["backend"]: skipped["reason"] for skipped in said["skipped"]}
        assert "draining" in reasons["web/b1"] and "down: " in reasons["web/b2"], reasons
        assert any("web/b1" in step for step in said["steps"]), said
        assert http.get(lab, source=(source, port)) == "b3"
    api.post(running, "/api/v1/servers/b3/state", {"state": "maint"})
    await_condition(lambda: explain(running, *tuples(1, seed=1)[0])["backend"] is None,
                    "explain knows that nobody is left")
    said = explain(running, *tuples(1, seed=1)[0])
    assert said["verdict"] == "no_backend" and len(said["skipped"]) == 3, said


def send(sock, method, target, body=""):
    sock.sendall(f"{method} {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\n"
                 f"Content-Length: {len(body)}\r\n\r\n{body}".encode())


def receive(sock):
    reply = b"".join(iter(lambda: sock.recv(1 << 16), b""))
    assert b" 200 OK\r\n" in reply, reply
    return json.loads(reply.partition(b"\r\n\r\n")[2])


def ask_right_behind(running, state, source, port):
    """Of b1; the question is there when culvert takes the change up, and is the next that it takes up."""
    with socket.socket(socket.AF_UNIX) as change, socket.socket(socket.AF_UNIX) as question:
        for sock in (change, question):
            sock.settimeout(20)
            sock.connect(str(running.socket_path()))
        api.get(running, "/api/v1/status")  # both have been accepted
        running.process.send_signal(signal.SIGSTOP)
        send(change, "POST", "/api/v1/servers/b1/state", json.dumps({"state": state}))
        send(question, "GET", f"/api/v1/explain?client={source}:{port}&vip={VIP}:80&protocol=tcp")
        running.process.send_signal(signal.SIGCONT)
        receive(change)
        return receive(question)


@pytest.mark.parametrize("mode", MODES)
def test_a_change_is_in_force_when_it_is_answered(request, lab, mode):
    running = start(request, lab, mode)
    source, port = next((source, port) for source, port in tuples(100, seed=mode)
                        if explain(running, source, port)["backend"] == "web/b1")
    for _ in range(10):
        assert ask_right_behind(running, "maint", source, port)["backend"] in ("web/b2", "web/b3")
        assert ask_right_behind(running, "ready", source, port)["backend"] == "web/b1"


@pytest.mark.parametrize("mode", MODES)
def test_a_connection_stays_with_its_backend_and_explain_says_so(request, lab, mode):
    running = start(request, lab, mode)
    source, port = SOURCES[0], 23456
    with http.connect(lab, source=(source, port)) as sock:
        name = http.request(sock)
        api.post(running, f"/api/v1/servers/{name}/state", {"state": "drain"})
        await_condition(lambda: explain(running, source, port)["skipped"], "the drain is seen")
        said = explain(running, source, port)
        assert said["backend"] == said["flow"]["backend"] == f"web/{name}", said
        assert said["flow"]["state"] == ("relaying" if mode == "proxy" else "established")
        assert said["flow"]["client"] == f"{source}:{port}"
        assert http.request(sock) == name
        other = explain(running, source, port + 1)
        assert other["flow"] is None and other["backend"] != f"web/{name}", other


@pytest.mark.parametrize("wanted", ["always", "off"])
@pytest.mark.parametrize("mode", ["passthrough", "dsr"])
def test_flows_that_the_kernel_forwards_are_told_apart(request, lab, mode, wanted):
    running = start(request, lab, mode, passthrough={"io": "afpacket", "fast_path": wanted})
    if running.log_lines("no fast path in the kernel"):
        pytest.skip("this kernel has none")
    is_fast = wanted == "always"
    source, port = SOURCES[0], 23456
    with http.connect(lab, source=(source, port)) as sock:
        for _ in range(10):
            http.request(sock)
        assert [flow["fast_path"] for flow in flows(running)["flows"]] == [is_fast]
        said = explain(running, source, port)
        assert said["flow"]["fast_path"] == is_fast
        assert ("The kernel forwards its packets (fast path)." in said["steps"]) == is_fast, said
        assert api.get(running, "/api/v1/status")["flows"]["fast_path"] == is_fast
        assert running.stats()["fast_path"]["flows"] == is_fast
        if is_fast:
            await_condition(lambda: running.stats()["fast_path"]["packets"] >= 8, "they are counted")
    running.ledger()
    n_packets = running.stats()["fast_path"]["packets"]
    assert bool(n_packets) == is_fast
    assert api.get(running, "/api/v1/drops")["fast_path"] == n_packets <= running.stats()["packets"]["forwarded"]


def test_explain_knows_the_way_out(request, lab):
    running = start(request, lab, "passthrough", workers=2)
    said = explain(running, SOURCES[1], 4000)
    hop = said["hop"]
    assert hop["state"] == "ready" and hop["interface"] == "eth0", said
    name = said["backend"].split("/")[1]
    link = lab.run(name, "cat", "/sys/class/net/eth0/address").stdout.strip()
    assert hop["mac"] == link
    lab.run("lb", "ip", "route", "add", "unreachable", f"{lab.backend_addr(name)}/32")
    await_condition(lambda: explain(running, SOURCES[1], 4000)["verdict"] in ("no_route", "no_backend")
                    or explain(running, SOURCES[1], 4000)["backend"] != said["backend"],
                    "explain knows that the way is gone")


@pytest.mark.parametrize("mode", MODES)
def test_what_is_of_no_frontend_is_left_to_the_kernel(request, lab, mode):
    running = start(request, lab, mode)
    said = explain(running, SOURCES[0], 4000, vip=f"{VIP}:81")
    assert said["frontend"] is None and said["backend"] is None and said["verdict"] == "passed"
    assert explain(running, SOURCES[0], 4000, protocol="udp")["frontend"] is None


@pytest.mark.parametrize("mode", MODES)
def test_schedulers_that_decide_late_name_the_candidates(request, lab, mode):
    running = start(request, lab, mode, frontends={"web": {"scheduler": "round-robin"}})
    said = explain(running, SOURCES[0], 4000)
    assert said["backend"] is None and said["hash"] is None and said["slot"] is None
    assert said["candidates"] == ["web/b1", "web/b2", "web/b3"]
    assert any("turns" in step for step in said["steps"]), said
    for name in ("b1", "b3"):
        api.post(running, f"/api/v1/servers/{name}/weight", {"weight": 0})
    await_condition(lambda: explain(running, SOURCES[0], 4000)["backend"] == "web/b2",
                    "the only one left is named")


# --- flows ------------------------------------------------------------------------------------------


def flows(running, **query):
    text = "&".join(f"{key}={value}" for key, value in query.items())
    return api.get(running, f"/api/v1/flows?{text}")


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("mode", MODES)
def test_flows_are_listed_by_client_server_and_frontend(request, lab, mode, workers):
    where = {} if mode == "proxy" else {"workers": workers}
    running = start(request, lab, mode, **where)
    socks = [http.connect(lab, source=(SOURCES[i % 4], 30000 + i)) for i in range(40)]
    names = [http.request(sock) for sock in socks]
    answer = flows(running, limit=100, frontend="web")
    assert answer["n_matched"] == 40 and answer["is_complete"]
    assert {(flow["client"], flow["backend"]) for flow in answer["flows"]} == {
        (f"{SOURCES[i % 4]}:{30000 + i}", f"web/{name}") for i, name in enumerate(names)}
    for flow in answer["flows"]:
        assert flow["frontend"] == "web" and flow["protocol"] == "tcp"
        assert flow["bytes"]["tx"] > 0 and (mode == "dsr" or flow["bytes"]["rx"] > 0), flow
        assert 0 <= flow["idle"] < 60 and flow["expires_in"] > 0
        assert ("nat" in flow) == (mode == "passthrough")
    assert flows(running, client=SOURCES[1])["n_matched"] == 10
    assert flows(running, client=f"{SOURCES[1]}:30001")["n_matched"] == 1
    assert flows(running, client=f"{SOURCES[2]}:30001")["n_matched"] == 0
    assert flows(running, server="web/b1")["n_matched"] == names.count("b1")
    some = flows(running, limit=7)
    assert len(some["flows"]) == 7 and some["n_matched"] == 40 and not some["is_complete"]
    for sock in socks:
        sock.close()
    if mode == "proxy":
        await_condition(lambda: flows(running)["n_matched"] == 0, "ended sessions are not listed")


def test_many_questions_at_once_are_all_answered(request, lab):
    running = start(request, lab, "passthrough", workers=2)
    traffic = http.Traffic(lab)
    failures = []

    def ask(number):
        for i in range(20):
            status, _kind, body = api.ask(
                running, "GET", ("/api/v1/flows?limit=10000", f"/api/v1/explain?client={SOURCES[0]}:"
                                 f"{1000 + number * 20 + i}&vip={VIP}:80")[i % 2])
            if status != 200:
                failures.append(body)

    threads = [threading.Thread(target=ask, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    traffic.stop()
    assert not failures


# --- samples ----------------------------------------------------------------------------------------


def read_pcap(data):
    """Captured packets: time, length on the wire, bytes."""
    magic, _major, _minor, _zone, _figures, snaplen, link = struct.unpack_from("<IHHiIII", data)
    assert magic == 0xA1B2C3D4 and link == 1 and snaplen == 256
    packets = []
    at = 24
    while at < len(data):
        seconds, micros, kept, size = struct.unpack_from("<IIII", data, at)
        packets.append((seconds + micros / 1e6, size, data[at + 16:at + 16 + kept]))
        at += 16 + kept
    return packets


def sample(running, reason, provoke, **query):
    """A sample that is taken while `provoke` runs again and again."""
    result = []
    text = "&".join(f"{key}={value}" for key, value in query.items())
    asking = threading.Thread(target=lambda: result.append(
        api.ask(running, "GET", f"/api/v1/drops/{reason}/sample?{text}")))
    asking.start()
    while asking.is_alive():
        provoke()
        asking.join(0.05)
    status, kind, body = result[0]
    assert status == 200, body
    assert kind == "application/vnd.tcpdump.pcap"
    return read_pcap(body)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_sample_has_the_packet_that_was_dropped_and_not_its_answer(request, lab, workers):
    running = start(request, lab, "passthrough", workers=workers)

    def provoke():
        """The end of a connection that nobody knows, by raw socket."""
        with lab.inside("client"):
            raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_TCP)
        with raw:
            segment = struct.pack("!HHIIBBHHH", 7777, 80, 1, 1, 5 << 4, 0x10, 1000, 0, 0)
            data = socket.inet_aton(lab.client_addr()) + socket.inet_aton(VIP) + b"\0\x06\0\x14" + segment
            total = sum(struct.unpack(f"!{len(data) // 2}H", data))
            total = (total & 0xFFFF) + (total >> 16)
            segment = segment[:16] + struct.pack("!H", ~(total + (total >> 16)) & 0xFFFF) + segment[18:]
            raw.sendto(segment, (VIP, 0))

    packets = sample(running, "no_flow", provoke, count=3, seconds=30)
    assert len(packets) == 3
    for _time, size, data in packets:
        assert size >= 54 and data[26:30] == socket.inet_aton(lab.client_addr()), data.hex()
        assert data[30:34] == socket.inet_aton(VIP)
        assert struct.unpack_from("!HH", data, 34) == (7777, 80)
        assert data[47] == 0x10


def test_a_sample_ends_in_time_with_what_there_is(request, lab):
    running = start(request, lab, "passthrough")
    assert sample(running, "malformed", lambda: None, seconds=1) == []


def begin_sample(running, outcome, **query):
    """A sample that goes on; when this returns it is under way."""
    text = "&".join(f"{key}={value}" for key, value in query.items())

    def ask():
        try:
            outcome.append(api.ask(running, "GET", f"/api/v1/drops/malformed/sample?{text}")[0])
        except OSError as error:
            outcome.append(error)

    asking = threading.Thread(target=ask)
    asking.start()
    await_condition(lambda: running.log_lines("sample of malformed"), "the sample is under way")
    return asking


def test_one_sample_at_a_time(request, lab):
    running = start(request, lab, "passthrough")
    outcome = []
    asking = begin_sample(running, outcome, seconds=3)
    status, _kind, body = api.ask(running, "GET", "/api/v1/drops/no_flow/sample?seconds=1")
    assert status == 409 and "under way" in body["error"]["message"]
    asking.join()
    assert outcome == [200]
    assert sample(running, "no_flow", lambda: None, seconds=1) == []


def test_a_sample_that_nobody_waits_for_any_more_makes_room(request, lab):
    running = start(request, lab, "passthrough")
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(str(running.socket_path()))
        sock.sendall(b"GET /api/v1/drops/malformed/sample?seconds=60 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await_condition(lambda: running.log_lines("sample of malformed"), "the sample is under way")
    await_condition(lambda: api.ask(running, "GET", "/api/v1/drops/no_flow/sample?seconds=1")[0] == 200,
                    "another sample is taken", 20)


def test_culvert_stops_while_a_sample_is_under_way(request, lab):
    running = start(request, lab, "passthrough", workers=2)
    outcome = []
    asking = begin_sample(running, outcome, seconds=60)
    running.stop()
    asking.join(20)
    assert not asking.is_alive() and outcome
