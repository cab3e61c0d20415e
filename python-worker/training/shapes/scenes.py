"""What is in a picture? Scenes of one, two or three objects, drawn at random from a seeded generator."""

from __future__ import annotations

import random
from dataclasses import dataclass

from .vocabulary import BACKGROUNDS, COLOURS, HELD_OUT, POSITIONS, SHAPES, SIZES

CANVAS = 64
# Half the height of an object in pixels, by layout and size, before jitter. A row is narrow, so its sizes are closer.
RADIUS: dict[str, dict[str, float]] = {
    "single": {"small": 9.0, "medium": 13.0, "large": 18.0},
    "beside": {"small": 8.0, "medium": 10.2, "large": 12.5},
    "stacked": {"small": 8.0, "medium": 10.2, "large": 12.5},
    "row": {"small": 7.2, "medium": 8.3, "large": 9.3},
}
SIZE_WEIGHTS = (28, 44, 28)
LAYOUT_WEIGHTS = {"single": 42, "beside": 25, "stacked": 23, "row": 10}
HELD_OUT_LIST = sorted(HELD_OUT)


@dataclass(frozen=True)
class Thing:
    """One object: its attributes, and where it is drawn (centre and half height in pixels)."""

    shape: str
    colour: str
    size: str
    x: float
    y: float
    radius: float


@dataclass(frozen=True)
class Scene:
    """Objects in reading order (left to right, or top to bottom), how they are laid out, and what is behind them.

    `position` is one of POSITIONS for the layout "single" and empty otherwise.
    """

    things: tuple[Thing, ...]
    layout: str
    background: str
    position: str = ""

    @property
    def pairs(self) -> frozenset[tuple[str, str]]:
        """The (colour, shape) pairs in the scene."""
        return frozenset((thing.colour, thing.shape) for thing in self.things)


def _anchor(position: str, radius: float, rng: random.Random) -> tuple[float, float]:
    """Centre of a single object: as far towards the named edge as a 3 to 6 pixel margin allows."""
    margin = rng.uniform(3.0, 6.0)
    low, high, middle = radius + margin, CANVAS - radius - margin, CANVAS / 2
    x = low if "left" in position else high if "right" in position else middle + rng.uniform(-2, 2)
    y = low if "top" in position else high if "bottom" in position else middle + rng.uniform(-2, 2)
    return x, y


def _place(layout: str, position: str, radii: list[float], rng: random.Random) -> list[tuple[float, float]]:
    def jitter() -> float:
        return rng.uniform(-1.0, 1.0)

    middle = CANVAS / 2
    if layout == "single":
        return [_anchor(position, radii[0], rng)]
    if layout == "row":
        shift = jitter()
        return [(x, middle + shift + jitter() / 2) for x in (11.0, 32.0, 53.0)]
    near, far = 16.5 + jitter(), 47.5 + jitter()
    shift = jitter() * 2
    if layout == "beside":
        return [(near, middle + shift + jitter()), (far, middle + shift + jitter())]
    return [(middle + shift + jitter(), near), (middle + shift + jitter(), far)]


def _pair(background: str, held_out: bool, rng: random.Random) -> tuple[str, str]:
    """A (colour, shape) pair that shows on the background: held-out pairs only if asked for."""
    while True:
        pair = rng.choice(HELD_OUT_LIST) if held_out else (rng.choice(COLOURS), rng.choice(SHAPES))
        if pair[0] != background and (held_out or pair not in HELD_OUT):
            return pair


def sample_scene(rng: random.Random, layout: str = "", held_out: bool = False, any_pair: bool = False) -> Scene:
    """Draws a scene. Source: `rng` alone, so equal seeds give equal scenes.

    Args:
        layout: One of LAYOUTS, or empty to choose by LAYOUT_WEIGHTS.
        held_out: Make the first-named pairs held-out ones (each object, where the background allows it).
        any_pair: Choose pairs without regard to HELD_OUT; for models that are not tested on unseen pairs.
    """
    layout = layout or rng.choices(list(LAYOUT_WEIGHTS), list(LAYOUT_WEIGHTS.values()))[0]
    background = "white" if rng.random() < 0.3 else rng.choice(BACKGROUNDS)
    position = ""
    if layout == "single":
        position = "center" if rng.random() < 0.3 else rng.choice(POSITIONS)
    count = {"single": 1, "row": 3}.get(layout, 2)
    pairs: list[tuple[str, str]] = []
    # Twins ("two red circles") stay rare: a relation between equal objects says nothing about binding.
    twins = count == 2 and rng.random() < 0.03
    while len(pairs) < count:
        if twins and pairs:
            pairs.append(pairs[0])
            break
        pair = _pair(background, held_out or (any_pair and rng.random() < 0.1), rng)
        if pair not in pairs:
            pairs.append(pair)
    sizes = rng.choices(SIZES, SIZE_WEIGHTS, k=count)
    if twins:
        sizes = [sizes[0]] * 2
    radii = [RADIUS[layout][size] * rng.uniform(0.96, 1.04) for size in sizes]
    centres = _place(layout, position, radii, rng)
    things = tuple(
        Thing(shape, colour, size, x, y, radius)
        for (colour, shape), size, radius, (x, y) in zip(pairs, sizes, radii, centres, strict=True)
    )
    return Scene(things, layout, background, position)
