"""A batch through the database: one transaction, all or nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeAlias
from uuid import UUID

import asyncpg

from tandem import spans
from tandem.errors import OutcomeUnknown, Overloaded, StoreUnavailable
from tandem.postgres.logins import Connection
from tandem_creator.batches import Batch
from tandem_creator.connections import connected
from tandem_creator.drafts import Draft
from tandem_creator.flush import CUT_OFF, TRIES, Answer, CutOff
from tandem_creator.statistics import Statistics
from tandem_creator.store.creates import create_tasks
from tandem_creator.store.lanes import Lanes
from tandem_creator.store.winners import Winner, find_winners
from tandem_creator.twins import first_of_each

Answers: TypeAlias = Mapping[UUID, Answer]

Judge: TypeAlias = Callable[[Mapping[UUID, Winner]], None]
"""Raises where one of the tasks that were there first is no answer."""

MOST_WAITING: Final = 32
"""Batches that wait for a connection, of up to 4 MiB each, before more are refused."""


class WholeBatches:
    """Writes batches, a few at a time: the micro-batch needs a connection, too."""

    def __init__(
        self,
        pool: asyncpg.Pool,
        *,
        lanes: Lanes,
        ring: Callable[[], None],
        statistics: Statistics,
        most_waiting: int = MOST_WAITING,
    ) -> None:
        self._pool = pool
        self._lanes = lanes
        self._ring = ring
        self._statistics = statistics
        self._most_waiting = most_waiting
        self._waiting = 0
        self._places = asyncio.Semaphore(max(1, pool.get_max_size() // 2))
        self._writing: set[asyncio.Task[Answers]] = set()

    async def create(self, batch: Batch, *, judge: Judge) -> Answers:
        """An answer for each draft, by its task id; or an error, and nothing written.

        A caller that gives up, or whose time is up, while the batch waits leaves
        nothing behind; once it is being written, giving up changes nothing.

        Raises:
            Overloaded: too many batches wait already.
            StoreUnavailable: the database is away; sending it again is safe.
            OutcomeUnknown: it may be stored, and a repeat would not recognise it.
            TandemError: whatever `judge` raises.
        """
        await self._take_place()
        sent = asyncio.Event()
        writing = asyncio.create_task(self._write(batch, judge, sent))
        self._writing.add(writing)
        writing.add_done_callback(self._written)
        try:
            return await asyncio.shield(writing)
        except asyncio.CancelledError:
            if not sent.is_set():
                writing.cancel()
            raise

    async def _take_place(self) -> None:
        if self._waiting >= self._most_waiting:
            raise Overloaded("too many batches are waiting in this process")
        self._waiting += 1
        try:
            await self._places.acquire()
        finally:
            self._waiting -= 1

    def _written(self, writing: asyncio.Task[Answers]) -> None:
        self._places.release()
        self._writing.discard(writing)
        if not writing.cancelled():
            # Its caller may have gone; nobody else will look.
            writing.exception()

    async def _write(self, batch: Batch, judge: Judge, sent: asyncio.Event) -> Answers:
        size = {"tandem.batch.size": len(batch.drafts)}
        try:
            with spans.part("batch", size):
                return await self._try_to_write(batch.drafts, judge, sent)
        except CutOff as error:
            raise _cut_off(batch) from error

    async def _try_to_write(
        self, drafts: Sequence[Draft], judge: Judge, sent: asyncio.Event
    ) -> Answers:
        for _ in range(TRIES - 1):
            try:
                return await self._write_once(drafts, judge, sent)
            except asyncpg.TransactionRollbackError:
                continue
        return await self._write_once(drafts, judge, sent)

    async def _write_once(
        self, drafts: Sequence[Draft], judge: Judge, sent: asyncio.Event
    ) -> Answers:
        is_sealed = False
        try:
            async with connected(self._pool) as connection:
                wanted = [(draft.queue, draft.priority) for draft in drafts]
                lanes = await self._lanes.known(connection, wanted)
                sent.set()
                async with connection.transaction(isolation="read_committed"):
                    answers = await _answers(connection, drafts, lanes=lanes)
                    judge(_winners(answers))
                    is_sealed = True
        except CUT_OFF as error:
            if is_sealed:
                raise CutOff from error
            raise StoreUnavailable(
                "the database went away and nothing was stored; send the batch again"
            ) from error
        self._statistics.wrote_batch(len(drafts))
        if len(_winners(answers)) < len(drafts):
            self._ring()
        return answers


async def _answers(
    connection: Connection, drafts: Sequence[Draft], *, lanes: Lanes
) -> Answers:
    """An answer for each draft, within the connection's transaction.

    Those that lost are read before the commit, since one of them may undo it all:
    until then the positions of the others hold up the stream.
    """
    answers: dict[UUID, Answer] = {}
    rest, gone = drafts, frozenset[UUID]()
    for _ in range(TRIES):
        first = first_of_each(rest)
        answers |= await create_tasks(connection, first, lanes=lanes, gone=gone)
        if not (rest := _unanswered(drafts, answers)):
            return answers
        found = await find_winners(connection, rest)
        answers |= found.winners
        gone = found.gone
        if not (rest := _unanswered(drafts, answers)):
            return answers
    raise StoreUnavailable("the holder of an id could not be read")


def _unanswered(drafts: Sequence[Draft], answers: Answers) -> list[Draft]:
    return [draft for draft in drafts if draft.task_id not in answers]


def _winners(answers: Answers) -> dict[UUID, Winner]:
    return {
        draft_id: answer
        for draft_id, answer in answers.items()
        if isinstance(answer, Winner)
    }


def _cut_off(batch: Batch) -> StoreUnavailable | OutcomeUnknown:
    if batch.is_repeatable:
        return StoreUnavailable(
            "the commit was not confirmed; send the same batch again"
        )
    return OutcomeUnknown(
        "the commit was not confirmed; ask LookupTask for the UUIDv5 of this request"
        " id and the index of a request",
        request_id=str(batch.request_id),
    )
