"""The kit for handlers' tests: each situation, for handlers of both kinds."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from tandem import limits
from tandem.errors import InvalidRequest
from tandem.handlers import (
    BlockingContext,
    Context,
    DoNotRetry,
    Handlers,
    RetryLater,
    RetryPolicy,
)
from tandem.testing import (
    HandlerTest,
    Line,
    Reason,
    StillRunning,
    TaskState,
)
from tests.support.tried import Mail, raising, tried

MINUTE = timedelta(minutes=1)

HUGE = "x" * (limits.MAX_OUTPUT_BYTES + 1)


@pytest.fixture(params=["async", "plain"])
def mail(request: pytest.FixtureRequest) -> Mail:
    return Mail(request.param)


def test_a_handler_is_run_and_all_that_it_said_is_there(mail: Mail) -> None:
    test = HandlerTest(mail.handlers, "mail", {"to": "Ada"}, title="a title")

    ended = test.run()

    assert ended.value() == {"receipt": "sent to Ada", "title": "a title"}
    assert (ended.state, ended.attempt, ended.reason) == (TaskState.SUCCEEDED, 1, None)
    assert {name: s.result for name, s in test.stages.items()} == {
        "draft": "Dear Ada",
        "send": "sent to Ada",
    }
    assert test.annotations == {"provider_id": "remote-1"}
    assert test.progress == 1
    assert test.lines == (Line("info", "sent", {"to": "Ada"}),)


async def test_a_handler_is_run_inside_a_running_loop_as_well(mail: Mail) -> None:
    assert HandlerTest(mail.handlers, "mail", {"to": "Ada"}).run().value()
    assert (await HandlerTest(mail.handlers, "mail", {"to": "Ada"}).run_async()).value()


async def test_an_async_handler_may_share_the_loop_of_its_test() -> None:
    here = asyncio.get_running_loop()

    async def look(ctx: Context) -> dict[str, Any]:
        return {"shared": asyncio.get_running_loop() is here}

    test, again = tried(look), tried(look)

    assert (await test.run_async()).value() == {"shared": True}
    assert again.run().value() == {"shared": False}


def test_a_task_whose_attempts_are_spent_has_one_more_when_it_is_retried() -> None:
    test = tried(raising(RuntimeError("boom")), max_attempts=1)
    test.run()

    test.retry()

    assert (test.run().state, test.attempts) == (TaskState.FAILED, 2)


def test_backoffs_double_up_to_the_longest_and_the_clock_goes_along() -> None:
    retry = RetryPolicy(
        max_attempts=5, initial_backoff=MINUTE, max_backoff=timedelta(minutes=3)
    )
    test = tried(raising(RuntimeError("boom")), retry=retry)
    start = test.now

    ends = [test.run() for _ in range(5)]

    assert [ended.delay for ended in ends] == [
        MINUTE,
        2 * MINUTE,
        3 * MINUTE,
        3 * MINUTE,
        None,
    ]
    assert ends[-1].state is TaskState.FAILED
    assert test.now == start + 9 * MINUTE


def test_chance_may_be_chosen() -> None:
    test = tried(
        raising(RuntimeError("boom")),
        retry=RetryPolicy(initial_backoff=MINUTE),
        chance=lambda least, most: (least + most) / 2,
    )

    assert test.run().delay == MINUTE / 2


@pytest.mark.parametrize(
    ("error", "state", "reason", "delay"),
    [
        (DoNotRetry("no"), TaskState.FAILED, Reason.DO_NOT_RETRY, None),
        (
            RetryLater(timedelta(hours=2)),
            TaskState.PENDING,
            Reason.HANDLER_ERROR,
            timedelta(hours=2),
        ),
        (
            RuntimeError("boom"),
            TaskState.PENDING,
            Reason.HANDLER_ERROR,
            limits.DEFAULT_INITIAL_BACKOFF,
        ),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_a_handler_raises_is_judged(
    error: Exception, state: TaskState, reason: Reason, delay: timedelta | None
) -> None:
    ended = tried(raising(error)).run()

    assert (ended.state, ended.reason, ended.delay) == (state, reason, delay)
    assert ended.error is error
    with pytest.raises(type(error)):
        ended.value()


@pytest.mark.parametrize(
    "result",
    [
        [1],
        "text",
        {"n": 2**53},
        {"n": float("nan")},
        {1: 2},
        {"x": HUGE},
        {"o": object()},
    ],
    ids=["list", "text", "integer", "nan", "key", "size", "object"],
)
def test_a_result_that_could_not_be_kept_fails_here_as_there(result: Any) -> None:
    assert tried(lambda ctx: result).run().reason is Reason.UNSTORABLE_RESULT


def test_the_result_and_the_kept_stages_share_their_room() -> None:
    half = "x" * (limits.MAX_OUTPUT_BYTES // 2)

    def fill(ctx: BlockingContext) -> dict[str, str]:
        ctx.stage("first", lambda: half)
        return {"second": half}

    ended = tried(fill).run()

    assert ended.reason is Reason.UNSTORABLE_RESULT
    assert "takes the task's results over" in ended.message


Word = Callable[[BlockingContext], Any]

REFUSED: dict[str, Word] = {
    "a stage's name": lambda ctx: ctx.stage("a b", str),
    "a stage's result": lambda ctx: ctx.stage("a", object),
    "a stage's size": lambda ctx: ctx.stage("a", lambda: HUGE),
    "progress": lambda ctx: ctx.progress(1.1),
    "an annotation's name": lambda ctx: ctx.annotate(**{"a b": "x"}),
    "an annotation's length": lambda ctx: ctx.annotate(a="x" * 256),
    "annotations": lambda ctx: ctx.annotate(**{f"a{n}": "x" for n in range(17)}),
}


@pytest.mark.parametrize("word", REFUSED.values(), ids=list(REFUSED))
def test_a_word_that_would_be_refused_is_refused_here(word: Word) -> None:
    ended = tried(word).run()

    assert ended.state is TaskState.PENDING
    assert isinstance(ended.error, ValueError)


def test_the_annotations_of_earlier_attempts_count() -> None:
    def note(ctx: BlockingContext) -> None:
        for number in range(10):
            ctx.annotate(**{f"a{ctx.attempt}-{number}": "x"})
        raise RuntimeError("again")

    test = tried(note)
    errors = [str(test.run().error) for _ in range(2)]

    assert errors[0] == "again"
    assert errors[1].startswith("a task has at most 16 annotations")
    assert len(test.annotations) == 16


def test_a_payload_that_could_not_be_created_is_refused(mail: Mail) -> None:
    with pytest.raises(InvalidRequest, match=r"spec\.payload is 65,5.. bytes"):
        HandlerTest(mail.handlers, "mail", {"to": "x" * 65_536})


def test_a_handler_gets_its_payload_as_it_comes_out_of_the_database() -> None:
    def look(ctx: BlockingContext) -> dict[str, str]:
        return {key: type(value).__name__ for key, value in ctx.payload.items()}

    test = tried(look, {"whole": 2.0, "pair": (1, 2)})

    assert test.run().value() == {"whole": "int", "pair": "list"}


def test_the_idempotency_key_is_the_same_in_every_attempt() -> None:
    keys: list[str] = []

    def note(ctx: BlockingContext) -> None:
        keys.append(ctx.idempotency_key)
        raise RuntimeError("again")

    test = tried(note)
    test.run()
    test.run()

    assert keys == [test.task_id] * 2


def test_a_handler_that_hangs_fails_the_test() -> None:
    async def hang(ctx: Context) -> None:
        time.sleep(0.3)  # noqa: ASYNC251 - that is the fault

    with pytest.raises(StillRunning, match=r"for over 0\.05 s"):
        tried(hang, within=0.05).run()


def test_a_type_without_a_handler_is_named() -> None:
    with pytest.raises(ValueError, match="no handler for 'male'"):
        HandlerTest(Handlers(), "male")
