"""A worker dies with its parent, whatever kills the parent: nobody else would ever stop it."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading

_PR_SET_PDEATHSIG = 1


def die_with_parent(parent: int) -> None:
    """Two watches: the kernel's, where there is one, and the end of stdin, which the parent holds open."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)
    threading.Thread(target=_watch_stdin, name="orphan-watch", daemon=True).start()


def _watch_stdin() -> None:
    while os.read(0, 4096):
        pass
    try:
        # What we started too, where we lead a group of our own.
        if os.getpgrp() == os.getpid():
            os.killpg(0, signal.SIGKILL)
    finally:
        os._exit(1)
