"""What can the model be asked for? The words, the colours they mean, and the pairs kept out of training."""

from __future__ import annotations

SHAPES = ("circle", "square", "triangle", "star", "heart", "cross", "ring", "moon")
COLOURS = ("red", "orange", "yellow", "green", "cyan", "blue", "purple", "pink", "white", "black")
BACKGROUNDS = (*COLOURS, "gray")
SIZES = ("small", "medium", "large")
POSITIONS = (
    "center", "top", "bottom", "left", "right", "top left", "top right", "bottom left", "bottom right",
)  # fmt: skip
# How the objects of a scene stand to each other, in reading order: left to right, or top to bottom.
LAYOUTS = ("single", "beside", "stacked", "row")

RGB: dict[str, tuple[int, int, int]] = {
    "red": (218, 48, 48),
    "orange": (243, 143, 32),
    "yellow": (250, 214, 60),
    "green": (52, 168, 83),
    "cyan": (48, 200, 205),
    "blue": (46, 98, 217),
    "purple": (132, 68, 184),
    "pink": (246, 140, 184),
    "white": (246, 246, 246),
    "black": (28, 28, 34),
    "gray": (140, 144, 150),
}

# The first word of each tuple is the name used everywhere else.
SHAPE_WORDS: dict[str, tuple[str, ...]] = {
    "circle": ("circle", "disc"),
    "square": ("square",),
    "triangle": ("triangle",),
    "star": ("star",),
    "heart": ("heart",),
    "cross": ("cross", "plus"),
    "ring": ("ring", "donut"),
    "moon": ("moon", "crescent"),
}
COLOUR_WORDS: dict[str, tuple[str, ...]] = {
    **{name: (name,) for name in BACKGROUNDS},
    "cyan": ("cyan", "turquoise"),
    "purple": ("purple", "violet"),
    "gray": ("gray", "grey"),
}
SIZE_WORDS: dict[str, tuple[str, ...]] = {
    "small": ("small", "little", "tiny"),
    "medium": ("",),
    "large": ("large", "big"),
}
# Read as "A <words> B"; the first entry of each relation is its plainest form.
RELATION_WORDS: dict[str, tuple[str, ...]] = {
    "left of": ("left of", "to the left of", "on the left of"),
    "right of": ("right of", "to the right of", "on the right of"),
    "above": ("above", "over", "on top of"),
    "below": ("below", "under", "beneath"),
}

# (colour, shape) pairs that neither the text encoder nor the denoiser sees in training. One for each shape and
# eight different colours, so every word is still learned from its other pairs and only the combination is new.
HELD_OUT: frozenset[tuple[str, str]] = frozenset(
    {
        ("red", "star"),
        ("blue", "heart"),
        ("green", "ring"),
        ("yellow", "cross"),
        ("purple", "triangle"),
        ("orange", "moon"),
        ("pink", "square"),
        ("cyan", "circle"),
    }
)
