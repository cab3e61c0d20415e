"""The engine benchmark on real rivals."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from bench.engine import __main__ as command
from bench.engine import operations
from bench.engine.child import make, obey
from bench.engine.contest import contest
from bench.engine.contestant import Contestant, ContestantError
from bench.engine.figures import Run
from bench.engine.outcome import Outcome
from bench.engine.pictures import compare
from bench.engine.report import to_table
from bench.engine.rival import Rival
from bench.engine.summary import summarise
from bench.engine.workloads import BARE, ENGINE, LOCK, THREADS, Workload, jobs
from bench.models.build import write

MEASURED = {
    "against the better of both",
    "against lock",
    "against threads",
    "time over bare",
    "'s fraction of the ceiling",
    "'s images per second",
    "'s mean completion over lock",
    "'s mean completion over threads",
    "'s peak memory over threads",
}


@pytest.fixture(scope="module")
def families(tmp_path_factory: pytest.TempPathFactory) -> Workload:
    """Six jobs of different lengths over three models."""
    folder = tmp_path_factory.mktemp("bench-models")
    folders = tuple(
        write(family, "tiny", folder / family, torch.device("cpu"), torch.float32) for family in ("sdxl", "sd3", "flux")
    )
    return Workload("families", folders, 64, 64, (4, 3), 5.0, (6,), exact_dtypes=("float32",))


def told(what: str, count: int, folder: Path, **more: Any) -> dict[str, Any]:
    return {"do": what, "jobs": count, "folder": str(folder), "caps": [], "exact": False, "rate": 0.0, **more}


@pytest.fixture(scope="module")
def rivals(families: Workload) -> Any:
    made: dict[str, Rival] = {name: make(name, families, 1) for name in (ENGINE, LOCK, THREADS, BARE)}
    yield made
    for rival in made.values():
        rival.close()


@pytest.fixture(scope="module")
def solo(families: Workload, rivals: dict[str, Rival], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures made alone, by plain calls."""
    folder = tmp_path_factory.mktemp("solo")
    obey(rivals[LOCK], families, 1, told("run", 6, folder))
    return folder


@pytest.mark.parametrize(("name", "exact"), [(ENGINE, False), (ENGINE, True), (THREADS, False)])
def test_all_rivals_draw_the_same_pictures_of_every_family(
    families: Workload, rivals: dict[str, Rival], solo: Path, tmp_path: Path, name: str, exact: bool
) -> None:
    answer = obey(rivals[name], families, 1, told("run", 6, tmp_path, exact=exact))
    assert len(answer["completions"]) == 6
    assert min(answer["completions"]) > 0
    assert answer["peak_bytes"] > 0
    found = compare(tmp_path, solo, jobs(families, 6))
    assert found.values == 6 * 64 * 64 * 3
    assert not found.wrong_in("float32")


def test_a_rival_that_draws_another_picture_is_reported(
    families: Workload, rivals: dict[str, Rival], solo: Path, tmp_path: Path
) -> None:
    # One job in six gets the seed of another.
    drawn = jobs(families, 6)
    drawn[4] = replace(drawn[4], seed=drawn[1].seed)
    lock: Any = rivals[LOCK]
    for job in drawn:
        (tmp_path / str(job.number)).mkdir()
        picture = (lock.draw(job) * 255).round().astype(np.uint8)
        Image.fromarray(picture).save(tmp_path / str(job.number) / "0.png")
    found = compare(tmp_path, solo, jobs(families, 6))
    outcome = Outcome(families, [Run(ENGINE, 1, 6, (1.0,) * 6)], {(ENGINE, 1, 6): found}, {1: [1]})
    (sentence,) = summarise(outcome).wrong
    assert sentence.startswith("families, 6 jobs, engine: ")
    assert f"{found.differing} by {found.largest}" in to_table(summarise(outcome))


