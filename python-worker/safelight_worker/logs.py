"""Log records as JSON lines on stderr, which the orchestrator passes on under their own level."""

from __future__ import annotations

import io
import json
import logging
import os
import sys
import threading
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Literal, TextIO

from safelight_worker import log_context

_STANDARD = frozenset(vars(logging.LogRecord("", 0, "", 0, "", None, None))) | {"message", "asctime", "taskName"}
#: Fields that hold no text of others.
_OURS = frozenset({"level", "time", "logger", "job", "attempt", "attempts"})

_LEVELS = {"WARNING": "warn", "CRITICAL": "fatal"}


class JsonLines(logging.Formatter):
    """One object a record: level, time, msg, logger, the attempt it concerns, and whatever was given as ``extra``."""

    def __init__(self, hide_prompts: bool = True) -> None:
        super().__init__()
        self._hide_prompts = hide_prompts

    def format(self, record: logging.LogRecord) -> str:
        extra = {name: value for name, value in vars(record).items() if name not in _STANDARD}
        attempt = extra.pop("attempt", None)
        fields = {
            "level": _LEVELS.get(record.levelname, record.levelname.lower()),
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z",
            "msg": record.getMessage(),
            "logger": record.name,
            **log_context.attempt_fields(attempt),
            **extra,
        }
        if record.exc_info:
            fields["traceback"] = self.formatException(record.exc_info)
        if self._hide_prompts:
            fields = {name: value if name in _OURS else _without_prompts(value) for name, value in fields.items()}
        return json.dumps(fields, default=str)


def _without_prompts(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(name): _without_prompts(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_prompts(each) for each in value]
    if value is None or isinstance(value, (bool, int, float)):
        return value
    return log_context.PROMPTS.hide(str(value))


class _Lines(io.TextIOBase):
    """Stands for stdout: what a library prints there becomes a record a line."""

    def __init__(self) -> None:
        self._rest = ""

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            if line.strip():
                logging.getLogger("stdout").info(line)
        return len(text)


def configure(level: str, hide_prompts: bool = True) -> None:
    """Sends all records, warnings of libraries and uncaught exceptions to stderr."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines(hide_prompts))
    names = {"trace": "DEBUG", "warn": "WARNING", "fatal": "CRITICAL", "silent": "CRITICAL"}
    logging.basicConfig(level=names.get(level, level.upper()), handlers=[handler], force=True)
    logging.captureWarnings(True)
    # Libraries talk much at info; their warnings are worth keeping.
    for name in ("diffusers", "transformers", "PIL", "grpc", "asyncio", "urllib3", "filelock"):
        logging.getLogger(name).setLevel(logging.WARNING)
    sys.excepthook = _log_uncaught
    threading.excepthook = lambda told: _log_uncaught(
        told.exc_type, told.exc_value or told.exc_type(), told.exc_traceback
    )


def claim_stdout() -> TextIO:
    """The real stdout, for the one line the orchestrator waits for; everybody else's prints become records."""
    real = os.fdopen(os.dup(1), "w")
    # What writes to the descriptor itself, below Python, must not be taken for that line either.
    os.dup2(2, 1)
    sys.stdout = _Lines()
    return real


def quiet_libraries() -> None:
    """Turns off progress bars and has the libraries' own loggers speak through ours. Imports them, which takes seconds."""
    import diffusers.utils.logging as diffusers_logging
    import huggingface_hub.utils as hub
    import transformers.utils.logging as transformers_logging

    hub.disable_progress_bars()
    for library in (diffusers_logging, transformers_logging):
        library.disable_progress_bar()
        library.disable_default_handler()
        library.enable_propagation()
    hear_libraries("warning")


def hear_libraries(level: Literal["warning", "error"]) -> None:
    """From which level on diffusers and transformers are heard."""
    import diffusers.utils.logging as diffusers_logging
    import transformers.utils.logging as transformers_logging

    for library in (diffusers_logging, transformers_logging):
        library.set_verbosity(logging.WARNING if level == "warning" else logging.ERROR)


def _log_uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        return
    logging.getLogger("uncaught").critical(str(error) or kind.__name__, exc_info=(kind, error, trace))
