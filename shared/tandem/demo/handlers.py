"""What `tandem up` runs where nobody names handlers: blog posts, and small things.

Run them with `tandem processor --handlers tandem.demo.handlers:handlers`.
"""

from __future__ import annotations

from typing import Any

from tandem.demo.blog_post import handlers
from tandem.demo.verify import verify
from tandem.handlers import Context

__all__ = ["handlers"]


@handlers.register("echo")
async def echo(ctx: Context) -> dict[str, Any]:
    """Answer the payload, to see a task go all the way."""
    return ctx.payload


@handlers.register("social_media")
@handlers.register("email")
@handlers.register("newsletter")
async def announce(ctx: Context) -> dict[str, Any]:
    """Write a line about the payload's topic, as its tone asks."""
    await ctx.stage("verify", verify, ctx.task_id)
    return {"text": await ctx.stage("draft", draft_announcement, ctx.type, ctx.payload)}


def draft_announcement(kind: str, payload: dict[str, Any]) -> str:
    topic = str(payload.get("topic") or "nothing in particular")
    tone = str(payload.get("tone") or "plain")
    return f"{kind.replace('_', ' ').capitalize()}, {tone}: {topic}"
