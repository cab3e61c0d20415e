"""The benchmark's own arithmetic, on given numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bench.batching.contest import Outcome
from bench.batching.figures import Run, figure, hopeless, percentile
from bench.batching.goals import GOALS, Goal, Verdict, judge
from bench.batching.pictures import Deviation, deviation
from bench.batching.report import Load, to_table
from bench.batching.summary import summarise
from bench.batching.workloads import BARE, ENGINE, LOCK, THREADS, Workload, jobs


def run(rival: str, threads: int, *completions: float) -> Run:
    return Run(rival, threads, len(completions), completions)


@pytest.fixture
def outcome() -> Outcome:
    """Two jobs: the engine best with two threads, its rivals with one."""
    workload = Workload("model", Path("nowhere"), 64, 64, 20, 5.0, (2,))
    seconds = {
        (ENGINE, 1): (1.5, 1.6, 1.7),
        (ENGINE, 2): (1.0, 1.1, 1.2),
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
        deviations={key: Deviation(1, 2, 12_288) for key in [(ENGINE, 2, 2), (LOCK, 1, 2), (THREADS, 1, 2)]},
        peak_bytes=dict.fromkeys(seconds, 2**29),
        caps={1: 4, 2: 8},
        latent_difference=1e-6,
    )


def test_takes_each_rival_at_its_better_thread_setting(outcome: Outcome) -> None:
    lines = {line.figure.rival: line.figure for line in summarise(outcome).rounds[0].lines}
    assert {rival: own.threads for rival, own in lines.items()} == {ENGINE: 2, LOCK: 1, THREADS: 1, BARE: 2}
    assert lines[LOCK].seconds == 4.0
    assert lines[ENGINE].mean_completion == pytest.approx(0.825)
    assert lines[ENGINE].images_per_second == pytest.approx(2 / 1.1)
    assert lines[ENGINE].others == {1: 1.6}


def test_compares_medians(outcome: Outcome) -> None:
    (only,) = summarise(outcome).rounds
    assert only.cap == 8
    assert only.against_lock == pytest.approx(4.0 / 1.1)
    assert only.against_threads == pytest.approx(5.5 / 1.1)
    assert only.against_better == only.against_lock
    assert only.over_bare == pytest.approx(1.1)
    assert only.mean_over_lock == pytest.approx(0.825 / 3.0)


def test_leaves_out_ratios_to_rivals_that_did_not_run(outcome: Outcome) -> None:
    outcome.workload = Workload("compute-bound", Path("nowhere"), 256, 256, 4, 5.0, (2,), (ENGINE, LOCK))
    (only,) = summarise(outcome).rounds
    assert only.against_lock is not None
    assert (only.against_threads, only.against_better, only.over_bare) == (None, None, None)


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


def test_judges_what_was_measured_by_the_names_the_summary_uses(outcome: Outcome) -> None:
    outcome.workload = Workload("model", Path("nowhere"), 64, 64, 20, 5.0, (8, 16))
    outcome.runs = [
        run(rival, 1, *[seconds] * count)
        for rival, seconds in ((ENGINE, 1.0), (LOCK, 3.0), (THREADS, 4.0), (BARE, 1.0))
        for count in (8, 16)
    ]
    verdicts = judge(summarise(outcome).measures())
    assert [each.goal for each in verdicts] == [goal for goal in GOALS if goal.measure.startswith("model")]
    assert {each.goal.measure: each.words for each in verdicts if "16 jobs: engine against" in each.goal.measure} == {
        "model, 16 jobs: engine against the better of both": "missed, above the floor"
    }


def test_a_picture_may_round_another_way_but_not_be_another() -> None:
    solo = np.zeros((64, 64, 3), np.uint8)
    rounded, another = solo.copy(), np.full_like(solo, 9)
    rounded[0, 0] = 1
    assert deviation(rounded, solo) == Deviation(1, 3, solo.size)
    assert not deviation(rounded, solo).wrong
    assert deviation(np.ones_like(solo), solo).wrong
    assert deviation(another, solo).wrong
    assert deviation(solo[:32], solo).wrong


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
    assert "8 images to a forward" in table


def test_warns_when_others_kept_the_machine_busy() -> None:
    assert Load(0.1, 2.0, 0.05, 0.1).warning == ""
    assert Load(0.1, 2.0, None, None).warning == ""
    assert "up to 1.2 processors" in Load(0.1, 2.0, 0.05, 1.2).warning


def test_jobs_differ_in_prompt_and_seed() -> None:
    made = jobs(16)
    assert len({job.prompt for job in made}) == len({job.seed for job in made}) == 16
