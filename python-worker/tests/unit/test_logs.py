"""Every line on stderr is one JSON object, whoever speaks."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

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
    assert told["attempt"] == "job/1"
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
