# SPDX-License-Identifier: Apache-2.0
"""The configuration changes while culvert runs, in the packet modes."""

import copy
import os
import re

import pytest

from harness import api, config, dsr_lab, http
from harness.reload import (
    await_servers, broken_files, file_to_load, many_servers, outcomes, reload, under_load, without)
from harness.wait import await_condition

SECOND_VIP = "10.0.0.9"


def wanted(lab, mode, **overrides):
    """By signal alone, so that a test knows what has caused what."""
    overrides.setdefault("reload", {}).setdefault("watch", False)
    made = config.passthrough if mode == "passthrough" else config.dsr
    return made(lab, **({} if mode == "passthrough" else {"method": "l2"}), **overrides)


@pytest.fixture(params=["passthrough", "dsr"])
def mode(request):
    return request.param


@pytest.fixture
def make_mode_lab(make_lab, mode):
    """A lab whose backends can serve in the mode."""
    def make(**options):
        if mode == "passthrough":
            return make_lab(**options)
        lab = make_lab(direct=True, **options)
        dsr_lab.open_path(lab)
        dsr_lab.hold_vip(lab)
        return lab
    return make


@pytest.fixture
def mode_lab(make_mode_lab):
    return make_mode_lab()


# ---- under load ---------------------------------------------------------------------------------


@pytest.mark.stress
@pytest.mark.parametrize("rounds", [
    pytest.param(24, id="24"), pytest.param(1000, id="1000", marks=pytest.mark.full)])
def test_reloads_under_load_cost_no_connection(make_mode_lab, make_culvert, mode, tmp_path, rounds):
    lab = make_mode_lab(backends=4, files=file_to_load(tmp_path))
    full = wanted(lab, mode)
    full["backends"]["web"]["servers"] = many_servers(lab)
    full["backends"]["web"]["fall"] = 100  # a machine this busy may miss checks; that is not the question
    under_load(lab, make_culvert(lab), full, rounds=rounds, downloads=50 if rounds == 1000 else 20,
               seconds=4)


# ---- what comes and goes ------------------------------------------------------------------------


@pytest.mark.smoke
def test_a_removed_backend_keeps_its_connections_and_gets_no_other(mode_lab, make_culvert, mode):
    lab, culvert = mode_lab, make_culvert(mode_lab)
    full = wanted(lab, mode)
    culvert.start(full)
    culvert.await_all_up()
    kept = [http.connect(lab) for _ in range(30)]
    before = [http.request(sock) for sock in kept]
    assert set(before) == {"b1", "b2", "b3"}
    reload(culvert, without(full, "b2"))
    assert set(http.short_connections(lab, 60)) == {"b1", "b3"}
    assert [http.request(sock) for sock in kept] == before
    # It comes back before its connections have ended.
    reload(culvert, full)
    assert [http.request(sock) for sock in kept] == before
    culvert.await_all_up()
    assert set(http.short_connections(lab, 200)) == {"b1", "b2", "b3"}


def test_connections_of_a_removed_backend_are_reset_after_drain_timeout(mode_lab, make_culvert, mode):
    lab, culvert = mode_lab, make_culvert(mode_lab)
    full = wanted(lab, mode, reload={"drain_timeout": 1}, timeouts={"tcp_reset": 2})
    culvert.start(full)
    culvert.await_all_up()
    kept = {name: [] for name in lab.backend_names()}
    for _ in range(30):
        sock = http.connect(lab)
        kept[http.request(sock)].append(sock)
    reload(culvert, without(full, "b2"))
    for sock in kept["b2"]:
        sock.settimeout(20)
        with pytest.raises(ConnectionResetError):
            sock.recv(1)
    for name in ("b1", "b3"):
        for sock in kept[name]:
            assert http.request(sock) == name
    await_condition(lambda: culvert.log_lines("is gone"), "its slot is given back", 30)
    assert "b2" not in culvert.stats()["backends"]["web"]["server_stats"]
    # Whoever gets the slot has counters of its own, and so has the old one when it comes back; the
    # pool's go on.
    reload(culvert, full)
    culvert.await_all_up()
    assert culvert.stats()["backends"]["web"]["server_stats"]["b2"]["total_connections"] == 0
    stats = culvert.stats()
    assert stats["backends"]["web"]["total_connections"] == stats["frontends"]["web"]["total_connections"] == 30


