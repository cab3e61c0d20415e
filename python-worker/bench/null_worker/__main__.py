"""``python -m bench.null_worker --socket PATH --device cpu:0``: takes the command line of the real worker."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal

import grpc

from bench.null_worker.servicer import NullServicer
from safelight_worker import orphan
from safelight_worker.pb import worker_pb2_grpc


async def serve(socket: str, device: str) -> None:
    """Serves until SIGTERM."""
    server = grpc.aio.server()
    worker_pb2_grpc.add_WorkerServiceServicer_to_server(NullServicer(device), server)
    address = f"unix:{socket}"
    server.add_insecure_port(address)
    await server.start()
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    print(json.dumps({"event": "ready", "address": address, "pid": os.getpid(), "protocol": 1}), flush=True)
    await stop.wait()
    await server.stop(grace=1.0)


def main() -> None:
    """Options that only matter to an engine are read and left alone."""
    parser = argparse.ArgumentParser(prog="null_worker", description=__doc__)
    parser.add_argument("--socket", required=True)
    parser.add_argument("--device", required=True)
    given, _ = parser.parse_known_args()
    orphan.die_with_parent(os.getppid())
    asyncio.run(serve(given.socket, given.device))


if __name__ == "__main__":
    main()
