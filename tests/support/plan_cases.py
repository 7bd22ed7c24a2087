"""Each statement of the hot paths, with the indexes that it is to use at a million tasks."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import uuid4

from tandem import tasks
from tandem.pruning import expiry, strips, walk
from tandem.pruning import takes as pruned_takes
from tandem_creator.store import holders, places, stream
from tandem_creator.store import takes as creator_takes
from tandem_processor import (
    cancels,
    claims,
    crashes,
    listing,
    members,
    reports,
    retries,
    steps,
    watch,
)
from tests.support.million import MILLION, PROCESSOR, nth

OPEN: Final = [nth(n) for n in range(600_000, 600_100)]
RUNNING: Final = [nth(n) for n in range(500_001, 500_033)]
FINISHED: Final = [nth(n) for n in range(460_000, 460_100)]
FAILED: Final = nth(460_050)
STRIPPED: Final = [nth(n) for n in range(1_000, 1_100)]
UNKNOWN: Final = [uuid4() for _ in range(100)]

WEEK: Final = timedelta(days=7)
MINUTE: Final = timedelta(minutes=1)
SECOND: Final = timedelta(seconds=1)
BEGINNING: Final = datetime(2026, 1, 1, tzinfo=UTC)

HELD: Final = (RUNNING[0], 1, PROCESSOR)

REPORTED: Final = (
    PROCESSOR,
    RUNNING,
    [1] * 32,
    ["SUCCEEDED"] * 32,
    ["{}"] * 32,
    [None] * 32,
    [None] * 32,
    [timedelta(0)] * 32,
    [True] * 32,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A statement with typical arguments, and what it may cost."""

    sql: str
    args: tuple[Any, ...]
    indexes: frozenset[str]
    """Of the wide tables: each must be used, and no other."""

    blocks: int
    """The most that it may read."""


def case(sql: str, *args: Any, by: str, blocks: int) -> Case:
    return Case(sql=sql, args=args, indexes=frozenset(by.split()), blocks=blocks)


def listed(**chosen: Any) -> tuple[Any, ...]:
    """The conditions of a list of project p3, as listing.py orders them."""
    names = ("states", "types", "queues", "since", "until", "labels", "prefix")
    return ("p3", *(chosen.get(name) for name in names))


# The view's joins look for every task where its status and its outputs would be.
VIEW: Final = "tasks_pkey task_status_pkey task_outputs_pkey"
STREAM: Final = "task_status_position"
BOTH: Final = "tasks_pkey task_status_pkey"

CREATOR: Final = {
    "winners by request id": case(
        holders.FIND_BY_REQUEST_ID, ["p3"] * 100, UNKNOWN,
        by="tasks_request_id", blocks=600,
    ),
    "winners by external id": case(
        holders.FIND_BY_EXTERNAL_ID, ["p3"] * 100, [f"wf-{n}" for n in range(100)],
        by="tasks_external_id", blocks=600,
    ),
    "winners as they are": case(
        tasks.READ_TASKS, FINISHED, True, by=VIEW, blocks=1500
    ),
    "stages of winners": case(
        tasks.READ_STAGES, FINISHED, True, by="task_stages_pkey", blocks=600
    ),
    "news of a group": case(
        places.READ_NEWS, "processors", ["default", "slow"], MILLION, True, timedelta(seconds=5),
        by=STREAM, blocks=200,
    ),
    "a take": case(
        places.TAKE, "processors", 1, MILLION, 100, places.WINDOW, ["echo"], True, "me",
        None, by=f"{STREAM} tasks_pkey", blocks=8000,
    ),
    "a take that nobody answers for": case(
        creator_takes.RETAKE, "processors", "me", ["default"], ["echo"], MINUTE, [], True,
        None, by=f"{STREAM} tasks_pkey", blocks=2000,
    ),
    "projects ahead of a take": case(
        places.READ_PROJECTS_AHEAD, "processors", 1, MILLION, places.WINDOW,
        by=f"{STREAM} tasks_pkey", blocks=8000,
    ),
    "projects of takes that nobody answers for": case(
        creator_takes.READ_LOST_PROJECTS, "processors", MINUTE,
        by=f"{STREAM} tasks_pkey", blocks=8000,
    ),
    "a page of the stream": case(
        stream.READ_STREAM, 600_000, MILLION, 1000, None, by=STREAM, blocks=9000
    ),
    "its last page": case(
        stream.READ_STREAM, MILLION - 10, MILLION, 1000, ["default"], by=STREAM, blocks=300
    ),
    "projects of a page": case(
        stream.READ_PROJECTS, OPEN, by="tasks_pkey", blocks=600
    ),
}  # fmt: skip

