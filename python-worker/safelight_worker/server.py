"""Life of a worker process: imports, listens, serves, drains."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import platform
import signal
import sys
import time
from importlib import metadata
from typing import TextIO

import grpc
import torch

from safelight_worker.config import Settings
from safelight_worker.engine.create import create_engine
from safelight_worker.engine.engine import Engine
from safelight_worker.pb import worker_pb2 as pb
from safelight_worker.pb import worker_pb2_grpc
from safelight_worker.service.servicer import PROTOCOL, WorkerServicer

log = logging.getLogger(__name__)

#: Seconds a stopping worker waits for the engine to come out of its step.
_STOP_SECONDS = 8.0

#: Seconds between the last event of the last attempt and the end of the connection: a client that writes to a closed one (a
#: window update, say) loses what it has not read yet, and with it how its attempts ended.
_LINGER_SECONDS = 0.3

#: Packages whose versions shape a picture.
_SHAPING = ("torch", "diffusers", "transformers", "tokenizers", "safetensors", "accelerate", "peft", "numpy", "pillow")

_OPTIONS = [
    ("grpc.max_receive_message_length", 1 << 20),
    # The orchestrator may ping a silent stream as often as this.
    ("grpc.http2.min_ping_interval_without_data_ms", 500),
    ("grpc.so_reuseport", 0),
]


def versions() -> dict[str, str]:
    """By package name; absent packages are left out."""
    found = {"python": platform.python_version()}
    for name in _SHAPING:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


async def serve(settings: Settings, stdout: TextIO) -> None:
    """Serves until SIGTERM or SIGINT; a second one ends at once. The ready line, one JSON object, goes to ``stdout``."""
    began = time.monotonic()
    device = torch.device(settings.device)
    try:
        engine = create_engine(
            device,
            settings.data_dir,
            settings.threads,
            budget_bytes=settings.memory_budget_bytes,
            faults=settings.faults,
        )
    except ValueError as error:
        log.critical("the command line cannot be followed", extra={"why": str(error)})
        sys.exit(2)
    if settings.faults:
        log.warning("faults are made on purpose", extra={"rules": settings.faults})
    servicer = WorkerServicer(engine, _describe(settings.device, engine), versions())
    server = grpc.aio.server(options=_OPTIONS)
    worker_pb2_grpc.add_WorkerServiceServicer_to_server(servicer, server)
    address = f"unix:{settings.socket}"
    server.add_insecure_port(address)
    await server.start()
    engine.start()
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def on_signal() -> None:
        if stop.is_set():
            os._exit(1)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal)
    ready = {"event": "ready", "address": address, "pid": os.getpid(), "protocol": PROTOCOL}
    stdout.write(json.dumps(ready) + "\n")
    stdout.flush()
    log.info("ready", extra={"address": address, "seconds": round(time.monotonic() - began, 2)})
    await stop.wait()
    servicer.draining = True
    log.info("draining")
    in_time = await asyncio.to_thread(engine.stop, _STOP_SECONDS)
    await asyncio.sleep(_LINGER_SECONDS)
    await server.stop(grace=1.0)
    log.info("stopped", extra={"in_time": in_time})
    sys.stderr.flush()
    if not in_time:
        # The interpreter would pull the libraries from under the engine's thread.
        os._exit(0)


def _describe(name: str, engine: Engine) -> pb.Device:
    kind = name.split(":")[0]
    title = torch.cuda.get_device_name() if kind == "cuda" else platform.processor() or platform.machine()
    return pb.Device(id=name, kind=kind, name=title, total_memory_bytes=engine.memory.state().total)
