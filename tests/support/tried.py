"""Handlers for tests of the kit: a mail in two stages, of either kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

from tandem.handlers import BlockingContext, Context, Handlers, RetryPolicy
from tandem.testing import HandlerTest


class Mail:
    """Drafts and sends. It notes when a step begins and when it ends."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.handlers = Handlers()
        self.calls: list[str] = []
        self.ends: list[str] = []
        self.meanwhile: Callable[[], None] = lambda: None
        handle = self._handle if kind == "async" else self._handle_blocking
        self.handlers.register("mail")(handle)

    async def _handle(self, ctx: Context) -> dict[str, Any]:
        letter = await ctx.stage("draft", self._draft, ctx.payload["to"])
        await ctx.progress(0.5)
        receipt = await ctx.stage("send", self._send, letter)
        await ctx.annotate(provider_id="remote-1")
        ctx.log.info("sent", to=ctx.payload["to"])
        return {"receipt": receipt, "title": ctx.title}

    def _handle_blocking(self, ctx: BlockingContext) -> dict[str, Any]:
        letter = ctx.stage("draft", self._draft, ctx.payload["to"])
        ctx.progress(0.5)
        receipt = ctx.stage("send", self._send, letter)
        ctx.annotate(provider_id="remote-1")
        ctx.log.info("sent", to=ctx.payload["to"])
        return {"receipt": receipt, "title": ctx.title}

    def _draft(self, name: str) -> str:
        self._work("draft")
        return f"Dear {name}"

    def _send(self, letter: str) -> str:
        self._work("send")
        return f"sent to {letter.removeprefix('Dear ')}"

    def _work(self, step: str) -> None:
        self.calls.append(step)
        self.meanwhile()
        self.ends.append(step)


def tried(
    function: Callable[..., Any],
    payload: Mapping[str, Any] | None = None,
    *,
    retry: RetryPolicy | None = None,
    timeout: timedelta | None = None,
    **options: Any,
) -> HandlerTest:
    """A test of this function alone."""
    handlers = Handlers()
    handlers.register("tried", retry=retry, timeout=timeout)(function)
    return HandlerTest(handlers, "tried", payload, **options)


def raising(error: Exception) -> Callable[[BlockingContext], None]:
    def fail(ctx: BlockingContext) -> None:
        raise error

    return fail
