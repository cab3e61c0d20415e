"""What a model will take before any of it ran: weights by its files' headers, activations by its configs.

The formulas count what is alive at the worst moment of a forward without gradients, with attention that keeps no matrix
of scores (flash or memory-efficient). They were checked against the live tensors of diffusers' own classes: SD 1.5, SDXL,
SD3, Flux and their VAE. They leave out what libraries take for themselves; :mod:`.calibration` measures that.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from safelight_worker.memory.footprint import PhaseFootprint, predicted_bytes
from safelight_worker.memory.weights import component_bytes, file_bytes
from safelight_worker.types import Phase, Tiling

__all__ = ["PhaseFootprint", "component_bytes", "estimate_footprints", "file_bytes", "predicted_bytes"]

Config = Mapping[str, Any]

#: Side of a latent in pixels where the VAE's config does not tell.
_LATENT_SIDE = 8

#: Tokens of a prompt where nothing tells: T5's in SD3 and Flux; CLIP's own limit is less.
_TEXT_TOKENS = 512

#: Share of a tile that overlaps its neighbour, as AutoencoderKL has it.
_TILE_OVERLAP = 0.25


def estimate_footprints(
    configs: Mapping[str, Config],
    dtype_bytes: int,
    vae_dtype_bytes: int = 0,
    tiling: Tiling = Tiling.OFF,
    text_rows: int = 2,
) -> tuple[PhaseFootprint, ...]:
    """Footprints of ENCODE, DENOISE and DECODE, as far as the configs tell; a phase they do not tell of is left out.

    ``configs`` are those of the loaded components by their names in the pipeline (``unet`` or ``transformer``, ``vae``,
    ``text_encoder…``). ``dtype_bytes`` is the size of an element of the activations, ``vae_dtype_bytes`` that of the
    VAE's where it differs. ``text_rows`` are the prompts encoded at once, and the rows whose text tokens go through a
    transformer with the picture's: they cost the same at any size and so stand in the fixed share.
    """
    vae = configs.get("vae", {})
    side = _latent_side(vae)
    found = [
        _encode(
            [config for name, config in configs.items() if name.startswith("text_encoder")], dtype_bytes, text_rows
        ),
        _unet(configs["unet"], side, dtype_bytes) if "unet" in configs else None,
        _transformer(configs["transformer"], vae, side, dtype_bytes, text_rows) if "transformer" in configs else None,
        _decode(vae, vae_dtype_bytes or dtype_bytes, tiling),
    ]
    return tuple(footprint for footprint in found if footprint is not None)


def _encode(encoders: list[Config], dtype_bytes: int, rows: int) -> PhaseFootprint | None:
    """Per token ``6·D + 3·F``: the residual, its norm, query, key, value and their result; both halves of a gated MLP and
    their product. The hidden states of all layers are asked for, ``L·D`` more; scores of all heads are counted, ``2·h·N``
    as text attention masks and then keeps them. The encoders run one after another: the largest counts."""
    sizes = []
    for config in encoders:
        width = _first(config, "hidden_size", "d_model")
        if not width:
            continue
        tokens = min(_first(config, "max_position_embeddings") or _TEXT_TOKENS, _TEXT_TOKENS)
        inner = _first(config, "intermediate_size", "d_ff") or 4 * width
        layers = _first(config, "num_hidden_layers", "num_layers")
        heads = _first(config, "num_attention_heads", "num_heads")
        sizes.append(rows * tokens * (6 * width + 3 * inner + layers * width + 2 * heads * tokens) * dtype_bytes)
    return PhaseFootprint(Phase.ENCODE, max(sizes), 0.0, measured=False) if sizes else None


def _unet(config: Config, side: int, dtype_bytes: int) -> PhaseFootprint | None:
    """The worst level decides. At level l a latent pixel has ``C_l / 4^l`` elements a tensor. With attention its GEGLU
    holds 16·C (the projection of 8, the gate of 4, their product of 4) and 10·C around it: skips, residuals, norms. A
    residual block of the way up holds ``4·(C_l + C_l+1) + 4·C_l``: input, norm and activation of what it joins, its own
    hidden states, and skips. Both beside the skips that finer levels keep, ``layers_per_block + 1`` each.

    Live tensors at 512² and 1024², fp16: SD 1.5 260 bytes a pixel (this: 260), SDXL 158 to 159 (this: 160).
    """
    channels = [int(width) for width in config.get("block_out_channels", ())]
    if not channels:
        return None
    down = list(config.get("down_block_types", ()))
    layers = config.get("layers_per_block", 2)
    per_level = [int(layers)] * len(channels) if isinstance(layers, int) else [int(number) for number in layers]
    worst = kept = 0.0
    for level, width in enumerate(channels):
        deeper = channels[min(level + 1, len(channels) - 1)]
        attends = level < len(down) and "Attn" in down[level]
        block = max(26 * width if attends else 0, 4 * (width + deeper) + 4 * width)
        worst = max(worst, kept + block / 4**level)
        kept += (per_level[level] + 1) * width / 4**level
    return PhaseFootprint(Phase.DENOISE, 0, worst * dtype_bytes / side**2, measured=False)


def _transformer(config: Config, vae: Config, side: int, dtype_bytes: int, text_rows: int) -> PhaseFootprint | None:
    """``16·D`` elements a token, of the picture and of the text alike; 18 with blocks that run attention and MLP side by
    side and join them (Flux's single blocks).

    Live tensors at 512² and 1024², fp16: Flux 17.2 to 17.6 elements times D, SD3 11.2 to 12.9.
    """
    width = _first(config, "num_attention_heads") * _first(config, "attention_head_dim")
    width = width or _first(config, "hidden_size", "inner_dim", "dim")
    if not width:
        return None
    per_token = (18 if _first(config, "num_single_layers") else 16) * width * dtype_bytes
    token_side = side * _patch(config, vae)
    text = text_rows * _TEXT_TOKENS * per_token
    return PhaseFootprint(Phase.DENOISE, text, per_token / token_side**2, measured=False)


def _patch(config: Config, vae: Config) -> int:
    """Side of a token in latent pixels. Flux and its kin give the transformer 2 by 2 latent pixels as channels, so it has
    four times the VAE's; the config's own ``patch_size`` does not count then."""
    latent = _first(vae, "latent_channels", "z_dim")
    if latent and _first(config, "in_channels") >= 4 * latent:
        return 2
    return _first(config, "patch_size") or 1


def _decode(vae: Config, dtype_bytes: int, tiling: Tiling) -> PhaseFootprint | None:
    """``4·C`` elements a pixel with C of the last but one level, whose width the last upsampling still has: the input of
    the first residual block at full size, its norm and its activation, and as much again for the convolution's
    workspace. Live tensors of Stable Diffusion's VAE in fp16: 1536 bytes a pixel, 3·C.

    In tiles only one of them is that large; a picture's pixels then cost the tiles that are kept with their overlap, the
    blended rows and the result, of 3 channels each. A tile is decoded for all pictures of a batch at once: the fixed share
    is that of one picture, decoded alone.
    """
    channels = [int(width) for width in vae.get("block_out_channels") or vae.get("decoder_block_out_channels") or ()]
    if not channels and _first(vae, "base_dim"):
        channels = [_first(vae, "base_dim") * int(factor) for factor in vae.get("dim_mult", (1, 2))]
    if not channels:
        return None
    per_pixel = 4 * channels[min(1, len(channels) - 1)] * dtype_bytes
    if tiling is Tiling.OFF:
        return PhaseFootprint(Phase.DECODE, 0, float(per_pixel), measured=False)
    tile = _first(vae, "sample_size") or 512
    tile = tile // 2 if tiling is Tiling.AGGRESSIVE else tile
    canvas = 3 * dtype_bytes * (1 / (1 - _TILE_OVERLAP) ** 2 + 2)
    return PhaseFootprint(Phase.DECODE, per_pixel * tile**2, canvas, measured=False)


def _latent_side(vae: Config) -> int:
    """Pixels along a latent pixel: each level but the last halves the picture."""
    told = _first(vae, "scale_factor_spatial")
    channels = vae.get("block_out_channels") or vae.get("encoder_block_out_channels")
    return told or (2 ** (len(channels) - 1) if channels else _LATENT_SIDE)


def _first(config: Config, *names: str) -> int:
    """The first of these fields that is a number; 0 when none is. A list of widths gives its largest."""
    for name in names:
        value = config.get(name)
        if isinstance(value, (list, tuple)) and value and all(isinstance(item, int) for item in value):
            return int(max(value))
        if isinstance(value, (int, float)) and not isinstance(value, bool) and value:
            return int(value)
    return 0
