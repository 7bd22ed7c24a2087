"""What the processors of the incident tests run: content, videos, conversations."""

from __future__ import annotations

import os
from datetime import timedelta
from typing import Any, Final

import asyncpg

from tandem.demo.verify import verify
from tandem.handlers import Context, Handlers, RetryPolicy
from tests.support.gates import wait_at

CONTENT_TYPES: Final = ("blog_post", "social_media", "email", "newsletter")

STAGES: Final = ("verify", "generate", "critique", "refine", "format", "publish")

INSERT_TASK: Final = """
INSERT INTO tandem.tasks (task_id, project, request_id, type, queue, priority, defaulted)
VALUES (gen_random_uuid(), $1, gen_random_uuid(), 'create_project', 'default', 3, 0)
"""

handlers = Handlers()

QUICK: Final = RetryPolicy(
    initial_backoff=timedelta(milliseconds=50),
    max_backoff=timedelta(milliseconds=200),
    # Look-ups fail until a test heals the path.
    max_attempts=50,
)


async def write_content(ctx: Context) -> dict[str, Any]:
    """The report's six stages. The first verifies the task, and inserts nothing."""
    wanted = ctx.payload
    looked_for = wanted.get("verify_task_id", ctx.task_id)
    await ctx.stage("verify", verify, looked_for)
    text = await ctx.stage("generate", generate, wanted)
    notes = await ctx.stage("critique", critique, text, wanted)
    text = await ctx.stage("refine", refine, text, notes)
    page = await ctx.stage("format", format_page, text, wanted["topic"])
    address = await ctx.stage("publish", publish, ctx.idempotency_key)
    ctx.log.info("published", address=address)
    return {"type": ctx.type, "address": address, "page": page}


for content_type in CONTENT_TYPES:
    handlers.register(content_type, retry=QUICK)(write_content)


def generate(wanted: dict[str, Any]) -> str:
    return f"A {wanted['tone']} and {wanted['style']} text on {wanted['topic']}."


def critique(text: str, wanted: dict[str, Any]) -> list[str]:
    missing = wanted["target_length"] - len(text.split())
    return [f"{missing} words short"] if missing > 0 else []


def refine(text: str, notes: list[str]) -> str:
    return " ".join([text, *(f"({note})" for note in notes)])


def format_page(text: str, topic: str) -> str:
    return f"<h1>{topic}</h1><p>{text}</p>"


def publish(key: str) -> str:
    return f"/posts/{key}"


@handlers.register("animate-move", retry=RetryPolicy(max_attempts=1))
async def animate(ctx: Context) -> dict[str, Any]:
    """A video that is half done when it reaches the test's gate."""
    await ctx.progress(0.5)
    await wait_at(ctx.payload["gate"])
    if ctx.payload["mode"] != "wan-std":
        raise ValueError(f"the provider has no mode {ctx.payload['mode']}")
    return {"result_url": f"https://videos.example/{ctx.task_id}.mp4"}


@handlers.register("conversation")
def analyse(ctx: Any) -> dict[str, Any]:
    return {"words": len(ctx.payload.get("transcript", "").split())}


@handlers.register("create_project")
async def insert_a_project(ctx: Context) -> dict[str, Any]:
    """The worker that makes its project itself: what does the database answer?"""
    connection = await asyncpg.connect(os.environ["TANDEM_DATABASE_URL"])
    try:
        await connection.execute(INSERT_TASK, ctx.project)
    except asyncpg.PostgresError as error:
        return {"sqlstate": error.sqlstate, "message": str(error)}
    finally:
        await connection.close()
    return {"sqlstate": "00000", "message": "inserted"}
