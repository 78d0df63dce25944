# SPDX-License-Identifier: Apache-2.0
"""The configuration changes while culvert runs, in proxy mode."""

import copy
import socket

import pytest

from harness import api, config, http
from harness.reload import (
    broken_files, file_to_load, many_servers, outcomes, reload, under_load, without)
from harness.wait import await_condition

EVERY_BACKEND = {"b1", "b2", "b3"}
SECOND_VIP = "10.0.0.9"


def wanted(lab, **overrides):
    """By signal alone, so that a test knows what has caused what."""
    overrides.setdefault("reload", {}).setdefault("watch", False)
    return config.proxy(lab, **overrides)


def start(proxy, lab, **overrides):
    full = wanted(lab, **overrides)
    proxy.start(full)
    proxy.await_all_up()
    return full


def open_kept(lab, count=30, **where):
    """Connections that have been answered, by who has."""
    kept = {}
    for _ in range(count):
        sock = http.connect(lab, **where)
        kept.setdefault(http.request(sock), []).append(sock)
    return kept


def expect_kept(kept):
    for name, socks in kept.items():
        assert {http.request(sock) for sock in socks} == {name}


def expect_reset(socks):
    for sock in socks:
        sock.settimeout(20)
        with pytest.raises(ConnectionResetError):
            sock.recv(1)


# --- under load ----------------------------------------------------------------------------------

@pytest.mark.stress
@pytest.mark.parametrize("rounds", [
    pytest.param(24, id="24"), pytest.param(1000, id="1000", marks=pytest.mark.full)])
def test_reloads_under_load_cost_no_connection(make_lab, make_proxy, tmp_path, rounds):
    lab = make_lab(backends=4, files=file_to_load(tmp_path))
    full = wanted(lab)
    full["backends"]["web"]["servers"] = many_servers(lab)
    under_load(lab, make_proxy(lab), full, rounds=rounds, downloads=50, seconds=8)


# --- frontends -----------------------------------------------------------------------------------

@pytest.mark.smoke
def test_frontends_come_go_and_move_under_traffic(lab, proxy):
    lab.run("lb", "ip", "addr", "add", f"{SECOND_VIP}/32", "dev", "eth0")
    full = start(proxy, lab, reload={"drain_timeout": 2})
    traffic = http.Traffic(lab)
    full["frontends"]["second"] = {"listen_addr": f"{SECOND_VIP}:80", "backend": "web"}
    reload(proxy, full)
    assert set(http.short_connections(lab, 60, addr=SECOND_VIP)) == EVERY_BACKEND
    kept = open_kept(lab, addr=SECOND_VIP)
    full["frontends"]["second"]["listen_addr"] = f"{SECOND_VIP}:8080"
    reload(proxy, full)
    assert set(http.short_connections(lab, 60, addr=SECOND_VIP, port=8080)) == EVERY_BACKEND
    await_condition(lambda: http.outcome(lab, addr=SECOND_VIP) == "ConnectionRefusedError",
                    "the place of before is left")
    expect_kept(kept)
    for socks in kept.values():
        expect_reset(socks)
    await_condition(lambda: proxy.sessions()["ends"]["drain_timeout"] == sum(map(len, kept.values())),
                    "each is counted by its reason")
    await_condition(lambda: proxy.log_lines("frontend second has"), "its slot is given back", 30)
    del full["frontends"]["second"]
    reload(proxy, full)
    await_condition(
        lambda: http.outcome(lab, addr=SECOND_VIP, port=8080) == "ConnectionRefusedError",
        "the frontend is gone")
    assert set(http.answers_of(traffic.stop())) == EVERY_BACKEND


def test_a_reload_that_cannot_listen_changes_nothing(lab, proxy):
    lab.run("lb", "ip", "addr", "add", f"{SECOND_VIP}/32", "dev", "eth0")
    full = start(proxy, lab)
    kept = open_kept(lab)
    changed = without(full, "b1")
    changed["frontends"]["free"] = {"listen_addr": f"{SECOND_VIP}:80", "backend": "web"}
    changed["frontends"]["taken"] = {"listen_addr": f"{SECOND_VIP}:81", "backend": "web"}
    with lab.inside("lb"):
        other = socket.create_server((SECOND_VIP, 81))
    with other:
        reload(proxy, changed, outcome="refused")
    assert f"frontend taken: {SECOND_VIP}:81 is in use by another program" in proxy.log()
    assert http.outcome(lab, addr=SECOND_VIP) == "ConnectionRefusedError"
    expect_kept(kept)
    assert set(http.short_connections(lab, 60)) == EVERY_BACKEND
    changed["frontends"]["taken"]["listen_addr"] = "192.0.2.77:80"
    reload(proxy, changed, outcome="refused")
    assert "this host does not have the address of 192.0.2.77:80" in proxy.log()
    changed["frontends"]["taken"]["listen_addr"] = f"{SECOND_VIP}:81"
    reload(proxy, changed)
    assert set(http.short_connections(lab, 60, addr=SECOND_VIP, port=81)) == {"b2", "b3"}
    expect_kept(kept)


