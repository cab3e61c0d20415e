"""Where a model's files are looked for, and what is refused before a weight is opened."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from safelight_worker.pipelines import sources
from safelight_worker.pipelines.model_files import variant_of
from safelight_worker.pipelines.sources import ResolvedSource, SourceKind
from safelight_worker.types import FailureKind, ModelSpec, WorkerError

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def folder(sd_folder: Path, tmp_path: Path) -> Path:
    """A model a test may damage."""
    return shutil.copytree(sd_folder, tmp_path / "model")


@pytest.fixture
def hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of the hub, for this test only."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


def into_cache(folder: Path, cache: Path, repository: str, revision: str = "main") -> Path:
    """Puts a folder where the hub's client would have put it."""
    home = cache / f"models--{repository.replace('/', '--')}"
    (home / "refs").mkdir(parents=True)
    (home / "refs" / revision).write_text(COMMIT)
    return shutil.copytree(folder, home / "snapshots" / COMMIT)


def refused(call: Callable[[], object]) -> WorkerError:
    with pytest.raises(WorkerError) as caught:
        call()
    return caught.value


def checked(folder: Path, variant: str = "") -> object:
    return sources.check(ResolvedSource(SourceKind.FOLDER, folder, folder), variant)


def change_json(path: Path, **changes: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_a_folder_stands_for_itself(sd_folder: Path) -> None:
    assert sources.resolve(ModelSpec("m", str(sd_folder))) == ResolvedSource(SourceKind.FOLDER, sd_folder, sd_folder)


def test_a_single_file_is_described_by_its_config(sd_folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "m.safetensors"
    file.touch()
    found = sources.resolve(ModelSpec("m", str(file), config=str(sd_folder)))
    assert found == ResolvedSource(SourceKind.SINGLE_FILE, file, sd_folder)
    error = refused(lambda: sources.resolve(ModelSpec("m", str(file))))
    assert (error.kind, error.field) == (FailureKind.INVALID_REQUEST, "config")


@pytest.mark.parametrize("name", ["m.ckpt", "m.bin", "m.pt", "m.pth"])
def test_a_pickle_is_refused_as_what_it_is(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    error = refused(lambda: sources.resolve(ModelSpec("m", str(tmp_path / name))))
    assert error.kind is FailureKind.MODEL_UNAVAILABLE
    assert "pickle" in error.message
    assert ".safetensors" in error.message


@pytest.mark.parametrize("revision", ["", "@v1.0", f"@{COMMIT}"])
def test_a_hub_id_is_found_in_the_local_cache(hub_cache: Path, sd_folder: Path, revision: str) -> None:
    snapshot = into_cache(sd_folder, hub_cache, "owner/name", "v1.0" if revision == "@v1.0" else "main")
    found = sources.resolve(ModelSpec("m", f"owner/name{revision}"))
    assert found == ResolvedSource(SourceKind.HUB, snapshot, snapshot)


@pytest.mark.parametrize("source", ["owner/other", "owner/name@v2.0"])
def test_a_hub_id_that_is_not_cached_names_the_command_that_fetches_it(
    hub_cache: Path, sd_folder: Path, source: str
) -> None:
    into_cache(sd_folder, hub_cache, "owner/name")
    error = refused(lambda: sources.resolve(ModelSpec("m", source)))
    assert error.kind is FailureKind.MODEL_UNAVAILABLE
    assert f"npm run safelight -- models pull {source}" in error.message


def test_a_path_that_is_not_there_is_told(tmp_path: Path) -> None:
    error = refused(lambda: sources.resolve(ModelSpec("m", str(tmp_path / "gone"))))
    assert error.message == f"{tmp_path / 'gone'} does not exist"


def test_a_sound_folder_tells_its_class_and_files(sd_folder: Path) -> None:
    files = sources.check(sources.resolve(ModelSpec("m", str(sd_folder))))
    assert files.pipeline_class == "StableDiffusionPipeline"
    networks = {name for name, component in files.components.items() if component.is_network}
    assert networks == {"unet", "vae", "text_encoder"}
    assert len(files.weights("")) == 3


def drop_component(folder: Path) -> None:
    shutil.rmtree(folder / "vae")


def only_pickles(folder: Path) -> None:
    weights = folder / "unet" / "diffusion_pytorch_model.safetensors"
    weights.rename(weights.with_suffix(".bin"))


def no_weights(folder: Path) -> None:
    (folder / "unet" / "diffusion_pytorch_model.safetensors").unlink()


def only_a_variant(folder: Path) -> None:
    weights = folder / "unet" / "diffusion_pytorch_model.safetensors"
    weights.rename(weights.with_name("diffusion_pytorch_model.fp16.safetensors"))


def half_a_copy(folder: Path) -> None:
    index = {"weight_map": {"a": "diffusion_pytorch_model.safetensors", "b": "second.safetensors"}}
    (folder / "unet" / "diffusion_pytorch_model.safetensors.index.json").write_text(json.dumps(index))


def unknown_class(folder: Path) -> None:
    change_json(folder / "model_index.json", _class_name="NoSuchPipeline")


def class_that_is_no_pipeline(folder: Path) -> None:
    change_json(folder / "model_index.json", _class_name="UNet2DConditionModel")


def custom_pipeline(folder: Path) -> None:
    change_json(folder / "model_index.json", _class_name=["pipeline", "Mine"])


def custom_component(folder: Path) -> None:
    (folder / "unet" / "my_unet.py").write_text("raise SystemExit('this code was run')")
    change_json(folder / "model_index.json", unet=["my_unet", "MyUNet"])


def mapped_component(folder: Path) -> None:
    change_json(folder / "text_encoder" / "config.json", auto_map={"AutoModel": "mine.Model"})


def no_index(folder: Path) -> None:
    (folder / "model_index.json").unlink()


def broken_index(folder: Path) -> None:
    (folder / "model_index.json").write_text("{")


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (drop_component, "the folder of vae is missing"),
        (only_pickles, "unet has only pickles (diffusion_pytorch_model.bin)"),
        (no_weights, "unet has no .safetensors file"),
        (only_a_variant, "only the variant fp16"),
        (half_a_copy, "unet lacks second.safetensors"),
        (unknown_class, "names the class NoSuchPipeline"),
        (class_that_is_no_pipeline, "names the class UNet2DConditionModel"),
        (custom_pipeline, "code that comes with the weights"),
        (custom_component, "code that comes with the weights (my_unet.py)"),
        (mapped_component, "auto_map"),
        (no_index, "holds no model_index.json"),
        (broken_index, "cannot be read"),
    ],
)
def test_what_cannot_or_may_not_be_loaded_is_told(folder: Path, damage: Callable[[Path], None], told: str) -> None:
    checked(folder)
    damage(folder)
    error = refused(lambda: checked(folder))
    assert error.kind is FailureKind.MODEL_UNAVAILABLE
    assert told in error.message


def test_everything_that_is_wrong_is_told_at_once(folder: Path) -> None:
    drop_component(folder)
    only_pickles(folder)
    message = refused(lambda: checked(folder)).message
    assert "vae is missing" in message
    assert "unet has only pickles" in message


def test_a_folder_of_one_variant_is_sound_when_that_is_asked_for(folder: Path) -> None:
    only_a_variant(folder)
    checked(folder, variant="fp16")


@pytest.mark.parametrize(
    ("name", "variant"),
    [
        ("model.safetensors", ""),
        ("model.fp16.safetensors", "fp16"),
        ("model-00001-of-00002.safetensors", ""),
        ("model.fp16-00001-of-00002.safetensors", "fp16"),
        ("model-00001-of-00002.fp16.safetensors", "fp16"),
        ("diffusion_pytorch_model.non_ema.safetensors", "non_ema"),
    ],
)
def test_a_variant_is_read_from_a_files_name(name: str, variant: str) -> None:
    assert variant_of(Path(name)) == variant
