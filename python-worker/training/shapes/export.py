"""What is shipped? Checkpoints become the two model folders: fp16 weights, strict JSON, plain files.

    python -m training.shapes.export --out DIR --model models/shapes --scorer models/shapes-scorer --guidance 3.5

Run it from python-worker/, after the stages of `train`. It writes weights, configuration, serving defaults, preview
factors and a thinned training log; model card and licence are kept by hand.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL, StableDiffusionPipeline
from torch import Tensor, nn
from transformers import CLIPImageProcessor, CLIPModel, CLIPTextModel

from . import autoencoder, denoiser, scorer, text_encoder, tokenizer
from .scenes import CANVAS

# What a server accepts, which is more than the model is good at: trained at 64x64 only, it is right between 56 and 80
# (model card). Beyond, the largest size keeps a picture under a second on one core.
LIMITS = {
    "min_width": 32,
    "max_width": 256,
    "min_height": 32,
    "max_height": 256,
    "size_multiple": 8,
    "min_num_inference_steps": 1,
    "max_num_inference_steps": 150,
    "min_guidance_scale": 0.0,
    "max_guidance_scale": 20.0,
}
LOG_BYTES = 38_000


def _state(checkpoint: Path, name: str) -> dict[str, Tensor]:
    state: dict[str, Tensor] = torch.load(checkpoint, weights_only=True)[name]
    return state


def load_autoencoder(out: Path) -> AutoencoderKL:
    """The trained autoencoder, in float32."""
    vae = autoencoder.build()
    vae.load_state_dict(_state(out / "autoencoder.pt", "vae"))
    vae.register_to_config(scaling_factor=json.loads((out / "latents.json").read_text())["scaling_factor"])
    return vae.eval().requires_grad_(False)


def load_pipeline(out: Path) -> StableDiffusionPipeline:
    """The pipeline of a training folder, in float32, from the running means."""
    words = tokenizer.build()
    text = CLIPTextModel(text_encoder.config(words)).eval()
    text.load_state_dict(_state(out / "denoiser.pt", "text"))
    unet = denoiser.build().eval()
    unet.load_state_dict(_state(out / "denoiser.pt", "unet"))
    return assemble(load_autoencoder(out), text, unet)


def assemble(vae: AutoencoderKL, text: CLIPTextModel, unet: nn.Module) -> StableDiffusionPipeline:
    """A pipeline around the given modules."""
    return StableDiffusionPipeline(
        vae=vae,
        text_encoder=text,
        tokenizer=tokenizer.build(),
        unet=unet,
        scheduler=denoiser.scheduler(),
        safety_checker=None,
        feature_extractor=None,
        image_encoder=None,
        requires_safety_checker=False,
    )


@torch.no_grad()
def preview_factors(vae: AutoencoderKL) -> dict[str, Any]:
    """The linear map from a latent pixel to the colour of its 4x4 picture pixels, by least squares over drawings."""
    pictures = autoencoder.to_signed(autoencoder.draw_many(512, seed=7))
    latents = vae.encode(pictures).latent_dist.mean
    colours = F.avg_pool2d(vae.decode(latents).sample.clamp(-1, 1), 4)
    rows = (latents * vae.config.scaling_factor).permute(0, 2, 3, 1).reshape(-1, autoencoder.LATENT_CHANNELS)
    known = np.column_stack([rows.numpy(), np.ones(len(rows))])
    solved, *_ = np.linalg.lstsq(known, colours.permute(0, 2, 3, 1).reshape(-1, 3).numpy(), rcond=None)
    return {
        "latents": "as the scheduler steps them, scaled",
        "rgb_range": [-1, 1],
        "latent_rgb_factors": np.round(solved[:-1], 5).tolist(),
        "latent_rgb_bias": np.round(solved[-1], 5).tolist(),
    }


def _strict(value: Any) -> Any:
    """Drops what other languages' JSON readers refuse (infinities, which are also the defaults) and local paths."""
    if isinstance(value, dict):
        kept = {key: _strict(entry) for key, entry in value.items() if key != "_name_or_path"}
        return {key: entry for key, entry in kept.items() if entry not in (float("inf"), float("-inf"))}
    return [_strict(entry) for entry in value] if isinstance(value, list) else value


