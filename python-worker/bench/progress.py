"""What a long measurement is doing, for whoever watches it."""

from __future__ import annotations

import sys
import time

_began = time.monotonic()


def progress(text: str) -> None:
    """One line, written over where somebody watches, one under the other elsewhere. Empty: wipes the line."""
    if text:
        text = f"{time.monotonic() - _began:4.0f} s  {text}"
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)
    elif text:
        print(text, file=sys.stderr, flush=True)
