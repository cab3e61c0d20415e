"""How often is a picture what was asked for? Held-out captions in unseen wording, read by the attribute reader.

    python -m training.shapes.evaluate --model models/shapes --scorer models/shapes-scorer

Run it from python-worker/. It prints one JSON object.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from diffusers import StableDiffusionPipeline
from transformers import CLIPModel, CLIPTokenizer

from . import scorer, tokenizer
from .autoencoder import to_signed
from .captions import UNSEEN, describe
from .draw import Picture
from .reader import Verdict, compare, read
from .scenes import Scene, sample_scene
from .text_encoder import tokens
from .vocabulary import HELD_OUT

# Seed of the captions: no training stage uses it.
SEED = 20_000
# Of every twenty captions, how many show one object, two side by side, two stacked, and three in a row.
LAYOUT_MIX = ("single",) * 8 + ("beside",) * 5 + ("stacked",) * 5 + ("row",) * 2


@dataclass(frozen=True)
class Prompt:
    """A caption and the scene it tells; `background_named` says whether the caption fixes the background."""

    caption: str
    scene: Scene
    background_named: bool


def prompts(count: int = 200, seed: int = SEED) -> list[Prompt]:
    """Captions in wording that training never sees; every fourth is about pairs kept out of training.

    A scene is put into other words until its caption fits the tokenizer, which would cut a longer one.
    """
    rng = random.Random(seed)
    words = tokenizer.build()
    made = []
    for index in range(count):
        scene = sample_scene(rng, LAYOUT_MIX[index % len(LAYOUT_MIX)], held_out=index % 4 == 3)
        named = rng.random() < 0.6 or scene.background != "white"
        caption = describe(scene, rng, UNSEEN, name_background=named)
        while len(words(caption).input_ids) > tokenizer.LENGTH:
            caption = describe(scene, rng, UNSEEN, name_background=named)
        made.append(Prompt(caption, scene, named))
    return made


@torch.no_grad()
def generate(
    pipe: StableDiffusionPipeline, captions: Sequence[str], guidance: float, steps: int = 20, seed: int = 0,
    batch: int = 10, size: tuple[int, int] = (64, 64),
) -> list[Picture]:  # fmt: skip
    """One (height, width, 3) uint8 picture a caption, the n-th from its own generator with seed `seed + n`."""
    pipe.set_progress_bar_config(disable=True)
    pictures: list[Picture] = []
    for start in range(0, len(captions), batch):
        part = list(captions[start : start + batch])
        generators = [torch.Generator().manual_seed(seed + start + index) for index in range(len(part))]
        output = pipe(
            part, num_inference_steps=steps, guidance_scale=guidance, generator=generators, output_type="np",
            height=size[0], width=size[1],
        )  # fmt: skip
        pictures += [np.rint(picture * 255).astype(np.uint8) for picture in output.images]
    return pictures


def _share(part: float, whole: float) -> float:
    return round(100 * part / whole, 1) if whole else float("nan")


def figures(asked: Sequence[Prompt], verdicts: Sequence[Verdict]) -> dict[str, float]:
    """Percentages. Colour, shape and pair are of objects (a surplus object counts as wrong), the rest of captions.

    `relation`: captions about two objects where exactly both came, each with its colour and shape, as told.
    `pair_seen`, `pair_held_out`: colour and shape on the same object, by whether training saw the pair.
    """
    both = list(zip(asked, verdicts, strict=True))

    def objects(field: str, chosen: list[tuple[Prompt, Verdict]]) -> float:
        return _share(sum(getattr(v, field) for _, v in chosen), sum(v.total for _, v in chosen))

    def arranged(*layouts: str) -> float:
        chosen = [v.arranged for p, v in both if p.scene.layout in layouts]
        return _share(sum(chosen), len(chosen))

    named = [v.background for p, v in both if p.background_named]
    return {
        "colour": objects("colours", both),
        "shape": objects("shapes", both),
        "relation": arranged("beside", "stacked"),
        "pair_seen": objects("pairs", [(p, v) for p, v in both if not p.scene.pairs & HELD_OUT]),
        "pair_held_out": objects("pairs", [(p, v) for p, v in both if p.scene.pairs & HELD_OUT]),
        "background": _share(sum(named), len(named)),
        "single_in_place": arranged("single"),
        "row_in_order": arranged("row"),
    }


def judge(asked: Sequence[Prompt], pictures: Sequence[Picture]) -> dict[str, float]:
    """`figures` of the pictures made for the prompts."""
    return figures(asked, [compare(read(picture), p.scene) for p, picture in zip(asked, pictures, strict=True)])


@torch.no_grad()
def score(
    model: CLIPModel, words: CLIPTokenizer, captions: Sequence[str], pictures: Sequence[Picture]
) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    """Cosine similarity of each picture with its caption: (n,) float32, -1 to 1."""
    batch = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2)
    seen = scorer.embed_pictures(model, to_signed(batch))
    said = scorer.embed_captions(model, tokens(words, list(captions)))
    similarity: np.ndarray[tuple[int], np.dtype[np.float32]] = (seen * said).sum(1).numpy()
    return similarity


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--scorer", type=Path)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0, help="of the first picture's noise")
    parser.add_argument("--guidance", type=float, help="default: the model's own")
    parser.add_argument("--steps", type=int, default=20)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    pipe = StableDiffusionPipeline.from_pretrained(arguments.model, dtype=torch.float32, local_files_only=True)
    defaults = json.loads((arguments.model / "safelight.json").read_text())["defaults"]
    guidance = arguments.guidance or defaults["guidance_scale"]
    asked = prompts(arguments.count)
    captions = [prompt.caption for prompt in asked]
    pictures = generate(pipe, captions, guidance, arguments.steps, arguments.seed)
    result = {"count": len(asked), "steps": arguments.steps, "guidance": guidance, **judge(asked, pictures)}
    if arguments.scorer:
        model = CLIPModel.from_pretrained(arguments.scorer, dtype=torch.float32, local_files_only=True)
        words = CLIPTokenizer.from_pretrained(arguments.scorer, local_files_only=True)
        result |= {k: round(100 * v, 1) for k, v in scorer.test(model, words, SEED, UNSEEN).items()}
        result["score_matched"] = round(float(score(model, words, captions, pictures).mean()), 3)
        shuffled = captions[1:] + captions[:1]
        result["score_shuffled"] = round(float(score(model, words, shuffled, pictures).mean()), 3)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
