# SPDX-License-Identifier: Apache-2.0
"""Fixtures. Every test has processes of its own, and labs but where it says otherwise, removed
however it ends."""

import contextlib
import os
import pathlib
import signal
import subprocess
import tempfile

import pytest

from harness import fraction, lab as lab_module, order, streams
from harness.config import UDP_PORT
from harness.culvert import BINARY, Culvert
from harness.fake_api import FakeApi
from harness.lab import ROOT, Lab
from harness.proxy import Proxy
from harness.terminal import Terminal

SUPPORT = pathlib.Path(os.path.abspath(os.environ.get("SUPPORT", ROOT / "build/tests/support")))
TEST_SECONDS = 180


def pytest_configure(config):
    config.addinivalue_line("markers", "smoke: the short subset, for the sanitizer builds")
    config.addinivalue_line("markers", "stress: floods and many flows")
    config.addinivalue_line("markers", "full: long; only with -m full or FULL=1")
    config.addinivalue_line("markers", "packet_sockets(reason): cannot be as it is with IO=xdp")
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    # A shell that starts this in the background ignores it, and all that is started here would.
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _interrupt(_number, _frame):
    raise KeyboardInterrupt


def pytest_collection_modifyitems(config, items):
    for item in items:
        marker = item.get_closest_marker("packet_sockets")
        if marker and os.environ.get("IO") == "xdp":
            item.add_marker(pytest.mark.skip(reason=f"packet sockets only: {marker.args[0]}"))
    if "full" not in config.option.markexpr and not os.environ.get("FULL"):
        _leave_out(config, items)
    items[:] = order.spread(items)


def _leave_out(config, items):
    left_out = fraction.left_out(items)
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]
    for item in items:
        if item.get_closest_marker("full"):
            item.add_marker(pytest.mark.skip(reason="long: FULL=1 runs it"))


def pytest_sessionstart(session):
    if os.geteuid() != 0:
        pytest.exit("these tests make network namespaces, which needs root", returncode=1)
    if not os.access(BINARY, os.X_OK):
        pytest.exit(f"there is no {BINARY}; \"make\" builds it", returncode=1)
    lab_module.sweep()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_call(item):
    """A test that hangs fails, and is torn down like any other."""
    def expire(_number, _frame):
        raise TimeoutError(f"the test took more than {TEST_SECONDS} seconds")

    signal.signal(signal.SIGALRM, expire)
    signal.alarm(TEST_SECONDS * (10 if item.get_closest_marker("full") else 1))
    yield
    signal.alarm(0)


@pytest.fixture
def make_lab():
    """Call it with the arguments of Lab."""
    with contextlib.ExitStack() as stack:
        def make(*args, **options):
            lab = Lab(*args, **options)
            stack.callback(lab.down)
            return lab
        yield make


@pytest.fixture
def lab(make_lab, request):
    """A lab; parametrise it indirectly with a dictionary of Lab's arguments."""
    return make_lab(**getattr(request, "param", {}))


@pytest.fixture(scope="module")
def shared_lab(request):
    """One lab for those tests of a file that leave it as they found it; LAB of the file is a
    dictionary of Lab's arguments."""
    lab = Lab(**getattr(request.module, "LAB", {}))
    yield lab
    lab.down()


@pytest.fixture
def make_culvert(make_lab, tmp_path):  # torn down before the labs
    """Call it with a lab, and with what it is. At the end each must stop cleanly."""
    running = []

    def make(lab, binary=BINARY, kind=Culvert):
        directory = tmp_path / f"culvert{len(running)}"
        directory.mkdir()
        running.append(kind(lab, directory, binary))
        return running[-1]

    yield make
    with contextlib.ExitStack() as stack:
        for culvert in running:
            stack.callback(finish, culvert)


def finish(culvert):
    """The ledger balances, the process stops cleanly, and its table is gone with it. What DSR mode leaves
    for the next start lapses by itself."""
    if culvert.process is None:
        return
    try:
        if culvert.process.poll() is None:
            culvert.ledger()
    finally:
        culvert.stop()
    expected = ["table netdev culvert_restart"] if culvert.mode == "dsr" else []
    assert culvert.lab.nft_tables() == expected
    assert_no_bad_checksum(culvert.lab)


def assert_no_bad_checksum(lab):
    """No TCP or UDP packet reached an end with a checksum that its kernel found wrong."""
    for host in ("client", *lab.backend_names()):
        names = None
        for line in lab.read(host, "/proc/net/snmp").splitlines():
            kind, *fields = line.split()
            if fields[0].lstrip("-").isdigit():
                counts = dict(zip(names, map(int, fields)))
                assert counts.get("InCsumErrors", 0) == 0, f"{host}: {kind} {counts}"
            names = fields
        for line in lab.read(host, "/proc/net/snmp6").splitlines():
            name, count = line.split()
            assert not name.endswith("InCsumErrors") or count == "0", f"{host}: {line}"


@pytest.fixture
def culvert(lab, make_culvert):
    """culvert for `lab`, not started."""
    return make_culvert(lab)


@pytest.fixture
def make_proxy(make_culvert):
    """Call it with a lab: culvert in proxy mode."""
    return lambda lab: make_culvert(lab, kind=Proxy)


@pytest.fixture
def proxy(lab, make_proxy):
    """culvert in proxy mode for `lab`, not started."""
    return make_proxy(lab)


@pytest.fixture
def servers(tmp_path):
    """Call it with a class of harness.servers, a lab and its arguments: a server, stopped at the
    end."""
    with contextlib.ExitStack() as stack:
        def start(kind, lab, *args, **options):
            directory = pathlib.Path(tempfile.mkdtemp(dir=tmp_path))
            server = kind(lab, directory, *args, **options)
            stack.callback(server.kill)
            return server
        yield start


@pytest.fixture
def support():
    """The path of a program from tests/support."""
    return lambda name: str(SUPPORT / name)


@pytest.fixture
def echo_servers(support):
    """Call it with a lab: an echo server on each backend, which marks its answers."""
    with contextlib.ExitStack() as stack:
        def start(lab):
            for index, name in enumerate(lab.backend_names()):
                process = lab.spawn(name, support("udp-echo"), UDP_PORT, chr(ord("A") + index),
                                    stdout=subprocess.PIPE, text=True)
                stack.callback(process.wait)
                stack.callback(process.kill)
                assert process.stdout.readline() == "ready\n"
        yield start


@pytest.fixture
def stream_peer(support):
    """Call it with a lab, one of its hosts, a behaviour and its number: a streams.Peer."""
    with contextlib.ExitStack() as stack:
        def start(lab, *args, **options):
            peer = streams.Peer(lab, support("stream_peer"), *args, **options)
            stack.callback(peer.kill)
            return peer
        yield start


@pytest.fixture
def stream_load(support):
    """Call it with a lab, an address, a number of connections and options: a streams.Load."""
    with contextlib.ExitStack() as stack:
        def start(lab, *args, **options):
            load = streams.Load(lab, support("stream_load"), *args, **options)
            stack.callback(load.kill)
            return load
        yield start


@pytest.fixture
def fake_api(tmp_path):
    """Canned answers of the API on a Unix socket, and culvertctl to ask them: a fake_api.FakeApi."""
    api = FakeApi(tmp_path / "api.sock")
    yield api
    api.stop()


@pytest.fixture
def make_terminal():
    """Call it with the arguments of terminal.Terminal."""
    with contextlib.ExitStack() as stack:
        def make(*args, **options):
            terminal = Terminal(*args, **options)
            stack.callback(terminal.close)
            return terminal
        yield make
