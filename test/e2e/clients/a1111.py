"""What a person with the package webuiapi does with a server of AUTOMATIC1111's dialect.

Run as ``python a1111.py HOST PORT``; prints one JSON object of what came of it, or ends with a traceback.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from typing import Any

from PIL import Image, ImageDraw
from webuiapi import WebUIApi

#: Longest time for something to be seen that takes fractions of a second.
PATIENCE_SECONDS = 40.0

CIRCLE = {"prompt": "a red circle", "width": 64, "height": 64, "steps": 4, "cfg_scale": 5, "seed": 7}

#: As long as the server lets it be, so that it is still there when it is looked at; of a size that was drawn before.
LONG = {**CIRCLE, "steps": 150}


def main(host: str, port: int) -> dict[str, Any]:
    # Without keys a password tells clients apart all the same.
    mine, other = WebUIApi(host, port), WebUIApi(host, port)
    mine.set_auth("me", "mine")
    other.set_auth("other", "theirs")
    mine.util_wait_for_ready(check_interval=0.2)
    return {
        "lists": lists(mine),
        "options": options(mine),
        "text_to_image": text_to_image(mine),
        "image_to_image": image_to_image(mine),
        "round_trip": round_trip(mine),
        "progress": progress_and_interrupt(mine, other),
        "refusal": refusal(mine),
    }


def lists(api: WebUIApi) -> dict[str, Any]:
    return {
        "models": api.util_get_model_names(),
        "current": api.util_get_current_model(),
        "samplers": api.util_get_sampler_names(),
        "schedulers": api.util_get_scheduler_names(),
        "scripts": api.get_scripts(),
        "memory": sorted(api.get_memory()),
        "nothing": [
            api.get_loras(),
            api.get_sd_vae(),
            api.get_prompt_styles(),
            api.get_embeddings(),
            api.refresh_checkpoints(),
        ],
    }


def options(api: WebUIApi) -> dict[str, Any]:
    before = api.get_options()
    api.set_options(before)
    api.util_set_model("shapes")
    return {"same": api.get_options() == before}


def text_to_image(api: WebUIApi) -> dict[str, Any]:
    made = api.txt2img(**CIRCLE, n_iter=2)
    second = api.txt2img(**{**CIRCLE, "seed": 8})
    return {
        "sizes": [image.size for image in made.images],
        "seeds": made.info["all_seeds"],
        "infotexts": made.info["infotexts"] == [image.info["parameters"] for image in made.images],
        "seed_is_counted_up": difference(made.images[1], second.image) < difference(made.images[0], second.image) / 4,
        "sampler": made.info["sampler_name"],
        "parameters": made.parameters["sampler_name"],
    }


def image_to_image(api: WebUIApi) -> dict[str, Any]:
    start = Image.new("RGB", (64, 64), "blue")
    mask = Image.new("L", (64, 64), 0)
    ImageDraw.Draw(mask).rectangle((0, 0, 31, 63), fill=255)
    again = api.img2img(images=[start], **CIRCLE, denoising_strength=0.75)
    painted = api.img2img(images=[start], mask_image=mask, inpainting_fill=1, **CIRCLE, denoising_strength=0.75)
    return {"differ": difference(again.image, painted.image) > 0, "strength": painted.info["denoising_strength"]}


def round_trip(api: WebUIApi) -> dict[str, Any]:
    """A picture, and the one that is made of what is written in it."""
    wish = {**CIRCLE, "negative_prompt": "a dog, (blue:1.1)", "sampler_name": "DPM++ 2M Karras"}
    first = api.txt2img(**wish)
    read = api.png_info(first.image).parameters
    second = api.txt2img(
        prompt=read["Prompt"],
        negative_prompt=read["Negative prompt"],
        steps=int(read["Steps"]),
        sampler_name=read["Sampler"],
        scheduler=read["Schedule type"],
        cfg_scale=float(read["CFG scale"]),
        seed=int(read["Seed"]),
        width=int(read["Size-1"]),
        height=int(read["Size-2"]),
        override_settings={"sd_model_checkpoint": read["Model"]},
    )
    return {"read": read, "same": difference(first.image, second.image) == 0}


def progress_and_interrupt(mine: WebUIApi, other: WebUIApi) -> dict[str, Any]:
    """Two clients draw; the one that stops its picture does not stop the other's."""
    task = "task(e2e)"
    answers: dict[str, Any] = {}

    def draw(name: str, api: WebUIApi, wish: dict[str, Any]) -> None:
        response = api.session.post(f"{api.baseurl}/txt2img", json=wish)
        answers[name] = {"status": response.status_code, "images": len(response.json()["images"])}

    threads = [
        threading.Thread(target=draw, args=("mine", mine, {**LONG, "n_iter": 2, "force_task_id": task}), daemon=True),
        threading.Thread(target=draw, args=("other", other, LONG), daemon=True),
    ]
    for thread in threads:
        thread.start()
    seen = until(lambda: stepping(mine.get_progress()))
    seen_by_other = until(lambda: stepping(other.get_progress()))
    asked = {"id_task": task, "id_live_preview": -1, "live_preview": False}
    url = mine.baseurl.replace("/sdapi/v1", "/internal/progress")
    of_task = mine.session.post(url, json=asked).json()
    of_strangers = other.session.post(url, json=asked).json()
    mine.interrupt()
    threads[0].join()
    still_drawing = "other" not in answers
    threads[1].join()
    return {
        "seen": seen["state"],
        "progress": seen["progress"],
        "other_job": seen_by_other["state"]["job"],
        "active": [of_task["active"], of_strangers["active"]],
        "completed": mine.session.post(url, json=asked).json()["completed"],
        "still_drawing": still_drawing,
        "answers": answers,
        "idle": mine.get_progress()["state"]["job_count"],
    }


def stepping(progress: dict[str, Any]) -> dict[str, Any] | None:
    return progress if progress["state"]["sampling_step"] > 0 else None


def refusal(api: WebUIApi) -> dict[str, Any]:
    response = api.session.post(f"{api.baseurl}/txt2img", json={**CIRCLE, "enable_hr": True})
    return {"status": response.status_code, "detail": response.json()["detail"][0]["msg"]}


def until(look: Any) -> Any:
    end = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < end:
        found = look()
        if found is not None:
            return found
        # Another process's state can only be asked for.
        time.sleep(0.05)
    raise TimeoutError("was not seen in time")


def difference(one: Image.Image, other: Image.Image) -> int:
    """Sum over all values of all pixels; a picture drawn beside another may differ from itself in the last bit."""
    return sum(abs(a - b) for a, b in zip(one.convert("RGB").tobytes(), other.convert("RGB").tobytes(), strict=True))


if __name__ == "__main__":
    # webuiapi prints to stdout as it goes.
    out, sys.stdout = sys.stdout, sys.stderr
    print(json.dumps(main(sys.argv[1], int(sys.argv[2]))), file=out)
