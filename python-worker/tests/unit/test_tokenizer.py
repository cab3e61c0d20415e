"""Tokenizers keep truncation and padding in a shared object and mix up concurrent calls without an error; the engine's one
thread does not."""

from __future__ import annotations

import logging
import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.support.engines import Workbench
from tests.support.gates import replaced

THREADS = 50


def test_prompts_from_many_threads_are_encoded_as_alone(bench: Workbench, sd_folder: Path) -> None:
    runner = bench.load(sd_folder).runner
    choice = random.Random(0)
    words = ["red", "blue", "and", "circle", "a"]
    prompts = [" ".join(choice.choices(words, k=1 + number % 40)) for number in range(THREADS)]
    plans = [bench.plan(sd_folder, prompt=text, negative_prompt=text[::-1], num_inference_steps=1) for text in prompts]
    seen: dict[str, Any] = {}
    threads: set[str] = set()

    def recording(encode: Any) -> Any:
        import threading

        def run(plan: Any) -> Any:
            threads.add(threading.current_thread().name)
            seen[plan.attempt_id] = encode(plan)
            return seen[plan.attempt_id]

        return run

    with replaced(runner, "encode", recording), ThreadPoolExecutor(THREADS) as pool:
        for watcher in pool.map(bench.submit, plans):
            watcher.succeeded()
    assert threads == {"engine"}
    for plan in plans:
        runner._prompts.clear()
        with torch.no_grad():
            alone = runner.encode(plan)
        for branch, rows in seen[plan.attempt_id].branches.items():
            assert torch.equal(rows["encoder_hidden_states"], alone.branches[branch]["encoder_hidden_states"])


@pytest.mark.parametrize("model", ["sd", "sdxl"])
def test_the_end_of_a_prompt_that_nobody_reads_is_logged(
    bench: Workbench, sd_folder: Path, sdxl_folder: Path, model: str, caplog: pytest.LogCaptureFixture
) -> None:
    folder = {"sd": sd_folder, "sdxl": sdxl_folder}[model]
    bench.load(folder)
    plan = bench.plan(folder, prompt="red " * 40, num_inference_steps=1)
    with caplog.at_level(logging.WARNING, "safelight_worker"):
        bench.submit(plan).succeeded()
    (told,) = [record for record in caplog.records if "beyond what the model reads" in record.message]
    assert vars(told)["attempt"] == plan.attempt_id
    assert vars(told)["field"] == "prompt"
    assert vars(told)["unread_tokens"] == 40 + 2 - 32


def test_nothing_is_logged_of_a_prompt_that_fits(
    bench: Workbench, sd_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bench.load(sd_folder)
    with caplog.at_level(logging.WARNING, "safelight_worker"):
        bench.submit(bench.plan(sd_folder, prompt="red " * 30, num_inference_steps=1)).succeeded()
    assert [record for record in caplog.records if "beyond" in record.message] == []
