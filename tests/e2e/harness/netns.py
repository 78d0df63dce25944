# SPDX-License-Identifier: Apache-2.0
"""Entering a network namespace with one thread. A socket stays where it was made, so a test can
open sockets on any host of the lab and use them from its own process."""

import contextlib
import ctypes
import os

CLONE_NEWNET = 0x40000000

_libc = ctypes.CDLL(None, use_errno=True)


def _set_namespace(fd):
    if _libc.setns(fd, CLONE_NEWNET) != 0:
        error = ctypes.get_errno()
        raise OSError(error, f"setns: {os.strerror(error)}")


@contextlib.contextmanager
def inside(namespace):
    """The calling thread, and no other, is in `namespace` within the block."""
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    try:
        target = os.open(f"/run/netns/{namespace}", os.O_RDONLY)
        try:
            _set_namespace(target)
        finally:
            os.close(target)
        try:
            yield
        finally:
            _set_namespace(home)
    finally:
        os.close(home)
