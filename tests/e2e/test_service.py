# SPDX-License-Identifier: Apache-2.0
"""As a service: what the manager hears, who it runs as and with what, what is installed, its log."""

import contextlib
import json
import os
import pathlib
import pwd
import re
import shutil
import signal
import socket
import subprocess
import tempfile

import pytest

from harness import config, dsr_lab, http
from harness.culvert import BINARY, Culvert
from harness.lab import ROOT
from harness.proxy import Proxy
from harness.wait import await_condition

MODES = ("passthrough", "dsr", "proxy")
SETTINGS = {"passthrough": config.passthrough, "dsr": config.dsr, "proxy": config.proxy}
USER = "nobody"
UNIT = ROOT / "systemd/culvert.service"

# Bits of linux/capability.h.
CAPABILITIES = {"net_bind_service": 1 << 10, "net_admin": 1 << 12, "net_raw": 1 << 13, "ipc_lock": 1 << 14,
                "bpf": 1 << 39}


def kept(mode):
    """The capabilities that are needed while it runs."""
    if mode == "proxy":
        return ["net_bind_service"]
    return [name for name in CAPABILITIES if os.environ.get("IO") == "xdp" or name not in ("ipc_lock", "bpf")]


def kept_bits(mode):
    return sum(CAPABILITIES[name] for name in kept(mode))


@pytest.fixture
def make(make_culvert):
    """Call it with a lab and a mode: culvert for it, and its settings. USER may not make a socket
    in the directory of a test."""
    def made(lab, mode, **overrides):
        culvert = make_culvert(lab, kind=Proxy if mode == "proxy" else Culvert)
        return culvert, SETTINGS[mode](lab, **{"api": {"socket": "off"}, **overrides})
    return made


# --- the manager -----------------------------------------------------------------------------------


class Manager:
    """Listens as systemd does."""

    def __init__(self, path):
        self.path = path
        self.heard = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._socket.setblocking(False)

    def close(self):
        self._socket.close()

    def environment(self, **more):
        pairs = {"NOTIFY_SOCKET": self.path, **more}
        return ["env", *(f"{key}={value}" for key, value in pairs.items())]

    def has_heard(self, word):
        with contextlib.suppress(BlockingIOError):
            while True:
                self.heard.append(self._socket.recv(4096).decode())
        return [message for message in self.heard if word in message.split("\n")]

    def await_word(self, word, count=1):
        await_condition(lambda: len(self.has_heard(word)) >= count, f"{word}: {self.heard}", 30)


@pytest.fixture
def manager(tmp_path):
    with contextlib.closing(Manager(tmp_path / "notify")) as listening:
        yield listening


@pytest.mark.smoke
@pytest.mark.parametrize("mode", MODES)
def test_the_manager_is_told_of_start_life_and_end(lab, make, manager, mode):
    culvert, settings = make(lab, mode)
    culvert.start(settings, wrapper=manager.environment(WATCHDOG_USEC=200000))
    manager.await_word("READY=1")
    manager.await_word("WATCHDOG=1", count=3)
    assert not manager.has_heard("STOPPING=1")
    culvert.stop()
    manager.await_word("STOPPING=1")
    order = [message.split("\n")[0] for message in manager.heard]
    assert order.index("READY=1") < order.index("STOPPING=1")


def test_signs_of_life_are_given_while_sessions_drain(lab, make, manager):
    culvert, settings = make(lab, "proxy")
    culvert.start(settings, wrapper=manager.environment(WATCHDOG_USEC=200000))
    with http.connect(lab) as sock:
        http.request(sock)
        culvert.process.send_signal(signal.SIGTERM)
        manager.await_word("STOPPING=1")
        manager.await_word("STATUS=no new connections; waiting for 1 session")
        manager.await_word("WATCHDOG=1", count=len(manager.has_heard("WATCHDOG=1")) + 3)
        assert http.request(sock) in lab.backend_names()
    assert culvert.await_exit() == 0


def test_one_that_cannot_start_never_says_ready(lab, make, manager):
    culvert, settings = make(lab, "proxy", frontends={"web": {"listen_addr": "192.0.2.77:80"}})
    status, _ = culvert.refusal(settings, wrapper=manager.environment())
    assert status == 1
    assert not manager.has_heard("READY=1")


# --- who it runs as --------------------------------------------------------------------------------


