"""The relay for programs on asyncio. It is `Relay`, awaited, on connections of asyncpg."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager

from tandem.client import AsyncClient, Created
from tandem.client.repeats import Wait
from tandem.errors import TandemError
from tandem.happening import happens
from tandem.outbox.connections import AsyncConnection
from tandem.outbox.notes import tell_failure
from tandem.outbox.outbox import Outbox
from tandem.outbox.relay import BATCH, POLL, WITHIN
from tandem.outbox.rounds import Relayed, Round, checked_batch, single
from tandem.v1 import creator_pb2


class AsyncRelay:
    """What `Relay` is, for a program on asyncio; each method says there what it does.

    Use it inside one running event loop.
    """

    def __init__(
        self,
        outbox: Outbox,
        connect: Callable[[], AbstractAsyncContextManager[AsyncConnection]],
        client: AsyncClient,
        *,
        batch: int = BATCH,
        poll: float = POLL,
        within: float = WITHIN,
    ) -> None:
        """`connect` lends a connection for one round: a pool's `acquire`, for one."""
        self._outbox = outbox
        self._connect = connect
        self._client = client
        self._batch = checked_batch(batch)
        self._poll = poll
        self._within = within
        self._wait = Wait()
        self._bell = asyncio.Event()
        self._stopped = asyncio.Event()

    async def run_once(self) -> Relayed:
        """Relay one batch of rows, oldest first. See `Relay.run_once`."""
        async with self._connect() as connection:
            # What was made before a failure is struck off, so it is raised outside.
            async with connection.transaction():
                round_ = await self._relay_on(connection)
            return round_.ended()

    async def run(self) -> None:
        """Relay until `stop`, or until it is cancelled. See `Relay.run`."""
        while not self._stopped.is_set():
            failure = await self._relay_until_failure()
            await happens(self._stopped, self._wait.after(failure))

    def wake(self) -> None:
        """Look now: call it after a commit that recorded something."""
        self._bell.set()

    def stop(self) -> None:
        """End `run` after its round."""
        self._stopped.set()
        self._bell.set()

    async def _relay_until_failure(self) -> Exception | None:
        try:
            while self._goes_on():
                relayed = await self.run_once()
                if relayed.is_slowed:
                    break
                self._wait = Wait()
                if not relayed.is_full:
                    await happens(self._bell, self._poll)
        except Exception as failure:  # noqa: BLE001 - of any driver
            tell_failure(failure)
            return failure
        return None

    def _goes_on(self) -> bool:
        self._bell.clear()
        return not self._stopped.is_set()

    async def _relay_on(self, connection: AsyncConnection) -> Round:
        rows = await self._outbox.aread(connection, limit=self._batch)
        round_ = Round(rows, limit=self._batch)
        for requests in round_.sends():
            try:
                round_.made(requests, await self._create(requests))
            except TandemError as failure:
                round_.failed(requests, failure)
        for sql, parameters in round_.writes():
            await self._outbox.arun(connection, sql, parameters)
        return round_

    async def _create(
        self, requests: Sequence[creator_pb2.CreateTaskRequest]
    ) -> Sequence[Created]:
        if len(requests) > 1:
            return await self._client.create_batch(requests, within=self._within)
        spec, options = single(requests[0])
        return [await self._client.create(spec, within=self._within, **options)]
