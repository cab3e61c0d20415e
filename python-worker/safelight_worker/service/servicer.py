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

#: How often memory is looked at while somebody watches it: a change of pressure is told this soon.
_SHORTEST_WATCH_SECONDS = 0.1

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
            loading = self._engine.load(
                mapping.model_spec(request.model),
                request.pinned,
                request.keep_alive_ms / 1000,
                mapping.memory_plan(request.memory),
                request.only_if_loaded,
            )
            loaded = await asyncio.wrap_future(loading)
        except WorkerError as error:
            await context.abort(_CODES.get(error.kind, grpc.StatusCode.INTERNAL), error.message)
        return pb.LoadModelResponse(model=mapping.model_facts(loaded))

    async def UnloadModel(self, request: pb.UnloadModelRequest, context: _Context) -> pb.UnloadModelResponse:
        try:
            found = await asyncio.wrap_future(self._engine.unload(request.id))
        except WorkerError as error:
            in_use = error.kind is FailureKind.INVALID_REQUEST
            code = grpc.StatusCode.FAILED_PRECONDITION if in_use else _CODES.get(error.kind, grpc.StatusCode.INTERNAL)
            await context.abort(code, error.message)
        return pb.UnloadModelResponse(found=found)

    async def Run(self, request: pb.RunRequest, context: _Context) -> AsyncIterator[pb.RunResponse]:
        outbox = Outbox(asyncio.get_running_loop())
        try:
            plan = mapping.plan(request.plan)
            self._engine.submit(plan, outbox.put)
        except WorkerError as error:
            yield pb.RunResponse(accepted=pb.Accepted())
            yield mapping.response(Failed(error.kind, None, 0, error.message, field=error.field), self._versions)
            return
        ended = False
        try:
            # Told once the engine has it: who hears this may cancel or suspend it.
            yield pb.RunResponse(accepted=pb.Accepted())
            async for event in outbox.drain():
                ended = isinstance(event, TERMINAL)
                yield mapping.response(event, self._versions)
        finally:
            # Reached by a client that went away too, as GeneratorExit while a write blocks.
            if not ended:
                self._engine.cancel(plan.attempt_id)

    async def Cancel(self, request: pb.CancelRequest, context: _Context) -> pb.CancelResponse:
        return pb.CancelResponse(found=self._engine.cancel(request.attempt_id))

    async def Suspend(self, request: pb.SuspendRequest, context: _Context) -> pb.SuspendResponse:
        return pb.SuspendResponse(found=self._engine.suspend(request.attempt_id))

    async def WatchMemory(
        self, request: pb.WatchMemoryRequest, context: _Context
    ) -> AsyncIterator[pb.WatchMemoryResponse]:
        interval = max(_SHORTEST_WATCH_SECONDS, request.interval_ms / 1000)
        told_at, told = 0.0, None
        while not self.draining:
            state = mapping.memory_state(*self._engine.memory_state())
            now = asyncio.get_running_loop().time()
            if now - told_at >= interval or state.pressure != told:
                told_at, told = now, state.pressure
                yield pb.WatchMemoryResponse(memory=state, models=self._engine.model_ids)
            await asyncio.sleep(_SHORTEST_WATCH_SECONDS)

    async def SetPreviews(self, request: pb.SetPreviewsRequest, context: _Context) -> pb.SetPreviewsResponse:
        return pb.SetPreviewsResponse(found=self._engine.set_previews(request.attempt_id, request.interval_ms))

    async def GetHealth(self, request: pb.GetHealthRequest, context: _Context) -> pb.GetHealthResponse:
        attempts = self._engine.attempt_ids
        response = pb.GetHealthResponse(
            state=self._state(bool(attempts)),
            loop_count=self._engine.loop_count,
            phase=mapping.phase(self._engine.phase),
            attempt_ids=attempts,
            models=self._engine.model_ids,
            memory=mapping.memory_state(*self._engine.memory_state()),
        )
        response.loop_age.FromNanoseconds(int(self._engine.loop_age * 1e9))
        return response

    def _state(self, busy: bool) -> pb.WorkerState:
        if self.draining:
            return pb.WORKER_STATE_DRAINING
        return pb.WORKER_STATE_BUSY if busy else pb.WORKER_STATE_READY
