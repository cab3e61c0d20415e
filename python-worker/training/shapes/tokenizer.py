"""How does text become numbers? Byte-pair merges learned from the training captions, in CLIP's format."""

from __future__ import annotations

import random
import re
from collections import Counter
from itertools import pairwise

from transformers import CLIPTokenizer

from .captions import FILLERS, describe
from .scenes import sample_scene

MERGES = 251  # 512 byte symbols + 251 merges + 2 specials = 765 entries
LENGTH = 32
END = "</w>"


def _byte_symbols() -> list[str]:
    """CLIP's printable stand-ins for the 256 byte values, in byte order."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    stand_ins = iter(range(256, 512))
    return [chr(byte) if byte in printable else chr(next(stand_ins)) for byte in range(256)]


def _learn_merges(words: Counter[str], count: int) -> list[tuple[str, str]]:
    """Joins the most frequent pair of neighbouring symbols, again and again (Sennrich et al., 2016)."""
    spelled = {word: [*word[:-1], word[-1] + END] for word in words}
    merges: list[tuple[str, str]] = []
    while len(merges) < count:
        pairs: Counter[tuple[str, str]] = Counter()
        for word, symbols in spelled.items():
            for pair in pairwise(symbols):
                pairs[pair] += words[word]
        if not pairs:
            break
        best = max(pairs, key=lambda pair: (pairs[pair], pair))
        merges.append(best)
        for word, symbols in spelled.items():
            joined: list[str] = []
            for symbol in symbols:
                if joined and (joined[-1], symbol) == best:
                    joined[-1] += symbol
                else:
                    joined.append(symbol)
            spelled[word] = joined
    return merges


def build() -> CLIPTokenizer:
    """A tokenizer that knows the training words; any other text is spelled in bytes. Same result every time."""
    rng = random.Random(0)
    words: Counter[str] = Counter()
    for _ in range(4000):
        words.update(re.findall(r"[a-z]+|,", describe(sample_scene(rng), rng)))
    known = {word: count for word, count in words.items() if count > 20 or word in FILLERS}
    merges = _learn_merges(Counter(known), MERGES)
    symbols = _byte_symbols()
    entries = symbols + [symbol + END for symbol in symbols] + ["".join(pair) for pair in merges]
    # The end marker must hold the highest id: pooling looks for it there.
    vocabulary = {entry: index for index, entry in enumerate([*entries, "<|startoftext|>", "<|endoftext|>"])}
    return CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=LENGTH)
