# SPDX-License-Identifier: Apache-2.0
"""The API is what docs/openapi.yaml and docs/api.md say, in every mode."""

import re
import shlex

import jsonschema
import pytest

from harness import api, config, http
from harness.lab import ROOT
from harness.wait import await_condition

MODES = ("passthrough", "dsr", "proxy")


@pytest.fixture(params=MODES)
def running(request, lab, culvert, proxy):
    """culvert in each mode, its backends up."""
    settings = getattr(config, request.param)(lab)
    running = proxy if request.param == "proxy" else culvert
    running.start(settings)
    running.await_all_up()
    return running


# --- the document -----------------------------------------------------------------------------------

PRIVATE = ("/api/v1/flows", "/api/v1/drops/{reason}/sample")  # who clients are, and what they send
PATH_VALUES = {"name": "b1", "pool": "web", "reason": "no_flow"}


def target_of(path, operation, document):
    """The path with its arguments filled in: those of the path, and those that have an example."""
    query = []
    for parameter in operation.get("parameters", []):
        if parameter["in"] == "query" and "example" in parameter:
            query.append(f"{parameter['name']}={parameter['example']}")
    return path.format(**PATH_VALUES) + ("?" + "&".join(query) if query else "")


def check_answer(document, operation, target, answer):
    status, kind, body = answer
    response = operation["responses"].get(str(status))
    assert response, f"{target}: {status} is not documented: {body}"
    if "$ref" in response:
        response = api.resolve(document, response["$ref"])
    assert kind in response["content"], f"{target}: {kind} is not documented"
    if kind == "application/json":
        schema = api.json_schema(document, response["content"][kind]["schema"])
        jsonschema.validate(body, schema, cls=jsonschema.Draft7Validator)


def test_everything_documented_answers_as_documented(running):
    document = api.load_document()
    for path, method, operation in api.operations(document):
        target = target_of(path, operation, document)
        content = operation.get("requestBody", {}).get("content", {})
        body = content.get("application/json", {}).get("example")
        check_answer(document, operation, target, api.ask(running, method, target, body))
        answer = api.ask_tcp(running, method, target, body)
        check_answer(document, operation, target, answer)
        if method == "POST" or path in PRIVATE:
            assert answer[0] == 403 and running.socket_path() in answer[2]["error"]["hint"], answer
        else:
            assert answer[0] != 403, answer


def test_everything_served_is_documented():
    documented = {(method, re.sub(r"\{[^}]*\}", "{}", path))
                  for path, method, _operation in api.operations(api.load_document())}
    served = {(method, path) for method, path in api.served()
              if path.startswith("/api/") or path in ("/metrics", "/healthz", "/readyz", "/stats")}
    assert len(served) > 10
    assert served == documented


def test_the_examples_for_people_work(running):
    commands = re.findall(r"^curl .*--unix-socket.*$", (ROOT / "docs" / "api.md").read_text(), re.MULTILINE)
    assert len(commands) >= 9
    for command in commands:
        words = shlex.split(command.replace("/run/culvert/culvert.sock", running.socket_path()))
        result = running.lab.run("lb", *words, "--fail-with-body")
        assert result.stdout.lstrip().startswith("{"), command


# --- what it says -----------------------------------------------------------------------------------


def test_status_and_lists_follow_what_happens(running):
    status = api.get(running, "/api/v1/status")
    assert status["mode"] == running.mode and status["state"] == "ready"
    assert status["backends"]["total"] == status["backends"]["up"] == 3
    lab = running.lab
    assert running.lab.run("lb", "cat", f"/proc/{status['pid']}/comm").stdout.strip() == "culvert"
    backends = api.get(running, "/api/v1/backends")["backends"]
    assert [backend["name"] for backend in backends] == ["web/b1", "web/b2", "web/b3"]
    assert sum(backend["share"] for backend in backends) == pytest.approx(1)
    if running.mode != "proxy":
        assert {backend["hop"]["state"] for backend in backends} == {"ready"}
        assert all(backend["hop"]["mac"] and backend["hop"]["interface"] for backend in backends)
    assert api.ask(running, "GET", "/readyz")[0] == 200
    lab.stop("b1")
    await_condition(lambda: api.backend(running, "web/b1")["health"] == "down", "b1 is down", 20)
    assert "refused" in api.backend(running, "web/b1")["health_reason"]
    assert api.backend(running, "web/b1")["share"] == 0
    assert api.get(running, "/api/v1/status")["backends"]["down"] == 1
    for name in ("b2", "b3"):
        lab.stop(name)
    await_condition(lambda: api.ask(running, "GET", "/readyz")[0] == 503, "nobody is ready", 20)
    assert b"frontend web" in api.ask(running, "GET", "/readyz")[2]


