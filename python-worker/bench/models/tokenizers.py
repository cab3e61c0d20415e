"""Tokenizers that need no files: what is compared are pictures of random weights, so any split of a text will do."""

from __future__ import annotations

from transformers import CLIPTokenizer, T5Tokenizer

_FIRST, _LAST = "<|startoftext|>", "<|endoftext|>"


def clip_tokenizer(tokens: int) -> CLIPTokenizer:
    """A token for every byte. The end of a text keeps the highest id, which CLIP's pooling looks for."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    symbols = [chr(byte) for byte in printable] + [chr(256 + n) for n in range(256 - len(printable))]
    words = [*symbols, *(symbol + "</w>" for symbol in symbols), _FIRST, _LAST]
    # transformers 5 takes the vocabulary as a mapping only; files would give a vocabulary of two words.
    vocabulary = {word: index for index, word in enumerate(words)}
    return CLIPTokenizer(vocab=vocabulary, merges=[], model_max_length=tokens)


def t5_tokenizer(tokens: int) -> T5Tokenizer:
    """Printable ASCII, a piece for every character."""
    special = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("\u2581", -2.0)]
    pieces = [*special, *((chr(code), -4.0) for code in range(33, 127))]
    return T5Tokenizer(vocab=pieces, extra_ids=0, model_max_length=tokens)
