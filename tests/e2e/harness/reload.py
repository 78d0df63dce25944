# SPDX-License-Identifier: Apache-2.0
"""Reloads of a culvert or proxy that runs, alone and under load."""

import copy
import os
import re
import signal
import subprocess
import threading
import time

from . import http
from .lab import VIP
from .wait import await_condition

ADDRS_EACH = 5
FILE_BYTES = 1 << 20


def outcomes(culvert):
    """Of the reloads so far: "ok", "unchanged", "refused"."""
    return re.findall(r"reload: (ok|unchanged|refused|failed)", culvert.log())


def reload(culvert, changed, outcome="ok", timeout=20):
    """Write the file (a dictionary, or its text) under its name, and say so by signal."""
    before = len(outcomes(culvert))
    path = culvert.directory / "culvert.toml"
    if changed is not None:
        data = changed if isinstance(changed, (str, bytes)) else culvert.config_text(changed)
        draft = path.with_suffix(".draft")
        draft.write_bytes(data if isinstance(data, bytes) else data.encode())
        draft.rename(path)
    culvert.process.send_signal(signal.SIGHUP)
    await_condition(lambda: len(outcomes(culvert)) > before, "the reload", timeout)
    assert outcomes(culvert)[-1] == outcome, culvert.log()[-3000:]


# ---- configurations -----------------------------------------------------------------------------


def without(full, *names, pool="web"):
    changed = copy.deepcopy(full)
    for name in names:
        del changed["backends"][pool]["servers"][name]
    return changed


def broken_files(text):
    """A hundred, each wrong in its way."""
    lines = text.splitlines()
    strings = [match.end() for match in re.finditer(' = "', text)]
    for number in range(25):  # cut in the middle of a string
        yield text[:strings[number % len(strings)] + number // len(strings) % 2]
    for number in range(25):
        yield os.urandom(64 + number)
    for number in range(25):
        wrong = list(lines)
        at = [i for i, line in enumerate(lines) if " = " in line][number % 12]
        wrong[at] = wrong[at].split(" = ")[0] + " = [[1]]"
        yield "\n".join(wrong)
    for number in range(24):
        yield text + f"\n[section{number}]\nkey = 1\n"
    yield ""


# ---- under load ---------------------------------------------------------------------------------


def many_servers(lab):
    """ADDRS_EACH servers of each backend host, which has as many addresses."""
    servers = {}
    for number, host in enumerate(lab.backend_names()):
        for k in range(ADDRS_EACH):
            addr = f"10.0.0.{150 + number * ADDRS_EACH + k}"
            lab.run(host, "ip", "addr", "add", f"{addr}/24", "dev", "eth0")
            servers[f"s{len(servers)}"] = {"addr": f"{addr}:80"}
    return servers


def await_servers(culvert, count):
    def n_up():
        return sum(culvert.stats()["backends"]["web"]["servers"].values())
    await_condition(lambda: n_up() == count, f"{count} servers are up", 30)


class _Wrk:
    def __init__(self, lab):
        self.process = lab.spawn("client", "wrk", "-t2", "-c200", "-d1000s", "--timeout", "20s",
                                 f"http://{VIP}/", stdout=subprocess.PIPE, text=True)

    def stop(self):
        self.process.send_signal(signal.SIGINT)
        report = self.process.communicate(timeout=60)[0]
        assert "Socket errors" not in report and "Non-2xx" not in report, report


class _Downloads:
    """As many at a time, one after another."""

    def __init__(self, lab, count, rate):
        self.fetched, self.errors = [], []
        self._is_over = threading.Event()
        self._threads = [threading.Thread(target=self._fetch, args=(lab, rate), daemon=True)
                         for _ in range(count)]
        for thread in self._threads:
            thread.start()

    def _fetch(self, lab, rate):
        while not self._is_over.is_set():
            try:
                self.fetched.append(http.download(lab, "/files/file", rate=rate)[0])
            except (OSError, AssertionError) as error:
                self.errors.append((error, time.monotonic()))

    def stop(self):
        self._is_over.set()
        for thread in self._threads:
            thread.join(timeout=120)


def file_to_load(directory):
    """For a lab that serves the directory: what under_load() downloads."""
    (directory / "file").write_bytes(os.urandom(FILE_BYTES))
    directory.chmod(0o755)
    return directory


def under_load(lab, culvert, full, *, rounds, downloads, seconds):
    """Start with `full`, whose servers go and come back in turn while wrk and `downloads` of so many
    seconds use them: nobody may notice."""
    names = list(full["backends"]["web"]["servers"])
    culvert.start(full)
    await_servers(culvert, len(names))
    requests, fetching = _Wrk(lab), _Downloads(lab, downloads, FILE_BYTES / seconds)
    out = []
    for number in range(rounds):
        if number % 8 < 4:
            out.append(names[number * 7 % len(names)])
        else:
            out.pop(0)
        reload(culvert, without(full, *out), timeout=60)
        time.sleep(0.05)
    requests.stop()
    fetching.stop()
    stats = culvert.stats()
    assert not fetching.errors, (fetching.errors, stats.get("drops"), stats.get("packets"))
    assert len(fetching.fetched) >= downloads
    assert outcomes(culvert) == ["ok"] * rounds