def test_a_plan_says_what_could_not_be_listened_on(lab, proxy):
    full = start(proxy, lab)
    full["frontends"]["far"] = {"listen_addr": "192.0.2.77:80", "backend": "web"}
    (proxy.directory / "culvert.toml").write_text(proxy.config_text(full))
    status, _kind, answer = api.ask(proxy, "POST", "/api/v1/reload", {"plan": True})
    assert status == 422, answer
    assert "192.0.2.77:80" in str(answer), answer


def test_a_plan_says_that_there_is_no_room(lab, proxy):
    full = start(proxy, lab, reload={"max_backends": 3})
    full["backends"]["web"]["servers"]["b4"] = {"addr": "10.0.0.99:80"}
    (proxy.directory / "culvert.toml").write_text(proxy.config_text(full))
    status, _kind, answer = api.ask(proxy, "POST", "/api/v1/reload", {"plan": True})
    assert status == 422, answer
    assert "there is room for 3 backends" in str(answer), answer


# --- backends ------------------------------------------------------------------------------------

@pytest.mark.smoke
def test_a_removed_backend_keeps_its_sessions_until_its_time_is_over(lab, proxy):
    full = start(proxy, lab, reload={"drain_timeout": 2})
    kept = open_kept(lab)
    reload(proxy, without(full, "b2"))
    assert set(http.short_connections(lab, 60)) == {"b1", "b3"}
    expect_kept(kept)
    expect_reset(kept["b2"])
    expect_kept({name: kept[name] for name in ("b1", "b3")})
    await_condition(lambda: proxy.sessions()["ends"]["drain_timeout"] == len(kept["b2"]), "they are counted by reason")
    await_condition(lambda: proxy.log_lines("is gone"), "its slot is given back", 30)
    assert "b2" not in proxy.stats()["backends"]["web"]["server_stats"]
    reload(proxy, full)
    proxy.await_all_up()
    assert set(http.short_connections(lab, 200)) == EVERY_BACKEND


def test_clients_wait_for_the_first_check_of_a_pool_that_is_all_new(lab, proxy):
    """Every server has another name: not one that was known is left."""
    full = start(proxy, lab, backends={"web": {"health_check_interval": 2}})
    traffic = http.Traffic(lab)
    for number in range(5):
        changed = copy.deepcopy(full)
        changed["backends"]["web"]["servers"] = {
            f"{name}-{number}": server
            for name, server in full["backends"]["web"]["servers"].items()}
        reload(proxy, changed)
        assert http.get(lab) in EVERY_BACKEND
    assert set(http.answers_of(traffic.stop())) == EVERY_BACKEND
    assert proxy.sessions()["ends"]["no_backend"] == 0


def test_drain_and_maintenance_at_run_time(lab, proxy):
    full = start(proxy, lab)
    kept = open_kept(lab)
    api.post(proxy, "/api/v1/servers/b1/state", {"state": "drain"})
    api.post(proxy, "/api/v1/servers/b2/state", {"state": "maint"})
    assert set(http.short_connections(lab, 60)) == {"b3"}
    expect_reset(kept.pop("b2"))
    expect_kept(kept)
    changed = copy.deepcopy(full)
    changed["backends"]["web"]["servers"]["b3"]["weight"] = 2
    reload(proxy, changed)  # what an operator has said stays said
    assert set(http.short_connections(lab, 60)) == {"b3"}
    for name in ("b1", "b2"):
        api.post(proxy, f"/api/v1/servers/{name}/state", {"state": "ready"})
    assert set(http.short_connections(lab, 200)) == EVERY_BACKEND


# --- settings and files --------------------------------------------------------------------------

def test_settings_change_and_what_needs_a_restart_is_named(lab, proxy):
    full = start(proxy, lab)
    kept = open_kept(lab, 3)
    changed = copy.deepcopy(full)
    changed["proxy"].update(idle_timeout=1, max_connections=100, retries=1, splice=False,
                            tcp_keepalive=0, tcp_fast_open=True, on_full="refuse")
    reload(proxy, changed)
    for socks in kept.values():
        expect_reset(socks)
    assert set(http.short_connections(lab, 60)) == EVERY_BACKEND
    changed["proxy"]["threads"] = 1
    reload(proxy, changed, outcome="refused")
    assert "proxy.threads cannot change from 2 to 1" in proxy.log()


def test_broken_files_change_nothing(lab, proxy):
    full = start(proxy, lab)
    kept = open_kept(lab)
    for data in broken_files(proxy.config_text(full)):
        reload(proxy, data, outcome="refused")
    assert outcomes(proxy) == ["refused"] * 100
    expect_kept(kept)
    assert set(http.short_connections(lab, 60)) == EVERY_BACKEND
    reload(proxy, full, outcome="unchanged")
