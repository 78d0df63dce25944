# SPDX-License-Identifier: Apache-2.0
"""culvert's API over its Unix socket, and the document that describes it."""

import http.client
import json
import re
import socket

import yaml

from .lab import ROOT


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=20)
        self.path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


def ask(culvert, method, target, body=None, headers=None):
    """Over the Unix socket: status, type, and the body, parsed if it is JSON."""
    return exchange(_UnixConnection(culvert.socket_path()), method, target, body, headers)


def ask_tcp(culvert, method, target, body=None, headers=None, address=("127.0.0.1", 9000)):
    connection = http.client.HTTPConnection(*address, timeout=20)
    with culvert.lab.inside("lb"):
        connection.sock = socket.create_connection(address, timeout=20)
    return exchange(connection, method, target, body, headers)


def exchange(connection, method, target, body, headers):
    try:
        data = None if body is None else json.dumps(body)
        connection.request(method, target, data, headers or {})
        response = connection.getresponse()
        kind = response.headers.get("Content-Type", "").split(";")[0]
        content = response.readline() if kind == "text/event-stream" else response.read()
        return response.status, kind, json.loads(content) if kind == "application/json" else content
    finally:
        connection.close()


def get(culvert, target):
    status, _kind, body = ask(culvert, "GET", target)
    assert status == 200, f"{target}: {status} {body}"
    return body


def history(culvert):
    """The samples of the last five minutes, with which the stream for the live page begins."""
    connection = _UnixConnection(culvert.socket_path())
    try:
        connection.request("GET", "/api/v1/stream")
        response = connection.getresponse()
        assert response.readline() == b"event: history\n"
        return json.loads(response.readline().removeprefix(b"data: "))
    finally:
        connection.close()


def post(culvert, target, body):
    status, _kind, answer = ask(culvert, "POST", target, body)
    assert status == 200, f"{target}: {status} {answer}"
    return answer


def backend(culvert, name):
    return next(backend for backend in get(culvert, "/api/v1/backends")["backends"] if backend["name"] == name)


# --- the document -----------------------------------------------------------------------------------


def load_document():
    return yaml.safe_load((ROOT / "docs" / "openapi.yaml").read_text())


def operations(document):
    """Path, method and description of each operation."""
    for path, item in document["paths"].items():
        for method, operation in item.items():
            yield path, method.upper(), operation


def served():
    """Method and path of each route in the sources, {} for what a route captures."""
    route = re.compile(r'\{\s*EVHTTP_REQ_(GET|POST),\s*"(/[^"]*)"')
    return {(method, path.replace("*", "{}"))
            for source in (ROOT / "src" / "control").glob("*.c")
            for method, path in route.findall(source.read_text())}


def json_schema(document, schema):
    """A schema of OpenAPI 3.0 as one of JSON Schema: references resolved, `nullable` said by type."""
    if isinstance(schema, list):
        return [json_schema(document, item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return json_schema(document, resolve(document, schema["$ref"]))
    converted = {key: json_schema(document, value) for key, value in schema.items() if key != "nullable"}
    return {"anyOf": [converted, {"type": "null"}]} if schema.get("nullable") is True else converted


def resolve(document, reference):
    for key in reference.removeprefix("#/").split("/"):
        document = document[key]
    return document
