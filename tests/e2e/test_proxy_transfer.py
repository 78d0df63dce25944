# SPDX-License-Identifier: Apache-2.0
"""Many connections and large transfers through proxy mode, by copying and by splice(2). BULK_MIB
sets the size of the large ones."""

import os
import pathlib
import re

import pytest

from harness import config, http
from harness.lab import VIP, Lab
from test_bulk import FULL_BYTES, make_file, sha256_of

BULK_BYTES = int(os.environ.get("BULK_MIB", "256" if os.environ.get("FULL") else "64")) << 20
EVERY_BACKEND = {"b1", "b2", "b3"}
both_ways_of_moving = pytest.mark.parametrize("splice", [True, False], ids=["splice", "copy"])


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    directory = tmp_path_factory.mktemp("files")
    yield directory
    for path in directory.iterdir():
        path.unlink()


@pytest.fixture(scope="module")
def lab(files):
    lab = Lab(files=files)
    yield lab
    lab.down()


@pytest.fixture(scope="module")
def big(files):
    """(name, size, SHA-256)"""
    return "big", BULK_BYTES, make_file(files / "big", BULK_BYTES)


def start(culvert, lab, **overrides):
    culvert.start(config.proxy(lab, **overrides))
    culvert.await_all_up()


def transfer(lab, proxy, files, splice, big):
    name, size, digest = big
    start(proxy, lab, proxy={"splice": splice})
    assert http.download(lab, f"/files/{name}") == (size, digest)
    http.upload(lab, f"/files/uploaded-{lab.name}", files / name)
    uploaded = pathlib.Path(files / f"uploaded-{lab.name}")
    assert sha256_of(uploaded) == digest
    uploaded.unlink()
    proxy.all_ended()
    stats = proxy.stats()
    for side in ("tx", "rx"):
        assert size < stats[f"total_bytes_{side}"] < size + 2000, stats
    assert stats["sessions"]["ends"]["completed"] == 2


@both_ways_of_moving
def test_bulk_both_ways(lab, proxy, files, big, splice):
    transfer(lab, proxy, files, splice, big)


@pytest.mark.smoke
@both_ways_of_moving
def test_a_small_file_both_ways(lab, proxy, files, splice):
    small = "small", 8 << 20, make_file(files / "small", 8 << 20)
    transfer(lab, proxy, files, splice, small)


@pytest.mark.full
@both_ways_of_moving
def test_two_gibibytes_both_ways(lab, proxy, files, splice):
    huge = "huge", FULL_BYTES, make_file(files / "huge", FULL_BYTES)
    transfer(lab, proxy, files, splice, huge)


@both_ways_of_moving
def test_64_downloads_at_once(lab, proxy, files, splice):
    """More than there are pipes for."""
    size = 4 << 20
    digest = make_file(files / "part", size)
    start(proxy, lab, proxy={"splice": splice, "max_connections": 64})

    def fetch(_):
        assert http.download(lab, "/files/part") == (size, digest)

    http.run_threads(fetch, range(64))
    sessions = proxy.all_ended()
    assert sessions["accepted"] == sessions["ends"]["completed"] == 64
    assert proxy.stats()["total_bytes_rx"] > 64 * size


@pytest.mark.stress
def test_ten_thousand_short_connections(lab, proxy):
    start(proxy, lab)
    before = proxy.n_descriptors()
    answers = http.short_connections(lab, 10000)
    assert set(answers) == EVERY_BACKEND and sum(answers.values()) == 10000, answers
    sessions = proxy.all_ended()
    assert sessions["accepted"] == sessions["ends"]["completed"] == 10000
    assert sum(proxy.server_stats(name)["connects"]["connected"] for name in EVERY_BACKEND) == 10000
    assert proxy.n_descriptors() <= before + 1  # a probe may be under way


def wrk(lab, *args):
    """wrk's report, checked to have no errors; the number of requests."""
    report = lab.run("client", "wrk", "-t2", "-c100", "-d1s", *args, f"http://{VIP}/").stdout
    assert "Socket errors" not in report and "Non-2xx" not in report, report
    return int(re.search(r"(\d+) requests in", report)[1])


@pytest.mark.parametrize("scheduler", ["maglev", "least-connections"])
@pytest.mark.parametrize("arguments", [(), ("-H", "Connection: close")],
                         ids=["keep-alive", "a connection per request"])
def test_wrk_finds_no_error(lab, proxy, arguments, scheduler):
    start(proxy, lab, frontends={"web": {"scheduler": scheduler}})
    count = wrk(lab, *arguments)
    sessions = proxy.all_ended()
    assert count > 500
    assert sessions["accepted"] >= (count if arguments else 100)
    # wrk resets what is open when its time is over.
    assert sessions["accepted"] == sum(sessions["ends"][end]
                                       for end in ("completed", "client_reset")), sessions
    assert sessions["ends"]["client_reset"] <= 200
