"""What a handler holds while it runs: its task, its kept steps, its voice."""

from __future__ import annotations

import asyncio
import inspect
import json
import threading
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import Any, Final, ParamSpec, Protocol, TypeVar

from tandem import spans
from tandem.outcomes import Claimed
from tandem.threads import in_thread
from tandem.traceparents import current_traceparent

Answer = TypeVar("Answer")
Given = ParamSpec("Given")

REUSED: Final = "tandem.stage.reused"
"""On a stage's span: what an earlier attempt kept was taken, and the step not run."""


class RetryLater(Exception):
    """The attempt failed, and the next one is to begin after this long.

    It counts as an attempt: when they are spent, the task is FAILED.
    """

    def __init__(self, after: timedelta, message: str = "") -> None:
        super().__init__(message or f"asked to be tried again after {after}")
        self.after = after


class DoNotRetry(Exception):
    """Another attempt would fail as well: the task is FAILED at once."""


class AttemptStopped(BaseException):
    """The attempt is over, whatever the handler does from here on.

    A handler of the blocking kind meets it in its next `stage`, `progress` or
    `annotate`; an async one is cancelled. Not an Exception, so that a broad
    `except` of the handler does not swallow it.
    """


class Logger(Protocol):
    """The part of a structlog logger that handlers use. Its lines carry the ids."""

    def debug(self, event: str, **values: Any) -> Any: ...
    def info(self, event: str, **values: Any) -> Any: ...
    def warning(self, event: str, **values: Any) -> Any: ...
    def error(self, event: str, **values: Any) -> Any: ...


@dataclass(frozen=True, slots=True)
class Kept:
    """What an earlier attempt's step returned."""

    result: Any


class Desk(Protocol):
    """Where the context's words are written down; the processor provides it.

    Each method raises AttemptStopped once the claim is no longer held.
    """

    async def begin_stage(self, name: str) -> Kept | None: ...
    async def end_stage(self, name: str, result: Any) -> Any:
        """Answers the result as later attempts will see it."""

    async def fail_stage(self, name: str, error: BaseException) -> None: ...
    async def progress(self, fraction: float) -> None: ...
    async def annotate(self, texts: Mapping[str, str]) -> None: ...


@dataclass(frozen=True, kw_only=True)
class _Facts:
    # Facts are read from it when they are asked for: few handlers need them all.
    _claimed: Claimed
    log: Logger
    desk: Desk

    @property
    def task_id(self) -> str:
        return str(self._claimed.task_id)

    @property
    def request_id(self) -> str:
        return str(self._claimed.request_id)

    @property
    def project(self) -> str:
        return self._claimed.project

    @property
    def type(self) -> str:
        return self._claimed.type

    @property
    def attempt(self) -> int:
        """1 for the first."""
        return self._claimed.attempt

    @property
    def claim(self) -> int:
        return self._claimed.claim

    @property
    def title(self) -> str:
        """Empty if the caller gave none."""
        return self._claimed.title or ""

    @property
    def external_id(self) -> str:
        """Empty if the caller gave none."""
        return self._claimed.external_id or ""

    @cached_property
    def payload(self) -> dict[str, Any]:
        """As the caller gave it; empty if it gave none."""
        payload: dict[str, Any] = json.loads(self._claimed.payload or "{}")
        return payload

    @cached_property
    def labels(self) -> Mapping[str, str]:
        """As the caller gave them."""
        labels: dict[str, str] = json.loads(self._claimed.labels or "{}")
        return labels

    @property
    def idempotency_key(self) -> str:
        """The same in every attempt: for the other systems that the handler calls."""
        return self.task_id

    @property
    def traceparent(self) -> str:
        """For the other systems that the handler calls: the place in the caller's trace.

        It is of the stage or the attempt that runs here where traces are exported,
        else of the call that created the task, and empty if that sent none.
        """
        return current_traceparent() or self._claimed.trace_context or ""


@dataclass(frozen=True, kw_only=True)
class Context(_Facts):
    """What an async handler gets."""

    @cached_property
    def cancelled(self) -> asyncio.Event:
        """Set just before the handler is cancelled."""
        return asyncio.Event()

    async def stage(
        self,
        name: str,
        function: Callable[Given, Any],
        /,
        *args: Given.args,
        **kwargs: Given.kwargs,
    ) -> Any:
        """Run the step once in the life of the task, and keep its JSON result.

        A later attempt gets the kept result, and the step is not run again. A
        plain function runs in a thread. Names are as those of projects; results
        and the handler's own result are at most 256 KiB together.
        """
        with spans.stage(name) as span:
            kept = await self.desk.begin_stage(name)
            span.note({REUSED: kept is not None})
            if kept is not None:
                return kept.result
            try:
                result = await _run(function, *args, **kwargs)
            except BaseException as error:
                await asyncio.shield(self.desk.fail_stage(name, error))
                raise
            return await self.desk.end_stage(name, result)

    async def progress(self, fraction: float) -> None:
        """Say how far the attempt is, 0 to 1. Quick ones may be merged."""
        await self.desk.progress(fraction)

    async def annotate(self, **texts: str) -> None:
        """Add texts to the status: a provider's id, say.

        At most 16 in the task's life, of 255 characters each, under names in the
        form of a project's; a name that is there gets the new text.

        Raises:
            ValueError: a limit is broken; nothing was added.
        """
        await self.desk.annotate(texts)


@dataclass(frozen=True, kw_only=True)
class BlockingContext(_Facts):
    """What a plain handler gets, in its thread. Each method blocks."""

    cancelled: threading.Event
    """Set when the attempt is to stop; a long handler looks at it."""

    loop: asyncio.AbstractEventLoop

    def stage(
        self,
        name: str,
        function: Callable[Given, Any],
        /,
        *args: Given.args,
        **kwargs: Given.kwargs,
    ) -> Any:
        """As Context.stage, in this thread."""
        with spans.stage(name) as span:
            kept = self._wait(self.desk.begin_stage(name))
            span.note({REUSED: kept is not None})
            if kept is not None:
                return kept.result
            try:
                result = function(*args, **kwargs)
            except BaseException as error:
                self._wait(self.desk.fail_stage(name, error))
                raise
            return self._wait(self.desk.end_stage(name, result))

    def progress(self, fraction: float) -> None:
        """Say how far the attempt is, 0 to 1. Quick ones may be merged."""
        self._wait(self.desk.progress(fraction))

    def annotate(self, **texts: str) -> None:
        """Add texts to the status: a provider's id, say.

        At most 16 in the task's life, of 255 characters each, under names in the
        form of a project's; a name that is there gets the new text.

        Raises:
            ValueError: a limit is broken; nothing was added.
        """
        self._wait(self.desk.annotate(texts))

    def _wait(self, words: Coroutine[Any, Any, Answer]) -> Answer:
        return asyncio.run_coroutine_threadsafe(words, self.loop).result()


async def _run(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    if inspect.iscoroutinefunction(function):
        return await function(*args, **kwargs)
    result = await asyncio.wrap_future(in_thread(function, *args, **kwargs))
    # A partial or a lambda around an async function.
    return await result if inspect.isawaitable(result) else result