def write_json(path: Path, value: Any) -> None:
    """Indented strict JSON with a final newline."""
    path.write_text(json.dumps(value, indent=2, allow_nan=False, ensure_ascii=False) + "\n")


def tidy(folder: Path) -> None:
    """Makes every JSON file strict and every file mode 0644."""
    for path in folder.rglob("*"):
        # tokenizer.json is one long vocabulary and strict already; indented it would be three times the size.
        if path.suffix == ".json" and path.name not in ("tokenizer.json", "vocab.json"):
            write_json(path, _strict(json.loads(path.read_text())))
        path.chmod(0o755 if path.is_dir() else 0o644)


def save_tokenizer(folder: Path) -> None:
    """tokenizer.json for current readers, vocab.json and merges.txt for older ones."""
    words = tokenizer.build()
    words.save_pretrained(folder)
    state = json.loads((folder / "tokenizer.json").read_text())
    (folder / "tokenizer.json").write_text(json.dumps(state, ensure_ascii=False, separators=(",", ":")))
    (folder / "vocab.json").write_text(json.dumps(state["model"]["vocab"], ensure_ascii=False, separators=(",", ":")))
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in state["model"]["merges"]]
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(merges) + "\n")


def thin_log(log: Path, stages: set[str]) -> str:
    """The training log of some stages: all lines with figures from tests, and as many of the others as fit."""
    lines = [line for line in log.read_text().splitlines() if json.loads(line)["stage"] in stages]
    tests = [line for line in lines if "loss" not in json.loads(line)]
    others = [line for line in lines if "loss" in json.loads(line)]
    while sum(len(line) + 1 for line in tests + others) > LOG_BYTES:
        others = others[::2]
    kept = set(tests + others)
    return "".join(line + "\n" for line in lines if line in kept)


def export_model(out: Path, folder: Path, guidance: float) -> None:
    """Writes the text-to-image model."""
    pipe = load_pipeline(out)
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "preview.json", preview_factors(pipe.vae))
    pipe.to(torch.float16).save_pretrained(folder)
    save_tokenizer(folder / "tokenizer")
    defaults = {"width": CANVAS, "height": CANVAS, "num_inference_steps": 20, "guidance_scale": guidance}
    write_json(folder / "safelight.json", {"defaults": defaults, "limits": LIMITS})
    (folder / "training_log.jsonl").write_text(thin_log(out / "log.jsonl", {"text", "autoencoder", "denoiser"}))
    tidy(folder)


def export_scorer(out: Path, folder: Path) -> None:
    """Writes the scorer, with its tokenizer and how pictures are prepared for it."""
    text = CLIPTextModel(text_encoder.config(tokenizer.build()))
    model: CLIPModel = scorer.build(text)
    model.load_state_dict(_state(out / "scorer.pt", "mean"))
    folder.mkdir(parents=True, exist_ok=True)
    model.to(torch.float16).save_pretrained(folder)
    save_tokenizer(folder)
    CLIPImageProcessor(
        size={"height": CANVAS, "width": CANVAS},
        crop_size={"height": CANVAS, "width": CANVAS},
        do_center_crop=False,
        image_mean=[0.5] * 3,
        image_std=[0.5] * 3,
    ).save_pretrained(folder)
    (folder / "training_log.jsonl").write_text(thin_log(out / "log.jsonl", {"text", "scorer"}))
    tidy(folder)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder that train wrote")
    parser.add_argument("--model", type=Path)
    parser.add_argument("--scorer", type=Path)
    parser.add_argument("--guidance", type=float, default=3.5, help="default guidance scale to ship")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.model:
        export_model(arguments.out, arguments.model, arguments.guidance)
    if arguments.scorer:
        export_scorer(arguments.out, arguments.scorer)


if __name__ == "__main__":
    main()
