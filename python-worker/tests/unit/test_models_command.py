"""``python -m safelight_worker.models``: what it finds, what it fetches, what it refuses; against a hub on this machine."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from safelight_worker.pipelines.hub import PullError, choose
from tests.support import ldm, tiny
from tests.support.hub import COMMIT, Hub

WORKER = Path(__file__).parents[2]
UNET = "unet/diffusion_pytorch_model.safetensors"


@pytest.fixture
def repository(sd_folder: Path, tmp_path: Path) -> Path:
    """A repository as they are found: the model, and the same weights in forms we do not want."""
    folder = shutil.copytree(sd_folder, tmp_path / "repository")
    (folder / "v1-5-pruned.safetensors").write_bytes(b"the same once more")
    (folder / "unet" / "diffusion_pytorch_model.bin").write_bytes(b"a pickle")
    shutil.copy(folder / UNET, folder / "unet" / "diffusion_pytorch_model.fp16.safetensors")
    (folder / "vae" / "flax_model.safetensors").write_bytes(b"another program's")
    (folder / "README.md").write_text("A model.")
    return folder


@pytest.fixture
def hub(repository: Path) -> Iterator[Hub]:
    hub = Hub(repository)
    yield hub
    hub.close()


def run(
    arguments: list[str], home: Path, models: list[dict[str, Any]] | None = None, **env: str
) -> tuple[int, list[dict[str, Any]], str]:
    """Runs the command in a process of its own, because the hub's client reads its settings once; code, events, stderr."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    result = subprocess.run(
        [sys.executable, "-m", "safelight_worker.models", *arguments],
        input=json.dumps(models or []),
        capture_output=True,
        text=True,
        timeout=100,
        cwd=WORKER,
        env={**inherited, "HF_HOME": str(home), **env},
        check=False,
    )
    return result.returncode, [json.loads(line) for line in result.stdout.splitlines()], result.stderr


def test_a_list_tells_what_is_there_and_what_is_not(sd_folder: Path, tmp_path: Path) -> None:
    models = [{"id": "here", "source": str(sd_folder)}, {"id": "away", "source": "owner/name"}]
    code, (here, away), _ = run(["list"], tmp_path, models)
    assert code == 1
    weights = sum(path.stat().st_size for path in sd_folder.rglob("*.safetensors"))
    assert (here["present"], here["kind"], here["bytes"]) == (True, "folder", weights)
    assert here["pipeline_class"] == "StableDiffusionPipeline"
    assert away["present"] is False
    assert "models pull owner/name" in away["problems"][0]


def test_a_check_reads_headers_and_tells_components_types_and_bytes(sd_folder: Path, tmp_path: Path) -> None:
    single = ldm.write_single_file(tiny.sd(), tmp_path / "sd.safetensors")
    models = [
        {"id": "folder", "source": str(sd_folder)},
        {"id": "file", "source": str(single), "config": str(sd_folder)},
    ]
    code, (folder, file), _ = run(["check"], tmp_path, models)
    assert code == 0
    assert {each["name"]: each["class"] for each in folder["components"]} == {
        "unet": "UNet2DConditionModel",
        "vae": "AutoencoderKL",
        "text_encoder": "CLIPTextModel",
    }
    parameters = sum(p.numel() for p in tiny.sd().unet.parameters())
    (unet,) = [each for each in folder["components"] if each["name"] == "unet"]
    assert unet["dtypes"] == {"float32": 4 * parameters}
    assert file["components"] == [
        {
            "name": "checkpoint",
            "class": None,
            "files": 1,
            "bytes": folder["bytes"],
            "dtypes": {"float32": folder["bytes"]},
        }
    ]


def test_a_check_finds_what_would_fail_at_loading(sd_folder: Path, tmp_path: Path) -> None:
    cut = shutil.copytree(sd_folder, tmp_path / "cut")
    (cut / UNET).write_bytes((cut / UNET).read_bytes()[:-1])
    damaged = shutil.copytree(sd_folder, tmp_path / "damaged")
    (damaged / UNET).write_bytes(b"not at all what the format says")
    pickled = shutil.copytree(sd_folder, tmp_path / "pickled")
    (pickled / UNET).rename(pickled / "unet" / "diffusion_pytorch_model.bin")
    models = [{"id": each.name, "source": str(each)} for each in (cut, damaged, pickled)]
    models.append({"id": "bits", "source": str(sd_folder), "quantization": {"backend": "awq"}})
    code, events, _ = run(["check"], tmp_path, models)
    assert code == 1
    told = {event["id"]: "; ".join(event["problems"]) for event in events}
    assert "copy or pull it again" in told["cut"]
    assert "is no safetensors file" in told["damaged"]
    assert "unet has only pickles" in told["pickled"]
    assert "quantization.backend is 'awq'" in told["bits"]


