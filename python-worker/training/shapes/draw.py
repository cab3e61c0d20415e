"""How does a scene look? Signed distance functions at twice the size, then a 2x2 mean: 64x64 pixels of cut paper."""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from .scenes import CANVAS, Scene, Thing
from .vocabulary import RGB

Field = NDArray[np.float32]
Picture = NDArray[np.uint8]

SUPERSAMPLING = 2
_FINE = CANVAS * SUPERSAMPLING
_AXIS = (np.arange(_FINE, dtype=np.float32) + 0.5) / SUPERSAMPLING
_GRID_Y, _GRID_X = np.meshgrid(_AXIS, _AXIS, indexing="ij")


def _circle(x: Field, y: Field) -> Field:
    return np.hypot(x, y) - np.float32(1.0)


def _square(x: Field, y: Field) -> Field:
    return np.maximum(np.abs(x), np.abs(y)) - np.float32(0.88)


def _triangle(x: Field, y: Field) -> Field:
    # Base at y = 0.85, tip at y = -1, half base 1.05: near equilateral.
    slope = np.float32(1.85 / 1.05)
    side = (np.abs(x) * slope - (y + 1.0)) / np.hypot(slope, np.float32(1.0))
    return np.maximum(side, y - np.float32(0.85))


def _star(x: Field, y: Field) -> Field:
    angle = np.arctan2(np.abs(x), -y)
    sector = np.float32(2 * np.pi / 5)
    folded = np.abs(np.mod(angle + sector / 2, sector) - sector / 2)
    radius = np.hypot(x, y)
    # One edge of a five-pointed star: from the tip at radius 1.12 to the notch at radius 0.47 and half a sector.
    tip, notch = np.float32(1.12), np.float32(0.47)
    px, py = radius * np.cos(folded), radius * np.sin(folded)
    nx, ny = notch * np.cos(sector / 2) - tip, notch * np.sin(sector / 2)
    return ((px - tip) * ny - py * nx) / np.hypot(nx, ny)


def _heart(x: Field, y: Field) -> Field:
    u, v = np.abs(x), -(y - np.float32(0.92)) / np.float32(1.6)
    u = u / np.float32(1.6)
    # Inigo Quilez, "Heart - exact" (https://iquilezles.org/articles/distfunctions2d/): tip at 0, height about 1.1.
    upper = np.hypot(u - 0.25, v - 0.75) - np.sqrt(np.float32(2.0)) / 4
    along = np.maximum(u + v, 0.0) * 0.5
    lower = np.sqrt(np.minimum(u**2 + (v - 1.0) ** 2, (u - along) ** 2 + (v - along) ** 2)) * np.sign(u - v)
    return (np.where(u + v > 1.0, upper, lower) * 1.6).astype(np.float32)


def _cross(x: Field, y: Field) -> Field:
    u, v = np.abs(x), np.abs(y)
    return np.minimum(np.maximum(u - 1.0, v - 0.34), np.maximum(u - 0.34, v - 1.0)).astype(np.float32)


def _ring(x: Field, y: Field) -> Field:
    return (np.abs(np.hypot(x, y) - 0.74) - 0.27).astype(np.float32)


def _moon(x: Field, y: Field) -> Field:
    outer = np.hypot(x - 0.12, y) - 1.0
    bite = np.hypot(x - 0.64, y) - 0.76
    return np.maximum(outer, -bite).astype(np.float32)


# Each function takes coordinates in units of the object's radius, y downwards, and is negative inside.
DISTANCE: dict[str, Callable[[Field, Field], Field]] = {
    "circle": _circle,
    "square": _square,
    "triangle": _triangle,
    "star": _star,
    "heart": _heart,
    "cross": _cross,
    "ring": _ring,
    "moon": _moon,
}


def _distance(thing: Thing, dx: float = 0.0, dy: float = 0.0) -> Field:
    x = (_GRID_X - np.float32(thing.x + dx)) / np.float32(thing.radius)
    y = (_GRID_Y - np.float32(thing.y + dy)) / np.float32(thing.radius)
    return DISTANCE[thing.shape](x, y) * np.float32(thing.radius)


def silhouette(thing: Thing) -> Field:
    """How much of each pixel the object covers: (64, 64) float32, 0 to 1."""
    inside = (_distance(thing) < 0).astype(np.float32)
    return inside.reshape(CANVAS, SUPERSAMPLING, CANVAS, SUPERSAMPLING).mean(axis=(1, 3))


def draw(scene: Scene, rng: random.Random) -> Picture:
    """Draws a scene: (64, 64, 3) uint8 RGB.

    The generator sets the light (a vertical gradient of 8 to 16 % from top to bottom) and the depth of the shadow.
    """
    strength = rng.uniform(0.04, 0.08)
    light = (1.0 + strength * (1.0 - _GRID_Y / (CANVAS / 2)))[..., None]
    picture = np.array(RGB[scene.background], np.float32) * light
    depth = rng.uniform(0.16, 0.26)
    for thing in scene.things:
        # The shadow falls 1 px right and 1.6 px down and fades over about 3 px.
        shadow = depth * np.clip(0.5 - _distance(thing, 1.0, 1.6) / 3.0, 0.0, 1.0)
        picture *= 1.0 - shadow[..., None]
    for thing in scene.things:
        cover = np.clip(0.5 - _distance(thing) * SUPERSAMPLING, 0.0, 1.0)[..., None]
        picture = picture * (1.0 - cover) + np.array(RGB[thing.colour], np.float32) * light * cover
    coarse = picture.reshape(CANVAS, SUPERSAMPLING, CANVAS, SUPERSAMPLING, 3).mean(axis=(1, 3))
    return np.clip(np.rint(coarse), 0, 255).astype(np.uint8)
