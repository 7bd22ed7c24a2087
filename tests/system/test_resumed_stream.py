"""A subscriber that is cut again and again loses nothing, whatever else goes on."""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress

from tandem.v1 import creator_pb2
from tests.support.creator import a_new_id, a_request
from tests.support.running_pair import RunningPair

TASKS = 5_000
CUTS = 100
AT_ONCE = 50
LONGEST_LIFE = 0.06
"""Seconds between two cuts, at most."""

FORGOTTEN = "CREATE TABLE forgotten (n integer)"
"""Gives an open transaction an id: the kind that stalls whoever waits for the oldest."""


class Subscriber:
    """Reads the stream, cuts it at random, and goes on from its last token."""

    def __init__(self, pair: RunningPair, *, seed: int) -> None:
        self.order: list[str] = []
        self.was_cut_enough = asyncio.Event()
        self._seen: set[str] = set()
        self._pair = pair
        self._token = ""
        self._random = random.Random(seed)

    async def read_all(self) -> None:
        for _ in range(CUTS):
            with suppress(TimeoutError):
                async with asyncio.timeout(self._random.uniform(0, LONGEST_LIFE)):
                    await self._read()
        self.was_cut_enough.set()
        await self._read()

    async def _read(self) -> None:
        """Read until everything was seen, or until cut."""
        stub = self._pair.creators[self._random.randrange(2)]
        call = stub.StreamCreatedTasks(self._request())
        try:
            async for answer in call:
                self._note(answer)
                if len(self._seen) == TASKS:
                    return
        finally:
            call.cancel()

    def _request(self) -> creator_pb2.StreamCreatedTasksRequest:
        if self._token:
            return creator_pb2.StreamCreatedTasksRequest(resume_token=self._token)
        return creator_pb2.StreamCreatedTasksRequest(
            start=creator_pb2.StreamCreatedTasksRequest.START_BEGINNING
        )

    def _note(self, answer: creator_pb2.StreamCreatedTasksResponse) -> None:
        self._token = answer.resume_token
        self.order += [id_ for id_ in answer.task_ids if id_ not in self._seen]
        self._seen.update(answer.task_ids)


async def test_p5_a_subscriber_cut_a_hundred_times_receives_every_id(
    pair: RunningPair,
) -> None:
    subscriber = Subscriber(pair, seed=5)
    async with pair.database.admin() as stranger, stranger.transaction():
        await stranger.execute("CREATE SCHEMA strange")
        await stranger.execute("SET LOCAL search_path TO strange")
        await stranger.execute(FORGOTTEN)
        async with asyncio.timeout(110), asyncio.TaskGroup() as group:
            reading = group.create_task(subscriber.read_all())
            creating = group.create_task(_create(pair, subscriber))
        reading.result()

    created = creating.result()
    assert len(created) == TASKS
    assert set(subscriber.order) == created
    assert subscriber.order == await _whole_stream(pair)


async def _create(pair: RunningPair, subscriber: Subscriber) -> set[str]:
    """Create the tasks through both creators, the last ones after the last cut."""
    room = asyncio.Semaphore(AT_ONCE)

    async def create(number: int) -> str:
        async with room:
            if number >= TASKS - AT_ONCE:
                await subscriber.was_cut_enough.wait()
            request = a_request(request_id=a_new_id(), payload={}, type="idle")
            answer = await pair.creators[number % 2].CreateTask(request)
            return answer.task.task_id

    return set(await asyncio.gather(*(create(number) for number in range(TASKS))))


async def _whole_stream(pair: RunningPair) -> list[str]:
    request = creator_pb2.StreamCreatedTasksRequest(
        start=creator_pb2.StreamCreatedTasksRequest.START_BEGINNING,
        until_caught_up=True,
    )
    answers = pair.creators[0].StreamCreatedTasks(request, timeout=60)
    return [id_ async for answer in answers for id_ in answer.task_ids]
