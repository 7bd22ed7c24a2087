"""ConsumeCreatedTasks: the groups of this process, and a stream for each member."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final
from uuid import uuid4

import asyncpg
import structlog

from tandem import calls, limits
from tandem.errors import Stopping
from tandem.happening import happens
from tandem.v1 import creator_pb2 as pb
from tandem.violations import at_fault
from tandem_creator.dispatcher import Dispatcher
from tandem_creator.horizon import Horizon
from tandem_creator.joining import parse_credits, parse_ids, parsed, read_join
from tandem_creator.ledger import RESEND_SECONDS
from tandem_creator.members import Join, Member
from tandem_creator.store.census import Count
from tandem_creator.store.places import Reader

log = structlog.get_logger()

Request = pb.ConsumeCreatedTasksRequest
Response = pb.ConsumeCreatedTasksResponse

CLOSE_LIMIT: Final = 2.0
"""Seconds to leave what is held to other creators, before they find out by themselves."""


class Groups:
    """One dispatcher for each group that has members here."""

    def __init__(
        self,
        pool: asyncpg.Pool,
        *,
        horizon: Horizon,
        frame: float = limits.FRAME_SECONDS,
        resend: float = RESEND_SECONDS,
    ) -> None:
        self._pool = pool
        self._horizon = horizon
        self._frame = frame
        self._resend = resend
        self._name = uuid4().hex
        self._dispatchers: dict[str, Dispatcher] = {}
        self._new: asyncio.Queue[str] = asyncio.Queue()
        self._members: set[Member] = set()
        self._is_closed = False

    async def run(self) -> None:
        """Serve all groups until cancelled."""
        async with asyncio.TaskGroup() as serving:
            while True:
                group = await self._new.get()
                serving.create_task(self._serve(group))

    async def _serve(self, group: str) -> None:
        dispatcher = self._dispatchers[group]
        await dispatcher.run()
        # Nothing was awaited since it was found idle, so nobody has joined since.
        del self._dispatchers[group]

    @property
    def counts(self) -> dict[str, Count]:
        """The members that each group has here."""
        return {group: each.count for group, each in self._dispatchers.items()}

    def close(self) -> None:
        """End every member's stream with Stopping."""
        self._is_closed = True
        for member in self._members:
            member.is_wanted.set()

    async def release(self) -> None:
        """Leave what is held to other creators."""
        try:
            async with asyncio.timeout(CLOSE_LIMIT):
                for dispatcher in list(self._dispatchers.values()):
                    await dispatcher.close()
        except calls.STORE_AWAY as error:
            log.warning("takes not released", error=type(error).__name__)

    async def consume(
        self, requests: AsyncIterator[Any], *, ready: Callable[[], Awaitable[None]]
    ) -> AsyncIterator[Response]:
        """Yield what a member is to be sent, until it leaves.

        Awaits `ready` once it has joined.

        Raises:
            InvalidRequest: a message of its is out of turn, or has bad fields.
            Stopping: this process shuts down.
        """
        messages = parsed(requests)
        join = await read_join(messages)
        with self._joined(join) as (dispatcher, member):
            listening = asyncio.create_task(_listen(messages, dispatcher, member))
            listening.add_done_callback(lambda _: member.is_wanted.set())
            try:
                await ready()
                async for message in self._messages(member, listening):
                    yield message
            finally:
                listening.cancel()
                await asyncio.wait([listening])

    @contextmanager
    def _joined(self, join: Join) -> Iterator[tuple[Dispatcher, Member]]:
        dispatcher = self._dispatchers.get(join.group)
        is_new = dispatcher is None
        if dispatcher is None:
            reader = Reader(join.group, self._name)
            dispatcher = Dispatcher(
                self._pool, reader, horizon=self._horizon, resend=self._resend
            )
            self._dispatchers[join.group] = dispatcher
        member = Member(join, now=asyncio.get_running_loop().time())
        dispatcher.join(member)
        if is_new:
            self._new.put_nowait(join.group)
        self._members.add(member)
        try:
            yield dispatcher, member
        finally:
            self._members.remove(member)
            dispatcher.leave(member)

    async def _messages(
        self, member: Member, listening: asyncio.Task[None]
    ) -> AsyncIterator[Response]:
        clock = asyncio.get_running_loop().time
        while not listening.done():
            if self._is_closed:
                raise Stopping("this creator is shutting down")
            message = member.next_message()
            if message is None and await self._is_quiet(member):
                message = member.frame()
            if message is not None:
                member.begin_sending(now=clock())
                yield message
                member.end_sending()
        # What ended it: the member's leave, or a message that was refused.
        await listening

    async def _is_quiet(self, member: Member) -> bool:
        """Wait for something to send; whether there was nothing for a whole frame."""
        is_wanted = await happens(member.is_wanted, self._frame)
        if is_wanted:
            member.is_wanted.clear()
        return not is_wanted


async def _listen(
    messages: AsyncIterator[Request], dispatcher: Dispatcher, member: Member
) -> None:
    async for message in messages:
        kind = message.WhichOneof("kind")
        if kind == "join":
            raise at_fault("join", "must come once")
        if kind == "grant":
            dispatcher.grant(member, parse_credits(message.grant))
        if kind == "confirm":
            ids = parse_ids("confirm.task_ids", message.confirm.task_ids)
            dispatcher.confirm(member, ids)
        if kind == "give_back":
            ids = parse_ids("give_back.task_ids", message.give_back.task_ids)
            dispatcher.give_back(member, ids)