def threads_of(process):
    """Of each thread the fields of its status."""
    tasks = pathlib.Path(f"/proc/{process.pid}/task")
    return [dict(line.split(":\t", 1) for line in (task / "status").read_text().splitlines()
                 if ":\t" in line) for task in tasks.iterdir()]


def assert_dropped(process, capabilities):
    user = pwd.getpwnam(USER)
    threads = threads_of(process)
    for thread in threads:
        assert set(thread["Uid"].split()) == {str(user.pw_uid)}, thread
        assert set(thread["Gid"].split()) == {str(user.pw_gid)}, thread
        assert set(thread["Groups"].split()) <= {str(user.pw_gid)}, thread
        assert thread["NoNewPrivs"] == "1", thread
        for name, expected in (("CapEff", capabilities), ("CapPrm", capabilities), ("CapInh", 0),
                               ("CapAmb", 0), ("CapBnd", 0)):
            assert int(thread[name], 16) == expected, (name, thread)
    return threads


@pytest.mark.parametrize("mode", MODES)
def test_every_thread_has_what_the_mode_needs_and_the_end_is_as_clean(lab, make, mode):
    culvert, settings = make(lab, mode)
    if mode != "proxy":
        settings["passthrough"]["workers"] = 2
    culvert.start(settings, f"--user={USER}")
    assert f"running as user {USER}" in culvert.log()
    threads = assert_dropped(culvert.process, kept_bits(mode))
    assert len(threads) > 1
    culvert.await_all_up()
    if mode != "dsr":  # whose backends have no rules here
        assert set(http.short_connections(lab, 60)) == set(lab.backend_names())
    lab.stop("b1")
    culvert.await_backend("b1", is_up=False)
    lab.start("b1")
    culvert.await_backend("b1")
    assert_dropped(culvert.process, kept_bits(mode))
    if mode == "passthrough":
        assert lab.reserved_ports() != ""
    culvert.ledger()
    culvert.stop()
    assert lab.reserved_ports() == ""
    assert lab.nft_tables() == (["table netdev culvert_restart"] if mode == "dsr" else [])
    assert "stay reserved" not in culvert.log() and "may cost" not in culvert.log()


def test_rules_change_after_privileges_are_gone(make_lab, make):
    """A route that comes later brings a source address that the rules must learn."""
    lab = make_lab("two-arm")
    culvert, settings = make(lab, "passthrough")
    lab.run("lb", "ip", "route", "add", "unreachable", "10.1.0.101/32")
    culvert.start(settings, f"--user={USER}")
    lab.run("lb", "ip", "address", "add", "10.1.0.77/24", "dev", "eth1")
    lab.run("lb", "ip", "route", "del", "unreachable", "10.1.0.101/32")
    lab.run("lb", "ip", "route", "add", "10.1.0.101/32", "dev", "eth1", "src", "10.1.0.77")
    culvert.await_all_up()
    await_condition(lambda: "10.1.0.77" in lab.run("lb", "nft", "list", "ruleset").stdout,
                    "the rules know the new source address")
    assert set(http.short_connections(lab, 60)) == set(lab.backend_names())


def test_what_dsr_mode_has_left_is_removed_before_privileges_are_gone(lab, make):
    culvert, settings = make(lab, "dsr")
    culvert.start(settings)
    culvert.kill()
    assert lab.nft_tables() == ["table netdev culvert_restart"]
    culvert, settings = make(lab, "proxy")
    culvert.start(settings, f"--user={USER}")
    assert lab.nft_tables() == []
    assert set(http.short_connections(lab, 60)) == set(lab.backend_names())


def test_the_socket_is_the_users_and_goes_with_it(lab, make):
    with tempfile.TemporaryDirectory() as directory:
        os.chmod(directory, 0o755)
        path = pathlib.Path(directory) / "run" / "api.sock"
        culvert, settings = make(lab, "proxy", api={"socket": str(path)})
        culvert.start(settings, f"--user={USER}")
        assert path.is_socket()
        assert path.stat().st_uid == path.parent.stat().st_uid == pwd.getpwnam(USER).pw_uid
        culvert.stop()
        assert not path.exists()


def test_the_file_can_name_the_user_and_the_option_wins(lab, make):
    culvert, settings = make(lab, "proxy", service={"user": "no-such-user"})
    status, log = culvert.refusal(settings)
    assert status == 1
    assert "there is no user no-such-user (useradd" in log
    culvert.start(settings, f"--user={USER}")
    assert_dropped(culvert.process, kept_bits("proxy"))


