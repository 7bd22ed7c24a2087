"""What the author of handlers imports: the registry, the contexts, and how to ask for another time."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeAlias, TypeVar

from tandem import limits
from tandem.contexts import (
    AttemptStopped,
    BlockingContext,
    Context,
    DoNotRetry,
    RetryLater,
)

__all__ = [
    "AttemptStopped",
    "BlockingContext",
    "Context",
    "DoNotRetry",
    "Handler",
    "Handlers",
    "RetryLater",
    "RetryPolicy",
]

Result: TypeAlias = Mapping[str, Any] | None

# One of the two kinds, so that a checker sees a context of the other.
Function = TypeVar(
    "Function",
    bound=Callable[[Context], Awaitable[Result]] | Callable[[BlockingContext], Result],
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How failures of one type are repeated where the task's spec leaves it open.

    Raises:
        ValueError: a value lies outside the limits of the contract.
    """

    max_attempts: int | None = None
    """Tries in all, 1 to 100."""

    initial_backoff: timedelta | None = None
    """Before the second attempt; it doubles with each further one."""

    max_backoff: timedelta | None = None
    """At most 7 days."""

    def __post_init__(self) -> None:
        if self.max_attempts is not None and not (
            1 <= self.max_attempts <= limits.MAX_ATTEMPTS
        ):
            raise ValueError(f"max_attempts must be from 1 to {limits.MAX_ATTEMPTS}")
        for wait in (self.initial_backoff, self.max_backoff):
            if wait is not None and not timedelta(0) <= wait <= limits.MAX_BACKOFF:
                raise ValueError(f"a backoff must be from 0 to {limits.MAX_BACKOFF}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Handler:
    """The function for one task type, and what applies where a spec is silent."""

    type: str
    function: Callable[..., Any]
    is_async: bool
    retry: RetryPolicy
    timeout: timedelta | None
    concurrency: int | None = None


class Handlers:
    """The task types that a processor runs, and the function for each."""

    def __init__(self) -> None:
        self._handlers: dict[str, Handler] = {}

    def register(
        self,
        type: str,  # noqa: A002 - the contract's word
        *,
        retry: RetryPolicy | None = None,
        timeout: timedelta | None = None,
        concurrency: int | None = None,
    ) -> Callable[[Function], Function]:
        """A decorator: the function runs the tasks of this type.

        An `async def` gets a Context, a plain function a BlockingContext in a
        thread of its own. Either returns a JSON object or None. At most
        `concurrency` tasks of this type run at once in each processor, within
        its TANDEM_CONCURRENCY.

        Raises:
            ValueError: the type is no name, or has a function already, the
                timeout lies outside 0 to 7 days, or the concurrency is under 1.
        """
        if type in self._handlers:
            raise ValueError(f"the task type {type!r} has a handler already")
        _check(type, timeout, concurrency)

        def keep(function: Function) -> Function:
            self._handlers[type] = Handler(
                type=type,
                function=function,
                is_async=_is_async(function),
                retry=retry or RetryPolicy(),
                timeout=timeout,
                concurrency=concurrency,
            )
            return function

        return keep

    @property
    def types(self) -> list[str]:
        """The types registered, sorted."""
        return sorted(self._handlers)

    def __getitem__(self, type: str) -> Handler:  # noqa: A002 - the contract's word
        return self._handlers[type]

    def __iter__(self) -> Iterator[Handler]:
        return iter(self._handlers.values())

    def __len__(self) -> int:
        return len(self._handlers)


def _check(type_: str, timeout: timedelta | None, concurrency: int | None) -> None:
    if not limits.NAME.fullmatch(type_):
        raise ValueError(f"{type_!r} is no task type")
    if timeout is not None and not (
        timedelta(0) < timeout <= limits.MAX_ATTEMPT_TIMEOUT
    ):
        raise ValueError(f"a timeout must be up to {limits.MAX_ATTEMPT_TIMEOUT}")
    if concurrency is not None and concurrency < 1:
        raise ValueError("a concurrency must be at least 1")


def _is_async(function: Callable[..., Any]) -> bool:
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
        getattr(function, "__call__", None)  # noqa: B004 - an object whose call is async
    )
