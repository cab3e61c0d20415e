from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline

from training.shapes.autoencoder import psnr, to_signed
from training.shapes.draw import Picture, draw
from training.shapes.reader import compare, read
from training.shapes.scenes import Scene, sample_scene
from training.shapes.scorer import mutate

COUNT = 200


@pytest.fixture(scope="module")
def drawn() -> list[tuple[Scene, Picture]]:
    rng = random.Random(77)
    scenes = [sample_scene(rng, any_pair=True) for _ in range(COUNT)]
    return [(scene, draw(scene, rng)) for scene in scenes]


def test_reads_drawings_without_an_error(drawn: list[tuple[Scene, Picture]]) -> None:
    for scene, picture in drawn:
        verdict = compare(read(picture), scene)
        assert verdict.arranged, scene
        assert verdict.background, scene
        assert verdict.colours == verdict.shapes == verdict.pairs == verdict.total == len(scene.things)


def test_reads_a_picture_of_something_else_as_wrong(drawn: list[tuple[Scene, Picture]]) -> None:
    rng = random.Random(78)
    for scene, picture in drawn:
        verdict = compare(read(picture), mutate(scene, rng))
        assert not (verdict.arranged and verdict.background), scene


def test_counts_a_missing_and_a_surplus_object(drawn: list[tuple[Scene, Picture]]) -> None:
    scene, picture = next((s, p) for s, p in drawn if len(s.things) == 2)
    fewer = Scene(scene.things[:1], "single", scene.background)
    assert compare(read(picture), fewer).total == 2
    assert not compare(read(picture), fewer).arranged
    one, alone = next((s, p) for s, p in drawn if s.layout == "single")
    more = Scene((*one.things, *scene.things[:1]), "beside", one.background)
    assert not compare(read(alone), more).arranged


def test_reads_an_empty_or_noisy_picture_as_nothing_asked_for(drawn: list[tuple[Scene, Picture]]) -> None:
    assert read(np.full((64, 64, 3), 246, np.uint8)).things == ()
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    assert not compare(read(noise), drawn[0][0]).arranged


@pytest.mark.model
def test_reads_pictures_that_went_through_the_autoencoder(
    pipe: StableDiffusionPipeline, drawn: list[tuple[Scene, Picture]]
) -> None:
    stack = torch.from_numpy(np.stack([picture for _, picture in drawn])).permute(0, 3, 1, 2)
    with torch.no_grad():
        back = pipe.vae.decode(pipe.vae.encode(to_signed(stack)).latent_dist.mean).sample.clamp(-1, 1)
        assert psnr(pipe.vae, stack[:64]) > 40
    pictures = ((back + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
    arranged = [compare(read(p), scene).arranged for p, (scene, _) in zip(pictures, drawn, strict=True)]
    assert sum(arranged) >= 0.98 * COUNT
