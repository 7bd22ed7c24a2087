"""A handler of one type, and tasks that are due at once."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from tandem.handlers import (
    Context,
    Handlers,
    RetryPolicy,
)

SOON = timedelta(milliseconds=1)
AT_ONCE = RetryPolicy(initial_backoff=SOON, max_backoff=SOON)


def only(type_: str = "echo", **options: Any) -> tuple[Handlers, Callable[..., Any]]:
    handlers = Handlers()
    return handlers, handlers.register(type_, **options)


def quick() -> Handlers:
    """The handler returns at once."""
    handlers, register = only()

    @register
    async def echo(ctx: Context) -> None: ...

    return handlers


async def answer(value: Any) -> Any:
    return value
