"""Checkpoint files: what goes in comes out, and what was damaged is refused."""

from __future__ import annotations

import json
import math
import os
import random
import struct
from collections import OrderedDict
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import safetensors.torch
import torch
from diffusers.configuration_utils import FrozenDict
from safetensors import safe_open

from safelight_worker.pipelines import checkpoints
from safelight_worker.pipelines.checkpoints import Checkpoint, read, write
from safelight_worker.pipelines.scheduler_options import ALLOWED
from safelight_worker.pipelines.suspension import record, restore
from safelight_worker.types import FailureKind, WorkerError
from tests.support.engines import CPU

TENSOR_DTYPES = [
    torch.float16,
    torch.bfloat16,
    torch.float32,
    torch.float64,
    torch.int8,
    torch.int32,
    torch.int64,
    torch.uint8,
    torch.bool,
]
ARRAY_DTYPES = ["<f4", ">f8", "<f2", "<i8", "|u1", "|b1", "<U5", "<M8[s]", "<c16"]


def _shown(value: Any) -> str:
    return hex(value) if type(value) is int else repr(value)


def same(one: Any, other: Any) -> bool:
    """Equal types and equal bits, all the way down."""
    if type(one) is not type(other):
        return False
    if isinstance(one, torch.Tensor):
        raw = [
            tensor.clone(memory_format=torch.contiguous_format).reshape(-1).view(torch.uint8) for tensor in (one, other)
        ]
        return one.dtype == other.dtype and one.shape == other.shape and torch.equal(*raw)
    if isinstance(one, (np.ndarray, np.generic)):
        return one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes()
    if isinstance(one, float):
        return struct.pack("d", one) == struct.pack("d", other)
    if isinstance(one, dict):
        return same(list(one.items()), list(other.items()))
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(same(*pair) for pair in zip(one, other, strict=True))
    if isinstance(one, frozenset):
        return sorted(map(_shown, one)) == sorted(map(_shown, other))
    return bool(one == other)


def random_tensor(dice: random.Random) -> torch.Tensor:
    shape = [dice.choice([0, 1, 2, 5]) for _ in range(dice.randrange(4))]
    dtype = dice.choice(TENSOR_DTYPES)
    made = torch.randint(0, 2 if dtype is torch.bool else 120, shape).to(dtype)
    if made.dim() >= 2 and dice.random() < 0.5:
        made = made.transpose(0, -1)
    return made[::2] if made.dim() and dice.random() < 0.3 else made


def random_array(dice: random.Random) -> np.ndarray:
    made = np.arange(12).astype(dice.choice(ARRAY_DTYPES)).reshape(dice.choice([(12,), (3, 4), (2, 3, 2), (1, 12)]))
    return dice.choice([made, made.T, made[:0], made[:1].reshape(-1)[:1].reshape(())])


def random_leaf(dice: random.Random, hashable: bool = False) -> Any:
    makers = [
        lambda: None,
        lambda: dice.random() < 0.5,
        lambda: dice.choice([0, -1, 1 << 52, 1 << 53, -(1 << 64), 10**5000]),
        lambda: dice.choice([0.0, -0.0, 1.0, 1e16, 5e-324, 1.7e308, math.pi, dice.gauss(0, 1)]),
        lambda: dice.choice(["", "a red circle", "ключ", "\0", "\ud800", "tensor/0", '"quoted"']),
        lambda: dice.choice(TENSOR_DTYPES),
        lambda: np.float32(dice.random()),
        lambda: dice.choice([np.int64(-7), np.bool_(True), np.str_("x"), np.str_(""), np.float64("nan")]),
    ]
    if not hashable:
        makers += [
            lambda: dice.choice([math.inf, -math.inf, math.nan, struct.unpack("d", b"\1\2\3\4\5\6\xf8\x7f")[0]]),
            lambda: random_tensor(dice),
            lambda: random_tensor(dice),
            lambda: random_array(dice),
        ]
    return dice.choice(makers)()


