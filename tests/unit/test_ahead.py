"""What is made ahead is what would have been made in time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import pytest

from tandem_creator.ahead import one_ahead

LIMIT = 5.0


class Source:
    """Makes numbers, and knows how far it was asked."""

    def __init__(self, *, count: int = 3, hangs: bool = False) -> None:
        self.begun = asyncio.Event()
        self.closed = False
        self._count = count
        self._hangs = hangs

    async def numbers(self) -> AsyncGenerator[int, None]:
        try:
            for number in range(self._count):
                yield number
            self.begun.set()
            if self._hangs:
                await asyncio.Event().wait()
        finally:
            self.closed = True


async def test_everything_comes_in_its_order() -> None:
    assert [n async for n in one_ahead(Source(count=4).numbers())] == [0, 1, 2, 3]


async def test_the_next_is_begun_while_the_last_is_held() -> None:
    source = Source(count=1)
    ahead: Any = one_ahead(source.numbers())

    async with aclosing(ahead), asyncio.timeout(LIMIT):
        assert await anext(ahead) == 0
        await source.begun.wait()


async def test_an_error_comes_in_its_place() -> None:
    async def numbers() -> AsyncGenerator[int, None]:
        yield 0
        raise LookupError("in its place")

    ahead = one_ahead(numbers())

    assert await anext(ahead) == 0
    with pytest.raises(LookupError, match="in its place"):
        await anext(ahead)


async def test_a_reader_that_leaves_ends_the_source() -> None:
    source = Source(count=1, hangs=True)
    ahead: Any = one_ahead(source.numbers())

    async with asyncio.timeout(LIMIT):
        async with aclosing(ahead):
            await anext(ahead)
            await source.begun.wait()

    assert source.closed
