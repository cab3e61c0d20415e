"""Answers the worker contract without doing any of its work but for one file a picture."""

# ruff: noqa: ARG002, N802  names and arguments are those of the contract

from __future__ import annotations

import os
import platform
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, TypeAlias

import grpc

from bench.null_worker.picture import HEIGHT, PNG, SHA256, WIDTH
from safelight_worker.pb import worker_pb2 as pb
from safelight_worker.pb import worker_pb2_grpc

_MEBIBYTE = 1024 * 1024

# Generic in its stub only.
_Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"

_ACCEPTED = pb.RunResponse(accepted=pb.Accepted())
_SAVING = pb.RunResponse(phase_started=pb.PhaseStarted(phase=pb.PHASE_SAVE))
_MEMORY = pb.MemoryState(total_bytes=16_384 * _MEBIBYTE, free_bytes=8_192 * _MEBIBYTE, pressure=pb.MEMORY_PRESSURE_SAFE)


class NullServicer(worker_pb2_grpc.WorkerServiceServicer):
    """Every model is there, every attempt succeeds at once."""

    def __init__(self, device: str) -> None:
        self._device = device
        self._models: dict[str, pb.ModelFacts] = {}
        self._attempts: set[str] = set()
        self._looks = 0

    async def Describe(self, request: pb.DescribeRequest, context: _Context) -> pb.DescribeResponse:
        device = pb.Device(id=self._device, kind="cpu", name="nothing", total_memory_bytes=_MEMORY.total_bytes)
        versions = {"python": platform.python_version()}
        return pb.DescribeResponse(protocol=1, pid=os.getpid(), device=device, versions=versions)

    async def LoadModel(self, request: pb.LoadModelRequest, context: _Context) -> pb.LoadModelResponse:
        name = request.model.id
        if request.only_if_loaded and name not in self._models:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"{name} is not loaded")
        facts = pb.ModelFacts(id=name, pipeline_class="NullPipeline", runner="stepped", dtype="float32")
        return pb.LoadModelResponse(model=self._models.setdefault(name, facts))

    async def UnloadModel(self, request: pb.UnloadModelRequest, context: _Context) -> pb.UnloadModelResponse:
        return pb.UnloadModelResponse(found=self._models.pop(request.id, None) is not None)

    async def Run(self, request: pb.RunRequest, context: _Context) -> AsyncIterator[pb.RunResponse]:
        plan = request.plan
        self._attempts.add(plan.attempt_id)
        try:
            yield _ACCEPTED
            yield _SAVING
            began = time.time_ns() // 1_000_000
            artifacts = [_save(plan.output.staging_dir, index, seed) for index, seed in enumerate(plan.sampling.seeds)]
            phase = pb.PhaseTiming(phase=pb.PHASE_SAVE, started_at_ms=began, finished_at_ms=time.time_ns() // 1_000_000)
            yield pb.RunResponse(result=pb.Result(artifacts=artifacts, phases=[phase], effective=_effective(plan)))
        finally:
            self._attempts.discard(plan.attempt_id)

    async def Cancel(self, request: pb.CancelRequest, context: _Context) -> pb.CancelResponse:
        return pb.CancelResponse(found=False)

    async def Suspend(self, request: pb.SuspendRequest, context: _Context) -> pb.SuspendResponse:
        return pb.SuspendResponse(found=False)

    async def SetPreviews(self, request: pb.SetPreviewsRequest, context: _Context) -> pb.SetPreviewsResponse:
        return pb.SetPreviewsResponse(found=False)

    async def WatchMemory(
        self, request: pb.WatchMemoryRequest, context: _Context
    ) -> AsyncIterator[pb.WatchMemoryResponse]:
        yield pb.WatchMemoryResponse(memory=_MEMORY, models=list(self._models))

    async def GetHealth(self, request: pb.GetHealthRequest, context: _Context) -> pb.GetHealthResponse:
        self._looks += 1
        return pb.GetHealthResponse(
            state=pb.WORKER_STATE_BUSY if self._attempts else pb.WORKER_STATE_READY,
            loop_count=self._looks,
            attempt_ids=list(self._attempts),
            models=list(self._models),
            memory=_MEMORY,
        )


def _save(folder: str, index: int, seed: int) -> pb.Artifact:
    name = f"{index}.png"
    # On the loop on purpose: it takes microseconds, a thread would take more.
    Path(folder, name).write_bytes(PNG)
    return pb.Artifact(
        index=index,
        file_name=name,
        media_type="image/png",
        width=WIDTH,
        height=HEIGHT,
        size_bytes=len(PNG),
        sha256=SHA256,
        seed=seed,
    )


def _effective(plan: pb.ExecutionPlan) -> pb.Effective:
    return pb.Effective(
        num_inference_steps=plan.sampling.num_inference_steps,
        guidance_scale=plan.sampling.guidance_scale,
        width=WIDTH,
        height=HEIGHT,
        scheduler=plan.sampling.scheduler,
        dtype="float32",
        device="cpu:0",
        max_batch_images=1,
        pipeline_class="NullPipeline",
        runner="stepped",
    )
