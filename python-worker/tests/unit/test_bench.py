"""The engine benchmark's own arithmetic, on given numbers."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from bench import machine
from bench.engine import __main__ as command
from bench.engine.figures import Run, figure, hopeless, percentile
from bench.engine.goals import GOALS, ON_CPU, Goal, Verdict, judge
from bench.engine.outcome import Arrivals, Cancels, Outcome
from bench.engine.pictures import Deviation, deviation
from bench.engine.report import to_table
from bench.engine.selection import NAMES, Wish, on_cpu, on_gpu
from bench.engine.summary import summarise
from bench.engine.workloads import BARE, COMPILED, ENGINE, EXACT, LOCK, THREADS, Workload, from_json, jobs
from bench.machine import Load
from bench.models.build import build
from bench.models.configs import FULL

NOWHERE = (Path("nowhere"),)


def run(rival: str, threads: int, *completions: float, peak: int = 2**29) -> Run:
    return Run(rival, threads, len(completions), completions, peak_bytes=peak)


@pytest.fixture
def outcome() -> Outcome:
    """Two jobs: the engine best with two threads, its rivals with one."""
    workload = Workload("model", NOWHERE, 64, 64, (20,), 5.0, (2,))
    seconds = {
        (ENGINE, 1): (1.5, 1.6, 1.7),
        (ENGINE, 2): (1.0, 1.1, 1.2),
        (EXACT, 1): (9.0, 9.0, 9.0),
        (EXACT, 2): (1.32, 1.32, 1.32),
        (LOCK, 1): (4.4, 4.0, 3.9),
        (LOCK, 2): (6.0,),
        (THREADS, 1): (5.0, 5.5, 6.0),
        (THREADS, 2): (9.0,),
        (BARE, 1): (1.0, 1.0, 1.0),
        (BARE, 2): (1.0, 1.0, 1.0),
    }
    return Outcome(
        workload,
        runs=[run(rival, threads, s / 2, s) for (rival, threads), its in seconds.items() for s in its],
        deviations={key: Deviation(1, 2, 12_288, 2.0) for key in [(ENGINE, 2, 2), (LOCK, 1, 2), (THREADS, 1, 2)]},
        caps={1: [4], 2: [8]},
        operations={2: 55_000_000_000},
        ceilings={1: 50e9, 2: 100e9},
        latent_difference=1e-6,
    )


def test_takes_each_rival_at_its_better_thread_setting(outcome: Outcome) -> None:
    lines = {line.figure.rival: line.figure for line in summarise(outcome).rounds[0].lines}
    expected = {ENGINE: 2, EXACT: 2, LOCK: 1, THREADS: 1, BARE: 2}
    assert {rival: own.threads for rival, own in lines.items()} == expected
    assert lines[LOCK].seconds == 4.0
    assert lines[ENGINE].mean_completion == pytest.approx(0.825)
    assert lines[ENGINE].images_per_second == pytest.approx(2 / 1.1)
    assert lines[ENGINE].others == {1: 1.6}


def test_compares_medians(outcome: Outcome) -> None:
    (only,) = summarise(outcome).rounds
    assert only.caps == (8,)
    assert only.against_lock == pytest.approx(4.0 / 1.1)
    assert only.against_threads == pytest.approx(5.5 / 1.1)
    assert only.against_better == only.against_lock
    assert only.over_bare == pytest.approx(1.1)
    assert only.over(LOCK, "mean_completion") == pytest.approx(0.825 / 3.0)
    assert only.exact_over_engine == pytest.approx(1.2)


def test_the_fraction_of_the_ceiling_is_of_the_faster_setting(outcome: Outcome) -> None:
    (only,) = summarise(outcome).rounds
    line = only.line(ENGINE)
    assert line is not None
    assert line.fraction == pytest.approx(0.5)


def test_leaves_out_ratios_to_rivals_that_did_not_run(outcome: Outcome) -> None:
    outcome.runs = [each for each in outcome.runs if each.rival in (ENGINE, LOCK)]
    (only,) = summarise(outcome).rounds
    assert only.against_lock is not None
    assert (only.against_threads, only.against_better, only.over_bare, only.exact_over_engine) == (None,) * 4
    assert only.over(THREADS, "mean_completion") is None


def test_a_setting_given_up_early_does_not_win_by_one_lucky_run() -> None:
    runs = [run(LOCK, 1, 2.0), run(LOCK, 2, 3.0), run(LOCK, 1, 4.0), run(LOCK, 1, 4.0)]
    assert figure(runs).threads == 1
    assert figure(runs, threads=2).seconds == 3.0


def test_gives_up_a_setting_that_cannot_win() -> None:
    assert hopeless([]) == set()
    assert hopeless([run(LOCK, 1, 1.0), run(LOCK, 2, 1.2)]) == set()
    assert hopeless([run(LOCK, 1, 1.0), run(LOCK, 2, 1.4)]) == {2}
    # One disturbed run among good ones is no reason.
    assert hopeless([run(LOCK, 1, 1.0), run(LOCK, 2, 9.0), run(LOCK, 2, 1.1)]) == set()


@pytest.mark.parametrize(("percent", "expected"), [(0, 1.0), (50, 2.0), (95, 4.0), (100, 4.0)])
def test_percentile_is_the_nearest_rank(percent: float, expected: float) -> None:
    assert percentile([4.0, 1.0, 3.0, 2.0], percent) == expected


@pytest.mark.parametrize(
    ("better", "value", "words"),
    [
        ("higher", 3.0, "met"),
        ("higher", 2.5, "missed, above the floor"),
        ("higher", 1.9, "missed, below the floor"),
        ("lower", 1.0, "met"),
        ("lower", 2.9, "missed, above the floor"),
        ("lower", 3.1, "missed, below the floor"),
    ],
)
def test_a_goal_is_met_or_missed(better: str, value: float, words: str) -> None:
    floor, goal = (2.0, 3.0) if better == "higher" else (3.0, 2.0)
    assert Verdict(Goal("C0", "anything", floor, goal, better), value).words == words  # type: ignore[arg-type]


def test_every_goal_is_a_measure_of_some_workload() -> None:
    measured: set[str] = set()
    for name, is_for_cpu in NAMES.items():
        workload = (on_cpu if is_for_cpu else on_gpu)(name, Wish("cpu", Path("shapes")), Path("nowhere"))
        measured |= {
            measure for measure, value in summarise(complete(workload)).measures().items() if value is not None
        }
    assert {goal.measure for goal in GOALS} <= measured


def complete(workload: Workload) -> Outcome:
    """An outcome in which everything was measured."""
    rivals = [*workload.rivals, EXACT]
    counts = (*workload.job_counts, *workload.waiting_counts)
    return Outcome(
        workload,
        runs=[run(rival, 1, *[1.0] * count) for rival in rivals for count in counts],
        deviations={(ENGINE, 1, count): Deviation(1, 1, 100, 1.0) for count in workload.job_counts},
        caps={1: [8]},
        warm_up_seconds={(COMPILED, 1): 30.0},
        operations=dict.fromkeys(counts, 1),
        ceilings={1: 1.0},
        latent_difference=0.0,
        exactness=[{"exact": True}] if workload.exact_dtypes else [],
        arrivals=Arrivals(1.0, 1.0, (1.0, 2.0)) if workload.poisson else None,
        cancels=Cancels(0.1, (0.05, 0.1)) if workload.poisson else None,
    )


def test_judges_what_was_measured_by_the_names_the_summary_uses(outcome: Outcome) -> None:
    outcome.workload = replace(outcome.workload, job_counts=(8, 16))
    outcome.runs = [
        run(rival, 1, *[seconds] * count)
        for rival, seconds in ((ENGINE, 1.0), (LOCK, 3.0), (THREADS, 4.0), (BARE, 1.0))
        for count in (8, 16)
    ]
    verdicts = judge(summarise(outcome).measures())
    assert [each.goal for each in verdicts] == [goal for goal in ON_CPU if goal.measure.startswith("model")]
    assert {each.goal.measure: each.words for each in verdicts if "16 jobs: engine against" in each.goal.measure} == {
        "model, 16 jobs: engine against the better of both": "missed, above the floor"
    }


def test_measures_of_service_are_relative_to_one_job_alone(outcome: Outcome) -> None:
    outcome.arrivals = Arrivals(2.0, 0.5, (0.5, 1.0, 1.5, 5.0))
    outcome.cancels = Cancels(0.1, (0.05, 0.205))
    outcome.workload = replace(outcome.workload, waiting_counts=(3,))
    outcome.runs.append(run(ENGINE, 2, 1.0, 1.0, 1.0, peak=2**30))
    measures = summarise(outcome).measures()
    assert measures["model: 95th percentile over solo at 80 % load"] == 10.0
    assert measures["model: jobs within 5 times solo at 80 % load"] == 0.75
    assert measures["model: slowest of 20 cancels, less 5 ms, in steps"] == pytest.approx(2.0)
    assert measures["model: peak memory of 3 jobs over that of 2"] == 2.0


def test_a_picture_may_round_another_way_but_not_be_another() -> None:
    solo = np.zeros((64, 64, 3), np.uint8)
    rounded, another = solo.copy(), np.full_like(solo, 9)
    rounded[0, 0] = 1
    assert deviation(rounded, solo) == Deviation(1, 3, solo.size, 3.0)
    assert not deviation(rounded, solo).wrong_in("float32")
    assert deviation(np.ones_like(solo), solo).wrong_in("float32")
    assert deviation(another, solo).wrong_in("float32")
    assert deviation(solo[:32], solo).wrong_in("float32")


def test_16_bit_floats_may_stray_further_but_not_to_another_picture() -> None:
    solo = np.zeros((64, 64, 3), np.uint8)
    assert deviation(solo, solo).psnr == math.inf
    near, far = deviation(np.full_like(solo, 9), solo), deviation(np.full_like(solo, 90), solo)
    assert near.psnr == pytest.approx(20 * math.log10(255 / 9))
    assert not near.wrong_in("bfloat16")
    assert far.wrong_in("bfloat16")


def test_tells_wrong_pictures(outcome: Outcome) -> None:
    assert summarise(outcome).wrong == []
    outcome.deviations[ENGINE, 2, 2] = Deviation(200, 9_000, 12_288)
    assert summarise(outcome).wrong == [
        "model, 2 jobs, engine: 9000 values differ from the pictures made alone, by up to 200"
    ]


def test_the_table_names_every_rival_with_its_threads(outcome: Outcome) -> None:
    table = to_table(summarise(outcome))
    assert "   2  engine        2      1.82    1.100" in table
    assert "engine: 3.64 × lock, 5.00 × threads, 3.64 × the better of both, 1.10 of bare time" in table
    assert "1.20 as long with exact; 8 images to a forward" in table


def test_the_table_says_where_exact_does_not_hold(outcome: Outcome) -> None:
    found = {"model": "flux", "dtype": "float16", "images_to_a_forward": 4}
    differences = {"exact": False, "exact_difference": 2e-3, "ordinary": True, "ordinary_difference": 0.0}
    outcome.exactness = [found | differences]
    summary = summarise(outcome)
    told = "exact, flux in float16, 4 images to a forward: off by up to 2.0e-03 of 1 alone and in company"
    assert told in to_table(summary)
    assert summary.measures()["model: models and dtypes in which exact holds bit for bit"] == 0.0


def test_warns_when_others_kept_the_machine_busy() -> None:
    assert Load(0.1, 2.0, 0.05, 0.1).warning == ""
    assert Load(0.1, 2.0, None, None).warning == ""
    assert "up to 1.2 processors" in Load(0.1, 2.0, 0.05, 1.2).warning


def test_says_on_what_it_ran() -> None:
    facts = machine.describe()
    assert f"torch {torch.__version__}" in facts.lines()[1]
    assert facts.cores >= 1
    assert facts.accelerator == ""


def test_jobs_differ_in_prompt_and_seed_and_take_models_and_steps_in_turn() -> None:
    workload = Workload("x", (Path("a"), Path("b"), Path("c")), 64, 64, (20, 14), 5.0, (12,), last_side=32)
    made = jobs(workload, 12)
    assert len({job.prompt for job in made}) == len({job.seed for job in made}) == 12
    assert [job.model for job in made[:4]] == [0, 1, 2, 0]
    assert [job.steps for job in made[:3]] == [20, 14, 20]
    assert [job.width for job in made[-2:]] == [64, 32]


def test_a_workload_survives_its_way_to_a_child() -> None:
    for name, is_for_cpu in NAMES.items():
        workload = (on_cpu if is_for_cpu else on_gpu)(name, Wish("cpu", Path("shapes")), Path("nowhere"))
        assert from_json(workload.as_json()) == workload


@pytest.mark.parametrize("name", ["sd15", "nothing"])
def test_refuses_a_workload_that_the_device_cannot_be_judged_by(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        command.main(["--workload", name])
    assert name in capsys.readouterr().err


@pytest.mark.parametrize(
    ("family", "denoiser", "billions"),
    [("sd", "unet", 0.860), ("sdxl", "unet", 2.567), ("sd3", "transformer", 2.243), ("flux", "transformer", 11.901)],
)
def test_full_size_networks_have_as_many_parameters_as_the_published_ones(
    family: str, denoiser: str, billions: float
) -> None:
    pipe = build(family, FULL[family], torch.device("meta"), torch.bfloat16)
    parameters = list(pipe.components[denoiser].parameters())
    assert sum(each.numel() for each in parameters) / 1e9 == pytest.approx(billions, abs=6e-4)
    assert {each.dtype for each in parameters} == {torch.bfloat16}
    assert torch.get_default_dtype() is torch.float32