def random_value(dice: random.Random, depth: int = 4) -> Any:
    if depth == 0 or dice.random() < 0.3:
        return random_leaf(dice)
    count = dice.randrange(4)
    kind = dice.choice([dict, FrozenDict, list, tuple, frozenset])
    if kind is frozenset:
        return frozenset(random_leaf(dice, hashable=True) for _ in range(count))
    if kind is FrozenDict:
        return FrozenDict({f"name_{n}": random_value(dice, depth - 1) for n in range(count)})
    if kind is dict:
        return {random_leaf(dice, hashable=True): random_value(dice, depth - 1) for _ in range(count)}
    return kind(random_value(dice, depth - 1) for _ in range(count))


def small(path: Path) -> tuple[dict[str, Any], list[Any]]:
    """A checkpoint with some of everything, written."""
    shared = torch.arange(6, dtype=torch.bfloat16).reshape(2, 3)
    facts = {"step": 3, "seeds": (7, 8), "share": math.inf, "dtype": torch.float16}
    images = [{"latents": shared, "again": shared, "sigmas": np.linspace(0, 1, 4), "names": frozenset({"a"})}, None]
    write(path, facts, images)
    return facts, images


def refusal(path: Path) -> str:
    with pytest.raises(WorkerError) as caught:
        read(path)
    assert (caught.value.kind, caught.value.field) == (FailureKind.INVALID_REQUEST, "checkpoint")
    assert "without a checkpoint" in caught.value.message
    return caught.value.message


def read_or_none(path: Path) -> Checkpoint | None:
    """None for a file that is refused in the words of the contract; whatever else is raised fails the test."""
    try:
        return read(path)
    except WorkerError as error:
        if (error.kind, error.field) != (FailureKind.INVALID_REQUEST, "checkpoint"):
            raise
        return None


def with_metadata(path: Path, **changes: str) -> None:
    with safe_open(path, "pt") as file:
        metadata = {**file.metadata(), **changes}
    safetensors.torch.save_file(safetensors.torch.load_file(path), path, metadata)


@pytest.mark.parametrize("seed", range(60))
def test_nested_values_come_back_with_their_types_and_bits(tmp_path: Path, seed: int) -> None:
    dice = random.Random(seed)
    torch.manual_seed(seed)
    facts = {f"fact {n}": random_value(dice) for n in range(4)}
    images = [random_value(dice, 5) for _ in range(3)]
    size = write(tmp_path / "a.safetensors", facts, images)
    assert size == (tmp_path / "a.safetensors").stat().st_size
    kept = read(tmp_path / "a.safetensors")
    assert same(kept.facts, facts)
    assert same(kept.images, images)
    assert kept.version == 1


@pytest.mark.parametrize("dtype", TENSOR_DTYPES, ids=str)
def test_tensors_of_every_kind_come_back_bit_for_bit(tmp_path: Path, dtype: torch.dtype) -> None:
    base = torch.arange(24).remainder(2 if dtype is torch.bool else 24).to(dtype)
    grown = torch.nn.functional.pad(base.reshape(4, 6), (0, 2))
    images = [
        base,
        base[3],
        base[:0],
        base.reshape(4, 6).t(),
        grown[:, ::2],
        base[::3].expand(2, 8),
        base[4:].view(4, 5),
    ]
    write(tmp_path / "a", {}, images)
    assert same(read(tmp_path / "a").images, images)


def test_every_bit_of_a_number_comes_back_be_it_nan(tmp_path: Path) -> None:
    halves = torch.arange(-(1 << 15), 1 << 15, dtype=torch.int32).to(torch.int16)
    images = [halves.view(torch.bfloat16), halves.view(torch.float16)]
    write(tmp_path / "a", {}, images)
    for kept in read(tmp_path / "a").images:
        assert torch.equal(kept.view(torch.int16), halves)


def test_one_tensor_in_two_places_is_written_once_and_comes_back_as_one(tmp_path: Path) -> None:
    shared = torch.randn(1000)
    apart = write(tmp_path / "apart", {}, [shared, shared.clone()])
    assert apart - write(tmp_path / "once", {}, [shared, shared]) > 3500
    one, other = read(tmp_path / "once").images
    assert one is other
    assert same(one, shared)


