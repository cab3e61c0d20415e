from __future__ import annotations

import random

import numpy as np
import pytest

from training.shapes.draw import draw, silhouette
from training.shapes.scenes import CANVAS, Thing, sample_scene
from training.shapes.vocabulary import COLOURS, HELD_OUT, LAYOUTS, RGB, SHAPES


def test_equal_seeds_draw_equal_pictures() -> None:
    def picture(seed: int) -> np.ndarray:
        rng = random.Random(seed)
        return draw(sample_scene(rng), rng)

    assert np.array_equal(picture(4), picture(4))
    assert not np.array_equal(picture(4), picture(5))


def test_a_picture_is_64_by_64_rgb_bytes() -> None:
    rng = random.Random(0)
    picture = draw(sample_scene(rng), rng)
    assert picture.shape == (CANVAS, CANVAS, 3)
    assert picture.dtype == np.uint8


@pytest.mark.parametrize("shape", SHAPES)
def test_a_shape_fills_about_its_radius_and_leaves_the_rest(shape: str) -> None:
    cover = silhouette(Thing(shape, "red", "large", 32.0, 32.0, 16.0))
    rows, columns = np.nonzero(cover > 0.5)
    assert 24 <= np.ptp(rows) + 1 <= 36
    assert 24 <= np.ptp(columns) + 1 <= 36
    assert cover[:8].sum() == cover[-8:].sum() == 0


@pytest.mark.parametrize("colour", COLOURS)
def test_the_middle_of_a_square_has_the_palette_colour(colour: str) -> None:
    rng = random.Random(COLOURS.index(colour))
    scene = sample_scene(rng, "single")
    square = Thing("square", colour, "large", 32.0, 32.0, 18.0)
    picture = draw(type(scene)((square,), "single", "gray", "center"), rng)
    assert np.abs(picture[32, 32].astype(int) - RGB[colour]).max() <= 6


@pytest.mark.parametrize("layout", LAYOUTS)
def test_no_object_has_the_colour_of_its_background_or_touches_the_edge(layout: str) -> None:
    rng = random.Random(11)
    for _ in range(200):
        scene = sample_scene(rng, layout)
        assert scene.background not in {thing.colour for thing in scene.things}
        for thing in scene.things:
            assert thing.radius < thing.x < CANVAS - thing.radius
            assert thing.radius < thing.y < CANVAS - thing.radius


def test_held_out_pairs_come_only_when_asked_for() -> None:
    rng = random.Random(3)
    assert not any(sample_scene(rng).pairs & HELD_OUT for _ in range(2000))
    assert all(sample_scene(rng, held_out=True).pairs <= HELD_OUT for _ in range(100))
