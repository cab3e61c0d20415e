"""How much of a prompt a model can read."""

from __future__ import annotations

import inspect
from typing import Any

from transformers import CLIPTokenizer


def unread_tokens(pipe: Any, text: str) -> int:
    """Tokens of ``text`` that none of the pipeline's text encoders sees; 0 when one reads it to the end.

    Where encoders of different reach share a prompt (Flux and Stable Diffusion 3: CLIP 77 tokens, T5 256 or 512), the one that
    reads on when the others have stopped counts, in its own tokens.

    Belongs on the engine thread: a tokenizer's truncation is state of the shared object.
    """
    beyond = [
        len(tokenizer(text, truncation=False, padding=False, verbose=False).input_ids) - limit
        for tokenizer, limit in _readers(pipe)
    ]
    return max(0, min(beyond, default=0))


def _readers(pipe: Any) -> list[tuple[Any, int]]:
    """Tokenizers whose text encoder is there, each with the tokens it passes on."""
    components = pipe.components
    # Of all tokenizers but CLIP's the call itself says how far they read, and by default less than they could.
    told = inspect.signature(type(pipe).__call__).parameters.get("max_sequence_length")
    readers = []
    for name, tokenizer in components.items():
        encoder = components.get(name.replace("tokenizer", "text_encoder"), ...)
        if not name.startswith("tokenizer") or not callable(tokenizer) or encoder is None:
            continue
        limit = getattr(tokenizer, "model_max_length", None)
        if told is not None and isinstance(told.default, int) and not isinstance(tokenizer, CLIPTokenizer):
            limit = told.default
        if limit is not None:
            readers.append((tokenizer, limit))
    return readers
