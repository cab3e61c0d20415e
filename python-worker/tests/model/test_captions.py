from __future__ import annotations

import random

import pytest

from training.shapes.captions import TRAINING, UNSEEN, VARIED, Wording, describe
from training.shapes.evaluate import prompts
from training.shapes.scenes import Scene, Thing, sample_scene
from training.shapes.vocabulary import (
    COLOUR_WORDS,
    HELD_OUT,
    RELATION_WORDS,
    SHAPE_WORDS,
    SIZE_WORDS,
)


def _words(text: str) -> set[str]:
    return set(text.replace(",", " ").replace("{0}", " ").split())


def test_every_word_of_the_vocabulary_is_taught() -> None:
    rng = random.Random(0)
    heard = " ".join(describe(sample_scene(rng), rng) for _ in range(6000))
    for table in (SHAPE_WORDS, COLOUR_WORDS, SIZE_WORDS, RELATION_WORDS):
        for words in table.values():
            assert all(word in heard for word in words)


def test_unseen_wording_holds_words_that_training_never_uses() -> None:
    rng = random.Random(1)
    heard: set[str] = set()
    for _ in range(3000):
        heard |= _words(describe(sample_scene(rng), rng, rng.choice((TRAINING, VARIED))))
    new = {"sketch", "poster", "icon", "placed", "near", "directly", "just", "sitting", "against", "plain", "then"}
    assert not new & heard
    said: set[str] = set()
    for _ in range(500):
        said |= _words(describe(sample_scene(rng), rng, UNSEEN))
    assert new <= said


@pytest.mark.parametrize("taught", [TRAINING, VARIED], ids=["training", "varied"])
def test_no_phrase_of_the_unseen_wording_is_taught(taught: Wording) -> None:
    assert not set(UNSEEN.openers) & set(taught.openers)
    assert not set(UNSEEN.positions) & set(taught.positions)
    assert not set(UNSEEN.rows) & set(taught.rows)
    assert not set(UNSEEN.backgrounds) & set(taught.backgrounds)


@pytest.mark.parametrize("wording", [TRAINING, VARIED, UNSEEN], ids=["training", "varied", "unseen"])
def test_a_caption_names_every_colour_and_shape(wording: Wording) -> None:
    rng = random.Random(2)
    for _ in range(500):
        scene = sample_scene(rng)
        caption = describe(scene, rng, wording, name_background=True)
        for thing in scene.things:
            assert any(word in caption for word in SHAPE_WORDS[thing.shape])
            assert any(word in caption for word in COLOUR_WORDS[thing.colour])
        assert any(word in caption for word in COLOUR_WORDS[scene.background])


def test_both_orders_of_naming_tell_the_same_scene() -> None:
    scene = Scene(
        (Thing("circle", "red", "small", 16, 32, 8), Thing("star", "blue", "medium", 48, 32, 10)), "beside", "white"
    )
    said = {describe(scene, random.Random(seed)) for seed in range(8000)}
    assert "a small red circle left of a blue star on a white background" in said
    assert any("blue star" in text and "right of" in text and text.endswith("red circle") for text in said)
    assert not any("above" in text or "under" in text for text in said)


def test_a_quarter_of_the_evaluation_is_about_held_out_pairs() -> None:
    asked = prompts(200)
    assert len({prompt.caption for prompt in asked}) > 195
    assert sum(bool(prompt.scene.pairs & HELD_OUT) for prompt in asked) == 50
