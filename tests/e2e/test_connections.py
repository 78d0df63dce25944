# SPDX-License-Identifier: Apache-2.0
"""TCP through every topology, with and without offloads, in every thread plan."""

import math

import pytest

from harness import config, http

TOPOLOGIES = ("one-arm", "two-arm", "routed")
EVERYWHERE = [pytest.param({"topology": topology, "offloads": offloads},
                           id=f"{topology}-offloads-{offloads}")
              for topology in TOPOLOGIES for offloads in ("on", "off")]
every_lab = pytest.mark.parametrize("lab", EVERYWHERE, indirect=True)
every_plan = pytest.mark.parametrize("workers", [0, 1, 3])


def assert_spread(answers, shares, count):
    """All answered, and each as often as its weight says, within six standard deviations."""
    assert sum(answers.values()) == count
    assert set(answers) == set(shares), answers
    total = sum(shares.values())
    for name, weight in shares.items():
        share = weight / total
        assert abs(answers[name] - count * share) <= 6 * math.sqrt(count * share * (1 - share)), answers


@every_lab
@every_plan
def test_short_connections_are_spread_by_weight(lab, culvert, workers):
    culvert.start(config.passthrough(lab, weights=[1, 2, 5], workers=workers))
    culvert.await_all_up()
    answers = http.short_connections(lab, 2000)
    assert_spread(answers, {"b1": 1, "b2": 2, "b3": 5}, 2000)
    assert culvert.stats()["total_connections"] == 2000


def test_ten_thousand_short_connections(lab, culvert):
    culvert.start(config.passthrough(lab, weights=[1, 2, 5]))
    culvert.await_all_up()
    answers = http.short_connections(lab, 10000)
    assert sum(answers.values()) == 10000
    for name, weight in {"b1": 1, "b2": 2, "b3": 5}.items():
        assert abs(answers[name] / 10000 - weight / 8) < 0.03, answers
    assert culvert.ledger()["dropped"] == 0


@pytest.mark.smoke
@pytest.mark.parametrize("workers", [0, 2])
def test_a_few_connections_in_each_plan(lab, culvert, workers):
    culvert.start(config.passthrough(lab, workers=workers))
    culvert.await_all_up()
    assert_spread(http.short_connections(lab, 300), {"b1": 1, "b2": 1, "b3": 1}, 300)


@pytest.mark.parametrize("lab", EVERYWHERE[::2], indirect=True)
def test_backends_see_the_balancer_as_their_client(lab, culvert):
    culvert.start(config.passthrough(lab))
    culvert.await_all_up()
    name, addr, port = http.get(lab, "/whoami").split()
    assert name in lab.backend_names()
    assert addr == lab.backend_facing_addr()
    assert 33768 <= int(port) <= 61000


@every_lab
@pytest.mark.parametrize("workers", [0, 2])
def test_a_kept_connection_stays_with_its_backend(lab, culvert, workers):
    culvert.start(config.passthrough(lab, workers=workers))
    culvert.await_all_up()

    def converse(_):
        with http.connect(lab) as sock:
            answers = {http.request(sock) for _ in range(40)}
        assert len(answers) == 1, answers

    http.run_threads(converse, range(50))
    assert culvert.stats()["total_connections"] == 50


def test_weight_zero_takes_no_new_connection(lab, culvert):
    culvert.start(config.passthrough(lab, weights=[1, 0, 1]))
    culvert.await_all_up()
    assert_spread(http.short_connections(lab, 400), {"b1": 1, "b3": 1}, 400)


def test_source_ip_hash_keeps_a_client_with_one_backend(lab, culvert):
    for last in range(20, 60):
        lab.run("client", "ip", "addr", "add", f"10.0.0.{last}/24", "dev", "eth0")
    culvert.start(config.passthrough(lab, frontends={"web": {"hash": "source-ip"}}))
    culvert.await_all_up()
    used = set()
    for last in range(20, 60):
        answers = {http.get(lab, source=(f"10.0.0.{last}", 0)) for _ in range(5)}
        assert len(answers) == 1, answers
        used |= answers
    assert used == {"b1", "b2", "b3"}


def test_two_frontends_with_pools_of_their_own(lab, culvert):
    settings = config.passthrough(
        lab,
        frontends={"other": {"listen_addr": "10.0.0.1:8080", "backend": "other"}},
        backends={"other": {"health_check_interval": 0.2, "servers": {
            "b1": {"addr": f"{lab.backend_addr('b1')}:8080"}}}})
    del settings["backends"]["web"]["servers"]["b1"]
    culvert.start(settings)
    culvert.await_backend("b1", pool="other", port=8080)
    for host in ("b2", "b3"):
        culvert.await_backend(host)
    assert set(http.short_connections(lab, 200)) == {"b2", "b3"}
    assert set(http.short_connections(lab, 200, port=8080)) == {"b1"}


def test_other_ports_of_the_virtual_address_belong_to_the_kernel(lab, culvert):
    culvert.start(config.passthrough(lab))
    culvert.await_all_up()
    assert http.outcome(lab, port=81) == "ConnectionRefusedError"
    lab.run("client", "ping", "-c", "1", "-W", "2", "10.0.0.1")