def test_only_root_can_become_somebody_else(lab, unprivileged, make):
    culvert, settings = make(lab, "proxy")
    status, log = culvert.refusal(
        settings, "--user=daemon", wrapper=unprivileged(culvert))
    assert status == 1
    assert "only root can become user daemon" in log


@pytest.fixture
def unprivileged():
    """Call it with a culvert: the start of a command line that goes on as USER with nothing; it can
    read the file. Not below pytest's own directory, which is root's alone."""
    with tempfile.TemporaryDirectory() as directory:
        def make_it(culvert):
            os.chmod(directory, 0o755)
            culvert.directory = pathlib.Path(directory)
            return ["setpriv", "--reuid", USER, "--regid", "nogroup", "--clear-groups"]
        yield make_it


def ambient(names):
    """Options of setpriv: capabilities that whoever is started has, as the unit gives them."""
    wanted = ",".join(["-all", *(f"+{name}" for name in names)])
    return [f"--inh-caps={wanted}", f"--ambient-caps={wanted}"]


def test_started_as_the_user_it_gives_up_the_rest(lab, unprivileged, make):
    """As the unit starts it: with ambient capabilities."""
    culvert, settings = make(lab, "proxy")
    culvert.start(settings, f"--user={USER}", wrapper=[*unprivileged(culvert), *ambient(CAPABILITIES)])
    for thread in threads_of(culvert.process):
        assert int(thread["CapEff"], 16) == kept_bits("proxy"), thread
        assert int(thread["CapAmb"], 16) == 0, thread
    assert set(http.short_connections(lab, 60)) == set(lab.backend_names())


@pytest.mark.parametrize("lacking", [None, "bpf"])
def test_the_fast_path_needs_a_capability_at_the_start_only(lab, unprivileged, make, lacking):
    culvert, settings = make(lab, "passthrough", passthrough={"io": "afpacket", "fast_path": "always"})
    given = [name for name in CAPABILITIES if name != lacking]
    culvert.start(settings, f"--user={USER}", wrapper=[*unprivileged(culvert), *ambient(given)])
    culvert.await_all_up()
    without = culvert.log_lines("no fast path in the kernel")
    assert bool(without) == (lacking is not None), culvert.log()
    assert all("needs CAP_BPF" in line for line in without)
    for thread in threads_of(culvert.process):
        assert not int(thread["CapPrm"], 16) & CAPABILITIES["bpf"], thread
    with http.connect(lab) as sock:
        for _ in range(10):
            assert http.request(sock) in lab.backend_names()
        assert culvert.stats()["fast_path"]["flows"] == (lacking is None)
    culvert.ledger()


# --- what is installed -----------------------------------------------------------------------------


def make_target(target, directory, **variables):
    pairs = [f"{key}={value}" for key, value in variables.items()]
    subprocess.run(["make", "-s", "-C", ROOT, target, f"DESTDIR={directory}", *pairs], check=True,
                   stdout=subprocess.DEVNULL, timeout=170)


def files_below(directory):
    return {str(path.relative_to(directory)) for path in directory.rglob("*") if not path.is_dir()}


@pytest.mark.parametrize("variables", [{}, {"PREFIX": "/opt/culvert", "SYSCONFDIR": "/opt/etc"}],
                         ids=["default", "elsewhere"])
def test_uninstall_leaves_nothing_of_install(tmp_path, variables):
    prefix = variables.get("PREFIX", "/usr/local")[1:]
    etc = variables.get("SYSCONFDIR", "/etc")[1:]
    make_target("install", tmp_path, **variables)
    installed = files_below(tmp_path)
    for expected in (f"{prefix}/sbin/culvert", f"{prefix}/lib/systemd/system/culvert.service",
                     f"{prefix}/lib/sysusers.d/culvert.conf", f"{etc}/culvert/culvert.toml",
                     f"{etc}/logrotate.d/culvert", f"{prefix}/share/man/man8/culvert.8"):
        assert expected in installed, installed
    unit = (tmp_path / prefix / "lib/systemd/system/culvert.service").read_text()
    assert f"ExecStart=/{prefix}/sbin/culvert --config=/{etc}/culvert/culvert.toml" in unit
    checked = subprocess.run([tmp_path / prefix / "sbin/culvert", "--check", "--config",
                              tmp_path / etc / "culvert/culvert.toml"], check=False, timeout=30)
    assert checked.returncode == 0
    make_target("uninstall", tmp_path, **variables)
    assert list(tmp_path.iterdir()) == [], "nor directories"


