"""Log records as JSON lines on stderr, which the orchestrator passes on under their own level."""

from __future__ import annotations

import json
import logging
import sys
import time

_STANDARD = frozenset(vars(logging.LogRecord("", 0, "", 0, "", None, None))) | {"message", "asctime", "taskName"}
_LEVELS = {"WARNING": "warn", "CRITICAL": "fatal"}


class JsonLines(logging.Formatter):
    """One object a record: level, time, msg, logger, and whatever was given as ``extra``."""

    def format(self, record: logging.LogRecord) -> str:
        extra = {name: value for name, value in vars(record).items() if name not in _STANDARD}
        fields = {
            "level": _LEVELS.get(record.levelname, record.levelname.lower()),
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z",
            "msg": record.getMessage(),
            "logger": record.name,
            **extra,
        }
        if record.exc_info:
            fields["traceback"] = self.formatException(record.exc_info)
        return json.dumps(fields, default=str)


def configure(level: str) -> None:
    """Sends all records, and warnings of libraries, to stderr."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    names = {"trace": "DEBUG", "warn": "WARNING", "fatal": "CRITICAL", "silent": "CRITICAL"}
    logging.basicConfig(level=names.get(level, level.upper()), handlers=[handler], force=True)
    logging.captureWarnings(True)
    # Libraries talk much at info; their warnings are worth keeping.
    for name in ("diffusers", "transformers", "PIL", "grpc", "asyncio", "urllib3", "filelock"):
        logging.getLogger(name).setLevel(logging.WARNING)
