"""A request view shares what is heavy and owns what a call changes."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from diffusers import DiffusionPipeline, EulerDiscreteScheduler
from diffusers.schedulers.scheduling_utils import SchedulerMixin

from safelight_worker.runners.request_view import fresh_scheduler, request_view
from safelight_worker.types import FailureKind, WorkerError
from tests.support import tiny
from tests.support.engines import CPU


@pytest.fixture(params=sorted(tiny.BUILDERS))
def pipe(request: pytest.FixtureRequest) -> DiffusionPipeline:
    return tiny.BUILDERS[request.param]()


def test_heavy_modules_are_the_very_same(pipe: DiffusionPipeline) -> None:
    view = request_view(pipe, CPU)
    for name, component in pipe.components.items():
        if isinstance(component, torch.nn.Module):
            assert getattr(view, name) is component


def test_every_scheduler_is_fresh_and_equal(pipe: DiffusionPipeline) -> None:
    pipe.low_res_scheduler = EulerDiscreteScheduler()
    view = request_view(pipe, CPU)
    for name in ("scheduler", "low_res_scheduler"):
        own, base = getattr(view, name), getattr(pipe, name)
        assert own is not base
        assert type(own) is type(base)
        assert dict(own.config) == dict(base.config)


def test_a_shift_that_is_not_in_the_config_survives() -> None:
    from diffusers import FlowMatchEulerDiscreteScheduler

    base = FlowMatchEulerDiscreteScheduler()
    base.set_shift(5.0)
    assert fresh_scheduler(base).shift == 5.0
    assert type(base).from_config(base.config).shift != 5.0


def test_small_containers_and_tensors_are_private(pipe: DiffusionPipeline) -> None:
    pipe.kept = {"a": 1}
    pipe.list = [1]
    pipe.set = {1}
    pipe.small = torch.zeros(10)
    view = request_view(pipe, CPU)
    view.kept["b"] = 2
    view.list.append(2)
    view.set.add(2)
    view.small += 1
    assert (pipe.kept, pipe.list, pipe.set) == ({"a": 1}, [1], {1})
    assert pipe.small.sum() == 0


def test_a_tensor_above_the_threshold_is_shared(pipe: DiffusionPipeline) -> None:
    pipe.small, pipe.large = torch.zeros(10), torch.zeros(11)
    view = request_view(pipe, CPU, shared_above=10)
    assert view.large is pipe.large
    assert view.small is not pipe.small


def test_components_can_be_listed_and_the_config_read(pipe: DiffusionPipeline) -> None:
    view = request_view(pipe, CPU)
    assert view.components.keys() == pipe.components.keys()
    assert view.vae.config.sample_size == 64
    assert dict(view.config) == dict(pipe.config)


def test_sdxl_finds_its_rule_for_empty_prompts_as_an_attribute() -> None:
    view = request_view(tiny.sdxl(), CPU)
    assert view.config.force_zeros_for_empty_prompt is True


def test_a_view_is_of_its_family_and_runs_where_it_is_told(pipe: DiffusionPipeline) -> None:
    view = request_view(pipe, torch.device("meta"))
    assert isinstance(view, type(pipe))
    assert view._execution_device == torch.device("meta")
    assert type(request_view(pipe, CPU)) is type(view)


def test_freeing_hooks_does_nothing(pipe: DiffusionPipeline) -> None:
    view = request_view(pipe, CPU)
    moved: list[str] = []
    view.vae.to = lambda *_: moved.append("vae")
    assert view.maybe_free_model_hooks() is None
    assert moved == []


def test_no_bar_is_drawn(pipe: DiffusionPipeline, capsys: pytest.CaptureFixture[str]) -> None:
    view = request_view(pipe, CPU)
    with view.progress_bar(total=3) as bar:
        bar.update()
    assert list(view.progress_bar([1, 2])) == [1, 2]
    assert capsys.readouterr().err == ""


def test_the_base_is_not_touched_by_a_call_through_a_view(pipe: DiffusionPipeline) -> None:
    before = {name: copy.copy(value) for name, value in vars(pipe).items() if not isinstance(value, SchedulerMixin)}
    scheduler = repr(vars(pipe.scheduler))
    request_view(pipe, CPU)("a red circle", num_inference_steps=2, width=64, height=64, output_type="np")
    assert vars(pipe).keys() - {"scheduler"} == before.keys()
    for name, value in before.items():
        if not isinstance(value, torch.nn.Module):
            assert repr(vars(pipe)[name]) == repr(value), name
    assert repr(vars(pipe.scheduler)) == scheduler


class Uncopyable(EulerDiscreteScheduler):  # type: ignore[misc]
    """Can be rebuilt."""

    def __deepcopy__(self, _memo: Any) -> Any:
        raise TypeError("holds a lock")


class Unshareable(Uncopyable):
    """Can be neither copied nor rebuilt."""

    @classmethod
    def from_config(cls, *_: Any, **__: Any) -> Any:
        raise ValueError("needs a key")


def test_a_scheduler_that_cannot_be_copied_is_rebuilt(pipe: DiffusionPipeline) -> None:
    pipe.scheduler = Uncopyable(timestep_spacing="trailing")
    view = request_view(pipe, CPU)
    assert view.scheduler is not pipe.scheduler
    assert view.scheduler.config.timestep_spacing == "trailing"


def test_a_scheduler_that_can_be_neither_is_an_error_and_never_shared(pipe: DiffusionPipeline) -> None:
    pipe.scheduler = Unshareable()
    with pytest.raises(WorkerError, match=r"Unshareable.*lock.*key") as caught:
        request_view(pipe, CPU)
    assert caught.value.kind is FailureKind.INTERNAL
