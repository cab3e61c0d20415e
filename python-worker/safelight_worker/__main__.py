"""Entry point: ``python -m safelight_worker --socket PATH --device cpu:0``."""

from __future__ import annotations

import os

# First of all: while the libraries are imported, seconds pass in which a parent can die.
from safelight_worker import config, logs, orphan


def main() -> None:
    parent = os.getppid()
    settings = config.parse()
    logs.configure(settings.log_level, settings.hide_prompts)
    orphan.die_with_parent(parent)
    stdout = logs.claim_stdout()
    # The C core of gRPC writes to stderr on its own and not in JSON.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    # A worker reaches out to nothing: weights are local or missing.
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    import asyncio
    import logging
    import time

    log, began = logging.getLogger("safelight_worker"), time.monotonic()
    log.info("importing torch, diffusers and transformers")
    # Before the rest, for what transformers has to say while it is imported: it would go to stderr as plain text, and is that it
    # falls back to Pillow where torchvision is not installed, which it need not be.
    logs.quiet_libraries()
    logs.hear_libraries("error")
    from safelight_worker import server

    logs.hear_libraries("warning")
    log.info("imported", extra={"seconds": round(time.monotonic() - began, 2)})
    asyncio.run(server.serve(settings, stdout))


if __name__ == "__main__":
    main()
