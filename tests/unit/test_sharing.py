"""One piece of work for all who ask for the same at the same time."""

from __future__ import annotations

import asyncio

from tandem_processor.sharing import Shared

LONG = 60.0


class Work:
    """Answers the number of the time that it is done, once it is let."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.may_end = asyncio.Event()
        self.fault: Exception | None = None

    async def __call__(self, key: str) -> int:
        self.begun.append(key)
        number = len(self.begun)
        await self.may_end.wait()
        if self.fault:
            raise self.fault
        return number


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_callers_at_the_same_time_share_one_answer() -> None:
    work = Work()
    shared = Shared(work, keep_seconds=LONG)
    callers = [asyncio.create_task(shared.get("a")) for _ in range(20)]
    await settle()

    work.may_end.set()

    assert await asyncio.gather(*callers) == [1] * 20
    assert work.begun == ["a"]


async def test_an_answer_is_kept_and_then_worked_out_anew() -> None:
    work = Work()
    work.may_end.set()
    kept = Shared(work, keep_seconds=LONG)
    assert [await kept.get("a"), await kept.get("a"), await kept.get("b")] == [1, 1, 2]

    not_kept = Shared(work, keep_seconds=0)
    assert [await not_kept.get("a"), await not_kept.get("a")] == [3, 4]


async def test_one_piece_of_work_goes_on_at_a_time() -> None:
    work = Work()
    shared = Shared(work, keep_seconds=LONG)
    callers = [asyncio.create_task(shared.get(key)) for key in "abc"]
    await settle()
    assert work.begun == ["a"]

    work.may_end.set()

    assert await asyncio.gather(*callers) == [1, 2, 3]


async def test_a_failure_is_told_to_all_who_wait_and_is_not_kept() -> None:
    work = Work()
    shared = Shared(work, keep_seconds=LONG)
    callers = [asyncio.create_task(shared.get("a")) for _ in range(3)]
    await settle()

    work.fault = TimeoutError("too slow")
    work.may_end.set()
    ends = await asyncio.gather(*callers, return_exceptions=True)
    work.fault = None

    assert [type(end) for end in ends] == [TimeoutError] * 3
    assert await shared.get("a") == 2


async def test_a_caller_that_leaves_takes_nothing_from_the_others() -> None:
    work = Work()
    shared = Shared(work, keep_seconds=LONG)
    leaving, staying = (asyncio.create_task(shared.get("a")) for _ in range(2))
    await settle()

    leaving.cancel()
    await settle()
    work.may_end.set()

    assert await staying == 1
    assert work.begun == ["a"]


async def test_work_that_nobody_waits_for_any_more_is_not_begun() -> None:
    work = Work()
    shared = Shared(work, keep_seconds=LONG)
    first, leaving = (asyncio.create_task(shared.get(key)) for key in "ab")
    await settle()

    leaving.cancel()
    await settle()
    work.may_end.set()
    await first

    assert work.begun == ["a"]
    assert await shared.get("b") == 2


async def test_work_that_was_begun_goes_on_for_whoever_asks_again() -> None:
    work = Work()
    shared = Shared(work, keep_seconds=LONG)
    caller = asyncio.create_task(shared.get("a"))
    await settle()

    caller.cancel()
    await settle()
    again = asyncio.create_task(shared.get("a"))
    await settle()
    work.may_end.set()

    assert await again == 1
    assert work.begun == ["a"]
