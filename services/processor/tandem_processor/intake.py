"""The stream of created ids, as a member of the group that works them."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Callable
from typing import Final

import asyncpg
import grpc
import structlog

from tandem import client, limits
from tandem.client import Credentials, InvalidCredentials
from tandem.client.advice import advice
from tandem.happening import happens
from tandem_processor.claimer import Claimer
from tandem_processor.session import Membership, Session
from tandem_processor.slots import Slots

log = structlog.get_logger()

SILENCE_SECONDS: Final = 2 * limits.FRAME_SECONDS
"""Without a frame for so long the stream is dead, whatever the connection says."""

FIRST_WAIT: Final = 0.1
LONGEST_WAIT: Final = 2.0
"""Seconds between attempts to reach a creator."""


class Intake:
    """Follows one creator at a time, for the types of one share of the slots.

    Ids of a type at its limit must not use up the credit of others, so each share
    has a stream of its own. While no creator is there, due work goes on.
    """

    def __init__(
        self,
        pool: asyncpg.Pool,
        membership: Membership,
        *,
        claimer: Claimer,
        slots: Slots,
        credentials: Callable[[], Credentials] = Credentials,
        silence: float = SILENCE_SECONDS,
    ) -> None:
        self._credentials = credentials
        self._pool = pool
        self._membership = membership
        self._claimer = claimer
        self._slots = slots
        self._silence = silence
        self._draining = asyncio.Event()
        self._told: set[tuple[str, str]] = set()

    def drain(self) -> None:
        """Take nothing more. Ids on their way go to other members."""
        self._draining.set()

    async def run(self) -> None:
        """Follow the creators in turn until drained.

        Raises:
            DeclaredDead: a claim found the own row dead.
        """
        wait = FIRST_WAIT
        for address in itertools.cycle(self._membership.addresses):
            if self._draining.is_set():
                return
            if await self._follow(address):
                wait = FIRST_WAIT
            # Members of a creator that went away must not reach the next in step.
            pause = random.uniform(wait / 2, wait)  # noqa: S311 - no secret
            await happens(self._draining, pause)
            wait = min(wait * 2, LONGEST_WAIT)

    async def _follow(self, address: str) -> bool:
        """Consume from this creator until it fails. Answers whether it ever spoke."""
        session = Session(
            self._pool,
            self._membership,
            claimer=self._claimer,
            slots=self._slots,
            draining=self._draining,
        )
        try:
            # Read for each stream: files may have been renewed since the last one.
            async with client.channel(address, self._credentials()) as channel:
                await session.run(channel, silence=self._silence)
        except InvalidCredentials as fault:
            self._tell(address, str(fault), spoke=False)
        except grpc.aio.AioRpcError as error:
            todo = advice(error)
            self._tell(address, error.code().name, spoke=session.spoke, todo=todo)
        except TimeoutError:
            self._tell(address, "SILENT", spoke=session.spoke)
        return session.spoke

    def _tell(self, address: str, why: str, *, spoke: bool, todo: str = "") -> None:
        """Log the first failure of each kind in a row of them."""
        if spoke:
            self._told.clear()
        if (address, why) not in self._told:
            log.warning(
                "no stream of created ids",
                creator=address,
                why=why,
                advice=todo,
                types=self._membership.share.types,
            )
        if not spoke:
            self._told.add((address, why))
