"""A micro-batch waits for more only where there is load."""

from __future__ import annotations

import asyncio

import pytest

from tandem_creator.linger import FRESH, LOAD, Linger

LIMIT = 5.0

FOR_EVER = 3600.0
"""Seconds: a wait that ends within LIMIT was ended by something else."""


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def linger(clock: Clock) -> Linger:
    return Linger(clock, longest=FOR_EVER)


async def test_the_first_create_of_an_idle_process_does_not_wait(
    linger: Linger,
) -> None:
    async with asyncio.timeout(LIMIT):
        await linger.wait(1)


async def test_a_few_callers_do_not_wait(linger: Linger) -> None:
    linger.flushed(LOAD - 1)

    async with asyncio.timeout(LIMIT):
        await linger.wait(1)


async def test_under_load_a_batch_waits_for_half_of_those_on_their_way(
    linger: Linger,
) -> None:
    linger.flushed(LOAD)
    waiting = asyncio.create_task(linger.wait(1))
    for count in range(1, LOAD // 2):
        await asyncio.sleep(0)
        linger.arrived(count)
    assert not waiting.done()

    linger.arrived(LOAD // 2)

    async with asyncio.timeout(LIMIT):
        await waiting


async def test_half_of_them_do_not_wait(linger: Linger) -> None:
    linger.flushed(LOAD)

    async with asyncio.timeout(LIMIT):
        await linger.wait(LOAD // 2)


async def test_load_that_is_over_is_forgotten(linger: Linger, clock: Clock) -> None:
    linger.flushed(LOAD)
    clock.now += 2 * FRESH

    async with asyncio.timeout(LIMIT):
        await linger.wait(1)


async def test_no_batch_waits_for_long(clock: Clock) -> None:
    linger = Linger(clock, longest=0.001)
    linger.flushed(LOAD)

    async with asyncio.timeout(LIMIT):
        await linger.wait(1)