def test_an_order_to_a_removed_backend_counts_when_it_is_back(mode_lab, make_culvert, mode):
    lab, culvert = mode_lab, make_culvert(mode_lab)
    full = wanted(lab, mode)
    culvert.start(full)
    culvert.await_all_up()
    kept = {}
    while "b2" not in kept:
        sock = http.connect(lab)
        kept[http.request(sock)] = sock
    reload(culvert, without(full, "b2"))
    answer = api.post(culvert, "/api/v1/servers/web/b2/state", {"state": "drain"})
    assert (answer["state"], answer["state_set"], answer["connections"]["current"]) == ("removed", "drain", 1)
    assert http.request(kept["b2"]) == "b2"
    api.post(culvert, "/api/v1/servers/web/b2/state", {"state": "maint"})
    kept["b2"].settimeout(20)
    with pytest.raises(ConnectionResetError):
        kept["b2"].recv(1)
    reload(culvert, full)
    assert api.backend(culvert, "web/b2")["state"] == "maint"
    assert culvert.log_lines("backend web/b2 is still as it was set by hand: maint"), culvert.log()
    assert set(http.short_connections(lab, 60)) == {"b1", "b3"}


def test_an_added_backend_joins_after_its_first_good_check(mode_lab, make_culvert, mode):
    lab, culvert = mode_lab, make_culvert(mode_lab)
    full = wanted(lab, mode)
    lab.stop("b3")
    culvert.start(without(full, "b3"))
    culvert.await_backend("b1")
    culvert.await_backend("b2")
    reload(culvert, full)
    assert set(http.short_connections(lab, 60)) == {"b1", "b2"}
    lab.start("b3")
    culvert.await_all_up()
    assert set(http.short_connections(lab, 200)) == {"b1", "b2", "b3"}


def test_checks_of_another_kind_cost_no_connection(mode_lab, make_culvert, mode):
    lab, culvert = mode_lab, make_culvert(mode_lab)
    full = wanted(lab, mode)
    culvert.start(full)
    culvert.await_all_up()
    kept = [http.connect(lab) for _ in range(10)]
    before = [http.request(sock) for sock in kept]
    for kind in ("http", "none", "tcp"):
        full["backends"]["web"]["health_check"] = kind
        reload(culvert, full)
        assert set(http.short_connections(lab, 60)) == {"b1", "b2", "b3"}
        assert [http.request(sock) for sock in kept] == before


def test_a_source_address_that_is_given_back_is_for_who_lacks_one(make_lab, make_culvert):
    """Each route has its own, and there is room for eight of them."""
    lab = make_lab()
    culvert = make_culvert(lab)
    servers = dict(list(many_servers(lab).items())[:9])
    for number, server in enumerate(servers.values()):
        source, addr = f"10.0.0.{200 + number}", server["addr"].partition(":")[0]
        lab.run("lb", "ip", "addr", "add", f"{source}/32", "dev", "eth0")
        lab.run("lb", "ip", "route", "add", f"{addr}/32", "dev", "eth0", "src", source)
    full = wanted(lab, "passthrough")
    full["backends"]["web"]["servers"] = servers
    culvert.start(without(full, "s8"))
    await_servers(culvert, 8)
    reload(culvert, without(full, "s0"))
    told = [event["text"] for event in api.get(culvert, "/api/v1/events")["events"]
            if (event["kind"], event["subject"]) == ("network", "web/s8")]
    assert told[-1] == "cannot be reached: there is no way to it", told
    await_condition(lambda: api.backend(culvert, "web/s8")["hop"]["state"] == "ready", "s8 can be reached", 20)
    await_servers(culvert, 8)
    assert set(http.short_connections(lab, 60)) == {"b1", "b2"}


