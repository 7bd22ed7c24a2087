"""Two releases of one set of handlers, as they stand side by side in a redeploy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tandem.handlers import Context, Handlers
from tests.support.gates import wait_at

old, new = Handlers(), Handlers()


async def write_page(ctx: Context, release: str) -> dict[str, Any]:
    """Notes its end in the test's file: a line for each time that it came so far."""
    drafted_by = await ctx.stage("draft", lambda: release)
    if gate := ctx.payload.get("gate"):
        await wait_at(gate)
    note_end(ctx)
    return {"drafted_by": drafted_by, "published_by": release}


def note_end(ctx: Context) -> None:
    with Path(ctx.payload["ends"]).open("a") as ends:
        ends.write(f"{ctx.task_id}\n")


@old.register("blog_post")
async def write_old_page(ctx: Context) -> dict[str, Any]:
    return await write_page(ctx, "old")


@new.register("blog_post")
@new.register("newsletter")
async def write_new_page(ctx: Context) -> dict[str, Any]:
    return await write_page(ctx, "new")
