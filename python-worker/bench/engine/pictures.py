"""Is each picture the one its job asked for? Compared with pictures made alone, as 8-bit values in the written files."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bench.engine.workloads import Job

#: In float32 matrix products of other sizes sum in another order, which moves latents by some 1e-6 and now and then carries
#: an 8-bit value over its rounding edge, never by more than one.
LARGEST_DIFFERENCE = 1

#: Share of values that may stand so close to their edge.
LARGEST_SHARE = 0.01

#: Decibels under which a picture of 16-bit floats is another one: pictures of other seeds or prompts stay under 20.
LEAST_PSNR = 25.0


@dataclass(frozen=True)
class Deviation:
    """How far pictures are from those made alone: 8-bit levels, how many values differ of how many, and the sum of squares."""

    largest: int
    differing: int
    values: int
    squares: float = 0.0

    @property
    def psnr(self) -> float:
        """Peak signal-to-noise ratio in dB; infinite where nothing differs."""
        return math.inf if not self.squares else 10 * math.log10(255**2 * self.values / self.squares)

    def wrong_in(self, dtype: str) -> bool:
        """Whether pictures are not those that were asked for, by what the dtype may do."""
        if dtype != "float32":
            return self.psnr < LEAST_PSNR
        return self.largest > LARGEST_DIFFERENCE or self.differing > LARGEST_SHARE * self.values

    def __add__(self, other: Deviation) -> Deviation:
        return Deviation(
            max(self.largest, other.largest),
            self.differing + other.differing,
            self.values + other.values,
            self.squares + other.squares,
        )


def compare(folder: Path, solo: Path, jobs: Sequence[Job]) -> Deviation:
    """The deviation of the pictures in ``folder`` from those in ``solo``. A missing picture raises FileNotFoundError."""
    total = Deviation(0, 0, 0)
    for job in jobs:
        total += deviation(_read(folder, job), _read(solo, job))
    return total


def deviation(picture: NDArray[np.uint8], solo: NDArray[np.uint8]) -> Deviation:
    """The deviation of one picture; one of another size is wrong everywhere."""
    if picture.shape != solo.shape:
        return Deviation(255, solo.size, solo.size, 255.0**2 * solo.size)
    difference = np.abs(picture.astype(np.int32) - solo.astype(np.int32))
    squares = float((difference * difference).sum())
    return Deviation(int(difference.max()), int(np.count_nonzero(difference)), solo.size, squares)


def _read(folder: Path, job: Job) -> NDArray[np.uint8]:
    with Image.open(folder / str(job.number) / "0.png") as image:
        return np.asarray(image.convert("RGB"))
