# SPDX-License-Identifier: Apache-2.0
"""GET /stats agrees with what the clients saw."""

import pytest

from harness import config, http
from harness.wait import await_condition


@pytest.mark.smoke
@pytest.mark.parametrize("workers", [0, 2])
def test_the_numbers_agree_with_the_clients_count(lab, culvert, workers):
    culvert.start(config.passthrough(lab, workers=workers))
    culvert.await_all_up()
    answers = http.short_connections(lab, 200)
    assert set(answers) == {"b1", "b2", "b3"}, answers
    culvert.ledger()
    stats = culvert.stats()
    assert stats["total_connections"] == 200
    for whole in (stats["frontends"]["web"], stats["backends"]["web"]):
        assert whole["total_connections"] == 200
        assert whole["bytes_tx"] == stats["total_bytes_tx"] > 0
        assert whole["bytes_rx"] == stats["total_bytes_rx"] > 0
    assert stats["packets"]["forwarded"] >= 200 * 8
    assert stats["packets"]["kernel_dropped"] == 0
    assert set(stats["backends"]["web"]["servers"]) == {
        f"{lab.backend_addr(name)}:80" for name in lab.backend_names()}


def test_current_connections_follow_open_and_close(lab, culvert):
    culvert.start(config.passthrough(lab))
    culvert.await_all_up()
    open_sockets = [http.connect(lab) for _ in range(25)]
    for sock in open_sockets:
        http.request(sock)
    assert culvert.stats()["current_connections"] == 25
    for sock in open_sockets:
        sock.close()
    await_condition(lambda: culvert.stats()["current_connections"] == 0,
                    "closed connections are no longer counted as current")
    assert culvert.stats()["total_connections"] == 25


def test_the_port_may_be_given_as_text(lab, culvert):
    culvert.start(config.passthrough(lab, stats={"port": "9000"}))
    assert culvert.stats()["total_connections"] == 0
