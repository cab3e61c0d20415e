"""What does a picture show? Finds the objects, their colours, shapes and places, and compares them with a scene."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from .draw import Picture, silhouette
from .scenes import CANVAS, Scene, Thing
from .vocabulary import BACKGROUNDS, COLOURS, RGB, SHAPES

Mask = NDArray[np.bool_]

# Colour distance (of 442) from the background, in any light, at which a pixel belongs to an object.
FOREGROUND_DISTANCE = 34.0
# The background in the light gradient and in shadow: drawn ones reach 0.68 to 1.08.
LIGHT_RANGE = (0.66, 1.12)
SMALLEST_OBJECT = 24  # pixels; the smallest drawn moon covers about 50
LOWEST_OVERLAP = 0.6  # intersection over union under which a shape is read as nothing


@dataclass(frozen=True)
class Found:
    """An object read from a picture: its fitted centre in pixels, and how well the shape fits (0 to 1)."""

    shape: str
    colour: str
    x: float
    y: float
    overlap: float


@dataclass(frozen=True)
class Reading:
    """What a picture shows."""

    things: tuple[Found, ...]
    background: str


@dataclass(frozen=True)
class Verdict:
    """How a reading compares with a scene. Counts are of objects out of `total`, which counts surplus objects too."""

    total: int
    colours: int
    shapes: int
    pairs: int
    arranged: bool
    background: bool


def _nearest(colour: NDArray[np.float32], names: tuple[str, ...]) -> str:
    palette = np.array([RGB[name] for name in names], np.float32)
    return names[int(np.argmin(((palette - colour) ** 2).sum(axis=1)))]


def _components(mask: Mask) -> list[Mask]:
    """Connected regions (8 neighbours) of at least SMALLEST_OBJECT pixels."""
    left = mask.copy()
    regions = []
    while left.any():
        region = np.zeros_like(left)
        stack = [tuple(np.argwhere(left)[0])]
        left[stack[0]] = False
        while stack:
            y, x = stack.pop()
            region[y, x] = True
            for ny in range(max(0, y - 1), min(left.shape[0], y + 2)):
                for nx in range(max(0, x - 1), min(left.shape[1], x + 2)):
                    if left[ny, nx]:
                        left[ny, nx] = False
                        stack.append((ny, nx))
        if region.sum() >= SMALLEST_OBJECT:
            regions.append(region)
    return regions


@cache
def _template(shape: str) -> tuple[float, float, float]:
    """Area over radius squared, and the centre of mass relative to the centre in radii, of a drawn shape."""
    radius = 24.0
    cover = silhouette(Thing(shape, "red", "large", CANVAS / 2, CANVAS / 2, radius))
    area = float(cover.sum())
    axis = np.arange(CANVAS) + 0.5 - CANVAS / 2
    return (
        area / radius**2,
        float((cover.sum(axis=0) * axis).sum()) / area / radius,
        float((cover.sum(axis=1) * axis).sum()) / area / radius,
    )


def _shape(cover: NDArray[np.float32]) -> tuple[str, float, float, float]:
    """The best fitting shape, its overlap and its centre. Each shape is tried at the same area and centre of mass."""
    area = float(cover.sum())
    axis = np.arange(CANVAS) + 0.5
    x = float((cover.sum(axis=0) * axis).sum()) / area
    y = float((cover.sum(axis=1) * axis).sum()) / area
    best = ("", 0.0, x, y)
    for shape in SHAPES:
        unit_area, shift_x, shift_y = _template(shape)
        radius = (area / unit_area) ** 0.5
        centre_x, centre_y = x - shift_x * radius, y - shift_y * radius
        drawn = silhouette(Thing(shape, "red", "", centre_x, centre_y, radius))
        overlap = float(np.minimum(cover, drawn).sum() / np.maximum(cover, drawn).sum())
        if overlap > best[1]:
            best = (shape, overlap, centre_x, centre_y)
    return best


def _split_by_colour(region: Mask, pixels: NDArray[np.float32], names: tuple[str, ...]) -> list[Mask]:
    """Takes objects of different colours that touch apart; one region otherwise."""
    palette = np.array([RGB[name] for name in names], np.float32)
    distances = np.linalg.norm(pixels[:, :, None, :] - palette, axis=-1)
    labels = np.where(region & (distances.min(axis=-1) < 45), distances.argmin(axis=-1), -1)
    parts = [_components(labels == label) for label in range(len(names))]
    large = [part for same in parts for part in same if part.sum() > 0.25 * region.sum()]
    return large if len(large) > 1 else [region]


def read(picture: Picture) -> Reading:
    """Reads a (64, 64, 3) uint8 RGB picture."""
    pixels = picture.astype(np.float32)
    border = np.concatenate([pixels[:2].reshape(-1, 3), pixels[-2:].reshape(-1, 3), pixels[:, 0], pixels[:, -1]])
    behind = np.median(border, axis=0)
    background = _nearest(behind, BACKGROUNDS)
    light = np.clip(pixels @ behind / max(float(behind @ behind), 1.0), *LIGHT_RANGE)
    distance = np.linalg.norm(pixels - light[..., None] * behind, axis=-1)
    names = tuple(name for name in COLOURS if name != background)
    things = []
    for region in _components(distance > FOREGROUND_DISTANCE):
        for part in _split_by_colour(region, pixels, names):
            # Pixels well inside the object hold its colour; those on the rim are mixed with the background.
            core = part & (distance >= np.percentile(distance[part], 40))
            colour = np.median(pixels[core], axis=0)
            full = float(np.median(distance[core]))
            # The rim counts by how far it has left the background, which gives the area to a fraction of a pixel.
            near = part.copy()
            near[1:] |= part[:-1]
            near[:-1] |= part[1:]
            near[:, 1:] |= part[:, :-1]
            near[:, :-1] |= part[:, 1:]
            cover = np.where(near, np.clip(distance / full, 0.0, 1.0), 0.0).astype(np.float32)
            shape, overlap, x, y = _shape(cover)
            things.append(Found(shape if overlap >= LOWEST_OVERLAP else "", _nearest(colour, names), x, y, overlap))
    return Reading(tuple(sorted(things, key=lambda thing: (thing.x, thing.y))), background)


def _common(wanted: list[str], found: list[str]) -> int:
    return sum((Counter(wanted) & Counter(found)).values())


def _in_order(scene: Scene, things: tuple[Found, ...]) -> list[Found]:
    return sorted(things, key=lambda thing: thing.y if scene.layout == "stacked" else thing.x)


def _stand_as_named(scene: Scene, ordered: list[Found]) -> bool:
    """Whether neighbours are further apart along the layout's axis than across it."""
    for before, after in pairwise(ordered):
        dx, dy = after.x - before.x, after.y - before.y
        along, across = (dy, dx) if scene.layout == "stacked" else (dx, dy)
        if along < 6 or along <= abs(across):
            return False
    return True


