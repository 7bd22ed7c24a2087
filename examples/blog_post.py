"""A pipeline in stages, each kept: an attempt after a crash goes on where it died.

Run it with `tandem up --handlers examples.blog_post:handlers`, then
`tandem task create --project examples --type blog_post --payload '{"topic": "Tea"}'`.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from tandem.handlers import Context, DoNotRetry, Handlers, RetryPolicy

handlers = Handlers()


@handlers.register(
    "blog_post",
    retry=RetryPolicy(max_attempts=3, initial_backoff=timedelta(seconds=2)),
    timeout=timedelta(minutes=5),
)
async def publish(ctx: Context) -> dict[str, Any]:
    topic = ctx.payload.get("topic")
    if not topic:
        raise DoNotRetry("the payload names no topic: another attempt would not either")
    draft = await ctx.stage("draft", write_draft, topic)
    await ctx.progress(0.5)
    page = await ctx.stage("render", render, topic, draft)
    return {"page": page}


async def write_draft(topic: str) -> str:
    return f"Everything there is to say about {topic}."


def render(topic: str, draft: str) -> str:
    return f"<h1>{topic}</h1><p>{draft}</p>"
