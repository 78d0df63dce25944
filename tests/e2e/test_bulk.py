# SPDX-License-Identifier: Apache-2.0
"""Large transfers both ways, compared by SHA-256. BULK_MIB sets their size."""

import hashlib
import os
import pathlib

import pytest

from harness import config, http
from test_connections import EVERYWHERE

BULK_BYTES = int(os.environ.get("BULK_MIB", "256" if os.environ.get("FULL") else "64")) << 20
FULL_BYTES = 2 << 30
PIECE = 1 << 20


def make_file(path, size):
    """Bytes that do not repeat soon; returns their SHA-256."""
    seed = os.urandom(PIECE)
    digest = hashlib.sha256()
    with open(path, "wb") as file:
        for offset in range(0, size, PIECE):
            piece = (offset.to_bytes(8, "big") + seed)[:min(PIECE, size - offset)]
            file.write(piece)
            digest.update(piece)
    return digest.hexdigest()


def sha256_of(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    directory = tmp_path_factory.mktemp("files")
    yield directory
    for path in directory.iterdir():
        path.unlink()


@pytest.fixture(scope="module")
def big(files):
    """(name, size, SHA-256)"""
    return "big", BULK_BYTES, make_file(files / "big", BULK_BYTES)


def transfer(lab, culvert, files, workers, big):
    name, size, digest = big
    culvert.start(config.passthrough(lab, workers=workers))
    culvert.await_all_up()
    assert http.download(lab, f"/files/{name}") == (size, digest)
    http.upload(lab, f"/files/uploaded-{lab.name}", files / name)
    uploaded = pathlib.Path(files / f"uploaded-{lab.name}")
    assert sha256_of(uploaded) == digest
    uploaded.unlink()
    stats = culvert.stats()
    assert stats["total_bytes_tx"] > size and stats["total_bytes_rx"] > size


@pytest.mark.parametrize("where", [param.values[0] for param in EVERYWHERE],
                         ids=[param.id for param in EVERYWHERE])
@pytest.mark.parametrize("workers", [0, 2])
def test_bulk_both_ways(make_lab, make_culvert, files, big, where, workers):
    lab = make_lab(files=files, **where)
    transfer(lab, make_culvert(lab), files, workers, big)


@pytest.mark.smoke
def test_a_small_file_both_ways(make_lab, make_culvert, files):
    lab = make_lab(files=files)
    small = "small", 8 << 20, make_file(files / "small", 8 << 20)
    transfer(lab, make_culvert(lab), files, 2, small)


@pytest.mark.full
@pytest.mark.parametrize("workers", [0, 2])
def test_two_gibibytes_both_ways(make_lab, make_culvert, files, workers):
    lab = make_lab(files=files)
    huge = "huge", FULL_BYTES, make_file(files / "huge", FULL_BYTES)
    transfer(lab, make_culvert(lab), files, workers, huge)
