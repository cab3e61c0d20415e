"""The memory benchmark: climbing on injected faults, and its report."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from bench.engine.goals import judge
from bench.machine import Load, describe
from bench.memory import __main__ as command
from bench.memory.cases import GB, Case, cases, from_json
from bench.memory.climbing import Tally
from bench.memory.ladder import ladder
from bench.memory.report import GOALS, CaseReport, Report, to_json, to_text
from bench.memory.run_case import Result, run_case
from safelight_worker.types import Residency, Tiling

RUNGS = [rung.name for rung in ladder(["text_encoder", "unet", "vae"])]


@pytest.fixture
def case(sd_folder: Path) -> Case:
    """Four jobs of six steps, together."""
    return Case("sd", "sd", "tiny", 64, 6, runs=4, folder=sd_folder)


def test_without_faults_everything_stays_on_the_first_rung(case: Case, tmp_path: Path) -> None:
    tally = run_case(case, tmp_path).tally
    assert tally == Tally(runs=4, rungs={RUNGS[0]: 4})


def test_forwards_that_are_too_large_are_halved_and_nobody_climbs(case: Case, tmp_path: Path) -> None:
    result = run_case(replace(case, runs=8, together=8, faults="limit=images>1@denoise"), tmp_path)
    assert (result.tally.failed, result.tally.out_of_memory) == (0, 0)
    assert result.tally.rungs == {RUNGS[0]: 8}


def test_a_failed_decode_climbs_a_rung_and_takes_no_step_again(case: Case, tmp_path: Path) -> None:
    tally = run_case(replace(case, faults="limit=images>2@denoise;oom@decode:*x1"), tmp_path).tally
    assert (tally.runs, tally.failed, tally.out_of_memory, tally.resumed) == (4, 0, 1, 1)
    assert tally.steps_kept == 6
    assert tally.rungs == {RUNGS[0]: 3, RUNGS[1]: 1}


def test_climbs_as_far_as_it_must_and_stays_there(case: Case, tmp_path: Path) -> None:
    tally = run_case(replace(case, together=1, faults=f"oom@denoise:4x{len(RUNGS) - 1}"), tmp_path).tally
    assert (tally.failed, tally.out_of_memory) == (0, len(RUNGS) - 1)
    assert tally.rungs == {RUNGS[-1]: 4}
    # The first job alone was interrupted, always before its fourth step.
    assert tally.steps_kept == 3


def test_a_job_that_fails_on_every_rung_has_failed(case: Case, tmp_path: Path) -> None:
    tally = run_case(replace(case, runs=2, together=1, faults="oom@decode:*"), tmp_path).tally
    assert (tally.runs, tally.failed, tally.out_of_memory) == (2, 2, 2 * len(RUNGS))
    assert tally.rungs == {}
    assert tally.messages[0].startswith(f"run 0 on {RUNGS[-1]}: device_out_of_memory: CUDA out of memory")


def test_another_failure_is_not_climbed_on(case: Case, tmp_path: Path) -> None:
    tally = run_case(replace(case, together=1, faults="error@encode"), tmp_path).tally
    assert (tally.failed, tally.out_of_memory) == (1, 0)
    assert tally.rungs == {RUNGS[0]: 3}


def test_a_model_that_cannot_be_loaded_fails_all_runs(case: Case, tmp_path: Path) -> None:
    result = run_case(replace(case, folder=tmp_path / "nowhere"), tmp_path)
    assert result.tally.failed == case.runs
    assert result.refused.startswith("model_unavailable")


def test_rungs_take_less_and_less(case: Case) -> None:
    rungs = ladder(["text_encoder", "unet", "vae"])
    assert [rung.memory.vae_tiling for rung in rungs] == [Tiling.OFF] * 2 + [Tiling.TILED] * 2 + [Tiling.AGGRESSIVE] * 2
    assert rungs[3].memory.residency == dict.fromkeys(["text_encoder", "unet", "vae"], Residency.PHASE)
    assert rungs[5].memory.residency["unet"] is Residency.GROUP_OFFLOAD
    assert rungs[5].memory.residency["vae"] is Residency.PHASE


def test_caps_are_real_on_cuda_and_injected_elsewhere() -> None:
    capped = {case.name: case for case in cases("cuda:0", 1000, 4)}
    assert capped["sd15 at 4 GB"].budget_bytes == 4 * GB
    assert (capped["sd15 at 4 GB"].runs, capped["sd15 uncapped"].runs) == (1000, 50)
    assert not any(case.faults for case in capped.values())
    assert all(case.faults or not case.uncapped for case in cases("cpu", 40, 4))


def test_a_case_survives_its_way_to_a_child(case: Case) -> None:
    assert from_json(json.loads(json.dumps(case.as_json()))) == case


@pytest.fixture
def report() -> Report:
    """A cap at which one run of a thousand failed and the others took half as long again."""
    free = Case("sd15 uncapped", "sd", "full", 512, 50, runs=50)
    capped = replace(free, name="sd15 at 4 GB", runs=1000, budget_bytes=4 * GB, uncapped=free.name)
    lost = Tally(1000, 1, 9, rungs={"VAE tiling": 999}, messages=["run 3 on group offload: device_out_of_memory: x"])
    results = [Result(Tally(50, rungs={"resident": 50}), 10.0, 2**32), Result(lost, 300.0, 2**31)]
    measured = [CaseReport(case, asdict(result)) for case, result in zip((free, capped), results, strict=True)]
    return Report(describe(), Load(0.1, 0.2, 0.0, 0.0), 310.0, tuple(measured))


def test_holds_failures_and_time_against_the_goals(report: Report) -> None:
    assert report.failed == 1
    assert {each.goal.measure: (each.value, each.words) for each in report.verdicts} == {
        "sd15 at 4 GB: failed runs": (1.0, "missed, below the floor"),
        "sd15 at 4 GB: time over uncapped": (pytest.approx(1.5), "missed, above the floor"),
    }


def test_the_report_names_rungs_and_failures(report: Report) -> None:
    text = to_text(report)
    assert "999 on VAE tiling" in text
    assert "FAILED  sd15 at 4 GB: run 3 on group offload: device_out_of_memory: x" in text
    assert "WARNING" not in text
    assert "WARNING  The machine was busy" in to_text(replace(report, load=Load(0.1, 3.0, 0.0, 1.5)))
    assert to_json(report)["cases"][1]["over_uncapped"] == pytest.approx(1.5)


def test_every_goal_is_of_a_case_on_cuda() -> None:
    names = {case.name for case in cases("cuda:0", 1000, 4)}
    assert {goal.measure.split(":")[0] for goal in GOALS} <= names
    assert judge({}, GOALS) == []


@pytest.mark.slow
def test_the_quick_form_runs_and_reports_every_figure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "report.json"
    assert command.main(["--quick", "--case", "sd, step 5", "--json", str(file)]) == 0
    assert "4 on aggressive tiling, attention slicing; injected: oom@denoise:5x4" in capsys.readouterr().out
    (told,) = json.loads(file.read_text())["cases"]
    assert told["result"]["tally"]["failed"] == 0
    assert told["result"]["tally"]["out_of_memory"] == 4
    assert told["result"]["peak_bytes"] > 0
    assert told["over_uncapped"] is None


def test_a_name_that_no_case_has_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["--case", "nothing of the kind"]) == 2
    assert "nothing of the kind" in capsys.readouterr().err
