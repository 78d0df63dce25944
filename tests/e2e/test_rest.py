# SPDX-License-Identifier: Apache-2.0
"""While nothing moves culvert sleeps: how often it wakes up all the same, in every mode, and that nobody
notices that it has slept."""

import datetime
import pathlib
import time

import pytest

from harness import api, config, fast_path, http
from harness.culvert import BINARY
from harness.wait import await_condition

CHECK_SECONDS = 3   # the default health_check_interval
SECONDS = 10
REST_SECONDS = 3
PER_CHECK = 2       # its start, and the connection
HOUSEKEEPING = 0.4  # a second: every 5 for what nobody tells of; rules for a restart; neighbours
LATE = 4            # seconds within which it is noticed what the kernel has forwarded
SELDOM = 60         # seconds between checks
CONNECTIONS = 40
SOON = {"tcp_closing": 2, "tcp_time_wait": 1}  # until a flow is written down
MODES = {"proxy": config.proxy, "passthrough": config.passthrough, "dsr": config.dsr}

pytestmark = pytest.mark.skipif("thread" in BINARY, reason="ThreadSanitizer has a thread of its own that wakes up")


@pytest.fixture
def make_resting(make_lab, make_culvert, make_proxy):
    """Call it with a mode and settings of the pool: culvert that nobody calls."""
    def make(mode, pool=None, **options):
        lab = make_lab(backends=2)
        culvert = make_proxy(lab) if mode == "proxy" else make_culvert(lab)
        settings = MODES[mode](lab, **options)
        for key in ("health_check_interval", "health_check_timeout", "rise", "fall"):
            del settings["backends"]["web"][key]
        settings["backends"]["web"].update(pool or {})
        culvert.start(settings)
        culvert.await_all_up()
        return culvert
    return make


def wake_ups(culvert):
    """Of all threads, so far."""
    total = 0
    for status in pathlib.Path(f"/proc/{culvert.process.pid}/task").glob("*/status"):
        for line in status.read_text().splitlines():
            if line.startswith("voluntary_ctxt_switches:"):
                total += int(line.split()[1])
    return total


def await_at_most(culvert, count, seconds):
    """Wake-ups; whoever was asked just now looks after it for some seconds."""
    def is_quiet():
        before = wake_ups(culvert)
        time.sleep(seconds)
        found = wake_ups(culvert) - before
        print(f"{found} wake-ups in {seconds} s, {count} are allowed")
        return found <= count

    await_condition(is_quiet, f"at most {count} wake-ups in {seconds} s", timeout=100)


def await_rest(culvert):
    """Between checks there is nothing but housekeeping."""
    await_at_most(culvert, 2, REST_SECONDS)


@pytest.mark.parametrize("mode, workers", [("proxy", None), ("passthrough", 0), ("passthrough", 2), ("dsr", 0)])
def test_at_rest_it_wakes_up_for_checks_and_for_little_else(make_resting, mode, workers):
    culvert = make_resting(mode, **({} if workers is None else {"workers": workers}))
    checks = (SECONDS / CHECK_SECONDS + 1) * culvert.lab.n_backends
    await_at_most(culvert, int(SECONDS * HOUSEKEEPING + checks * PER_CHECK), SECONDS)


@pytest.mark.parametrize("mode, workers", [("proxy", None), ("passthrough", 0), ("passthrough", 2)])
def test_a_connection_that_stands_idle_keeps_nobody_awake(make_resting, mode, workers):
    settings = {} if workers is None else {"passthrough": {"workers": workers, "fast_path": "off"}}
    culvert = make_resting(mode, {"health_check_interval": SELDOM}, **settings)
    with http.connect(culvert.lab) as sock:
        assert http.request(sock)
        await_rest(culvert)


@pytest.mark.packet_sockets("the fast path is theirs")
@pytest.mark.parametrize("workers", [0, 2])
def test_what_the_kernel_forwards_after_a_rest_is_noticed(make_resting, workers):
    culvert = make_resting("passthrough", {"health_check_interval": SELDOM},
                           passthrough={"workers": workers, "fast_path": "always"})
    with http.connect(culvert.lab) as sock:
        await_condition(lambda: http.request(sock) and fast_path.flows(culvert), "the flow is on the fast path", 30, 0.1)
        await_at_most(culvert, 2 + 2 * REST_SECONDS, REST_SECONDS)  # its worker looks at it once a second
        began = time.time()
        assert http.request(sock)
        time.sleep(LATE)  # the API cannot be asked: that would wake it up
        noticed = [sample for sample in api.history(culvert) if seconds_of(sample) > began]
    assert any(sample["bytes_rx_per_s"] for sample in noticed), noticed


@pytest.mark.parametrize("workers", [0, 2])
def test_after_a_rest_refusals_are_noticed_long_before_the_next_check(make_resting, workers):
    culvert = make_resting("passthrough", {"health_check_interval": SELDOM}, workers=workers)
    await_rest(culvert)
    culvert.lab.stop("b2")
    http.short_connections(culvert.lab, CONNECTIONS)
    # The log says it: asking the API would wake it up as well.
    await_condition(lambda: culvert.log_lines("of clients in a row were refused"), "b2 is out", timeout=SELDOM / 3)
    assert not culvert.is_up("b2")


@pytest.mark.parametrize("mode", ["proxy", "passthrough"])
def test_the_flow_log_wakes_nobody_and_has_what_comes_after_a_rest(make_resting, tmp_path, mode):
    path = tmp_path / "flows.log"
    options = {"timeouts": SOON} if mode == "passthrough" else {}
    culvert = make_resting(mode, {"health_check_interval": SELDOM}, flow_log={"path": str(path)}, **options)
    for count in (1, 2):
        await_rest(culvert)
        assert http.short_connections(culvert.lab, 1)
        await_condition(lambda: path.read_text().count("event=end") == count, "a line for the connection", timeout=60)


def seconds_of(sample):
    return datetime.datetime.fromisoformat(sample["time"].replace("Z", "+00:00")).timestamp()


@pytest.mark.parametrize("mode", ["proxy", "passthrough"])
def test_the_history_has_what_came_after_a_rest_and_no_gap_for_the_rest_itself(make_resting, mode):
    culvert = make_resting(mode, {"health_check_interval": SELDOM})
    await_rest(culvert)
    http.short_connections(culvert.lab, CONNECTIONS)
    await_condition(lambda: any(sample["flows_per_s"] for sample in api.history(culvert)), "connections in the history")
    await_rest(culvert)
    samples = api.history(culvert)
    times = [seconds_of(sample) for sample in samples]
    flows = sum(sample["flows_per_s"] * (time - before)
                for sample, time, before in zip(samples[1:], times[1:], times))
    assert abs(flows - CONNECTIONS) < CONNECTIONS / 4, samples
    assert len(samples) > 0.7 * (times[-1] - times[0]), times
