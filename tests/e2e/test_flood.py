# SPDX-License-Identifier: Apache-2.0
"""A SYN flood from invented addresses must not break those who are being served."""

import hashlib
import os
import subprocess
import threading

import pytest

from harness import config, http
from harness.lab import VIP

SECONDS = 10
RATE = 100000
DOWNLOADS = 100
FILE_BYTES = 4 << 20


@pytest.mark.stress
@pytest.mark.parametrize("workers", [0, 2])
def test_downloads_survive_a_syn_flood(make_lab, make_culvert, support, tmp_path, workers):
    content = os.urandom(FILE_BYTES)
    (tmp_path / "file").write_bytes(content)
    tmp_path.chmod(0o755)
    expected = FILE_BYTES, hashlib.sha256(content).hexdigest()
    lab = make_lab(files=tmp_path)
    culvert = make_culvert(lab)
    culvert.start(config.passthrough(lab, workers=workers))
    culvert.await_all_up()
    got = []
    all_running = threading.Barrier(DOWNLOADS + 1, timeout=30)

    def fetch(_):
        got.append(http.download(lab, "/files/file", rate=FILE_BYTES / (SECONDS + 2),
                                 on_start=all_running.wait))

    def flood(_):
        all_running.wait()
        process = lab.spawn("client", support("flood"), "--dst", f"{VIP}:80", "--rate", RATE,
                            "--seconds", SECONDS, stdout=subprocess.PIPE, text=True)
        sent, _ = process.communicate(timeout=60)
        assert process.returncode == 0
        assert int(sent) > RATE * SECONDS / 4  # as much as a busy machine lets it

    http.run_threads(lambda task: task(None), [flood] + [fetch] * DOWNLOADS)
    assert got == [expected] * DOWNLOADS
    # Half-open flows give way: new clients are served again at once.
    answers = http.short_connections(lab, 100)
    assert set(answers) == {"b1", "b2", "b3"}, answers
