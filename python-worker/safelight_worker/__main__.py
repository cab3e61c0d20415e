"""Entry point: ``python -m safelight_worker --socket PATH --device cpu:0``."""

from __future__ import annotations

import os

# First of all: while the libraries are imported, seconds pass in which a parent can die.
from safelight_worker import config, logs, orphan


def main() -> None:
    parent = os.getppid()
    settings = config.parse()
    logs.configure(settings.log_level)
    orphan.die_with_parent(parent)
    import asyncio
    import logging

    logging.getLogger(__name__).info("importing torch, diffusers and transformers")
    from safelight_worker import server

    asyncio.run(server.serve(settings))


if __name__ == "__main__":
    main()
