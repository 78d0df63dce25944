# SPDX-License-Identifier: Apache-2.0
"""Servers beside those of the lab, each from construction until kill()."""

import subprocess

from .wait import await_condition

NGINX = """
daemon off;
master_process off;
user root;
pid {directory}/nginx.pid;
error_log {directory}/error.log;
events {{ worker_connections 4096; }}
http {{
    log_format whose '$proxy_protocol_addr $proxy_protocol_port';
    access_log {directory}/access.log whose;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    keepalive_timeout 600;
    server {{
        listen {listen};
        location / {{ return 200 "{answer}\\n"; }}
        location /whose {{ return 200 "$proxy_protocol_addr $proxy_protocol_port\\n"; }}
    }}
}}
"""

HAPROXY = """
defaults
    mode tcp
    timeout connect 5s
    timeout client 60s
    timeout server 60s
{sections}
"""


class Server:
    """A process on one of the lab's hosts; ready when `is_ready` says so."""

    def __init__(self, lab, host, command, is_ready):
        self.log = open(self.directory / "log", "w+")
        self.process = lab.spawn(host, *command, stdout=self.log, stderr=subprocess.STDOUT)
        try:
            await_condition(lambda: is_ready() or self.process.poll() is not None,
                            f"{command[0]} listens")
            assert self.process.poll() is None, (self.directory / "log").read_text()
        except BaseException:
            self.kill()
            raise

    def kill(self):
        self.process.kill()
        self.process.wait(timeout=20)
        self.log.close()


def _listens(lab, host, port):
    return f":{port} " in lab.run(host, "ss", "-Hltn").stdout


class Nginx(Server):
    """nginx whose answer to / is `answer`. `listen` is its directive's value, with `port`, or
    "unix:PATH" without one."""

    def __init__(self, lab, directory, host, listen, answer, port=None):
        self.directory = directory
        config = directory / "nginx.conf"
        config.write_text(NGINX.format(directory=directory, listen=listen, answer=answer))
        path = listen.removeprefix("unix:").split()[0]

        def is_ready():
            if port:
                return _listens(lab, host, port)
            return path in lab.run(host, "ss", "-Hlx").stdout

        super().__init__(lab, host, ["nginx", "-p", directory, "-e", directory / "error.log",
                                     "-c", config], is_ready)


class HAProxy(Server):
    """`sections` are added to defaults for TCP; ready when it listens on `port`."""

    def __init__(self, lab, directory, host, sections, port):
        self.directory = directory
        config = directory / "haproxy.cfg"
        config.write_text(HAPROXY.format(sections=sections))
        super().__init__(lab, host, ["haproxy", "-db", "-f", config],
                         lambda: _listens(lab, host, port))
