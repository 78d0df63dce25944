# SPDX-License-Identifier: Apache-2.0
"""Starting, stopping, crashing, and refusing to start."""

import os
import signal

import pytest

from harness import config, http
from harness.wait import await_condition


@pytest.mark.smoke
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("workers", [0, 2])
def test_a_signal_stops_it_under_traffic(lab, culvert, number, workers):
    culvert.start(config.passthrough(lab, workers=workers))
    culvert.await_all_up()
    traffic = http.Traffic(lab)
    await_condition(lambda: len(traffic.samples) > 50, "50 requests")
    process = culvert.forget()
    process.send_signal(number)
    try:
        assert process.wait(timeout=10) == 0
    finally:
        process.kill()
        traffic.stop()
    culvert.assert_log_clean()
    assert culvert.log_lines("stopping") and culvert.log().endswith("culvert: stopped\n"), culvert.log()
    assert lab.nft_tables() == []
    assert lab.reserved_ports() == ""


def test_a_crash_leaves_no_rules_and_it_starts_again_at_once(lab, culvert):
    settings = config.passthrough(lab)
    culvert.start(settings)
    culvert.await_all_up()
    assert lab.nft_tables() != []
    culvert.kill()
    await_condition(lambda: lab.nft_tables() == [], "the kernel removes the table", timeout=2)
    culvert.start(settings)
    culvert.await_all_up()
    assert set(http.short_connections(lab, 100)) == {"b1", "b2", "b3"}


def test_connections_survive_a_stop_and_start_as_refusals_not_hangs(lab, culvert):
    """A kept connection from before has no flow: its next packet must not hang the client."""
    culvert.start(config.passthrough(lab))
    culvert.await_all_up()
    with http.connect(lab) as sock:
        http.request(sock)
        culvert.stop()
        culvert.start(config.passthrough(lab))
        culvert.await_all_up()
        with pytest.raises(OSError):
            http.request(sock)


def test_started_with_its_standard_files_closed_it_takes_nothing_else_for_them(lab, culvert):
    """A log line would go to a socket, and 0 be a descriptor where it says that there is none."""
    culvert.start(config.passthrough(lab), await_ready=False,
                  wrapper=["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh"])
    await_condition(lambda: os.path.exists(culvert.socket_path()), "the API")
    culvert.await_all_up()
    files = [os.stat(f"/proc/{culvert.process.pid}/fd/{fd}").st_rdev for fd in range(3)]
    assert files == [os.stat("/dev/null").st_rdev] * 3
    assert set(http.short_connections(lab, 20)) == {"b1", "b2", "b3"}


def test_every_mistake_in_the_configuration_is_listed(lab, culvert):
    path = culvert.write_config("""
[frontends.web]
listen_addr = "10.0.0.1:99999"
backend = "nowhere"

[backends.pool]
health_check_interval = "often"
[backends.pool.servers.s1]
addr = "not an address"
""")
    result = culvert.run("--passthrough", "--config", path)
    assert result.returncode == 2
    for word in ("99999", "nowhere", "health_check_interval", "not an address"):
        assert word in result.stderr, result.stderr
    for line in (3, 4, 7, 9):
        assert f"{path}:{line}" in result.stderr, result.stderr


@pytest.mark.parametrize("arguments", [
    ["--passthrough"],
    ["--passthrough", "--config", "/nonexistent.toml"],
    ["--passthrough", "--dsr", "--config", "{config}"],
    ["--passthrough", "--proxy", "--config", "{config}"],
    ["--no-such-option"],
    ["--passthrough", "--config", "{config}", "surplus"],
    ["--passthrough", "--config", "{config}", "--log-level=loud"],
], ids=lambda arguments: " ".join(arguments))
def test_what_cannot_be_run_exits_with_2(lab, culvert, arguments):
    path = culvert.write_config(config.passthrough(lab))
    result = culvert.run(*[argument.format(config=path) for argument in arguments])
    assert result.returncode == 2, result.stderr
    assert result.stderr.strip()
    assert lab.nft_tables() == []


def test_check_accepts_a_good_file_and_starts_nothing(lab, culvert):
    path = culvert.write_config(config.passthrough(lab))
    result = culvert.run("--passthrough", "--config", path, "--check")
    assert result.returncode == 0, result.stderr
    assert lab.nft_tables() == []


def test_version_and_help(lab, culvert):
    version = culvert.run("--version")
    assert version.returncode == 0 and "culvert" in version.stdout
    usage = culvert.run("--help")
    assert usage.returncode == 0 and "--config" in usage.stdout


def test_the_statistics_port_in_use_is_a_failure_to_start(lab, culvert, make_culvert):
    settings = config.passthrough(lab)
    culvert.start(settings)
    second = make_culvert(lab)
    second.start(settings, await_ready=False)
    assert second.forget().wait(timeout=10) == 1
    culvert.await_all_up()
    assert len(lab.nft_tables()) == 1
