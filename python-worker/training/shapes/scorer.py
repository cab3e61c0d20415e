"""Does a picture match a caption? A small CLIP model, taught with captions that are wrong in one thing."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import CLIPConfig, CLIPModel, CLIPTextModel, CLIPTokenizer, CLIPVisionConfig

from .autoencoder import to_signed
from .captions import TRAINING, Wording, describe
from .draw import draw
from .optimiser import Mover, RunningMean
from .progress import Progress
from .scenes import CANVAS, Scene, sample_scene
from .text_encoder import WIDTH, SceneHeads, label, tokens
from .vocabulary import BACKGROUNDS, COLOURS, SHAPES

BATCH = 64
POOL = 12_000  # drawings kept in memory; captions are made anew for every batch
PROJECTION = 64


def build(text: CLIPTextModel) -> CLIPModel:
    """A new scorer, 0.89 M weights, whose text side starts from the text encoder. Pictures are (3, 64, 64), -1..1."""
    vision = CLIPVisionConfig(
        hidden_size=WIDTH,
        intermediate_size=4 * WIDTH,
        num_hidden_layers=4,
        num_attention_heads=4,
        image_size=CANVAS,
        patch_size=8,
        projection_dim=PROJECTION,
    )
    model = CLIPModel(
        CLIPConfig(
            text_config={**text.config.to_dict(), "projection_dim": PROJECTION},
            vision_config=vision.to_dict(),
            projection_dim=PROJECTION,
        )
    )
    model.text_model.load_state_dict(text.state_dict())
    return model


def mutate(scene: Scene, rng: random.Random) -> Scene:
    """The scene with one thing wrong that any caption of it tells: a colour, a shape, the order, or the background."""
    things = list(scene.things)
    kinds = ["colour", "shape", "background"]
    if len({(thing.colour, thing.shape) for thing in things}) > 1:
        kinds += ["order", "order"]
        if len({thing.colour for thing in things}) > 1 and len({thing.shape for thing in things}) > 1:
            kinds += ["exchange", "exchange"]
    kind = rng.choice(kinds)
    index = rng.randrange(len(things))
    if kind == "background":
        taken = {scene.background, *(thing.colour for thing in things)}
        return replace(scene, background=rng.choice([name for name in BACKGROUNDS if name not in taken]))
    if kind == "colour":
        taken = {scene.background, things[index].colour}
        things[index] = replace(things[index], colour=rng.choice([name for name in COLOURS if name not in taken]))
    elif kind == "shape":
        others = [name for name in SHAPES if name != things[index].shape]
        things[index] = replace(things[index], shape=rng.choice(others))
    elif kind == "order":
        things = things[1:] + things[:1]
    else:
        colours = [thing.colour for thing in things[1:] + things[:1]]
        things = [replace(thing, colour=colour) for thing, colour in zip(things, colours, strict=True)]
    changed = replace(scene, things=tuple(things))
    same = [(t.colour, t.shape) for t in changed.things] == [(t.colour, t.shape) for t in scene.things]
    return mutate(scene, rng) if same else changed


def caption_pair(scene: Scene, rng: random.Random, wording: Wording = TRAINING) -> tuple[str, str]:
    """A caption of the scene and one that is wrong in one thing, both in the same words."""
    wrong = mutate(scene, rng)
    named = wrong.background != scene.background or rng.random() < 0.5
    seed = rng.getrandbits(32)
    right_words = describe(scene, random.Random(seed), wording, name_background=named)
    return right_words, describe(wrong, random.Random(seed), wording, name_background=named)


def _worn(pictures: Tensor, generator: torch.Generator) -> Tensor:
    """Pictures as a decoder might return them: some blurred, some noisy, some lighter or darker."""
    count = (len(pictures), 1, 1, 1)
    blurred = F.avg_pool2d(F.pad(pictures, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    pictures = pictures.lerp(blurred, torch.rand(count, generator=generator) ** 2)
    noise = torch.randn(pictures.shape, generator=generator) * 0.08 * torch.rand(count, generator=generator) ** 2
    return pictures * (1 + 0.1 * (torch.rand(count, generator=generator) - 0.5)) + noise


def _contrast(similarity: Tensor, scenes: list[Scene]) -> Tensor:
    """InfoNCE both ways; a caption that also fits another picture of the batch is no negative for it."""
    keys = [(scene.layout, tuple((t.colour, t.shape) for t in scene.things)) for scene in scenes]
    alike = torch.tensor([[a == b for b in keys] for a in keys]) & ~torch.eye(len(keys), dtype=torch.bool)
    similarity = similarity.masked_fill(alike, -1e4)
    diagonal = torch.arange(len(keys))
    return (F.cross_entropy(similarity, diagonal) + F.cross_entropy(similarity.T, diagonal)) / 2


def embed_pictures(model: CLIPModel, pictures: Tensor) -> Tensor:
    """Unit vectors (n, 64) float32 of (n, 3, 64, 64) pictures in -1..1."""
    pooled = model.vision_model(pixel_values=pictures).pooler_output
    return F.normalize(model.visual_projection(pooled).float(), dim=-1)


def embed_captions(model: CLIPModel, ids: Tensor) -> Tensor:
    """Unit vectors (n, 64) float32 of (n, 32) token ids."""
    pooled = model.text_model(input_ids=ids).pooler_output
    return F.normalize(model.text_projection(pooled).float(), dim=-1)


@torch.no_grad()
def test(model: CLIPModel, tokenizer: CLIPTokenizer, seed: int, wording: Wording, count: int = 512) -> dict[str, float]:
    """Share of drawings scored above a caption wrong in one thing, and of those found by caption among 64."""
    rng = random.Random(seed)
    scenes = [sample_scene(rng, any_pair=True) for _ in range(count)]
    pictures = to_signed(torch.from_numpy(np.stack([draw(s, rng) for s in scenes])).permute(0, 3, 1, 2))
    pairs = [caption_pair(scene, rng, wording) for scene in scenes]
    seen = embed_pictures(model, pictures)
    right = embed_captions(model, tokens(tokenizer, [pair[0] for pair in pairs]))
    wrong = embed_captions(model, tokens(tokenizer, [pair[1] for pair in pairs]))
    hard = ((seen * right).sum(1) > (seen * wrong).sum(1)).float().mean()
    groups = (seen.view(-1, 64, PROJECTION) @ right.view(-1, 64, PROJECTION).mT).argmax(1)
    return {"hard_negatives": float(hard), "retrieval_64": float((groups == torch.arange(64)).float().mean())}


def train(model: CLIPModel, tokenizer: CLIPTokenizer, progress: Progress, seed: int, checkpoint: Path) -> None:
    """Trains on drawings of every pair, the denoiser's held-out ones too: a scorer must know what it judges."""
    rng = random.Random(seed)
    generator = torch.Generator().manual_seed(seed)
    scenes = [sample_scene(rng, any_pair=True) for _ in range(POOL)]
    pictures = torch.from_numpy(np.stack([draw(s, rng) for s in scenes])).permute(0, 3, 1, 2).contiguous()
    heads = nn.ModuleDict({"scene": SceneHeads()})
    mean = RunningMean(model, 0.998)
    progress.resume(checkpoint, scorer=model, mean=mean.module)
    mover = Mover([model, heads], muon=3e-3, adam=2e-3)
    while not progress.done():
        chosen = torch.randint(len(scenes), (BATCH,), generator=generator)
        batch = [scenes[index] for index in chosen.tolist()]
        pairs = [caption_pair(scene, rng) for scene in batch]
        captions = [right for right, _ in pairs] + [wrong for _, wrong in pairs]
        with torch.autocast("cpu", torch.bfloat16):
            output = model.vision_model(pixel_values=_worn(to_signed(pictures[chosen]), generator))
            seen = F.normalize(model.visual_projection(output.pooler_output).float(), dim=-1)
            said = embed_captions(model, tokens(tokenizer, captions))
        right, wrong = said.chunk(2)
        scale = model.logit_scale.exp().clamp(max=100.0)
        margin = scale * ((seen * right).sum(1) - (seen * wrong).sum(1))
        loss = _contrast(scale * seen @ right.T, batch) + F.softplus(-margin).mean()
        # Naming the parts of the scene from the picture alone speeds up the first half of the training.
        labels = torch.tensor([label(s, f"{s.position} background") for s in batch])
        pooled = output.pooler_output.float()
        named, _ = heads["scene"](pooled[:, None].expand(-1, 32, -1), pooled, labels)
        loss = loss + 0.1 * named
        loss.backward()
        mover.step(progress.rate())
        mean.update()
        progress.step += 1
        hard = float((margin > 0).float().mean())
        progress.report(30.0, loss=float(loss.detach()), named=float(named.detach()), hard=hard)
        if progress.step % 300 == 0:
            progress.save(checkpoint, scorer=model, mean=mean.module)
            progress.report(0, **test(mean.module, tokenizer, seed + 1, TRAINING))
    progress.save(checkpoint, scorer=model, mean=mean.module)
    progress.report(0, **test(mean.module, tokenizer, seed + 1, TRAINING))