def test_weights_and_pools_change(mode_lab, make_culvert, mode):
    lab, culvert = mode_lab, make_culvert(mode_lab)
    full = wanted(lab, mode)
    culvert.start(full)
    culvert.await_all_up()
    full["backends"]["web"]["servers"]["b1"]["weight"] = 0
    reload(culvert, full)
    assert set(http.short_connections(lab, 60)) == {"b2", "b3"}
    full["backends"]["other"] = copy.deepcopy(full["backends"]["web"])
    full["backends"]["other"]["servers"] = {
        "b1": {"addr": full["backends"]["web"]["servers"]["b1"]["addr"]}}
    full["frontends"]["web"]["backend"] = "other"
    kept = http.connect(lab)
    before = http.request(kept)
    reload(culvert, full)
    culvert.await_backend("b1", pool="other")
    assert set(http.short_connections(lab, 30)) == {"b1"}
    assert http.request(kept) == before


def test_frontends_come_go_and_move(mode_lab, make_culvert, mode):
    lab, culvert = mode_lab, make_culvert(mode_lab)
    full = wanted(lab, mode, reload={"drain_timeout": 1}, timeouts={"tcp_reset": 2})
    lab.run("lb", "ip", "addr", "add", f"{SECOND_VIP}/32", "dev", "eth0")
    if mode == "dsr":
        for host in lab.backend_names():
            lab.run(host, "ip", "addr", "add", f"{SECOND_VIP}/32", "dev", "lo")
    culvert.start(full)
    culvert.await_all_up()
    traffic = http.Traffic(lab)
    full["frontends"]["second"] = {"listen_addr": f"{SECOND_VIP}:80", "backend": "web"}
    reload(culvert, full)
    assert set(http.short_connections(lab, 60, addr=SECOND_VIP)) == {"b1", "b2", "b3"}
    kept = http.connect(lab, addr=SECOND_VIP)
    before = http.request(kept)
    del full["frontends"]["second"]
    reload(culvert, full)
    assert http.request(kept) == before  # it drains
    assert http.outcome(lab, addr=SECOND_VIP) == "ConnectionRefusedError"
    kept.settimeout(20)
    with pytest.raises(ConnectionResetError):
        kept.recv(1)
    await_condition(lambda: culvert.log_lines("frontend second has"), "its slot is given back", 30)
    assert set(http.answers_of(traffic.stop())) == {"b1", "b2", "b3"}
    # Moved: the same name at another address.
    kept = http.connect(lab)
    before = http.request(kept)
    full["frontends"]["web"]["listen_addr"] = f"{SECOND_VIP}:80"
    reload(culvert, full)
    assert set(http.short_connections(lab, 60, addr=SECOND_VIP)) == {"b1", "b2", "b3"}
    assert http.outcome(lab) == "ConnectionRefusedError"
    assert "frontend moved" in culvert.log()


# ---- how it is told -----------------------------------------------------------------------------


def test_a_changed_file_is_noticed(lab, culvert):
    full = config.passthrough(lab)
    culvert.start(full)
    culvert.await_all_up()
    path = culvert.directory / "culvert.toml"
    path.write_text(culvert.config_text(without(full, "b1")))  # in place
    await_condition(lambda: outcomes(culvert) == ["ok"], "the file was written in place", 20)
    draft = culvert.directory / "draft"
    draft.write_text(culvert.config_text(full))
    draft.rename(path)
    await_condition(lambda: outcomes(culvert) == ["ok", "ok"], "another file was renamed", 20)
    os.utime(path)  # another time, the same words
    await_condition(lambda: outcomes(culvert)[2:] == ["unchanged"], "it was touched", 20)


