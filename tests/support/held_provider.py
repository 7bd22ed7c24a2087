"""The example's provider, held up by a test at each POST."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum, auto
from queue import SimpleQueue

from examples.fake_provider import FakeProvider, serving

LIMIT = 30.0
"""Seconds: longer than any wait that is not a fault."""


class Held(Enum):
    """Where a POST waits for the test."""

    CALLED = auto()
    """Nothing is made yet."""

    MADE = auto()
    """It is made, and not answered."""


@dataclass(frozen=True, slots=True)
class Post:
    """One POST that waits for the test."""

    held: Held
    key: str
    _go_on: SimpleQueue[bool]

    def let_pass(self, *, answered: bool = True) -> None:
        """Go on; with `answered=False` the connection is dropped in place of an answer."""
        self._go_on.put(answered)


class HeldProvider:
    """Each POST waits twice: before anything is made, and before it is answered."""

    def __init__(self, provider: FakeProvider) -> None:
        self.provider = provider
        self._posts: SimpleQueue[Post] = SimpleQueue()
        provider.on_post = lambda key: self._hold(Held.CALLED, key)
        provider.before_answer = lambda key: self._hold(Held.MADE, key)

    async def post(self, held: Held) -> Post:
        """The next POST that is held up, which must be there."""
        post = await asyncio.to_thread(self._posts.get, timeout=LIMIT)
        assert post.held is held
        return post

    async def answer(self) -> str:
        """Let the next POST pass, and its answer too. Answers its key."""
        (await self.post(Held.CALLED)).let_pass()
        made = await self.post(Held.MADE)
        made.let_pass()
        return made.key

    def _hold(self, held: Held, key: str) -> bool:
        go_on: SimpleQueue[bool] = SimpleQueue()
        self._posts.put(Post(held, key, go_on))
        return go_on.get(timeout=LIMIT)


@contextmanager
def held_provider() -> Iterator[HeldProvider]:
    with serving() as provider:
        yield HeldProvider(provider)
