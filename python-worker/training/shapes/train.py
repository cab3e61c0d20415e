"""Trains the shapes model and its scorer from nothing, stage by stage.

    python -m training.shapes.train --out DIR --seed 0            # every stage, about two hours on one core
    python -m training.shapes.train --out DIR --stage denoiser --minutes 65

Run it from python-worker/. Each stage reads what earlier stages left in DIR, and goes on from its own last checkpoint
if it was interrupted. DIR/log.jsonl gets a line for every report.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from torch.nn import Module
from transformers import CLIPTextModel

from . import autoencoder, denoiser, evaluate, export, scorer, text_encoder, tokenizer
from .progress import Progress

# What the published weights had, on one busy core.
MINUTES = {"text": 4.0, "autoencoder": 14.0, "scorer": 24.0, "denoiser": 68.5}
EXAMPLES = 20_000  # more are more varied; this many take two minutes to make


def _restore(module: Module, checkpoint: Path, name: str) -> None:
    module.load_state_dict(torch.load(checkpoint, weights_only=True)[name])


def _text_model(out: Path) -> CLIPTextModel:
    model = CLIPTextModel(text_encoder.config(tokenizer.build()))
    _restore(model, out / "text.pt", "text")
    return model


def train_text(out: Path, progress: Progress, seed: int) -> None:
    """Text encoder from captions alone, to text.pt."""
    words = tokenizer.build()
    text_encoder.train(CLIPTextModel(text_encoder.config(words)), words, progress, seed, out / "text.pt")


def train_autoencoder(out: Path, progress: Progress, seed: int) -> None:
    """Encoder and decoder, to autoencoder.pt; the factor that brings latents to unit spread, to latents.json."""
    vae = autoencoder.build()
    autoencoder.train(vae, progress, seed, out / "autoencoder.pt")
    export.write_json(out / "latents.json", {"scaling_factor": vae.config.scaling_factor})


def train_scorer(out: Path, progress: Progress, seed: int) -> None:
    """Scorer, its text side starting from text.pt, to scorer.pt."""
    scorer.train(scorer.build(_text_model(out)), tokenizer.build(), progress, seed, out / "scorer.pt")


def train_denoiser(out: Path, progress: Progress, seed: int) -> None:
    """Denoiser and text encoder, to denoiser.pt; the latents they learn from are kept in examples.pt."""
    vae = export.load_autoencoder(out)
    if not (out / "examples.pt").exists():
        denoiser.make_examples(vae, tokenizer.build(), EXAMPLES, seed, out / "examples.pt")
    examples = denoiser.Examples(out / "examples.pt")
    asked = evaluate.prompts(100, seed=evaluate.SEED + 1)

    def test(unet: Module, text: CLIPTextModel) -> dict[str, float]:
        pipe = export.assemble(vae, text, unet)
        pictures = evaluate.generate(pipe, [prompt.caption for prompt in asked], guidance=3.5)
        return evaluate.judge(asked, pictures)

    denoiser.train(denoiser.build(), _text_model(out), examples, progress, seed, out / "denoiser.pt", test)


STAGES = {
    "text": train_text,
    "autoencoder": train_autoencoder,
    "scorer": train_scorer,
    "denoiser": train_denoiser,
}


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for checkpoints and the log")
    parser.add_argument("--stage", choices=[*STAGES, "all"], default="all")
    parser.add_argument("--minutes", type=float, help="length of each chosen stage; default: as published")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1, help="more than one is slower beside other busy processes")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    arguments.out.mkdir(parents=True, exist_ok=True)
    for stage in STAGES if arguments.stage == "all" else [arguments.stage]:
        torch.manual_seed(arguments.seed)
        progress = Progress(stage, arguments.minutes or MINUTES[stage], arguments.out / "log.jsonl")
        STAGES[stage](arguments.out, progress, arguments.seed)


if __name__ == "__main__":
    main()
