"""How much of a prompt a model can read."""

from __future__ import annotations

from typing import Any


def unread_tokens(pipe: Any, text: str) -> int:
    """Tokens of ``text`` beyond the limit of the pipeline's narrowest tokenizer, which its text encoder never sees.

    Belongs on the engine thread: a tokenizer's truncation is state of the shared object.
    """
    beyond = 0
    for name, component in pipe.components.items():
        if name.startswith("tokenizer") and callable(component):
            tokens = component(text, truncation=False, padding=False, verbose=False).input_ids
            beyond = max(beyond, len(tokens) - component.model_max_length)
    return beyond
