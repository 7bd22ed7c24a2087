"""Calls from one thread to the loop of another."""

from __future__ import annotations

import asyncio
import threading
from contextvars import Context, ContextVar
from functools import partial
from typing import Any

import pytest

from tandem.crossing import MOST_AT_ONCE, Crossing

NAME: ContextVar[str] = ContextVar("NAME")

MANY = 3 * MOST_AT_ONCE


class CountingLoop:
    """A loop that makes calls when it is told to, and counts its wake-ups."""

    def __init__(self) -> None:
        self.turns: list[Any] = []
        self.failed: list[Any] = []

    def call_soon_threadsafe(self, turn: Any, *, context: Context) -> None:
        self.turns.append(partial(context.run, turn))

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        self.failed.append(context["exception"])

    def turn(self) -> None:
        self.turns.pop(0)()


def a_crossing(loop: Any) -> Crossing:
    return Crossing(loop)


def test_calls_made_meanwhile_share_one_wake_up_and_keep_their_order() -> None:
    loop, made = CountingLoop(), list[int]()
    crossing = a_crossing(loop)
    for number in range(5):
        crossing.call(made.append, number)
    assert len(loop.turns) == 1
    loop.turn()
    assert made == [0, 1, 2, 3, 4]
    crossing.call(made.append, 5)
    loop.turn()
    assert made[-1] == 5


def test_a_call_made_by_a_call_is_not_left_behind() -> None:
    loop, made = CountingLoop(), list[str]()
    crossing = a_crossing(loop)
    crossing.call(lambda: crossing.call(made.append, "inner"))
    while loop.turns:
        loop.turn()
    assert made == ["inner"]


def test_one_turn_makes_so_many_calls_and_the_next_one_the_rest() -> None:
    loop, made = CountingLoop(), list[int]()
    crossing = a_crossing(loop)
    for number in range(MOST_AT_ONCE + 1):
        crossing.call(made.append, number)
    loop.turn()
    assert len(made) == MOST_AT_ONCE
    loop.turn()
    assert len(made) == MOST_AT_ONCE + 1


def test_a_call_that_fails_is_told_and_costs_no_other_its_turn() -> None:
    loop, made = CountingLoop(), list[str]()
    crossing = a_crossing(loop)
    crossing.call(int, "no number")
    crossing.call(made.append, "after")
    loop.turn()
    assert made == ["after"]
    assert [type(error) for error in loop.failed] == [ValueError]


def test_calls_see_the_context_of_the_crossing_and_not_their_callers() -> None:
    """What a handler has bound must not be on the lines about others."""
    loop, seen = CountingLoop(), list[str]()
    NAME.set("crossing")
    crossing = a_crossing(loop)
    for name in ("one", "two"):
        NAME.set(name)
        crossing.call(lambda: seen.append(NAME.get()))
    loop.turn()
    assert seen == ["crossing", "crossing"]


async def test_no_call_from_other_threads_is_lost() -> None:
    made, last = list[int](), asyncio.Event()
    crossing = Crossing(asyncio.get_running_loop())

    def make(number: int) -> None:
        made.append(number)
        if len(made) == 2 * MANY:
            last.set()

    def call_all() -> None:
        for number in range(MANY):
            crossing.call(make, number)

    threads = [threading.Thread(target=call_all) for _ in range(2)]
    for thread in threads:
        thread.start()
    async with asyncio.timeout(30):
        await last.wait()
    for thread in threads:
        thread.join()
    assert sorted(made) == sorted([*range(MANY), *range(MANY)])


def test_a_loop_that_is_closed_calls_nothing_and_raises_nothing() -> None:
    loop = asyncio.new_event_loop()
    loop.close()
    made: list[int] = []
    a_crossing(loop).call(made.append, 1)
    with pytest.raises(RuntimeError):
        loop.call_soon(made.append, 2)
    assert made == []