def test_a_swapped_link_is_noticed(lab, culvert, tmp_path):
    """As Kubernetes mounts a ConfigMap: the file is a link to ..data/FILE, and ..data is swapped."""
    full = config.passthrough(lab)
    mount = tmp_path / "mount"
    mount.mkdir()

    def publish(number, text):
        version = mount / f"..{number}"
        version.mkdir()
        (version / "culvert.toml").write_text(text)
        (mount / "..data_tmp").symlink_to(version.name)
        (mount / "..data_tmp").rename(mount / "..data")

    publish(1, culvert.config_text(full))
    (mount / "culvert.toml").symlink_to("..data/culvert.toml")
    culvert.write_config = lambda _: mount / "culvert.toml"
    culvert.start(full)
    culvert.await_all_up()
    publish(2, culvert.config_text(without(full, "b2")))
    await_condition(lambda: outcomes(culvert) == ["ok"], "the link was swapped", 20)
    assert set(http.short_connections(lab, 60)) == {"b1", "b3"}


# ---- what is refused ----------------------------------------------------------------------------


def test_broken_files_change_nothing(mode_lab, make_culvert, mode):
    lab, culvert = mode_lab, make_culvert(mode_lab)
    full = wanted(lab, mode)
    culvert.start(full)
    culvert.await_all_up()
    kept = http.connect(lab)
    before = http.request(kept)
    count = 0
    for data in broken_files(culvert.config_text(full)):
        n_lines = len(culvert.log_lines("error reload"))
        reload(culvert, data, outcome="refused")
        # The line that says so is followed by one for each error.
        said = await_condition(lambda: culvert.log_lines("error reload")[n_lines + 1:], "the errors")
        place = r"culvert\.toml:\d+:\d+: " if data else r"culvert\.toml(:\d+:\d+)?: "
        assert all(re.search(place, line) for line in said), said
        count += 1
    assert count == 100
    assert http.request(kept) == before
    assert set(http.short_connections(lab, 60)) == {"b1", "b2", "b3"}
    reload(culvert, full, outcome="unchanged")


def test_what_only_a_restart_can_change_is_named(mode_lab, make_culvert, mode):
    lab, culvert = mode_lab, make_culvert(mode_lab)
    full = wanted(lab, mode)
    culvert.start(full)
    culvert.await_all_up()
    changed = without(full, "b1")
    changed["passthrough"]["connection_tracker_capacity"] = 4096
    changed["timeouts"] = {"tcp_syn": 7}
    reload(culvert, changed, outcome="refused")
    log = culvert.log()
    assert "passthrough.connection_tracker_capacity cannot change from 1048576 to 4096" in log
    assert "timeouts.tcp_syn cannot change from 120 to 7" in log
    assert set(http.short_connections(lab, 60)) == {"b1", "b2", "b3"}


def test_an_address_that_is_not_here_is_refused_by_line(mode_lab, make_culvert, mode):
    lab, culvert = mode_lab, make_culvert(mode_lab)
    full = wanted(lab, mode)
    culvert.start(full)
    changed = copy.deepcopy(full)
    changed["frontends"]["far"] = {"listen_addr": "192.0.2.77:80", "backend": "web"}
    reload(culvert, changed, outcome="refused")
    assert re.search(r"culvert\.toml:\d+:\d+: frontend far: no interface", culvert.log())
    assert culvert.log().count("frontend far: no interface") == 1, "once is enough"
    changed = copy.deepcopy(full)
    changed["backends"]["web"]["servers"]["self"] = {"addr": f"{lab.backend_facing_addr()}:80"}
    reload(culvert, changed, outcome="refused")
    assert re.search(r"culvert\.toml:\d+:\d+: backend .* is an address of this host", culvert.log())


def test_too_much_disruption_is_refused(mode_lab, make_culvert, mode):
    lab, culvert = mode_lab, make_culvert(mode_lab)
    full = wanted(lab, mode, reload={"max_disruption": 0.4})
    culvert.start(full)
    culvert.await_all_up()
    reload(culvert, without(full, "b1", "b2"), outcome="refused")
    assert culvert.log().count("max_disruption allows 40.0%") == 1, "once is enough"
    reload(culvert, without(full, "b1"))
    changed = without(full, "b1", "b2")
    changed["reload"]["max_disruption"] = 1.0
    reload(culvert, changed)
    assert set(http.short_connections(lab, 30)) == {"b3"}