def test_a_configuration_that_is_there_is_kept(tmp_path):
    own = tmp_path / "etc/culvert/culvert.toml"
    own.parent.mkdir(parents=True)
    own.write_text("# mine\n")
    make_target("install", tmp_path)
    assert own.read_text() == "# mine\n"
    make_target("uninstall", tmp_path)
    assert files_below(tmp_path) == {"etc/culvert/culvert.toml"}


def test_what_the_installed_readme_points_to_is_installed(tmp_path):
    make_target("install", tmp_path)
    folder = tmp_path / "usr/local/share/doc/culvert"
    text = (folder / "README.md").read_text()
    targets = re.findall(r"\]\(([^)#]+)\)|src=\"([^\"]+)\"", text)
    named = [link or source for link, source in targets if "://" not in link + source]
    assert "CHANGELOG.md" in named and "docs/decisions/" in named
    assert [name for name in named if not (folder / name).exists()] == []
    assert any((folder / "docs/decisions").iterdir())


def needs(program):
    return pytest.mark.skipif(not shutil.which(program), reason=f"{program} is not installed")


@needs("systemd-analyze")
def test_systemd_understands_the_unit(tmp_path, capsys):
    unit = tmp_path / "culvert.service"
    unit.write_text(UNIT.read_text().replace("/usr/local/sbin/culvert", BINARY))
    result = subprocess.run(["systemd-analyze", "verify", "--man=no", unit], check=False, text=True,
                            capture_output=True, timeout=60)
    about = [line for line in result.stderr.splitlines() if "culvert" in line]
    assert about == []
    result = subprocess.run(["systemd-analyze", "security", "--offline=yes", unit], check=True,
                            text=True, capture_output=True, timeout=60)
    score = re.search(r"exposure level for culvert.service: ([\d.]+)", result.stdout)
    with capsys.disabled():
        print(f"\nsystemd-analyze security: {score[1]} of 10")
    assert float(score[1]) < 3


@needs("logrotate")
def test_logrotate_understands_its_snippet(tmp_path):
    snippet = tmp_path / "culvert"
    text = (ROOT / "systemd/culvert.logrotate").read_text()
    snippet.write_text(text.replace("culvert culvert", f"{USER} nogroup"))
    result = subprocess.run(["logrotate", "--debug", "--state", tmp_path / "state", snippet], check=True,
                            text=True, capture_output=True, timeout=60)
    assert "error" not in result.stderr, result.stderr


@needs("logrotate")
def test_logrotate_rotates_in_the_users_directory_as_that_user(lab, make, tmp_path):
    """Where others may write too it refuses to act as root."""
    with tempfile.TemporaryDirectory() as directory:
        os.chmod(directory, 0o755)
        log = pathlib.Path(directory) / "log" / "flows.log"
        culvert, settings = make(lab, "proxy", flow_log={"path": str(log)})
        culvert.start(settings, f"--user={USER}")
        culvert.await_all_up()
        http.short_connections(lab, 3)
        await_condition(lambda: len(log.read_text().splitlines()) == 3, "3 lines, for an empty file is left alone")
        log.parent.chmod(0o770)
        snippet = tmp_path / "culvert"
        text = (ROOT / "systemd/culvert.logrotate").read_text().replace("culvert culvert", f"{USER} nogroup")
        text = re.sub("(?<=postrotate\n).*(?=\tendscript)", f"kill -USR1 {culvert.process.pid}\n", text, flags=re.S)
        snippet.write_text(text.replace("/var/log/culvert/flows.log", str(log)))
        subprocess.run(["logrotate", "--force", "--state", tmp_path / "state", snippet], check=True, timeout=60)
        await_condition(lambda: culvert.log_lines("opened"), "the new file is open")
        http.short_connections(lab, 2)
        for path, n_lines in ((log.with_name("flows.log.1"), 3), (log, 2)):
            await_condition(lambda: len(path.read_text().splitlines()) == n_lines, f"{n_lines} lines in {path}")
            assert path.owner() == USER and path.stat().st_mode & 0o777 == 0o640
        culvert.stop()


@needs("systemd-sysusers")
def test_sysusers_makes_the_user(tmp_path):
    (tmp_path / "etc").mkdir()
    subprocess.run(["systemd-sysusers", f"--root={tmp_path}", ROOT / "systemd/culvert.sysusers"],
                   check=True, capture_output=True, timeout=60)
    assert "culvert:" in (tmp_path / "etc/passwd").read_text()
    assert "culvert:" in (tmp_path / "etc/group").read_text()


