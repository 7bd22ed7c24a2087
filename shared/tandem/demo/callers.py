"""Callers in trouble: many at once, repeating themselves, hanging up, mixing ids up."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import grpc

from tandem import wire
from tandem.client import channel, reason_of, request_id_from
from tandem.demo.articles import Article
from tandem.demo.tally import Tally
from tandem.errors import RequestIdReused
from tandem.v1 import creator_pb2, creator_pb2_grpc, task_pb2

CALLERS: Final = 4
"""For one article, all at the same moment."""

ARTICLES_AT_ONCE: Final = 16

CALL_LIMIT: Final = 20.0
"""Seconds."""

HANG_UP_AFTER: Final = 0.002
"""Seconds: long enough to be sent, too short to be answered, or not even sent."""

HANGS_UP_EVERY: Final = 3
MIXES_UP_EVERY: Final = 2
"""Articles, by their number, whose callers do that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Commission:
    """What all callers want: these articles, published there, in this run."""

    run: str
    project: str
    folder: Path
    output: Path
    pace: float

    def request(
        self, article: Article, *, target_length: int = 0
    ) -> creator_pb2.CreateTaskRequest:
        """The same article of the same run is the same intended call."""
        payload: dict[str, Any] = {
            "topic": article.path,
            "style": "documentation",
            "tone": "plain",
            "target_length": target_length,
            "folder": str(self.folder),
            "path": article.path,
            "output": str(self.output),
            "pace": self.pace,
        }
        return creator_pb2.CreateTaskRequest(
            request_id=request_id_from(f"{self.run}/{article.path}"),
            spec=task_pb2.TaskSpec(
                project=self.project, type="blog_post", payload=wire.to_struct(payload)
            ),
        )


class Callers:
    """All callers of a run, over several creators."""

    def __init__(self, addresses: Sequence[str], commission: Commission) -> None:
        self.tally = Tally()
        self._commission = commission
        self._channels = [channel(address) for address in addresses]
        self._stubs: list[Any] = [
            creator_pb2_grpc.CreatorServiceStub(opened) for opened in self._channels
        ]
        self._room = asyncio.Semaphore(ARTICLES_AT_ONCE)

    async def create(self, articles: Sequence[Article]) -> None:
        """Have every article created by callers that behave as badly as real ones."""
        try:
            async with asyncio.TaskGroup() as group:
                for number, article in enumerate(articles):
                    group.create_task(self._article(number, article))
        finally:
            for opened in self._channels:
                await opened.close()

    async def _article(self, number: int, article: Article) -> None:
        async with self._room:
            if number % HANGS_UP_EVERY == 0:
                await self._hang_up(article, number)
            async with asyncio.TaskGroup() as group:
                for caller in range(CALLERS):
                    group.create_task(self._repeat(article, caller))
            if number % MIXES_UP_EVERY == 0:
                await self._mix_up(article, number)

    async def _repeat(self, article: Article, caller: int) -> None:
        # The second time another creator is asked.
        for stub in (self._stub(caller), self._stub(caller + 1)):
            await self._call(stub, article)

    async def _call(self, stub: Any, article: Article) -> None:
        self.tally.calls += 1
        request = self._commission.request(article)
        try:
            answer = await stub.CreateTask(request, timeout=CALL_LIMIT)
        except grpc.aio.AioRpcError as error:
            self._fault(article, error)
        else:
            self.tally.answered(article.path, answer)

    async def _hang_up(self, article: Article, caller: int) -> None:
        self.tally.calls += 1
        request = self._commission.request(article)
        try:
            answer = await self._stub(caller).CreateTask(request, timeout=HANG_UP_AFTER)
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.DEADLINE_EXCEEDED:
                self._fault(article, error)
            self.tally.cut_off += 1
        else:
            self.tally.answered(article.path, answer)

    async def _mix_up(self, article: Article, caller: int) -> None:
        self.tally.calls += 1
        changed = self._commission.request(article, target_length=1)
        try:
            await self._stub(caller).CreateTask(changed, timeout=CALL_LIMIT)
        except grpc.aio.AioRpcError as error:
            reason = reason_of(error)
            if reason is None or reason.reason != RequestIdReused.reason:
                self._fault(article, error)
            self.tally.refused += 1
        else:
            self.tally.faults.append(
                f"{article.path}: other content under its request id was not refused"
            )

    def _stub(self, caller: int) -> Any:
        return self._stubs[caller % len(self._stubs)]

    def _fault(self, article: Article, error: grpc.aio.AioRpcError) -> None:
        self.tally.faults.append(
            f"{article.path}: a create failed: {error.code().name}: {error.details()}"
        )
