"""What a person with the stock package openai does with a server of that dialect.

Run as ``python openai_images.py BASE_URL``; prints one JSON object of what came of it, or ends with a traceback.
"""

from __future__ import annotations

import base64
import io
import json
import sys
import urllib.request
from typing import Any

import openai
from openai import OpenAI
from PIL import Image

CIRCLE: dict[str, Any] = {"model": "shapes", "prompt": "a red circle", "size": "64x64"}

#: As the server calls them; the client merges them into the body, or into the form of an edit.
FEW_STEPS = {"num_inference_steps": 4, "guidance_scale": 5, "seed": 7, "negative_prompt": "a dog"}

#: As long as the server lets it be, so that it is still there when it is given up.
LONG = {**CIRCLE, "size": "256x256", "n": 2}

#: The same, of which something is to be seen before.
SLOW = {**CIRCLE, "size": "128x128"}


def main(base_url: str) -> dict[str, Any]:
    client = OpenAI(base_url=base_url, api_key="unused", max_retries=0, timeout=60)
    return {
        "models": models(client),
        "generate": generate(client),
        "edit": edit(client),
        "stream": stream(client),
        "error": error(client),
        "timeout": timeout(client),
        "left": left(client),
    }


def models(client: OpenAI) -> dict[str, Any]:
    listed = client.models.list().data
    model = client.models.retrieve("shapes")
    try:
        client.models.retrieve("gpt-image-1")
    except openai.NotFoundError as failure:
        missing = [failure.code, failure.status_code]
    return {
        "ids": [each.id for each in listed],
        "object": model.object,
        "created": model.created > 0,
        "missing": missing,
    }


def generate(client: OpenAI) -> dict[str, Any]:
    both = client.images.generate(**CIRCLE, n=2, quality="low", user="ada", extra_body=FEW_STEPS)
    assert both.data is not None
    again = client.images.generate(**CIRCLE, response_format="b64_json", extra_body={**FEW_STEPS, "seed": 8})
    assert again.data is not None
    first, second = (opened(each.b64_json) for each in both.data)
    with urllib.request.urlopen(both.data[0].url or "") as answer:
        fetched = Image.open(io.BytesIO(answer.read()))
        fetched.load()
    return {
        "sizes": [first.size, second.size],
        "size": both.size,
        "quality": both.quality,
        "same_by_url": difference(first, fetched) == 0,
        "seed_is_counted_up": difference(second, opened(again.data[0].b64_json)) < difference(first, second) / 4,
        "members": [again.data[0].url, again.data[0].revised_prompt],
        "usage": both.usage and both.usage.total_tokens,
        "webp": opened(b64(client.images.generate(**CIRCLE, output_format="webp", extra_body=FEW_STEPS))).format,
    }


def edit(client: OpenAI) -> dict[str, Any]:
    """A blue picture, changed; then with all of it kept by the mask, and with its left half given free."""
    start = png(Image.new("RGB", (64, 64), "blue"))
    # Its colours mean nothing: white would be painted where masks tell by their brightness.
    mask = Image.new("RGBA", (64, 64), (255, 255, 255, 255))
    mask.paste((255, 255, 255, 0), (0, 0, 32, 64))
    whole = png(Image.new("RGBA", (64, 64), (255, 255, 255, 255)))

    def edited(**changes: Any) -> Image.Image:
        files = {"image": start, **changes}
        return opened(b64(client.images.edit(**CIRCLE, **files, extra_body=FEW_STEPS)))

    changed, kept, painted = edited(), edited(mask=whole), edited(mask=png(mask), image=[start])
    left, right = ((0, 0, 24, 64), (40, 0, 64, 64))
    return {
        "size": changed.size,
        "changed_more_than_kept": difference(changed, kept) > 0,
        "left": difference(painted.crop(left), kept.crop(left)),
        "right": difference(painted.crop(right), kept.crop(right)),
    }


def stream(client: OpenAI) -> dict[str, Any]:
    start = png(Image.new("RGB", (64, 64), "blue"))
    steps = {**FEW_STEPS, "num_inference_steps": 40}
    drawn = list(client.images.generate(**CIRCLE, stream=True, partial_images=2, extra_body=steps))
    changed = list(client.images.edit(**CIRCLE, image=start, stream=True, partial_images=1, extra_body=steps))
    return {
        "types": [event.type for event in drawn],
        "indices": [event.partial_image_index for event in drawn if event.type == "image_generation.partial_image"],
        "picture": opened(drawn[-1].b64_json).size,
        "usage": drawn[-1].usage.total_tokens if drawn[-1].type == "image_generation.completed" else None,
        "edit": changed[-1].type,
    }


def error(client: OpenAI) -> dict[str, Any]:
    refusals: dict[str, Any] = {}
    asked = {"size": {"size": "1024x1024"}, "model": {"model": "dall-e-2"}, "quality": {"quality": "ultra"}}
    for name, changes in asked.items():
        try:
            client.images.generate(**{**CIRCLE, **changes})
        except openai.BadRequestError as failure:
            refusals[name] = [failure.param, failure.code, failure.type]
    return refusals


def timeout(client: OpenAI) -> str:
    try:
        client.images.generate(**LONG, timeout=0.5, extra_body={"num_inference_steps": 150})
    except openai.APITimeoutError:
        return "timed out"
    return "answered"


def left(client: OpenAI) -> str:
    """The first event of a stream, and no more of it."""
    steps = {"num_inference_steps": 150}
    with client.images.generate(**SLOW, stream=True, partial_images=3, extra_body=steps) as events:
        return next(iter(events)).type


def b64(answer: openai.types.ImagesResponse) -> str | None:
    assert answer.data is not None
    return answer.data[0].b64_json


def opened(picture: str | None) -> Image.Image:
    image = Image.open(io.BytesIO(base64.b64decode(picture or "")))
    image.load()
    return image


def png(image: Image.Image) -> tuple[str, bytes, str]:
    file = io.BytesIO()
    image.save(file, "PNG")
    return ("picture.png", file.getvalue(), "image/png")


def difference(one: Image.Image, other: Image.Image) -> int:
    """Sum over all values of all pixels; a picture drawn beside another may differ from itself in the last bit."""
    return sum(abs(a - b) for a, b in zip(one.convert("RGB").tobytes(), other.convert("RGB").tobytes(), strict=True))


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1])))