def test_what_is_written_stays_as_it_is_and_shares_nothing_with_what_is_read(tmp_path: Path) -> None:
    latents = torch.zeros(4)
    write(tmp_path / "a", {}, [latents])
    read(tmp_path / "a").images[0].fill_(1)
    assert torch.equal(latents, torch.zeros(4))
    assert torch.equal(read(tmp_path / "a").images[0], torch.zeros(4))


@pytest.mark.parametrize("name", sorted(ALLOWED))
def test_a_scheduler_goes_on_from_a_file_bit_for_bit(tmp_path: Path, name: str) -> None:
    kind = getattr(diffusers, name)
    scheduler = kind.from_config(kind().config, **ALLOWED[name].forced)
    scheduler.set_timesteps(8)
    sample = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0))

    def go_on(own: Any, sample: torch.Tensor, timesteps: torch.Tensor) -> torch.Tensor:
        noise = torch.Generator().manual_seed(5)
        more = {"generator": noise} if "generator" in own.step.__code__.co_varnames else {}
        for timestep in timesteps:
            sample = own.step(sample * 0.1, timestep, sample, return_dict=False, **more)[0]
        return sample

    timesteps = scheduler.timesteps
    sample = go_on(scheduler, sample, timesteps[:3])
    wanted = record(scheduler)
    write(tmp_path / "a", {"name": name}, [{"scheduler": wanted, "sample": sample}])
    (kept,) = read(tmp_path / "a").images
    assert same(kept["scheduler"], wanted)
    again = go_on(restore(kept["scheduler"], CPU), kept["sample"], timesteps[3:])
    assert same(again, go_on(scheduler, sample, timesteps[3:]))


def test_the_file_is_safetensors_that_tells_what_it_is(tmp_path: Path) -> None:
    small(tmp_path / "a")
    with safe_open(tmp_path / "a", "pt") as file:
        metadata = file.metadata()
        names = list(file.keys())
    assert (metadata["format"], metadata["version"]) == ("safelight-checkpoint", "1")
    assert sorted(names) == ["tensor/0", "tensor/1"]
    assert sorted(json.loads(metadata["tree"])) == ["facts", "images"]


@pytest.mark.parametrize(
    "value",
    [
        object(),
        {1, 2},
        b"bytes",
        1j,
        OrderedDict(),
        FailureKind.INTERNAL,
        torch.nn.Parameter(torch.ones(1)),
        np.array([object()]),
        np.zeros(2, [("a", "<f4")]),
        lambda: None,
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_is_not_plain_is_refused_by_its_place_and_nothing_is_written(tmp_path: Path, value: Any) -> None:
    with pytest.raises(WorkerError, match=r"images\[1\]\.fields\.odd") as caught:
        write(tmp_path / "a", {}, [None, {"fields": {"odd": value}}])
    assert caught.value.kind is FailureKind.INTERNAL
    assert list(tmp_path.iterdir()) == []


def test_what_holds_itself_is_refused(tmp_path: Path) -> None:
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(WorkerError, match="nested more than"):
        write(tmp_path / "a", {}, endless)


def test_a_write_that_fails_leaves_what_was_there(tmp_path: Path) -> None:
    small(tmp_path / "a")
    before = (tmp_path / "a").read_bytes()
    with pytest.raises(WorkerError):
        write(tmp_path / "a", {"odd": object()}, [])
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match="folder"):
        write(tmp_path / "folder", {}, [torch.ones(2)])
    assert (tmp_path / "a").read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "folder"]


def test_a_checkpoint_replaces_the_last_one(tmp_path: Path) -> None:
    small(tmp_path / "a")
    write(tmp_path / "a", {"step": 9}, [])
    assert read(tmp_path / "a") == Checkpoint({"step": 9}, [], 1)


def test_files_beyond_the_limit_are_neither_written_nor_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small(tmp_path / "a")
    monkeypatch.setattr(checkpoints, "MAX_BYTES", 200)
    assert "at most 200 are read" in refusal(tmp_path / "a")
    with pytest.raises(WorkerError, match="at most 200 are written"):
        write(tmp_path / "b", {}, [torch.zeros(100)])
    assert not (tmp_path / "b").exists()


def test_a_missing_file_a_folder_and_a_pipe_are_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert "cannot be read" in refusal(tmp_path / "missing")
    assert "not a regular file" in refusal(tmp_path)
    assert "not a regular file" in refusal(tmp_path / "pipe")