@pytest.mark.parametrize("mode", ("passthrough", "proxy"))
def test_a_drained_server_gets_nothing_new_until_it_is_ready_again(lab, culvert, proxy, mode):
    running = (proxy if mode == "proxy" else culvert).start(getattr(config, mode)(lab))
    running.await_all_up()
    for state in ("drain", "maint"):
        answer = api.post(running, "/api/v1/servers/web/b1/state", {"state": state})
        assert answer["state"] == state
        await_condition(lambda: set(http.short_connections(lab, 30)) == {"b2", "b3"},
                        f"b1 gets nothing in {state}", 20)
        assert api.get(running, "/api/v1/status")["backends"][state] == 1
    api.post(running, "/api/v1/servers/b1/state", {"state": "ready"})
    await_condition(lambda: "b1" in http.short_connections(lab, 30), "b1 is used again", 20)


@pytest.mark.parametrize("mode", ("passthrough", "proxy"))
def test_a_weight_of_0_takes_a_server_out_and_null_brings_it_back(lab, culvert, proxy, mode):
    running = (proxy if mode == "proxy" else culvert).start(getattr(config, mode)(lab))
    running.await_all_up()
    answer = api.post(running, "/api/v1/servers/b2/weight", {"weight": 0})
    assert answer["weight"] == {"configured": 1, "set": 0, "effective": 0}
    await_condition(lambda: set(http.short_connections(lab, 30)) == {"b1", "b3"}, "b2 gets nothing", 20)
    answer = api.post(running, "/api/v1/servers/b2/weight", {"weight": None})
    assert answer["weight"] == {"configured": 1, "set": None, "effective": 1}
    await_condition(lambda: "b2" in http.short_connections(lab, 30), "b2 is used again", 20)


# --- who may ask ------------------------------------------------------------------------------------


def test_other_hosts_need_the_token(lab, culvert, tmp_path):
    token = "0123456789-abcdef-secret"
    path = tmp_path / "token"
    path.write_text(token + "\n")
    address = (lab.backend_facing_addr(), 9000)
    culvert.start(config.passthrough(lab, stats={"listen_addr": address[0], "token_file": str(path)}))
    assert api.ask_tcp(culvert, "GET", "/stats", address=address)[0] == 401
    headers = {"Authorization": f"Bearer {token}"}
    assert api.ask_tcp(culvert, "GET", "/stats", headers=headers, address=address)[0] == 200
    assert token not in str(api.get(culvert, "/api/v1/config")) + culvert.log()
    culvert.stop()


def test_the_log_says_where_the_page_is_as_a_browser_takes_it(lab, proxy):
    proxy.start(config.proxy(lab, stats={"listen_addr": "::1"}))
    assert f"http://[::1]:{config.STATS_PORT}/," in proxy.log()
    proxy.stop()


def test_a_second_culvert_leaves_the_socket_to_the_first(make_lab, make_culvert):
    first_lab, second_lab = make_lab(), make_lab()
    first = make_culvert(first_lab).start(config.passthrough(first_lab))
    second = make_culvert(second_lab)
    second.start(config.passthrough(second_lab, api={"socket": first.socket_path()}))
    assert "another process answers" in second.log()
    pid = api.get(first, "/api/v1/status")["pid"]
    second.stop()
    assert api.get(first, "/api/v1/status")["pid"] == pid
    first.kill()
    first.start(config.passthrough(first_lab))  # over what kill -9 has left
    assert "another process" not in first.log()
    assert api.get(first, "/api/v1/status")["pid"] != pid
