"""Answers worked out once for all who ask at the same time, and kept for a while."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Answer = TypeVar("Answer")


class Shared(Generic[Key, Answer]):
    """What `work` answers, by key: asked for once in `keep_seconds`, one at a time.

    A failure is told to all who waited for it, and is not kept. Work for which nobody
    waits any more is not begun; once begun it goes on, for whoever asks again.
    """

    def __init__(
        self, work: Callable[[Key], Awaitable[Answer]], *, keep_seconds: float
    ) -> None:
        self._work = work
        self._keep_seconds = keep_seconds
        self._turn = asyncio.Lock()
        self._pieces: dict[Key, _Piece[Key, Answer]] = {}

    async def get(self, key: Key) -> Answer:
        """The answer: one that was begun at most `keep_seconds` ago, or a new one."""
        self._forget_old()
        if key not in self._pieces:
            self._pieces[key] = _Piece(self._work, key, self._turn)
        return await self._pieces[key].wait()

    def _forget_old(self) -> None:
        oldest = asyncio.get_running_loop().time() - self._keep_seconds
        for key in [k for k, piece in self._pieces.items() if piece.is_over(oldest)]:
            del self._pieces[key]


class _Piece(Generic[Key, Answer]):
    """One answer, under way or there, with those who wait for it."""

    def __init__(
        self, work: Callable[[Key], Awaitable[Answer]], key: Key, turn: asyncio.Lock
    ) -> None:
        self._work = work
        self._key = key
        self._turn = turn
        self._waiting = 0
        self._begun: float | None = None
        self._is_left = False
        self._task = asyncio.create_task(self._do())

    async def _do(self) -> Answer:
        async with self._turn:
            self._begun = asyncio.get_running_loop().time()
            return await self._work(self._key)

    async def wait(self) -> Answer:
        self._waiting += 1
        try:
            return await asyncio.shield(self._task)
        finally:
            self._waiting -= 1
            if not self._waiting and self._begun is None:
                self._is_left = True
                self._task.cancel()

    def is_over(self, oldest: float) -> bool:
        """Whether whoever asks now needs another one."""
        if not self._task.done() or self._begun is None:
            return self._is_left
        if self._task.cancelled() or self._task.exception() is not None:
            return True
        return self._begun <= oldest
