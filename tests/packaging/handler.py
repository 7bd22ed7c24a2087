"""What a stranger writes against the base install: handlers, and a test of them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from tandem.handlers import (
    BlockingContext,
    Context,
    DoNotRetry,
    Handlers,
    RetryLater,
    RetryPolicy,
)
from tandem.testing import HandlerTest, Stop, kept

handlers = Handlers()


@handlers.register("letter", retry=RetryPolicy(max_attempts=3))
async def write_letter(ctx: Context) -> dict[str, Any]:
    letter = await ctx.stage("write", write, ctx.payload["to"], words=200)
    await ctx.progress(0.5)
    await ctx.annotate(printer="p-7")
    return {"letter": letter}


@handlers.register("parcel", timeout=timedelta(minutes=1))
def send_parcel(ctx: BlockingContext) -> None:
    if "to" not in ctx.payload:
        raise DoNotRetry("a parcel goes to somebody")
    if ctx.stage("weigh", len, ctx.payload["to"]) > 20:
        raise RetryLater(timedelta(hours=1), "too heavy for today")
    ctx.log.info("sent", to=ctx.payload["to"])


async def write(name: str, *, words: int) -> str:
    return f"Dear {name}, in {words} words"


def main() -> None:
    test = HandlerTest(handlers, "letter", {"to": "Ada"}, title="a letter")
    died = test.run(Stop.CRASH, at=kept("write"))
    print(died.state, test.run().state, test.stages["write"].attempt)  # noqa: T201


if __name__ == "__main__":
    main()
