"""Waiting ends with what is waited for, or with its time; what lost is left to nobody."""

from __future__ import annotations

import asyncio

from tandem.happening import first_of, happens


async def test_an_event_that_comes_ends_the_wait() -> None:
    event = asyncio.Event()
    waiting = asyncio.create_task(happens(event, 60))
    event.set()

    assert await waiting


async def test_an_event_that_does_not_come_ends_with_the_time() -> None:
    assert not await happens(asyncio.Event(), 0.01)


async def test_an_event_that_was_set_before_needs_no_time() -> None:
    event = asyncio.Event()
    event.set()

    assert await happens(event, 60)


async def test_the_first_ends_the_wait_and_the_others_are_cancelled() -> None:
    event, other = asyncio.Event(), asyncio.create_task(asyncio.Event().wait())
    event.set()

    await first_of(event.wait(), other)
    await asyncio.wait([other])

    assert other.cancelled()


async def test_whoever_stops_waiting_leaves_nothing_behind() -> None:
    other = asyncio.create_task(asyncio.Event().wait())
    waiting = asyncio.create_task(first_of(other))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait([waiting, other])

    assert other.cancelled()
