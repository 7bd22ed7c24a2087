"""Where a running handler's words are checked, before they are written down."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar, cast

from tandem import limits
from tandem.contexts import AttemptStopped, Desk, Kept, Logger
from tandem.errors import LeaseLost
from tandem.pacing import PACE_SECONDS, PacedProgress
from tandem.results import Unstorable, check_size, encode

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class Begun:
    """A stage to be run, or one that an earlier attempt has kept."""

    result: str | None
    """JSON of the kept result; None where the step is to be run."""

    kept_bytes: int
    """Of all results kept so far for the task."""


class Book(Protocol):
    """Where checked words are written down, under the guard of the claim.

    Each method raises LeaseLost, and writes nothing, once the claim is not held.
    """

    async def begin_stage(self, name: str) -> Begun: ...
    async def end_stage(self, name: str, *, result: str | None) -> None:
        """Keep what the step returned, or with None that it failed."""

    async def set_progress(self, fraction: float) -> None: ...
    async def annotate(self, texts: str) -> None:
        """Add texts, as a JSON object, to those noted earlier.

        Raises ValueError, and adds none, where the task would have too many.
        """


class TaskDesk:
    """The desk of one attempt, on the loop that its book belongs to."""

    def __init__(
        self,
        book: Book,
        *,
        log: Logger,
        on_lost: Callable[[], None],
        pace: float = PACE_SECONDS,
    ) -> None:
        """Progress is written once in so many seconds of `pace` at most."""
        self._book = book
        self._log = log
        self._on_lost = on_lost
        self._closed = False
        self._draining = False
        self._begun: dict[str, float] = {}
        self._pace = pace
        self._progress: PacedProgress | None = None
        self.kept_bytes = 0

    def close(self) -> None:
        """From here on every word is met with AttemptStopped."""
        self._closed = True
        if self._progress is not None:
            self._progress.rest()

    def drain(self) -> None:
        """From here on a step that ends badly was cut off: it is left as running."""
        self._draining = True

    async def begin_stage(self, name: str) -> Kept | None:
        if not limits.NAME.fullmatch(name):
            raise ValueError(f"{name!r} is no name of a stage")
        if name in self._begun:
            raise ValueError(f"the stage {name!r} is running in this attempt")
        self._begun[name] = time.monotonic()
        begun = await self._write(self._book.begin_stage(name))
        # Beside a stage that ends meanwhile, what was read may be old.
        self.kept_bytes = max(self.kept_bytes, begun.kept_bytes)
        if begun.result is None:
            return None
        self._log_stage(name, "REUSED")
        return Kept(json.loads(begun.result))

    async def end_stage(self, name: str, result: Any) -> Any:
        try:
            text = self._encode(name, result)
        except Unstorable as error:
            await self.fail_stage(name, error)
            raise
        await self._write(self._book.end_stage(name, result=text))
        self._log_stage(name, "SUCCEEDED")
        return json.loads(text)

    def _encode(self, name: str, result: Any) -> str:
        what = f"the result of stage {name}"
        text = encode(result, what)
        check_size(what, text, kept_bytes=self.kept_bytes)
        # Counted before it is written: stages may end at the same time.
        self.kept_bytes += len(text.encode())
        return text

    async def fail_stage(self, name: str, error: BaseException) -> None:
        if self._draining:
            self._log_stage(name, "CUT_OFF", error=type(error).__name__)
            return
        await self._write(self._book.end_stage(name, result=None))
        self._log_stage(name, "FAILED", error=type(error).__name__)

    async def progress(self, fraction: float) -> None:
        if not 0 <= fraction <= 1:
            raise ValueError(f"progress is from 0 to 1, not {fraction!r}")
        if self._closed:
            raise AttemptStopped
        if self._progress is None:
            self._progress = PacedProgress(self._write_progress, pace=self._pace)
        await self._progress.say(float(fraction))

    async def settle(self) -> None:
        """Write what was said before the end, and is not written yet.

        Raises:
            AttemptStopped: the claim is not held.
        """
        if self._progress is not None:
            await self._progress.flush()

    async def annotate(self, texts: Mapping[str, str]) -> None:
        _check_annotations(texts)
        text = encode(dict(texts), "annotations")
        await self._write(self._book.annotate(text))

    async def _write_progress(self, fraction: float) -> None:
        await self._fenced(self._book.set_progress(fraction))

    async def _write(self, words: Coroutine[Any, Any, Answer]) -> Answer:
        if self._closed:
            words.close()
            raise AttemptStopped
        return await self._fenced(words)

    async def _fenced(self, words: Coroutine[Any, Any, Answer]) -> Answer:
        try:
            return await words
        except LeaseLost as error:
            self.close()
            self._on_lost()
            raise AttemptStopped from error

    def _log_stage(self, name: str, outcome: str, **values: str) -> None:
        seconds = time.monotonic() - self._begun.pop(name, time.monotonic())
        milliseconds = round(seconds * 1000, 3)
        self._log.info("stage", stage=name, outcome=outcome, ms=milliseconds, **values)


def too_many_annotations() -> ValueError:
    return ValueError(
        f"a task has at most {limits.MAX_ANNOTATIONS} annotations,"
        " those of earlier attempts among them"
    )


def _check_annotations(texts: Mapping[str, str]) -> None:
    if len(texts) > limits.MAX_ANNOTATIONS:
        raise too_many_annotations()
    for name, text in texts.items():
        if not limits.NAME.fullmatch(name):
            raise ValueError(f"{name!r} is no name of an annotation")
        if not isinstance(text, str):
            raise ValueError(f"the annotation {name} must be text")  # noqa: TRY004 - as the others
        if len(text) > limits.MAX_TEXT:
            raise ValueError(
                f"the annotation {name} must be at most {limits.MAX_TEXT} characters"
            )


class BridgedDesk:
    """The same desk for handlers on another loop: each word crosses over and back."""

    def __init__(self, desk: Desk, loop: asyncio.AbstractEventLoop) -> None:
        self._desk = desk
        self._loop = loop

    async def begin_stage(self, name: str) -> Kept | None:
        return await self._cross(self._desk.begin_stage(name))

    async def end_stage(self, name: str, result: Any) -> Any:
        return await self._cross(self._desk.end_stage(name, result))

    async def fail_stage(self, name: str, error: BaseException) -> None:
        await self._cross(self._desk.fail_stage(name, error))

    async def progress(self, fraction: float) -> None:
        await self._cross(self._desk.progress(fraction))

    async def annotate(self, texts: Mapping[str, str]) -> None:
        await self._cross(self._desk.annotate(texts))

    async def _cross(self, words: Coroutine[Any, Any, Answer]) -> Answer:
        future = asyncio.run_coroutine_threadsafe(_heard(words), self._loop)
        # A handler cancelled here has done its step: what it said is still written.
        heard = await asyncio.shield(asyncio.wrap_future(future))
        if heard.error is not None:
            raise heard.error
        return cast("Answer", heard.answer)


@dataclass(frozen=True, slots=True)
class _Heard(Generic[Answer]):
    """What became of a word: a handler cancelled meanwhile never asks for it.

    As the error of a future it would be one that nobody retrieved, which asyncio logs
    as a defect; also where the handlers' loop ends before its callbacks had their turn.
    """

    answer: Answer | None = None
    error: BaseException | None = None


async def _heard(words: Coroutine[Any, Any, Answer]) -> _Heard[Answer]:
    try:
        return _Heard(await words)
    except (Exception, AttemptStopped) as error:  # noqa: BLE001 - it belongs to whoever asks
        return _Heard(error=error)
