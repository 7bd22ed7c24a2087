"""What the database and the output folder say: one task and one page per article."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import asyncpg

from tandem.demo.articles import Article
from tandem.demo.pages import TASK_META
from tandem.demo.tally import Tally

NAMED_TASK: Final = re.compile(rf'<meta name="{TASK_META}" content="([^"]*)">')

READ_TASKS: Final = """
SELECT
    v.task_id::text AS task_id,
    v.payload ->> 'path' AS path,
    v.state::text AS state,
    v.errors -> 0 ->> 'message' AS error
FROM tandem.task_view AS v
WHERE v.project = $1
"""

COUNT_WORK: Final = """
SELECT
    (SELECT count(*) FROM tandem.task_view AS v WHERE v.project = $1) AS tasks,
    (SELECT coalesce(sum(v.attempt), 0) FROM tandem.task_view AS v WHERE v.project = $1) AS attempts,
    count(*) AS stages,
    count(*) FILTER (WHERE g.attempt < s.attempt) AS reused
FROM tandem.tasks AS t
JOIN tandem.task_status AS s ON s.task_id = t.task_id
JOIN tandem.task_stages AS g ON g.task_id = t.task_id
WHERE t.project = $1
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One task of the run, as the database has it."""

    task_id: str
    path: str | None
    state: str
    error: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What was done, counted by the database."""

    tasks: int
    attempts: int
    stages: int
    reused: int
    """Stages whose result an earlier attempt left behind."""


async def count_work(pool: asyncpg.Pool, project: str) -> Work:
    (row,) = await pool.fetch(COUNT_WORK, project)
    return Work(**dict(row))


async def violations(
    pool: asyncpg.Pool,
    project: str,
    *,
    articles: Sequence[Article],
    tally: Tally,
    output: Path,
) -> list[str]:
    """One line for each way in which the promise is not kept. Empty: it is kept."""
    rows = [Row(**dict(row)) for row in await pool.fetch(READ_TASKS, project)]
    by_path: dict[str | None, list[Row]] = defaultdict(list)
    for row in rows:
        by_path[row.path].append(row)
    found = [*tally.faults]
    for article in articles:
        tasks = by_path.pop(article.path, [])
        found += _task_faults(article, tasks, tally.task_ids[article.path])
        found += _page_faults(article, tasks, output)
    found += [f"{path}: a task that nobody asked for" for path in by_path]
    return [*found, *_stray_pages(articles, output)]


def _task_faults(
    article: Article, tasks: Sequence[Row], answered: set[str]
) -> Iterator[str]:
    if len(tasks) != 1:
        yield f"{article.path}: has {len(tasks)} tasks, and must have one"
    for task in tasks:
        if task.state != "SUCCEEDED":
            why = f": {task.error}" if task.error else ""
            yield f"{article.path}: its task is {task.state}{why}"
    if answered != {task.task_id for task in tasks}:
        yield f"{article.path}: its callers were answered with {len(answered)} tasks"


def _page_faults(article: Article, tasks: Sequence[Row], output: Path) -> Iterator[str]:
    page = output / article.page
    if not page.is_file():
        yield f"{article.path}: has no page"
        return
    named = NAMED_TASK.findall(page.read_text(encoding="utf-8"))
    if named != [task.task_id for task in tasks]:
        yield f"{article.path}: its page was not published by its task"


def _stray_pages(articles: Sequence[Article], output: Path) -> Iterator[str]:
    known = {output / article.page for article in articles}
    for page in (output / "pages").rglob("*.html"):
        if page not in known and not page.name.startswith("."):
            yield f"{page.relative_to(output)}: a page of no article"
