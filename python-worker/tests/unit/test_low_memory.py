"""Memory plans are followed by the engine, for every family, and cost no bit of a picture but where they say so."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers.models.attention_processor import SlicedAttnProcessor

from safelight_worker.engine.events import PhaseStarted, StepFinished
from safelight_worker.engine.turns import Turns
from safelight_worker.placement.phase_loader import PhaseLoader
from safelight_worker.types import FailureKind, Inputs, IpAdapterInput, MemoryPlan, Phase, Plan, Residency, Tiling
from tests.support import tiny_other
from tests.support.engines import Workbench, same
from tests.support.exactness import TOLERANCE
from tests.support.gates import held, replaced

FAMILIES = ("sd", "sdxl", "sd3", "flux")
DENOISER = {"sd": "unet", "sdxl": "unet", "sd3": "transformer", "flux": "transformer"}
PHASE, GROUP = Residency.PHASE, Residency.GROUP_OFFLOAD


def modules(bench: Workbench, folder: Path) -> dict[str, torch.nn.Module]:
    parts = bench.load(folder).model.pipe.components
    return {name: each for name, each in parts.items() if isinstance(each, torch.nn.Module)}


def in_phases(bench: Workbench, folder: Path) -> MemoryPlan:
    return MemoryPlan(residency=dict.fromkeys(modules(bench, folder), PHASE))


def loader_of(bench: Workbench, folder: Path) -> PhaseLoader:
    loader: PhaseLoader = bench.load(folder).runner._placement._loader
    return loader


@contextmanager
def seen_at_forwards(bench: Workbench, folder: Path) -> Iterator[list[tuple[str, frozenset[str]]]]:
    """Which component computed, and whose weights lay on the device as a whole meanwhile."""
    seen: list[tuple[str, frozenset[str]]] = []
    loader = loader_of(bench, folder)
    hooks: list[Any] = []
    for name, module in modules(bench, folder).items():
        # A VAE's own forward is never called.
        parts: Any = (module.encoder, module.decoder) if name == "vae" else (module,)
        hooks += [
            part.register_forward_pre_hook(lambda *_, n=name: seen.append((n, loader.on_device()))) for part in parts
        ]
    try:
        yield seen
    finally:
        for hook in hooks:
            hook.remove()


def vae_fields(vae: Any) -> dict[str, Any]:
    return {name: value for name, value in vars(vae).items() if name.startswith(("use_", "tile_"))}


# -------------------------------------------------------------------- residency


@pytest.mark.parametrize("family", FAMILIES)
def test_phase_after_phase_the_picture_is_the_resident_one_and_phases_never_meet(
    bench: Workbench, folders: dict[str, Path], family: str
) -> None:
    folder = folders[family]
    (resident,) = bench.run(bench.plan(folder))
    plan = in_phases(bench, folder)
    with seen_at_forwards(bench, folder) as seen:
        for _ in range(2):
            (picture,) = bench.run(bench.plan(folder, memory=plan, prompt="a red circle"))
            assert same(picture, resident)
        (fresh,) = bench.run(bench.plan(folder, memory=plan, prompt="a blue circle"))
    text = {name for name in plan.residency if name.startswith("text_encoder")}
    phases = (text, {DENOISER[family]}, {"vae"})
    for name, on_device in seen:
        assert on_device <= next(each for each in phases if name in each), name
        assert name in on_device
    assert {name for name, _ in seen} == text | {DENOISER[family], "vae"}
    (resident_fresh,) = bench.run(bench.plan(folder, prompt="a blue circle"))
    assert same(fresh, resident_fresh)


@pytest.mark.parametrize("family", FAMILIES)
def test_pictures_to_start_from_are_encoded_in_a_phase_of_their_own(
    bench: Workbench, folders: dict[str, Path], pictures_folder: Path, family: str
) -> None:
    folder = folders[family]
    inputs = Inputs(pictures_folder / "init.png", pictures_folder / "mask.png", strength=0.8)
    (resident,) = bench.run(bench.plan(folder, inputs=inputs))
    with seen_at_forwards(bench, folder) as seen:
        (picture,) = bench.run(bench.plan(folder, inputs=inputs, memory=in_phases(bench, folder)))
    assert same(picture, resident)
    assert all(on_device == {"vae"} for name, on_device in seen if name == "vae")


@pytest.mark.parametrize("family", FAMILIES)
def test_a_denoiser_offloaded_in_groups_draws_the_same_bits(
    bench: Workbench, folders: dict[str, Path], family: str
) -> None:
    folder, denoiser = folders[family], DENOISER[family]
    (resident,) = bench.run(bench.plan(folder))
    with seen_at_forwards(bench, folder) as seen:
        for _ in range(2):
            (picture,) = bench.run(bench.plan(folder, memory=MemoryPlan(residency={denoiser: GROUP})))
            assert same(picture, resident)
    assert {name for name, _ in seen} >= {denoiser, "vae"}
    assert all(denoiser not in on_device for _, on_device in seen)


@pytest.mark.parametrize("family", FAMILIES)
def test_after_sparing_plans_everything_is_resident_again(
    bench: Workbench, folders: dict[str, Path], family: str
) -> None:
    folder = folders[family]
    (before,) = bench.run(bench.plan(folder))
    everything = frozenset(modules(bench, folder))
    rest = {name: PHASE for name in everything if name != DENOISER[family]}
    bench.run(bench.plan(folder, memory=MemoryPlan(residency={DENOISER[family]: GROUP, **rest})))
    assert loader_of(bench, folder).on_device() < everything
    (after,) = bench.run(bench.plan(folder, prompt="never seen"))
    assert loader_of(bench, folder).on_device() == everything
    assert not bench.load(folder).runner.swaps_phases
    (again,) = bench.run(bench.plan(folder))
    assert same(again, before)
    assert not same(after, before)


@pytest.mark.parametrize("family", FAMILIES)
def test_of_plans_that_share_a_model_the_most_sparing_counts_and_no_picture_changes(
    bench: Workbench, folders: dict[str, Path], family: str
) -> None:
    folder, denoiser = folders[family], DENOISER[family]
    plans = [
        MemoryPlan(),
        in_phases(bench, folder),
        MemoryPlan(residency={denoiser: GROUP}),
        MemoryPlan(residency={denoiser: GROUP, "vae": PHASE}, vae_slicing=True),
    ]
    wishes: list[dict[str, Any]] = [{"solo": True, "seeds": (seed,), "prompt": f"circle {seed}"} for seed in range(4)]
    alone = [bench.run(bench.plan(folder, **wish))[0] for wish in wishes]
    with seen_at_forwards(bench, folder) as seen:
        runner = bench.load(folder).runner
        with held(runner, "tick") as gate:
            first = bench.plan(folder, **wishes[0], memory=plans[0])
            watchers = [bench.submit(first)]
            gate.wait_reached()
            others = [bench.plan(folder, **wish, memory=plan) for wish, plan in zip(wishes[1:], plans[1:], strict=True)]
            watchers += [bench.submit(plan) for plan in others]
            gate.open()
            for watcher in watchers:
                watcher.succeeded()
    together = [bench.pictures.pop(plan.attempt_id)[0] for plan in (first, *others)]
    assert all(same(one, other) for one, other in zip(together, alone, strict=True))
    # The step that was held belongs to the first plan alone; all later ones are taken with the others in flight.
    first_step, *later = [on_device for name, on_device in seen if name == denoiser]
    assert denoiser in first_step
    assert len(later) == 15
    assert all(denoiser not in on_device for on_device in later)
    assert all(not on_device & {denoiser} for name, on_device in seen if name == "vae")


# -------------------------------------------------------------------- whole calls


@pytest.fixture(scope="module")
def pixart_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_other.write("pixart", tmp_path_factory.mktemp("models") / "pixart")


def test_whole_calls_have_each_component_on_the_device_when_they_come_to_it(
    bench: Workbench, pixart_folder: Path
) -> None:
    (resident,) = bench.run(bench.plan(pixart_folder))
    placement = bench.load(pixart_folder).runner._placement
    parts = modules(bench, pixart_folder)
    seen: list[tuple[str, frozenset[str]]] = []
    # What comes to the device at a forward is seen after it.
    hooks = [
        module.register_forward_hook(lambda *_, n=name: seen.append((n, placement._loader.on_device())))
        for name, module in (("text_encoder", parts["text_encoder"]), ("transformer", parts["transformer"]))
    ]
    vae: Any = parts["vae"]
    hooks.append(vae.decoder.register_forward_pre_hook(lambda *_: seen.append(("vae", placement._loader.on_device()))))
    try:
        memory = in_phases(bench, pixart_folder)
        pictures = [bench.run(bench.plan(pixart_folder, memory=memory))[0] for _ in range(2)]
    finally:
        for hook in hooks:
            hook.remove()
    assert all(same(picture, resident) for picture in pictures)
    assert all(on_device == {name} for name, on_device in seen)
    assert (seen[0][0], seen[-1][0]) == ("text_encoder", "vae")
    (grouped,) = bench.run(bench.plan(pixart_folder, memory=MemoryPlan(residency={"transformer": GROUP})))
    (back,) = bench.run(bench.plan(pixart_folder))
    assert same(grouped, resident)
    assert same(back, resident)
    assert placement._loader.on_device() == frozenset(parts)


def test_whole_calls_and_steps_share_one_plan_of_a_model(
    fresh_bench: Workbench, sd_folder: Path, pictures_folder: Path, tmp_path: Path
) -> None:
    bench = fresh_bench
    loaded = bench.load(sd_folder)
    source = tiny_other.write_ip_adapter(loaded.model.pipe.unet, tmp_path / "ip")
    inputs = Inputs(ip_adapter=IpAdapterInput("ip", source, pictures_folder / "init.png", 0.5))
    kept: list[Any] = []
    finish = loaded.exclusive.finish

    def keeping(plan: Plan, state: Any) -> Any:
        finished = finish(plan, state)
        kept.append(finished.output)
        return finished

    loaded.exclusive.finish = keeping
    memory = in_phases(bench, sd_folder)
    (stepped,) = bench.run(bench.plan(sd_folder))
    bench.submit(bench.plan(sd_folder, inputs=inputs)).succeeded()
    watchers = [
        bench.submit(bench.plan(sd_folder, inputs=inputs, memory=memory)),
        bench.submit(plan := bench.plan(sd_folder, memory=memory)),
        bench.submit(bench.plan(sd_folder, inputs=inputs, memory=memory)),
    ]
    for watcher in watchers:
        watcher.succeeded()
    assert same(bench.pictures.pop(plan.attempt_id)[0], stepped)
    assert all(same(picture, kept[0]) for picture in kept)
    assert len(kept) == 3
    assert not same(np.asarray(kept[0]).reshape(stepped.shape), stepped)


# -------------------------------------------------------------------- slicing and tiling


@pytest.mark.parametrize("family", FAMILIES)
def test_slicing_the_vae_keeps_every_bit(bench: Workbench, folders: dict[str, Path], family: str) -> None:
    folder = folders[family]
    whole = bench.run(bench.plan(folder, seeds=(1, 2)))
    sliced = bench.run(bench.plan(folder, seeds=(1, 2), memory=MemoryPlan(vae_slicing=True)))
    assert all(same(one, other) for one, other in zip(whole, sliced, strict=True))


@pytest.mark.parametrize("tiling", [Tiling.TILED, Tiling.AGGRESSIVE])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_picture_above_the_tile_is_tiled_and_one_below_is_not(
    bench: Workbench, folders: dict[str, Path], family: str, tiling: Tiling
) -> None:
    folder = folders[family]
    vae: Any = modules(bench, folder)["vae"]
    before = vae_fields(vae)
    large: dict[str, Any] = {"width": 128, "height": 128, "num_inference_steps": 2, "memory": MemoryPlan()}
    (whole,) = bench.run(bench.plan(folder, **large))
    (tiled,) = bench.run(bench.plan(folder, **{**large, "memory": MemoryPlan(vae_tiling=tiling)}))
    assert tiled.shape == whole.shape
    assert not same(tiled, whole)
    # Each tile is normalised over its own pixels, and with random weights that shows: of a range of 1, 0.013 … 0.037 were seen,
    # in aggressive tiles 0.031 … 0.081, where another seed's picture is 0.16 away.
    assert np.abs(tiled - whole).mean() < (0.05 if tiling is Tiling.TILED else 0.1)
    assert vae_fields(vae) == before
    small: dict[str, Any] = {"width": 32, "height": 32}
    (plain,) = bench.run(bench.plan(folder, **small))
    (below,) = bench.run(bench.plan(folder, **small, memory=MemoryPlan(vae_tiling=tiling)))
    assert same(below, plain)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_decode_that_breaks_off_leaves_no_tiling_behind(
    fresh_bench: Workbench, folders: dict[str, Path], family: str
) -> None:
    folder = folders[family]
    (expected,) = fresh_bench.run(fresh_bench.plan(folder, width=128, height=128))
    vae: Any = modules(fresh_bench, folder)["vae"]
    before, meanwhile = vae_fields(vae), []

    def broken(*_: Any) -> None:
        meanwhile.append(vae_fields(vae))
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.")

    hook = vae.decoder.register_forward_pre_hook(broken)
    plan = MemoryPlan(vae_slicing=True, vae_tiling=Tiling.AGGRESSIVE)
    failed = fresh_bench.submit(fresh_bench.plan(folder, memory=plan)).failed()
    hook.remove()
    assert (failed.kind, failed.phase) == (FailureKind.DEVICE_OUT_OF_MEMORY, Phase.DECODE)
    assert meanwhile[0] != before
    assert vae_fields(vae) == before
    (again,) = fresh_bench.run(fresh_bench.plan(folder, width=128, height=128))
    assert same(again, expected)


@pytest.mark.parametrize("family", ["sd", "sdxl"])
def test_attention_in_slices_is_close_and_its_processors_go(
    bench: Workbench, folders: dict[str, Path], family: str
) -> None:
    folder = folders[family]
    unet: Any = modules(bench, folder)["unet"]
    before = dict(unet.attn_processors)
    meanwhile: set[type] = set()
    (whole,) = bench.run(bench.plan(folder))
    hook = unet.register_forward_pre_hook(lambda *_: meanwhile.update(map(type, unet.attn_processors.values())))
    try:
        (sliced,) = bench.run(bench.plan(folder, memory=MemoryPlan(attention_slicing=True)))
    finally:
        hook.remove()
    assert meanwhile == {SlicedAttnProcessor}
    assert np.abs(sliced - whole).max() <= TOLERANCE
    assert dict(unet.attn_processors) == before
    (plain,) = bench.run(bench.plan(folder))
    assert same(plain, whole)


@pytest.mark.parametrize("family", ["sd3", "flux"])
def test_attention_of_transformers_is_fused_and_stays_so(
    bench: Workbench, folders: dict[str, Path], family: str
) -> None:
    (whole,) = bench.run(bench.plan(folders[family]))
    (same_again,) = bench.run(bench.plan(folders[family], memory=MemoryPlan(attention_slicing=True)))
    assert same(whole, same_again)


def test_processors_are_back_after_a_step_that_breaks_off(fresh_bench: Workbench, sd_folder: Path) -> None:
    unet: Any = modules(fresh_bench, sd_folder)["unet"]
    before = dict(unet.attn_processors)

    def broken(*_: Any) -> None:
        raise RuntimeError("boom")

    hook = unet.mid_block.register_forward_pre_hook(broken)
    fresh_bench.submit(fresh_bench.plan(sd_folder, memory=MemoryPlan(attention_slicing=True))).failed()
    hook.remove()
    assert dict(unet.attn_processors) == before


# -------------------------------------------------------------------- what is told, what is refused


def test_the_plan_that_was_followed_is_told(bench: Workbench, sd_folder: Path) -> None:
    plan = MemoryPlan({"vae": PHASE, "unet": GROUP}, vae_slicing=True, vae_tiling=Tiling.TILED, attention_slicing=True)
    assert bench.submit(bench.plan(sd_folder, memory=plan)).succeeded().effective.memory == plan
    assert bench.submit(bench.plan(sd_folder)).succeeded().effective.memory == MemoryPlan()


@pytest.mark.parametrize("family", FAMILIES)
def test_a_component_the_model_has_not_is_refused_and_others_go_on_as_they_were(
    fresh_bench: Workbench, folders: dict[str, Path], family: str
) -> None:
    bench, folder = fresh_bench, folders[family]
    (alone,) = bench.run(bench.plan(folder))
    runner, everything = bench.load(folder).runner, frozenset(modules(bench, folder))
    wrong = MemoryPlan(residency={"vae": PHASE, "refiner": PHASE}, attention_slicing=True)
    with held(runner, "tick") as gate:
        running = bench.plan(folder)
        watcher = bench.submit(running)
        gate.wait_reached()
        refused = bench.submit(bench.plan(folder, memory=wrong))
        gate.open()
        failed = refused.failed()
        watcher.succeeded()
    assert (failed.kind, failed.field) == (FailureKind.INVALID_REQUEST, "memory.residency.refiner")
    assert "refiner" in failed.message
    assert same(bench.pictures.pop(running.attempt_id)[0], alone)
    assert loader_of(bench, folder).on_device() == everything
    assert not runner.swaps_phases
    # The same wrong plan is refused every time.
    assert bench.submit(bench.plan(folder, memory=wrong)).failed().field == "memory.residency.refiner"


@pytest.mark.parametrize("flag", ["tiling", "slicing"])
def test_a_vae_that_cannot_cut_is_refused_by_name(fresh_bench: Workbench, sd_folder: Path, flag: str) -> None:
    (expected,) = fresh_bench.run(fresh_bench.plan(sd_folder))
    vae: Any = modules(fresh_bench, sd_folder)["vae"]
    delattr(vae, f"use_{flag}")
    wish = MemoryPlan(vae_tiling=Tiling.TILED) if flag == "tiling" else MemoryPlan(vae_slicing=True)
    failed = fresh_bench.submit(fresh_bench.plan(sd_folder, memory=wish)).failed()
    setattr(vae, f"use_{flag}", False)
    assert (failed.kind, failed.field) == (FailureKind.INVALID_REQUEST, f"memory.vae_{flag}")
    (again,) = fresh_bench.run(fresh_bench.plan(sd_folder))
    assert same(again, expected)


# -------------------------------------------------------------------- no memory


@pytest.mark.parametrize("phase", [Phase.ENCODE, Phase.DENOISE, Phase.DECODE])
@pytest.mark.parametrize("family", FAMILIES)
def test_no_memory_to_bring_a_component_in_fails_that_attempt_alone(
    fresh_bench: Workbench, folders: dict[str, Path], family: str, phase: Phase, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench, folder = fresh_bench, folders[family]
    memory = in_phases(bench, folder)
    (expected,) = bench.run(bench.plan(folder, memory=memory))
    wanted = {Phase.ENCODE: "text_encoder", Phase.DENOISE: DENOISER[family], Phase.DECODE: "vae"}[phase]
    present, onload = PhaseLoader._present, PhaseLoader._onload
    coming, failures = [""], [0]

    def noted(self: PhaseLoader, name: str) -> None:
        coming[0] = name
        onload(self, name)

    def full(self: PhaseLoader, master: torch.Tensor) -> torch.Tensor:
        if coming[0] == wanted and not failures[0]:
            failures[0] += 1
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.")
        return present(self, master)

    monkeypatch.setattr(PhaseLoader, "_onload", noted)
    monkeypatch.setattr(PhaseLoader, "_present", full)
    failed = bench.submit(bench.plan(folder, memory=memory, prompt="a blue circle")).failed()
    assert (failed.kind, failed.phase) == (FailureKind.DEVICE_OUT_OF_MEMORY, phase)
    assert failed.requested_bytes == 20 << 20
    assert failures == [1]
    (after,) = bench.run(bench.plan(folder, memory=memory))
    assert same(after, expected)


# -------------------------------------------------------------------- turns


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@contextmanager
def brought_in(bench: Workbench, folder: Path) -> Iterator[list[str]]:
    """Components in the order in which they come to the device."""
    names: list[str] = []

    def recording(original: Any) -> Any:
        def onload(name: str) -> None:
            names.append(name)
            original(name)

        return onload

    loader: Any = loader_of(bench, folder)
    with replaced(loader, "_onload", recording):
        yield names
    del loader._onload


def arrivals(bench: Workbench, folder: Path, count: int) -> list[Plan]:
    memory = in_phases(bench, folder)
    return [bench.plan(folder, memory=memory, prompt=f"circle {n}", seeds=(n,)) for n in range(count)]


@pytest.mark.parametrize("family", FAMILIES)
def test_a_burst_brings_each_component_in_a_few_times_at_most(
    fresh_bench: Workbench, folders: dict[str, Path], family: str
) -> None:
    bench, folder = fresh_bench, folders[family]
    (plan, *plans) = arrivals(bench, folder, 21)
    bench.engine._turns = Turns(Clock())
    bench.run(plan)
    with brought_in(bench, folder) as names:
        with held(bench.engine, "_go_round") as gate:
            gate.wait_reached()
            watchers = [bench.submit(each) for each in plans]
        for watcher in watchers:
            watcher.succeeded()
    counts = {name: names.count(name) for name in set(names)}
    # Eight are taken up in a round; the first round's step goes ahead of the turn for encoding the others.
    assert counts.pop("vae") == 1
    assert max(counts.values()) <= 2, names


def test_one_that_comes_while_another_runs_on_gets_its_turn_and_its_picture_in_time(
    fresh_bench: Workbench, sd_folder: Path
) -> None:
    bench, clock = fresh_bench, Clock()
    bench.engine._turns = Turns(clock, quantum=1.0)
    memory = in_phases(bench, sd_folder)
    runner = bench.load(sd_folder).runner
    order: list[str] = []

    def counting(tick: Any) -> Any:
        def run(states: Any, *rest: Any) -> None:
            clock.now += 0.1
            order.append("tick")
            tick(states, *rest)

        return run

    def finishing(finish: Any) -> Any:
        def run(plan: Plan, state: Any) -> Any:
            order.append(plan.attempt_id)
            return finish(plan, state)

        return run

    long = bench.plan(sd_folder, memory=memory, num_inference_steps=60, prompt="long")
    short = bench.plan(sd_folder, memory=memory, num_inference_steps=3, prompt="short")
    with replaced(runner, "tick", counting), replaced(runner, "finish", finishing), held(runner, "tick") as gate:
        first = bench.submit(long)
        gate.wait_reached()
        second = bench.submit(short)
        gate.open()
        second.succeeded()
        first.succeeded()
    quantum = 10
    waited = order.index(short.attempt_id)
    # A turn until it is encoded, three steps of its own, and at most a turn until it is decoded.
    assert 3 <= waited <= 2 * quantum + 4
    assert order.index(long.attempt_id) >= 60
    steps = [event for event in second.events if isinstance(event, (StepFinished, PhaseStarted))]
    assert [event.step for event in steps if isinstance(event, StepFinished)] == [1, 2, 3]


def test_without_phases_to_swap_nobody_waits_for_a_turn(fresh_bench: Workbench, sd_folder: Path) -> None:
    bench = fresh_bench
    bench.engine._turns = Turns(Clock(), quantum=float("inf"))
    runner = bench.load(sd_folder).runner
    with held(runner, "tick") as gate:
        first = bench.submit(bench.plan(sd_folder, num_inference_steps=6))
        gate.wait_reached()
        second = bench.submit(bench.plan(sd_folder, num_inference_steps=2, prompt="new"))
        gate.open()
        second.succeeded()
        first.succeeded()
    assert max(step.batch_images for step in first.of(StepFinished)) == 2


def test_plans_of_one_meaning_move_nothing(bench: Workbench, sd_folder: Path) -> None:
    memory = in_phases(bench, sd_folder)
    bench.run(bench.plan(sd_folder, memory=memory))
    applied: list[Mapping[str, Residency]] = []

    def recording(original: Any) -> Any:
        def apply(residency: Mapping[str, Residency]) -> None:
            applied.append(residency)
            original(residency)

        return apply

    loader: Any = loader_of(bench, sd_folder)
    with replaced(loader, "apply", recording):
        bench.run(bench.plan(sd_folder, memory=replace(memory, residency=dict(memory.residency))))
    del loader.apply
    assert applied == []
