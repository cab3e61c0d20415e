"""Does the scorer tell a right caption from one that is wrong in one thing?"""

from __future__ import annotations

import numpy as np
import pytest
from transformers import CLIPImageProcessor, CLIPModel, CLIPTokenizer

from training.shapes import evaluate
from training.shapes import scorer as training
from training.shapes.captions import UNSEEN
from training.shapes.draw import Picture
from training.shapes.reader import compare, read

pytestmark = pytest.mark.model

Scorer = tuple[CLIPModel, CLIPTokenizer]


def test_prefers_the_right_caption_over_one_that_is_wrong_in_one_thing(scorer: Scorer) -> None:
    figures = training.test(*scorer, seed=evaluate.SEED, wording=UNSEEN)
    print(figures)  # noqa: T201
    assert figures["hard_negatives"] >= 0.9
    assert figures["retrieval_64"] >= 0.9


def test_generated_pictures_score_higher_with_their_own_caption(
    scorer: Scorer, asked: list[evaluate.Prompt], pictures: list[Picture]
) -> None:
    captions = [prompt.caption for prompt in asked]
    matched = evaluate.score(*scorer, captions, pictures)
    shuffled = evaluate.score(*scorer, captions[1:] + captions[:1], pictures)
    print(f"matched {matched.mean():.3f}, shuffled {shuffled.mean():.3f}")  # noqa: T201
    assert matched.mean() > shuffled.mean() + 0.4
    assert (matched > shuffled).mean() > 0.95


def test_pictures_that_are_read_as_right_score_higher_than_wrong_ones(
    scorer: Scorer, asked: list[evaluate.Prompt], pictures: list[Picture]
) -> None:
    scores = evaluate.score(*scorer, [prompt.caption for prompt in asked], pictures)
    right = np.array([compare(read(p), a.scene).arranged for p, a in zip(pictures, asked, strict=True)])
    assert scores[right].mean() > scores[~right].mean()


def test_the_image_processor_prepares_pictures_as_in_training(
    scorer: Scorer, shapes_scorer: object, pictures: list[Picture]
) -> None:
    processor = CLIPImageProcessor.from_pretrained(shapes_scorer, local_files_only=True)
    prepared = processor(images=pictures[0], return_tensors="np").pixel_values[0]
    assert prepared.shape == (3, 64, 64)
    assert np.allclose(prepared, pictures[0].transpose(2, 0, 1) / 127.5 - 1, atol=1e-5)