def _third(value: float) -> int:
    return 0 if value < CANVAS * 0.42 else 2 if value > CANVAS * 0.58 else 1


def _at_position(position: str, thing: Found) -> bool:
    column = 0 if "left" in position else 2 if "right" in position else 1
    row = 0 if "top" in position else 2 if "bottom" in position else 1
    return (_third(thing.x), _third(thing.y)) == (column, row)


def compare(reading: Reading, scene: Scene) -> Verdict:
    """Compares a reading with the scene that was asked for.

    `arranged` asks for everything at once: as many objects as named, each with its colour and shape, in the named
    order and direction; for a single object, at its position.
    """
    wanted, found = scene.things, reading.things
    ordered = _in_order(scene, found)
    arranged = [(t.colour, t.shape) for t in wanted] == [(t.colour, t.shape) for t in ordered]
    if arranged and scene.layout == "single":
        arranged = not scene.position or _at_position(scene.position, ordered[0])
    elif arranged:
        arranged = _stand_as_named(scene, ordered)
    return Verdict(
        total=max(len(wanted), len(found)),
        colours=_common([t.colour for t in wanted], [t.colour for t in found]),
        shapes=_common([t.shape for t in wanted], [t.shape for t in found]),
        pairs=_common([f"{t.colour} {t.shape}" for t in wanted], [f"{t.colour} {t.shape}" for t in found]),
        arranged=arranged,
        background=reading.background == scene.background,
    )
