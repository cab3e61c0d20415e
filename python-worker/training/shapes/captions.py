"""How is a scene said in words? Training captions, and captions in wording that training never sees."""

from __future__ import annotations

import random
from dataclasses import dataclass

from .scenes import Scene, Thing
from .vocabulary import COLOUR_WORDS, RELATION_WORDS, SHAPE_WORDS, SIZE_WORDS

# Words that carry no meaning here. Training sprinkles them in so that an unknown word changes nothing.
FILLERS = (
    "very", "nice", "pretty", "simple", "clean", "flat", "paper", "bright", "cute", "hello", "modern", "style",
    "beautiful", "some", "which", "this", "in", "my", "for", "art", "cut", "shape", "coloured", "colored", "minimal",
)  # fmt: skip
FILLER_SHARE = 0.15


@dataclass(frozen=True)
class Wording:
    """The phrases a caption is put together from. `{0}` is what the phrase is about."""

    openers: tuple[str, ...]
    positions: tuple[str, ...]
    relations: tuple[str, ...]
    pairs: dict[str, tuple[str, ...]]
    rows: tuple[str, ...]
    backgrounds: tuple[str, ...]


TRAINING = Wording(
    openers=(
        "a picture of ", "a drawing of ", "an image of ", "a photo of ", "picture of ", "drawing of ",
        "a picture with ", "draw ", "the ",
    ),
    positions=(" in the {0}", " at the {0}", ", {0}", " on the {0}", " in the {0} of the picture"),
    relations=("{0}", "{0}", "{0}", "is {0}"),
    pairs={
        "beside": ("{0} and {1}", "{0} on the left and {1} on the right", "{0} next to {1}"),
        "stacked": ("{0} at the top and {1} at the bottom",),
    },
    rows=("{0}, {1} and {2}", "{0}, {1} and {2}", "{0}, {1}, {2}", "{0}, {1} and {2} in a row"),
    backgrounds=(
        " on a {0} background", " on a {0} background", " on {0}", ", {0} background", " with a {0} background",
    ),
)  # fmt: skip

# The denoiser hears these too, so that a comma, an "and" or an unknown word does not mean one object more. They came
# after the tokenizer, which knows the words of TRAINING only; these are spelled.
VARIED = Wording(
    openers=(*TRAINING.openers, "a view of ", "render ", "can you draw ", "paint "),
    positions=(
        *TRAINING.positions, " in the {0}", " at the {0}", ", {0}", ", {0} side", ", {0} part", ", at the {0}",
        " that stands in the {0}", " towards the {0}", ", {0} spot",
    ),
    relations=(*TRAINING.relations, "somewhere {0}", "standing {0}", "a bit {0}", "which is {0}"),
    pairs=TRAINING.pairs,
    rows=(
        *TRAINING.rows, "{0}, next {1}, next {2}", "{0} beside {1} beside {2}", "{0} with {1} with {2}",
        "a row of {0}, {1} and {2}", "{0}, {1}, also {2}",
    ),
    backgrounds=(
        *TRAINING.backgrounds, " on a {0} background", " and a {0} backdrop", " and {0} behind",
        ", the background is {0}", ", everything on {0}", " before a {0} backdrop", " and all of it on {0}",
        " on a flat {0} background",
    ),
)  # fmt: skip

# Openers, positions, rows and backgrounds that no training caption has, and relations with unknown words in them.
UNSEEN = Wording(
    openers=(
        "an icon of ", "a sketch of ", "a poster of ", "please make ", "there is ", "we see ", "",
    ),
    positions=(" placed in the {0}", " sitting at the {0}", " near the {0}", ", {0} area"),
    relations=("just {0}", "placed {0}", "sitting {0}", "{0}", "directly {0}"),
    pairs={},
    rows=("{0}, then {1}, then {2}", "{0} and {1} and {2}", "{0}, {1}, and {2} side by side"),
    backgrounds=(
        " against a {0} background", " on a plain {0} background", " against {0}", " and a {0} background",
        ", all on {0}",
    ),
)  # fmt: skip


