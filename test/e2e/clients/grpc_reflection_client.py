"""A client of safelight.v1 that has no proto file and no generated code: all it knows comes from reflection.

Usage: grpc_reflection_client.py HOST:PORT. Prints one JSON object with what it saw; pictures as SHA-256 and size.
"""

import hashlib
import json
import sys
from collections.abc import Iterator
from typing import Any

import grpc
from google.protobuf import descriptor_pool, message_factory
from google.protobuf.json_format import MessageToDict
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

CALL_LIMIT_S = 90


class Service:
    """A service by its descriptor: methods are called with keyword arguments, in the words of the proto."""

    def __init__(self, channel: grpc.Channel, pool: descriptor_pool.DescriptorPool, name: str) -> None:
        self._channel = channel
        self._service = pool.FindServiceByName(name)

    def call(self, method_name: str, *, timeout: float = CALL_LIMIT_S, **fields: Any) -> Any:
        method = self._service.FindMethodByName(method_name)
        request_class = message_factory.GetMessageClass(method.input_type)
        response_class = message_factory.GetMessageClass(method.output_type)
        kind = self._channel.unary_stream if method.server_streaming else self._channel.unary_unary
        stub = kind(
            f"/{self._service.full_name}/{method.name}",
            request_serializer=request_class.SerializeToString,
            response_deserializer=response_class.FromString,
        )
        return stub(request_class(**fields), timeout=timeout)


def refusal(attempt: Any) -> dict[str, Any]:
    """How a call ends that is expected to be refused; streams are read to their end."""
    try:
        result = attempt()
        if isinstance(result, Iterator):
            for _ in result:
                pass
    except grpc.RpcError as error:
        trailers = {key: value for key, value in error.trailing_metadata() if isinstance(value, str)}
        return {"code": error.code().name, "details": error.details(), "trailers": trailers}
    return {"code": "OK"}


def main(address: str) -> dict[str, Any]:
    seen: dict[str, Any] = {}
    with grpc.insecure_channel(address) as channel:
        database = ProtoReflectionDescriptorDatabase(channel)
        seen["services"] = sorted(database.get_services())
        pool = descriptor_pool.DescriptorPool(database)
        health = Service(channel, pool, "grpc.health.v1.Health")
        jobs = Service(channel, pool, "safelight.v1.JobService")
        catalog = Service(channel, pool, "safelight.v1.CatalogService")

        # Tells when a worker takes work: the server has only just started.
        serving = 1
        for change in health.call("Watch", service="safelight.v1.JobService"):
            if change.status == serving:
                break
        seen["health"] = MessageToDict(health.call("Check", service=""))["status"]

        models = catalog.call("ListModels").models
        seen["models"] = [{"id": model.id, "family": model.family, "default": model.default} for model in models]
        seen["workers"] = [worker.state for worker in catalog.call("ListWorkers").workers]

        request = {
            "prompt": "a red circle left of a blue star",
            "num_inference_steps": 100,
            "width": 128,
            "height": 128,
        }
        events = []
        previews = []
        final = None
        for message in jobs.call("Generate", request={**request, "seed": 2**63 - 1}, previews=True):
            kind = message.event.WhichOneof("event")
            events.append(kind)
            if kind == "preview":
                previews.append(message.event.preview.data[:2].hex())
            if kind == "final":
                final = message.event.final
            job_id = message.job_id
        seen["events"] = events
        seen["preview_magic"] = sorted(set(previews))
        assert final is not None
        assert final.id == job_id
        seen["job"] = {
            "id": final.id,
            "state": final.state,
            "seed": str(final.request.seed),
            "attempts": [attempt.outcome for attempt in final.attempts],
            "effective_steps": final.effective["num_inference_steps"],
        }

        chunks = list(jobs.call("DownloadArtifact", job_id=job_id, index=0))
        picture = b"".join(chunk.chunk for chunk in chunks)
        facts = chunks[0].artifact
        seen["picture"] = {
            "sha256": hashlib.sha256(picture).hexdigest(),
            "bytes": len(picture),
            "told_sha256": facts.sha256,
            "told_bytes": facts.size_bytes,
            "media_type": facts.media_type,
        }

        replayed = jobs.call("WatchJob", id=job_id, after_event=0)
        seen["replayed"] = [message.event.WhichOneof("event") for message in replayed][-1]

        # A long job, whose call is cancelled once it denoises.
        long_job = {**request, "num_inference_steps": 150, "num_images": 4}
        call = jobs.call("Generate", request=long_job)
        for message in call:
            if message.event.WhichOneof("event") == "progress":
                call.cancel()
                break
        ended = list(jobs.call("WatchJob", id=message.job_id))[-1].event.final
        seen["after_cancel"] = {"state": ended.state, "step": ended.attempts[0].step}

        submitted = jobs.call("SubmitJob", request=long_job).job
        jobs.call("CancelJob", id=submitted.id)
        ended = list(jobs.call("WatchJob", id=submitted.id))[-1].event.final
        seen["after_cancel_job"] = ended.state

        late = refusal(lambda: jobs.call("Generate", request=long_job, timeout=0.5))
        latest = jobs.call("ListJobs", page_size=1).jobs[0]
        ended = list(jobs.call("WatchJob", id=latest.id))[-1].event.final
        seen["deadline"] = {"code": late["code"], "state": ended.state}

        seen["refusals"] = {
            "wrong size": refusal(lambda: jobs.call("SubmitJob", request={**request, "width": 65})),
            "no job": refusal(lambda: jobs.call("GetJob", id="nonsense")),
            "no artifact": refusal(lambda: jobs.call("DownloadArtifact", job_id=job_id, index=9)),
            "damaged": refusal(
                lambda: jobs.call(
                    "SubmitJob", request={**request, "init_image": {"data": b"no picture"}}, timeout=CALL_LIMIT_S
                )
            ),
        }
    return seen


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(sys.argv[1])))
