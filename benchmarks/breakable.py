"""Paths of a run that can be broken: between two services, or to the database."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tests.support.cutter import Cutter
from tests.support.proxy import Proxy

LIMIT = 10.0


class Path:
    """Passes on what it is sent, until it is told otherwise."""

    def __init__(self, loop: asyncio.AbstractEventLoop, proxy: Proxy) -> None:
        self._loop = loop
        self._proxy = proxy

    @property
    def address(self) -> str:
        return self._proxy.address

    def die(self) -> None:
        """Nothing passes any more on what is open, and neither end is told."""
        self._do(self._proxy.die)

    def reset(self) -> None:
        """What is open is broken, and both ends are told; what comes later is whole."""
        self._do(self._proxy.cut)
        self._do(self._proxy.heal)

    def _do(self, act: Callable[[], None]) -> None:
        self._loop.call_soon_threadsafe(act)


@contextmanager
def path_to(address: str) -> Iterator[Path]:
    """To a service."""
    proxy = Proxy()
    proxy.target = address
    with _loop_beside() as loop:
        asyncio.run_coroutine_threadsafe(proxy.listen(), loop).result(LIMIT)
        try:
            yield Path(loop, proxy)
        finally:
            loop.call_soon_threadsafe(proxy.cut)


@contextmanager
def cutter_to(login: str) -> Iterator[Cutter]:
    """To the database, for a creator with this login."""
    cutter = Cutter(login)
    with _loop_beside() as loop:
        asyncio.run_coroutine_threadsafe(cutter.listen(), loop).result(LIMIT)
        yield cutter


@contextmanager
def _loop_beside() -> Iterator[asyncio.AbstractEventLoop]:
    """A loop in a thread of its own: whoever measures blocks this one."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield loop
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(LIMIT)