# --- what the unit lets it do ----------------------------------------------------------------------


def unit_values(key):
    return [line.partition("=")[2] for line in UNIT.read_text().splitlines()
            if line.startswith(f"{key}=")]


def syscalls_of(group):
    """The calls in a group of systemd's, and in the groups in it."""
    text = subprocess.run(["systemd-analyze", "syscall-filter", group], check=True, text=True,
                          capture_output=True, timeout=60).stdout
    names = {line.strip() for line in text.splitlines()[1:]
             if line.strip() and not line.strip().startswith("#")}
    groups = {name for name in names if name.startswith("@")}
    return (names - groups).union(*(syscalls_of(inner) for inner in groups))


def allowed_syscalls():
    """As systemd reads the lines one after another; @default is always allowed."""
    allowed = syscalls_of("@default")
    for value in unit_values("SystemCallFilter"):
        is_taken_away = value.startswith("~")
        for name in value.lstrip("~").split():
            named = syscalls_of(name) if name.startswith("@") else {name}
            allowed = allowed - named if is_taken_away else allowed | named
    return allowed


@needs("strace")
@needs("systemd-analyze")
@pytest.mark.parametrize("mode", MODES)
def test_the_units_filter_allows_every_call_that_is_made(make_lab, unprivileged, make, mode):
    """Traced as the unit's user, from start to end, with traffic and a backend that goes down."""
    lab = make_lab(direct=mode == "dsr")
    if mode == "dsr":
        dsr_lab.translate_answers(lab)
    culvert, settings = make(lab, mode)
    start = unprivileged(culvert)
    culvert.binary = shutil.copy(culvert.binary, culvert.directory)  # strace wants to see all of its path
    trace = culvert.directory / "trace"
    trace.mkdir()
    trace.chmod(0o777)
    settings["flow_log"] = {"path": str(trace / "flows.log"), "starts": True}
    culvert.start(settings, f"--user={USER}", wrapper=[
        *start, *ambient(CAPABILITIES), "strace", "-ff", "-qq", "-o", trace / "calls"])
    culvert.await_all_up()
    assert set(http.short_connections(lab, 40)) == set(lab.backend_names())
    lab.stop("b1")
    culvert.await_backend("b1", is_up=False)
    stop_child(culvert)
    calls = set()
    denied = set()
    for path in trace.glob("calls.*"):
        for line in path.read_text(errors="replace").splitlines():
            name = re.match(r"(\w+)\(", line)
            if name:
                calls.add(name[1])
            if "PROT_WRITE|PROT_EXEC" in line:
                denied.add(line)
            family = re.match(r"socket\((AF_\w+)", line)
            if family and family[1] not in unit_values("RestrictAddressFamilies")[0].split():
                denied.add(line)
    assert "epoll_wait" in calls or "ppoll" in calls or "poll" in calls, calls
    assert calls - {"execve"} <= allowed_syscalls()
    assert not denied


def stop_child(culvert):
    """The tracer is the process that was started; culvert is its child."""
    process = culvert.forget()
    children = pathlib.Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    os.kill(int(children[0]), signal.SIGTERM)
    assert process.wait(timeout=30) == 0


# --- the log ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
def test_the_log_as_json(lab, make, mode):
    culvert, settings = make(lab, mode, log={"format": "json"})
    culvert.start(settings)
    culvert.await_all_up()
    lab.stop("b2")
    culvert.await_backend("b2", is_up=False)
    entries = [json.loads(line) for line in culvert.log().splitlines()]
    assert any("ready: " in entry["msg"] for entry in entries)
    down = [entry for entry in entries if entry["area"] == "health" and entry.get("state") == "down"]
    assert [(entry["pool"], entry["backend"], entry["level"]) for entry in down] == [("web", "b2", "warn")]


def test_the_log_as_logfmt(lab, make):
    culvert, settings = make(lab, "proxy", log={"format": "logfmt"})
    culvert.start(settings)
    for line in culvert.log().splitlines():
        assert re.match(r"time=\S+Z level=\w+ area=\w+ msg=", line), line


def test_a_log_that_cannot_be_opened_is_an_error(lab, make, tmp_path):
    culvert, settings = make(lab, "proxy", log={"output": "journal"})
    if os.path.exists("/run/systemd/journal/socket"):
        pytest.skip("a journal runs here")
    status, log = culvert.refusal(settings)
    assert status == 1
    assert "[log] output: cannot log to /run/systemd/journal/socket" in log