def test_a_newer_version_is_refused_and_says_to_update(tmp_path: Path) -> None:
    small(tmp_path / "a")
    with_metadata(tmp_path / "a", version="2")
    assert "has version 2 and this worker reads up to 1; update the worker" in refusal(tmp_path / "a")


def test_other_formats_are_refused(tmp_path: Path) -> None:
    small(tmp_path / "a")
    with_metadata(tmp_path / "a", format="pt")
    assert "is no checkpoint of this program" in refusal(tmp_path / "a")
    safetensors.torch.save_file({"weight": torch.ones(2)}, tmp_path / "weights")
    refusal(tmp_path / "weights")
    torch.save({"weight": torch.ones(2)}, tmp_path / "pickle")
    refusal(tmp_path / "pickle")
    (tmp_path / "empty").touch()
    refusal(tmp_path / "empty")


@pytest.mark.parametrize("tree", ["", "{}", "[" * 100_000, '{"facts": [], "images": []}', '{"facts": 1, "images": {}}'])
def test_a_tree_that_was_made_up_is_refused(tmp_path: Path, tree: str) -> None:
    small(tmp_path / "a")
    tensors = safetensors.torch.load_file(tmp_path / "a")
    with_metadata(tmp_path / "a", tree=tree, sha256=checkpoints._digest(tree, tensors))
    assert "is damaged" in refusal(tmp_path / "a")


@pytest.mark.parametrize(
    "node",
    [
        ["dtype", "nn"],
        ["dtype", "missing"],
        ["tensor", "tensor/9"],
        ["tensor"],
        ["eval", "1"],
        [["list"], []],
        ["int", "ten"],
        ["float", "00"],
        ["scalar", "|O", "0000000000000000"],
        ["array", "<f8", [1 << 60], "tensor/1"],
        ["array", "<f8", [-2, -2], "tensor/1"],
        ["dict", [[["list", []], 1]]],
        ["frozen_dict", [["__class__", 1]]],
        ["frozenset", [["dict", []]]],
        {"plain": "object"},
    ],
    ids=str,
)
def test_a_value_that_was_made_up_is_refused(tmp_path: Path, node: Any) -> None:
    small(tmp_path / "a")
    tree = json.dumps({"facts": ["dict", []], "images": ["list", [node]]})
    tensors = safetensors.torch.load_file(tmp_path / "a")
    with_metadata(tmp_path / "a", tree=tree, sha256=checkpoints._digest(tree, tensors))
    assert "is damaged" in refusal(tmp_path / "a")


def test_a_file_cut_off_anywhere_is_refused(tmp_path: Path) -> None:
    small(tmp_path / "a")
    data = (tmp_path / "a").read_bytes()
    for length in range(len(data)):
        (tmp_path / "b").write_bytes(data[:length])
        refusal(tmp_path / "b")


@pytest.mark.parametrize("flip", [0x01, 0x20, 0x80, 0xFF], ids=hex)
def test_a_byte_changed_anywhere_is_refused_or_means_the_same(tmp_path: Path, flip: int) -> None:
    facts, images = small(tmp_path / "a")
    data = (tmp_path / "a").read_bytes()
    unharmed = 0
    for position in range(len(data)):
        (tmp_path / "b").write_bytes(data[:position] + bytes([data[position] ^ flip]) + data[position + 1 :])
        kept = read_or_none(tmp_path / "b")
        if kept is not None:
            assert same(kept.facts, facts)
            assert same(kept.images, images)
            unharmed += 1
    assert unharmed < 8


@pytest.mark.parametrize("order", [(0, 3, 1, 2), (2, 1, 0, 3), (0, 1, 2, 3)])
def test_a_tensor_lies_in_memory_as_before_because_kernels_sum_in_that_order(
    tmp_path: Path, order: tuple[int, ...]
) -> None:
    laid = torch.randn(1, 5, 3, 4).permute(order)
    write(tmp_path / "a", {}, [laid])
    (kept,) = read(tmp_path / "a").images
    assert kept.stride() == laid.stride()
    assert torch.equal(kept, laid)