def _nonsense(rng: random.Random) -> str:
    return "".join(rng.choice("abcdefghijklmnoprstuvwy") for _ in range(rng.randint(3, 8)))


def _article(words: str, rng: random.Random) -> str:
    article = "an" if words[0] in "aeiou" else "a"
    return f"{rng.choice((article, article, article, article, 'the', 'one'))} {words}"


def _noun(thing: Thing, bare: bool, rng: random.Random) -> str:
    size = rng.choice(SIZE_WORDS[thing.size]) if rng.random() < 0.92 else ""
    # Plain names come twice as often as their synonyms.
    colour = rng.choice((COLOUR_WORDS[thing.colour][0], *COLOUR_WORDS[thing.colour]))
    shape = rng.choice((SHAPE_WORDS[thing.shape][0], *SHAPE_WORDS[thing.shape]))
    words = f"{size} {colour} {shape}".strip()
    return words if bare else _article(words, rng)


def _two(scene: Scene, bare: bool, wording: Wording, rng: random.Random) -> str:
    first, second = scene.things
    if (first.shape, first.colour) == (second.shape, second.colour) and rng.random() < 0.7:
        where = " side by side" if scene.layout == "beside" and rng.random() < 0.5 else ""
        plural = _noun(first, True, rng) + "s"
        return f"two {plural.replace('crosss', 'crosses')}{where}"
    nouns = [_noun(first, bare, rng), _noun(second, bare, rng)]
    phrases = wording.pairs.get(scene.layout, ())
    if phrases and rng.random() < 0.12:
        return rng.choice(phrases).format(*nouns)
    forward, backward = ("left of", "right of") if scene.layout == "beside" else ("above", "below")
    relation = forward
    if rng.random() < 0.5:
        relation, nouns = backward, nouns[::-1]
    words = rng.choice((RELATION_WORDS[relation][0], *RELATION_WORDS[relation]))
    return f"{nouns[0]} {rng.choice(wording.relations).format(words)} {nouns[1]}"


def _single(scene: Scene, bare: bool, wording: Wording, rng: random.Random) -> str:
    noun = _noun(scene.things[0], bare, rng)
    # Without a position the object stands in the centre more often than not.
    if rng.random() < (0.6 if scene.position == "center" else 0.08):
        return noun
    place = rng.choice(("center", "middle", "centre")) if scene.position == "center" else scene.position
    if " " in place and rng.random() < 0.2:
        place += " corner"
    return noun + rng.choice(wording.positions).format(place)


def describe(scene: Scene, rng: random.Random, wording: Wording = TRAINING, name_background: bool = False) -> str:
    """Puts a scene into words, lower case and without a full stop.

    Args:
        wording: TRAINING, VARIED or UNSEEN.
        name_background: Always name the background. Otherwise white goes unnamed half the time, others one in twelve.
    """
    bare = rng.random() < 0.15
    if scene.layout == "row":
        text = rng.choice(wording.rows).format(*(_noun(thing, bare, rng) for thing in scene.things))
    elif scene.layout == "single":
        text = _single(scene, bare, wording, rng)
    else:
        text = _two(scene, bare, wording, rng)
    if name_background or rng.random() > (0.5 if scene.background == "white" else 0.08):
        colour = rng.choice(COLOUR_WORDS[scene.background])
        text += rng.choice(wording.backgrounds).format(colour)
    if wording is UNSEEN:
        return rng.choice(wording.openers) + text
    if rng.random() < 0.35:
        text = rng.choice(wording.openers) + text
    if rng.random() < FILLER_SHARE:
        words = text.split(" ")
        for _ in range(rng.randint(1, 3)):
            filler = rng.choice(FILLERS) if rng.random() < 0.6 else _nonsense(rng)
            words.insert(rng.randint(0, len(words)), filler)
        text = " ".join(words)
    return text
