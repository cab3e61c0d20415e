"""The gRPC service: translates and nothing else."""

# ruff: noqa: ARG002, N802  names and arguments are those of the contract

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from typing import Any, TypeAlias

import grpc

from safelight_worker.engine.engine import Engine
from safelight_worker.engine.events import TERMINAL, Failed
from safelight_worker.pb import worker_pb2 as pb
from safelight_worker.pb import worker_pb2_grpc
from safelight_worker.service import mapping
from safelight_worker.service.outbox import Outbox
from safelight_worker.types import FailureKind, WorkerError

#: Major version of the contract.
PROTOCOL = 1

#: Answers of LoadModel to failures it can name.
_CODES = {
    FailureKind.MODEL_UNAVAILABLE: grpc.StatusCode.NOT_FOUND,
    FailureKind.INVALID_REQUEST: grpc.StatusCode.INVALID_ARGUMENT,
    FailureKind.DEVICE_OUT_OF_MEMORY: grpc.StatusCode.RESOURCE_EXHAUSTED,
    FailureKind.WORKER_STOPPING: grpc.StatusCode.UNAVAILABLE,
}

# Generic in its stub only.
_Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


class WorkerServicer(worker_pb2_grpc.WorkerServiceServicer):
    """Runs on the event loop; never touches torch's device and never waits for the engine but where the call is that."""

    def __init__(self, engine: Engine, device: pb.Device, versions: dict[str, str]) -> None:
        self._engine = engine
        self._device = device
        self._versions = versions
        self.draining = False

    async def Describe(self, request: pb.DescribeRequest, context: _Context) -> pb.DescribeResponse:
        schedulers = [
            pb.SchedulerDescription(class_name=name, options=options)
            for name, options in self._engine.accepted_schedulers.items()
        ]
        return pb.DescribeResponse(
            protocol=PROTOCOL, pid=os.getpid(), device=self._device, versions=self._versions, schedulers=schedulers
        )

    async def LoadModel(self, request: pb.LoadModelRequest, context: _Context) -> pb.LoadModelResponse:
        try:
            loaded = await asyncio.wrap_future(self._engine.load(mapping.model_spec(request.model)))
        except WorkerError as error:
            await context.abort(_CODES.get(error.kind, grpc.StatusCode.INTERNAL), error.message)
        return pb.LoadModelResponse(model=mapping.model_facts(loaded))

    async def Run(self, request: pb.RunRequest, context: _Context) -> AsyncIterator[pb.RunResponse]:
        yield pb.RunResponse(accepted=pb.Accepted())
        outbox = Outbox(asyncio.get_running_loop())
        try:
            plan = mapping.plan(request.plan)
            self._engine.submit(plan, outbox.put)
        except WorkerError as error:
            yield mapping.response(Failed(error.kind, None, 0, error.message, field=error.field), self._versions)
            return
        ended = False
        try:
            async for event in outbox.drain():
                ended = isinstance(event, TERMINAL)
                yield mapping.response(event, self._versions)
        finally:
            # Reached by a client that went away too, as GeneratorExit while a write blocks.
            if not ended:
                self._engine.cancel(plan.attempt_id)

    async def Cancel(self, request: pb.CancelRequest, context: _Context) -> pb.CancelResponse:
        return pb.CancelResponse(found=self._engine.cancel(request.attempt_id))

    async def SetPreviews(self, request: pb.SetPreviewsRequest, context: _Context) -> pb.SetPreviewsResponse:
        return pb.SetPreviewsResponse(found=self._engine.set_previews(request.attempt_id, request.interval_ms))

    async def GetHealth(self, request: pb.GetHealthRequest, context: _Context) -> pb.GetHealthResponse:
        attempts = self._engine.attempt_ids
        memory = self._engine.memory.state()
        response = pb.GetHealthResponse(
            state=self._state(bool(attempts)),
            loop_count=self._engine.loop_count,
            phase=mapping.phase(self._engine.phase),
            attempt_ids=attempts,
            models=self._engine.model_ids,
            memory=pb.MemoryState(
                total_bytes=memory.total,
                free_bytes=memory.free,
                allocated_bytes=memory.allocated,
                reserved_bytes=memory.reserved,
                peak_bytes=memory.peak,
            ),
        )
        response.loop_age.FromNanoseconds(int(self._engine.loop_age * 1e9))
        return response

    def _state(self, busy: bool) -> pb.WorkerState:
        if self.draining:
            return pb.WORKER_STATE_DRAINING
        return pb.WORKER_STATE_BUSY if busy else pb.WORKER_STATE_READY
