"""What does a caption mean? Configuration of the text encoder, and its first lessons from text alone."""

from __future__ import annotations

import random
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from .captions import describe
from .optimiser import Mover
from .progress import Progress
from .scenes import Scene, sample_scene
from .tokenizer import LENGTH
from .vocabulary import BACKGROUNDS, COLOURS, LAYOUTS, POSITIONS, SHAPES, SIZES

WIDTH = 96
BATCH = 64
# Positions near the end of the padded caption have read all of it. Each is taught to hold one part of the scene:
# object 1, 2, 3 in reading order, then layout and background, so the denoiser finds them in a fixed place.
SLOTS = (28, 29, 30, 31)
PLACE_WORDS = ("top", "bottom", "left", "right", "center", "centre", "middle")
NONE = -100  # cross_entropy's ignored label: the caption leaves it open


def config(tokenizer: CLIPTokenizer) -> CLIPTextConfig:
    """Width 96, 3 layers, 4 heads: 0.41 M weights."""
    return CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=WIDTH,
        intermediate_size=4 * WIDTH,
        num_hidden_layers=3,
        num_attention_heads=4,
        max_position_embeddings=LENGTH,
        projection_dim=WIDTH,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )


def tokens(tokenizer: CLIPTokenizer, captions: list[str]) -> Tensor:
    """Token ids, padded and cut to (n, 32) int64."""
    encoded = tokenizer(captions, padding="max_length", truncation=True, max_length=LENGTH, return_tensors="pt")
    ids: Tensor = encoded.input_ids
    return ids


class SceneHeads(nn.Module):
    """Names a scene's parts from the text encoder's output; used in training only."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes = {"shape": len(SHAPES) + 1, "colour": len(COLOURS) + 1, "size": len(SIZES) + 1}
        each = sum(self.sizes.values())
        self.scene_sizes = {"layout": len(LAYOUTS), "background": len(BACKGROUNDS), "position": len(POSITIONS)}
        scene = sum(self.scene_sizes.values())
        self.slot = nn.ModuleList([nn.Linear(WIDTH, each) for _ in range(3)] + [nn.Linear(WIDTH, scene)])
        self.pooled = nn.ModuleList([nn.Linear(WIDTH, each) for _ in range(3)] + [nn.Linear(WIDTH, scene)])

    def forward(self, hidden: Tensor, pooled: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Loss, and which captions are read without an error by the slots, (n,) bool.

        Args:
            hidden: (n, 32, 96) float32.
            pooled: (n, 96) float32, the state at the end marker.
            labels: (n, 12) int64 from `label`.
        """
        loss = hidden.new_zeros(())
        right = torch.ones(len(labels), dtype=torch.bool)
        for part in range(4):
            sizes = list((self.sizes if part < 3 else self.scene_sizes).values())
            wanted = labels[:, part * 3 : part * 3 + 3]
            for source, heads in ((hidden[:, SLOTS[part]], self.slot), (pooled, self.pooled)):
                for column, logits in enumerate(heads[part](source).split(sizes, dim=1)):
                    target = wanted[:, column]
                    loss = loss + F.cross_entropy(logits, target, ignore_index=NONE)
                    if heads is self.slot:
                        right &= (logits.argmax(1) == target) | (target == NONE)
        return loss, right


def label(scene: Scene, caption: str) -> list[int]:
    """Twelve class numbers: shape, colour, size of three objects; layout, background, position.

    A background or position that the caption leaves open is NONE, an absent object the last class.
    """
    numbers: list[int] = []
    for index in range(3):
        if index < len(scene.things):
            thing = scene.things[index]
            numbers += [SHAPES.index(thing.shape), COLOURS.index(thing.colour), SIZES.index(thing.size)]
        else:
            numbers += [len(SHAPES), len(COLOURS), len(SIZES)]
    # The last words name the background if any do; "on red" is the shortest form.
    open_background = " background" not in caption and " on " not in caption[-14:]
    background = NONE if open_background else BACKGROUNDS.index(scene.background)
    placed = scene.position and any(word in caption for word in PLACE_WORDS)
    position = POSITIONS.index(scene.position) if placed else NONE
    return [*numbers, LAYOUTS.index(scene.layout), background, position]


def train(model: CLIPTextModel, tokenizer: CLIPTokenizer, progress: Progress, seed: int, checkpoint: Path) -> None:
    """Teaches the encoder to name the parts of scenes, held-out pairs left out. Short, so only its end is kept."""
    progress.resume(checkpoint, text=model)
    if progress.fraction >= 1.0:
        return
    rng = random.Random(seed)
    heads = SceneHeads()
    mover = Mover([model, heads], muon=3e-3, adam=2e-3)
    unseen_rng = random.Random(seed + 1)
    unseen = [sample_scene(unseen_rng, held_out=True) for _ in range(256)]
    unseen_captions = [describe(scene, unseen_rng, name_background=True) for scene in unseen]
    while not progress.done():
        scenes = [sample_scene(rng) for _ in range(BATCH)]
        captions = [describe(scene, rng) for scene in scenes]
        labels = torch.tensor([label(s, c) for s, c in zip(scenes, captions, strict=True)])
        output = model.train()(tokens(tokenizer, captions))
        loss, right = heads(output.last_hidden_state, output.pooler_output, labels)
        loss.backward()
        mover.step(progress.rate())
        progress.step += 1
        progress.report(loss=float(loss.detach()), right=float(right.float().mean()))
    with torch.no_grad():
        labels = torch.tensor([label(s, c) for s, c in zip(unseen, unseen_captions, strict=True)])
        output = model.eval()(tokens(tokenizer, unseen_captions))
        loss, right = heads(output.last_hidden_state, output.pooler_output, labels)
    progress.report(0, held_out_loss=float(loss), held_out_right=float(right.float().mean()))
    progress.save(checkpoint, text=model)