PROCESSOR_CASES: Final = {
    "a claim": case(
        claims.CLAIM, PROCESSOR, OPEN, ["echo", "mail"], 32, False,
        by=BOTH, blocks=3000,
    ),
    "why ids were not claimed": case(
        claims.READ_UNCLAIMED, [*OPEN, *UNKNOWN], by="task_status_pkey", blocks=1000
    ),
    "due work": case(
        claims.READ_DUE, ["default"], ["echo", "mail"], False, 32, SECOND, True,
        by="task_status_due tasks_pkey", blocks=1500,
    ),
    "a report": case(
        reports.REPORT, *REPORTED,
        by="task_status_pkey", blocks=2000,
    ),
    "what was reported": case(
        reports.READ_REPORTED, FINISHED,
        by="task_status_pkey task_outputs_pkey", blocks=1000,
    ),
    "what is held": case(members.READ_HELD, PROCESSOR, by=BOTH, blocks=600),
    "finished claim batches": case(
        members.DROP_FINISHED_BATCHES, PROCESSOR, by="task_status_pkey", blocks=300
    ),
    "tasks of a dead processor": case(
        crashes.RETURN_TASKS, PROCESSOR, ["echo"], [5], 3, 5, by=BOTH, blocks=2000
    ),
    "a stage begun": case(
        steps.BEGIN_STAGE, *HELD, "write",
        by="task_status_pkey task_stages_pkey", blocks=100,
    ),
    "a stage ended": case(
        steps.END_STAGE, *HELD, "draft", "SUCCEEDED", "1",
        by="task_status_pkey task_stages_pkey", blocks=100,
    ),
    "a cancel": case(
        cancels.CANCEL, OPEN[0], None, "enough", by="task_status_pkey", blocks=100
    ),
    "a retry": case(
        retries.RETRY, FAILED, 1, by="task_status_pkey tasks_pkey", blocks=100
    ),
    "progress": case(
        steps.SET_PROGRESS, *HELD, 0.5, by="task_status_pkey", blocks=60
    ),
    "a note": case(steps.ANNOTATE, *HELD, "{}", 16, by="task_status_pkey", blocks=100),
    "tasks by id": case(tasks.READ_TASKS, FINISHED, False, by=VIEW, blocks=1500),
    "watched tasks": case(
        watch.READ_MARKS, OPEN, by="task_status_pkey", blocks=600
    ),
}  # fmt: skip

# By what is chosen of the project's hundred thousand.
LISTS: Final = {
    "the first page": case(
        listing.LIST_TASKS, *listed(), None, None, 51, by="tasks_newest", blocks=100
    ),
    "a later page": case(
        listing.LIST_TASKS, *listed(), datetime.now(UTC) - 2 * WEEK, nth(5), 51,
        by="tasks_newest", blocks=100,
    ),
    "a time": case(
        listing.LIST_TASKS, *listed(since=BEGINNING, until=datetime.now(UTC) - WEEK),
        None, None, 51, by="tasks_newest", blocks=100,
    ),
    "a state": case(
        listing.LIST_TASKS, *listed(states=["PENDING"]), None, None, 51,
        by="tasks_newest task_status_pkey", blocks=1000,
    ),
    "types and queues": case(
        listing.LIST_TASKS, *listed(types=["echo"], queues=["default"]), None, None, 51,
        by="tasks_newest", blocks=500,
    ),
    "a label": case(
        listing.LIST_TASKS, *listed(labels='{"user": "2600"}'), None, None, 51,
        by="tasks_labels", blocks=100,
    ),
    "a prefix of external ids": case(
        listing.LIST_TASKS, *listed(prefix="wf-20000:"), None, None, 51,
        by="tasks_external_id", blocks=100,
    ),
    "a total": case(
        listing.COUNT_TASKS, *listed(), 10_001, by="tasks_newest", blocks=1000
    ),
}  # fmt: skip

JANITOR: Final = {
    "a step of a walk": case(
        walk.WALK, 1, 0, MILLION, 1000, WEEK, by=f"{STREAM} tasks_pkey", blocks=3000
    ),
    "how far lanes may be stripped": case(
        walk.READ_LANES, MILLION, "processors", WEEK, by=f"{STREAM} tasks_pkey", blocks=300
    ),
    "a strip": case(
        strips.STRIP, FINISHED, WEEK,
        by=f"{BOTH} task_stages_pkey task_outputs_pkey", blocks=12_000,
    ),
    "tombstones": case(
        expiry.FIND_EXPIRED, WEEK, 1000, *expiry.BEGINNING,
        by="tasks_stripped", blocks=3000,
    ),
    "a deletion": case(
        expiry.DELETE_TASKS, STRIPPED, WEEK, by="tasks_pkey", blocks=2000
    ),
    "takes of which nothing is open": case(
        pruned_takes.FIND_TAKES, "processors", -MINUTE, 100, 0,
        by=f"{STREAM} tasks_pkey", blocks=9000,
    ),
}  # fmt: skip
