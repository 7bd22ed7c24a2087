"""Handlers whose traces are looked at."""

from __future__ import annotations

from typing import Any, Final

from tandem.handlers import BlockingContext, Context, Handlers

handlers = Handlers()

SECRET: Final = "of-nobody-else's-concern"
"""What no trace may show."""

STAGES: Final = ("one", "two", "three", "four", "five", "six")


@handlers.register("six-stages")
async def six_stages(ctx: Context) -> dict[str, Any]:
    """The fourth fails in the first attempt. Answers each stage's place in the trace."""

    def place() -> dict[str, str]:
        return {"place": ctx.traceparent, "payload": ctx.payload["secret"]}

    async def fourth() -> dict[str, str]:
        if ctx.attempt == 1:
            raise RuntimeError(f"failed, {SECRET}")
        return place()

    places = {name: await ctx.stage(name, place) for name in STAGES[:3]}
    places["four"] = await ctx.stage("four", fourth)
    places |= {name: await ctx.stage(name, place) for name in STAGES[4:]}
    return {"places": places, "attempt": ctx.traceparent}


@handlers.register("with-own-spans")
async def with_own_spans(ctx: Context) -> dict[str, Any]:
    """Uses OpenTelemetry itself, in its own code and in a thread."""
    from opentelemetry import trace  # noqa: PLC0415 - not where the extra is absent

    tracer = trace.get_tracer("of the handler")

    def in_thread() -> None:
        with tracer.start_as_current_span("own, in a thread"):
            pass

    with tracer.start_as_current_span("own"):
        await ctx.stage("threaded", in_thread)
    return {}


@handlers.register("plain")
def plain(ctx: BlockingContext) -> dict[str, Any]:
    """Of the blocking kind."""
    return {"stage": ctx.stage("only", lambda: ctx.traceparent), "own": ctx.traceparent}