def test_a_pull_fetches_what_diffusers_reads_and_the_model_is_there_from_then_on(
    hub: Hub, repository: Path, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    code, events, errors = run(["pull", "owner/name"], home, HF_ENDPOINT=hub.url)
    assert (code, events[-1]["event"]) == (0, "pulled"), errors
    progress = [event for event in events if event["event"] == "progress"]
    assert [event["done"] for event in progress] == sorted(event["done"] for event in progress)
    assert progress[-1]["done"] == progress[-1]["total"] == events[-1]["bytes"]
    assert UNET in {event["file"] for event in progress}
    unwanted = {
        "v1-5-pruned.safetensors",
        "unet/diffusion_pytorch_model.bin",
        "unet/diffusion_pytorch_model.fp16.safetensors",
        "vae/flax_model.safetensors",
    }
    assert hub.fetched == {str(p.relative_to(repository)) for p in repository.rglob("*") if p.is_file()} - unwanted
    for source in ("owner/name", "owner/name@main", f"owner/name@{COMMIT}"):
        _, (listed,), _ = run(["list"], home, [{"id": "m", "source": source}], HF_HUB_OFFLINE="1")
        assert (listed["kind"], listed["problems"]) == ("hub", [])
    before = len(hub.fetched)
    asked = len([request for request in hub.requests if request[0] == "GET" and "/resolve/" in request[1]])
    assert run(["pull", "owner/name"], home, HF_ENDPOINT=hub.url)[0] == 0
    again = len([request for request in hub.requests if request[0] == "GET" and "/resolve/" in request[1]])
    assert (len(hub.fetched), again) == (before, asked)


def test_a_file_that_breaks_off_goes_on_where_it_ended(hub: Hub, repository: Path, tmp_path: Path) -> None:
    chunk = 10 * 1024 * 1024  # What the client writes at a time; less than that is lost.
    (repository / UNET).write_bytes(os.urandom(chunk + 2_000_000))
    hub.cut_after[UNET] = chunk + 1_000_000
    code, events, errors = run(["pull", "owner/name"], tmp_path / "home", HF_ENDPOINT=hub.url)
    assert code == 0, errors
    assert [asked for _, path, asked in hub.requests if path.endswith(UNET) and asked] == [f"bytes={chunk}-"]
    assert (Path(events[-1]["path"]) / UNET).read_bytes() == (repository / UNET).read_bytes()


def test_files_that_are_complete_are_kept_when_the_hub_goes_away(hub: Hub, tmp_path: Path) -> None:
    home = tmp_path / "home"
    hub.refused.add(UNET)
    code, events, _ = run(["pull", "owner/name"], home, HF_ENDPOINT=hub.url)
    assert (code, events[-1]["event"]) == (1, "error")
    assert "answers with an error: " in events[-1]["message"]
    assert "files that are complete are kept" in events[-1]["next"]
    _, (listed,), _ = run(["check"], home, [{"id": "m", "source": "owner/name"}], HF_HUB_OFFLINE="1")
    assert listed["problems"]
    hub.refused.clear()
    hub.requests.clear()
    assert run(["pull", "owner/name"], home, HF_ENDPOINT=hub.url)[0] == 0
    assert UNET in hub.fetched
    assert "text_encoder/model.safetensors" not in hub.fetched


def test_a_pull_of_a_variant_takes_it_where_there_is_one_and_plain_weights_elsewhere(hub: Hub, tmp_path: Path) -> None:
    assert run(["pull", "--variant", "fp16", "owner/name"], tmp_path / "home", HF_ENDPOINT=hub.url)[0] == 0
    assert "unet/diffusion_pytorch_model.fp16.safetensors" in hub.fetched
    assert UNET not in hub.fetched
    assert "vae/diffusion_pytorch_model.safetensors" in hub.fetched


@pytest.mark.parametrize(
    ("source", "told", "next_step"),
    [
        ("owner/other", "has no repository owner/other", "correct the id"),
        ("owner/name@v9", "has no revision v9", "behind the @"),
        ("gated/model", "only to those who accepted its terms", "hf auth login"),
        ("no id at all", "is no id of a repository", "owner/name"),
    ],
)
def test_a_pull_that_the_hub_refuses_says_why_in_a_line(
    hub: Hub, tmp_path: Path, source: str, told: str, next_step: str
) -> None:
    code, (event,), _ = run(["pull", source], tmp_path / "home", HF_ENDPOINT=hub.url)
    assert (code, event["event"]) == (1, "error")
    assert told in event["message"]
    assert "\n" not in event["message"]
    assert next_step in event["next"]


def test_a_pull_without_a_hub_says_so_in_a_line(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{free.getsockname()[1]}"
    code, (event,), _ = run(["pull", "owner/name"], tmp_path, HF_ENDPOINT=nobody)
    assert code == 1
    assert event["message"].startswith(f"the hub at {nobody} could not be reached")
    code, (event,), _ = run(["pull", "owner/name"], tmp_path, HF_ENDPOINT=nobody, HF_HUB_OFFLINE="1")
    assert (code, event["message"]) == (1, "HF_HUB_OFFLINE forbids to reach out to a hub")


def test_one_model_that_cannot_be_fetched_does_not_keep_the_others(hub: Hub, tmp_path: Path) -> None:
    code, events, _ = run(["pull", "owner/other", "owner/name"], tmp_path / "home", HF_ENDPOINT=hub.url)
    assert code == 1
    assert [event["event"] for event in events if event["event"] != "progress"] == ["error", "pulled"]


def test_weights_that_are_only_pickles_are_not_fetched(hub: Hub, repository: Path, tmp_path: Path) -> None:
    for weights in (repository / "unet").glob("*.safetensors"):
        weights.unlink()
    code, (event,), _ = run(["pull", "owner/name"], tmp_path / "home", HF_ENDPOINT=hub.url)
    assert code == 1
    assert "only as pickles" in event["message"]
    assert "unet/diffusion_pytorch_model.bin" in event["message"]
    assert hub.fetched == set()


def test_a_repository_of_one_file_is_fetched_whole_and_an_empty_one_is_refused() -> None:
    assert choose("o/lora", ["README.md", "ink.safetensors", ".gitattributes"], "") == ["README.md", "ink.safetensors"]
    with pytest.raises(PullError, match=r"no \.safetensors"):
        choose("o/none", ["README.md"], "")
