"""One batch through the database, and an answer for each of its drafts."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final, TypeAlias
from uuid import UUID

import asyncpg
import structlog

from tandem import calls
from tandem.errors import OutcomeUnknown, StoreUnavailable
from tandem_creator.connections import Kept
from tandem_creator.drafts import Draft
from tandem_creator.store.creates import Created, create_tasks
from tandem_creator.store.lanes import Lanes
from tandem_creator.store.winners import Winner, find_winners

log = structlog.get_logger()

Answer: TypeAlias = Created | Winner
Answers: TypeAlias = Mapping[Draft, "asyncio.Future[Answer]"]

TRIES: Final = 3
"""For one batch, where transactions undo one another."""

# Postgres has said that nothing was stored; so has every error that is not here.
CUT_OFF: Final = (
    asyncpg.PostgresConnectionError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,
    TimeoutError,
)

# Due to one row of a batch: it is bad, or somebody else's open transaction has its id.
ONE_OF_THEM: Final = (*calls.STORE_REFUSED, asyncpg.LockNotAvailableError)


class Flusher:
    """Sends drafts and settles each of their answers, whatever happens."""

    def __init__(self, kept: Kept, *, lanes: Lanes, ring: Callable[[], None]) -> None:
        self._kept = kept
        self._lanes = lanes
        self._ring = ring

    async def flush(self, answers: Answers, *, aside: asyncio.TaskGroup) -> None:
        """Create the drafts in one transaction.

        What needs more than that is done `aside`, so that it never holds up the
        next batch.
        """
        drafts = list(answers)
        try:
            created = await self._create(drafts)
        except ONE_OF_THEM as error:
            self._split(answers, error, aside=aside)
        except Exception as error:  # noqa: BLE001 - each of them answers its callers
            _fail(answers, error)
        else:
            _answer(answers, created)
            if lost := _unanswered(answers):
                aside.create_task(self._settle(lost))

    async def _create(
        self, drafts: Sequence[Draft], gone: Collection[UUID] = ()
    ) -> dict[UUID, Answer]:
        for _ in range(TRIES - 1):
            try:
                return await self._create_once(drafts, gone)
            except asyncpg.TransactionRollbackError:
                continue
        return await self._create_once(drafts, gone)

    async def _create_once(
        self, drafts: Sequence[Draft], gone: Collection[UUID]
    ) -> dict[UUID, Answer]:
        try:
            async with self._kept.connected() as connection:
                created = await create_tasks(
                    connection, drafts, lanes=self._lanes, gone=gone
                )
        except CUT_OFF as error:
            raise CutOff from error
        if created:
            self._ring()
        return dict(created)

    def _split(
        self, answers: Answers, error: Exception, *, aside: asyncio.TaskGroup
    ) -> None:
        """One bad or unlucky row never fails its neighbours: send each by itself."""
        if len(answers) == 1:
            # Its words may hold values of the caller's: the code must do.
            code = getattr(error, "sqlstate", None)
            log.warning("draft not stored", sqlstate=code)
            _fail(answers, error)
            return
        for draft, answer in answers.items():
            aside.create_task(self.flush({draft: answer}, aside=aside))

    async def _settle(self, lost: Answers) -> None:
        """Answer those whose ids or contents are taken with the tasks that hold them."""
        try:
            for _ in range(TRIES):
                async with self._kept.connected() as connection:
                    found = await find_winners(connection, list(lost))
                _answer(lost, found.winners)
                if not (lost := _unanswered(lost)):
                    return
                # Whoever held the id is gone again, so it may be free now.
                _answer(lost, await self._create(list(lost), found.gone))
                if not (lost := _unanswered(lost)):
                    return
        except Exception as error:  # noqa: BLE001 - each of them answers its callers
            _fail(lost, error)
        _fail(lost, StoreUnavailable("the holder of an id could not be read"))


class CutOff(Exception):
    """The statement was sent, and its end was never heard of."""


def _answer(answers: Answers, found: Mapping[UUID, Answer]) -> None:
    for draft, answer in answers.items():
        if draft.task_id in found and not answer.done():
            answer.set_result(found[draft.task_id])


def _unanswered(answers: Answers) -> Answers:
    return {draft: answer for draft, answer in answers.items() if not answer.done()}


def _fail(answers: Answers, error: Exception) -> None:
    for draft, answer in _unanswered(answers).items():
        answer.set_exception(_failure(draft, error))
        # Its caller may have gone; nobody else will look.
        answer.exception()


def _failure(draft: Draft, error: Exception) -> Exception:
    if not isinstance(error, CutOff):
        return error
    if draft.is_repeatable:
        return StoreUnavailable(
            "the commit was not confirmed; send the same request again"
        )
    return OutcomeUnknown(
        "the commit was not confirmed; ask LookupTask for this request id",
        request_id=str(draft.request_id),
    )
