"""What a log line is about: the attempts that are worked on, and the prompts it is not to show."""

from __future__ import annotations

import re
import threading
import weakref
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

#: What stands where a prompt stood.
HIDDEN = "[prompt hidden]"

#: Shorter ones tell nothing, and hiding them would spoil lines that only happen to hold the word.
_SHORTEST_HIDDEN = 4

#: What diffusers says of a prompt that is too long; behind it stand the words that were cut off, re-coded by the tokenizer.
_CUT_OFF = re.compile(r"(truncated because [^:]*: ).*", re.DOTALL)

_attempts: ContextVar[tuple[str, ...]] = ContextVar("attempts", default=())


@contextmanager
def concerning(*attempt_ids: str) -> Iterator[None]:
    """Lines of this thread are about these attempts meanwhile, whoever writes them."""
    before = _attempts.set(tuple(dict.fromkeys(attempt_ids)))
    try:
        yield
    finally:
        _attempts.reset(before)


def concerned(attempt_id: str, work: Callable[P, T]) -> Callable[P, T]:
    """The same for something another thread does."""

    def carry_out(*args: P.args, **kwargs: P.kwargs) -> T:
        with concerning(attempt_id):
            return work(*args, **kwargs)

    return carry_out


def attempt_fields(attempt_id: str | None) -> dict[str, Any]:
    """``job`` and ``attempt`` of a line: of the attempt it names, else of those that are worked on."""
    ids = _attempts.get() if attempt_id is None else (attempt_id,)
    if len(ids) > 1:
        return {"attempts": list(ids)}
    return _split(ids[0]) if ids else {}


def _split(attempt_id: str) -> dict[str, Any]:
    job, _, number = attempt_id.rpartition("/")
    return {"job": job, "attempt": int(number)} if job and number.isdecimal() else {"attempt": attempt_id}


class Prompts:
    """Prompts of the attempts there are. Any thread."""

    def __init__(self) -> None:
        self._held: Counter[str] = Counter()
        # A thread that holds it may log, and a collected owner may end inside of that.
        self._lock = threading.RLock()
        self._pattern: re.Pattern[str] | None = None

    def hold(self, owner: object, *texts: str) -> None:
        """Until the owner is gone, however that comes."""
        forms = [form for text in texts for form in _forms(text)]
        self._change(forms, 1)
        weakref.finalize(owner, self._change, forms, -1).atexit = False

    def hide(self, text: str) -> str:
        """The text without them."""
        with self._lock:
            pattern = self._pattern
        shown = text if pattern is None else pattern.sub(HIDDEN, text)
        return _CUT_OFF.sub(rf"\1{HIDDEN}", shown)

    def _change(self, forms: list[str], by: int) -> None:
        with self._lock:
            for form in forms:
                self._held[form] += by
            self._held = +self._held
            # The longest first: one may be part of another.
            words = "|".join(re.escape(form) for form in sorted(self._held, key=len, reverse=True))
            self._pattern = re.compile(rf"(?<!\w)(?:{words})(?!\w)", re.IGNORECASE) if words else None


def _forms(text: str) -> list[str]:
    """Whole, as Python quotes it, and line by line: messages often show the first line alone."""
    forms = {form.strip() for form in (text, repr(text)[1:-1], *text.splitlines())}
    return [form for form in forms if len(form) >= _SHORTEST_HIDDEN]


#: Those of this process.
PROMPTS = Prompts()