def test_a_missing_picture_is_an_error(families: Workload, solo: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        compare(tmp_path, solo, jobs(families, 1))


def test_jobs_that_come_in_at_random_are_timed_from_their_arrival(
    families: Workload, rivals: dict[str, Rival], tmp_path: Path
) -> None:
    answer = obey(rivals[ENGINE], families, 1, told("run", 6, tmp_path, rate=1000.0))
    assert len(answer["completions"]) == 6
    assert min(answer["completions"]) > 0


def test_cancels_are_timed_against_a_step(rivals: dict[str, Rival], families: Workload, tmp_path: Path) -> None:
    answer = obey(rivals[ENGINE], replace(families), 1, told("cancels", 1, tmp_path))
    assert answer["step_seconds"] > 0
    assert len(answer["waits"]) == 20


def test_exact_pictures_are_the_same_alone_and_in_company(
    families: Workload, rivals: dict[str, Rival], tmp_path: Path
) -> None:
    found = obey(rivals[ENGINE], families, 1, told("exactness", 0, tmp_path))["exactness"]
    names = [(each["model"], each["dtype"]) for each in found]
    assert names == [(model, "float32") for model in ("sdxl", "sd3", "flux")]
    assert all(each["exact"] and each["exact_difference"] == 0 for each in found)


def test_the_bare_loop_batches_without_changing_latents(
    families: Workload, rivals: dict[str, Rival], tmp_path: Path
) -> None:
    answer = obey(rivals[BARE], families, 1, told("compare_latents", 6, tmp_path, caps=[4, 4, 4]))
    assert 0 <= answer["difference"] < 1e-5


def test_work_is_counted_by_steps_and_images(families: Workload, rivals: dict[str, Rival], tmp_path: Path) -> None:
    def of(workload: Workload, count: int) -> int:
        return int(obey(rivals[BARE], workload, 1, told("operations", count, tmp_path))["operations"])

    one, two = of(families, 3), of(replace(families, steps=(8, 6)), 3)
    assert 0 < one < two < 2 * one
    assert of(replace(families, steps=(4,)), 6) == 2 * of(replace(families, steps=(4,)), 3)


def test_a_product_counts_two_operations_for_every_multiply_add() -> None:
    left, right = torch.randn(3, 5), torch.randn(5, 7)
    assert operations.count(lambda: left @ right) == 2 * 3 * 5 * 7
    query = torch.randn(1, 2, 8, 4)
    attention = operations.count(lambda: torch.nn.functional.scaled_dot_product_attention(query, query, query))
    assert attention == 2 * (2 * 2 * 8 * 8 * 4)


def test_an_unknown_command_is_refused(families: Workload, rivals: dict[str, Rival], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="LockRival is called ceiling"):
        obey(rivals[LOCK], families, 1, told("ceiling", 0, tmp_path))
    with pytest.raises(ValueError, match="no rival is called nobody"):
        make("nobody", families, 1)


@pytest.mark.slow
def test_the_quick_form_runs_and_reports_every_figure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "report.json"
    assert command.main(["--quick", "--json", str(file)]) == 0
    text = capsys.readouterr().out
    for rival in ("engine", "exact", "lock", "threads", "bare"):
        assert f"   4  {rival}" in text
    report = json.loads(file.read_text())
    (workload,) = report["workloads"]
    measures = workload["measures"]
    assert {
        name for name in MEASURED if measures[f"launch-bound, 4 jobs: engine{_joined(name)}"] is not None
    } == MEASURED
    assert measures["launch-bound: batched against solo latents"] < 1e-5
    assert measures["launch-bound: peak memory of 6 jobs over that of 4"] > 0
    assert measures["launch-bound: 95th percentile over solo at 80 % load"] > 0
    assert measures["launch-bound: models and dtypes in which exact holds bit for bit"] == 1.0
    assert [each["goal"] for each in report["verdicts"] if each["row"] == "C9"] == [1e-5]
    assert report["threads"] == [1]
    assert report["machine"]["versions"]["torch"] == torch.__version__
    assert report["machine"]["commit"]


def _joined(name: str) -> str:
    return name if name.startswith("'") else f" {name}"


@pytest.mark.slow
def test_rivals_that_do_not_fit_side_by_side_come_one_after_another(families: Workload, tmp_path: Path) -> None:
    alone = replace(families, together=False, job_counts=(3,), exact_dtypes=(), steps=(2,))
    steps: list[str] = []
    outcome = contest(alone, (1,), 1, tmp_path, steps.append)
    assert {run.rival for run in outcome.runs} == {"engine", "exact", "lock", "threads", "bare"}
    assert summarise(outcome).wrong == []
    starts = [at for at, step in enumerate(steps) if "starting processes" in step]
    assert len(starts) == 4


@pytest.mark.slow
def test_a_child_that_fails_says_why(tmp_path: Path) -> None:
    workload = Workload("broken", (tmp_path,), 64, 64, (2,), 5.0, (1,))
    with Contestant(LOCK, workload, 1) as child:
        child.wait_until_imported()
        with pytest.raises(ContestantError, match=r"lock with 1 thread ended with 1:[\s\S]*model_index\.json"):
            child.ask("warm_up", 1, tmp_path)
