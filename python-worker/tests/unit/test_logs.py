"""Every line on stderr is one JSON object, whoever speaks."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from safelight_worker import log_context
from safelight_worker.log_context import HIDDEN, concerned
from safelight_worker.logs import JsonLines
from tests.support import tiny

ROOT = Path(__file__).parents[2]


def record(**changes: Any) -> logging.LogRecord:
    made = logging.LogRecord("safelight_worker.x", logging.WARNING, "", 0, "seen %d", (3,), None)
    vars(made).update(changes)
    return made


def test_a_record_is_an_object_with_level_time_text_and_what_was_added() -> None:
    told = json.loads(JsonLines().format(record(attempt="job/1", path=Path("/x"))))
    assert told["level"] == "warn"
    assert told["msg"] == "seen 3"
    assert told["logger"] == "safelight_worker.x"
    assert (told["job"], told["attempt"]) == ("job", 1)
    assert told["path"] == "/x"
    assert told["time"].endswith("Z")


def test_an_exception_is_one_line_too() -> None:
    try:
        raise ValueError("line one\nline two")
    except ValueError:
        line = JsonLines().format(record(exc_info=sys.exc_info()))
    assert "\n" not in line
    assert "line two" in json.loads(line)["traceback"]


def run(script: str) -> tuple[str, list[dict[str, Any]]]:
    """Standard output and the records of a script that runs after the set-up."""
    before = "import logging\nfrom safelight_worker import logs\nlogs.configure('info')\nstdout = logs.claim_stdout()\n"
    done = subprocess.run(
        [sys.executable, "-c", before + script], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    return done.stdout, [json.loads(line) for line in done.stderr.splitlines()]


def test_only_the_ready_line_reaches_stdout_and_prints_become_records() -> None:
    out, told = run("print('stray', 1)\nprint()\nstdout.write('ready\\n')\nstdout.flush()\n")
    assert out == "ready\n"
    assert [(each["msg"], each["logger"]) for each in told] == [("stray 1", "stdout")]


def test_warnings_and_uncaught_exceptions_become_records() -> None:
    script = (
        "import threading, warnings\nwarnings.warn('careful')\n"
        "thread = threading.Thread(target=lambda: 1 / 0)\nthread.start()\nthread.join()\nraise ValueError('the end')\n"
    )
    out, told = run(script)
    assert out == ""
    assert "careful" in told[0]["msg"]
    assert "ZeroDivisionError" in told[1]["traceback"]
    assert (told[2]["msg"], told[2]["level"]) == ("the end", "fatal")


def test_a_line_is_about_the_attempts_that_are_worked_on() -> None:
    formatter = JsonLines()
    with log_context.concerning("01a1/2"):
        told = json.loads(formatter.format(record()))
        named = json.loads(formatter.format(record(attempt="01a1/3")))
    with log_context.concerning("01a1/2", "01a2/1", "01a1/2"):
        both = json.loads(formatter.format(record()))
    nobody = json.loads(formatter.format(record()))
    assert (told["job"], told["attempt"]) == ("01a1", 2)
    assert (named["job"], named["attempt"]) == ("01a1", 3)
    assert both["attempts"] == ["01a1/2", "01a2/1"]
    assert not {"job", "attempt", "attempts"} & nobody.keys()


def test_work_of_another_thread_is_about_its_attempt_and_leaves_nothing_behind() -> None:
    with ThreadPoolExecutor(1) as pool:
        about = concerned("01a1/2", lambda: json.loads(JsonLines().format(record())))
        assert pool.submit(about).result()["attempt"] == 2
        assert "attempt" not in pool.submit(lambda: json.loads(JsonLines().format(record()))).result()


class Owner:
    """Stands for an attempt."""


def test_prompts_are_left_out_wherever_they_stand_while_there_is_an_attempt_of_them() -> None:
    owner = Owner()
    log_context.PROMPTS.hold(owner, "A fox in the snow", "two\nlines of it")
    seen = record(
        msg="seen %s", args=("a fox in the snow!",), why={"x": ["oh, two"]}, path=Path("/a fox in the snow/x")
    )
    line = JsonLines().format(seen)
    told = json.loads(line)
    assert told["msg"] == f"seen {HIDDEN}!"
    assert told["path"] == f"/{HIDDEN}/x"
    assert told["why"] == {"x": ["oh, two"]}
    assert json.loads(JsonLines().format(record(msg="lines of it", args=())))["msg"] == HIDDEN
    assert "fox" in json.loads(JsonLines(hide_prompts=False).format(seen))["msg"]
    del owner
    assert "fox" in json.loads(JsonLines().format(seen))["msg"]


def test_prompts_are_left_out_of_tracebacks() -> None:
    owner = Owner()
    log_context.PROMPTS.hold(owner, "a fox in the snow", "")
    try:
        raise ValueError("cannot read 'a fox in the snow'")
    except ValueError:
        told = json.loads(JsonLines().format(record(exc_info=sys.exc_info())))
    assert f"cannot read '{HIDDEN}'" in told["traceback"]
    assert owner is not None


def test_short_prompts_and_other_words_are_left_alone() -> None:
    owner = Owner()
    log_context.PROMPTS.hold(owner, "cat", "work")
    assert json.loads(JsonLines().format(record(msg="a cat worked", args=())))["msg"] == "a cat worked"
    assert owner is not None


def test_what_a_library_cut_off_a_prompt_is_left_out() -> None:
    msg = (
        "The following part of your input was truncated because CLIP can only handle sequences up to 77 tokens: ['fox']"
    )
    told = json.loads(JsonLines().format(record(msg=msg, args=())))
    assert told["msg"].endswith(f"up to 77 tokens: {HIDDEN}")


def test_libraries_draw_no_bars_and_speak_json(tmp_path: Path) -> None:
    folder = tiny.write("sd", tmp_path / "sd")
    script = f"""
logs.quiet_libraries()
import diffusers, transformers
pipe = diffusers.StableDiffusionPipeline.from_pretrained({str(folder)!r}, safety_checker=None)
pipe.save_pretrained({str(tmp_path / "again")!r})
diffusers.utils.logging.get_logger("diffusers.x").warning("from diffusers")
transformers.utils.logging.get_logger("transformers.x").warning("from transformers")
"""
    out, told = run(script)
    assert out == ""
    assert {"from diffusers", "from transformers"} <= {each["msg"] for each in told}
